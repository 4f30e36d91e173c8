//! A task of a past query, run again on this machine to look at it.
//!
//! ```text
//!   root, manifest, seals of the inputs ──> the attempt, as a slot prepares it
//!                                             │  rows go to a folder of this machine, which is deleted
//!                                             ├─> the plan's operators with their metrics
//!   what was committed ─────────────────────> └─> compared: bytes, or else rows
//! ```
//! It runs what a worker runs ([`crate::run`]), over the same objects and the same versions of the inputs. It only reads the
//! state: it claims nothing, looks at no query as one who may end it would, and a stage that writes files of tables is
//! refused.

mod committed;
mod compare;
mod error;
mod inputs;
mod operators;
mod outline;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::ids::{QueryId, StageId, TaskId};
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{ErrorCode, FailClass, StageSpec, TaskMetrics, TaskOutput};
use dunlin_shuffle::at_once;
use futures::FutureExt;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

pub use self::committed::Winner;
use self::committed::committed;
pub use self::compare::Verdict;
use self::compare::{Side, compare};
pub use self::error::ReplayError;
use self::inputs::check_inputs;
pub use self::operators::Operator;
pub use self::outline::{Done, Outline, StageOutline, TaskOutline};
use crate::attempt::{Destination, prepare};
use crate::compute::Compute;
use crate::failure::AttemptError;
use crate::known::{Known, refusal};
use crate::run::{Attempt, Seen};
use crate::worker::Worker;

/// A task that was run again.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The stage, as its manifest says it runs.
    pub stage: StageId,
    /// A few words for people.
    pub name: String,
    /// The task.
    pub task: TaskId,
    /// The partitions that it runs.
    pub partitions: Vec<u32>,
    /// Rows that it computed.
    pub rows: u64,
    /// Their bytes as they are exchanged.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// What it used.
    pub metrics: TaskMetrics,
    /// The operators of its plan, each below the one that reads it, with what they did.
    pub operators: Vec<Operator>,
    /// What was committed.
    pub winner: Option<Winner>,
    /// Whether that is equal.
    pub verdict: Verdict,
}

/// A folder that is deleted when it is no longer needed.
#[derive(Debug)]
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new(worker: &Worker) -> Result<(Self, Arc<dyn ObjectStore>), ReplayError> {
        let shared = &worker.shared;
        let parent = shared.options.spill_dir.clone().unwrap_or_else(std::env::temp_dir);
        let nonce = shared.env.nonce();
        let path = parent.join(format!("dunlin-replay-{}", nonce.get(..12).unwrap_or(&nonce)));
        let failed = |source| ReplayError::Folder { folder: path.display().to_string(), source };
        std::fs::create_dir_all(&path).map_err(failed)?;
        let folder = Self(path.clone());
        let store = LocalFileSystem::new_with_prefix(&path)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        Ok((folder, Arc::new(store)))
    }
}

impl Worker {
    /// What is known of a query that this process may read.
    async fn past(&self, query: &QueryId) -> Result<Known, ReplayError> {
        let shared = &self.shared;
        let store = shared.control.clone();
        let handle = QueryHandle::open(store, query, &shared.fence).await?;
        let handle = handle.ok_or_else(|| ReplayError::NoSuchQuery(query.clone()))?;
        Ok(Known::new(handle, Arc::default(), shared.env.clock.monotonic(), None))
    }

    /// Runs an attempt as a slot does, and waits until its rows are written.
    async fn run_again(
        &self,
        attempt: Attempt,
    ) -> Result<(TaskOutput, TaskMetrics, Duration), ReplayError> {
        let shared = &self.shared;
        let scanned = Arc::clone(&attempt.scan_meter);
        let _stop = attempt.stop.clone().on_drop();
        let mut compute = Compute::new(self.engine.clone());
        let began = shared.env.clock.monotonic();
        let running = compute.run(Arc::clone(shared), attempt);
        let thread = compute.handle().map_err(|error| ReplayError::State(error.to_string()))?;
        let ran = thread.spawn(AssertUnwindSafe(running).catch_unwind()).await;
        let Ok(Ok(ran)) = ran else {
            return Err(ReplayError::Failed(AttemptError {
                class: FailClass::Retry,
                code: ErrorCode::Internal,
                message: "the engine panicked; standard error has its message".to_owned(),
            }));
        };
        let (rows, mut metrics) = ran.map_err(failed)?;
        let output = rows.write().await.map_err(failed)?;
        let took = shared.env.clock.monotonic().saturating_sub(began);
        let reading = scanned.take();
        (metrics.scan_bytes, metrics.requests) = (reading.bytes_read, reading.requests);
        Ok((output, metrics, took))
    }

    /// Runs a task of a query again, whatever became of it, and compares its rows with those that were committed.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn replay(
        &self,
        query: &QueryId,
        stage: StageId,
        task: TaskId,
    ) -> Result<Replayed, ReplayError> {
        let shared = &self.shared;
        let known = self.past(query).await?;
        if let Some(reason) = refusal(&shared.fence, &shared.tables.read(), &known.handle.root) {
            return Err(ReplayError::Refused(reason));
        }
        let handle = &known.handle;
        check_inputs(handle, stage, task).await?;
        let (folder, store) = Folder::new(self)?;
        let nonce = shared.env.nonce();
        let to = Destination {
            store: Arc::clone(&store),
            prefix: Path::default(),
            nonce,
            ready: at_once(),
        };
        let open = OpenTask { stage, task, attempt: 0 };
        let mut attempt = prepare(shared, &known, open, &to, None)
            .await
            .map_err(|error| ReplayError::State(error.message))?;
        let seen = Seen::default();
        attempt.seen = Some(Arc::clone(&seen));
        let spec = attempt.part.spec.clone();
        let partitions = attempt.part.partitions.clone();
        let (output, metrics, took) = self.run_again(attempt).await?;
        let plans = std::mem::take(&mut *seen.lock());
        let operators = plans.iter().flat_map(operators::of).collect();
        let winner = committed(handle, stage, task).await?;
        let verdict = match &winner {
            None => Verdict::NothingCommitted,
            Some(winner) => {
                let state = handle.store();
                let then = Side {
                    output: &winner.output,
                    store: Arc::clone(state.data_store()),
                    prefix: state.data_prefix().clone(),
                };
                let now = Side { output: &output, store, prefix: Path::default() };
                compare(&spec, &now, &then).await?
            }
        };
        drop(folder);
        let StageSpec { id: stage, name, .. } = spec;
        let (rows, bytes) = (output.rows, output.bytes);
        Ok(Replayed {
            stage,
            name,
            task,
            partitions,
            rows,
            bytes,
            took,
            metrics,
            operators,
            winner,
            verdict,
        })
    }
}

/// The error of a plan that failed.
fn failed(error: AttemptError) -> ReplayError {
    if error.code == ErrorCode::InputChanged {
        // What follows the path is advice to who waits for an answer.
        let text = error.message.split("; ").next().unwrap_or(&error.message);
        return ReplayError::InputChanged(format!(
            "{text}, or is gone: the task reads the version that the query was planned with, and no other"
        ));
    }
    ReplayError::Failed(error)
}
