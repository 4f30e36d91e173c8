//! The threads on which plans run: one for each slot, separate from store requests and heartbeats.
//!
//! ```text
//!   slot ──attempt──> Compute ──> a thread of the slot ──> run::run
//!                         └─────> the caller's runtime ──> a stand-in that computes nothing (tests)
//! ```

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dunlin_manifest::env::Clock;
use dunlin_manifest::records::{SlotTime, TaskMetrics};
use dunlin_plan::{priority, threads};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::{Handle, Runtime};

use crate::failure::AttemptError;
use crate::ledger::micros;
use crate::run::{self, Attempt, Rows};
use crate::shared::Shared;

/// A plan that runs.
pub(crate) type Running = BoxFuture<'static, Result<(Rows, TaskMetrics), AttemptError>>;

/// What runs the plans of a process, and where.
#[derive(Clone)]
pub(crate) struct Engine {
    run: Arc<dyn Fn(Arc<Shared>, Attempt) -> Running + Send + Sync>,
    has_threads: bool,
}

impl Engine {
    /// DataFusion, on a thread of each slot.
    pub(crate) fn real() -> Self {
        Self { has_threads: true, ..Self::here() }
    }

    /// DataFusion, on the runtime of the slots.
    pub(crate) fn here() -> Self {
        let run = |shared: Arc<Shared>, attempt| {
            let clock = Arc::clone(&shared.env.clock);
            let plan = async move { run::run(&shared, attempt).await }.boxed();
            let timed = Timed { future: plan, clock, inside: Duration::ZERO };
            let measured = timed.map(|(outcome, inside)| {
                outcome.map(|(rows, mut metrics)| {
                    metrics.slot.compute = micros(inside);
                    (rows, metrics)
                })
            });
            measured.boxed()
        };
        Self { run: Arc::new(run), has_threads: false }
    }

    /// True if plans run on threads of their own.
    pub(crate) fn has_threads(&self) -> bool {
        self.has_threads
    }

    /// Another function, on the runtime of the slot, so that a paused clock sees it wait.
    #[cfg(test)]
    pub(crate) fn stand_in(
        run: impl Fn(Arc<Shared>, Attempt) -> Running + Send + Sync + 'static,
    ) -> Self {
        Self { run: Arc::new(run), has_threads: false }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("has_threads", &self.has_threads).finish_non_exhaustive()
    }
}

/// A future, and the time that its polls take. What it waits for is not in it.
struct Timed<T> {
    future: BoxFuture<'static, T>,
    clock: Arc<dyn Clock>,
    inside: Duration,
}

impl<T> Future for Timed<T> {
    type Output = (T, Duration);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let began = self.clock.monotonic();
        let polled = self.future.as_mut().poll(context);
        let took = self.clock.monotonic().saturating_sub(began);
        self.inside += took;
        polled.map(|value| (value, self.inside))
    }
}

/// What a slot did since the end of its last task.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Since {
    /// When the task was over.
    free: Duration,
    /// For how long it waited for commits.
    commit: Duration,
}

impl Since {
    /// The slot waited for a commit.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.commit += time;
    }

    /// The time up to the beginning of a task of a query that the process has known since `known`.
    pub(crate) fn until(&self, now: Duration, known: Duration) -> SlotTime {
        let all = now.saturating_sub(self.free.max(known));
        let commit = self.commit.min(all);
        SlotTime { commit: micros(commit), idle: micros(all - commit), ..SlotTime::default() }
    }

    /// The slot's task is over.
    pub(crate) fn free(&mut self, now: Duration) {
        *self = Self { free: now, commit: Duration::ZERO };
    }
}

/// Stack of a compute thread. Plans are decoded, run and dropped on it, and nested operator calls are as deep as the
/// deepest plan that planning accepts. Memory is used only for the part of the stack that is used.
const STACK: usize = 256 << 20;

/// The thread on which a slot's plans run. There is one, so that a process computes as many tasks at once as it has
/// slots. It is separate from the runtime of heartbeats and store requests.
#[derive(Debug)]
pub(crate) struct Compute {
    engine: Engine,
    runtime: Option<Runtime>,
    pub(crate) since: Since,
}

impl Compute {
    /// A place for the plans of one slot.
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, runtime: None, since: Since::default() }
    }

    /// The run of the attempt's plan, which begins when it is polled.
    pub(crate) fn run(&self, shared: Arc<Shared>, attempt: Attempt) -> Running {
        (self.engine.run)(shared, attempt)
    }

    /// The runtime for the plan.
    pub(crate) fn handle(&mut self) -> std::io::Result<Handle> {
        if !self.engine.has_threads {
            return Ok(Handle::current());
        }
        if self.runtime.is_none() {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("dunlin-compute")
                .on_thread_start(|| priority::stand_back(priority::NICE))
                .thread_stack_size(STACK)
                .enable_all()
                .build()?;
            self.runtime = Some(runtime);
        }
        let handle = self.runtime.as_ref().map(|runtime| runtime.handle().clone());
        handle.ok_or_else(|| std::io::Error::other("no runtime"))
    }

    /// Leaves what still runs on this thread. The next plan gets another thread.
    pub(crate) fn abandon(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            threads::leave(runtime);
        }
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        self.abandon();
    }
}
