//! One table as one query sees it: its files as they were listed, and the plan that scans them.
//!
//! It does what the engine's own listing table does, over a listing that was made before, so that the columns and the
//! files of a query are those of one moment.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::{NdvFallback, Precision};
use datafusion::common::{DFSchema, Result, ScalarValue, Statistics, project_schema};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchemaBuilder;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, SortExpr, TableProviderFilterPushDown};
use datafusion::physical_expr::{LexOrdering, create_lex_ordering};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;

use super::facts::{Cast, Facts};
use super::files::KnownFiles;
use super::later::{self, Later, Listed};
use super::looking::{FILES_AT_ONCE, Reading};
use super::shape::Shape;
use crate::passes::sure;

/// The files of a table.
#[derive(Debug)]
pub(super) enum Files {
    /// They were listed.
    Listed(Vec<Listed>),
    /// They are listed when the filters of the statement are known.
    Later(Arc<Later>),
}

/// One table as one query sees it.
#[derive(Debug)]
pub(crate) struct FilesTable {
    pub(super) store: ObjectStoreUrl,
    pub(super) shape: Arc<Shape>,
    pub(super) files: Files,
    pub(super) known: Arc<KnownFiles>,
    pub(super) order: Vec<Vec<SortExpr>>,
}

impl FilesTable {
    /// The same files, read with these columns inside.
    pub(super) fn read_as(self, inside: SchemaRef) -> Self {
        let Shape { reading, folders, .. } = self.shape.as_ref();
        let shape = Arc::new(Shape::new(reading.clone(), inside, folders.clone()));
        Self { shape, ..self }
    }

    /// True for a filter that the values of folders decide.
    pub(super) fn is_decided(&self, filter: &Expr) -> bool {
        later::is_decided(&self.shape.folders, filter)
    }

    /// The files whose folders pass the filters.
    fn in_folders<'a>(
        &self,
        files: &'a [Listed],
        state: &dyn Session,
        filters: Vec<Expr>,
    ) -> Result<Vec<&'a Listed>> {
        let Some(filter) = conjunction(filters) else { return Ok(files.iter().collect()) };
        let fields: Vec<Field> = self.shape.folders.iter().map(|it| it.as_ref().clone()).collect();
        let schema = DFSchema::from_unqualified_fields(fields.into(), Default::default())?;
        let filter = state.create_physical_expr(filter, &schema)?;
        let mut kept = Vec::new();
        for file in files {
            let values = file.values.iter().map(ScalarValue::to_array).collect::<Result<_>>()?;
            let row =
                datafusion::arrow::array::RecordBatch::try_new(Arc::clone(schema.inner()), values)?;
            let passes = ScalarValue::try_from_array(&filter.evaluate(&row)?.into_array(1)?, 0)?;
            // As in WHERE, a row for which a filter is NULL does not pass.
            if passes == ScalarValue::Boolean(Some(true)) {
                kept.push(file);
            }
        }
        Ok(kept)
    }

    /// The files with what is known of them. With a limit, no more files than its rows need.
    async fn with_facts(
        &self,
        (files, reading): (Vec<&Listed>, &Reading),
        limit: Option<usize>,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<(Vec<PartitionedFile>, bool)> {
        let inside = &self.shape.inside;
        let known = &self.known;
        let total = files.len();
        if !state.config().collect_statistics() {
            let statistics = Arc::new(Statistics::new_unknown(inside));
            let facts = Facts { statistics, ordering: None, cast: Cast::default() };
            return Ok((files.into_iter().map(|file| partitioned(file, &facts)).collect(), false));
        }
        let files: Vec<Listed> = files.into_iter().cloned().collect();
        let mut facts = stream::iter(files)
            .map(|file: Listed| async move {
                let format = reading.format.as_ref();
                let facts = known.facts(&file.meta, inside, format, state, store).await?;
                Ok::<_, DataFusionError>((file, facts))
            })
            .buffered(FILES_AT_ONCE);
        let mut kept = Vec::new();
        let mut rows = 0_usize;
        while let Some((file, facts)) = facts.try_next().await? {
            let counted = facts.statistics.num_rows;
            kept.push(partitioned(&file, &facts));
            match (counted, limit) {
                (Precision::Exact(more), Some(limit)) => {
                    rows = rows.saturating_add(more);
                    if rows >= limit {
                        break;
                    }
                }
                // Not all rows are counted, so the limit does not say how many files are enough.
                (_, Some(_)) => rows = 0,
                (_, None) => {}
            }
        }
        let is_part = kept.len() < total;
        Ok((kept, is_part))
    }

    /// The files that can hold a row that passes the filters, by the ranges of their columns.
    fn in_ranges(
        &self,
        state: &dyn Session,
        filters: &[Expr],
        files: Vec<PartitionedFile>,
    ) -> Result<Vec<PartitionedFile>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(files) };
        let schema = &self.shape.schema;
        let unqualified = DFSchema::try_from(Arc::clone(schema))?;
        // What cannot be evaluated on ranges prunes nothing.
        let Ok(filter) = state.create_physical_expr(filter, &unqualified) else { return Ok(files) };
        // Nothing is known of the ranges of columns that are cast.
        let filter = sure(&filter, schema, &HashSet::new()).unwrap_or(filter);
        let Some(predicate) =
            PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).build(filter)
        else {
            return Ok(files);
        };
        let unknown = || Arc::new(Statistics::new_unknown(schema));
        let ranges =
            files.iter().map(|file| file.statistics.clone().unwrap_or_else(unknown)).collect();
        let Ok(may) = predicate.prune(&PrunableStatistics::new(ranges, Arc::clone(schema))) else {
            return Ok(files);
        };
        Ok(files.into_iter().zip(may).filter_map(|(file, may)| may.then_some(file)).collect())
    }

    /// The order of the rows in every file: the declared one, or the longest that all files declare themselves.
    fn orders(&self, state: &dyn Session, files: &[PartitionedFile]) -> Result<Vec<LexOrdering>> {
        if !self.order.is_empty() {
            return create_lex_ordering(&self.shape.schema, &self.order, state.execution_props());
        }
        let mut files = files.iter();
        let Some(mut common) = files.next().and_then(|file| file.ordering.clone()) else {
            return Ok(Vec::new());
        };
        for file in files {
            let Some(own) = &file.ordering else { return Ok(Vec::new()) };
            let same = common.iter().zip(own.iter()).take_while(|(a, b)| a == b).count();
            let Some(shorter) = LexOrdering::new(common.iter().take(same).cloned()) else {
                return Ok(Vec::new());
            };
            common = shorter;
        }
        Ok(vec![common])
    }
}

/// A file as the engine scans it.
fn partitioned(file: &Listed, facts: &Facts) -> PartitionedFile {
    let statistics = Arc::clone(&facts.statistics);
    let rows = statistics.num_rows;
    let mut scanned = PartitionedFile::new_from_meta(file.meta.clone())
        .with_partition_values(file.values.clone())
        .with_statistics(statistics)
        .with_ordering(facts.ordering.clone());
    if !facts.cast.0.is_empty() {
        scanned.extensions.insert(facts.cast.clone());
    }
    if file.values.iter().any(ScalarValue::is_null)
        && let Some(statistics) = &mut scanned.statistics
    {
        // The engine says that a folder's value is never NULL. `count(column)` would count such rows.
        let columns = &mut Arc::make_mut(statistics).column_statistics;
        let first = columns.len() - file.values.len();
        for (column, value) in columns[first..].iter_mut().zip(&file.values) {
            if value.is_null() {
                *column =
                    datafusion::common::ColumnStatistics { null_count: rows, ..Default::default() };
            }
        }
    }
    scanned
}

/// The groups, each with what is known of all its files, and what is known of all groups.
fn summed(groups: Vec<FileGroup>, schema: &SchemaRef) -> Result<(Vec<FileGroup>, Statistics)> {
    let sum = |all: &mut dyn Iterator<Item = &Statistics>| {
        Statistics::try_merge_iter_with_ndv_fallback(all, schema, NdvFallback::Max)
    };
    let mut kept = Vec::with_capacity(groups.len());
    for group in groups {
        let statistics = sum(&mut group.iter().filter_map(|file| file.statistics.as_deref()))?;
        kept.push(group.with_statistics(Arc::new(statistics)));
    }
    let all = sum(&mut kept.iter().filter_map(|group| group.file_statistics(None)))?;
    Ok((kept, all))
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shape.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let args = ScanArgs::default()
            .with_projection(projection.map(Vec::as_slice))
            .with_filters(Some(filters))
            .with_limit(limit);
        Ok(self.scan_with_args(state, args).await?.into_inner())
    }

    async fn scan_with_args<'a>(
        &self,
        state: &dyn Session,
        args: ScanArgs<'a>,
    ) -> Result<ScanResult> {
        let projection = args.projection().map(<[usize]>::to_vec);
        let limit = args.limit();
        let (decided, filters): (Vec<Expr>, Vec<Expr>) =
            args.filters().unwrap_or_default().iter().cloned().partition(|it| self.is_decided(it));
        let store = state.runtime_env().object_store(&self.store)?;
        let found;
        let (files, reading) = match &self.files {
            Files::Listed(files) => (files, &self.shape.reading),
            Files::Later(later) => {
                found = later.of_scan(&decided, state).await?;
                (&found.files, &found.reading)
            }
        };
        let files = self.in_folders(files, state, decided)?;
        // Filters may leave fewer rows than a file has.
        let enough = limit.filter(|_| filters.is_empty());
        let (files, is_part) = self.with_facts((files, reading), enough, state, &store).await?;
        let files = self.in_ranges(state, &filters, files)?;
        if files.is_empty() {
            let schema = project_schema(&self.schema(), projection.as_ref())?;
            return Ok(ScanResult::new(Arc::new(EmptyExec::new(schema))));
        }
        let orders = self.orders(state, &files)?;
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let (groups, statistics) = summed(groups, &self.shape.schema)?;
        let statistics = if is_part { statistics.to_inexact() } else { statistics };
        let shape = &self.shape;
        let columns = TableSchemaBuilder::from(&shape.inside)
            .with_table_partition_cols(shape.folders.clone())
            .build();
        let source = reading.format.file_source(columns);
        let scan = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection)?
            .with_limit(limit)
            .with_output_ordering(orders)
            .build();
        Ok(ScanResult::new(reading.plan(state, scan).await?))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let kind = |filter: &&Expr| {
            if self.is_decided(filter) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(kind).collect())
    }
}
