//! The stage worker as a process of its own, which runs until it is asked to stop: `dunlin-worker` in containers, and
//! `dunlin worker`.
//!
//! ```text
//!   dunlin.toml ─> stores ─> worker: claims, runs and commits tasks      it listens on no port
//!                              ├── hears of work from a gateway (wake), or looks
//!                              ├── touches a file while it is alive      a container's health check looks at the file
//!                              ├── SIGHUP: reads again where the tables are
//!                              └── SIGTERM: begins no more tasks, ends or gives back those in progress, exits 0
//! ```

pub mod alive;
pub mod credentials;
pub mod logging;
mod memory;
mod options;
mod reload;
pub mod report;
pub mod signals;
mod wake;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use dunlin_invoke::{Functions, Sdk};
use dunlin_manifest::env::Env;
use dunlin_manifest::keys;
use dunlin_manifest::store::ControlStore;
use dunlin_plan::config::{FunctionsConfig, StateConfig, WorkerConfig};
use dunlin_plan::stores::Stores;
use dunlin_worker::{Pool, Wake, Worker, WorkerOptions, new_name};
use tokio_util::sync::CancellationToken;

pub use options::{ConfigOptions, Options, tree};
pub use wake::OverHttp;

/// Stack of the threads for requests and records. They read, print and drop plans, which are as deep as planning
/// accepts. Memory is used only for the part of the stack that is used.
pub const IO_STACK: usize = 64 << 20;

/// What a worker process is started with.
#[derive(Debug)]
pub struct Start {
    /// `[state]`.
    pub state: StateConfig,
    /// The stores of the configuration.
    pub stores: Stores,
    /// `[worker]`.
    pub worker: WorkerConfig,
    /// `[functions]`.
    pub functions: Option<FunctionsConfig>,
    /// The command line.
    pub options: Options,
}

/// The runtime for requests, heartbeats and coordination. Plans run on threads of their own.
///
/// # Errors
/// The operating system gives no threads.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("dunlin-io")
        .thread_stack_size(IO_STACK)
        .enable_all()
        .build()?)
}

/// Bytes that a process of this configuration may have in memory: what it says, or what its container may have. `None`: no
/// limit is known.
#[must_use]
pub fn resident_bytes(config: &WorkerConfig) -> Option<u64> {
    config.resident_bytes.or_else(memory::of_container)
}

/// What a worker of this configuration may use.
///
/// # Errors
/// `pool` cannot be the name of a pool.
pub fn worker_options(
    config: &WorkerConfig,
    stores: &Stores,
    slots: usize,
) -> Result<WorkerOptions> {
    let mut options = if stores.control_location().is_remote() {
        WorkerOptions::remote(slots, config.memory_bytes)
    } else {
        WorkerOptions::local(slots, config.memory_bytes)
    };
    options.pool =
        Pool::of(config.pool.clone()).map_err(|error| anyhow::anyhow!("[worker] {error}"))?;
    options.spill_dir = config.spill_dir.as_ref().map(Into::into);
    options.spill_bytes = config.spill_bytes;
    options.resident_bytes = resident_bytes(config);
    if let Some(millis) = config.idle_poll_ms {
        options.idle_poll = Duration::from_millis(millis.max(1));
    }
    Ok(options)
}

/// Gateways and workers in separate processes must see the same state.
///
/// # Errors
/// The state is in the memory of one process.
pub fn check_shared(stores: &Stores) -> Result<()> {
    let control = stores.control_location();
    anyhow::ensure!(
        [control, &stores.state].iter().all(|place| place.store.scheme() != "memory"),
        "[state] location memory:// is seen by one process only: use `dunlin run`, or a folder or bucket"
    );
    Ok(())
}

/// The functions of a configuration.
pub async fn functions(config: &FunctionsConfig, env: Env) -> Functions {
    let sdk = Sdk::new(config.region.as_deref(), config.endpoint.as_deref()).await;
    Functions::new(config, Arc::new(sdk), env)
}

/// Works until the process is asked to stop: by SIGTERM it ends or gives back its tasks within `grace_ms`, by Ctrl-C, or
/// when it is asked once more, it gives them back at once.
///
/// # Errors
/// A store that only one process sees, or an engine that cannot be set up.
pub async fn work(start: Start) -> Result<()> {
    let Start { state, stores, worker: config, functions: called, options } = start;
    let Options { config: from, slots, pool, credentials, alive_file } = options;
    let config = WorkerConfig { pool: pool.or(config.pool), ..config };
    check_shared(&stores)?;
    let control = stores.control(Env::system());
    let slots = slots.or(config.slots).unwrap_or_else(cores).max(1);
    let otherwise = match &called {
        Some(called) => {
            let functions = functions(called, control.env().clone()).await.beside(slots);
            Some(Arc::new(functions) as Arc<dyn Wake>)
        }
        None => None,
    };
    let name = new_name(control.env(), std::process::id());
    let pool = config.pool.as_deref();
    let wake = OverHttp::new(control.clone(), otherwise, credentials, &name, pool);
    let wake = Some(Arc::new(wake) as Arc<dyn Wake>);
    let options =
        WorkerOptions { name: Some(name), wake, ..worker_options(&config, &stores, slots)? };
    if let Err(error) = control.get(keys::BELL).await {
        // It may come back, or be mended, while this worker runs.
        let why = report::report(&error.into());
        tracing::error!("the state cannot be reached, and this worker goes on trying: {why}");
    }
    let stopping = CancellationToken::new();
    let worker = Worker::new(control, stores, options, stopping.clone())?;
    let reloading =
        tokio::spawn(reload::run(worker.clone(), from.sources(), state, signals::hangups()?));
    tracing::info!(worker = worker.name(), slots, "worker started");
    let grace = Duration::from_millis(config.grace_ms);
    let leaving = tokio::spawn(leave_when_asked(worker.clone(), grace, stopping));
    let living = alive_file.map(|file| tokio::spawn(alive::keep(worker.clone(), file)));
    worker.run().await;
    leaving.abort();
    reloading.abort();
    if let Some(living) = living {
        living.abort();
    }
    Ok(())
}

async fn leave_when_asked(worker: Worker, grace: Duration, stopping: CancellationToken) {
    if signals::asked().await == signals::Asked::Now {
        tracing::info!("stopping: tasks in progress are given back");
        return stopping.cancel();
    }
    tracing::info!(
        grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        "stopping: no more tasks are begun"
    );
    tokio::select! {
        () = worker.leave(grace) => {}
        _ = signals::asked() => stopping.cancel(),
    }
}

/// Cores of this machine, or of the container's share of it.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
