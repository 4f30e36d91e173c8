//! Stages that may do their work inside the task that reads them.
//!
//! ```text
//!   scan, partial aggregate ──> final aggregate ──> sort ──> the answer        three exchanges
//!   scan, partial aggregate ──> [final aggregate, sort, the answer]            one, if it is small
//! ```
//! What the exchange would carry must be known to be small before the stage runs, so the sealed sizes of its inputs
//! decide ([`dunlin_manifest::decide`]). Here is decided which stages may: those that read only exchanges, and whose
//! rows only one stage reads, which reads nothing else. That stage is then one task, and it loses no other work.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use dunlin_shuffle::ExchangeReaderExec;

use crate::stages::stage::Stage;

/// Marks the stages that may do their work in the task of their reader.
pub(super) fn mark_rides(stages: &mut [Stage]) {
    for number in 0..stages.len() {
        let stage = &stages[number];
        let free = stage.absorbed_by.is_none() && stage.broadcast.is_none() && !stage.key_filter;
        if !free || stage.inputs.is_empty() || !reads_only_exchanges(&stage.plan) {
            continue;
        }
        let reads = |reader: &Stage| {
            let other = reader.broadcast.iter().flat_map(|other| &other.inputs);
            reader.inputs.iter().chain(other).filter(|input| input.stage == stage.id).count()
        };
        let mut readers = stages.iter().filter(|reader| reads(reader) > 0);
        let (Some(reader), None) = (readers.next(), readers.next()) else { continue };
        let lives_on_it = reader.inputs.len() == 1
            && reads(reader) == 1
            && reader.broadcast.is_none()
            && reads_only_exchanges(&reader.plan);
        if lives_on_it {
            stages[number].absorbed_by = Some(reader.id);
        }
    }
}

/// True if all rows of a plan come from exchanges.
fn reads_only_exchanges(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let children = plan.children();
    match children.is_empty() {
        true => plan.is::<ExchangeReaderExec>(),
        false => children.into_iter().all(reads_only_exchanges),
    }
}
