//! A slot: the loop that looks for a task, runs it, and looks again.
//!
//! ```text
//!   look ──> work_on a query: advance ─> choose ─> attempt ─┐
//!    ^  ^                         ^                         │ again at once: the slot
//!    │  └─ another's turn ────────┼─────────────────────────┤ that sealed a stage continues
//!    └── nothing to do, pause ────┴─────────────────────────┘
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dunlin_plan::words;
use futures::FutureExt;

use crate::compute::{Compute, Engine};
use crate::finding::{Ears, Found, look};
use crate::shared::Shared;

/// Keeps a slot running. A panic outside a task (caused by an unexpected record, for example) must not end the slot.
///
/// `linger` is for a visit: the slot leaves when it has found nothing for so long and no other slot is at work.
pub(crate) async fn keep_slot(
    shared: Arc<Shared>,
    engine: Engine,
    slot: usize,
    linger: Option<Duration>,
) {
    loop {
        let running = slot_loop(Arc::clone(&shared), engine.clone(), slot, linger);
        if std::panic::AssertUnwindSafe(running).catch_unwind().await.is_ok() {
            return;
        }
        if shared.is_leaving() {
            return;
        }
        tracing::error!(slot, "a slot panicked and starts again");
        shared.forget_unclaimed();
        let stopping = shared.stopping();
        tokio::select! {
            () = shared.env.clock.sleep(shared.options.sweep) => {}
            () = stopping.cancelled() => return,
        }
    }
}

/// One loop of the process: finds a task, runs it, and looks again.
async fn slot_loop(shared: Arc<Shared>, engine: Engine, slot: usize, linger: Option<Duration>) {
    let mut pause = shared.options.active_poll;
    let mut compute = Compute::new(engine);
    let mut ears = Ears::default();
    // What a frozen process has not done is no time of a slot.
    compute.since.free(shared.env.clock.monotonic());
    let mut idle_since = None;
    let stopping = shared.stopping();
    while !shared.is_leaving() {
        let rung = shared.rung.notified();
        shared.turned();
        let found = match look(&shared, slot, &mut compute, &mut ears).await {
            Ok(found) => found,
            Err(error) => {
                let error = words::explained(&error);
                tracing::warn!(%error, "the state store could not be looked at");
                Found::Nothing
            }
        };
        let crowd = shared.crowd();
        let (shortest, longest) = crowd.pauses(&shared.options);
        pause = match found {
            Found::Work => shortest,
            // A ring of the bell ends the pause, so the pause may grow to that of an idle worker.
            Found::Active => (pause + pause / 4).clamp(shortest, longest),
            Found::Nothing => shared.options.sweep,
        };
        if matches!(found, Found::Work) {
            idle_since = None;
            // In a large crowd the next look may wait: this one has ended with looks.
            if !(crowd.is_large() && shared.has_one_query()) {
                continue;
            }
        }
        // Slots that one ring has woken must not stay in step.
        let mut wait = shared.env.jitter(pause);
        if let Some(linger) = linger {
            let now = shared.env.clock.monotonic();
            let idle_for = now.saturating_sub(*idle_since.get_or_insert(now));
            // A slot that is at work may complete a stage.
            let is_last = shared.at_work.load(Ordering::Relaxed) == 0;
            if is_last && idle_for >= linger {
                break;
            }
            wait = if is_last { wait.min(linger - idle_for) } else { wait.max(VISITOR_PAUSE) };
        }
        tokio::select! {
            () = rung => spread(&shared).await,
            () = shared.env.clock.sleep(wait) => {}
            () = stopping.cancelled() => {}
        }
    }
    // The others may be waiting for this one.
    shared.rung.notify_waiters();
}

/// The least pause of a slot of a visit that waits for the other slots.
const VISITOR_PAUSE: Duration = Duration::from_millis(500);

/// After a ring every slot looks. They wait for different short times, so that they do not all try the same task.
async fn spread(shared: &Shared) {
    let most = u64::try_from(shared.options.slots).unwrap_or(1).min(64) * 200;
    shared.env.clock.sleep(Duration::from_micros(shared.env.below(most.max(1)))).await;
}
