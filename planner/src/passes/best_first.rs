//! The first rows of an order with a filter are looked for in the best files first.
//!
//! ```text
//!  SortExec: TopK(fetch=10), day DESC        SortExec: TopK(fetch=10), day DESC
//!    FilterExec                        ==>     BestFirstExec
//!      DataSourceExec: 1,000 files               FilterExec
//!                                                  DataSourceExec: 1,000 files, each partition's last days first
//! ```
//! [`top_files`](super::top_files) leaves files out before the query runs. Where it cannot, because rows are left out that
//! the footers count, [`BestFirstExec`] stops when it has seen enough. The pass runs after all rules that move files between
//! partitions.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use dunlin_plan::best_first::{BestFirstExec, FIRST, FirstKey, Place};
use dunlin_plan::operators::file_scan;

use crate::operators::rebuild;
use crate::passes::first_rows::{column_of_files, first_rows};
use crate::passes::rewrite::{Rewrite, Rewritten, Rule};

/// More rows than this are not remembered.
const MOST_ROWS: usize = 100_000;

/// The pass.
pub(super) fn rule() -> Rule {
    Rewrite::rule("best_first", best_first)
}

fn best_first(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    let Some(sort) = node.downcast_ref::<SortExec>() else { return Ok(Transformed::no(node)) };
    let Some((key, rows)) = first_rows(sort).filter(|(_, rows)| *rows <= MOST_ROWS) else {
        return Ok(Transformed::no(node));
    };
    let Some((input, files)) = ordered(sort.input(), key)? else {
        return Ok(Transformed::no(node));
    };
    let best = Arc::new(BestFirstExec::new(input, key, rows, files));
    Ok(Transformed::yes(rebuild(node, vec![best])?))
}

/// The places of the files of each partition.
type Places = Vec<Vec<Place>>;

/// The same plan with each partition's files best first, if it is one scan, perhaps with filters and choices of columns.
fn ordered(
    plan: &Arc<dyn ExecutionPlan>,
    key: FirstKey,
) -> Result<Option<(Arc<dyn ExecutionPlan>, Places)>> {
    let (input, column) = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let column = projection.expr().get(key.column);
        let column = column.and_then(|it| it.expr.downcast_ref::<Column>()).map(Column::index);
        (projection.input(), column)
    } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let column = match filter.projection().as_deref() {
            Some(chosen) => chosen.get(key.column).copied(),
            None => Some(key.column),
        };
        (filter.input(), column.filter(|_| filter.fetch().is_none()))
    } else {
        return Ok(file_scan(plan).and_then(|scan| scanned(scan, key)));
    };
    let Some(column) = column else { return Ok(None) };
    let Some((input, places)) = ordered(input, FirstKey { column, ..key })? else {
        return Ok(None);
    };
    Ok(Some((rebuild(Arc::clone(plan), vec![input])?, places)))
}

fn scanned(scan: &FileScanConfig, key: FirstKey) -> Option<(Arc<dyn ExecutionPlan>, Places)> {
    let column = column_of_files(scan, key.column)?;
    if !scan.output_ordering.is_empty() {
        return None;
    }
    let (mut groups, mut places) = (Vec::new(), Vec::new());
    for group in &scan.file_groups {
        let mut files: Vec<(Place, &PartitionedFile)> =
            group.iter().map(|file| (place(file, column, key), file)).collect();
        // Equal ones stay as they are.
        files.sort_by_key(|(place, _)| *place);
        places.push(files.iter().map(|(place, _)| *place).collect::<Vec<_>>());
        groups.push(FileGroup::new(files.into_iter().map(|(_, file)| file.clone()).collect()));
    }
    // Nothing can be left out if each partition has one file, or if nothing is known of any.
    let helps = places.iter().any(|places| places.len() > 1 && places.last() > Some(&FIRST));
    helps.then(|| {
        let scan = FileScanConfigBuilder::from(scan.clone()).with_file_groups(groups).build();
        (DataSourceExec::from_data_source(scan) as Arc<dyn ExecutionPlan>, places)
    })
}

/// A place before which no row of the file comes.
fn place(file: &PartitionedFile, column: usize, key: FirstKey) -> Place {
    let known = || {
        let of_column = file.statistics.as_ref()?.column_statistics.get(column)?;
        let Precision::Exact(nulls) = of_column.null_count else { return None };
        if key.nulls_first && nulls > 0 {
            return None;
        }
        let end = if key.descending { &of_column.max_value } else { &of_column.min_value };
        match end {
            Precision::Exact(value) if !value.is_null() => key.place(value),
            _ => None,
        }
    };
    known().unwrap_or(FIRST)
}
