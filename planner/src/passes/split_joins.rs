//! Turns joins that cannot be split between tasks into joins that can.
//!
//! ```text
//!  HashJoin CollectLeft, type Left            HashJoin Partitioned, type Left
//!    Coalesce                          ==>      Repartition(hash left keys, N)
//!      left                                       left
//!    right (N partitions)                       Repartition(hash right keys, N)
//!                                                 right
//! ```
//!
//! A collect-left join has one hash table for all its partitions. Types that emit build rows find the rows that were
//! never matched by counting partitions, and that count exists in one process only. The types Inner, Right,
//! RightSemi, RightAnti and RightMark emit only probe rows, so their build side may be read whole by every task.
//! Nested-loop joins of the other types get one probe partition. If this pass cannot help (null-aware anti joins),
//! the stage gets one task ([`crate::stages`]).

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use dunlin_plan::operators::partition_count;

use crate::operators::{broadcast_is_sound, rebuild};

/// Rewrites the plan. The plan stays unchanged if the rewrite would not pass the engine's own sanity check (a parent
/// may need the ordering or partitioning that the old join had).
pub(crate) fn split_joins(
    plan: Arc<dyn ExecutionPlan>,
    options: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions = options.execution.target_partitions;
    let rewritten = Arc::clone(&plan).transform_up(|node| {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            return gathered(&node, join);
        }
        let Some(join) = node.downcast_ref::<HashJoinExec>() else {
            return Ok(Transformed::no(node));
        };
        let splits = *join.partition_mode() == PartitionMode::CollectLeft
            && !broadcast_is_sound(*join.join_type())
            && !join.null_aware
            && partition_count(join.right()) > 1
            && partitions > 1;
        if splits { repartitioned(join, partitions) } else { Ok(Transformed::no(node)) }
    })?;
    if !rewritten.transformed {
        return Ok(plan);
    }
    match SanityCheckPlan::new().optimize(Arc::clone(&rewritten.data), options) {
        Ok(_) => Ok(rewritten.data),
        Err(_) => Ok(plan),
    }
}

/// A nested-loop join that emits build rows gets one probe partition. With several partitions it counts matches in
/// one process. When memory is short, it also falls back to a pass over its inputs that forgets, by its own comment,
/// what other partitions matched.
fn gathered(
    node: &Arc<dyn ExecutionPlan>,
    join: &NestedLoopJoinExec,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let several = partition_count(join.right()) > 1;
    if !several || broadcast_is_sound(*join.join_type()) {
        return Ok(Transformed::no(Arc::clone(node)));
    }
    let right = Arc::new(CoalescePartitionsExec::new(Arc::clone(join.right())));
    let children: Vec<Arc<dyn ExecutionPlan>> = vec![Arc::clone(join.left()), right];
    Ok(Transformed::yes(rebuild(Arc::clone(node), children)?))
}

fn repartitioned(
    join: &HashJoinExec,
    partitions: usize,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let (left_keys, right_keys): (Vec<_>, Vec<_>) = join.on().iter().cloned().unzip();
    let left = match join.left().downcast_ref::<CoalescePartitionsExec>() {
        Some(coalesce) if coalesce.fetch().is_none() => Arc::clone(coalesce.input()),
        _ => Arc::clone(join.left()),
    };
    let left = RepartitionExec::try_new(left, Partitioning::Hash(left_keys, partitions))?;
    let right = RepartitionExec::try_new(
        Arc::clone(join.right()),
        Partitioning::Hash(right_keys, partitions),
    )?;
    let join = join
        .builder()
        .with_partition_mode(PartitionMode::Partitioned)
        .with_new_children(vec![Arc::new(left), Arc::new(right)])?
        .recompute_properties()
        .build_exec()?;
    Ok(Transformed::yes(join))
}
