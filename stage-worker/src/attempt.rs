//! One attempt of a task: claim, run and commit, with a heartbeat at the same time.

use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::decide::{self, OpenTask};
use dunlin_manifest::keys;
use dunlin_manifest::model::encoding::encode;
use dunlin_manifest::pinned::InputWatch;
use dunlin_manifest::records::{
    Claim, Commit, ErrorCode, Fail, FailClass, RECORD_VERSION, StageManifest, StageSpec,
    TaskMetrics, TaskOutput,
};
use dunlin_manifest::store::create::{self, Decision};
use dunlin_plan::guard::Stop;
use dunlin_shuffle::{DataTarget, ExchangeInputs};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::compute::Compute;
use crate::known::Known;
use crate::pulse::Pulse;
use crate::run::{self, Attempt, AttemptError};
use crate::shared::Shared;

/// The result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Another worker has the claim.
    Lost,
    /// It is not known whether the claim was written.
    Unsettled,
    /// The task is committed, by this worker or by another.
    Committed,
    /// The attempt failed, and its `fail` record is written.
    Failed(FailClass),
    /// The query ended, or the worker was asked to stop.
    Stopped,
}

/// How long an aborted plan may take to stop.
const ABORT_PATIENCE: Duration = Duration::from_millis(500);

/// How the run of a plan that did not fail ended.
enum Run {
    Done(TaskOutput, TaskMetrics),
    /// The query ended before the plan was done.
    Ended,
    /// The worker was asked to stop.
    GivenBack,
}

/// Claims `task`, runs it and commits it.
pub(crate) async fn attempt(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    task: OpenTask,
    compute: &mut Compute,
) -> AttemptOutcome {
    let handle = &known.handle;
    let env = &shared.env;
    let started = env.clock.monotonic();
    let claim = Claim { v: RECORD_VERSION, nonce: env.nonce(), worker: shared.name.clone() };
    let key = keys::claim(&handle.query, task.stage, task.task, task.attempt);
    let body = encode(&claim);
    match create::decide(handle.store(), env, &key, body, &claim.nonce).await {
        Ok(Decision::Won) => {}
        Ok(Decision::Lost(_)) => return AttemptOutcome::Lost,
        Err(error) => {
            // The claim may be written. Then it stays silent, and the next attempt may be claimed after the lease.
            tracing::warn!(query = %handle.query, %key, %error, "a claim is left unsettled");
            return AttemptOutcome::Unsettled;
        }
    }
    // Heartbeats run from the claim to the commit, whatever the attempt does.
    let pulse = Pulse::start(shared, known, task);
    let outcome = match prepare(shared, known, task, &claim).await {
        Ok(attempt) => run_watched(shared, attempt, compute, &pulse.over).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(Run::Done(output, mut metrics)) => {
            let took = env.clock.monotonic().saturating_sub(started);
            metrics.wall_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            commit(shared, known, task, &claim, output, metrics).await
        }
        Ok(Run::Ended) => AttemptOutcome::Stopped,
        Ok(Run::GivenBack) => {
            let error = AttemptError {
                class: FailClass::GiveBack,
                code: ErrorCode::GivenBack,
                message: "the worker was asked to stop".to_owned(),
            };
            fail(shared, known, task, &error).await;
            AttemptOutcome::Stopped
        }
        Err(error) => {
            tracing::warn!(query = %handle.query, stage = task.stage, task = task.task, attempt = task.attempt, %error, "an attempt failed");
            fail(shared, known, task, &error).await;
            AttemptOutcome::Failed(error.class)
        }
    }
}

/// Reads what the attempt needs: manifest, plan, and the seals of the inputs.
async fn prepare(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    task: OpenTask,
    claim: &Claim,
) -> Result<Attempt, AttemptError> {
    let handle = &known.handle;
    let unread = |message: String| AttemptError {
        class: FailClass::Retry,
        code: ErrorCode::StoreUnavailable,
        message,
    };
    let planned: &StageSpec = handle
        .root
        .stages
        .iter()
        .find(|spec| spec.id == task.stage)
        .ok_or_else(|| unread(format!("the query has no stage {}", task.stage)))?;
    let manifest: Arc<StageManifest> = handle
        .manifest(task.stage)
        .await
        .map_err(|error| unread(error.to_string()))?
        .ok_or_else(|| unread(format!("stage {} has no manifest", task.stage)))?;
    let spec = planned.decided(manifest.broadcast);
    let plan = handle.plan(&spec.plan).await.map_err(|error| unread(error.to_string()))?;
    // Exchange data is read and written through this query's store, which counts requests.
    let store = Arc::clone(handle.store().object_store());
    let prefix = handle.store().prefix().clone();
    let mut inputs = ExchangeInputs::new(
        Arc::clone(&store),
        prefix.clone(),
        shared.env.clone(),
        shared.governor.clone(),
    );
    for input in &spec.inputs {
        let data = known.stage(input.stage).await.map_err(|error| unread(error.to_string()))?;
        inputs = inputs.with_stage(input.stage, data);
    }
    let share = manifest.tasks.get(task.task as usize).and_then(|task| task.share);
    if let Some(share) = share {
        inputs = inputs.with_share(share);
    }
    let (query, nonce) = (handle.query.clone(), claim.nonce.clone());
    let name = if run::is_result(&spec) { keys::res } else { keys::data };
    let key_of = move |part: u32| name(&query, task.stage, task.task, task.attempt, &nonce, part);
    Ok(Attempt {
        root: Arc::clone(&handle.root),
        spec,
        manifest,
        task: task.task,
        plan,
        inputs,
        target: DataTarget { store, prefix, key_of: Arc::new(key_of) },
        scan_meter: Arc::default(),
        watch: InputWatch::default(),
        stop: Stop::default(),
    })
}

/// Runs the attempt on the compute thread until it is done, the query ends, or the worker is asked to stop.
async fn run_watched(
    shared: &Arc<Shared>,
    attempt: Attempt,
    compute: &mut Compute,
    over: &CancellationToken,
) -> Result<Run, AttemptError> {
    let runner = Arc::clone(shared);
    let scanned = Arc::clone(&attempt.scan_meter);
    let stop = attempt.stop.clone();
    let _stop_with_me = stop.on_drop();
    let mut running = compute.handle().map_err(|error| lost(&error))?.spawn(async move {
        std::panic::AssertUnwindSafe(run::run(&runner, attempt)).catch_unwind().await
    });
    let outcome = tokio::select! {
        outcome = &mut running => outcome,
        () = shared.stopping.cancelled() => {
            running.abort();
            return Ok(Run::GivenBack);
        }
        () = over.cancelled() => {
            running.abort();
            stop.ask();
            tokio::select! {
                _ = &mut running => {}
                // Some operators do not pause for a long time. The slot continues without them.
                () = shared.env.clock.sleep(ABORT_PATIENCE) => compute.abandon(),
            }
            return Ok(Run::Ended);
        }
    };
    match outcome {
        Ok(Ok(done)) => done.map(|(output, mut metrics)| {
            let reading = scanned.take();
            metrics.scan_bytes = reading.bytes_read;
            metrics.requests = reading.requests;
            Run::Done(output, metrics)
        }),
        Ok(Err(panic)) => Err(panicked(&panic_text(panic.as_ref()))),
        Err(error) => Err(lost(&error)),
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

async fn commit(
    shared: &Shared,
    known: &Known,
    task: OpenTask,
    claim: &Claim,
    output: TaskOutput,
    mut metrics: TaskMetrics,
) -> AttemptOutcome {
    let handle = &known.handle;
    let env = &shared.env;
    if matches!(handle.ended().await, Ok(Some(_))) {
        return AttemptOutcome::Stopped;
    }
    metrics.requests += known.meter.take().requests;
    let record = Commit {
        v: RECORD_VERSION,
        nonce: env.nonce(),
        task: task.task,
        attempt: task.attempt,
        claim: claim.nonce.clone(),
        worker: shared.name.clone(),
        output,
        metrics,
    };
    let key = keys::commit(&handle.query, task.stage, task.task);
    let body = encode(&record);
    match create::decide(handle.store(), env, &key, body, &record.nonce).await {
        Ok(Decision::Won) => {
            handle.remember_commit(task.stage, decide::sealed(record));
            AttemptOutcome::Committed
        }
        Ok(Decision::Lost(_)) => {
            tracing::info!(query = %handle.query, %key, "another attempt committed first");
            AttemptOutcome::Committed
        }
        Err(error) => {
            // The commit may still be written, so the data stays. If it is not written, a later attempt does the work
            // again.
            tracing::warn!(query = %handle.query, %key, %error, "a commit is left unsettled");
            AttemptOutcome::Stopped
        }
    }
}

async fn fail(shared: &Shared, known: &Known, task: OpenTask, error: &AttemptError) {
    let handle = &known.handle;
    let record = Fail {
        v: RECORD_VERSION,
        nonce: shared.env.nonce(),
        class: error.class,
        code: error.code.clone(),
        message: error.message.clone(),
    };
    let key = keys::fail(&handle.query, task.stage, task.task, task.attempt);
    let body = encode(&record);
    if let Err(error) = create::decide(handle.store(), &shared.env, &key, body, &record.nonce).await
    {
        tracing::warn!(%key, %error, "a failure could not be written down");
    }
}
