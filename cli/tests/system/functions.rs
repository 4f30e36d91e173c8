//! Workers as Lambda functions: processes that are started by calls, frozen between them, killed, throttled and lost. The
//! state is on an S3 server. Until a gateway calls functions itself, the test calls them while a query is not over.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dunlin_cli::fleet::Fleet;
use dunlin_cli::tpch;
use dunlin_sim::lambda::{Function, Lambda, Outcome, Rules};
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data, unique};

const SCALE: f64 = 0.05;
const NAME: &str = "dunlin-worker";
/// Longest time that any of these queries may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two rounds of calls.
const ROUND: Duration = Duration::from_millis(100);

/// The worker as a function: beside the command, built with the tests of its crate.
fn function() -> PathBuf {
    let found = binary().with_file_name("dunlin-lambda-worker");
    assert!(found.exists(), "build it first: cargo test -p dunlin-lambda --no-run");
    found
}

struct Site {
    lambda: Lambda,
    api: Api,
    http: reqwest::Client,
    _fleet: Fleet,
    _setup: Setup,
}

impl Site {
    /// A gateway, and a function of which `concurrency` calls may run at once.
    async fn start(s3: &S3, data: &Path, concurrency: usize, timeout: Duration) -> Self {
        let state = unique("lambda");
        let tables = tpch::tables_toml(&format!("file://{}/", data.display()));
        let limits = "[limits]\nheartbeat_ms = 300\nlease_ms = 2000\n";
        let params = s3.params("state.params", &s3.endpoint);
        let config = format!(
            "[state]\nlocation = \"s3://{}/{state}\"\n{params}\n{limits}\n{tables}",
            s3.bucket
        );
        let setup = Setup::with(|_| config.clone());
        let fleet = Fleet::start(binary(), &setup.config, setup.path(), 0, 1).unwrap();
        let function = Function {
            name: NAME.to_owned(),
            binary: function(),
            env: vec![("DUNLIN_CONFIG_TOML".to_owned(), config)],
            memory_mb: 1_769,
            timeout,
            concurrency,
            folder: setup.path().to_owned(),
        };
        let rules = Rules { retry_pause: Duration::from_millis(200), ..Rules::default() };
        let lambda = Lambda::start(vec![function], rules).await.unwrap();
        let api = Api::new(&fleet.url());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { lambda, api, http, _fleet: fleet, _setup: setup }
    }

    /// An asynchronous call. It may be lost, and nobody waits for it.
    async fn call(&self, payload: Value) {
        let url = format!("{}/2015-03-31/functions/{NAME}/invocations", self.lambda.endpoint());
        let request = self.http.post(url).header("x-amz-invocation-type", "Event").json(&payload);
        assert_eq!(request.send().await.unwrap().status(), 202);
    }

    /// Calls functions until the query is over. `trouble` may do anything in between.
    async fn run(&self, number: usize, trouble: impl Fn(&Self, u32)) {
        let settings = json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });
        let query = self.api.begin(&tpch::query(number).unwrap(), &settings).await;
        let begun = Instant::now();
        for round in 0.. {
            assert!(begun.elapsed() < PATIENCE, "Q{number} does not end");
            let status = self.api.status(&query, "0s").await;
            if !["PENDING", "RUNNING"].contains(&status["status"].as_str().unwrap()) {
                break;
            }
            self.call(json!({ "queries": [query] })).await;
            self.call(json!({ "queries": ["nonsense"], "source": "a schedule" })).await;
            trouble(self, round);
            tokio::time::sleep(ROUND).await;
        }
        let answer = self.api.results(&query, PATIENCE).await;
        let reference = Reference::over(&data(SCALE));
        reference.check_tpch("functions", number, &answer.batches);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_answer_tpch_exactly_and_nothing_runs_between_queries() {
    let Some(s3) = S3::from_env() else { return };
    let site = Site::start(&s3, &data(SCALE), 3, Duration::from_secs(60)).await;
    assert_eq!(site.lambda.sandboxes(NAME), 0, "before the first query");
    for number in 1..=22 {
        // Sandboxes are frozen between the queries, or gone.
        if number % 4 == 0 {
            site.lambda.reclaim();
        }
        site.run(number, |_, _| {}).await;
    }
    let calls = site.lambda.calls();
    let tasks = |outcome: &Outcome| match outcome {
        Outcome::Done(body) => {
            serde_json::from_slice::<Value>(body).unwrap()["tasks"].as_u64().unwrap()
        }
        Outcome::Failed { kind, message } => panic!("{kind}: {message}"),
    };
    let run: u64 = calls.iter().map(|call| tasks(&call.outcome)).sum();
    assert!(run > 100, "{run} tasks");
    let cold: Vec<_> = calls.iter().filter(|call| call.is_cold).collect();
    assert!(cold.len() >= 3 && cold.len() < calls.len());
    let init = cold.iter().map(|call| call.init).max().unwrap();
    let billed: u64 = calls.iter().map(|call| call.billed_ms * call.memory_mb).sum();
    println!(
        "{} calls, {} cold, the slowest start {init:?}, {run} tasks, {:.1} GB-s",
        calls.len(),
        cold.len(),
        billed as f64 / 1024.0 / 1000.0
    );
}

/// Functions are killed at work, at their deadline, and throttled to one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_throttled_functions_cost_time_and_no_row() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(SCALE);
    let site = Site::start(&s3, &data, 3, Duration::from_secs(60)).await;
    for number in [5, 9, 21] {
        site.run(number, |site, round| {
            if round < 8 {
                let _ = site.lambda.kill_one(NAME);
            }
        })
        .await;
    }
    let killed = |outcome: &Outcome| matches!(outcome, Outcome::Failed { kind, .. } if kind == "Runtime.ExitError");
    let deaths = site.lambda.calls().iter().filter(|call| killed(&call.outcome)).count();
    assert!(deaths > 3, "{deaths} functions were killed");
    // One at a time, with deadlines that are shorter than the queries.
    let slow = Site::start(&s3, &data, 1, Duration::from_millis(1_500)).await;
    slow.run(18, |_, _| {}).await;
    assert!(slow.lambda.sandboxes(NAME) <= 1);
}
