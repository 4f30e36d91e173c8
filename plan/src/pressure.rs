//! Ends a plan before the operating system ends the process.
//!
//! The engine counts what its operators reserve, and not what they use. A process that has more than its container or its
//! function may have is killed, without a word, with all that it runs. Other workers wait for the leases, take the same
//! tasks, and die in the same way; a gateway takes all its clients with it. So the process looks at its own memory, and ends
//! the attempt or the inline query that began last with a failure that says why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::env::Env;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Pause between two looks while plans run, and while none does.
const PERIOD: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(500));
/// Memory that is left for what happens between two looks.
const LEFT: u64 = 24 << 20;

/// The plans that run in this process, in the order in which they began.
#[derive(Debug, Default)]
pub struct Pressure {
    running: Mutex<(u64, BTreeMap<u64, CancellationToken>)>,
}

/// A plan that runs.
#[derive(Debug)]
pub struct Pressed {
    all: Arc<Pressure>,
    number: u64,
    /// Cancelled when the plan must end, so that the process does not.
    pub short: CancellationToken,
}

impl Drop for Pressed {
    fn drop(&mut self) {
        self.all.running.lock().1.remove(&self.number);
    }
}

impl Pressure {
    /// A plan begins.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Pressed {
        let short = CancellationToken::new();
        let mut running = self.running.lock();
        running.0 += 1;
        let number = running.0;
        running.1.insert(number, short.clone());
        Pressed { all: Arc::clone(self), number, short }
    }

    /// Ends the plan that began last, which loses least. False if none runs.
    fn relieve(&self) -> bool {
        let youngest = self.running.lock().1.pop_last();
        youngest.is_some_and(|(_, short)| {
            short.cancel();
            true
        })
    }
}

/// When the memory of a process is too much.
#[derive(Debug)]
struct Gauge {
    limit: u64,
    /// What the process had when a plan was last ended. The allocator may keep freed memory: then nothing grows.
    borne: u64,
}

impl Gauge {
    /// True if a plan must end now.
    fn is_too_much(&mut self, resident: u64) -> bool {
        let most = self.limit - (self.limit / 16).max(LEFT).min(self.limit / 4);
        if resident < most {
            self.borne = 0;
            return false;
        }
        let is_more = resident > self.borne;
        if is_more {
            self.borne = resident + self.limit / 64;
        }
        is_more
    }
}

/// Looks at the memory of this process until it is dropped. `limit` is what it may have.
pub async fn watch(pressure: &Pressure, limit: Option<u64>, env: &Env) {
    let Some(limit) = limit.filter(|limit| *limit > 0) else {
        return std::future::pending().await;
    };
    let mut gauge = Gauge { limit, borne: 0 };
    loop {
        let is_busy = !pressure.running.lock().1.is_empty();
        env.clock.sleep(if is_busy { PERIOD.0 } else { PERIOD.1 }).await;
        let Some(resident) = resident() else { continue };
        if is_busy && gauge.is_too_much(resident) && pressure.relieve() {
            tracing::error!(
                resident,
                limit,
                "what began last is ended, because the process has too much memory"
            );
        }
    }
}

/// Bytes that the process has in memory.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn one_plan_ends_for_each_growth_above_the_limit() {
        let mut gauge = Gauge { limit: 512 * MB, borne: 0 };
        assert!(!gauge.is_too_much(470 * MB));
        assert!(gauge.is_too_much(481 * MB));
        // What was freed may still be counted.
        assert!(!gauge.is_too_much(481 * MB) && !gauge.is_too_much(488 * MB));
        assert!(gauge.is_too_much(490 * MB), "it grows");
        assert!(!gauge.is_too_much(100 * MB) && gauge.is_too_much(481 * MB));
        let mut small = Gauge { limit: 64 * MB, borne: 0 };
        assert!(!small.is_too_much(47 * MB) && small.is_too_much(49 * MB));
    }

    #[test]
    fn the_plan_that_began_last_ends_first() {
        let pressure = Arc::new(Pressure::default());
        let (first, second) = (pressure.enter(), pressure.enter());
        assert!(pressure.relieve());
        assert!(second.short.is_cancelled() && !first.short.is_cancelled());
        drop(second);
        let third = pressure.enter();
        assert!(pressure.relieve() && third.short.is_cancelled());
        drop(third);
        assert!(pressure.relieve() && first.short.is_cancelled() && !pressure.relieve());
    }

    #[test]
    fn a_process_knows_what_it_has() {
        assert!(resident().is_some_and(|bytes| bytes > MB));
    }
}
