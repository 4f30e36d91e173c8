//! Where statements are parsed and planned: on threads with the stack that the limits of a statement need, a
//! bounded number at a time, and for a bounded time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dunlin_manifest::env::Env;
use dunlin_planner::{ParsedStatement, PlanError, Planned, Planner, TooComplex};

use super::error::{CoreError, ErrorKind};
use super::seats::Seats;
use super::statement::Statement;
use super::threads::ThreadKind;
use crate::options::PlanningLimits;

/// Stack of a planning thread: generous, because how much a statement at the limits uses was not measured yet. Memory
/// is taken only as far as a stack is used.
const STACK: usize = 512 << 20;

/// Plans statements.
#[derive(Debug)]
pub(super) struct Planning {
    planner: Planner,
    env: Env,
    limits: PlanningLimits,
    seats: Seats,
    /// Threads at work, those included that nobody waits for any more.
    running: Arc<AtomicUsize>,
}

/// Counts a thread for as long as it works.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Planning {
    pub(super) fn new(planner: Planner, env: Env, limits: PlanningLimits) -> Self {
        let seats = Seats::new("statements are planned", limits.at_once, limits.queue);
        Self { planner, env, limits, seats, running: Arc::default() }
    }

    /// Parses a statement.
    pub(super) async fn parse(&self, sql: String) -> Result<ParsedStatement, CoreError> {
        let planner = self.planner.clone();
        self.run(move || async move { planner.parse(&sql) }).await
    }

    /// Plans a parsed statement.
    pub(super) async fn plan(
        &self,
        parsed: ParsedStatement,
        statement: Statement,
    ) -> Result<Planned, CoreError> {
        let planner = self.planner.clone();
        let Statement { parameters, settings, .. } = statement;
        self.run(move || async move { planner.plan(&parsed, &parameters, &settings).await }).await
    }

    async fn run<T: Send + 'static, F: Future<Output = Result<T, PlanError>>>(
        &self,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, CoreError> {
        let _seat = self.seats.take(&self.env, self.limits.time).await?;
        let counted = Counted(Arc::clone(&self.running));
        if self.running.fetch_add(1, Ordering::Relaxed)
            >= self.limits.at_once + self.limits.given_up
        {
            return Err(ErrorKind::Busy(format!(
                "this gateway is busy: {} statements that took too long to plan are still being planned; try again later, or on another gateway",
                self.limits.given_up
            ))
            .into());
        }
        let kind = ThreadKind { name: "dunlin-plan", stack: STACK, nice: 0, threads: 1 };
        let done = kind.run(move || {
            let work = work();
            async move {
                let _counted = counted;
                work.await
            }
        });
        let done = done.map_err(CoreError::internal)?;
        tokio::select! {
            done = done => match done {
                Ok(done) => Ok(done?),
                Err(_) => Err(CoreError::internal("the request met a defect; it was logged")),
            },
            () = self.env.clock.sleep(self.limits.time) => {
                let limit = TooComplex::PlanningTime { most: self.limits.time };
                Err(PlanError::TooComplex(limit).into())
            }
        }
    }
}
