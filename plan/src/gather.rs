//! How a task reads many ordered or unordered runs as one.
//!
//! ```text
//!   SortPreservingMerge                     SortPreservingMerge
//!     reader: 4096 partitions        ->       Union
//!                                               SortPreservingMerge, reader: 64 partitions that have rows
//!                                               SortPreservingMerge, reader: 64 partitions that have rows
//! ```
//! A merge asks all its inputs again each time one of them has answered, until all have answered once. So a merge of
//! 4,096 partitions asks millions of times, even if nearly all of them are empty. A task knows from the seals which of
//! them have rows. It reads only these, and merges them in levels.
//!
//! A merge holds a slice and some batches of each input. If all of them do not fit into the task's memory, the rows are
//! sorted again instead: DataFusion's sort writes runs to local disk, and merges as many of them at a time as fit.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use dunlin_shuffle::{ExchangeInputs, ExchangeReaderExec};

use crate::operators::partition_count;

/// Inputs of one merge.
const FAN_IN: usize = 64;

/// The same plan, reading as one only the partitions of an exchange that have rows. `memory`: the bytes that a task may
/// use, if they are limited.
///
/// # Errors
/// The plan reads a stage that is not in `inputs`, or an operator cannot be rebuilt.
pub fn gathered(
    plan: Arc<dyn ExecutionPlan>,
    inputs: &ExchangeInputs,
    memory: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let gathered = match node.downcast_ref::<SortPreservingMergeExec>() {
            Some(merge) if is_too_large(merge, inputs, memory)? => sorted_again(merge, inputs)?,
            Some(merge) => filled(merge.input(), inputs)?.map(|readers| merged(merge, readers)),
            None => match node.downcast_ref::<CoalescePartitionsExec>() {
                Some(all) => filled(all.input(), inputs)?.map(|readers| coalesced(all, readers)),
                None => None,
            },
        };
        Ok(match gathered.transpose()? {
            Some(gathered) => Transformed::yes(gathered),
            None => Transformed::no(node),
        })
    })
    .data()
}

/// Readers of the partitions that have rows, up to [`FAN_IN`] each; `None` if `input` is not an exchange of many.
fn filled(
    input: &Arc<dyn ExecutionPlan>,
    inputs: &ExchangeInputs,
) -> Result<Option<Vec<Arc<dyn ExecutionPlan>>>> {
    let Some(reader) = input.downcast_ref::<ExchangeReaderExec>() else { return Ok(None) };
    if partition_count(input) <= FAN_IN {
        return Ok(None);
    }
    let mut filled = reader.filled(inputs)?;
    if filled.is_empty() {
        // An operator needs an input, and this one has no rows.
        filled.push(0);
    }
    let readers = filled.chunks(FAN_IN).map(|some| Arc::new(reader.only(some)) as _);
    Ok(Some(readers.collect()))
}

/// True if the runs of a merge need more than half of the memory.
fn is_too_large(
    merge: &SortPreservingMergeExec,
    inputs: &ExchangeInputs,
    memory: Option<usize>,
) -> Result<bool> {
    let reader = merge.input().downcast_ref::<ExchangeReaderExec>();
    let (Some(reader), Some(memory)) = (reader, memory) else { return Ok(false) };
    Ok(reader.memory_to_merge(inputs)? > memory / 2)
}

/// A sort that gives the rows of a merge.
fn sorted_again(
    merge: &SortPreservingMergeExec,
    inputs: &ExchangeInputs,
) -> Result<Option<Result<Arc<dyn ExecutionPlan>>>> {
    let Some(reader) = merge.input().downcast_ref::<ExchangeReaderExec>() else { return Ok(None) };
    let rows = Arc::new(reader.in_turn(inputs)?);
    let sort = SortExec::new(merge.expr().clone(), rows).with_fetch(merge.fetch());
    Ok(Some(Ok(Arc::new(sort))))
}

/// A merge of merges, until one is left.
fn merged(
    merge: &SortPreservingMergeExec,
    mut inputs: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let of = |input| -> Arc<dyn ExecutionPlan> {
        let order = merge.expr().clone();
        Arc::new(SortPreservingMergeExec::new(order, input).with_fetch(merge.fetch()))
    };
    loop {
        inputs = inputs.into_iter().map(of).collect();
        if let [one] = inputs.as_slice() {
            return Ok(Arc::clone(one));
        }
        inputs =
            inputs.chunks(FAN_IN).map(|some| together(some.to_vec())).collect::<Result<_>>()?;
    }
}

fn coalesced(
    all: &CoalescePartitionsExec,
    readers: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let each: Vec<Arc<dyn ExecutionPlan>> = readers
        .into_iter()
        .map(|reader| Arc::new(CoalescePartitionsExec::new(reader)) as _)
        .collect();
    let union = together(each)?;
    Ok(Arc::new(CoalescePartitionsExec::new(union).with_fetch(all.fetch())))
}

fn together(inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    match inputs.as_slice() {
        [one] => Ok(Arc::clone(one)),
        _ => UnionExec::try_new(inputs),
    }
}
