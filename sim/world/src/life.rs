//! The life of a process: it goes on, stands still, or is over.
//!
//! ```text
//!   every request to the store ──┐
//!   every sleep ─────────────────┴──> alive()   waits while the process is frozen, and forever once it is dead
//! ```
//! A process acts on others only through the store and through news, and learns of time only by its clock. So one that
//! never comes back from any of them is as good as killed, at whatever line it was.

use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::env::{Clock, Env};
use dunlin_sim::clock::SimClock;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

/// What has become of a process.
#[derive(Debug)]
pub(crate) struct Life {
    /// Its number in the trace.
    pub(crate) number: u32,
    clock: SimClock,
    dead: watch::Sender<bool>,
    frozen_until: Mutex<Duration>,
}

impl Life {
    pub(crate) fn new(number: u32, clock: &SimClock) -> Arc<Self> {
        let dead = watch::Sender::new(false);
        Arc::new(Self { number, clock: clock.clone(), dead, frozen_until: Mutex::default() })
    }

    /// As SIGKILL.
    pub(crate) fn kill(&self) {
        self.dead.send_replace(true);
    }

    /// As SIGSTOP now and SIGCONT then.
    pub(crate) fn freeze(&self, until: Duration) {
        *self.frozen_until.lock() = until;
    }

    pub(crate) fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Resolves when the process is dead.
    pub(crate) async fn died(&self) {
        // The sender lives as long as `self`.
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// Resolves when the process may go on.
    pub(crate) async fn alive(&self) {
        loop {
            if self.is_dead() {
                return std::future::pending().await;
            }
            let until = *self.frozen_until.lock();
            let left = until.saturating_sub(self.clock.now());
            if left.is_zero() {
                return;
            }
            self.clock.sleep(left).await;
        }
    }

    /// The environment of the process. Its clock is wrong by so many milliseconds.
    pub(crate) fn env(self: &Arc<Self>, of_world: &Env, wrong_ms: i64) -> Env {
        let clock = OwnClock { life: Arc::clone(self), wrong_ms };
        Env { clock: Arc::new(clock), ..of_world.clone() }
    }
}

/// The clock of a process.
#[derive(Debug)]
struct OwnClock {
    life: Arc<Life>,
    wrong_ms: i64,
}

impl Clock for OwnClock {
    fn monotonic(&self) -> Duration {
        self.life.clock.now()
    }

    fn wall_ms(&self) -> u64 {
        self.life.clock.wall_ms().saturating_add_signed(self.wrong_ms)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (life, sleep) = (Arc::clone(&self.life), self.life.clock.sleep(duration));
        async move {
            sleep.await;
            life.alive().await;
        }
        .boxed()
    }
}
