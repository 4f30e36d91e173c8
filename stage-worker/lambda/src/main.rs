//! The stage worker as an AWS Lambda function: a thin binary around [`Worker::visit`].
//!
//! ```text
//!   init        once for each sandbox: configuration, stores, engine          kept warm between calls
//!   call        {"queries": ["…"]} ─> claim, run and commit tasks ─> {"tasks": 7, "is_cut": false}
//!                                     until there are none, or 20 s before the deadline
//!   frozen      nothing of a call runs after its answer
//! ```
//! The event is a hint: it may name queries that have work. Any other event means "look". What a call could not finish is
//! given back, and any other worker runs it.

mod options;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_plan::stores::Stores;
use dunlin_worker::{Visit, Worker};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::options::{Config, Function};

/// So long before the deadline no more tasks are begun: a task that has begun should be done by then.
const LAST_BEGIN: Duration = Duration::from_secs(20);
/// So long before the deadline what still runs is given back. Giving back takes a few requests.
const LAST_RUN: Duration = Duration::from_secs(5);
/// In a call that is shorter than a minute, the two are a part of the whole time.
const SHORT: Duration = Duration::from_secs(60);

fn main() -> std::result::Result<(), Error> {
    let begun = Instant::now();
    logging();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("dunlin-io")
        .enable_all()
        .build()?;
    let worker = runtime.block_on(async { worker(&tokio::runtime::Handle::current()) });
    // Without a worker every call would fail. The runtime tells so at once, with the reason.
    let worker = Arc::new(worker.map_err(|error| format!("{error:#}"))?);
    tracing::info!(init_ms = millis(begun.elapsed()), "ready");
    runtime.block_on(lambda_runtime::run(service_fn(move |event| {
        let worker = Arc::clone(&worker);
        async move { call(&worker, event).await }
    })))
}

/// The worker of this sandbox.
fn worker(io: &tokio::runtime::Handle) -> Result<Worker> {
    let config = Config::from_env()?;
    let function = Function::from_env()?;
    let env = Env::system();
    let stores = Stores::open(&config.state, config.reaches(), io)
        .context("the stores of the configuration cannot be opened")?
        .hedged(env.clone());
    let control = stores.control(env);
    Ok(Worker::new(control, stores, function.worker_options(), CancellationToken::new())?)
}

/// One call.
async fn call(worker: &Worker, event: LambdaEvent<Value>) -> std::result::Result<Value, Error> {
    let begun = Instant::now();
    let left = event.context.deadline.saturating_sub(Env::system().clock.wall_ms());
    let visit = visit(queries(&event.payload), Duration::from_millis(left));
    let visited = worker.visit(visit).await;
    let report = json!({
        "tasks": visited.tasks,
        "is_cut": visited.is_cut,
        "ms": millis(begun.elapsed()),
    });
    tracing::info!(request = event.context.request_id, %report, "a call is over");
    Ok(report)
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
    }
}

/// The queries that an event names. What is not an id is left out.
fn queries(event: &Value) -> Vec<QueryId> {
    let named = event["queries"].as_array().into_iter().flatten();
    named.filter_map(|query| QueryId::parse(query.as_str()?)).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// JSON lines for the function's log group.
fn logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("DUNLIN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_event_is_a_hint() {
        let query = "01a3185c-5bb8-7392-b4b7-ec3539c5d944";
        let named = queries(&json!({ "queries": [query, "no id", 7], "more": true }));
        assert_eq!(named.iter().map(QueryId::as_str).collect::<Vec<_>>(), [query]);
        for event in [json!({}), json!(null), json!("x"), json!({ "queries": query })] {
            assert!(queries(&event).is_empty(), "{event}");
        }
    }

    #[test]
    fn a_call_leaves_time_before_its_deadline() {
        let seconds = Duration::from_secs;
        let long = visit(Vec::new(), seconds(900));
        assert_eq!((long.begin_for, long.run_for), (seconds(880), seconds(895)));
        let short = visit(Vec::new(), seconds(6));
        assert_eq!((short.begin_for, short.run_for), (seconds(4), Duration::from_millis(5_500)));
        assert_eq!(visit(Vec::new(), Duration::ZERO).run_for, Duration::ZERO);
    }
}
