//! What a gateway tells Prometheus, and what it tells of a query that has ended.
//!
//! ```text
//!   requests, answers, sweeps ───────────────────> Metrics ──GET /metrics, on a port of its own──> Prometheus
//!   a query's end ─> books: one gateway claims it ─┤
//!                    its records: commits, failures └─> spans ──> SpanSink ──OTLP──> a collector
//! ```
//! Workers come and go and cannot be asked, so what they have used is in their commits. When a query has ended, one of the
//! gateways adds the figures of its tasks to its own metrics: the one that creates `use/<Q>/told`. A query whose end no
//! gateway with metrics sees is not counted.
//!
//! No label holds anything that a client chooses: no query, no user, no path.

mod books;
mod figures;
mod observed;
mod page;
mod process;
mod spans;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use dunlin_manifest::records::ErrorCode;
use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

pub(crate) use books::{Books, Passing};
pub(crate) use observed::Observed;
pub use page::serve_metrics;
pub use spans::{Span, SpanSink, SpanStatus};

/// Values of labels. All of them are words of the code.
type Words = [(&'static str, &'static str); 2];
type Word = [(&'static str, &'static str); 1];
type Amount = Counter<f64, AtomicU64>;
type Level = Gauge<i64, AtomicI64>;

/// The labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RequestLabels {
    route: String,
    method: &'static str,
    code: u16,
}

impl EncodeLabelSet for RequestLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let code = self.code.to_string();
        [("route", self.route.as_str()), ("method", self.method), ("code", code.as_str())]
            .encode(encoder)
    }
}

/// Brings a value up to date before it is told.
type Refresh = Box<dyn Fn(&Metrics) + Send + Sync>;

/// The metrics of a gateway.
pub struct Metrics {
    registry: Registry,
    refresh: Mutex<Vec<Refresh>>,
    /// 1 while the gateway takes queries.
    pub(crate) ready: Level,
    queries: Family<Words, Counter>,
    errors: Family<[(&'static str, String); 1], Counter>,
    durations: Family<Words, Histogram>,
    pub(crate) queries_open: Level,
    pub(crate) tasks_pending: Level,
    pub(crate) tasks_running: Level,
    pool_tasks: Family<[(&'static str, String); 1], Level>,
    /// The pools that have had tasks. They stay, with no tasks.
    pools: Mutex<BTreeSet<String>>,
    pub(crate) oldest_pending: Gauge<f64, AtomicU64>,
    pub(crate) workers_listening: Level,
    pub(crate) clients_waiting: Level,
    requests: Family<RequestLabels, Counter>,
    request_durations: Family<[(&'static str, String); 1], Histogram>,
    pub(crate) planning_running: Level,
    pub(crate) planning_queued: Level,
    tasks: Family<Word, Counter>,
    task_durations: Family<Word, Histogram>,
    calls: Family<Word, Counter>,
    cold_starts: Counter,
    store_requests: Family<Words, Counter>,
    store_durations: Family<Word, Histogram>,
    store_errors: Family<Words, Counter>,
    store_conflicts: Counter,
    scanned: Counter,
    results: Counter,
    spilled: Counter,
    exchanged: Family<Word, Counter>,
    cost: Family<Word, Amount>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Seconds: from what a memory answers to what a client waits for at most.
fn seconds() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
        600.0,
    ])
}

impl Metrics {
    /// Metrics of this build, all of them zero.
    ///
    /// # Errors
    /// The engine cannot be used.
    pub fn new() -> datafusion::error::Result<Arc<Self>> {
        let build = dunlin_plan::fence::current()?.build;
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process));
        let ours = registry.sub_registry_with_prefix("dunlin");
        let about = vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("build", build)];
        ours.register("build", "The build of this gateway", Info::new(about));
        let mut at = Registered(ours);
        let metrics = Self {
            ready: at.add("ready", "1 while this gateway takes queries"),
            queries: at.add("queries", "Queries that have ended"),
            errors: at.add("query_errors", "Queries that failed, and refused requests, by code"),
            durations: at.of(
                "query_duration_seconds",
                "Time of queries by phase",
                Family::new_with_constructor(seconds),
            ),
            queries_open: at.add("queries_open", "Queries in the store that have not ended"),
            tasks_pending: at.add("tasks_pending", "Tasks that may be claimed and are not"),
            tasks_running: at.add("tasks_running", "Tasks that are claimed and run"),
            pool_tasks: at.add("pool_tasks", "Tasks of a pool that may be claimed, or run"),
            pools: Mutex::default(),
            oldest_pending: at.add(
                "oldest_pending_seconds",
                "For how long the query has not moved that has stood still longest",
            ),
            workers_listening: at.add("workers_listening", "Workers that listen to this gateway"),
            clients_waiting: at.add("clients_waiting", "Requests that wait for a query's end"),
            requests: at.add("http_requests", "HTTP requests that were answered"),
            request_durations: at.of(
                "http_request_duration_seconds",
                "Time from a request to the headers of its answer",
                Family::new_with_constructor(seconds),
            ),
            planning_running: at.add("planning_running", "Statements that are planned now"),
            planning_queued: at.add("planning_queued", "Statements that wait to be planned"),
            tasks: at.add("tasks", "Attempts of tasks by outcome, of queries that have ended"),
            task_durations: at.of(
                "task_duration_seconds",
                "Time of committed attempts by step, of queries that have ended",
                Family::new_with_constructor(seconds),
            ),
            calls: at.add("worker_calls", "Calls of functions by this gateway"),
            cold_starts: at.add("worker_cold_starts", "Environments started for functions"),
            store_requests: at.add("store_requests", "Requests to the stores"),
            store_durations: at.of(
                "store_request_duration_seconds",
                "Time of this gateway's own requests to the state's store",
                Family::new_with_constructor(seconds),
            ),
            store_errors: at.add("store_errors", "Requests of this gateway that failed"),
            store_conflicts: at.add(
                "store_conditional_conflicts",
                "Creates of this gateway that found the key taken",
            ),
            scanned: at.add("scan_bytes", "Bytes read from tables"),
            results: at.add("result_bytes", "Bytes of answers in the store"),
            spilled: at.add("spill_bytes", "Bytes that tasks have spilled to local disk"),
            exchanged: at.add("exchange_bytes", "Bytes of the exchange"),
            cost: at.add("cost_usd", "Dollars by list prices"),
            refresh: Mutex::default(),
            registry,
        };
        metrics.preset();
        metrics.pools(&BTreeMap::new());
        Ok(Arc::new(metrics))
    }

    /// A counter that was never counted would be missing, and a rate of what is missing is no zero.
    fn preset(&self) {
        for route in ["inline", "fleet"] {
            for status in ["SUCCEEDED", "FAILED", "CANCELLED", "TIMEOUT"] {
                drop(self.queries.get_or_create(&[("status", status), ("route", route)]));
            }
        }
        for code in ErrorCode::KNOWN {
            drop(self.errors.get_or_create(&[("code", code.as_str().to_owned())]));
        }
        for outcome in ["committed", "failed", "lost"] {
            drop(self.tasks.get_or_create(&[("outcome", outcome)]));
        }
        for result in ["accepted", "throttled", "failed"] {
            drop(self.calls.get_or_create(&[("result", result)]));
        }
        for op in OPS {
            drop(self.store_requests.get_or_create(&[("part", "gateway"), ("op", op)]));
            drop(self.store_requests.get_or_create(&[("part", "worker"), ("op", op)]));
            for kind in ["slow_down", "timeout", "denied", "other"] {
                drop(self.store_errors.get_or_create(&[("op", op), ("kind", kind)]));
            }
        }
        for dir in ["written", "read"] {
            drop(self.exchanged.get_or_create(&[("dir", dir)]));
        }
        for component in ["compute", "requests", "storage"] {
            drop(self.cost.get_or_create(&[("component", component)]));
        }
    }

    /// Calls `refresh` before the metrics are told.
    pub fn on_scrape(&self, refresh: impl Fn(&Self) + Send + Sync + 'static) {
        self.refresh.lock().push(Box::new(refresh));
    }

    /// All metrics, in the text format of OpenMetrics 1.0.
    #[must_use]
    pub fn text(&self) -> String {
        for refresh in self.refresh.lock().iter() {
            refresh(self);
        }
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }

    /// How many calls of functions were made, in all, by result: `accepted`, `throttled`, `failed`.
    pub fn calls(&self, made: [(&'static str, u64); 3]) {
        for (result, count) in made {
            let calls = self.calls.get_or_create(&[("result", result)]);
            calls.inc_by(count.saturating_sub(calls.get()));
        }
    }

    /// A request was answered.
    pub(crate) fn answered(&self, route: &str, method: &http::Method, code: u16, took: Duration) {
        let method = match *method {
            http::Method::GET => "GET",
            http::Method::POST => "POST",
            _ => "other",
        };
        let labels = RequestLabels { route: route.to_owned(), method, code };
        self.requests.get_or_create(&labels).inc();
        let of_route = self.request_durations.get_or_create(&[("route", route.to_owned())]);
        of_route.observe(took.as_secs_f64());
    }

    /// A query has failed, or a request was refused before there was one.
    pub(crate) fn refused(&self, code: &str) {
        self.errors.get_or_create(&[("code", code.to_owned())]).inc();
    }

    /// A client waits for a query, until the guard is dropped.
    pub(crate) fn waiting(self: &Arc<Self>) -> Waiting {
        self.clients_waiting.inc();
        Waiting(Arc::clone(self))
    }

    fn phase(&self, phase: &'static str, route: &'static str, took: Duration) {
        let of_phase = self.durations.get_or_create(&[("phase", phase), ("route", route)]);
        of_phase.observe(took.as_secs_f64());
    }

    /// How many tasks each pool has now, pending or running.
    pub(crate) fn pools(&self, now: &BTreeMap<String, usize>) {
        let mut pools = self.pools.lock();
        // Those of no pool are told of from the start.
        pools.insert(String::new());
        pools.extend(now.keys().cloned());
        for pool in pools.iter() {
            let tasks = now.get(pool).copied().unwrap_or(0);
            let level = self.pool_tasks.get_or_create(&[("pool", pool.clone())]);
            level.set(i64::try_from(tasks).unwrap_or(i64::MAX));
        }
    }

    /// There is such a pool: it is told of from now on.
    pub(crate) fn pool(&self, name: &str) {
        drop(self.pool_tasks.get_or_create(&[("pool", name.to_owned())]));
    }

    /// A statement was planned.
    pub(crate) fn planned(&self, route: &'static str, took: Duration) {
        self.phase("plan", route, took);
    }
}

/// What the core tells of what it does.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) metrics: Arc<Metrics>,
    /// Queries are followed to their ends, if somebody wants to know of them.
    pub(crate) books: Option<Arc<Books>>,
}

/// A client that waits.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<Metrics>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.clients_waiting.dec();
    }
}

/// The kinds of requests to a store.
const OPS: [&str; 5] = ["get", "put", "list", "head", "delete"];

/// Registers metrics as they are made.
struct Registered<'a>(&'a mut Registry);

impl Registered<'_> {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.of(name, help, M::default())
    }

    fn of<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

#[cfg(test)]
mod tests;
