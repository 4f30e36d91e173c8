//! What the calls of one connection are doing, and so whether the connection is idle, or its client has stopped reading.
//!
//! ```text
//!   a call:  works ──a frame is handed over──> gave ──the client has room for the next──> works ──> (ended)
//! ```
//! HTTP/2 has a window for each call: a client that reads nothing fills it, and then no byte crosses the network, which no
//! timer of the TCP stream would notice. A client that reads several answers in turn leaves some of them waiting, so the
//! connection has stalled only if every call of it waits for the client, for the whole time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dunlin_manifest::env::Env;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What the calls of a connection are doing.
#[derive(Debug)]
pub(super) struct Life {
    state: Mutex<State>,
    changed: Notify,
    env: Env,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    calls: usize,
    /// Calls that wait until their client has read.
    waiting: usize,
    /// When a call last began, ended or went on.
    moved: Duration,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It has no calls.
    Idle,
    /// Its client does not read.
    Stalled,
}

impl Life {
    pub(super) fn new(env: Env) -> Arc<Self> {
        let moved = env.clock.monotonic();
        let state = Mutex::new(State { moved, ..State::default() });
        Arc::new(Self { state, changed: Notify::new(), env })
    }

    /// A call has begun.
    pub(super) fn call(self: &Arc<Self>) -> Arc<Call> {
        self.change(|state| state.calls += 1);
        Arc::new(Call { life: Arc::clone(self), is_waiting: AtomicBool::new(false) })
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.moved = self.env.clock.monotonic();
        drop(state);
        self.changed.notify_one();
    }

    /// Resolves when there was no call for `idle`, or when every call has waited for the client for `stall`.
    pub(super) async fn over(&self, idle: Duration, stall: Duration) -> Over {
        loop {
            let State { calls, waiting, moved } = *self.state.lock();
            let (limit, over) = match (calls, waiting) {
                (0, _) => (idle, Over::Idle),
                (calls, waiting) if calls == waiting => (stall, Over::Stalled),
                _ => {
                    self.changed.notified().await;
                    continue;
                }
            };
            let left = (moved + limit).saturating_sub(self.env.clock.monotonic());
            if left.is_zero() {
                return over;
            }
            tokio::select! {
                () = self.env.clock.sleep(left) => {}
                () = self.changed.notified() => {}
            }
        }
    }
}

/// One call of a connection. It ends when the last clone is dropped.
#[derive(Debug)]
pub(super) struct Call {
    life: Arc<Life>,
    is_waiting: AtomicBool,
}

impl Call {
    /// A part of the answer was handed to the connection.
    pub(super) fn gave(&self) {
        if !self.is_waiting.swap(true, Ordering::AcqRel) {
            self.life.change(|state| state.waiting += 1);
        }
    }

    /// The connection asks for more of the answer.
    pub(super) fn works(&self) {
        if self.is_waiting.swap(false, Ordering::AcqRel) {
            self.life.change(|state| state.waiting = state.waiting.saturating_sub(1));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.works();
        self.life.change(|state| state.calls = state.calls.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const NEVER: Duration = Duration::from_secs(3_600);

    async fn over(life: &Life, idle: Duration, stall: Duration) -> Option<Over> {
        tokio::time::timeout(SHORT * 10, life.over(idle, stall)).await.ok()
    }

    #[tokio::test]
    async fn a_connection_without_calls_is_idle_and_one_that_computes_is_neither() {
        let life = Life::new(Env::system());
        assert_eq!(over(&life, SHORT, NEVER).await, Some(Over::Idle));
        let call = life.call();
        assert_eq!(over(&life, SHORT, SHORT).await, None, "the call works");
        drop(call);
        assert_eq!(over(&life, SHORT, NEVER).await, Some(Over::Idle));
    }

    #[tokio::test]
    async fn a_client_has_stalled_only_if_every_call_waits_for_it() {
        let life = Life::new(Env::system());
        let (one, other) = (life.call(), life.call());
        one.gave();
        assert_eq!(over(&life, NEVER, SHORT).await, None, "the other call works");
        other.gave();
        assert_eq!(over(&life, NEVER, SHORT).await, Some(Over::Stalled));
        one.works();
        assert_eq!(over(&life, NEVER, SHORT).await, None, "the client reads again");
        drop(one);
        assert_eq!(over(&life, NEVER, SHORT).await, Some(Over::Stalled));
        drop(other);
        assert_eq!(over(&life, SHORT, NEVER).await, Some(Over::Idle));
    }
}
