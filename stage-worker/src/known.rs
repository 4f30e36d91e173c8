//! One query as one worker process sees it: the handle, and what its slots share about it.
//!
//! There is one for each process and query, shared by the slots. It knows nothing of the process.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::model::trace;
use dunlin_manifest::query::{AdvanceError, Blocks, QueryHandle};
use dunlin_manifest::records::{EngineFence, Requests, Root};
use dunlin_plan::stores::Stores;
use dunlin_shuffle::{ShuffleError, StageData};
use tracing::Span;

use crate::duty::Duties;
use crate::streak::Streak;

/// A query that this process knows.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) handle: QueryHandle,
    pub(crate) meter: Arc<Meter>,
    /// Requests of attempts that came to nothing, since the last commit.
    pub(crate) lost: parking_lot::Mutex<Requests>,
    /// When this process began to read the query.
    pub(crate) since: Duration,
    /// Why this process is not allowed to run the query.
    pub(crate) refused: Option<String>,
    stages: tokio::sync::Mutex<HashMap<u32, Arc<StageData>>>,
    /// Attempts that a slot of this process claims or has claimed, so that its slots do not compete for one attempt.
    pub(crate) taken: parking_lot::Mutex<HashSet<(u32, u32, u32)>>,
    /// Which groups this process must look at after its commits.
    pub(crate) duties: Duties,
    /// A task is about to write the seals that are believed, and to tell of them.
    pub(crate) telling: AtomicBool,
    /// When this process first saw each stage open.
    seen_open: parking_lot::Mutex<HashMap<u32, Duration>>,
    /// Until this time the other slots do not have to look, because one slot just found nothing to do.
    pub(crate) quiet_until: parking_lot::Mutex<Duration>,
    /// Attempts of this process that have failed one after the other.
    pub(crate) streak: parking_lot::Mutex<Streak>,
}

/// Why the data of a stage cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// The store did not give the seal.
    #[error(transparent)]
    Store(#[from] AdvanceError),
    /// The reader was started too early.
    #[error("stage {0} is not sealed")]
    Unsealed(u32),
    /// The seal contradicts itself.
    #[error(transparent)]
    Seal(#[from] ShuffleError),
    /// The stage has no rows of its own.
    #[error("stage {0} is run by the tasks that read it")]
    Absorbed(u32),
}

impl Known {
    /// A query that no slot has worked on yet.
    pub(crate) fn new(
        handle: QueryHandle,
        meter: Arc<Meter>,
        since: Duration,
        refused: Option<String>,
    ) -> Self {
        Self {
            handle,
            meter,
            lost: parking_lot::Mutex::default(),
            since,
            refused,
            stages: tokio::sync::Mutex::default(),
            taken: parking_lot::Mutex::default(),
            duties: Duties::default(),
            telling: AtomicBool::new(false),
            seen_open: parking_lot::Mutex::default(),
            quiet_until: parking_lot::Mutex::default(),
            streak: parking_lot::Mutex::default(),
        }
    }

    /// Every line that is logged for an attempt says which.
    pub(crate) fn span(&self, task: OpenTask) -> Span {
        let query = &self.handle.query;
        let trace_id = trace::trace_id(query, self.handle.root.trace.as_deref());
        tracing::info_span!(
            "attempt",
            %query,
            stage = task.stage,
            task = task.task,
            attempt = task.attempt,
            trace_id = format_args!("{trace_id:032x}"),
        )
    }

    /// An attempt came to nothing: keeps what it has asked for, of tables and of the state.
    pub(crate) fn add_lost(&self, scanned: &Meter) {
        let mut lost = self.lost.lock();
        *lost += scanned.take().requests;
        *lost += self.meter.take().requests;
    }

    /// For how long this process has seen the stage open.
    pub(crate) fn open_for(&self, stage: u32, now: Duration) -> Duration {
        let mut seen = self.seen_open.lock();
        now.saturating_sub(*seen.entry(stage).or_insert(now))
    }

    /// The exchange data of a sealed stage. A process builds this index once.
    ///
    /// # Errors
    /// The seal cannot be read, does not exist, or contradicts itself.
    pub(crate) async fn stage(&self, stage: u32) -> Result<Arc<StageData>, StageError> {
        let mut stages = self.stages.lock().await;
        if let Some(known) = stages.get(&stage) {
            return Ok(Arc::clone(known));
        }
        let seal = self.handle.seal(stage).await?.ok_or(StageError::Unsealed(stage))?;
        if seal.seal.absorbed {
            return Err(StageError::Absorbed(stage));
        }
        let blocks = Blocks::of(self.handle.store(), &self.handle.query, &seal.seal);
        let data = Arc::new(StageData::of(&seal.seal, blocks)?);
        stages.insert(stage, Arc::clone(&data));
        Ok(data)
    }
}

/// Why a process with this fence and these stores is not allowed to run a query; `None` if it is allowed.
pub(crate) fn refusal(fence: &EngineFence, stores: &Stores, root: &Root) -> Option<String> {
    let wanted = &root.engine;
    if fence != wanted {
        return Some(format!(
            "this worker is {} (hash {}, build {}), the query was planned by {} (hash {}, build {})",
            fence.engine, fence.hash, fence.build, wanted.engine, wanted.hash, wanted.build
        ));
    }
    let unknown = root.pins.iter().find(|pin| stores.get(&pin.store).is_none())?;
    Some(format!("this worker's configuration has no table in {}", unknown.store))
}
