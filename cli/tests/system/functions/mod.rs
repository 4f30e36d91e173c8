//! Workers as Lambda functions: processes that a gateway starts by calls and that call each other, that are frozen between
//! their calls, killed, throttled, called twice and not at all. The state is on an S3 server.

mod alone;
mod builds;
mod cost;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dunlin_cli::fleet::{Process, start_listening};
use dunlin_cli::tpch;
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
    /// New environments of a function in a second.
    environments: usize,
    /// Where the gateway and the functions reach the store, if they do so through proxies.
    through: Option<(String, String)>,
}

impl Plan {
    fn of(concurrency: usize) -> Self {
        Self {
            functions: vec![(NAME, 1_769, concurrency), (COPY, 1_769, concurrency)],
            timeout: Duration::from_secs(60),
            trouble_every: 0,
            environments: 100,
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
            is_denied: false,
            folder: setup.path().to_owned(),
        };
        let rules = Rules {
            retry_pause: Duration::from_millis(200),
            trouble_every: plan.trouble_every,
            environments: plan.environments,
            environments_in: Duration::from_secs(1),
            ..Rules::default()
        };
        let functions = plan.functions.iter().map(function).collect();
        let lambda = Lambda::start(functions, rules).await.unwrap();
        let log = setup.path().join("gateway.log");
        let (gateway, address) = gateway(&lambda, &setup.config, &log).await.unwrap();
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
        quiet(&self.lambda).await;
    }
}

/// Waits until no function is at work, and none is about to be.
pub async fn quiet(lambda: &Lambda) {
    let begun = Instant::now();
    while lambda.under_way() > 0 {
        assert!(begun.elapsed() < PATIENCE, "functions go on after the queries");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A gateway that calls the functions of the emulator, with the variables that every tool of AWS knows.
pub async fn gateway(
    lambda: &Lambda,
    config: &Path,
    log: &Path,
) -> anyhow::Result<(Process, SocketAddr)> {
    gateway_of(binary(), lambda, config, log).await
}

/// The same, by another program than the one under test.
async fn gateway_of(
    command: &Path,
    lambda: &Lambda,
    config: &Path,
    log: &Path,
) -> anyhow::Result<(Process, SocketAddr)> {
    let endpoint = format!("AWS_ENDPOINT_URL_LAMBDA={}", lambda.endpoint());
    let (command, config) = (command.display().to_string(), config.display().to_string());
    let log = log.to_owned();
    let started = tokio::task::spawn_blocking(move || {
        let arguments = [
            &endpoint,
            "AWS_ACCESS_KEY_ID=emulated",
            "AWS_SECRET_ACCESS_KEY=emulated",
            &command,
            "gateway",
            "--config",
            &config,
        ];
        start_listening(Path::new("env"), &arguments, &log)
    });
    started.await.unwrap()
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

/// Calls are lost and doubled, functions are killed at work, get few environments, and are throttled to one with short
/// deadlines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_calls_and_killed_and_throttled_functions_cost_time_and_no_row() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(SCALE);
    let trouble = Plan { trouble_every: 3, environments: 1, ..Plan::of(2) };
    let site = Site::start(&s3, &data, &trouble).await;
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
        ..Plan::of(1)
    };
    let slow = Site::start(&s3, &data, &slow).await;
    slow.run(18, |_, _| {}).await;
    assert!(slow.lambda.sandboxes(NAME) <= 1);
}

/// A task that does not fit into the memory of a small function is run by a larger one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_without_memory_goes_to_a_larger_function() {
    let Some(s3) = S3::from_env() else { return };
    let plan = Plan { functions: vec![("small", 256, 4), ("large", 3_538, 4)], ..Plan::of(4) };
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
        is_denied: name == "denied",
        folder: folder.path().to_owned(),
    };
    let functions = vec![
        worker("fit", None, 1_769, &state),
        worker("other-build", Some("b-000000000000"), 1_769, &state),
        worker("smaller", None, 512, &state),
        worker("broken", None, 1_769, "[state]\nlocation = \"ftp://nowhere\"\n"),
        worker("throttled", None, 1_769, &state),
        worker("denied", None, 1_769, &state),
    ];
    let rules = Rules { account_limit: 10, ..Rules::default() };
    let lambda = Lambda::start(functions, rules).await.unwrap();
    for (number, (name, said)) in [
        ("fit", ""),
        ("absent", "does not exist in this account and region"),
        ("other-build", "another build than this gateway"),
        ("smaller", "has 512 MB, and [functions] says 1769 MB"),
        ("broken", "does not answer as a worker does"),
        ("throttled", ""),
        ("denied", "its role or user needs lambda:InvokeFunction on it"),
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
        let started = gateway(&lambda, &setup, &log).await;
        match said {
            "" => drop(started.unwrap_or_else(|error| panic!("{name}: {error:#}"))),
            said => {
                let error = format!("{:#}", started.unwrap_err());
                assert!(error.contains(said), "{name}: {error}");
            }
        }
        let noted: &[&str] = match name {
            "fit" => &["this account may run 10 functions at once", "most_calls is 256"],
            "throttled" => {
                &["takes no calls now", "a new account may run 10 functions", "Service Quotas"]
            }
            _ => &[],
        };
        if !noted.is_empty() {
            let log = std::fs::read_to_string(log).unwrap();
            assert!(noted.iter().all(|said| log.contains(said)), "{log}");
        }
    }
}
