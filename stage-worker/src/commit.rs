//! The commit of an attempt whose plan has run, or the record that says why it failed.
//!
//! ```text
//!   rows ─> data objects ─> claim won, inputs settled ─> commit       beside the slot's next tasks
//! ```

use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::decide::{Decided, OpenTask};
use dunlin_manifest::keys;
use dunlin_manifest::model::encoding::encode;
use dunlin_manifest::records::{
    Claim, Commit, ErrorCode, Fail, FailClass, RECORD_VERSION, TaskMetrics,
};
use dunlin_manifest::store::MAX_RECORD;
use dunlin_manifest::store::create::{self, Decision};
use dunlin_plan::redact::redact;
use dunlin_plan::words;
use dunlin_shuffle::Ready;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::claiming::{Claimed, Claiming};
use crate::failure::AttemptError;
use crate::known::Known;
use crate::ledger::micros;
use crate::news;
use crate::pulse::Pulse;
use crate::rest;
use crate::run::Rows;
use crate::shared::Shared;

/// An attempt whose plan has run.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) task: OpenTask,
    pub(crate) claim: Claim,
    pub(crate) decided: Arc<Decided>,
    pub(crate) rows: Rows,
    pub(crate) metrics: TaskMetrics,
    pub(crate) started: Duration,
    /// The claim may not be answered yet.
    pub(crate) claiming: Claiming,
    /// The list of the task's group, asked for beside the claim.
    pub(crate) listing: JoinHandle<()>,
    pub(crate) ready: Ready,
    /// Beats until the commit.
    pub(crate) pulse: Pulse,
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
    /// Another worker has the claim.
    Lost,
    /// It is not known whether the claim was written.
    Unclaimed,
    /// It is not known whether the commit is there.
    Unknown,
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
    let Finished { task, claim, decided, rows, mut metrics, started, .. } = finished;
    let (claiming, listing, ready, _pulse) =
        (finished.claiming, finished.listing, finished.ready, finished.pulse);
    let handle = &known.handle;
    let env = &shared.env;
    let written = rows.write().await;
    match claiming.await {
        Claimed::Won => {}
        unclaimed => {
            *known.lost.lock() += metrics.requests;
            // Who has lost chooses again, and should know what the others have.
            let _ = listing.await;
            return if unclaimed == Claimed::Lost { Settled::Lost } else { Settled::Unclaimed };
        }
    }
    let output = match written {
        Ok(output) => output,
        Err(error) => {
            tracing::warn!(%error, "the rows of an attempt could not be written");
            *known.lost.lock() += metrics.requests;
            return match fail(shared, known, (task, started), &ready, &error).await {
                true => Settled::Failed(error.class),
                false => Settled::Unknown,
            };
        }
    };
    let ready_again = ready.clone();
    if let Err(reason) = ready.await {
        tracing::warn!(%reason, "an attempt is given up");
        *known.lost.lock() += metrics.requests;
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
            tracing::warn!(error = %words::explained(&error), "a commit is left unsettled");
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
pub(crate) async fn fail(
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
    let failures = handle.failures(&task).unwrap_or_default();
    let record = Fail {
        v: RECORD_VERSION,
        nonce: shared.env.nonce(),
        worker: shared.name.clone(),
        alone: rest::is_alone(shared, known, &failures),
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
            rest::note_failure(shared, known, &record);
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
