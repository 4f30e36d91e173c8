//! Nothing is lost: real processes are killed, frozen and told to stop in the middle of a query, and
//! the answer is still exact, or the error says what to do.
//!
//! "In the middle" is never a matter of luck: a worker is frozen when the state shows a claim of its
//! own without a commit, and only if that still holds once it is frozen does the test go on.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use dunlin_cli::fleet::{Fleet, Process, start_gateway};
use dunlin_cli::tpch;
use dunlin_manifest::records::{FailClass, Requests};
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::objects::{Objects, until};
use crate::common::reference::Reference;
use crate::common::{Setup, binary, data, signal};

const SCALE: f64 = 0.05;
/// Longest time that any of these queries may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Dead workers are followed soon.
pub const SHORT_LEASE: &str = "[limits]\nheartbeat_ms = 200\nlease_ms = 1000\n";
/// Dead workers are not followed within any test.
const LONG_LEASE: &str = "[limits]\nheartbeat_ms = 200\nlease_ms = 600000\n";
/// Nor are those that are told to stop left any time.
const NO_GRACE: &str = "[limits]\nheartbeat_ms = 200\nlease_ms = 600000\n[worker]\ngrace_ms = 0\n";

/// Tasks long enough to be frozen in: some hundred pairs for each row.
pub const SLOW: &str = "select l1.l_suppkey as supplier, count(*) as pairs, sum(l1.l_quantity * l2.l_discount) as total \
    from lineitem l1 join lineitem l2 on l1.l_suppkey = l2.l_suppkey \
    where l1.l_linenumber <= 3 and l1.l_extendedprice < l2.l_extendedprice group by l1.l_suppkey";
/// Not done within any test's patience: tens of thousands of pairs for each row.
pub const ENDLESS: &str = "select count(*) as pairs from lineitem l1 join lineitem l2 \
    on l1.l_linenumber = l2.l_linenumber where l1.l_extendedprice * 3 < l2.l_extendedprice + l1.l_tax";

fn settings() -> Value {
    json!({ "route": "fleet", "target_partitions": 16 })
}

/// A fleet over a folder.
fn start(limits: &str, workers: usize) -> (Setup, Fleet, Api) {
    start_over(&data(SCALE), limits, workers)
}

fn start_over(data: &Path, limits: &str, workers: usize) -> (Setup, Fleet, Api) {
    let setup = Setup::folder(data, limits);
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), workers, 1).unwrap();
    let api = Api::new(&fleet.url());
    (setup, fleet, api)
}

fn reference() -> std::sync::Arc<Reference> {
    Reference::over(&data(SCALE))
}

/// Freezes `worker` while a task is in its hand, and says which: (stage, task, attempt).
pub async fn freeze_in_the_middle(objects: &Objects, worker: &Process) -> (u32, u32, u32) {
    // A task of the first stage is over in moments, and may be past its commit when the process stands still.
    let long = || objects.in_hand(worker.id()).into_iter().rfind(|(stage, _, _)| *stage > 0);
    loop {
        until("a task in the worker's hand", PATIENCE, || {
            assert!(!objects.has_ended(), "the query ended before a worker could be frozen");
            long()
        })
        .await;
        signal(worker, "-STOP");
        stopped(worker).await;
        if let Some(task) = long() {
            return task;
        }
        signal(worker, "-CONT");
    }
}

/// Waits until every thread of the process stands still: the signal is sent before they do.
pub async fn stopped(worker: &Process) {
    let tasks = format!("/proc/{}/task", worker.id());
    until("a frozen process", PATIENCE, || {
        let threads = std::fs::read_dir(&tasks).ok()?;
        let still = threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
        });
        still.then_some(())
    })
    .await;
}

/// The attempt that won a task.
fn winner(objects: &Objects, stage: u32, task: u32) -> Option<u32> {
    let commits = objects.commits();
    let found = commits.iter().find(|(of, commit)| *of == stage && commit.task == task);
    found.map(|(_, commit)| commit.attempt)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_in_the_middle_costs_time_and_no_row() {
    let (setup, mut fleet, api) = start(SHORT_LEASE, 2);
    let query = api.begin(SLOW, &settings()).await;
    let objects = Objects::new(&setup.state, &query);
    let (stage, task, attempt) = freeze_in_the_middle(&objects, &fleet.workers[0]).await;
    fleet.workers[0].kill();
    let answer = api.results(&query, PATIENCE).await;
    reference().check("after a killed worker", SLOW, &answer.batches);
    assert!(
        winner(&objects, stage, task).unwrap() > attempt,
        "the dead worker's task was done again"
    );
    let summary = &api.status(&query, "0s").await["summary"];
    assert!(summary["attempts"].as_u64() > summary["tasks"].as_u64(), "{summary}");
    let analysis = api.analysis(&query).await;
    let counted = format!("; {} tasks ({} attempts); ", summary["tasks"], summary["attempts"]);
    assert!(analysis.contains(&counted), "{counted}: {analysis}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_gateway_answers_for_a_query_whose_gateway_was_killed() {
    let (_setup, mut fleet, api) = start(SHORT_LEASE, 2);
    let submitted = api.submit(&tpch::query(9).unwrap(), &settings(), None).await;
    fleet.gateway.kill();
    assert_eq!(submitted.status, 202, "{submitted:?}");
    fleet.restart_gateway().unwrap();
    let api = Api::new(&fleet.url());
    let answer = api.results(&submitted.query(), PATIENCE).await;
    reference().check_tpch("after a killed gateway", 9, &answer.batches);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_outlives_all_its_workers() {
    let (setup, mut fleet, api) = start(SHORT_LEASE, 2);
    let query = api.begin(SLOW, &settings()).await;
    let objects = Objects::new(&setup.state, &query);
    freeze_in_the_middle(&objects, &fleet.workers[0]).await;
    for worker in &mut fleet.workers {
        worker.kill();
    }
    assert!(!objects.has_ended());
    for _ in 0..2 {
        fleet.add_worker(1).unwrap();
    }
    let answer = api.results(&query, PATIENCE).await;
    reference().check("after all workers were killed", SLOW, &answer.batches);
    let pids: Vec<String> =
        fleet.workers[2..].iter().map(|worker| format!("{}-", worker.id())).collect();
    let own = |name: &String| pids.iter().any(|pid| name.starts_with(pid));
    assert!(objects.workers().iter().any(own), "the new workers finished it");
}

/// Asks `worker` to stop while a task is in its hand, and waits for its end. Returns the task.
async fn stop_in_the_middle(objects: &Objects, worker: &mut Process) -> (u32, u32, u32) {
    let task = freeze_in_the_middle(objects, worker).await;
    signal(worker, "-TERM");
    signal(worker, "-CONT");
    until("the end of the worker", PATIENCE, || (!worker.is_running()).then_some(())).await;
    task
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_asked_to_stop_ends_the_task_in_its_hand() {
    let (setup, mut fleet, api) = start(LONG_LEASE, 2);
    let query = api.begin(SLOW, &settings()).await;
    let objects = Objects::new(&setup.state, &query);
    let (stage, task, attempt) = stop_in_the_middle(&objects, &mut fleet.workers[0]).await;
    assert_eq!(winner(&objects, stage, task), Some(attempt), "{:?}", objects.fails());
    let answer = api.results(&query, PATIENCE).await;
    reference().check("after a worker stopped", SLOW, &answer.batches);
    assert!(objects.fails().is_empty(), "{:?}", objects.fails());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_grace_is_over_gives_its_task_back() {
    let (setup, mut fleet, api) = start(NO_GRACE, 2);
    let query = api.begin(SLOW, &settings()).await;
    let objects = Objects::new(&setup.state, &query);
    let (stage, task, attempt) = stop_in_the_middle(&objects, &mut fleet.workers[0]).await;
    // The lease is longer than the patience: without the record nobody would take the task over.
    let answer = api.results(&query, PATIENCE).await;
    reference().check("after a worker stopped", SLOW, &answer.batches);
    let fails = objects.fails();
    let given = fails.iter().find(|(s, t, a, _)| (*s, *t, *a) == (stage, task, attempt));
    let (_, _, _, fail) = given.unwrap_or_else(|| panic!("no fail record of its task: {fails:?}"));
    assert_eq!(fail.class, FailClass::GiveBack, "{fail:?}");
    assert_eq!(winner(&objects, stage, task), Some(attempt + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_stops_or_loses_its_commit_and_keeps_working() {
    let (setup, fleet, api) = start(SHORT_LEASE, 2);
    let [zombie, other] = fleet.workers.as_slice() else { panic!("two workers") };
    let query = api.begin(SLOW, &settings()).await;
    let objects = Objects::new(&setup.state, &query);
    let (stage, task, attempt) = freeze_in_the_middle(&objects, zombie).await;
    until("the next attempt's commit", PATIENCE, || winner(&objects, stage, task)).await;
    // The rest of the query is left to the zombie, so that it comes back before the end.
    signal(other, "-STOP");
    stopped(other).await;
    let left = !objects.has_ended();
    signal(zombie, "-CONT");
    if left {
        let log = setup.path().join("worker-0.log");
        // Which of them depends on whether it was at the plan or at the commit.
        let ends = [
            "another attempt committed first",
            "the task is committed by another attempt, so this one stops",
        ];
        until("the end of the zombie's attempt", PATIENCE, || {
            let text = std::fs::read_to_string(&log).unwrap();
            ends.iter().any(|end| text.contains(end)).then_some(())
        })
        .await;
    }
    let answer = api.results(&query, PATIENCE).await;
    reference().check("after a zombie", SLOW, &answer.batches);
    assert!(winner(&objects, stage, task).unwrap() > attempt, "the zombie's attempt did not win");
    // The other worker still stands still: this answer is the zombie's.
    let answer = api.sql(&tpch::query(6).unwrap(), &settings()).await;
    reference().check_tpch("by the zombie", 6, &answer.batches);
    let later = Objects::new(&setup.state, &answer.query).workers();
    assert!(later.iter().all(|name| name.starts_with(&format!("{}-", zombie.id()))), "{later:?}");
    assert!(
        left,
        "the other worker finished the query before it could be frozen: make SLOW slower"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_query_ends_and_no_task_of_it_is_begun() {
    let (setup, fleet, api) = start(SHORT_LEASE, 1);
    let query = api.begin(SLOW, &settings()).await;
    let objects = Objects::new(&setup.state, &query);
    freeze_in_the_middle(&objects, &fleet.workers[0]).await;
    assert_eq!(api.cancel(&query).await["status"], "CANCELLED");
    assert_eq!(api.status(&query, "0s").await["status"], "CANCELLED");
    let claimed = objects.claims().len();
    signal(&fleet.workers[0], "-CONT");
    // The only slot is free again when it has answered this.
    let answer = api.sql(&tpch::query(6).unwrap(), &settings()).await;
    reference().check_tpch("after a cancelled query", 6, &answer.batches);
    // The slot asks for the end beside its claim: it may claim once more, and then leaves the query.
    assert!(objects.claims().len() <= claimed + 1, "tasks of a cancelled query were claimed");
    assert_eq!(api.status(&query, "0s").await["status"], "CANCELLED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_join_frees_its_slot_long_before_it_would_be_done() {
    let (setup, fleet, api) = start(SHORT_LEASE, 1);
    let query = api.begin(ENDLESS, &settings()).await;
    let objects = Objects::new(&setup.state, &query);
    until("a join task in the worker's hand", PATIENCE, || {
        objects.in_hand(fleet.workers[0].id()).into_iter().find(|(stage, _, _)| *stage > 0)
    })
    .await;
    assert_eq!(api.cancel(&query).await["status"], "CANCELLED");
    // The only slot would be busy for minutes if the task went on.
    let start = Instant::now();
    let answer = api.sql(&tpch::query(6).unwrap(), &settings()).await;
    reference().check_tpch("after a cancelled join", 6, &answer.batches);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_no_worker_takes_fails_with_a_sentence() {
    let (_setup, _fleet, api) = start("[limits]\nno_worker_ms = 1500\n", 0);
    let query = api.begin(&tpch::query(6).unwrap(), &settings()).await;
    let status = api.end(&query, PATIENCE).await;
    assert_eq!(status["status"], "FAILED", "{status}");
    assert_eq!(status["error"]["code"], "NO_COMPATIBLE_WORKER", "{status}");
    assert!(status["error"]["message"].as_str().unwrap().contains("start a worker"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_at_another_gateway_finds_the_same_query() {
    let (setup, _fleet, api) = start(SHORT_LEASE, 2);
    let log = setup.path().join("second-gateway.log");
    let (_second, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    let other = Api::new(&format!("http://{address}"));
    let sql = tpch::query(3).unwrap();
    let first = api.submit(&sql, &settings(), Some("key-1")).await;
    let again = other.submit(&sql, &settings(), Some("key-1")).await;
    assert!(first.status.is_success() && again.status.is_success(), "{first:?} {again:?}");
    assert!(!first.replayed && again.replayed, "{first:?} {again:?}");
    assert_eq!(first.query(), again.query());
    for api in [&api, &other] {
        let answer = api.results(&first.query(), PATIENCE).await;
        reference().check_tpch("after a retry", 3, &answer.batches);
    }
    let another = other.submit("select 1", &settings(), Some("key-1")).await;
    assert_eq!(another.status, 422, "{another:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_that_changes_after_planning_fails_the_query() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let own = folder.path().join("tables");
    for table in tpch::TABLES {
        std::fs::create_dir_all(own.join(table)).unwrap();
        for file in std::fs::read_dir(data(SCALE).join(table)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), own.join(table).join(file.file_name())).unwrap();
        }
    }
    let (_setup, mut fleet, api) = start_over(&own, SHORT_LEASE, 0);
    let sql = tpch::query(1).unwrap();
    let query = api.begin(&sql, &settings()).await;
    // Another version of one of the inputs, put in place at once as a writer would.
    let lineitem = own.join("lineitem");
    std::fs::copy(lineitem.join("part-0001.parquet"), folder.path().join("new")).unwrap();
    std::fs::rename(folder.path().join("new"), lineitem.join("part-0000.parquet")).unwrap();
    fleet.add_worker(1).unwrap();
    let status = api.end(&query, PATIENCE).await;
    assert_eq!(status["status"], "FAILED", "{status}");
    assert_eq!(status["error"]["code"], "INPUT_CHANGED", "{status}");
    let answer = api.sql(&sql, &settings()).await;
    Reference::over(&own).check_tpch("over the new version", 1, &answer.batches);
}

/// The texts of an EXPLAIN by kind.
fn sections(batches: &[RecordBatch]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for batch in batches {
        let [kinds, texts] = [0, 1].map(|column| batch.column(column).as_string::<i32>());
        for (kind, text) in kinds.iter().zip(texts) {
            found.insert(kind.unwrap().to_owned(), text.unwrap().to_owned());
        }
    }
    found
}

/// Requests as the analysis writes them.
fn written(of: &[Requests]) -> String {
    let mut sum = Requests::default();
    of.iter().for_each(|requests| sum += *requests);
    let classes = [("PUT", sum.put), ("GET", sum.get), ("LIST", sum.list), ("HEAD", sum.head)];
    let asked = classes.into_iter().filter(|(_, number)| *number > 0);
    // None of the tests asks a thousand times: no commas.
    asked.map(|(class, number)| format!("{number} {class}")).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_analyze_tells_what_commits_and_seals_say() {
    const SQL: &str = "select count(*) as n from lineitem join orders on l_orderkey = o_orderkey";
    let (setup, fleet, api) = start(LONG_LEASE, 2);
    let settings = json!({ "route": "fleet", "target_partitions": 4 });
    let answer = api.sql(&format!("explain analyze {SQL}"), &settings).await;
    let found = sections(&answer.batches);
    let plan = &found["analyzed_plan"];
    let objects = Objects::new(&setup.state, &answer.query);
    let (seals, commits) = (objects.seals(), objects.commits());
    assert!(seals.len() > 2, "{} stages", seals.len());
    let mut everything = Vec::new();
    for seal in &seals {
        let start = format!("stage {}: ", seal.stage);
        let line = plan.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no {start}: {plan}"));
        // A winner is a commit: the seals must not have been read twice, or not at all.
        let own = commits.iter().filter(|(stage, _)| *stage == seal.stage);
        let commits: Vec<_> = own.map(|(_, commit)| commit).collect();
        let tasks = commits.len();
        let counted = format!("; {tasks} task{} (", if tasks == 1 { "" } else { "s" });
        assert!(line.contains(&counted), "{counted}: {line}");
        let rows: u64 = commits.iter().map(|commit| commit.output.rows).sum();
        let told = line.split(" rows out").next().unwrap().split(" row out").next().unwrap();
        let told = told.rsplit(' ').next().unwrap().replace(',', "");
        assert_eq!(told, rows.to_string(), "{line}");
        let asked: Vec<Requests> = commits.iter().map(|commit| commit.metrics.requests).collect();
        assert!(line.ends_with(&format!("; {}", written(&asked))), "{}: {line}", written(&asked));
        assert!(commits.iter().any(|commit| commit.metrics.task_memory > 0), "{line}");
        everything.extend(asked);
    }
    // Every order leaves its scan, as 0.05 of 1,500,000.
    let scan = plan.lines().find(|line| line.contains(": scan orders; ")).unwrap();
    assert!(scan.contains("; 75,000 rows out, "), "{scan}");
    assert!(commits.iter().map(|(_, commit)| commit.metrics.cpu_us).sum::<u64>() > 0);
    let total = &found["total"];
    assert!(total.contains(&format!("; {}; ", written(&everything))), "{total}");
    assert!(
        total.starts_with("succeeded; ") && total.contains("; 1 row in the answer; "),
        "{total}"
    );
    assert_eq!(found["route"], "fleet: asked for");
    let last = format!("stage {} (", seals.iter().map(|seal| seal.stage).max().unwrap());
    assert!(found["critical_path"].contains(&last), "{}", found["critical_path"]);
    // The query behind it is a query like any other, and its analysis can be had again.
    let rows = api.results(&answer.query, PATIENCE).await;
    reference().check("behind an analysis", SQL, &rows.batches);
    assert!(api.analysis(&answer.query).await.starts_with(plan.as_str()));

    let settings = json!({ "route": "inline" });
    let answer = api.sql("explain analyze select o_orderkey from orders", &settings).await;
    let found = sections(&answer.batches);
    let plan = &found["analyzed_plan"];
    assert!(plan.contains("; in the gateway; 75,000 rows out; "), "{plan}");
    assert!(plan.contains("DataSourceExec: ") && plan.contains("metrics=["), "{plan}");
    assert!(plan.contains("; read ") && !plan.contains("; read 0 B "), "{plan}");
    // What the header says; or nothing, where the reader goes around the counter.
    let gets = match answer.summary["requests"]["get"].as_u64().unwrap() {
        0 => "; requests not counted".to_owned(),
        gets => format!("; {gets} GET"),
    };
    assert!(found["total"].contains(&gets), "{gets}: {}", found["total"]);

    let sql = format!("explain analyze {SQL}");
    let printed =
        Command::new(binary()).args(["sql", &sql, "--url", &fleet.url()]).output().unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(
        text.starts_with("analyzed_plan:\nstage ") && text.contains("\ntotal: succeeded; "),
        "{text}"
    );
}
