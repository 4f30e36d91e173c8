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
use dunlin_manifest::keys;
use dunlin_manifest::model::encoding::encode;
use dunlin_manifest::pinned::InputWatch;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{
    Claim, Commit, ErrorCode, Fail, FailClass, RECORD_VERSION, StageId, StageSpec, TaskMetrics,
};
use dunlin_manifest::store::MAX_RECORD;
use dunlin_manifest::store::create::{self, Decision};
use dunlin_plan::guard::Stop;
use dunlin_plan::redact::redact;
use dunlin_shuffle::{DataTarget, ExchangeInputs, Ready};
use futures::FutureExt;
use tracing::Instrument;

use crate::claiming::{Claimed, Claiming, look_beside, not_won, ready, send_claim};
use crate::compute::Compute;
use crate::known::{Known, StageError};
use crate::ledger::micros;
use crate::news;
use crate::pulse::Pulse;
use crate::run::{self, Attempt, AttemptError, Part, Rows};
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

/// An attempt whose plan has run.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) task: OpenTask,
    claim: Claim,
    decided: Arc<Decided>,
    rows: Rows,
    metrics: TaskMetrics,
    started: Duration,
    ready: Ready,
    /// Beats until the commit.
    _pulse: Pulse,
}

impl Finished {
    /// Bytes of rows that wait to be written.
    pub(crate) fn held(&self) -> usize {
        self.rows.held()
    }
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The task is committed, by this worker or by another.
    Committed,
    /// The rows could not be written, and a `fail` record is.
    Failed(FailClass),
    /// It is not known whether the commit is there.
    Unknown,
}

/// How long an aborted plan may take to stop.
const ABORT_PATIENCE: Duration = Duration::from_millis(500);

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

/// Claims `task` and runs it.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    task: OpenTask,
    compute: &mut Compute,
) -> Ran {
    claim_and_run(shared, known, task, compute).instrument(known.span(task)).await
}

async fn claim_and_run(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    task: OpenTask,
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
    let outcome = match prepare(shared, known, task, &claim, &ready).await {
        Ok(attempt) => {
            let decided = Arc::clone(&attempt.decided);
            let scanned = Arc::clone(&attempt.scan_meter);
            let watched = run_watched(shared, attempt, compute, &pulse, &claiming).await;
            if !matches!(watched, Ok(Run::Done(..))) {
                let mut lost = known.lost.lock();
                *lost += scanned.take().requests;
                *lost += known.meter.take().requests;
            }
            watched.map(|run| (run, decided))
        }
        Err(error) => Err(error),
    };
    let ran = env.clock.monotonic();
    let claimed = claiming.await;
    let over = env.clock.monotonic();
    match claimed {
        Claimed::Won => compute.since.free(over),
        Claimed::Lost => {
            // Who has lost chooses again, and should know what the others have.
            let _ = listing.await;
            return Ran::Lost;
        }
        Claimed::Unknown => return Ran::Unsettled,
    }
    match outcome {
        Ok((Run::Done(rows, mut metrics), decided)) => {
            metrics.slot += before;
            let running = micros(ran.saturating_sub(started));
            metrics.slot.wait = running.saturating_sub(metrics.slot.compute);
            metrics.slot.claim = micros(over.saturating_sub(ran));
            Ran::Done(Box::new(Finished {
                task,
                claim,
                decided,
                rows,
                metrics: *metrics,
                started,
                ready,
                _pulse: pulse,
            }))
        }
        Ok((Run::Ended | Run::NotWon, _)) => Ran::Stopped,
        Ok((Run::GivenBack, _)) => {
            let error = AttemptError {
                class: FailClass::GiveBack,
                code: ErrorCode::GivenBack,
                message: "the worker was asked to stop".to_owned(),
            };
            fail(shared, known, (task, started), &ready, &error).await;
            Ran::Stopped
        }
        Err(error) => {
            tracing::warn!(%error, "an attempt failed");
            if fail(shared, known, (task, started), &ready, &error).await {
                Ran::Failed(error.class)
            } else {
                Ran::Unsettled
            }
        }
    }
}

/// Reads what the attempt needs: manifest, plan, and the seals of the inputs.
async fn prepare(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    task: OpenTask,
    claim: &Claim,
    ready: &Ready,
) -> Result<Attempt, AttemptError> {
    let handle = &known.handle;
    let unread = |message: String| AttemptError {
        class: FailClass::Retry,
        code: ErrorCode::StoreUnavailable,
        message,
    };
    let (spec, decided, plan) = part(handle, task.stage).await.map_err(unread)?;
    // Exchange data is read and written through this query's store, which counts requests.
    let store = Arc::clone(handle.store().data_store());
    let prefix = handle.store().data_prefix().clone();
    let mut inputs = ExchangeInputs::new(
        Arc::clone(&store),
        prefix.clone(),
        shared.env.clone(),
        shared.governor.clone(),
    );
    let (nonce, query) = (claim.nonce.clone(), handle.query.clone());
    let target = |spec: &StageSpec| {
        let name = if run::is_result(spec) { keys::res } else { keys::data };
        let (query, nonce, stage) = (query.clone(), nonce.clone(), spec.id);
        let key_of = move |part: u32| name(&query, stage, task.task, task.attempt, &nonce, part);
        let (store, prefix) = (Arc::clone(&store), prefix.clone());
        DataTarget { store, prefix, key_of: Arc::new(key_of), ready: ready.clone() }
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
    let share = decided.manifest.tasks.get(task.task as usize).and_then(|task| task.share);
    if let Some(share) = share {
        inputs = inputs.with_share(share);
    }
    let tasks = &decided.manifest.tasks;
    let partitions = tasks.get(task.task as usize).map(|task| task.partitions.clone());
    let partitions = partitions
        .ok_or_else(|| unread(format!("stage {} has no task {}", task.stage, task.task)))?;
    Ok(Attempt {
        root: Arc::clone(&handle.root),
        task: task.task,
        name: format!("{}-{}-{}", task.task, task.attempt, nonce.get(..8).unwrap_or(&nonce)),
        part: Part { target: target(&spec), partitions, spec, plan },
        before,
        decided,
        inputs,
        scan_meter: Arc::default(),
        watch: InputWatch::default(),
        stop: Stop::default(),
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
        () = pulse.over.cancelled() => Run::Ended,
        () = not_won(claiming.clone()) => Run::NotWon,
    };
    running.abort();
    stop.ask();
    tokio::select! {
        _ = &mut running => {}
        // Some operators do not pause for a long time. The slot continues without them.
        () = shared.env.clock.sleep(ABORT_PATIENCE) => compute.abandon(),
    }
    Ok(stopped)
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

/// Writes the rows of an attempt, and commits it.
pub(crate) async fn commit(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    finished: Finished,
) -> Settled {
    let span = known.span(finished.task);
    write_and_commit(shared, known, finished).instrument(span).await
}

async fn write_and_commit(shared: &Arc<Shared>, known: &Arc<Known>, finished: Finished) -> Settled {
    let Finished { task, claim, decided, rows, mut metrics, started, ready, _pulse } = finished;
    let handle = &known.handle;
    let env = &shared.env;
    let output = match rows.write().await {
        Ok(output) => output,
        Err(error) => {
            tracing::warn!(%error, "the rows of an attempt could not be written");
            return match fail(shared, known, (task, started), &ready, &error).await {
                true => Settled::Failed(error.class),
                false => Settled::Unknown,
            };
        }
    };
    let ready_again = ready.clone();
    if let Err(reason) = ready.await {
        tracing::warn!(%reason, "an attempt is given up");
        return Settled::Unknown;
    }
    let took = env.clock.monotonic().saturating_sub(started);
    metrics.wall_us = micros(took);
    metrics.ended_ms = env.clock.wall_ms();
    count(shared, known, &mut metrics);
    let record = Commit {
        v: RECORD_VERSION,
        nonce: env.nonce(),
        task: task.task,
        attempt: task.attempt,
        claim: claim.nonce,
        manifest: decided.digest.clone(),
        worker: shared.name.clone(),
        output,
        metrics,
    };
    // What seals this commit lists the slices of up to 64 of them, and must be readable.
    let others = u64::try_from(decided.manifest.tasks.len().min(64)).unwrap_or(64);
    if encode(&record).len() as u64 > MAX_RECORD / (others + 1) {
        let error = AttemptError {
            class: FailClass::Fatal,
            code: ErrorCode::ExchangeFailed,
            message: format!(
                "a task wrote {} slices, too many for its commit: give the workers more memory, or use fewer partitions",
                record.output.slices.len()
            ),
        };
        return match fail(shared, known, (task, started), &ready_again, &error).await {
            true => Settled::Failed(error.class),
            false => Settled::Unknown,
        };
    }
    let (usage, requests) = (record.metrics.usage, record.metrics.requests);
    match handle.commit(task.stage, record).await {
        Ok(is_won) => {
            if !is_won {
                shared.ledger.take_back(usage, requests);
            }
            Settled::Committed
        }
        Err(error) => {
            // The commit may still be written, so the data stays. If it is not written, a later attempt does the work
            // again.
            tracing::warn!(%error, "a commit is left unsettled");
            Settled::Unknown
        }
    }
}

/// Tells workers with more memory of a task that this one leaves to them.
fn leave_to_larger(shared: &Arc<Shared>, known: &Known, task: OpenTask) {
    let next = OpenTask { attempt: task.attempt + 1, ..task };
    let Some(own) = shared.options.level else { return };
    if known.handle.level(&next).is_some_and(|level| level > own) {
        news::tell(shared, known.handle.news_of(&[next], 0));
    }
}

/// Adds the requests since the last commit, and what the function is paid for.
fn count(shared: &Shared, known: &Known, metrics: &mut TaskMetrics) {
    metrics.lost = std::mem::take(&mut *known.lost.lock());
    let mut new = metrics.requests;
    new += metrics.lost;
    new += known.meter.take().requests;
    // What a process asks that is always there is no part of a query.
    if shared.ledger.is_open() {
        new += shared.asked.take().requests;
    }
    let (usage, requests) = shared.ledger.tell(shared.env.clock.monotonic(), new);
    (metrics.usage, metrics.requests) = (usage, requests);
}

/// Writes down that an attempt, begun at a time, failed. False if that could not be done.
async fn fail(
    shared: &Arc<Shared>,
    known: &Known,
    (task, started): (OpenTask, Duration),
    ready: &Ready,
    error: &AttemptError,
) -> bool {
    let handle = &known.handle;
    if let Err(reason) = ready.clone().await {
        tracing::warn!(%reason, "a failure is not written down");
        return false;
    }
    let ended_ms = shared.env.clock.wall_ms();
    let took = shared.env.clock.monotonic().saturating_sub(started);
    let record = Fail {
        v: RECORD_VERSION,
        nonce: shared.env.nonce(),
        class: error.class,
        code: error.code.clone(),
        // The record stays, and anybody who may see the query reads it.
        message: redact(&error.message).into_owned(),
        began_ms: ended_ms.saturating_sub(micros(took) / 1_000),
        ended_ms,
    };
    let key = keys::fail(&handle.query, task.stage, task.task, task.attempt);
    let body = encode(&record);
    match create::decide(handle.store(), &shared.env, &key, body, &record.nonce).await {
        Ok(decision) => {
            if decision == Decision::Won {
                handle.note_fail(task.stage, task.task, task.attempt, record);
            }
            leave_to_larger(shared, known, task);
            true
        }
        Err(error) => {
            tracing::warn!(%key, %error, "a failure could not be written down");
            false
        }
    }
}
