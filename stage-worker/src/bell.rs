//! The bell: one object that changes when there may be work. A change ends the pauses of idle slots.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dunlin_manifest::keys;
use dunlin_manifest::store::{Changed, ControlStore};

use crate::shared::Shared;

/// The pause of a process that is told of work is so many times longer.
const TOLD: u32 = 10;

/// Reads the bell while the process is idle, and wakes its slots when the bell has changed.
pub(crate) async fn watch_bell(shared: Arc<Shared>) {
    // `None` until the first read. Work that was announced before this process started is found by its first look at
    // the queries.
    let mut last: Option<Bell> = None;
    loop {
        let busy = shared.busy.load(Ordering::Relaxed) as usize >= shared.options.slots;
        if !busy {
            let tag = match &last {
                Some(Bell::Rung(tag)) => tag.as_deref(),
                _ => None,
            };
            let now = match shared.control.get_if_changed(keys::BELL, tag).await {
                Ok(Changed::Got(got)) => Some(Bell::Rung(got.e_tag)),
                Ok(Changed::Missing) => Some(Bell::Missing),
                Ok(Changed::NotModified) => None,
                Err(error) => {
                    tracing::debug!(%error, "the bell could not be read");
                    None
                }
            };
            if let Some(now) = now {
                if last.as_ref().is_some_and(|last| *last != now) {
                    for known in shared.queries.lock().values() {
                        *known.quiet_until.lock() = Duration::ZERO;
                    }
                    shared.rung.notify_waiters();
                }
                last = Some(now);
            }
        }
        // Of many that are told, few must ask as well.
        let is_told = shared.place.lock().is_some() && shared.crowd().is_large();
        let pause = shared.options.idle_poll * if is_told { TOLD } else { 1 };
        shared.env.clock.sleep(shared.env.jitter(pause)).await;
    }
}

/// What was last seen of the bell.
#[derive(Debug, PartialEq, Eq)]
enum Bell {
    Missing,
    Rung(Option<String>),
}
