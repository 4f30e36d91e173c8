//! A state folder, the gateways on it, and workers that the test simulates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
use dunlin_gateway::auth::{KeyOptions, Scope, Workgroup, hash_of};
use dunlin_gateway::{
    Gateway, GatewayOptions, Hub, Listeners, Live, LocalRunner, Most, ServeError, serve,
};
use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::env::{Clock, Env};
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::model::encoding::encode;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{
    Claim, Commit, ErrorCode, Fail, FailClass, RECORD_VERSION, TaskMetrics,
};
use dunlin_manifest::store::{ControlStore, ObjectControlStore};
use dunlin_planner::Planner;
use dunlin_planner::config::Config;
use dunlin_planner::gateway_config::WorkgroupConfig;
use dunlin_shuffle::{Buckets, DataTarget, Jobs, KeyOf, TaskWriter, WriterOptions, at_once};
use futures::future::BoxFuture;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// A state folder and the gateways on it.
pub(super) struct Site {
    pub(super) folder: tempfile::TempDir,
    pub(super) planner: Planner,
    pub(super) control: Arc<ObjectControlStore>,
    pub(super) env: Env,
    /// Number of long waits that have begun.
    pub(super) waits: watch::Receiver<usize>,
}

/// A wait of at least this length belongs to a request. Every other pause in a gateway is shorter.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// The system's clock, which also reports when a long wait begins.
#[derive(Debug)]
pub(super) struct TellingClock {
    pub(super) inner: Arc<dyn Clock>,
    pub(super) waits: watch::Sender<usize>,
}

impl Clock for TellingClock {
    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }

    fn wall_ms(&self) -> u64 {
        self.inner.wall_ms()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration >= LONG {
            self.waits.send_modify(|begun| *begun += 1);
        }
        self.inner.sleep(duration)
    }
}

pub(super) struct Running {
    pub(super) url: String,
    /// The address of the Postgres protocol.
    pub(super) postgres: SocketAddr,
    /// The address of Flight SQL.
    pub(super) flight_sql: String,
    pub(super) client: Client,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) served: JoinHandle<Result<(), ServeError>>,
}

impl Site {
    pub(super) fn new() -> Self {
        Self::with("")
    }

    /// With more of a configuration.
    pub(super) fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[state]\nlocation = \"file://{}/\"\n{more}", folder.path().display());
        let config = Config::parse(&text).unwrap();
        let stores = config.open_stores(&tokio::runtime::Handle::current()).unwrap();
        let (waits, begun) = watch::channel(0);
        let system = Env::system();
        let clock = TellingClock { inner: Arc::clone(&system.clock), waits };
        let env = Env { clock: Arc::new(clock), ..system };
        let control = stores.control(env.clone());
        let planner = Planner::open(&config, &stores).unwrap();
        Self { folder, planner, control: Arc::new(control), env, waits: begun }
    }

    pub(super) async fn gateway(
        &self,
        local: Option<Arc<dyn LocalRunner>>,
        options: GatewayOptions,
    ) -> Running {
        let gateway = Gateway {
            links: None,
            planner: self.planner.clone(),
            control: Arc::clone(&self.control),
            env: self.env.clone(),
            local,
            hub: Arc::new(Hub::new(Arc::clone(&self.env.clock))),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let flight = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let flight_sql = flight.local_addr().unwrap().to_string();
        let postgres = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = postgres.local_addr().unwrap();
        let listeners =
            Listeners { http: listener, postgres: Some(postgres), flight_sql: Some(flight) };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(serve(gateway, options, listeners, shutdown));
        Running { url, postgres: address, flight_sql, client: Client::new(), stop, served }
    }

    /// Resolves once a request waits for a query.
    pub(super) async fn somebody_waits(&self) {
        let mut waits = self.waits.clone();
        let begun = waits.wait_for(|begun| *begun > 0);
        tokio::time::timeout(Duration::from_secs(30), begun).await.unwrap().unwrap();
    }

    /// The same with keys, which `secrets` names.
    pub(super) async fn keyed(
        &self,
        local: Option<Arc<dyn LocalRunner>>,
        secrets: &[(&str, &[Scope])],
    ) -> Running {
        self.gateway(local, Self::keys(secrets)).await
    }

    /// Options with keys, which `secrets` names.
    pub(super) fn keys(secrets: &[(&str, &[Scope])]) -> GatewayOptions {
        let mut options = GatewayOptions::default();
        options.door.keys = secrets
            .iter()
            .map(|(secret, scopes)| KeyOptions {
                name: (*secret).to_owned(),
                sha256: hash_of(secret),
                scopes: scopes.iter().copied().collect(),
                scram: None,
                workgroup: None,
            })
            .collect();
        options
    }

    /// What a gateway with these options serves with, so that a test can replace it as a reload does.
    pub(super) fn live(&self, options: &GatewayOptions) -> Live {
        let (limits, door) = (options.limits, &options.door);
        Live::new(self.planner.clone(), limits, Most::default(), door).unwrap()
    }

    /// Options with keys that may read; each belongs to the workgroup that its configuration describes, if it has one.
    pub(super) fn grouped(keys: &[(&str, Value)]) -> GatewayOptions {
        let mut options = GatewayOptions::default();
        options.door.keys = keys
            .iter()
            .map(|(secret, group)| {
                let config = (!group.is_null()).then(|| serde_json::from_value(group.clone()));
                let config: Vec<WorkgroupConfig> = config.into_iter().map(Result::unwrap).collect();
                KeyOptions {
                    name: (*secret).to_owned(),
                    sha256: hash_of(secret),
                    scopes: [Scope::Query, Scope::Write].into_iter().collect(),
                    scram: None,
                    workgroup: Workgroup::all(&config).unwrap().pop(),
                }
            })
            .collect();
        options
    }

    pub(super) fn worker(&self, outcome: Outcome) -> Arc<dyn LocalRunner> {
        Arc::new(Worker { control: Arc::clone(&self.control), outcome })
    }

    pub(super) fn objects(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
            entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(self.folder.path())
    }
}

impl Running {
    pub(super) fn sql(&self, sql: &str) -> RequestBuilder {
        self.client.post(format!("{}/v1/sql", self.url)).body(sql.to_owned())
    }

    pub(super) fn submit(&self, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}/v1/queries", self.url)).json(body)
    }

    /// The answer to a statement of the client with this key.
    pub(super) async fn ask(&self, key: &str, sql: &str) -> (u16, Value) {
        answered(self.sql(sql).bearer_auth(key).send().await.unwrap()).await
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    pub(super) async fn post(&self, path: &str) -> Response {
        self.client.post(format!("{}{path}", self.url)).send().await.unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Rows,
    /// So many rows in the first bucket and three in the second.
    Many(i64),
    Fails,
}

/// Rows of a batch that a simulated worker writes.
const BATCH: usize = 8_192;

/// Simulates a worker: the answer to every query is the numbers 0 to 4 in two buckets.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) control: Arc<ObjectControlStore>,
    pub(super) outcome: Outcome,
}

#[async_trait]
impl LocalRunner for Worker {
    async fn run(&self, query: QueryId) {
        let store = (*self.control).clone();
        let fence = dunlin_plan::fence::current().unwrap();
        let handle = QueryHandle::open(store.clone(), &query, &fence).await.unwrap().unwrap();
        handle.look(false).await.unwrap();
        for task in handle.advance().await.unwrap().open {
            let decided = handle.known_manifest(task.stage).unwrap();
            let env = store.env();
            let (v, nonce, worker) = (RECORD_VERSION, env.nonce(), "played".to_owned());
            let claim = Claim { v, nonce: nonce.clone(), worker: worker.clone() };
            let key = keys::claim(&query, task.stage, task.task, task.attempt);
            store.put_if_absent(&key, encode(&claim)).await.unwrap();
            if matches!(self.outcome, Outcome::Fails) {
                let fail = Fail {
                    v,
                    nonce,
                    worker,
                    alone: true,
                    class: FailClass::Fatal,
                    code: ErrorCode::ExecutionFailed,
                    message: "divide by zero".to_owned(),
                    began_ms: 1,
                    ended_ms: 2,
                };
                let key = keys::fail(&query, task.stage, task.task, task.attempt);
                store.put_if_absent(&key, encode(&fail)).await.unwrap();
                continue;
            }
            let numbers = |from, to| {
                let column = Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef;
                RecordBatch::try_from_iter(vec![("n", column)]).unwrap()
            };
            let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
            let target = DataTarget {
                store: Arc::clone(store.data_store()),
                prefix: store.data_prefix().clone(),
                ready: at_once(),
                jobs: Jobs::here(),
                key_of: names(query.clone(), handle.root.workgroup.clone(), task, nonce.clone()),
            };
            let options = WriterOptions::new(
                numbers(0, 0).schema(),
                Buckets::Partitions,
                target,
                env.clone(),
                MemoryConsumer::new("test").register(&pool),
            );
            let mut writer = TaskWriter::new(options).unwrap();
            let first = if let Outcome::Many(rows) = self.outcome { rows } else { 2 };
            for from in (0..first).step_by(BATCH) {
                let to = first.min(from + i64::try_from(BATCH).unwrap());
                writer.push(0, numbers(from, to)).await.unwrap();
            }
            writer.push(1, numbers(first, first + 3)).await.unwrap();
            let commit = Commit {
                v,
                nonce: env.nonce(),
                task: task.task,
                attempt: task.attempt,
                claim: nonce,
                manifest: decided.digest.clone(),
                worker,
                output: writer.finish().await.unwrap(),
                metrics: TaskMetrics {
                    scan_bytes: 11,
                    ended_ms: env.clock.wall_ms(),
                    ..TaskMetrics::default()
                },
            };
            let key = keys::commit(&query, task.stage, task.task);
            store.put_if_absent(&key, encode(&commit)).await.unwrap();
        }
    }
}

/// Status and body. A body that is no JSON is a text.
pub(super) async fn answered(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub(super) async fn json(response: Response) -> Value {
    response.json().await.unwrap()
}

pub(super) fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

pub(super) async fn problem(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    (response.status().as_u16(), json(response).await)
}

/// The names of the objects that an attempt writes.
fn names(query: QueryId, workgroup: Option<String>, task: OpenTask, nonce: String) -> KeyOf {
    let OpenTask { stage, task, attempt } = task;
    Arc::new(move |part| {
        let (workgroup, query, nonce) = (workgroup.as_deref(), &query, nonce.as_str());
        keys::Writer { workgroup, query, stage, task, attempt, nonce }.res(part)
    })
}
