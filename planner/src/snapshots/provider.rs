//! One table as one statement sees it: its rows are read when the statement is planned, and are part of the plan.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::internal_err;
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;

use super::wanted::Condition;
use super::{SnapshotSchema, Snapshots, Wanted};

/// One table as one statement sees it.
#[derive(Debug)]
pub(super) struct SnapshotTable {
    pub(super) table: SnapshotSchema,
    snapshots: Arc<dyn Snapshots>,
}

impl SnapshotTable {
    pub(super) fn new(table: SnapshotSchema, snapshots: Arc<dyn Snapshots>) -> Self {
        Self { table, snapshots }
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.columns)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let SnapshotSchema { name, columns, .. } = &self.table;
        let known = filters.iter().map(|filter| Condition::of(filter, columns));
        // Only filters that were taken over are given to the scan, and they are not looked at again.
        let Some(conditions) = known.collect::<Option<Vec<_>>>() else {
            return internal_err!("system.{name} was given a filter that it does not know");
        };
        let wanted = Wanted { conditions, limit };
        let rows = self.snapshots.read(name, &wanted).await;
        let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
        if rows.iter().any(|batch| batch.schema_ref() != columns) {
            return internal_err!("the rows of system.{name} have other columns than the table");
        }
        let columns = Arc::clone(columns);
        Ok(MemorySourceConfig::try_new_exec(&[rows], columns, projection.cloned())?)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let kind = |filter: &&Expr| match Condition::of(filter, &self.table.columns) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(kind).collect())
    }
}
