//! The second way to run a join, for a build side that is small once it is written.
//!
//! ```text
//!  stage 2: HashJoin Partitioned          stage 2: HashJoin CollectLeft
//!             reader(0)                              Coalesce, reader(0)
//!             reader(1)              or              what stage 1 would exchange
//!  stage 1: the probe side                stage 1: no tasks
//! ```

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use dunlin_manifest::records::{Output, StageId, StageInput};
use dunlin_shuffle::ExchangeReaderExec;

use crate::operators::broadcast_is_sound;
use crate::stages::finish::{Finished, Level, finish};
use crate::stages::prove::{readers, shared_state};
use crate::stages::stage::{BroadcastPlan, Stage};

/// The stage of a probe side, and its plan without the filter.
pub(super) struct Filtered {
    pub(super) build: StageId,
    pub(super) probe: StageId,
    pub(super) body: Arc<dyn ExecutionPlan>,
}

/// The second way to run a stage that joins a filtered probe side: the join is merged with the stage of the probe
/// side, and every task reads the whole build side. `None` if there is no such join, or if an operator above it
/// depends on the exchange that would be missing.
pub(super) fn broadcast_plan(
    body: &Arc<dyn ExecutionPlan>,
    output: Output,
    level: Option<&Level>,
    filtered: &[Filtered],
    stages: &[Stage],
) -> Result<Option<BroadcastPlan>> {
    let mut found = None;
    body.apply(|node| {
        if let Some(filtered) = filtered_join(node, filtered, stages)
            && readers(body, filtered.probe) == 1
        {
            found = Some((Arc::clone(node), filtered));
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let Some((old, filtered)) = found else { return Ok(None) };
    let Some(join) = old.downcast_ref::<HashJoinExec>() else { return Ok(None) };
    let build = Arc::new(CoalescePartitionsExec::new(Arc::clone(join.left())));
    let join = join
        .builder()
        .with_partition_mode(PartitionMode::CollectLeft)
        .with_new_children(vec![build, Arc::clone(&filtered.body)])?
        .recompute_properties()
        .build_exec()?;
    let moved = Arc::clone(body)
        .transform_up(|node| {
            Ok(if Arc::ptr_eq(&node, &old) {
                Transformed::yes(Arc::clone(&join))
            } else {
                Transformed::no(node)
            })
        })
        .data()?;
    let sound =
        SanityCheckPlan::new().optimize(Arc::clone(&moved), &ConfigOptions::default()).is_ok()
            && moved.schema() == body.schema()
            && body.output_ordering().is_none();
    let Finished { plan, inner, partitions, walk, .. } = finish(&moved, output, level)?;
    if !sound || shared_state(&inner)?.is_some() {
        return Ok(None);
    }
    Ok(Some(BroadcastPlan {
        build: filtered.build,
        probe: filtered.probe,
        plan,
        partitions,
        inputs: walk.inputs,
        scan_bytes: if walk.leaves.is_empty() { Vec::new() } else { walk.scan_bytes },
        leaves: walk.leaves,
    }))
}

/// The filtered probe side that a join reads, if every task of the join may read the whole build side.
fn filtered_join<'a>(
    node: &Arc<dyn ExecutionPlan>,
    filtered: &'a [Filtered],
    stages: &[Stage],
) -> Option<&'a Filtered> {
    let join = node.downcast_ref::<HashJoinExec>()?;
    let build = join.left().downcast_ref::<ExchangeReaderExec>()?.stage();
    let probe = join.right().downcast_ref::<ExchangeReaderExec>()?.stage();
    let filtered = filtered.iter().find(|it| it.build == build && it.probe == probe)?;
    // In a chain of joins, only every other one has two ways. The second way of a stage would read the probe side of
    // the first, which may be merged into another stage.
    let chained = stages.get(probe as usize)?.broadcast.is_some();
    (*join.partition_mode() == PartitionMode::Partitioned
        && broadcast_is_sound(*join.join_type())
        && !join.null_aware
        && !chained)
        .then_some(filtered)
}

/// A stage that may be merged into another one must not be read by a third stage.
pub(super) fn keep_sound_broadcasts(stages: &mut [Stage]) {
    for number in 0..stages.len() {
        let Some(probe) = stages[number].broadcast.as_ref().map(|it| it.probe) else { continue };
        let reads = |inputs: &[StageInput]| inputs.iter().any(|input| input.stage == probe);
        let used: usize = stages
            .iter()
            .map(|stage| {
                let other = stage.broadcast.as_ref().is_some_and(|it| reads(&it.inputs));
                usize::from(reads(&stage.inputs)) + usize::from(other)
            })
            .sum();
        if used == 1 {
            stages[probe as usize].absorbed_by = Some(stages[number].id);
        } else {
            stages[number].broadcast = None;
        }
    }
}
