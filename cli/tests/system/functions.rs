//! Workers as Lambda functions: processes that a gateway starts by calls and that call each other, that are frozen between
//! their calls, killed, throttled, called twice and not at all. The state is on an S3 server.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dunlin_cli::fleet::{Process, start_listening};
use dunlin_cli::tpch;
use dunlin_sim::far::Proxy;
use dunlin_sim::lambda::{Function, Lambda, Outcome, Rules};
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data, unique};

const SCALE: f64 = 0.05;
const NAME: &str = "dunlin-worker-1769";
const COPY: &str = "dunlin-worker-1769-2";
/// Longest time that any of these queries may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The worker as a function: beside the command, built with the tests of its crate.
fn function() -> PathBuf {
    let found = binary().with_file_name("dunlin-lambda-worker");
    assert!(found.exists(), "build it first: cargo test -p dunlin-lambda --no-run");
    found
}

/// An installation: which functions there are, and what happens to their calls.
struct Plan {
    /// Names, megabytes, calls at once.
    functions: Vec<(&'static str, u64, usize)>,
    timeout: Duration,
    trouble_every: u64,
    /// Where the gateway and the functions reach the store, if they do so through proxies.
    through: Option<(String, String)>,
}

impl Plan {
    fn of(concurrency: usize) -> Self {
        Self {
            functions: vec![(NAME, 1_769, concurrency), (COPY, 1_769, concurrency)],
            timeout: Duration::from_secs(60),
            trouble_every: 0,
            through: None,
        }
    }

    /// `[functions]` of the configuration.
    fn section(&self) -> String {
        let mut classes: Vec<(u64, Vec<&str>)> = Vec::new();
        for (name, memory, _) in &self.functions {
            match classes.iter_mut().find(|(of, _)| of == memory) {
                Some((_, names)) => names.push(name),
                None => classes.push((*memory, vec![name])),
            }
        }
        let class = |(memory, names): &(u64, Vec<&str>)| {
            format!("[[functions.class]]\nmemory_mb = {memory}\nnames = {names:?}\n")
        };
        let classes: String = classes.iter().map(class).collect();
        format!("[functions]\nregion = \"us-east-1\"\n{classes}")
    }
}

struct Site {
    lambda: Lambda,
    api: Api,
    _gateway: Process,
    _setup: Setup,
}

impl Site {
    async fn start(s3: &S3, data: &Path, plan: &Plan) -> Self {
        let state = unique("lambda");
        let tables = tpch::tables_toml(&format!("file://{}/", data.display()));
        let limits = "[limits]\nheartbeat_ms = 300\nlease_ms = 2000\n";
        let tables_at = unique("lambda-tables");
        if plan.through.is_some() {
            s3.upload(data, &tables_at).await;
        }
        let config = |endpoint: &str| {
            if plan.through.is_some() {
                let more =
                    format!("{limits}\n{}\n[prices]\nregion = \"us-east-1\"\n", plan.section());
                return s3.config(&state, &tables_at, endpoint, &more);
            }
            format!(
                "[state]\nlocation = \"s3://{}/{state}\"\n{}\n{limits}\n{}\n{tables}\n[prices]\nregion = \"us-east-1\"\n",
                s3.bucket,
                s3.params("state.params", endpoint),
                plan.section(),
            )
        };
        let direct = (s3.endpoint.clone(), s3.endpoint.clone());
        let (of_gateway, of_functions) = plan.through.clone().unwrap_or(direct);
        let setup = Setup::with(|_| config(&of_gateway));
        let config = config(&of_functions);
        let function = |(name, memory_mb, concurrency): &(&str, u64, usize)| Function {
            name: (*name).to_owned(),
            binary: function(),
            alias: None,
            env: vec![("DUNLIN_CONFIG_TOML".to_owned(), config.clone())],
            memory_mb: *memory_mb,
            timeout: plan.timeout,
            concurrency: *concurrency,
            folder: setup.path().to_owned(),
        };
        let rules = Rules {
            retry_pause: Duration::from_millis(200),
            trouble_every: plan.trouble_every,
            ..Rules::default()
        };
        let functions = plan.functions.iter().map(function).collect();
        let lambda = Lambda::start(functions, rules).await.unwrap();
        let endpoint = lambda.endpoint();
        let start = setup.config.clone();
        let log = setup.path().join("gateway.log");
        let (gateway, address) =
            tokio::task::spawn_blocking(move || gateway(&endpoint, &start, &log).unwrap())
                .await
                .unwrap();
        let api = Api::new(&format!("http://{address}"));
        Self { lambda, api, _gateway: gateway, _setup: setup }
    }

    /// Runs a query and compares its rows. `trouble` may do anything meanwhile, again and again.
    async fn run(&self, number: usize, trouble: impl Fn(&Self, u32)) {
        let settings = json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });
        let query = self.api.begin(&tpch::query(number).unwrap(), &settings).await;
        let begun = Instant::now();
        for round in 0.. {
            assert!(begun.elapsed() < PATIENCE, "Q{number} does not end");
            let status = self.api.status(&query, "100ms").await;
            if !["PENDING", "RUNNING"].contains(&status["status"].as_str().unwrap()) {
                break;
            }
            trouble(self, round);
        }
        let answer = self.api.results(&query, PATIENCE).await;
        let reference = Reference::over(&data(SCALE));
        reference.check_tpch("functions", number, &answer.batches);
    }

    /// Waits until no function is at work.
    async fn is_quiet(&self) {
        let begun = Instant::now();
        while self.lambda.under_way() > 0 {
            assert!(begun.elapsed() < PATIENCE, "functions go on after the queries");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A gateway that calls functions at `endpoint`, with the variables that every tool of AWS knows.
fn gateway(
    endpoint: &str,
    config: &Path,
    log: &Path,
) -> anyhow::Result<(Process, std::net::SocketAddr)> {
    let endpoint = format!("AWS_ENDPOINT_URL_LAMBDA={endpoint}");
    let (command, config) = (binary().display().to_string(), config.display().to_string());
    let arguments = [
        &endpoint,
        "AWS_ACCESS_KEY_ID=emulated",
        "AWS_SECRET_ACCESS_KEY=emulated",
        &command,
        "gateway",
        "--config",
        &config,
    ];
    start_listening(Path::new("env"), &arguments, log)
}

fn tasks(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Done(body) => {
            serde_json::from_slice::<Value>(body).unwrap()["tasks"].as_u64().unwrap_or(0)
        }
        Outcome::Failed { kind, message } => panic!("{kind}: {message}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_answer_tpch_exactly_and_nothing_runs_between_queries() {
    let Some(s3) = S3::from_env() else { return };
    let site = Site::start(&s3, &data(SCALE), &Plan::of(2)).await;
    site.lambda.reclaim();
    assert_eq!(site.lambda.sandboxes(NAME) + site.lambda.sandboxes(COPY), 0, "before the first");
    for number in 1..=22 {
        site.run(number, |_, _| {}).await;
        site.is_quiet().await;
        // Sandboxes are frozen between the queries, or gone.
        if number % 4 == 0 {
            site.lambda.reclaim();
        }
    }
    site.lambda.reclaim();
    assert_eq!(site.lambda.sandboxes(NAME) + site.lambda.sandboxes(COPY), 0, "after the last");
    let calls = site.lambda.calls();
    let run: u64 = calls.iter().map(|call| tasks(&call.outcome)).sum();
    assert!(run > 100, "{run} tasks");
    assert!(calls.iter().any(|call| call.function == COPY), "copies share the calls");
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

/// Calls are lost and doubled, functions are killed at work, and throttled to one with short deadlines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_calls_and_killed_and_throttled_functions_cost_time_and_no_row() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(SCALE);
    let site = Site::start(&s3, &data, &Plan { trouble_every: 3, ..Plan::of(2) }).await;
    for number in [3, 5, 9, 21] {
        site.run(number, |site, round| {
            if round < 4 {
                let _ = site.lambda.kill_one(NAME);
            }
        })
        .await;
    }
    let killed = |outcome: &Outcome| matches!(outcome, Outcome::Failed { kind, .. } if kind == "Runtime.ExitError");
    let deaths = site.lambda.calls().iter().filter(|call| killed(&call.outcome)).count();
    assert!(deaths > 1, "{deaths} functions were killed");
    // One at a time, with deadlines that are shorter than the queries.
    let slow = Plan {
        functions: vec![(NAME, 1_769, 1)],
        timeout: Duration::from_millis(1_500),
        trouble_every: 0,
        through: None,
    };
    let slow = Site::start(&s3, &data, &slow).await;
    slow.run(18, |_, _| {}).await;
    assert!(slow.lambda.sandboxes(NAME) <= 1);
}

/// The receipt is held to what was asked of the store, as proxies count it, and to what the emulator bills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_tells_what_was_used() {
    let Some(s3) = S3::from_env() else { return };
    let proxy = || Proxy::near(&s3.endpoint, &s3.bucket, |_| false);
    let (of_gateway, of_functions) = (proxy().await.unwrap(), proxy().await.unwrap());
    let through = Some((of_gateway.endpoint(), of_functions.endpoint()));
    let site = Site::start(&s3, &data(SCALE), &Plan { through, ..Plan::of(4) }).await;
    let (mut told, mut asked, mut billed, mut paid) = (0, 0, 0, 0);
    let (mut calls_told, mut calls_made) = (0, 0);
    for number in [1, 3, 5, 6, 9, 12, 18, 21] {
        site.is_quiet().await;
        of_gateway.forget();
        of_functions.forget();
        let before = site.lambda.calls().len();
        let settings = json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });
        let answer = site.api.sql(&tpch::query(number).unwrap(), &settings).await;
        let cost = &answer.summary["cost_usd"];
        let parts = ["compute", "requests", "storage"].map(|part| cost[part].as_f64().unwrap());
        let total = cost["total"].as_f64().unwrap();
        assert!(parts.iter().all(|part| *part > 0.0), "{cost}");
        assert!((total - parts.iter().sum::<f64>()).abs() < total * 1e-9, "{cost}");
        site.is_quiet().await;
        let gateway = of_gateway.seen();
        let functions = of_functions.seen();
        let status = site.api.status(&answer.query, "0s").await;
        let receipt = &status["receipt"];
        let of = |requests: &Value| {
            ["put", "get", "list", "head"]
                .map(|class| requests[class].as_u64().unwrap())
                .iter()
                .sum::<u64>()
        };
        let calls = &site.lambda.calls()[before..];
        let bill: u64 = calls.iter().map(|call| call.billed_ms * call.memory_mb).sum();
        let mb_ms = receipt["functions"]["mb_ms"].as_u64().unwrap();
        let counted = functions.iter().filter(|seen| seen.method != "DELETE").count() as u64;
        let inside: u64 = calls
            .iter()
            .map(|call| match &call.outcome {
                Outcome::Done(body) => {
                    serde_json::from_slice::<Value>(body).unwrap()["ms"].as_u64().unwrap()
                }
                Outcome::Failed { .. } => 0,
            })
            .sum();
        let took: u128 = calls.iter().map(|call| call.took.as_millis()).sum();
        let init: u128 = calls.iter().map(|call| call.init.as_millis()).sum();
        let seen_as = |method: &str, is_list: bool| {
            let of = functions.iter().filter(|seen| seen.method == method);
            of.filter(|seen| seen.list.is_some() == is_list).count()
        };
        println!(
            "    {inside} ms inside, {took} ms outside, {init} ms of starts; {} PUT {} GET {} LIST seen; {}",
            seen_as("PUT", false),
            seen_as("GET", false),
            seen_as("GET", true),
            receipt["requests"],
        );
        println!(
            "Q{number}: {} requests told, {counted} seen; {mb_ms} MB-ms told, {bill} billed; {} calls told, {} made; ${total:.6}",
            of(&receipt["requests"]),
            receipt["functions"]["calls"],
            calls.len(),
        );
        calls_told += receipt["functions"]["calls"].as_u64().unwrap();
        calls_made += calls.len() as u64;
        told += of(&receipt["requests"]);
        asked += counted;
        (billed, paid) = (billed + bill, paid + mb_ms);
        // What a gateway asks for all queries together is no part of one.
        let names = |text: &str| text.contains(&answer.query);
        let own = gateway
            .iter()
            .filter(|seen| names(&seen.key) || seen.list.as_deref().is_some_and(names));
        let own = own.filter(|seen| seen.method != "DELETE").count() as u64;
        let of_gateway = of(&answer.summary["requests_gateway"]);
        assert!(of_gateway.abs_diff(own) <= 3 + own / 10, "{of_gateway} told, {own} seen");
    }
    // Alone on a machine they agree within 5 %. Other tests run beside this one, and tails are longer then.
    let within = |told: u64, true_: u64| told.abs_diff(true_) * 10 <= true_;
    assert!(within(calls_told, calls_made), "{calls_told} calls told, {calls_made} made");
    assert!(within(told, asked), "{told} requests told, {asked} seen");
    assert!(within(paid, billed), "{paid} MB-ms told, {billed} billed");
}

/// A query ends when it has used more than it may, and says what it has cost until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_costs_more_than_it_may_is_refused_or_ended() {
    let Some(s3) = S3::from_env() else { return };
    let site = Site::start(&s3, &data(SCALE), &Plan::of(3)).await;
    let sql = tpch::query(18).unwrap();
    let settings = json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });
    let ask = async |limits: Value| {
        let body = json!({ "sql": sql, "settings": settings, "limits": limits });
        site.api.raw("/v1/sql", &body).await
    };
    let (status, refused) = ask(json!({ "max_bytes_scanned": 1_000 })).await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("LIMIT_EXCEEDED")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("would scan"), "{refused}");
    let (status, refused) = ask(json!({ "max_cost_usd": 0.000_000_1 })).await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("LIMIT_EXCEEDED")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("expected to cost at least"), "{refused}");
    let explained =
        site.api.raw("/v1/explain", &json!({ "sql": sql, "settings": settings })).await.1;
    let low = explained["estimate"]["cost_usd"]["low"].as_f64().unwrap();
    // More than it is expected to cost at least, and less than it costs.
    let (status, ended) = ask(json!({ "max_cost_usd": low * 1.001 })).await;
    assert_eq!((status, ended["code"].as_str()), (422, Some("LIMIT_EXCEEDED")), "{ended}");
    assert!(ended["detail"].as_str().unwrap().contains("has cost $"), "{ended}");
    let (status, _) = ask(json!({ "max_cost_usd": 1.0, "max_bytes_scanned": 1_000_000_000 })).await;
    assert_eq!(status, 200);
}

/// A task that does not fit into the memory of a small function is run by a larger one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_without_memory_goes_to_a_larger_function() {
    let Some(s3) = S3::from_env() else { return };
    let plan = Plan {
        functions: vec![("small", 256, 4), ("large", 3_538, 4)],
        timeout: Duration::from_secs(60),
        trouble_every: 0,
        through: None,
    };
    let data = data(0.2);
    let site = Site::start(&s3, &data, &plan).await;
    let sql = "SELECT count(*) AS n, count(DISTINCT a.l_comment) AS c FROM lineitem a JOIN lineitem b ON a.l_orderkey = b.l_orderkey AND a.l_linenumber = b.l_linenumber AND a.l_comment <> b.l_comment || 'x' AND b.l_shipinstruct <> a.l_shipmode";
    let settings = json!({ "route": "fleet", "target_partitions": 1 });
    let query = site.api.begin(sql, &settings).await;
    let answer = site.api.results(&query, PATIENCE).await;
    Reference::over(&data).check("memory", sql, &answer.batches);
    let calls = site.lambda.calls();
    let by = |name: &str| {
        let own = calls.iter().filter(|call| call.function == name);
        own.map(|call| tasks(&call.outcome)).sum::<u64>()
    };
    assert!(by("large") > 0, "the large function has run what did not fit: {calls:?}");
    assert!(calls.iter().any(|call| call.function == "small"), "{calls:?}");
}

/// What is wrong with functions is told when the gateway starts, in a sentence that says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_tells_at_its_start_what_is_wrong_with_its_functions() {
    let folder = tempfile::tempdir().unwrap();
    let state = format!("[state]\nlocation = \"file://{}\"\n", folder.path().join("s").display());
    let worker = |name: &str, alias: Option<&str>, memory_mb, config: &str| Function {
        name: name.to_owned(),
        binary: function(),
        alias: alias.map(ToOwned::to_owned),
        env: vec![("DUNLIN_CONFIG_TOML".to_owned(), config.to_owned())],
        memory_mb,
        timeout: Duration::from_secs(20),
        concurrency: usize::from(name != "throttled"),
        folder: folder.path().to_owned(),
    };
    let functions = vec![
        worker("fit", None, 1_769, &state),
        worker("other-build", Some("b-000000000000"), 1_769, &state),
        worker("smaller", None, 512, &state),
        worker("broken", None, 1_769, "[state]\nlocation = \"gs://nowhere\"\n"),
        worker("throttled", None, 1_769, &state),
    ];
    let lambda = Lambda::start(functions, Rules::default()).await.unwrap();
    for (number, (name, said)) in [
        ("fit", ""),
        ("absent", "does not exist in this account and region"),
        ("other-build", "another build than this gateway"),
        ("smaller", "has 512 MB, and [functions] says 1769 MB"),
        ("broken", "does not answer as a worker does"),
        ("throttled", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let section = format!(
            "[functions]\nregion = \"us-east-1\"\n[[functions.class]]\nmemory_mb = 1769\nnames = [\"{name}\"]\n"
        );
        let setup = folder.path().join(format!("{number}.toml"));
        std::fs::write(&setup, format!("{state}{section}")).unwrap();
        let log = folder.path().join(format!("gateway-{number}.log"));
        let endpoint = lambda.endpoint();
        let read = log.clone();
        let started = tokio::task::spawn_blocking(move || gateway(&endpoint, &setup, &log));
        let started = started.await.unwrap();
        match said {
            "" => drop(started.unwrap_or_else(|error| panic!("{name}: {error:#}"))),
            said => {
                let error = format!("{:#}", started.unwrap_err());
                assert!(error.contains(said), "{name}: {error}");
            }
        }
        if name == "throttled" {
            let log = std::fs::read_to_string(read).unwrap();
            assert!(log.contains("takes no calls now"), "{log}");
        }
    }
}

/// Everything is a function: between requests no process runs at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_a_function_answers_and_nothing_else_runs() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(SCALE);
    let folder = tempfile::tempdir().unwrap();
    let key = dunlin_gateway::auth::NewKey::generate().unwrap();
    let tables = tpch::tables_toml(&format!("file://{}/", data.display()));
    let state = unique("all-functions");
    let config = format!(
        "[state]\nlocation = \"s3://{}/{state}\"\n{}\n{}\n{tables}\n[[gateway.keys]]\nname = \"test\"\nsha256 = \"{}\"\nscopes = [\"query\"]\n",
        s3.bucket,
        s3.params("state.params", &s3.endpoint),
        Plan::of(2).section(),
        key.sha256(),
    );
    let of = |name: &str, binary: &str, config: &str| Function {
        name: name.to_owned(),
        binary: self::binary().with_file_name(binary),
        alias: None,
        env: vec![("DUNLIN_CONFIG_TOML".to_owned(), config.to_owned())],
        memory_mb: 1_769,
        timeout: Duration::from_secs(60),
        concurrency: 3,
        folder: folder.path().to_owned(),
    };
    let open = config.split("[[gateway.keys]]").next().unwrap();
    let functions = vec![
        of("gateway", "dunlin-lambda-gateway", &config),
        of("open", "dunlin-lambda-gateway", open),
        of(NAME, "dunlin-lambda-worker", &config),
        of(COPY, "dunlin-lambda-worker", &config),
    ];
    let lambda = Lambda::start(functions, Rules::default()).await.unwrap();
    let url = lambda.url("gateway").await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let sql = tpch::query(5).unwrap();
    let body = json!({ "sql": sql, "settings": { "route": "fleet", "target_partitions": 4 } });
    let post = |path: &str| http.post(format!("{url}{path}")).json(&body);
    let refused = post("/v1/sql").send().await.unwrap();
    assert_eq!(refused.status(), 401, "without a key");
    // Without keys in its configuration the gateway does not start at all.
    let open = lambda.url("open").await.unwrap();
    assert_eq!(http.get(format!("{open}/health")).send().await.unwrap().status(), 502);
    // Submitted and left alone: the calls of workers are made before the answer.
    let with_key = |request: reqwest::RequestBuilder| request.bearer_auth(key.text());
    let submitted = with_key(post("/v1/queries")).header("prefer", "wait=0").send().await.unwrap();
    assert_eq!(submitted.status(), 202);
    let submitted: Value = submitted.json().await.unwrap();
    let query = submitted["query_id"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    while lambda.under_way() > 0 || lambda.calls().iter().all(|call| call.function == "gateway") {
        assert!(begun.elapsed() < PATIENCE, "the workers were not called");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The query has ended without any gateway, and any gateway gives its rows.
    lambda.reclaim();
    assert_eq!(["gateway", NAME, COPY].map(|name| lambda.sandboxes(name)), [0; 3]);
    let results = with_key(http.get(format!("{url}/v1/queries/{query}/results")));
    let answer =
        results.header("accept", "application/vnd.apache.arrow.stream").send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let summary = answer.headers()["dunlin-summary"].to_str().unwrap().to_owned();
    let bytes = answer.bytes().await.unwrap();
    let reader = arrow_ipc::reader::StreamReader::try_new(std::io::Cursor::new(bytes), None);
    let batches: Vec<_> = reader.unwrap().map(Result::unwrap).collect();
    Reference::over(&data).check_tpch("all functions", 5, &batches);
    assert!(
        serde_json::from_str::<Value>(&summary).unwrap()["functions"]["calls"].as_u64() > Some(0)
    );
    // Links lead to the same rows, without the gateway and without credentials.
    let sql = "select l_orderkey, l_comment from lineitem where l_orderkey < 40000 order by l_orderkey, l_comment";
    let body = json!({ "sql": sql, "settings": { "route": "fleet", "target_partitions": 4 } });
    let stored = with_key(http.post(format!("{url}/v1/queries")).json(&body));
    let stored: Value =
        stored.header("prefer", "wait=60").send().await.unwrap().json().await.unwrap();
    assert_eq!(stored["status"], "SUCCEEDED", "{stored}");
    let path = format!("{url}{}?expires=5m", stored["links"]["links"].as_str().unwrap());
    assert_eq!(http.get(&path).send().await.unwrap().status(), 401);
    let links: Value = with_key(http.get(&path)).send().await.unwrap().json().await.unwrap();
    let mut batches = Vec::new();
    for part in links["parts"].as_array().unwrap() {
        let (from, len) = (part["offset"].as_u64().unwrap(), part["bytes"].as_u64().unwrap());
        let range = format!("bytes={from}-{}", from + len - 1);
        let object = http.get(part["url"].as_str().unwrap()).header("range", range);
        let bytes = object.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
        assert_eq!(bytes.len() as u64, len);
        let reader = arrow_ipc::reader::StreamReader::try_new(std::io::Cursor::new(bytes), None);
        batches.extend(reader.unwrap().map(Result::unwrap));
    }
    Reference::over(&data).check("links", sql, &batches);
    // An inline query that must be stored is run before its request is answered.
    let body =
        json!({ "sql": "select count(*) as n from nation", "settings": { "route": "inline" } });
    let stored = with_key(http.post(format!("{url}/v1/queries")).json(&body));
    let stored: Value =
        stored.header("prefer", "wait=0").send().await.unwrap().json().await.unwrap();
    let path = format!("{url}/v1/queries/{}", stored["query_id"].as_str().unwrap());
    let status: Value = with_key(http.get(path)).send().await.unwrap().json().await.unwrap();
    assert_eq!(status["status"], "SUCCEEDED", "{status}");
}
