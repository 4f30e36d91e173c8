//! What a sandbox keeps, and what a call does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dunlin_invoke::event::{About, Event, Package};
use dunlin_invoke::{Functions, Sdk};
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::Wake;
use dunlin_plan::fence;
use dunlin_worker::{Paid, Pool, Visit, Worker, WorkerOptions};
use lambda_runtime::{Error, LambdaEvent};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::options::{Size, file_from_env};
use crate::sweep::Sweep;

/// So long before the deadline no more tasks are begun: a task that has begun should be done by then.
const LAST_BEGIN: Duration = Duration::from_secs(20);
/// So long before the deadline what still runs is given back. Giving back takes a few requests.
const LAST_RUN: Duration = Duration::from_secs(5);
/// In a call that is shorter than a minute, the two are a part of the whole time.
const SHORT: Duration = Duration::from_secs(60);

/// A sandbox of the function.
#[derive(Debug)]
pub(crate) struct Function {
    env: Env,
    size: Size,
    /// The pool whose queries it runs.
    pool: Option<String>,
    build: String,
    worker: Worker,
    functions: Option<Arc<Functions>>,
    sweep: Sweep,
    /// How long the start of the sandbox took, until its first call.
    init: Mutex<Option<Duration>>,
}

impl Function {
    /// Reads the configuration, and sets up the worker.
    pub(crate) async fn open(begun: Instant) -> Result<Self> {
        let config = file_from_env().await?;
        let size = Size::from_env()?;
        let env = Env::system();
        let io = tokio::runtime::Handle::current();
        let stores = config
            .open_stores(&io)
            .context("the stores of the configuration cannot be opened")?
            .hedged(env.clone());
        let control = stores.control(env.clone());
        let functions = match &config.functions {
            Some(functions) => {
                functions.check().map_err(anyhow::Error::msg)?;
                let sdk =
                    Sdk::new(functions.region.as_deref(), functions.endpoint.as_deref()).await;
                let functions = Functions::new(functions, Arc::new(sdk), env.clone());
                Some(Arc::new(functions.beside(size.slots())))
            }
            None => None,
        };
        let pool = config.worker.pool.clone();
        let options = WorkerOptions {
            pool: Pool::of(pool.clone()).map_err(anyhow::Error::msg)?,
            wake: functions.clone().map(|functions| functions as Arc<dyn Wake>),
            level: functions
                .as_ref()
                .and_then(|functions| functions.level(pool.as_deref(), size.memory_mb)),
            ..size.worker_options()
        };
        let fence = fence::current()?;
        let build = fence.build.clone();
        let sweep = Sweep::new((control.clone(), stores.clone()), fence, functions.clone());
        let worker = Worker::new(control, stores, options, CancellationToken::new())?;
        let init = Mutex::new(Some(since_start().unwrap_or_else(|| begun.elapsed())));
        Ok(Self { env, size, pool, build, worker, functions, sweep, init })
    }

    /// One call. Everything that it starts is over when it returns.
    pub(crate) async fn call(&self, event: LambdaEvent<Value>) -> Result<Value, Error> {
        let begun = Instant::now();
        let left = left(event.context.deadline, self.env.clock.wall_ms());
        let hint = Event::of(&event.payload);
        let init = self.init.lock().take();
        if hint.about {
            return Ok(serde_json::to_value(self.about())?);
        }
        let mut report = if hint.sweep {
            self.sweep.run(left).await?
        } else {
            let paid = Paid { memory_mb: self.size.memory_mb, init };
            let visit = Visit { paid: Some(paid), ..visit(hint.queries(), left) };
            let (visited, calls) = tokio::join!(self.worker.visit(visit), self.call_more(&hint));
            json!({ "tasks": visited.tasks, "is_cut": visited.is_cut, "calls": calls })
        };
        report["ms"] = millis(begun.elapsed()).into();
        tracing::info!(request = event.context.request_id, %report, "a call is over");
        Ok(report)
    }

    /// What this function is.
    fn about(&self) -> About {
        About { package: Package::of(&self.build), memory_mb: self.size.memory_mb }
    }

    /// Makes this function's share of the calls that were needed.
    async fn call_more(&self, hint: &Event) -> usize {
        let Some(functions) = self.functions.as_ref().filter(|_| hint.calls > 0) else { return 0 };
        let class = (self.pool.as_deref(), self.size.memory_mb);
        functions.call(class, hint, hint.calls, &self.build).await
    }
}

/// How long ago the operating system has started this process: the start is paid from there.
fn since_start() -> Option<Duration> {
    // Field 22 of `stat`, in ticks of 1/100 s since the machine started. The name in field 2 may hold spaces.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let ticks: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(uptime - ticks / 100.0).ok()
}

/// The time until a deadline. Lambda gives a time in milliseconds since 1970. cargo-lambda's emulator gives how long the
/// call may take: no time of this century is so small.
fn left(deadline: u64, now_ms: u64) -> Duration {
    const FIRST_OF_2001: u64 = 978_307_200_000;
    let left = if deadline < FIRST_OF_2001 { deadline } else { deadline.saturating_sub(now_ms) };
    Duration::from_millis(left)
}

/// What a call may do that has this much time.
fn visit(queries: Vec<QueryId>, left: Duration) -> Visit {
    let part =
        |of: Duration| if left >= SHORT { of } else { left.mul_f64(of.div_duration_f64(SHORT)) };
    Visit {
        queries,
        begin_for: left.saturating_sub(part(LAST_BEGIN)),
        run_for: left.saturating_sub(part(LAST_RUN)),
        linger: Duration::ZERO,
        paid: None,
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_leaves_time_before_its_deadline() {
        let seconds = Duration::from_secs;
        let long = visit(Vec::new(), seconds(900));
        assert_eq!((long.begin_for, long.run_for), (seconds(880), seconds(895)));
        let short = visit(Vec::new(), seconds(6));
        assert_eq!((short.begin_for, short.run_for), (seconds(4), Duration::from_millis(5_500)));
        assert_eq!(visit(Vec::new(), Duration::ZERO).run_for, Duration::ZERO);
    }

    #[test]
    fn a_deadline_is_a_time_or_how_long_a_call_may_take() {
        let now = 1_800_000_000_000;
        assert_eq!(left(now + 5_000, now), Duration::from_secs(5));
        assert_eq!(left(now - 1, now), Duration::ZERO);
        assert_eq!(left(600_000, now), Duration::from_secs(600));
    }
}
