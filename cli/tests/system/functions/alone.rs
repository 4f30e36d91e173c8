//! Everything is a function, also the gateway: between requests no process runs at all.

use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use dunlin_cli::tpch;
use dunlin_gateway::auth::NewKey;
use dunlin_sim::lambda::{Function, Lambda, Rules};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::{COPY, NAME, PATIENCE, Plan, SCALE};
use crate::common::reference::Reference;
use crate::common::{S3, binary, data, unique};

/// Functions, and the URL of the gateway.
struct Alone {
    lambda: Lambda,
    http: reqwest::Client,
    url: String,
    key: NewKey,
    _folder: tempfile::TempDir,
}

impl Alone {
    async fn start(s3: &S3, data: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = NewKey::generate().unwrap();
        let tables = tpch::tables_toml(&format!("file://{}/", data.display()));
        let config = format!(
            "[state]\nlocation = \"s3://{}/{}\"\n{}\n{}\n{tables}\n[[gateway.keys]]\nname = \"test\"\nsha256 = \"{}\"\nscopes = [\"query\"]\n",
            s3.bucket,
            unique("all-functions"),
            s3.params("state.params", &s3.endpoint),
            Plan::of(2).section(),
            key.sha256(),
        );
        let function = |name: &str, binary: &str| Function {
            name: name.to_owned(),
            binary: self::binary().with_file_name(binary),
            alias: None,
            env: vec![("DUNLIN_CONFIG_TOML".to_owned(), config.clone())],
            memory_mb: 1_769,
            timeout: PATIENCE,
            concurrency: 3,
            is_denied: false,
            folder: folder.path().to_owned(),
        };
        let functions = vec![
            function("gateway", "dunlin-lambda-gateway"),
            function(NAME, "dunlin-lambda-worker"),
            function(COPY, "dunlin-lambda-worker"),
        ];
        let lambda = Lambda::start(functions, Rules::default()).await.unwrap();
        let url = lambda.url("gateway").await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { lambda, http, url, key, _folder: folder }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url)).bearer_auth(self.key.text())
    }

    /// What `dunlin health` prints of a gateway that is ready.
    fn health(&self) -> String {
        let health = Command::new(binary()).args(["health", "--url", &self.url]).output().unwrap();
        assert!(health.status.success(), "{health:?}");
        String::from_utf8(health.stdout).unwrap()
    }

    /// Submits a query, waits so long, and returns status and body.
    async fn submit(&self, sql: &str, route: &str, wait: &str) -> (u16, Value) {
        let settings = json!({ "route": route, "target_partitions": 4 });
        let body = json!({ "sql": sql, "settings": settings });
        let request = self.http.post(format!("{}/v1/queries", self.url)).json(&body);
        let request = request.bearer_auth(self.key.text()).header("prefer", wait);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Waits until workers were called and are done.
    async fn workers_are_done(&self) {
        let begun = Instant::now();
        let worked = || self.lambda.calls().iter().any(|call| call.function != "gateway");
        while self.lambda.under_way() > 0 || !worked() {
            assert!(begun.elapsed() < PATIENCE, "the workers were not called");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn batches(answer: Response) -> Vec<RecordBatch> {
    let bytes = answer.error_for_status().unwrap().bytes().await.unwrap();
    StreamReader::try_new(Cursor::new(bytes), None).unwrap().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_a_function_answers_and_nothing_else_runs() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(SCALE);
    let alone = Alone::start(&s3, &data).await;
    let without_key = alone.http.get(format!("{}/v1/queries/x", alone.url)).send().await.unwrap();
    assert_eq!(without_key.status(), 401);
    // Submitted and left alone: the calls of workers are made before the answer.
    let (code, submitted) = alone.submit(&tpch::query(5).unwrap(), "fleet", "wait=0").await;
    assert_eq!(code, 202, "{submitted}");
    alone.workers_are_done().await;
    // The query has ended without any gateway, and any gateway gives its rows.
    alone.lambda.reclaim();
    assert_eq!(["gateway", NAME, COPY].map(|name| alone.lambda.sandboxes(name)), [0; 3]);
    let path = format!("/v1/queries/{}/results", submitted["query_id"].as_str().unwrap());
    let answer = alone.get(&path).header("accept", "application/vnd.apache.arrow.stream");
    let answer = answer.send().await.unwrap();
    let summary: Value =
        serde_json::from_slice(answer.headers()["dunlin-summary"].as_bytes()).unwrap();
    assert!(summary["functions"]["calls"].as_u64() > Some(0), "{summary}");
    // The gateway is paid, too.
    let gateway = |name: &str| summary["function_gateway"][name].as_u64().unwrap();
    assert_eq!((gateway("calls"), gateway("mb_ms")), (1, gateway("ms") * 1_769), "{summary}");
    Reference::over(&data).check_tpch("all functions", 5, &batches(answer).await);
    // An inline query that must be stored is run before its request is answered.
    let (_, stored) = alone.submit("select count(*) as n from nation", "inline", "wait=0").await;
    let path = format!("/v1/queries/{}", stored["query_id"].as_str().unwrap());
    let status: Value = alone.get(&path).send().await.unwrap().json().await.unwrap();
    assert_eq!(status["status"], "SUCCEEDED", "{status}");
}

/// An account in which the schedule is off: `dunlin health` says so, and a query whose calls were lost goes on when its
/// client asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_schedule_a_query_waits_for_its_client_and_health_says_so() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(SCALE);
    let alone = Alone::start(&s3, &data).await;
    alone.lambda.lose_calls(true);
    let (code, submitted) = alone.submit(&tpch::query(5).unwrap(), "fleet", "wait=0").await;
    assert_eq!(code, 202, "{submitted}");
    while alone.lambda.under_way() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Nothing runs, and nothing will.
    assert!(alone.lambda.calls().iter().all(|call| call.function == "gateway"));
    let said = alone.health();
    assert!(
        said.starts_with("note: no schedule has swept this state yet: a query whose"),
        "{said}"
    );
    let path = format!("/v1/queries/{}", submitted["query_id"].as_str().unwrap());
    let status: Value = alone.get(&path).send().await.unwrap().json().await.unwrap();
    assert_eq!(status["status"], "PENDING", "{status}");
    alone.lambda.lose_calls(false);
    let status = alone.get(&format!("{path}?wait=60s")).send().await.unwrap();
    let status: Value = status.json().await.unwrap();
    assert_eq!(status["status"], "SUCCEEDED", "{status}");
    let rows = alone.get(&format!("{path}/results"));
    let rows = rows.header("accept", "application/vnd.apache.arrow.stream").send().await.unwrap();
    Reference::over(&data).check_tpch("no schedule", 5, &batches(rows).await);
    // A schedule that is on leaves its mark.
    let url = format!("{}/2015-03-31/functions/{NAME}/invocations", alone.lambda.endpoint());
    let swept = alone.http.post(url).json(&json!({ "sweep": true })).send().await.unwrap();
    assert!(!swept.headers().contains_key("x-amz-function-error"), "{swept:?}");
    assert_eq!(alone.health(), "");
}

/// Links lead to the same rows, without the gateway and without credentials.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_lead_to_the_rows_of_an_answer() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(SCALE);
    let alone = Alone::start(&s3, &data).await;
    let sql = "select l_orderkey, l_comment from lineitem where l_orderkey < 40000 order by l_orderkey, l_comment";
    let (_, stored) = alone.submit(sql, "fleet", "wait=60").await;
    assert_eq!(stored["status"], "SUCCEEDED", "{stored}");
    let path = format!("{}?expires=5m", stored["links"]["links"].as_str().unwrap());
    let without_key = alone.http.get(format!("{}{path}", alone.url)).send().await.unwrap();
    assert_eq!(without_key.status(), 401);
    for wrong in ["0s", "2h", "soon"] {
        let path = path.replace("5m", wrong);
        assert_eq!(alone.get(&path).send().await.unwrap().status(), 400, "{wrong}");
    }
    for right in ["15m", "1h", "900"] {
        let path = path.replace("5m", right);
        assert_eq!(alone.get(&path).send().await.unwrap().status(), 200, "{right}");
    }
    let links: Value = alone.get(&path).send().await.unwrap().json().await.unwrap();
    let mut rows = Vec::new();
    for part in links["parts"].as_array().unwrap() {
        let (from, len) = (part["offset"].as_u64().unwrap(), part["bytes"].as_u64().unwrap());
        let range = format!("bytes={from}-{}", from + len - 1);
        let object = alone.http.get(part["url"].as_str().unwrap()).header("range", range);
        rows.extend(batches(object.send().await.unwrap()).await);
    }
    Reference::over(&data).check("links", sql, &rows);
}
