//! The HTTP interface as a client meets it: real sockets, a folder as the store, and workers that are
//! played by the test where a query needs any.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
use dunlin_gateway::{Gateway, GatewayOptions, LocalRunner, ServeError, SweepPeriods, serve};
use dunlin_manifest::advance::QueryHandle;
use dunlin_manifest::create::encode;
use dunlin_manifest::env::{Clock, Env};
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::records::{
    Claim, Commit, ErrorCode, Fail, FailClass, Limits, RECORD_VERSION, TaskMetrics,
};
use dunlin_manifest::store::{ControlStore, ObjectControlStore};
use dunlin_planner::Planner;
use dunlin_planner::config::Config;
use dunlin_shuffle::{Buckets, DataTarget, TaskWriter, WriterOptions};
use futures::future::BoxFuture;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// A state folder and the gateways on it.
struct Site {
    folder: tempfile::TempDir,
    planner: Planner,
    control: Arc<ObjectControlStore>,
    env: Env,
    /// Number of long waits that have begun.
    waits: watch::Receiver<usize>,
}

/// Waits of at least this are some request's: everything else in a gateway pauses for less.
const LONG: Duration = Duration::from_secs(600);

/// The system's clock, which tells when a long wait begins.
#[derive(Debug)]
struct TellingClock {
    inner: Arc<dyn Clock>,
    waits: watch::Sender<usize>,
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

struct Running {
    url: String,
    client: Client,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[state]\nlocation = \"file://{}/\"\n", folder.path().display());
        let config = Config::parse(&text).unwrap();
        let stores = config.open_stores(&tokio::runtime::Handle::current()).unwrap();
        let (waits, begun) = watch::channel(0);
        let system = Env::system();
        let clock = TellingClock { inner: Arc::clone(&system.clock), waits };
        let env = Env { clock: Arc::new(clock), ..system };
        let prefix = stores.state.path.clone();
        let control = ObjectControlStore::new(stores.state_store(), prefix, env.clone());
        let planner = Planner::open(&config, &stores).unwrap();
        Self { folder, planner, control: Arc::new(control), env, waits: begun }
    }

    async fn gateway(
        &self,
        local: Option<Arc<dyn LocalRunner>>,
        options: GatewayOptions,
    ) -> Running {
        let gateway = Gateway {
            planner: self.planner.clone(),
            control: Arc::clone(&self.control),
            env: self.env.clone(),
            local,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(serve(gateway, options, listener, shutdown));
        Running { url, client: Client::new(), stop, served }
    }

    /// Resolves once a request waits for a query.
    async fn somebody_waits(&self) {
        let mut waits = self.waits.clone();
        let begun = waits.wait_for(|begun| *begun > 0);
        tokio::time::timeout(Duration::from_secs(30), begun).await.unwrap().unwrap();
    }

    fn worker(&self, outcome: Outcome) -> Arc<dyn LocalRunner> {
        Arc::new(Worker { control: Arc::clone(&self.control), outcome })
    }

    fn objects(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
            entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(self.folder.path())
    }
}

impl Running {
    fn sql(&self, sql: &str) -> RequestBuilder {
        self.client.post(format!("{}/v1/sql", self.url)).body(sql.to_owned())
    }

    fn submit(&self, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}/v1/queries", self.url)).json(body)
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    async fn post(&self, path: &str) -> Response {
        self.client.post(format!("{}{path}", self.url)).send().await.unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Rows,
    Fails,
}

/// Plays a worker: the answer to every query is the numbers 0 to 4 in two buckets.
#[derive(Debug)]
struct Worker {
    control: Arc<ObjectControlStore>,
    outcome: Outcome,
}

#[async_trait]
impl LocalRunner for Worker {
    async fn run(&self, query: QueryId) {
        let store = (*self.control).clone();
        let handle = QueryHandle::open(store.clone(), &query).await.unwrap().unwrap();
        let mut view = handle.look(false).await.unwrap();
        for task in handle.advance(&mut view).await.unwrap().open {
            let env = store.env();
            let (v, nonce, worker) = (RECORD_VERSION, env.nonce(), "played".to_owned());
            let claim = Claim { v, nonce: nonce.clone(), worker: worker.clone() };
            let key = keys::claim(&query, task.stage, task.task, task.attempt);
            store.put_if_absent(&key, encode(&claim)).await.unwrap();
            if matches!(self.outcome, Outcome::Fails) {
                let fail = Fail {
                    v,
                    nonce,
                    class: FailClass::Fatal,
                    code: ErrorCode::ExecutionFailed,
                    message: "divide by zero".to_owned(),
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
                store: Arc::clone(store.object_store()),
                prefix: store.prefix().clone(),
                key_of: {
                    let (query, nonce) = (query.clone(), nonce.clone());
                    Arc::new(move |part| {
                        keys::res(&query, task.stage, task.task, task.attempt, &nonce, part)
                    })
                },
            };
            let options = WriterOptions::new(
                numbers(0, 0).schema(),
                Buckets::Partitions,
                target,
                env.clone(),
                MemoryConsumer::new("test").register(&pool),
            );
            let mut writer = TaskWriter::new(options).unwrap();
            writer.push(0, numbers(0, 2)).await.unwrap();
            writer.push(3, numbers(2, 5)).await.unwrap();
            let commit = Commit {
                v,
                nonce: env.nonce(),
                task: task.task,
                attempt: task.attempt,
                claim: nonce,
                worker,
                output: writer.finish().await.unwrap(),
                metrics: TaskMetrics { scan_bytes: 11, ..TaskMetrics::default() },
            };
            let key = keys::commit(&query, task.stage, task.task);
            store.put_if_absent(&key, encode(&commit)).await.unwrap();
        }
    }
}

async fn json(response: Response) -> Value {
    response.json().await.unwrap()
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

async fn problem(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    (response.status().as_u16(), json(response).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_query_is_answered_in_every_format_and_leaves_no_trace() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let sql = "select * from (values (1, 'a'), (2, null)) as t(x, y) order by x";
    let response = gateway.sql(sql).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let summary: Value = serde_json::from_str(&header(&response, "dunlin-summary")).unwrap();
    assert_eq!(summary["route"], "inline");
    assert_eq!(summary["rows"], 2);
    let id = header(&response, "dunlin-query-id");
    assert_eq!(json(response).await, json!([{"x": 1, "y": "a"}, {"x": 2, "y": null}]));
    for (accept, body) in [
        ("application/jsonl", "{\"x\":1,\"y\":\"a\"}\n{\"x\":2,\"y\":null}\n"),
        ("text/csv", "x,y\n1,a\n2,\n"),
    ] {
        let response = gateway.sql(sql).header("accept", accept).send().await.unwrap();
        assert!(header(&response, "content-type").starts_with(accept));
        assert_eq!(response.text().await.unwrap(), body);
    }
    let arrow = "application/vnd.apache.arrow.stream";
    let response = gateway.sql(sql).header("accept", arrow).send().await.unwrap();
    let bytes = response.bytes().await.unwrap();
    let reader = arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
    assert_eq!(gateway.get(&format!("/v1/queries/{id}")).await.status(), 404);
    assert_eq!(site.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_bound() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let body = json!({"sql": "select $1 + 1 as n, $2 as t", "parameters": [41, "x"]});
    let request = gateway.client.post(format!("{}/v1/sql", gateway.url)).json(&body);
    assert_eq!(json(request.send().await.unwrap()).await, json!([{"n": 42, "t": "x"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_problems_with_a_code_and_a_place() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let (status, body) = problem(gateway.sql("select 1\n form t")).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("SYNTAX_ERROR")));
    assert_eq!(body["position"], json!({"line": 2, "column": 7}), "{body}");
    let (status, body) = problem(gateway.sql("select nothing from nowhere")).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("PLANNING_FAILED")));
    assert_eq!(body["retryable"], false);
    for sql in ["create table t as select 1", "set datafusion.execution.batch_size = 1"] {
        let (status, body) = problem(gateway.sql(sql)).await;
        assert_eq!((status, body["code"].as_str()), (422, Some("UNSUPPORTED")), "{sql}");
    }
    let divide = "select 1 / x from (select 1 as x union all select 0) t";
    let (status, body) = problem(gateway.sql(divide)).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("EXECUTION_FAILED")), "{body}");
    assert_eq!(body["retryable"], false);
    let (status, body) = problem(gateway.sql(&"x".repeat((1 << 20) + 1))).await;
    assert_eq!((status, body["code"].as_str()), (413, Some("SQL_TOO_LARGE")));
    let (status, body) = problem(gateway.sql(&"x".repeat((2 << 20) + 1))).await;
    assert_eq!((status, body["code"].as_str()), (413, Some("BODY_TOO_LARGE")));
    let (status, body) = problem(gateway.sql("{\"sql\": ")).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("INVALID_REQUEST")));
    let (status, body) = problem(gateway.sql("select 1").header("accept", "image/png")).await;
    assert_eq!((status, body["code"].as_str()), (406, Some("NOT_ACCEPTABLE")));
    let body = json!({"sql": "select 1", "settings": {"colour": 1}});
    let (status, body) = problem(gateway.submit(&body)).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("INVALID_SETTING")));
    let (status, body) = problem(gateway.submit(&json!({"sql": "explain select 1"}))).await;
    assert_eq!((status, body["code"].as_str()), (422, Some("UNSUPPORTED")));
    let get = |path: &str| gateway.client.get(format!("{}{path}", gateway.url));
    assert_eq!(problem(get("/v1/nothing")).await.0, 404);
    assert_eq!(problem(get("/v1/sql")).await.0, 405);
    assert_eq!(problem(get("/v1/queries/not-an-id")).await.1["code"], "NOT_FOUND");
    let unknown = QueryId::new(&site.env);
    for path in ["", "/results"] {
        let (status, body) = problem(get(&format!("/v1/queries/{unknown}{path}"))).await;
        assert_eq!((status, body["code"].as_str()), (404, Some("NOT_FOUND")));
    }
    assert_eq!(problem(get(&format!("/v1/queries/{unknown}?wait=soon"))).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_is_answered_as_rows_and_as_json() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let rows = json(gateway.sql("explain select 1 as x").send().await.unwrap()).await;
    let kinds: Vec<_> =
        rows.as_array().unwrap().iter().map(|row| row["plan_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["logical_plan", "physical_plan", "distributed_plan", "route"]);
    assert!(rows[3]["plan"].as_str().unwrap().starts_with("inline: "));
    let explain = |route: &str| {
        let body = json!({"sql": "select 1 as x", "settings": {"route": route}});
        gateway.client.post(format!("{}/v1/explain", gateway.url)).json(&body)
    };
    let inline = json(explain("auto").send().await.unwrap()).await;
    assert_eq!((inline["route"].as_str(), inline["stages"].as_u64()), (Some("inline"), Some(0)));
    let fleet = json(explain("fleet").send().await.unwrap()).await;
    assert_eq!((fleet["route"].as_str(), fleet["stages"].as_u64()), (Some("fleet"), Some(1)));
    assert!(fleet["distributed_plan"].as_str().unwrap().contains("stage"));
    assert!(fleet["physical_plan"].is_string() && fleet["route_reason"].is_string());
    assert_eq!(site.objects(), 0);
}

/// The texts of an EXPLAIN by kind.
fn sections(rows: &Value) -> Vec<(&str, &str)> {
    let rows = rows.as_array().unwrap_or_else(|| panic!("no rows: {rows}"));
    rows.iter()
        .map(|row| (row["plan_type"].as_str().unwrap(), row["plan"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_analyze_here_runs_the_query_and_leaves_no_trace() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let body = json!({
        "sql": "explain analyze select x from (values (1), (2), (3)) as t(x) where x > $1",
        "parameters": [1],
    });
    let request = gateway.client.post(format!("{}/v1/sql", gateway.url)).json(&body);
    let rows = json(request.send().await.unwrap()).await;
    let [(plan, text), (total, all), (route, why)] = sections(&rows)[..] else {
        panic!("three sections: {rows}")
    };
    assert_eq!((plan, total, route), ("analyzed_plan", "total", "route"));
    assert!(text.starts_with("stage 0: the whole query; "), "{text}");
    assert!(text.contains("; in the gateway; 2 rows out; read 0 B scanned; wall "), "{text}");
    assert!(text.contains("metrics=[") && text.contains("output_rows=2"), "{text}");
    assert!(all.starts_with("succeeded; 2 rows in the answer; "), "{all}");
    assert!(why.starts_with("inline: "), "{why}");
    // An error of the query is the error of its analysis.
    let divide = "explain analyze select 1 / x from (select 1 as x union all select 0) t";
    let (status, body) = problem(gateway.sql(divide)).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("EXECUTION_FAILED")), "{body}");
    assert_eq!(site.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_analyzed_is_refused_and_not_run() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let analyze = json!({"sql": "explain /* the */ analyze select 1"});
    let explain = gateway.client.post(format!("{}/v1/explain", gateway.url)).json(&analyze);
    for request in [
        gateway.submit(&analyze),
        gateway.submit(&analyze).header("idempotency-key", "k"),
        explain,
        gateway.sql("explain (analyze, format pgjson) select 1"),
        gateway.sql("explain (analyze, level summary) select 1"),
        gateway.sql("explain analyze explain analyze select 1"),
        gateway.sql("explain analyze create table t as select 1"),
    ] {
        let (status, body) = problem(request).await;
        assert_eq!((status, body["code"].as_str()), (422, Some("UNSUPPORTED")), "{body}");
    }
    assert_eq!(site.objects(), 0);
    // The word alone makes no analysis.
    let status = json(
        gateway
            .submit(&json!({"sql": "select 'explain analyze' as x", "wait_timeout": "0s"}))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(status["status"], "PENDING");
    let unknown = QueryId::new(&site.env);
    let get = |path: String| gateway.client.get(format!("{}{path}", gateway.url));
    assert_eq!(problem(get(format!("/v1/queries/{unknown}/analyze"))).await.0, 404);
    let id = status["query_id"].as_str().unwrap();
    assert_eq!(problem(get(format!("/v1/queries/{id}/analyze?verbose=very"))).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_analysis_is_given_from_the_records_by_any_gateway() {
    let site = Site::new();
    let first = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let keyed = |gateway: &Running| {
        gateway.sql("explain analyze verbose select 1 as n").header("idempotency-key", "k1")
    };
    let one = keyed(&first).send().await.unwrap();
    let id = header(&one, "dunlin-query-id");
    let summary: Value = serde_json::from_str(&header(&one, "dunlin-summary")).unwrap();
    assert_eq!((summary["rows"].as_u64(), summary["tasks"].as_u64()), (Some(4), Some(1)));
    assert_eq!(summary["bytes_scanned"], 11);
    let rows = json(one).await;
    let kinds: Vec<&str> = sections(&rows).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["analyzed_plan", "critical_path", "total", "route"]);
    let text = sections(&rows)[0].1;
    assert!(
        text.starts_with("stage 0: the whole query; 1 partition; 1 task (1 attempt); 5 rows out, "),
        "{text}"
    );
    assert!(text.contains("; read 11 B scanned + 0 B exchanged; "), "{text}");
    assert!(
        text.contains("\n  task 0 (partitions 0; attempt 0; worker played): 5 rows, "),
        "{text}"
    );
    assert!(text.contains("    PlaceholderRowExec"), "{text}");
    // A retry elsewhere finds the query, and knows by its own text that it asks for the analysis.
    let two = keyed(&second).send().await.unwrap();
    assert_eq!(header(&two, "idempotent-replayed"), "true");
    assert_eq!(header(&two, "dunlin-query-id"), id);
    assert_eq!(json(two).await, rows);
    let status = json(second.get(&format!("/v1/queries/{id}")).await).await;
    let path = status["links"]["analyze"].as_str().unwrap();
    assert_eq!(json(second.get(&format!("{path}?verbose=true")).await).await, rows);
    let request = second.client.get(format!("{}{path}", second.url));
    let response = request.header("accept", "text/plain").send().await.unwrap();
    assert!(header(&response, "content-type").starts_with("text/plain"));
    let brief = response.text().await.unwrap();
    assert!(brief.starts_with("stage 0: ") && brief.contains("\ntotal: succeeded; "), "{brief}");
    assert!(!brief.contains("worker played"), "{brief}");
    // The query that was run is the one that was analyzed: its rows are there.
    let results = json(second.get(&format!("/v1/queries/{id}/results")).await).await;
    assert_eq!(results.as_array().unwrap().len(), 5);
    // Records that went are said to have gone.
    std::fs::remove_dir_all(site.folder.path().join("ctl")).unwrap();
    let third = site.gateway(None, GatewayOptions::default()).await;
    let (code, body) = problem(third.client.get(format!("{}{path}", third.url))).await;
    assert_eq!((code, body["code"].as_str()), (410, Some("RESULT_EXPIRED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_runs_or_has_failed_is_analyzed_as_far_as_it_came() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let body = json!({"sql": "explain analyze select 1 as n", "settings": {"route": "fleet"}});
    let request = gateway.client.post(format!("{}/v1/sql", gateway.url)).json(&body);
    let response = request.header("prefer", "wait=1").send().await.unwrap();
    assert_eq!(response.status(), 202);
    let path = format!("{}/analyze", header(&response, "location"));
    let query = QueryId::parse(&header(&response, "dunlin-query-id")).unwrap();
    let text = async |path: &str| {
        let request = gateway.client.get(format!("{}{path}", gateway.url));
        request.header("accept", "text/plain").send().await.unwrap().text().await.unwrap()
    };
    let pending = text(&path).await;
    assert!(pending.contains("; 1 partition; 1 task; none claimed\n"), "{pending}");
    assert!(pending.contains("\ntotal: not ended yet; 1 stage (0 sealed; "), "{pending}");
    Worker { control: Arc::clone(&site.control), outcome: Outcome::Rows }.run(query.clone()).await;
    let status = json(gateway.get(&format!("/v1/queries/{query}?wait=30s")).await).await;
    assert_eq!(status["status"], "SUCCEEDED");
    let done = text(&path).await;
    assert!(done.contains("; 1 task (1 attempt); 5 rows out, "), "{done}");
    assert!(done.contains("\nroute: fleet: asked for\n"), "{done}");

    let failing = site.gateway(Some(site.worker(Outcome::Fails)), GatewayOptions::default()).await;
    let request = failing.sql("explain analyze select 2 as n").header("idempotency-key", "k");
    let (code, body) = problem(request).await;
    assert_eq!((code, body["code"].as_str()), (400, Some("EXECUTION_FAILED")));
    let failed = text(&format!("/v1/queries/{}/analyze", body["query_id"].as_str().unwrap())).await;
    assert!(
        failed.contains("; 0 of 1 task committed (1 attempt, 1 failed or given back)\n"),
        "{failed}"
    );
    assert!(failed.contains("\ntotal: failed (EXECUTION_FAILED); "), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_query_is_answered_by_any_gateway_also_a_later_one() {
    let site = Site::new();
    let first = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let response = first.submit(&json!({"sql": "select 1 as n"})).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let status = json(response).await;
    assert_eq!(status["status"], "SUCCEEDED");
    assert_eq!(status["phase"], "finished");
    assert_eq!(status["route"], "inline");
    let id = status["query_id"].as_str().unwrap();
    first.stop.send(()).unwrap();
    first.served.await.unwrap().unwrap();

    let second = site.gateway(None, GatewayOptions::default()).await;
    let again = json(second.get(&format!("/v1/queries/{id}?wait=5s")).await).await;
    assert_eq!(again, status);
    let response = second.get(&format!("/v1/queries/{id}/results")).await;
    let summary: Value = serde_json::from_str(&header(&response, "dunlin-summary")).unwrap();
    assert_eq!(summary["rows"], 5);
    assert_eq!(summary["bytes_scanned"], 11);
    assert_eq!(summary["stages"], 1);
    assert_eq!(summary["tasks"], 1);
    assert_eq!(summary["attempts"], 1);
    let rows = json(response).await;
    assert_eq!(rows, json!([{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]));
    // What has ended cannot be cancelled any more.
    let cancelled = json(second.post(&format!("/v1/queries/{id}/cancel")).await).await;
    assert_eq!(cancelled["status"], "SUCCEEDED");
    // The rows are gone: the answer has expired, and says so.
    std::fs::remove_dir_all(site.folder.path().join("res")).unwrap();
    let (code, body) =
        problem(second.client.get(format!("{}/v1/queries/{id}/results", second.url))).await;
    assert_eq!((code, body["code"].as_str()), (410, Some("RESULT_EXPIRED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_stands_for_one_query() {
    let site = Site::new();
    let worker = || Some(site.worker(Outcome::Rows));
    let first = site.gateway(worker(), GatewayOptions::default()).await;
    let second = site.gateway(worker(), GatewayOptions::default()).await;
    let keyed = |gateway: &Running, sql| gateway.sql(sql).header("idempotency-key", "k1");
    let one = keyed(&first, "select 1 as n").send().await.unwrap();
    assert_eq!(one.status(), 200);
    assert_eq!(header(&one, "idempotent-replayed"), "");
    let two = keyed(&second, "select 1 as n").send().await.unwrap();
    assert_eq!(header(&two, "idempotent-replayed"), "true");
    assert_eq!(header(&one, "dunlin-query-id"), header(&two, "dunlin-query-id"));
    assert_eq!(json(one).await, json(two).await);
    let (status, body) = problem(keyed(&second, "select 2 as n")).await;
    assert_eq!((status, body["code"].as_str()), (422, Some("IDEMPOTENCY_MISMATCH")));
    // The same request through the other endpoint is the same query.
    let body = json!({"sql": "select 1 as n"});
    let status = second.submit(&body).header("idempotency-key", "k1").send().await.unwrap();
    assert_eq!(header(&status, "idempotent-replayed"), "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_submits_under_one_key_make_one_query() {
    let site = Site::new();
    let worker = || Some(site.worker(Outcome::Rows));
    let gateways = [
        site.gateway(worker(), GatewayOptions::default()).await,
        site.gateway(worker(), GatewayOptions::default()).await,
    ];
    let requests = (0..16).map(|number| {
        let request = gateways[number % 2].sql("select 1 as n").header("idempotency-key", "storm");
        async move {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 200);
            let id = header(&response, "dunlin-query-id");
            assert_eq!(json(response).await.as_array().unwrap().len(), 5);
            id
        }
    });
    let ids = futures::future::join_all(requests).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_query_says_why_on_every_path() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Fails)), GatewayOptions::default()).await;
    let response = gateway.submit(&json!({"sql": "select 1 as n"})).send().await.unwrap();
    let status = json(response).await;
    assert_eq!(status["status"], "FAILED");
    assert_eq!(status["error"]["code"], "EXECUTION_FAILED");
    let id = status["query_id"].as_str().unwrap();
    let results = gateway.client.get(format!("{}/v1/queries/{id}/results", gateway.url));
    let (code, body) = problem(results).await;
    assert_eq!((code, body["code"].as_str()), (400, Some("EXECUTION_FAILED")));
    assert_eq!(body["query_id"], id);
    let sql = gateway.sql("select 2 as n").header("idempotency-key", "k");
    let (code, body) = problem(sql).await;
    assert_eq!((code, body["detail"].as_str()), (400, Some("divide by zero")));
}

fn fleet() -> Value {
    json!({"sql": "select 1 as n", "settings": {"route": "fleet"}, "wait_timeout": "0s"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_workers_waits_is_watched_and_is_cancelled() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let response = gateway.submit(&fleet()).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let location = header(&response, "location");
    let status = json(response).await;
    assert_eq!(
        (status["status"].as_str(), status["phase"].as_str()),
        (Some("PENDING"), Some("queued"))
    );
    let (code, body) =
        problem(gateway.client.get(format!("{}{location}/results", gateway.url))).await;
    assert_eq!((code, body["code"].as_str()), (409, Some("NOT_READY")));
    let status = json(gateway.get(&format!("{location}?wait=1s")).await).await;
    assert_eq!(status["status"], "PENDING");
    assert_eq!(
        status["progress"],
        json!({"stages_done": 0, "stages": 1, "tasks_done": 0, "tasks": 1})
    );
    // A cancel ends a wait that is under way, on another gateway too.
    let other = site.gateway(None, GatewayOptions::default()).await;
    let path = format!("{location}?wait=600s");
    let waiting = other.get(&path);
    let cancelling = async {
        site.somebody_waits().await;
        json(gateway.post(&format!("{location}/cancel")).await).await
    };
    let (waited, cancelled) = tokio::join!(waiting, cancelling);
    assert_eq!(cancelled["status"], "CANCELLED");
    assert_eq!(json(waited).await["status"], "CANCELLED");
    let (code, body) =
        problem(gateway.client.get(format!("{}{location}/results", gateway.url))).await;
    assert_eq!((code, body["code"].as_str()), (410, Some("CANCELLED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_runs_out_leaves_the_query_to_come_back_to() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let request = gateway.client.post(format!("{}/v1/sql", gateway.url)).json(&fleet());
    let response = request.header("prefer", "wait=1").send().await.unwrap();
    assert_eq!(response.status(), 202);
    let location = header(&response, "location");
    let query = QueryId::parse(&header(&response, "dunlin-query-id")).unwrap();
    assert_eq!(json(gateway.get(&location).await).await["status"], "PENDING");
    Worker { control: Arc::clone(&site.control), outcome: Outcome::Rows }.run(query).await;
    // The worker died after its commit: whoever waits repairs.
    let status = json(gateway.get(&format!("{location}?wait=30s")).await).await;
    assert_eq!(status["status"], "SUCCEEDED");
    let rows = json(gateway.get(&format!("{location}/results")).await).await;
    assert_eq!(rows.as_array().unwrap().len(), 5);
}

fn impatient() -> GatewayOptions {
    let quick = Duration::from_millis(50);
    GatewayOptions {
        limits: Limits { no_worker_ms: 300, ..Limits::default() },
        sweep: SweepPeriods { busy: quick, idle: quick, ..SweepPeriods::default() },
        ..GatewayOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_no_worker_takes_is_ended() {
    let site = Site::new();
    let gateway = site.gateway(None, impatient()).await;
    let id = json(gateway.submit(&fleet()).send().await.unwrap()).await["query_id"].clone();
    let path = format!("/v1/queries/{}", id.as_str().unwrap());
    let status = json(gateway.get(&format!("{path}?wait=30s")).await).await;
    assert_eq!(status["error"]["code"], "NO_COMPATIBLE_WORKER");
    assert!(status["error"]["message"].as_str().unwrap().contains("no worker is running"));
    let results = gateway.client.get(format!("{}{path}/results", gateway.url));
    assert_eq!(problem(results).await.0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_refuse_a_query_are_named() {
    let site = Site::new();
    let mut options = impatient();
    options.limits.no_worker_ms = 60_000;
    options.sweep.refused = Duration::from_millis(300);
    let gateway = site.gateway(None, options).await;
    let id = json(gateway.submit(&fleet()).send().await.unwrap()).await["query_id"].clone();
    let id = id.as_str().unwrap();
    let key = keys::refusal(&QueryId::parse(id).unwrap(), "w7");
    site.control.put(&key, Bytes::from_static(b"{\"engine\":\"dunlin-9\"}")).await.unwrap();
    let status = json(gateway.get(&format!("/v1/queries/{id}?wait=30s")).await).await;
    assert_eq!(status["error"]["code"], "NO_COMPATIBLE_WORKER");
    assert!(status["error"]["message"].as_str().unwrap().contains("w7 (dunlin-9)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_moves_on_what_nobody_watches() {
    let site = Site::new();
    let gateway = site.gateway(None, impatient()).await;
    let id = json(gateway.submit(&fleet()).send().await.unwrap()).await["query_id"].clone();
    let query = QueryId::parse(id.as_str().unwrap()).unwrap();
    Worker { control: Arc::clone(&site.control), outcome: Outcome::Rows }.run(query.clone()).await;
    let swept = async {
        while site.control.get(&keys::end(&query)).await.unwrap().is_none()
            || site.control.get(&keys::active(&query)).await.unwrap().is_some()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), swept).await.unwrap();
    let status = json(gateway.get(&format!("/v1/queries/{query}")).await).await;
    assert_eq!(status["status"], "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_waits_and_not_queries() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    assert_eq!(gateway.get("/health").await.status(), 200);
    assert_eq!(gateway.get("/v1/ready").await.status(), 200);
    let id = json(gateway.submit(&fleet()).send().await.unwrap()).await["query_id"].clone();
    let path = format!("/v1/queries/{}?wait=600s", id.as_str().unwrap());
    let Running { url, client, stop, served } = gateway;
    let waiting = tokio::spawn(client.get(format!("{url}{path}")).send());
    site.somebody_waits().await;
    stop.send(()).unwrap();
    let status = json(waiting.await.unwrap().unwrap()).await;
    assert_eq!(status["status"], "PENDING");
    served.await.unwrap().unwrap();
    let later = site.gateway(None, GatewayOptions::default()).await;
    let path = format!("/v1/queries/{}", id.as_str().unwrap());
    assert_eq!(json(later.get(&path).await).await["status"], "PENDING");
}
