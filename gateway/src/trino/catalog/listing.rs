//! Tables of the catalog that are made when they are read, of the tables that are asked for only.
//!
//! Reading the columns of a table may mean to read a file's footer. So a condition on the name of the table is looked at
//! before any columns are read.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, SchemaProvider, Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;

use crate::catalog::Names;

/// Tables whose columns are read at the same time.
const AT_ONCE: usize = 8;

/// A table of texts and numbers that are at hand.
pub(super) fn table(columns: Vec<(&str, ArrayRef)>) -> Result<Arc<dyn TableProvider>> {
    let batch = batch(columns)?;
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}

/// Columns that may all be NULL.
pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// A table without rows.
pub(super) fn empty(columns: &[(&str, DataType)]) -> Result<Arc<dyn TableProvider>> {
    let fields: Vec<_> =
        columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    Ok(Arc::new(MemTable::try_new(Arc::new(Schema::new(fields)), vec![vec![]])?))
}

/// The same text in each row.
pub(super) fn same(text: &str, rows: usize) -> ArrayRef {
    texts(std::iter::repeat_n(Some(text), rows))
}

/// No text in any row.
pub(super) fn none(rows: usize) -> ArrayRef {
    texts(std::iter::repeat_n(None::<&str>, rows))
}

pub(super) fn texts<T: AsRef<str>>(texts: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(texts.collect::<StringArray>())
}

/// A table and its columns.
pub(super) type Described = (String, SchemaRef);

/// A table with a row for each table or for each column.
pub(super) struct Listing {
    names: Arc<Names>,
    /// The column that has the names of tables.
    by: &'static str,
    reads_columns: bool,
    make: fn(&[Described]) -> Result<RecordBatch>,
    schema: SchemaRef,
}

impl std::fmt::Debug for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listing").field("by", &self.by).finish_non_exhaustive()
    }
}

impl Listing {
    /// A table whose rows `make` makes of the tables that are asked for by their name in the column `by`.
    pub(super) fn provider(
        names: &Arc<Names>,
        by: &'static str,
        reads_columns: bool,
        make: fn(&[Described]) -> Result<RecordBatch>,
    ) -> Result<Arc<dyn TableProvider>> {
        let (names, schema) = (Arc::clone(names), make(&[])?.schema());
        Ok(Arc::new(Self { names, by, reads_columns, make, schema }))
    }

    /// The names that meet the conditions which are about nothing else.
    fn matching(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<String>> {
        let names = texts(self.names.table_names().into_iter().map(Some));
        let mut batch = batch(vec![(self.by, names)])?;
        let schema = DFSchema::try_from(batch.schema())?;
        for filter in filters {
            let columns = filter.column_refs();
            if columns.is_empty() || !columns.iter().all(|column| column.name == self.by) {
                continue;
            }
            // A condition that cannot be evaluated here is evaluated above the scan, as all of them are.
            let Ok(condition) = state.create_physical_expr(filter.clone(), &schema) else {
                continue;
            };
            let met = condition.evaluate(&batch).and_then(|met| met.into_array(batch.num_rows()));
            if let Ok(met) = met
                && let Some(met) = met.as_boolean_opt()
            {
                batch = filter_record_batch(&batch, met)?;
            }
        }
        Ok(batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect())
    }
}

#[async_trait]
impl TableProvider for Listing {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let names = self.matching(state, filters)?;
        let described: Vec<Described> = if self.reads_columns {
            futures::stream::iter(names)
                .map(|name| async move {
                    let columns = self.names.columns(&name).await;
                    (name, columns)
                })
                .buffered(AT_ONCE)
                .collect()
                .await
        } else {
            let nothing = Arc::new(Schema::empty());
            names.into_iter().map(|name| (name, Arc::clone(&nothing))).collect()
        };
        let batch = (self.make)(&described)?;
        let table = MemTable::try_new(self.schema(), vec![vec![batch]])?;
        // The conditions are met above.
        let limit = limit.filter(|_| filters.is_empty());
        table.scan(state, projection, &[], limit).await
    }
}
