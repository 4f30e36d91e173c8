//! Reading for the next task of a slot while the present one computes.
//!
//! ```text
//!   task 3 of a stage   claim ─ read ─ compute ──────────────────────> commit
//!   task 5, the next        plan is open ─> GET its slices ─ ─ ─ ─ ┐    claim ─ compute ─> commit
//!                                                                  └───> there already
//! ```
//! Nothing is claimed early: the other workers may take the next task, and then what was read for it is dropped. So it is
//! read only for tasks of the slot's own place, which the others leave to it while they have tasks themselves.

use std::sync::Arc;

use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::records::{Share, StageId};
use dunlin_shuffle::ExchangeInputs;
use tokio::sync::oneshot;

use crate::known::Known;
use crate::shared::{Shared, memory_limit};

/// The part of the memory that the rows of next tasks may take, in all slots.
const PART: usize = 16;
/// Bytes that are read for one next task, at most.
const MOST: u64 = 16 << 20;

/// A reader of the exchange for one task, which knows no stage yet.
pub(crate) fn inputs_of(shared: &Shared, known: &Known, share: Option<Share>) -> ExchangeInputs {
    // Exchange data is read and written through this query's store, which counts requests.
    let store = known.handle.store();
    let inputs = ExchangeInputs::new(
        Arc::clone(store.data_store()),
        store.data_prefix().clone(),
        shared.env.clone(),
        shared.governor.clone(),
    );
    match share {
        Some(share) => inputs.with_share(share),
        None => inputs,
    }
}

/// What is read for a task that may be the next of its slot.
#[derive(Debug)]
pub(crate) struct Ahead {
    task: OpenTask,
    inputs: ExchangeInputs,
    /// Nothing is begun any more when it is gone.
    alive: Arc<()>,
}

/// The question which buckets the next task reads. Whoever has opened the plan of its stage knows it.
#[derive(Debug)]
pub(crate) struct Question {
    /// The partitions of the next task.
    pub(crate) partitions: Vec<u32>,
    answer: oneshot::Sender<Vec<(StageId, u32)>>,
}

impl Question {
    /// Answers. The slices are read from then on.
    pub(crate) fn answer(self, buckets: Vec<(StageId, u32)>) {
        // Nobody listens if the slot has given up.
        let _ = self.answer.send(buckets);
    }
}

impl Ahead {
    /// Prepares to read for `task`, of a stage that this slot works on. `None` if the stage reads no exchange by itself.
    pub(crate) async fn of(
        shared: &Arc<Shared>,
        known: &Known,
        task: OpenTask,
    ) -> Option<(Self, Question)> {
        let handle = &known.handle;
        let decided = handle.known_manifest(task.stage)?;
        let planned = handle.root.stages.iter().find(|spec| spec.id == task.stage)?;
        let spec = planned.decided(decided.manifest.broadcast);
        let own = decided.manifest.tasks.get(task.task as usize)?;
        let mut inputs = inputs_of(shared, known, own.share);
        for input in &spec.inputs {
            // An absorbed stage has no slices.
            inputs = inputs.with_stage(input.stage, known.stage(input.stage).await.ok()?);
        }
        if spec.inputs.is_empty() {
            return None;
        }
        let pool = Arc::clone(&shared.runtime.memory_pool);
        let part = |limit| u64::try_from(limit / PART / shared.options.slots.max(1));
        let most = memory_limit(&pool).map_or(MOST, |limit| part(limit).unwrap_or(MOST).min(MOST));
        let (answer, asked) = oneshot::channel::<Vec<(StageId, u32)>>();
        let reading = inputs.clone();
        let alive = Arc::new(());
        let wanted = Arc::downgrade(&alive);
        // On the runtime of the requests, which no plan delays.
        shared.writing.spawn(async move {
            let Ok(buckets) = asked.await else { return };
            let read = match reading.load(&buckets).await {
                Ok(()) if wanted.strong_count() == 0 => return,
                Ok(()) => reading.read_early(buckets, &pool, most),
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                tracing::debug!(stage = task.stage, task = task.task, %error, "nothing is read ahead");
            }
        });
        let question = Question { partitions: own.partitions.clone(), answer };
        Some((Self { task, inputs, alive }, question))
    }

    /// What was read, if it was read for this task.
    pub(crate) fn for_task(self, task: OpenTask) -> Option<ExchangeInputs> {
        let Self { task: read_for, inputs, alive } = self;
        drop(alive);
        (read_for == task).then_some(inputs)
    }
}
