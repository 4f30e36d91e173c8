//! One attempt of a task: claim, run and commit, with a heartbeat at the same time.
//!
//! ```text
//!   claim ───────────────────┐
//!   end of the query? ───────┤ any bad answer stops the run
//!   seals of the inputs ─────┤
//!   run ──────────────────── ┴─> data ─> commit
//!                            └── nothing is written before all of them are answered
//! ```
//! A claim decides who should work, and the commit decides who has won. So reading and computing begin before the claim
//! is answered, and may rest on seals that this process believes and has not written yet. Data, commits and failures
//! wait until the claim is won and those seals are settled.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dunlin_manifest::decide::{Decided, OpenTask};
use dunlin_manifest::keys::Writer;
use dunlin_manifest::pinned::InputWatch;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{
    Claim, ErrorCode, FailClass, RECORD_VERSION, StageId, StageSpec, TaskMetrics,
};
use dunlin_plan::guard::Stop;
use dunlin_shuffle::{DataTarget, ExchangeInputs, Jobs, Ready};
use futures::FutureExt;
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::ahead::{Question, inputs_of};
use crate::claiming::{Claimed, Claiming, look_beside, not_won, ready, send_claim};
use crate::commit::{self, Finished};
use crate::compute::Compute;
use crate::failure::AttemptError;
use crate::known::{Known, StageError};
use crate::ledger::micros;
use crate::pulse::Pulse;
use crate::run::{self, Attempt, Part, Rows};
use crate::shared::Shared;

/// How an attempt's run ended.
#[derive(Debug)]
pub(crate) enum Ran {
    /// The rows are there. They are to be committed.
    Done(Box<Finished>),
    /// Another worker has the claim.
    Lost,
    /// It is not known whether the claim was written, or whether what it rests on was.
    Unsettled,
    /// The attempt failed, and its `fail` record is written.
    Failed(FailClass),
    /// The query ended, or the worker was asked to stop.
    Stopped,
}

/// How long an aborted plan may take to stop.
const ABORT_PATIENCE: Duration = Duration::from_millis(500);

/// A task that a slot has chosen.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) task: OpenTask,
    /// It is a task of the slot's own place, so its claim is hardly ever lost.
    pub(crate) is_own: bool,
    /// What was read for it while the task before it computed.
    pub(crate) ahead: Option<ExchangeInputs>,
    /// What the next task reads, once the plan is open.
    pub(crate) next: Option<Question>,
}

/// How the run of a plan that did not fail ended.
enum Run {
    Done(Rows, Box<TaskMetrics>),
    /// The query ended before the plan was done.
    Ended,
    /// The worker was asked to stop.
    GivenBack,
    /// The claim was not won.
    NotWon,
}

/// Claims a task and runs it.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    chosen: Chosen,
    compute: &mut Compute,
) -> Ran {
    let span = known.span(chosen.task);
    claim_and_run(shared, known, chosen, compute).instrument(span).await
}

async fn claim_and_run(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    Chosen { task, is_own, ahead, next }: Chosen,
    compute: &mut Compute,
) -> Ran {
    let env = &shared.env;
    let started = env.clock.monotonic();
    let before = compute.since.until(started, known.since);
    let claim = Claim { v: RECORD_VERSION, nonce: env.nonce(), worker: shared.name.clone() };
    let claiming = send_claim(shared, known, task, &claim);
    let listing = look_beside(shared, known, task);
    let ready = ready(shared, known, task, &claiming);
    let pulse = Pulse::start(shared, known, task);
    let to = Destination::of_state(known, &claim, &ready);
    let outcome = match prepare(shared, known, task, &to, ahead).await {
        Ok(mut attempt) => {
            attempt.next = next;
            let decided = Arc::clone(&attempt.decided);
            let scanned = Arc::clone(&attempt.scan_meter);
            let watched = match may_begin(known, &ready).await {
                true => run_watched(shared, attempt, compute, &pulse, &claiming).await,
                false => Ok(Run::NotWon),
            };
            if !matches!(watched, Ok(Run::Done(..))) {
                known.add_lost(&scanned);
            }
            watched.map(|run| (run, decided))
        }
        Err(error) => Err(error),
    };
    let ran = env.clock.monotonic();
    let claimed = match (is_own, &outcome) {
        // The slot goes on, and the commit waits for the claim.
        (true, Ok((Run::Done(..), _))) => claiming.clone().now_or_never().unwrap_or(Claimed::Won),
        _ => claiming.clone().await,
    };
    let over = env.clock.monotonic();
    match claimed {
        Claimed::Won => compute.since.free(over),
        unclaimed => {
            if let Ok((Run::Done(_, metrics), _)) = outcome {
                *known.lost.lock() += metrics.requests;
            }
            return not_claimed(unclaimed, listing).await;
        }
    }
    match outcome {
        Ok((Run::Done(rows, mut metrics), decided)) => {
            metrics.slot += before;
            metrics.slot.wait =
                micros(ran.saturating_sub(started)).saturating_sub(metrics.slot.compute);
            metrics.slot.claim = micros(over.saturating_sub(ran));
            Ran::Done(Box::new(Finished {
                task,
                claim,
                decided,
                rows,
                metrics: *metrics,
                started,
                claiming,
                listing,
                ready,
                pulse,
            }))
        }
        Ok((Run::Ended | Run::NotWon, _)) => Ran::Stopped,
        Ok((Run::GivenBack, _)) => {
            commit::fail(shared, known, (task, started), &ready, &AttemptError::given_back()).await;
            Ran::Stopped
        }
        Err(error) => {
            tracing::warn!(%error, "an attempt failed");
            match commit::fail(shared, known, (task, started), &ready, &error).await {
                true => Ran::Failed(error.class),
                false => Ran::Unsettled,
            }
        }
    }
}

/// Whether the plan may begin. Files of a statement that writes are seen by others as soon as they are there, so none is
/// begun by who may lose the claim.
async fn may_begin(known: &Known, ready: &Ready) -> bool {
    known.handle.root.write.is_none() || ready.clone().await.is_ok()
}

/// How an attempt ended whose claim is lost, or unknown.
async fn not_claimed(claimed: Claimed, listing: JoinHandle<()>) -> Ran {
    if claimed == Claimed::Unknown {
        return Ran::Unsettled;
    }
    // Who has lost chooses again, and should know what the others have.
    let _ = listing.await;
    Ran::Lost
}

/// Where the rows of an attempt go.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) prefix: Path,
    /// It is in the names of all that the attempt writes.
    pub(crate) nonce: String,
    pub(crate) ready: Ready,
}

impl Destination {
    /// Beside the other data of the query, once the claim is won.
    fn of_state(known: &Known, claim: &Claim, ready: &Ready) -> Self {
        let store = known.handle.store();
        Self {
            store: Arc::clone(store.data_store()),
            prefix: store.data_prefix().clone(),
            nonce: claim.nonce.clone(),
            ready: ready.clone(),
        }
    }
}

/// Reads what the attempt needs: manifest, plan, and the seals of the inputs.
pub(crate) async fn prepare(
    shared: &Shared,
    known: &Known,
    task: OpenTask,
    to: &Destination,
    ahead: Option<ExchangeInputs>,
) -> Result<Attempt, AttemptError> {
    let handle = &known.handle;
    let unread = |message: String| AttemptError {
        class: FailClass::Store,
        code: ErrorCode::StoreUnavailable,
        message,
    };
    let (spec, decided, plan) = part(handle, task.stage).await.map_err(unread)?;
    let tasks = &decided.manifest.tasks;
    let own = tasks.get(task.task as usize);
    let own =
        own.ok_or_else(|| unread(format!("stage {} has no task {}", task.stage, task.task)))?;
    let mut inputs = ahead.unwrap_or_else(|| inputs_of(shared, known, own.share));
    let Destination { store, prefix, nonce, ready } = to;
    let query = handle.query.clone();
    let target = |spec: &StageSpec| {
        let is_result = run::is_result(spec);
        let (query, nonce, stage) = (query.clone(), nonce.clone(), spec.id);
        let workgroup = handle.root.workgroup.clone();
        let OpenTask { task, attempt, .. } = task;
        let key_of = move |part: u32| {
            let (workgroup, query, nonce) = (workgroup.as_deref(), &query, nonce.as_str());
            let writer = Writer { workgroup, query, stage, task, attempt, nonce };
            if is_result { writer.res(part) } else { writer.data(part) }
        };
        let (store, prefix) = (Arc::clone(store), prefix.clone());
        let (ready, jobs) = (ready.clone(), Jobs::here());
        DataTarget { store, prefix, key_of: Arc::new(key_of), ready, jobs }
    };
    // Inputs whose work this task does are run before it, and after what they read.
    let mut before = Vec::new();
    let mut reads: Vec<StageId> = spec.inputs.iter().map(|input| input.stage).collect();
    while let Some(stage) = reads.pop() {
        match known.stage(stage).await {
            Ok(data) => inputs = inputs.with_stage(stage, data),
            Err(StageError::Absorbed(_)) => {
                let (spec, _, plan) = part(handle, stage).await.map_err(unread)?;
                reads.extend(spec.inputs.iter().map(|input| input.stage));
                let partitions = (0..spec.partitions).collect();
                before.push(Part { target: target(&spec), partitions, spec, plan });
            }
            Err(error) => return Err(unread(error.to_string())),
        }
    }
    before.reverse();
    let partitions = own.partitions.clone();
    Ok(Attempt {
        root: Arc::clone(&handle.root),
        task: task.task,
        name: format!("{}-{}-{}", task.task, task.attempt, nonce.get(..8).unwrap_or(nonce)),
        part: Part { target: target(&spec), partitions, spec, plan },
        next: None,
        before,
        decided,
        inputs,
        scan_meter: Arc::default(),
        watch: InputWatch::default(),
        stop: Stop::default(),
        seen: None,
    })
}

/// A stage as its manifest says it runs, and its plan.
async fn part(
    handle: &QueryHandle,
    stage: StageId,
) -> Result<(StageSpec, Arc<Decided>, Bytes), String> {
    let planned = handle.root.stages.iter().find(|spec| spec.id == stage);
    let planned = planned.ok_or_else(|| format!("the query has no stage {stage}"))?;
    let decided = handle.manifest(stage).await.map_err(|error| error.to_string())?;
    let decided = decided.ok_or_else(|| format!("the inputs of stage {stage} are not sealed"))?;
    let spec = planned.decided(decided.manifest.broadcast);
    let plan = handle.plan(&spec.plan).await.map_err(|error| error.to_string())?;
    Ok((spec, decided, plan))
}

/// Runs the attempt on the compute thread until it is done, the query ends, its claim is lost, or the worker is asked
/// to stop.
async fn run_watched(
    shared: &Arc<Shared>,
    attempt: Attempt,
    compute: &mut Compute,
    pulse: &Pulse,
    claiming: &Claiming,
) -> Result<Run, AttemptError> {
    let scanned = Arc::clone(&attempt.scan_meter);
    let stop = attempt.stop.clone();
    let _stop_with_me = stop.on_drop();
    let plan = compute.run(Arc::clone(shared), attempt);
    let handle = compute.handle().map_err(|error| lost(&error))?;
    let stopping = shared.stopping();
    let pressed = shared.pressure.enter();
    let mut running = handle.spawn(std::panic::AssertUnwindSafe(plan).catch_unwind());
    let stopped = tokio::select! {
        outcome = &mut running => match outcome {
            Ok(Ok(done)) => {
                return done.map(|(rows, mut metrics)| {
                    let reading = scanned.take();
                    metrics.scan_bytes = reading.bytes_read;
                    metrics.requests = reading.requests;
                    Run::Done(rows, Box::new(metrics))
                });
            }
            Ok(Err(panic)) => return Err(panicked(&panic_text(panic.as_ref()))),
            Err(error) => return Err(lost(&error)),
        },
        () = stopping.cancelled() => {
            running.abort();
            return Ok(Run::GivenBack);
        }
        () = pulse.over.cancelled() => Ok(Run::Ended),
        () = not_won(claiming.clone()) => Ok(Run::NotWon),
        () = pressed.short.cancelled() => {
            Err(too_much(shared.options.resident_bytes.unwrap_or(0)))
        }
    };
    running.abort();
    stop.ask();
    tokio::select! {
        _ = &mut running => {}
        // Some operators do not pause for a long time. The slot continues without them.
        () = shared.env.clock.sleep(ABORT_PATIENCE) => compute.abandon(),
    }
    stopped
}

/// How an attempt ends that was ended before the process had more than `limit` bytes.
fn too_much(limit: u64) -> AttemptError {
    AttemptError {
        class: FailClass::Retry,
        code: ErrorCode::OutOfMemory,
        message: format!(
            "the worker had nearly all the memory that its container or function may have ({} MB), and ended this task so that it is not killed itself: give the workers more memory, or a smaller [worker] memory_bytes, or use more target_partitions",
            limit >> 20
        ),
    }
}

fn lost(error: &dyn std::error::Error) -> AttemptError {
    AttemptError {
        class: FailClass::Retry,
        code: ErrorCode::Internal,
        message: format!("the attempt was lost inside the worker: {error}"),
    }
}

fn panicked(text: &str) -> AttemptError {
    // Arrow's word for texts or lists of one batch that are more than 2 GiB together.
    if text.contains("offset overflow") {
        return AttemptError {
            class: FailClass::Fatal,
            code: ErrorCode::ExecutionFailed,
            message: "a column of one batch would have more than 2 GiB of texts or list elements"
                .to_owned(),
        };
    }
    AttemptError {
        class: FailClass::Retry,
        code: ErrorCode::Internal,
        message: format!("the engine panicked: {text}"),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
