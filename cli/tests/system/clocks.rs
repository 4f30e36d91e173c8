//! Wall clocks that are an hour off. A store that looks at dates refuses, and everybody says so; where none does, nothing
//! depends on them.

use std::path::Path;
use std::time::Duration;

use dunlin_cli::fleet::{Process, start_listening};
use dunlin_cli::tpch;
use dunlin_exact::engines::ENGINE;
use dunlin_manifest::ids::QueryId;
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::clock::{Clock, now_ms};
use crate::common::objects::{Objects, until};
use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data, unique, worker_binary};
use crate::survival::{SHORT_LEASE, SLOW, freeze_in_the_middle};

const SCALE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(240);
/// Seconds.
const HOUR: i64 = 3_600;
/// Shorter than clocks are off, and longer than any test.
const LIMITS: &str =
    "[limits]\nheartbeat_ms = 200\nlease_ms = 600000\ntask_limit_ms = 1200000\nttl_ms = 1800000\n";
const TOO_FAR: &str =
    "the clock of this machine and the store's are too far apart: set the clock (";
const CODE: &str = "RequestTimeTooSkewed";

fn settings() -> Value {
    json!({ "route": "fleet", "target_partitions": 8, "task_bytes": 0 })
}

/// A gateway with this clock, or why it has ended.
async fn gateway(clock: &Clock, setup: &Setup, log: &str) -> Result<(Process, Api), String> {
    let [library, file] = clock.environment();
    let program = binary().display().to_string();
    let (config, log) = (setup.config.display().to_string(), setup.path().join(log));
    let started = tokio::task::spawn_blocking(move || {
        let arguments = [&*library, &file, &program, "gateway", "--config", &config];
        start_listening(Path::new("env"), &arguments, &log)
    });
    match started.await.unwrap() {
        Ok((gateway, address)) => Ok((gateway, Api::new(&format!("http://{address}")))),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn worker(clock: &Clock, setup: &Setup, log: &str) -> Process {
    let [library, file] = clock.environment();
    let program = worker_binary().display().to_string();
    let config = setup.config.display().to_string();
    let arguments = [&*library, &file, &program, "--config", &config, "--slots", "1"];
    Process::start(Path::new("env"), &arguments, &setup.path().join(log)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_an_hour_off_is_told_where_the_store_looks_at_dates() {
    let Some(s3) = S3::from_env() else { return };
    let setup = Setup::with(|_| {
        format!(
            "[state]\nlocation = \"s3://{}/{}\"\n{}{ENGINE}\n{}",
            s3.bucket,
            unique("clocks"),
            s3.params("state.params", &s3.endpoint),
            tpch::tables_toml(&format!("file://{}/", data(SCALE).display())),
        )
    });
    for off in [HOUR, -HOUR] {
        let wrong = Clock::off(setup.path(), "wrong", off);
        let said = gateway(&wrong, &setup, "wrong.log").await.expect_err("it has started");
        assert!(said.contains(TOO_FAR) && said.contains(CODE), "{off}: {said}");
    }
    let ours = Clock::off(setup.path(), "gateway", 0);
    let theirs = Clock::off(setup.path(), "worker", -HOUR);
    let (_gateway, api) = gateway(&ours, &setup, "gateway.log").await.unwrap();
    let query = api.begin(&tpch::query(9).unwrap(), &settings()).await;
    let _worker = worker(&theirs, &setup, "worker.log");
    let log = setup.path().join("worker.log");
    until("the worker's word", PATIENCE, || {
        let text = std::fs::read_to_string(&log).unwrap();
        let line =
            text.lines().find(|line| line.contains("the state store could not be looked at"));
        line.map(|line| assert!(line.contains(TOO_FAR) && line.contains(CODE), "{line}"))
    })
    .await;
    assert_eq!(api.status(&query, "0s").await["status"], "PENDING");
    // Whoever sets the clock need not start anything again.
    theirs.set(0);
    let answer = api.results(&query, PATIENCE).await;
    let reference = Reference::over(&data(SCALE));
    reference.check_tpch("after the worker's clock was set", 9, &answer.batches);

    ours.set(HOUR);
    let body = json!({ "sql": tpch::query(6).unwrap(), "settings": settings() });
    let (status, refused) = api.raw("/v1/sql", &body).await;
    assert_eq!((status, refused["code"].as_str()), (503, Some("STORE_UNAVAILABLE")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains(TOO_FAR), "{refused}");
    ours.set(0);
    let answer = api.sql(&tpch::query(6).unwrap(), &settings()).await;
    reference.check_tpch("after the gateway's clock was set", 6, &answer.batches);
}

/// How far ahead the clock of whoever has written this time was, in whole hours.
fn hours_ahead(ms: u64) -> i64 {
    let off = i64::try_from(ms).unwrap() - now_ms();
    (off + HOUR * 500).div_euclid(HOUR * 1_000)
}

/// Times to live and leases are shorter than the clocks are apart: nobody may compare them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_folder_clocks_that_are_wrong_and_jump_cost_no_row_and_no_attempt() {
    let setup = Setup::folder(&data(SCALE), LIMITS);
    let [of_gateway, first, second] = [("gateway", -HOUR), ("first", HOUR), ("second", -HOUR)]
        .map(|(name, off)| Clock::off(setup.path(), name, off));
    let (_gateway, api) = gateway(&of_gateway, &setup, "gateway.log").await.unwrap();
    // It sweeps the same queries.
    let (_other, of_other) = gateway(&first, &setup, "other.log").await.unwrap();
    let _workers =
        [worker(&first, &setup, "worker-0.log"), worker(&second, &setup, "worker-1.log")];
    let query = api.begin(&tpch::query(9).unwrap(), &settings()).await;
    assert_eq!(hours_ahead(QueryId::parse(&query).unwrap().unix_ms()), -1);
    let objects = Objects::new(&setup.state, &query);
    until("the first commit", PATIENCE, || (!objects.commits().is_empty()).then_some(())).await;
    // Time servers do so in the middle of everything.
    first.set(-HOUR);
    second.set(HOUR);
    of_gateway.set(HOUR);
    let answer = of_other.results(&query, PATIENCE).await;
    let reference = Reference::over(&data(SCALE));
    reference.check_tpch("by wrong clocks", 9, &answer.batches);
    let status = api.status(&query, "0s").await;
    let summary = &status["summary"];
    assert_eq!(summary["attempts"], summary["tasks"], "{summary}");
    assert!(summary["wall_ms"].as_u64() < Some(1_800_000), "{summary}");
    let commits = objects.commits();
    let ends = commits.iter().map(|(_, commit)| hours_ahead(commit.metrics.ended_ms));
    let ends: std::collections::BTreeSet<i64> = ends.collect();
    assert_eq!(ends, [-1, 1].into(), "the workers' clocks were not wrong");
    // What is computed of the times of several processes must not break.
    assert!(api.analysis(&query).await.contains(" attempts); "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_workers_task_is_taken_over_by_a_worker_whose_clock_is_two_hours_behind() {
    let setup = Setup::folder(&data(SCALE), SHORT_LEASE);
    let [right, first, second] = [("gateway", 0), ("first", HOUR), ("second", -HOUR)]
        .map(|(name, off)| Clock::off(setup.path(), name, off));
    let (_gateway, api) = gateway(&right, &setup, "gateway.log").await.unwrap();
    let mut dies = worker(&first, &setup, "worker-0.log");
    let _lives = worker(&second, &setup, "worker-1.log");
    // A third of its pairs.
    let slow = SLOW.replace("l_linenumber <= 3", "l_linenumber <= 1");
    assert_ne!(slow, SLOW);
    let query = api.begin(&slow, &settings()).await;
    let objects = Objects::new(&setup.state, &query);
    let (stage, task, attempt) = freeze_in_the_middle(&objects, &dies).await;
    dies.kill();
    let answer = api.results(&query, PATIENCE).await;
    Reference::over(&data(SCALE)).check("after a killed worker", &slow, &answer.batches);
    let commits = objects.commits();
    let again = commits.iter().find(|(of, commit)| (*of, commit.task) == (stage, task)).unwrap();
    assert!(again.1.attempt > attempt, "the dead worker's task was done again");
    assert_eq!(hours_ahead(again.1.metrics.ended_ms), -1);
}
