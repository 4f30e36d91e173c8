//! The stage worker as an AWS Lambda function: a thin binary around [`Worker::visit`](dunlin_worker::Worker::visit).
//!
//! ```text
//!   init     once for each sandbox: configuration, stores, engine         kept warm between calls
//!   call     {"queries": ["…"], "calls": 9} ─┬> call nine more functions
//!                                            └> claim, run and commit tasks, until there are none or 20 s before the
//!                                               deadline; call functions for the next stage ─> {"tasks": 7, …}
//!            {"sweep": true} ─> look after all queries, call functions for tasks that nobody takes
//!            {"about": true} ─> what this function is
//!   frozen   nothing of a call runs after its answer
//! ```
//! The event is a hint ([`dunlin_invoke::event`]). What a call could not finish is given back, and any other worker runs it.

mod function;
mod options;
mod sweep;

use std::sync::Arc;
use std::time::Instant;

use dunlin_config::{RedactedStderr, redact};
use dunlin_invoke::event::Package;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

use crate::function::Function;

/// The operators of several threads allocate and free all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Error> {
    let begun = Instant::now();
    // What the package's script asks.
    if std::env::args().nth(1).as_deref() == Some("--about") {
        let package = Package::of(&dunlin_plan::fence::current()?.build);
        println!("{}", serde_json::to_string(&package)?);
        return Ok(());
    }
    logging();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("dunlin-io")
        .enable_all()
        .build()?;
    // Without a worker every call would fail. The runtime tells so at once, with the reason.
    let function = runtime
        .block_on(Function::open(begun))
        .map_err(|error| redact(&format!("{error:#}")).into_owned())?;
    let function = Arc::new(function);
    tracing::info!(init_ms = function::millis(begun.elapsed()), "ready");
    runtime.block_on(lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let function = Arc::clone(&function);
        async move { function.call(event).await }
    })))
}

/// JSON lines for the function's log group.
fn logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("DUNLIN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(RedactedStderr::default)
        .without_time()
        .init();
}
