//! What a gateway works with, how it listens, and how often it looks for work.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::sweep::SweepPeriods;
use dunlin_manifest::records::Limits;
use dunlin_manifest::store::ObjectControlStore;
use dunlin_planner::Planner;
use dunlin_planner::config::Setting;
use dunlin_planner::cost::Tariff;
use dunlin_planner::gateway_config::{GatewayConfig, InlineConfig};
use object_store::path::Path;
use parking_lot::RwLock;
use serde::Deserialize;
use url::Url;

use crate::auth::{Keyring, KeyringError};
use crate::door::DoorOptions;
use crate::metrics::{Metrics, SpanSink};
use crate::query::hub::Hub;

/// Longest SQL text, in bytes. A longer text is usually a generated list that belongs in a table.
pub const MAX_SQL_BYTES: usize = 1 << 20;
/// Longest request body, in bytes: the SQL, its JSON escapes and its parameters.
pub const MAX_BODY_BYTES: usize = 2 << 20;

/// How a gateway listens and how often it looks for work.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Address on which HTTP is served.
    pub http: SocketAddr,
    /// Access control of the listener.
    pub door: DoorOptions,
    /// What inline queries may use.
    pub inline: InlineLimits,
    /// How many statements are planned at a time, and for how long.
    pub planning: PlanningLimits,
    /// Limits and periods written into the queries that this gateway submits.
    pub limits: Limits,
    /// The most that a query may use, unless the request says less.
    pub most: Most,
    /// What queries cost.
    pub tariff: Arc<Tariff>,
    /// The most bytes of an answer in the store that are sent as rows. A larger one is taken by links.
    pub most_answer: Option<u64>,
    /// How often a waiting request looks for the end of its query.
    pub watch: WatchPeriods,
    /// How often the sweeper looks for queries that need work.
    pub sweep: SweepPeriods,
    /// A schedule sweeps, because this process is frozen between its answers.
    pub is_swept_by_schedule: bool,
    /// How long answers in progress may continue after the gateway was asked to stop.
    pub drain: Duration,
    /// The address at which workers reach this gateway, to be told of work at once; none if they cannot.
    pub advertise: Option<String>,
    /// The greatest age of a query whose answer is given again for the same statement over the same files; zero: never.
    pub results_cache: Duration,
    /// Whether what clients do is written down, for `system.audit`.
    pub audit: bool,
    /// What Prometheus is told; none: figures of queries are not read, and nothing is claimed for them.
    pub metrics: Option<Arc<Metrics>>,
    /// Where the traces of queries go.
    pub spans: Option<Arc<dyn SpanSink>>,
    /// The configuration in effect, for `system.settings`. Credentials are masked.
    pub settings: Arc<[Setting]>,
    /// What may change while the gateway serves. With it, the planner of [`Gateway`], and the limits, keys and settings of
    /// these options, are not used.
    pub current: Option<Current>,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([127, 0, 0, 1], 8090)),
            door: DoorOptions::default(),
            inline: InlineLimits::default(),
            planning: PlanningLimits::default(),
            limits: Limits::default(),
            most: Most::default(),
            tariff: Arc::default(),
            most_answer: None,
            watch: WatchPeriods::default(),
            sweep: SweepPeriods::default(),
            is_swept_by_schedule: false,
            drain: Duration::from_millis(GatewayConfig::default().drain_ms),
            advertise: None,
            results_cache: Duration::ZERO,
            audit: false,
            metrics: None,
            spans: None,
            settings: Arc::default(),
            current: None,
        }
    }
}

/// What a statement and its client are taken with. A statement keeps what it began with, also if a reload replaces it.
#[derive(Debug)]
pub struct Live {
    /// Plans statements and runs small ones.
    pub planner: Planner,
    /// Limits and periods written into queries.
    pub limits: Limits,
    /// The most that a query may use, unless the request says less.
    pub most: Most,
    /// As [`GatewayOptions::settings`].
    pub(crate) settings: Arc<[Setting]>,
    pub(crate) keyring: Keyring,
}

impl Live {
    /// What a statement is taken with.
    ///
    /// # Errors
    /// Keys that cannot be used.
    pub fn new(
        planner: Planner,
        limits: Limits,
        most: Most,
        door: &DoorOptions,
    ) -> Result<Self, KeyringError> {
        let settings = Arc::default();
        Ok(Self { planner, limits, most, settings, keyring: door.keyring()? })
    }

    /// The same, with the configuration that it was made from.
    #[must_use]
    pub fn with_settings(self, settings: Arc<[Setting]>) -> Self {
        Self { settings, ..self }
    }
}

/// What is in force now. A reload replaces it as a whole. Clones share it.
#[derive(Clone, Debug)]
pub struct Current(Arc<RwLock<Arc<Live>>>);

impl Current {
    /// In force until it is replaced.
    #[must_use]
    pub fn new(live: Live) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(live))))
    }

    /// What is in force now.
    #[must_use]
    pub fn now(&self) -> Arc<Live> {
        Arc::clone(&self.0.read())
    }

    /// From now on, this is in force. What has begun goes on as it began. What is known of an issuer of tokens is kept.
    pub fn replace(&self, mut live: Live) {
        live.keyring.keep(&self.now().keyring);
        *self.0.write() = Arc::new(live);
    }
}

/// The most that a query may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Most {
    /// Bytes read from tables.
    pub max_bytes_scanned: Option<u64>,
    /// Dollars.
    pub max_cost_usd: Option<f64>,
}

impl Most {
    /// The smaller of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let bytes = [self.max_bytes_scanned, other.max_bytes_scanned].into_iter().flatten().min();
        let costs = [self.max_cost_usd, other.max_cost_usd].into_iter().flatten();
        Self { max_bytes_scanned: bytes, max_cost_usd: costs.reduce(f64::min) }
    }
}

/// What all inline queries together may use.
#[derive(Clone, Copy, Debug)]
pub struct InlineLimits {
    /// Queries that run at the same time.
    pub slots: usize,
    /// Queries that may wait for a slot; more are refused with `GATEWAY_BUSY`.
    pub queue: usize,
    /// The longest time that one query may run.
    pub time: Duration,
    /// Bytes of memory of all of them. Each slot has an equal share.
    pub memory_bytes: usize,
    /// Threads of each query that compute at the same time.
    pub threads: usize,
    /// Bytes that the process may have in memory. Near them, the inline query that began last ends. `None`: no limit.
    pub resident_bytes: Option<u64>,
}

impl InlineLimits {
    /// The limits of a configuration. `memory`: bytes if the section sets none.
    #[must_use]
    pub fn of(config: &InlineConfig, memory: usize) -> Self {
        Self {
            slots: config.slots,
            queue: config.queue,
            time: Duration::from_millis(config.time_limit_ms),
            memory_bytes: config.memory_bytes.unwrap_or(memory),
            threads: config.threads.unwrap_or_else(cores),
            resident_bytes: None,
        }
    }
}

impl Default for InlineLimits {
    fn default() -> Self {
        Self::of(&InlineConfig::default(), 3 << 30)
    }
}

/// How statements are planned.
#[derive(Clone, Copy, Debug)]
pub struct PlanningLimits {
    /// Statements that are planned at the same time.
    pub at_once: usize,
    /// Statements that may wait to be planned; more are refused with `GATEWAY_BUSY`.
    pub queue: usize,
    /// The longest time that planning may take. A statement that takes longer is refused with `QUERY_TOO_COMPLEX`.
    pub time: Duration,
    /// The most statements that exceeded that time and still compute. With more of them, new statements are refused.
    pub given_up: usize,
}

impl Default for PlanningLimits {
    fn default() -> Self {
        Self { at_once: 2 * cores(), queue: 256, time: Duration::from_secs(60), given_up: 8 }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How often a watched query is checked. One watcher serves all requests that wait for a query.
#[derive(Clone, Copy, Debug)]
pub struct WatchPeriods {
    /// First pause between two reads of `end`. Pauses grow with the query's age.
    pub first: Duration,
    /// Longest pause between two reads of `end`.
    pub most: Duration,
    /// Pause between two repairs. A repair looks at the open stages of the query, and writes the records that are due.
    pub repair: Duration,
}

impl Default for WatchPeriods {
    /// For a folder or memory, where a read takes microseconds.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(5),
            most: Duration::from_millis(100),
            repair: Duration::from_millis(500),
        }
    }
}

impl WatchPeriods {
    /// For a store across a network, where every read is a request with a price.
    #[must_use]
    pub fn remote() -> Self {
        Self {
            first: Duration::from_millis(25),
            most: Duration::from_millis(100),
            repair: Duration::from_secs(1),
        }
    }
}

/// Workers in this process. They run the tasks of queries that the gateway runs itself.
#[async_trait]
pub trait LocalRunner: Send + Sync + std::fmt::Debug {
    /// Starts running the tasks of `query`. Returns when a worker was told about them. Calling it again for the same
    /// query must do no harm.
    async fn run(&self, query: QueryId);
}

/// Makes links to objects of the state's store.
#[async_trait]
pub trait LinkMaker: Send + Sync + std::fmt::Debug {
    /// A link that reads the object at `path` for so long without credentials.
    ///
    /// # Errors
    /// The store's client.
    async fn link(&self, path: &Path, time: Duration) -> object_store::Result<Url>;
}

/// What a gateway works with.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Plans statements and runs small ones.
    pub planner: Planner,
    /// The coordination store; results are read from the same place.
    pub control: Arc<ObjectControlStore>,
    /// Time, randomness and blocking work.
    pub env: Env,
    /// Workers of this process, if it has any.
    pub local: Option<Arc<dyn LocalRunner>>,
    /// Where processes tell each other of work.
    pub hub: Arc<Hub>,
    /// Makes links to answers, if the store can.
    pub links: Option<Arc<dyn LinkMaker>>,
}
