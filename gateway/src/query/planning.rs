//! Parsing and planning statements: on threads with the stack that the statement limits need, a limited number at a
//! time, and for a limited time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dunlin_manifest::env::Env;
use dunlin_planner::{Described, ParsedStatement, PlanError, Planned, Planner, TooComplex};

use super::error::{CoreError, ErrorKind};
use super::seats::Seats;
use super::statement::Statement;
use super::threads::{ThreadKind, no_thread};
use crate::options::PlanningLimits;

/// Stack of a planning thread. It is generous, because the use of a statement at the limits has not been measured
/// yet. Memory is used only for the part of the stack that is used.
const STACK: usize = 512 << 20;

/// Plans statements.
#[derive(Debug)]
pub(super) struct Planning {
    env: Env,
    limits: PlanningLimits,
    seats: Seats,
    /// Running threads, including those whose result no request waits for any more.
    running: Arc<AtomicUsize>,
}

/// Counts a thread while it runs.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Planning {
    pub(super) fn new(env: Env, limits: PlanningLimits) -> Self {
        let seats = Seats::new("statements are planned", limits.at_once, limits.queue);
        Self { env, limits, seats, running: Arc::default() }
    }

    /// Statements that are parsed or planned now, and those that wait for it.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.running.load(Ordering::Relaxed), self.seats.waiting())
    }

    /// Parses a statement.
    pub(super) async fn parse(
        &self,
        planner: &Planner,
        sql: String,
    ) -> Result<ParsedStatement, CoreError> {
        let planner = planner.clone();
        self.run(move || async move { planner.parse(&sql) }).await
    }

    /// Plans a parsed statement.
    pub(super) async fn plan(
        &self,
        planner: &Planner,
        parsed: ParsedStatement,
        statement: Statement,
    ) -> Result<Planned, CoreError> {
        let planner = planner.clone();
        let Statement { parameters, settings, .. } = statement;
        self.run(move || async move { planner.plan(&parsed, &parameters, &settings).await }).await
    }

    /// Describes a parsed statement.
    pub(super) async fn describe(
        &self,
        planner: &Planner,
        parsed: ParsedStatement,
    ) -> Result<Described, CoreError> {
        let planner = planner.clone();
        self.run(move || async move { planner.describe(&parsed).await }).await
    }

    /// Runs other work as a statement is planned: on a thread of its own, and within the limits of planning.
    pub(super) async fn run<T: Send + 'static, F: Future<Output = Result<T, PlanError>>>(
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
        let done = done.map_err(no_thread)?;
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
