//! A gateway and workers in this process, with a state in memory or on a store that is far away. Tests use them over HTTP
//! like any other gateway. They run on threads of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use dunlin_gateway::{Gateway, GatewayOptions, Hub};
use dunlin_manifest::env::Env;
use dunlin_planner::Planner;
use dunlin_planner::config::Config;
use dunlin_sim::far::{Latency, Profile, Proxy};
use dunlin_worker::{Worker, WorkerOptions};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// Tasks at once.
const SLOTS: usize = 2;
/// Threads of its runtime.
const THREADS: usize = 2;

/// Says that the state is on the S3 server of the tests, and that each answer takes 27 ± 8 ms.
const FAR: &str = "DUNLIN_EXACT_FAR";

/// Where the fleet's state is.
#[derive(Debug)]
pub(crate) struct State {
    /// Its section of the configuration.
    pub(crate) toml: String,
    /// It delays the answers.
    _proxy: Option<Proxy>,
}

impl State {
    /// The state that the environment asks for. Each is a new one.
    ///
    /// # Errors
    /// There is no S3 server (`scripts/minio`), or the proxy cannot be started.
    pub(crate) async fn new() -> Result<Self> {
        if std::env::var_os(FAR).is_none() {
            let toml = "[state]\nlocation = \"memory://\"\n\n".to_owned();
            return Ok(Self { toml, _proxy: None });
        }
        let of = |name: &str| {
            std::env::var(format!("DUNLIN_TEST_S3_{name}"))
                .with_context(|| format!("{FAR} needs an S3 server: scripts/exact --far"))
        };
        let (bucket, key, secret) = (of("BUCKET")?, of("KEY")?, of("SECRET")?);
        let latency = Latency::new(Profile::Even, 1);
        let proxy = Proxy::start(&of("ENDPOINT")?, &bucket, latency, |_| false).await?;
        let name = Env::system().nonce();
        let toml = format!(
            "[state]\nlocation = \"s3://{bucket}/exact/{name}\"\n[state.params]\nendpoint = \"{}\"\nregion = \"us-east-1\"\nkey = \"{key}\"\nsecret = \"{secret}\"\nallow_http = true\n\n",
            proxy.endpoint(),
        );
        Ok(Self { toml, _proxy: Some(proxy) })
    }
}

/// A running fleet; stopped when dropped.
#[derive(Debug)]
pub struct Fleet {
    address: SocketAddr,
    stopping: CancellationToken,
    /// The runtime is dropped without waiting, because a task that never yields must not block the test.
    io: Option<Runtime>,
}

impl Fleet {
    /// Starts a gateway on a free port of loopback, and a worker, over the configuration's state.
    ///
    /// # Errors
    /// The configuration cannot be used, or nothing can be started.
    pub async fn start(config: &Config) -> Result<Self> {
        let io = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("exact-io")
            .enable_all()
            .build()?;
        let stores = config.open_stores(io.handle())?;
        let env = Env::system();
        let control = stores.control(env.clone());
        let gateway = Gateway {
            links: None,
            planner: Planner::open(config, &stores)?,
            control: Arc::new(control.clone()),
            hub: Arc::new(Hub::new(Arc::clone(&env.clock))),
            env,
            local: None,
        };
        let limits = config.limits.resolve()?;
        let options = GatewayOptions { limits, ..GatewayOptions::default() };
        let stopping = CancellationToken::new();
        // Short pauses on a far store, too: nobody tells this worker of news.
        let options_of_worker = WorkerOptions::local(SLOTS, config.worker.memory_bytes);
        let worker = Worker::new(control, stores, options_of_worker, stopping.clone())?;
        io.spawn(async move { worker.run().await });
        let listener = io.spawn(TcpListener::bind("127.0.0.1:0")).await??;
        let address = listener.local_addr().context("a listener has an address")?;
        let stop = stopping.clone().cancelled_owned();
        io.spawn(dunlin_gateway::serve(gateway, options, listener, stop));
        Ok(Self { address, stopping, io: Some(io) })
    }

    /// `http://address`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stopping.cancel();
        if let Some(io) = self.io.take() {
            io.shutdown_background();
        }
    }
}
