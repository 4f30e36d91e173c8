//! What the records of a query that has ended tell of its attempts.

use dunlin_manifest::ids::{Attempt, TaskId};
use dunlin_manifest::keys;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{End, Fail, Seal, StageId, TaskMetrics};
use dunlin_manifest::store::create::load;
use futures::StreamExt;

use crate::query::analyze;
use crate::query::error::CoreError;

/// Records of failures read at the same time.
const READS: usize = 8;

/// What is known of a query.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// Its sealed stages with their names.
    pub(super) stages: Vec<(StageId, String)>,
    /// The attempts of their tasks.
    pub(super) attempts: Vec<OneAttempt>,
}

/// An attempt.
#[derive(Clone, Debug)]
pub(super) struct OneAttempt {
    pub(super) stage: StageId,
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    pub(super) outcome: Outcome,
}

/// What has become of an attempt.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It was committed.
    Committed { worker: String, metrics: Box<TaskMetrics> },
    /// It has written down why it failed.
    Failed(Box<Fail>),
    /// Nothing was heard of it: its worker died, or was slow and lost.
    Lost,
}

impl OneAttempt {
    /// Begin and end, Unix milliseconds by the worker's clock.
    pub(super) fn times(&self) -> Option<(u64, u64)> {
        match &self.outcome {
            Outcome::Committed { metrics, .. } => {
                let ended = metrics.ended_ms;
                (ended > 0).then(|| (ended.saturating_sub(metrics.wall_us / 1_000), ended))
            }
            Outcome::Failed(fail) => Some((fail.began_ms, fail.ended_ms)),
            Outcome::Lost => None,
        }
    }
}

impl Figures {
    /// Reads the seals of a query, and the failures before them.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn read(handle: &QueryHandle, end: &End) -> Result<Self, CoreError> {
        let mut figures = Self::default();
        let mut earlier = Vec::new();
        for (stage, name, seal) in analyze::sealed(handle, Some(end)).await? {
            figures.add(stage, &seal, &mut earlier);
            figures.stages.push((stage, name));
        }
        let reads = earlier.into_iter().map(|(stage, task, attempt)| async move {
            let key = keys::fail(&handle.query, stage, task, attempt);
            let fail = load::<Fail>(handle.store(), &key).await.ok().flatten();
            let outcome = fail.map_or(Outcome::Lost, |fail| Outcome::Failed(Box::new(fail)));
            OneAttempt { stage, task, attempt, outcome }
        });
        let reads = futures::stream::iter(reads).buffer_unordered(READS);
        figures.attempts.extend(reads.collect::<Vec<_>>().await);
        Ok(figures)
    }

    /// Adds the winners of a stage. What came before them is read later.
    fn add(&mut self, stage: StageId, seal: &Seal, earlier: &mut Vec<(StageId, TaskId, Attempt)>) {
        for winner in &seal.tasks {
            earlier.extend((0..winner.attempt).map(|attempt| (stage, winner.task, attempt)));
            self.attempts.push(OneAttempt {
                stage,
                task: winner.task,
                attempt: winner.attempt,
                outcome: Outcome::Committed {
                    worker: winner.worker.clone(),
                    metrics: Box::new(winner.metrics),
                },
            });
        }
    }

    /// First begin and last end of the attempts that were committed, Unix milliseconds.
    pub(super) fn span(&self) -> Option<(u64, u64)> {
        let times = || self.attempts.iter().filter_map(OneAttempt::times);
        let began = times().map(|(began, _)| began).filter(|began| *began > 0).min()?;
        Some((began, times().map(|(_, ended)| ended).max()?))
    }
}
