//! A slot: the loop that looks for a task, runs it, and looks again.
//!
//! ```text
//!   look ──> work_on a query: advance ─> choose ─> attempt ─┐
//!    ^                            ^                         │ again at once: the slot
//!    └── nothing to do, pause ────┴─────────────────────────┘ that sealed a stage continues
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::query::{self, AdvanceError};
use dunlin_manifest::records::{FailClass, Route};
use dunlin_manifest::store::StoreError;
use futures::FutureExt;

use crate::attempt::{self, AttemptOutcome};
use crate::compute::Compute;
use crate::known::Known;
use crate::shared::Shared;

/// Pause of a slot after an attempt that failed in a way that another attempt may not. It doubles with each attempt.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Keeps a slot running. A panic outside a task (caused by an unexpected record, for example) must not end the slot.
pub(crate) async fn keep_slot(shared: Arc<Shared>, slot: usize) {
    loop {
        let running = slot_loop(Arc::clone(&shared), slot);
        if std::panic::AssertUnwindSafe(running).catch_unwind().await.is_ok() {
            return;
        }
        tracing::error!(slot, "a slot panicked and starts again");
        shared.env.clock.sleep(shared.options.sweep).await;
    }
}

/// One loop of the process: finds a task, runs it, and looks again.
async fn slot_loop(shared: Arc<Shared>, slot: usize) {
    let mut pause = shared.options.active_poll;
    let mut compute = Compute::default();
    while !shared.stopping.is_cancelled() {
        let rung = shared.rung.notified();
        let found = match look(&shared, slot, &mut compute).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the state store could not be looked at");
                Found::Nothing
            }
        };
        pause = match found {
            Found::Work => shared.options.active_poll,
            // A ring of the bell ends the pause, so the pause may grow to that of an idle worker.
            Found::Active => (pause + pause / 4).clamp(
                shared.options.active_poll,
                shared.options.idle_poll.max(shared.options.active_poll * 4),
            ),
            Found::Nothing => shared.options.sweep,
        };
        if matches!(found, Found::Work) {
            continue;
        }
        let wait = if matches!(found, Found::Nothing) { pause } else { shared.env.jitter(pause) };
        tokio::select! {
            () = rung => spread(&shared).await,
            () = shared.env.clock.sleep(wait) => {}
            () = shared.stopping.cancelled() => {}
        }
    }
}

/// After a ring every slot looks. They wait for different short times, so that they do not all try the same task.
async fn spread(shared: &Shared) {
    let most = u64::try_from(shared.options.slots).unwrap_or(1).min(64) * 200;
    shared.env.clock.sleep(Duration::from_micros(shared.env.below(most.max(1)))).await;
}

/// The result of a look.
enum Found {
    /// A task was run, or a query was advanced.
    Work,
    /// There are queries, but nothing to do for this slot now.
    Active,
    /// There is no query.
    Nothing,
}

/// Works on the oldest query that has something to do.
async fn look(
    shared: &Arc<Shared>,
    slot: usize,
    compute: &mut Compute,
) -> Result<Found, StoreError> {
    let mut queries = query::active(&shared.control).await?;
    {
        let mut known = shared.queries.lock();
        known.retain(|query, _| queries.contains(query));
    }
    if queries.is_empty() {
        return Ok(Found::Nothing);
    }
    // Oldest first: ids sort by time of submission.
    queries.sort();
    let mut active = false;
    for query in queries {
        let known = match shared.known(&query).await {
            Ok(Some(known)) => known,
            Ok(None) => continue,
            Err(error) => {
                // A query that cannot be read must not keep this worker from the others.
                tracing::warn!(%query, %error, "a query could not be read");
                active = true;
                continue;
            }
        };
        if known.refused.is_some() {
            continue;
        }
        // The gateway of an inline query runs it; see `Worker::run_query`.
        if known.handle.root.route == Route::Inline {
            continue;
        }
        active = true;
        if shared.env.clock.monotonic() < *known.quiet_until.lock() {
            continue;
        }
        match work_on(shared, &known, slot, compute).await {
            Ok(true) => return Ok(Found::Work),
            Ok(false) => {}
            Err(error) => tracing::warn!(%query, %error, "a query could not be moved on"),
        }
    }
    Ok(if active { Found::Active } else { Found::Nothing })
}

/// Advances a query and runs one of its tasks. Returns false if there was nothing to do.
pub(crate) async fn work_on(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    slot: usize,
    compute: &mut Compute,
) -> Result<bool, AdvanceError> {
    let mut worked = false;
    let mut committed = false;
    loop {
        let mut view = known.handle.look(false).await?;
        let advanced = if committed {
            known.handle.advance(&mut view).await?
        } else {
            known.handle.advance_patiently(&mut view).await?
        };
        if advanced.moved {
            shared.rung.notify_waiters();
            if !advanced.open.is_empty() {
                query::ring(&shared.control, &shared.env).await;
            }
        }
        if advanced.ended.is_some() {
            shared.queries.lock().remove(&known.handle.query);
            return Ok(worked || advanced.moved);
        }
        if advanced.moved {
            *known.quiet_until.lock() = Duration::ZERO;
        }
        // Checked before a task is chosen, because a chosen task is hidden from the other slots of this process.
        let over = shared.stopping.is_cancelled()
            || (!advanced.open.is_empty() && known.handle.ended().await?.is_some());
        if over {
            return Ok(worked);
        }
        let Some(task) = choose(shared, known, &advanced.open, slot) else {
            *known.quiet_until.lock() = shared.env.clock.monotonic() + shared.options.active_poll;
            return Ok(worked || advanced.moved);
        };
        shared.busy.fetch_add(1, Ordering::Relaxed);
        let outcome = attempt::attempt(shared, known, task, compute).await;
        shared.busy.fetch_sub(1, Ordering::Relaxed);
        committed = outcome == AttemptOutcome::Committed;
        match outcome {
            AttemptOutcome::Lost => {}
            AttemptOutcome::Unsettled => {
                known.taken.lock().remove(&(task.stage, task.task, task.attempt));
                return Ok(worked);
            }
            AttemptOutcome::Stopped => return Ok(worked),
            AttemptOutcome::Committed => worked = true,
            AttemptOutcome::Failed(class) => {
                worked = true;
                if class == FailClass::Retry {
                    // The pause gives the missing resource (memory, the store) time to recover, and gives another
                    // worker a chance.
                    let pause = RETRY_PAUSE * (1 << task.attempt.min(4));
                    shared.env.clock.sleep(shared.env.jitter(pause)).await;
                }
            }
        }
    }
}

/// One of the open tasks that no other slot of this process took. It is mostly the first one. But each slot of each
/// worker starts at its own offset among the tasks of the first stage, so that many workers do not compete for one
/// task.
fn choose(shared: &Shared, known: &Known, open: &[OpenTask], slot: usize) -> Option<OpenTask> {
    let mut taken = known.taken.lock();
    let free: Vec<OpenTask> = open
        .iter()
        .filter(|task| !taken.contains(&(task.stage, task.task, task.attempt)))
        .copied()
        .collect();
    let first = free.first()?;
    let same: usize = free.iter().take_while(|task| task.stage == first.stage).count();
    let seed = blake3::hash(format!("{}/{slot}/{}", shared.name, first.stage).as_bytes());
    let offset = usize::from(u16::from_le_bytes([seed.as_bytes()[0], seed.as_bytes()[1]])) % same;
    let chosen = free.get(offset).copied()?;
    taken.insert((chosen.stage, chosen.task, chosen.attempt));
    Some(chosen)
}
