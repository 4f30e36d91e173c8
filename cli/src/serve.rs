//! The long-running commands: they start gateways and workers from a configuration.
//!
//! I/O (HTTP, store requests, heartbeats, coordination) and compute (DataFusion's plans) have separate runtimes, so
//! that a busy plan never delays a heartbeat.

mod embedded;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use dunlin_config::{Tree, redact};
use dunlin_gateway::{
    Current, DoorOptions, Gateway, GatewayOptions, Guest, Hub, InlineLimits, LinkMaker, Listeners,
    LocalRunner, Metrics, SpanSink, WatchPeriods,
};
use dunlin_invoke::Functions;
use dunlin_invoke::event::Package;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::probe::{self, ProbeOptions};
use dunlin_manifest::store::{ControlStore, ObjectControlStore};
use dunlin_plan::fence;
use dunlin_plan::stores::Stores;
use dunlin_plan::words;
use dunlin_planner::Planner;
use dunlin_planner::config::Config;
use dunlin_planner::cost::Tariff;
use dunlin_process::{ConfigOptions, Options, Start, cores, logging, signals};
use dunlin_worker::{Pool, Wake, Worker, WorkerOptions};
use http::Method;
use object_store::path::Path as StorePath;
use object_store::signer::Signer;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::collecting;
use crate::door;
pub use crate::door::Listen;
use crate::in_process::InProcess;
use crate::otlp::Otlp;
use crate::reload::{self, Reload, most};

pub(crate) use embedded::Embedded;

/// The most bytes of an answer in the store that a gateway sends which is a function.
const MOST_OF_A_FUNCTION: u64 = 24 << 20;

/// A store whose requests fail is tried again for so long, with this pause.
const PROBED: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(200);

/// Who may call the function URL, as AWS names it; set by Terraform.
const URL_AUTH: &str = "DUNLIN_URL_AUTH";

/// The megabytes of a function, set by Lambda.
const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";

/// A configuration that was read, and from where.
pub(crate) struct Loaded {
    pub(crate) from: ConfigOptions,
    pub(crate) tree: Tree,
    pub(crate) config: Config,
}

/// What every command opens at its start.
pub(crate) struct Opened {
    from: ConfigOptions,
    pub(crate) tree: Tree,
    pub(crate) config: Config,
    pub(crate) stores: Stores,
    pub(crate) control: ObjectControlStore,
    pub(crate) io: Runtime,
}

/// Reads a command's configuration and starts logging.
pub(crate) fn load(from: &ConfigOptions) -> Result<Loaded> {
    logging::start();
    read(from)
}

/// Reads a command's configuration.
fn read(from: &ConfigOptions) -> Result<Loaded> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tree = runtime.block_on(dunlin_process::tree(&from.sources()))?;
    let config = Config::of(&tree)?;
    Ok(Loaded { from: from.clone(), tree, config })
}

impl Opened {
    pub(crate) fn of(loaded: Loaded) -> Result<Self> {
        let Loaded { from, tree, config } = loaded;
        let io = dunlin_process::runtime()?;
        let stores = config.open_stores(io.handle())?.hedged(Env::system());
        let control = stores.control(Env::system());
        Ok(Self { from, tree, config, stores, control, io })
    }

    fn worker(
        &self,
        slots: usize,
        wake: Arc<dyn Wake>,
        stopping: CancellationToken,
    ) -> Result<Worker> {
        let options = dunlin_process::worker_options(&self.config.worker, &self.stores, slots)?;
        // Its own workers may be the only ones.
        let pool = match options.pool {
            Pool::None => Pool::All,
            pool => pool,
        };
        let options = WorkerOptions { wake: Some(wake), pool, ..options };
        Ok(Worker::new(self.control.clone(), self.stores.clone(), options, stopping)?)
    }

    /// The functions of the configuration.
    pub(crate) async fn functions(&self) -> Option<Functions> {
        let config = self.config.functions.as_ref()?;
        Some(dunlin_process::functions(config, self.control.env().clone()).await)
    }

    /// The functions of the configuration, unless they cannot be used.
    async fn checked_functions(&self) -> Result<Option<Functions>> {
        let functions = self.functions().await;
        let is_checked = self.config.functions.as_ref().is_some_and(|config| config.check);
        if let Some(functions) = functions.as_ref().filter(|_| is_checked) {
            let build = fence::current()?.build;
            for note in dunlin_invoke::check::check(functions, &build).await? {
                tracing::warn!("{note}");
            }
        }
        Ok(functions)
    }

    /// The news of a gateway in this process, and how its own worker hears them. `functions` are called for them.
    fn hub(&self, functions: Option<Functions>, telling: &Telling) -> (Arc<Hub>, Arc<InProcess>) {
        let env = self.control.env();
        let hub = Hub::new(Arc::clone(&env.clock));
        let hub = Arc::new(match functions.map(Arc::new) {
            Some(functions) => {
                if let Some(metrics) = &telling.metrics {
                    let functions = Arc::clone(&functions);
                    metrics.on_scrape(move |metrics| metrics.calls(functions.made()));
                }
                hub.calling(functions)
            }
            None => hub,
        });
        (Arc::clone(&hub), Arc::new(InProcess::new(hub, env)))
    }

    fn gateway(&self, local: Arc<dyn LocalRunner>, hub: Arc<Hub>) -> Result<Gateway> {
        Ok(Gateway {
            hub,
            planner: Planner::open(&self.config, &self.stores)?,
            control: Arc::new(self.control.through(|store| self.stores.view(store, None))),
            env: Env::system(),
            local: Some(local),
            links: self.stores.signer().map(|signer| Arc::new(SignedLinks(signer)) as _),
        })
    }

    /// What queries cost. Only Amazon's own stores have a price of their own accord.
    fn tariff(&self) -> Result<Tariff> {
        let Config { state, functions, prices, .. } = &self.config;
        let is_amazon = state.location.starts_with("s3://") && state.params.s3_endpoint.is_none();
        let own = functions.as_ref().and_then(|functions| functions.region.clone());
        let own = own.or_else(|| state.params.s3_region.clone());
        let own = own.or_else(|| std::env::var("AWS_REGION").ok()).filter(|_| is_amazon);
        let tariff = Tariff::open(prices, own.as_deref())?;
        if tariff.prices().is_none() {
            let note = tariff.note();
            if self.config.limits.max_cost_usd.is_some() {
                bail!("[limits] max_cost_usd cannot be kept: {note}");
            }
            match prices.region.as_ref().or(own.as_ref()) {
                Some(_) => tracing::warn!("queries show no dollars: {note}"),
                // Most installations without a bucket have no price, and need none.
                None => tracing::info!("queries show no dollars: {note}"),
            }
        }
        Ok(tariff)
    }

    /// How a gateway serves, by the configuration.
    fn gateway_options(&self, http: SocketAddr, door: DoorOptions) -> Result<GatewayOptions> {
        let config = &self.config;
        let limits = config.limits.resolve()?;
        let mut options = GatewayOptions { http, door, limits, ..GatewayOptions::default() };
        if self.stores.control_location().is_remote() {
            options.watch = WatchPeriods::remote();
        }
        options.inline = door::inline_limits(&config.gateway.inline, config.worker.memory_bytes)?;
        options.inline.resident_bytes = dunlin_process::resident_bytes(&config.worker);
        options.most = most(config);
        options.settings = Config::settings(&self.tree).into();
        options.tariff = Arc::new(self.tariff()?);
        options.planning.queue = config.planning.queue;
        options.planning.time = Duration::from_millis(config.planning.time_limit_ms);
        options.drain = Duration::from_millis(config.gateway.drain_ms);
        options.results_cache = results_cache(config.gateway.results_cache_ms)?;
        options.audit = config.gateway.audit;
        if let Some(at_once) = config.planning.at_once {
            options.planning.at_once = at_once;
        }
        Ok(options)
    }

    /// Probes the store unless a gateway has done so before. A function starts too often to probe each time.
    async fn probe_once(&self) -> Result<()> {
        if self.control.get(keys::PROBED).await?.is_some() {
            return Ok(());
        }
        self.probe().await?;
        Ok(self.control.put(keys::PROBED, Bytes::from_static(b"fit")).await?)
    }

    async fn probe(&self) -> Result<()> {
        let env = self.control.env();
        let began = env.clock.monotonic();
        let report = loop {
            match probe::probe(&self.control, env, ProbeOptions::default()).await {
                // One broken answer among a thousand says nothing of the store.
                Err(error) if error.is_retryable() && env.clock.monotonic() - began < PROBED => {
                    tracing::warn!(error = %words::explained(&error), "the store is tried again");
                    env.clock.sleep(AGAIN).await;
                }
                outcome => break outcome?,
            }
        };
        tracing::info!(races = report.races, ways = report.ways, "the state store is fit");
        Ok(())
    }

    pub(crate) fn end(self) {
        // Plans that still run lose nothing: their tasks were given back, or other attempts will follow.
        dunlin_plan::threads::end(self.io);
    }
}

/// What a gateway tells of what it does.
#[derive(Debug)]
struct Telling {
    metrics: Option<Arc<Metrics>>,
    /// Where Prometheus asks.
    page: Option<SocketAddr>,
    spans: Option<Arc<Otlp>>,
}

impl Telling {
    /// By the command line, and by the environment for traces.
    fn new(page: Option<SocketAddr>) -> Result<Self> {
        let metrics = page.map(|_| Metrics::new()).transpose()?;
        Ok(Self { metrics, page, spans: Otlp::from_env()? })
    }
}

/// Runs inline queries that must write objects on this process's own worker.
#[derive(Debug)]
struct OwnWorker(Worker, Arc<Hub>);

#[async_trait]
impl LocalRunner for OwnWorker {
    async fn run(&self, query: QueryId) {
        let worker = self.0.clone();
        self.1.beside(async move { worker.run_query(&query).await });
    }
}

/// Links that the store's own client signs.
#[derive(Debug)]
struct SignedLinks(Arc<dyn Signer>);

#[async_trait]
impl LinkMaker for SignedLinks {
    async fn link(&self, path: &StorePath, time: Duration) -> object_store::Result<Url> {
        self.0.signed_url(Method::GET, path, time).await
    }
}

/// `dunlin gateway`.
///
/// # Errors
/// A configuration or store that cannot be used, or an address that is in use.
pub fn gateway(config: &ConfigOptions, listen: &Listen) -> Result<()> {
    let loaded = load(config)?;
    let door = listen.door(&loaded.config.gateway)?;
    let opened = Opened::of(loaded)?;
    let stopping = CancellationToken::new();
    let outcome = opened.io.block_on(async {
        dunlin_process::check_shared(&opened.stores)?;
        opened.probe().await?;
        let telling = Telling::new(listen.metrics)?;
        let (hub, wake) = opened.hub(opened.checked_functions().await?, &telling);
        let own = opened.worker(cores(), wake, stopping.clone())?;
        let options = opened.gateway_options(listen.http, door)?;
        serve_all(&opened, (own, hub), telling, (*listen, options), stopping.clone()).await
    });
    opened.end();
    outcome
}

/// `dunlin worker`.
///
/// # Errors
/// A configuration or store that cannot be used.
pub fn worker(options: Options) -> Result<()> {
    let Opened { config, stores, io, .. } = Opened::of(load(&options.config)?)?;
    let Config { state, worker, functions, .. } = config;
    let start = Start { state, stores, worker, functions, options };
    let outcome = io.block_on(dunlin_process::work(start));
    dunlin_plan::threads::end(io);
    outcome
}

/// `dunlin run`.
///
/// # Errors
/// A configuration or store that cannot be used, or an address that is in use.
pub fn run(config: &ConfigOptions, workers: usize, listen: &Listen) -> Result<()> {
    let loaded = load(config)?;
    let door = listen.door(&loaded.config.gateway)?;
    let opened = Opened::of(loaded)?;
    let stopping = CancellationToken::new();
    let outcome = opened.io.block_on(async {
        opened.probe().await?;
        let telling = Telling::new(listen.metrics)?;
        let (hub, wake) = opened.hub(opened.checked_functions().await?, &telling);
        let worker = opened.worker(workers.max(1), wake, stopping.clone())?;
        let own = worker.clone();
        let running = tokio::spawn(async move { worker.run().await });
        let options = opened.gateway_options(listen.http, door)?;
        let outcome =
            serve_all(&opened, (own, hub), telling, (*listen, options), stopping.clone()).await;
        stopping.cancel();
        running.await.context("the workers ended abnormally")?;
        outcome
    });
    opened.end();
    outcome
}

/// The build and version of this binary, as a package names them.
///
/// # Errors
/// The engine cannot be used.
pub fn about() -> Result<String> {
    Ok(serde_json::to_string(&Package::of(&fence::current()?.build))?)
}

/// The gateway of a function, and the runtime that it needs. The environment gives its configuration, which must have API
/// keys.
///
/// # Errors
/// A configuration or store that cannot be used.
pub fn guest() -> Result<(Guest, Runtime)> {
    open_guest().map_err(|error| anyhow::Error::msg(redact(&format!("{error:#}")).into_owned()))
}

fn open_guest() -> Result<(Guest, Runtime)> {
    let loaded = load(&ConfigOptions::default())?;
    // Whoever signs a request with IAM has shown who they are before the function is called.
    let is_signed = std::env::var(URL_AUTH).is_ok_and(|auth| auth == "AWS_IAM");
    let door = door::options(&loaded.config.gateway, is_signed)?;
    door.check_behind()?;
    let opened = Opened::of(loaded)?;
    let guest = opened.io.block_on(async {
        dunlin_process::check_shared(&opened.stores)?;
        opened.probe_once().await?;
        // A function is frozen between its answers: it tells of nothing that ends later.
        let telling = Telling { metrics: None, page: None, spans: None };
        let (hub, wake) = opened.hub(opened.functions().await, &telling);
        let own = opened.worker(cores(), wake, CancellationToken::new())?;
        let options = opened.gateway_options(GatewayOptions::default().http, door)?;
        // A function streams at most 200 MB, and rows as text are several times as long as in the store.
        let memory: Option<u64> = std::env::var(MEMORY).ok().and_then(|text| text.parse().ok());
        let tariff = (*options.tariff).clone().of_function(memory.unwrap_or(0));
        let resident_bytes = memory.map(|megabytes| megabytes << 20);
        let options = GatewayOptions {
            inline: InlineLimits { resident_bytes, ..options.inline },
            tariff: Arc::new(tariff),
            most_answer: Some(MOST_OF_A_FUNCTION),
            is_swept_by_schedule: true,
            ..options
        };
        let gateway = opened.gateway(Arc::new(OwnWorker(own, Arc::clone(&hub))), hub)?;
        anyhow::Ok(Guest::new(gateway, &options)?)
    })?;
    Ok((guest, opened.io))
}

async fn serve_all(
    opened: &Opened,
    (own, hub): (Worker, Arc<Hub>),
    telling: Telling,
    (listen, mut options): (Listen, GatewayOptions),
    stopping: CancellationToken,
) -> Result<()> {
    let http = options.http;
    let from = (&opened.tree, &opened.config);
    let live = reload::live(from, &opened.stores, &options.door)?;
    let current = Current::new(live);
    options.current = Some(current.clone());
    let reload = Reload {
        from: opened.from.clone(),
        listen,
        io: opened.io.handle().clone(),
        start: (opened.tree.clone(), opened.config.clone()),
        latest: (opened.tree.clone(), opened.config.clone()),
        current,
        worker: own.clone(),
    };
    let folders = collecting::folders(&opened.stores);
    let collecting =
        collecting::keep_collecting(opened.control.clone(), folders, opened.config.gateway.gc);
    tokio::spawn(collecting);
    // From here on SIGHUP ends nothing.
    tokio::spawn(reload.run(signals::hangups()?));
    let gateway = opened.gateway(Arc::new(OwnWorker(own, Arc::clone(&hub))), hub)?;
    let listener =
        TcpListener::bind(http).await.with_context(|| format!("cannot listen on {http}"))?;
    let flight_sql = flight_sql(listen.flight_sql(&opened.config.gateway)).await?;
    let scheme = if options.door.tls.is_some() { "https" } else { "http" };
    let address = listener.local_addr()?;
    options.advertise = opened.config.gateway.advertise.clone().or_else(|| {
        // Workers on this machine need no certificate and no name for it.
        let plain = options.door.tls.is_none() && address.ip().is_loopback();
        plain.then(|| format!("http://{address}"))
    });
    let Telling { metrics, page, spans } = telling;
    options.metrics = metrics;
    options.spans = spans.clone().map(|spans| spans as Arc<dyn SpanSink>);
    if let (Some(page), Some(metrics)) = (page, options.metrics.clone()) {
        let listener = TcpListener::bind(page)
            .await
            .with_context(|| format!("the metrics cannot be served on {page}"))?;
        tracing::info!(address = %listener.local_addr()?, "metrics at /metrics");
        // Until the process ends: Prometheus sees a gateway that drains.
        let never = CancellationToken::new();
        tokio::spawn(dunlin_gateway::serve_metrics(metrics, listener, Env::system(), never));
    }
    let mut postgres = None;
    if let Some(address) = listen.postgres(&opened.config.gateway)? {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} for clients of Postgres"))?;
        println!("dunlin gateway serves Postgres on postgres://{}", listener.local_addr()?);
        postgres = Some(listener);
    }
    println!("dunlin gateway listening on {scheme}://{address}");
    if let Some(flight_sql) = &flight_sql {
        let scheme = if options.door.tls.is_some() { "grpc+tls" } else { "grpc" };
        println!("flight sql listening on {scheme}://{}", flight_sql.local_addr()?);
    }
    stop_when_asked(stopping.clone());
    let listeners = Listeners { http: listener, postgres, flight_sql };
    dunlin_gateway::serve(gateway, options, listeners, stopping.cancelled_owned()).await?;
    if let Some(spans) = spans {
        spans.close().await;
    }
    Ok(())
}

/// The greatest age of an answer that is given again.
///
/// # Errors
/// It is longer than answers are sure to be there.
fn results_cache(millis: u64) -> Result<Duration> {
    const MOST: u64 = 86_400_000;
    if millis > MOST {
        bail!(
            "gateway.results_cache_ms is {millis}, and at most {MOST} (a day) is allowed: answers are deleted after two days"
        );
    }
    Ok(Duration::from_millis(millis))
}

/// The listener of Flight SQL, if it is served.
async fn flight_sql(address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).with_context(|| format!("Flight SQL cannot listen on {address}"))
}

fn stop_when_asked(stopping: CancellationToken) {
    tokio::spawn(async move {
        signals::asked().await;
        tracing::info!("stopping");
        stopping.cancel();
    });
}
