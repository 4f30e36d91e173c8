//! Facts that the splitter uses, proved from a plan before anything runs.
//!
//! | fact | what it allows |
//! |---|---|
//! | an operator shares nothing between its partitions | several processes may each run some of them |
//! | an empty input makes a stage empty | the stage has no tasks then |
//! | the rows of one bucket may be processed separately | a partition that is too large becomes several tasks |
//! | two plans are the same and give the same rows | they are one stage |
//!
//! Each proof is a list of known cases. A case that is not on a list is not proved, and the stage runs without the
//! advantage.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode, SortMergeJoinExec,
};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use dunlin_manifest::records::StageId;
use dunlin_plan::operators::{file_scan, partition_count};
use dunlin_shuffle::{ExchangeReaderExec, KeyFilterExec};

use crate::describe;
use crate::operators::broadcast_is_sound;

/// Operators whose partitions share nothing (joins and sorts: see [`shares_nothing`]). Check this list again at every
/// upgrade of DataFusion; a test fails if one of its operators is in no list.
pub const SHARES_NOTHING: &[&str] = &[
    "AggregateExec",
    "AsyncFuncExec",
    "BestFirstExec",
    "BoundedWindowAggExec",
    "BufferExec",
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "ConformExec",
    "CooperativeExec",
    "DataSourceExec",
    "EmptyExec",
    "ExchangeReaderExec",
    "FilterExec",
    "GlobalLimitExec",
    "InterleaveExec",
    "KeyFilterExec",
    "LocalLimitExec",
    "PlaceholderRowExec",
    "ProjectionExec",
    "ScalarSubqueryExec",
    "SortMergeJoinExec",
    "SortPreservingMergeExec",
    "UnionExec",
    "UnnestExec",
    "WindowAggExec",
    "WriteExec",
];

/// True if several processes may each run some partitions of `node`.
#[must_use]
pub fn shares_nothing(node: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        return match join.partition_mode() {
            PartitionMode::Partitioned => !join.null_aware,
            _ => {
                partition_count(join.right()) == 1
                    || (broadcast_is_sound(*join.join_type()) && !join.null_aware)
            }
        };
    }
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        return partition_count(join.right()) == 1 || broadcast_is_sound(*join.join_type());
    }
    // A sort is named `SortExec(TopK)` when it has a fetch. Its partitions then share a threshold, which only skips
    // rows that cannot be among the first of any partition's merge.
    if node.is::<CrossJoinExec>() || node.is::<SortExec>() {
        return true;
    }
    SHARES_NOTHING.contains(&node.name())
}

/// The first operator of a stage that shares state between its partitions.
pub(crate) fn shared_state(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<String>> {
    let mut found = None;
    plan.apply(|node| {
        if shares_nothing(node) {
            Ok(TreeNodeRecursion::Continue)
        } else {
            found = Some(label(node));
            Ok(TreeNodeRecursion::Stop)
        }
    })?;
    Ok(found)
}

fn label(node: &Arc<dyn ExecutionPlan>) -> String {
    match node.downcast_ref::<HashJoinExec>() {
        Some(join) => format!("{} {:?} {}", node.name(), join.partition_mode(), join.join_type()),
        None => node.name().to_owned(),
    }
}

/// The stages of which each, if it has no rows, makes `plan` return no rows.
pub(crate) fn empty_with(plan: &Arc<dyn ExecutionPlan>) -> BTreeSet<StageId> {
    if let Some(reader) = plan.downcast_ref::<ExchangeReaderExec>() {
        return BTreeSet::from([reader.stage()]);
    }
    let children: Vec<BTreeSet<StageId>> = plan.children().into_iter().map(empty_with).collect();
    if let [left, right] = children.as_slice()
        && let Some(join_type) = join_type(plan)
    {
        return match join_type {
            JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => left | right,
            JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => left.clone(),
            JoinType::Right | JoinType::RightAnti | JoinType::RightMark => right.clone(),
            JoinType::Full => left & right,
        };
    }
    match plan.name() {
        // There is a row only if at least one input has one.
        "UnionExec" | "InterleaveExec" => {
            children.into_iter().reduce(|all, one| &all & &one).unwrap_or_default()
        }
        "AggregateExec" => {
            // Without keys, or with a grouping set that has none, an empty input still gives a row.
            let keyed = plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| {
                !aggregate.group_expr().is_empty() && aggregate.group_expr().is_single()
            });
            children.into_iter().next().filter(|_| keyed).unwrap_or_default()
        }
        "KeyFilterExec" => {
            // The filter is placed only where a row without a match does not affect the result.
            let mut stages = children.into_iter().next().unwrap_or_default();
            stages.extend(plan.downcast_ref::<KeyFilterExec>().map(KeyFilterExec::stage));
            stages
        }
        "BoundedWindowAggExec"
        | "CoalesceBatchesExec"
        | "CoalescePartitionsExec"
        | "ConformExec"
        | "CooperativeExec"
        | "FilterExec"
        | "GlobalLimitExec"
        | "LocalLimitExec"
        | "ProjectionExec"
        | "RepartitionExec"
        | "SortPreservingMergeExec"
        | "UnnestExec"
        | "WindowAggExec" => children.into_iter().next().unwrap_or_default(),
        _ if plan.is::<SortExec>() => children.into_iter().next().unwrap_or_default(),
        // A scalar subquery may have to fail, even if everything else is empty.
        _ => BTreeSet::new(),
    }
}

fn join_type(plan: &Arc<dyn ExecutionPlan>) -> Option<JoinType> {
    if plan.is::<CrossJoinExec>() {
        return Some(JoinType::Inner);
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return Some(*join.join_type());
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        return Some(*join.join_type());
    }
    plan.downcast_ref::<SortMergeJoinExec>().map(SortMergeJoinExec::join_type)
}

/// The input for which several tasks may each read some rows of a bucket. Everything between this input and the
/// exchange at the root of `plan` works row by row, or is repeated whole in each task.
pub(crate) fn divisible_input(plan: &Arc<dyn ExecutionPlan>) -> Option<StageId> {
    let root = plan.downcast_ref::<RepartitionExec>()?;
    if !matches!(root.partitioning(), Partitioning::Hash(..)) || plan.output_ordering().is_some() {
        return None;
    }
    let mut node = root.input();
    loop {
        if node.fetch().is_some() {
            return None;
        }
        if let Some(reader) = node.downcast_ref::<ExchangeReaderExec>() {
            let ordered = node.output_ordering().is_some();
            return (!ordered && readers(plan, reader.stage()) == 1).then(|| reader.stage());
        }
        let children = node.children();
        node = match (node.name(), children.as_slice()) {
            (
                "CoalesceBatchesExec"
                | "ConformExec"
                | "CooperativeExec"
                | "FilterExec"
                | "KeyFilterExec"
                | "ProjectionExec"
                | "UnnestExec",
                [input],
            ) => input,
            ("AggregateExec", [input]) => {
                let aggregate = node.downcast_ref::<AggregateExec>()?;
                let partial = *aggregate.mode() == AggregateMode::Partial
                    && aggregate.limit_options().is_none();
                partial.then_some(*input)?
            }
            // Each of the tasks reads the whole left side or the whole bucket of it.
            (_, [_, probe]) if joins_row_by_row(node) => probe,
            _ => return None,
        };
    }
}

fn joins_row_by_row(node: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        return broadcast_is_sound(*join.join_type()) && !join.null_aware;
    }
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        return broadcast_is_sound(*join.join_type());
    }
    node.is::<CrossJoinExec>()
}

/// How many times `plan` reads `stage`.
pub(crate) fn readers(plan: &Arc<dyn ExecutionPlan>, stage: StageId) -> usize {
    let own = plan.downcast_ref::<ExchangeReaderExec>().is_some_and(|it| it.stage() == stage);
    usize::from(own) + plan.children().into_iter().map(|child| readers(child, stage)).sum::<usize>()
}

/// A text that identifies `plan`: two plans with the same text over the same inputs give the same rows. `None` if
/// that is not known: a volatile function gives other rows each time it runs, and the text of a leaf that is neither
/// a file nor an exchange may not be complete.
pub(crate) fn identity(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<String>> {
    let mut known = true;
    plan.apply(|node| {
        known &= shares_nothing(node) || node.is::<RepartitionExec>();
        let mut fixed = |expr: &Arc<dyn PhysicalExpr>| {
            known &= !is_volatile(expr);
            Ok(TreeNodeRecursion::Continue)
        };
        node.apply_expressions(&mut fixed)?;
        if let Some(config) = file_scan(node) {
            let projection = config.file_source.projection();
            for column in projection.into_iter().flat_map(|columns| columns.iter()) {
                fixed(&column.expr)?;
            }
        } else if node.children().is_empty() {
            known &= node.is::<ExchangeReaderExec>();
        }
        Ok(if known { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    // A plan that is too large to describe cannot be shown to equal another one.
    Ok(if known { describe::text(plan).ok() } else { None })
}
