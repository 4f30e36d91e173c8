//! The first rows of an order are read from the files that can hold them.
//!
//! ```text
//!  SortExec: TopK(fetch=10), day DESC        SortExec: TopK(fetch=10), day DESC
//!    DataSourceExec: 1,000 files       ==>     DataSourceExec: 2 files
//! ```
//! A file is left out if the other files surely have as many rows as are wanted that come before all its rows. The footers
//! say so: each counts its rows, and how many of them are NULL, and gives the smallest and the largest value. A row that
//! is equal in the first key does not count, because the other keys, or chance, decide. A filter below leaves rows out that
//! the footers count. So does a limit. Then nothing is left out.
//!
//! Columns of text are not looked at, because their ranges may be cut short; nor are columns of floating numbers, because a
//! NaN is in no range and comes after all numbers.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use dunlin_plan::best_first::FirstKey;
use dunlin_plan::operators::file_scan;

use crate::operators::rebuild;
use crate::passes::first_rows::{column_of_files, first_rows};
use crate::passes::rewrite::{Rewrite, Rewritten, Rule};

/// The pass.
pub(super) fn rule() -> Rule {
    Rewrite::rule("top_files", top_files)
}

fn top_files(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    let Some(sort) = node.downcast_ref::<SortExec>() else { return Ok(Transformed::no(node)) };
    let Some((key, rows)) = first_rows(sort) else { return Ok(Transformed::no(node)) };
    match fewer(sort.input(), key, rows)? {
        Some(input) => Ok(Transformed::yes(rebuild(node, vec![input])?)),
        None => Ok(Transformed::no(node)),
    }
}

/// The same plan over fewer files, if it is a scan, perhaps with a choice of columns above it.
fn fewer(
    plan: &Arc<dyn ExecutionPlan>,
    key: FirstKey,
    rows: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let column = projection.expr().get(key.column);
        let Some(column) = column.and_then(|it| it.expr.downcast_ref::<Column>()) else {
            return Ok(None);
        };
        let input = fewer(projection.input(), FirstKey { column: column.index(), ..key }, rows)?;
        return input.map(|input| rebuild(Arc::clone(plan), vec![input])).transpose();
    }
    Ok(file_scan(plan).and_then(|scan| scanned(scan, key, rows)))
}

/// The same scan over fewer files.
fn scanned(scan: &FileScanConfig, key: FirstKey, rows: usize) -> Option<Arc<dyn ExecutionPlan>> {
    let column = column_of_files(scan, key.column)?;
    if scan.file_source.filter().is_some() {
        return None;
    }
    let schema = scan.file_source.table_schema().table_schema();
    let data_type = schema.fields().get(column)?.data_type();
    let files = || scan.file_groups.iter().flat_map(FileGroup::iter);
    let known: Vec<Option<Known>> =
        files().map(|file| Known::of(file, column, data_type, key)).collect();
    let mut kept = matter(&known, rows).into_iter();
    let before = known.len();
    let mut after = 0;
    let mut groups = Vec::new();
    for group in &scan.file_groups {
        let files: Vec<PartitionedFile> =
            group.iter().filter(|_| kept.next().unwrap_or(true)).cloned().collect();
        after += files.len();
        if !files.is_empty() {
            groups.push(FileGroup::new(files));
        }
    }
    (0 < after && after < before).then(|| {
        let statistics = scan.statistics().to_inexact();
        let scan = FileScanConfigBuilder::from(scan.clone())
            .with_file_groups(groups)
            .with_statistics(statistics)
            .build();
        DataSourceExec::from_data_source(scan) as Arc<dyn ExecutionPlan>
    })
}

/// What is known of a file. "Small" comes first in the order that is wanted.
struct Known {
    /// No value of the key comes before it.
    smallest: ScalarValue,
    /// No value of the key comes after it.
    largest: ScalarValue,
    descending: bool,
    /// Rows that surely come before a row whose key comes after `largest`.
    rows: usize,
    /// True if a row may come before `smallest`: one that is NULL, where these come first.
    may_be_first: bool,
}

impl Known {
    fn of(
        file: &PartitionedFile,
        column: usize,
        data_type: &DataType,
        key: FirstKey,
    ) -> Option<Self> {
        // A part of a file has fewer rows than its footer counts.
        let statistics = file.statistics.as_ref().filter(|_| file.range.is_none())?;
        let of_column = statistics.column_statistics.get(column)?;
        let exact = |value: &Precision<ScalarValue>| match value {
            Precision::Exact(value) if !value.is_null() && value.data_type() == *data_type => {
                Some(value.clone())
            }
            _ => None,
        };
        let (min, max) = (exact(&of_column.min_value)?, exact(&of_column.max_value)?);
        let (Precision::Exact(rows), Precision::Exact(nulls)) =
            (statistics.num_rows, of_column.null_count)
        else {
            return None;
        };
        let (smallest, largest) = if key.descending { (max, min) } else { (min, max) };
        let rows = if key.nulls_first { rows } else { rows.checked_sub(nulls)? };
        let may_be_first = key.nulls_first && nulls > 0;
        Some(Self { smallest, largest, descending: key.descending, rows, may_be_first })
    }

    /// How two keys are ordered.
    fn order(&self, a: &ScalarValue, b: &ScalarValue) -> Option<Ordering> {
        let order = a.partial_cmp(b)?;
        Some(if self.descending { order.reverse() } else { order })
    }
}

/// For each file, whether one of the first `rows` rows may be in it.
fn matter(files: &[Option<Known>], rows: usize) -> Vec<bool> {
    // Files by their last key, with the rows of each and of those before it.
    let mut sure: Vec<&Known> = files.iter().flatten().collect();
    sure.sort_by(|a, b| a.order(&a.largest, &b.largest).unwrap_or(Ordering::Equal));
    let mut sum = 0_usize;
    let enough = sure.iter().find(|file| {
        sum = sum.saturating_add(file.rows);
        sum >= rows
    });
    // The rows of these files come before each row whose key comes after the last of their keys.
    let Some(bound) = enough.map(|file| &file.largest) else { return vec![true; files.len()] };
    let may = |file: &Option<Known>| match file {
        Some(file) => {
            file.may_be_first || file.order(bound, &file.smallest) != Some(Ordering::Less)
        }
        None => true,
    };
    files.iter().map(may).collect()
}

#[cfg(test)]
mod tests;
