//! An aggregate needs no exchange if no group has rows in two partitions.
//!
//! ```text
//!  Aggregate final, by day                       Aggregate, by day
//!    exchange by day                               scan: 1 … 9 May │ 10 … 20 May │ 21 … 31 May
//!      Aggregate partial, by day         ==>
//!        scan: 1 … 9 May │ 10 … 20 May │ 21 … 31 May
//! ```
//! Files are often written in the order of a column: days of events, numbers of orders. Footers tell the least and the
//! largest value in each file. If the ranges of the partitions of a scan do not meet, and the column is one of those that an
//! aggregate groups by, all rows of a group are in one partition. The exchange of a group for nearly every row costs more
//! than the aggregate.
//!
//! The exchange stays where an operator above needs the rows placed by hash.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use dunlin_plan::operators::file_scan;
use dunlin_plan::passage::row_by_row;

use crate::operators::{exchange, rebuild};
use crate::passes::first_rows::column_of_files;
use crate::passes::rewrite::Rule;

mod joins;

pub(crate) use joins::together;

/// The pass.
pub(super) fn rule() -> Rule {
    Arc::new(Clustered)
}

#[derive(Debug)]
struct Clustered;

impl PhysicalOptimizerRule for Clustered {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        where_free(plan, true, &in_one_step)
    }

    fn name(&self) -> &str {
        "clustered"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Another plan for a part, if there is one.
type Change<'a> = &'a dyn Fn(&Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>;

/// The plan with other parts where nothing above needs the rows placed by hash. `is_free`: nothing above this one does.
fn where_free(
    plan: Arc<dyn ExecutionPlan>,
    is_free: bool,
    change: Change<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = if is_free { change(&plan)?.unwrap_or(plan) } else { plan };
    // What is above an operator that moves rows, or puts all partitions together, does not see where they were.
    let moves = plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<SortPreservingMergeExec>();
    let keeps = plan.is::<FilterExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<SortExec>()
        || plan.is::<LocalLimitExec>()
        || plan
            .downcast_ref::<AggregateExec>()
            .is_some_and(|it| *it.mode() == AggregateMode::Partial);
    let below = moves || (keeps && is_free);
    let children: Vec<_> = plan.children().into_iter().cloned().collect();
    if children.is_empty() {
        return Ok(plan);
    }
    let mut changed = false;
    let mut new = Vec::with_capacity(children.len());
    for child in children {
        let rebuilt = where_free(Arc::clone(&child), below, change)?;
        changed |= !Arc::ptr_eq(&child, &rebuilt);
        new.push(rebuilt);
    }
    if changed { rebuild(plan, new) } else { Ok(plan) }
}

/// An aggregate of two steps with an exchange between them as one of one step, if each group is in one partition.
fn in_one_step(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(one) = one_step(plan)? else { return Ok(None) };
    let Some(aggregate) = one.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let by = aggregate.group_expr().expr();
    let mut columns = by.iter().filter_map(|(expr, _)| expr.downcast_ref::<Column>());
    let is_apart = columns.any(|column| is_clustered(aggregate.input(), column.index()));
    Ok(is_apart.then_some(one))
}

/// An aggregate of two steps with an exchange between them as one of one step, which is right if each group is in one
/// partition.
fn one_step(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let first = plan.downcast_ref::<AggregateExec>().and_then(two_steps);
    let Some(first) = first else { return Ok(None) };
    let one = AggregateExec::try_new(
        AggregateMode::SinglePartitioned,
        first.group_expr().clone(),
        first.aggr_expr().to_vec(),
        first.filter_expr().to_vec(),
        Arc::clone(first.input()),
        first.input_schema(),
    )?;
    Ok((one.schema() == plan.schema()).then(|| Arc::new(one) as Arc<dyn ExecutionPlan>))
}

/// The first step of an aggregate of two, with an exchange between them.
fn two_steps(last: &AggregateExec) -> Option<&AggregateExec> {
    let (_, _, first) = exchange(last.input())?;
    let first = first.downcast_ref::<AggregateExec>()?;
    let are_plain = *last.mode() == AggregateMode::FinalPartitioned
        && *first.mode() == AggregateMode::Partial
        && first.group_expr().is_single()
        && last.limit_options().is_none()
        && first.limit_options().is_none();
    are_plain.then_some(first)
}

/// Whether no two partitions of a scan, which this plan works on row by row, have the same value of a column.
fn is_clustered(plan: &Arc<dyn ExecutionPlan>, column: usize) -> bool {
    if let Some(scan) = file_scan(plan) {
        return column_of_files(scan, column).is_some_and(|column| ranges_are_apart(scan, column));
    }
    let (filters, projects) = (plan.is::<FilterExec>(), plan.is::<ProjectionExec>());
    let Some(into) = row_by_row(plan, &[column]).filter(|_| filters || projects) else {
        return false;
    };
    into.first().is_some_and(|(input, columns)| is_clustered(plan.children()[*input], columns[0]))
}

/// Whether the ranges of a column in the groups of files of a scan do not meet.
fn ranges_are_apart(scan: &FileScanConfig, column: usize) -> bool {
    let ranges = scan.file_groups.iter().map(|group| range_of(group, column));
    let Some(mut ranges) = ranges.collect::<Option<Vec<_>>>() else { return false };
    let mut comparable = true;
    ranges.sort_by(|(one, _), (other, _)| {
        one.partial_cmp(other).unwrap_or_else(|| {
            comparable = false;
            std::cmp::Ordering::Equal
        })
    });
    ranges.len() > 1 && comparable && ranges.windows(2).all(|pair| pair[0].1 < pair[1].0)
}

/// The least and the largest value of a column in the files of a group; `None` if they are not known for sure, or if it has
/// NULLs, which are one group wherever they are.
fn range_of(group: &FileGroup, column: usize) -> Option<(ScalarValue, ScalarValue)> {
    let mut range: Option<(ScalarValue, ScalarValue)> = None;
    for file in group.iter() {
        let statistics = file.statistics.as_ref().filter(|_| file.range.is_none())?;
        let ColumnStatistics { min_value, max_value, null_count, .. } =
            statistics.column_statistics.get(column)?;
        let (Precision::Exact(least), Precision::Exact(largest), Precision::Exact(0)) =
            (min_value, max_value, null_count)
        else {
            return None;
        };
        let of = least.data_type();
        let is_exact = of.is_integer() || of.is_temporal() || of.is_decimal();
        if !is_exact || least.is_null() || largest.is_null() {
            return None;
        }
        range = Some(match range {
            None => (least.clone(), largest.clone()),
            Some((low, high)) => (
                if *least < low { least.clone() } else { low },
                if *largest > high { largest.clone() } else { high },
            ),
        });
    }
    range
}

#[cfg(test)]
mod tests;
