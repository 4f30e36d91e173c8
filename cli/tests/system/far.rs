//! Exact on a store that is far away, too: a proxy delays every answer of an S3 server, processes are killed at chosen
//! requests, and some answers come very late.

use std::path::Path;
use std::time::{Duration, Instant};

use dunlin_cli::fleet::Fleet;
use dunlin_cli::tpch;
use dunlin_sim::far::{Latency, Profile, Proxy, Seen};
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data, unique};

const SCALE: f64 = 0.05;
/// Longest time that any of these queries may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Dead workers are followed soon. A lease is many answers long.
const LIMITS: &str = "[limits]\nheartbeat_ms = 300\nlease_ms = 2000\n";

fn settings() -> Value {
    json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 })
}

/// A fleet whose state is behind a proxy.
struct FarFleet {
    proxy: Proxy,
    fleet: Fleet,
    api: Api,
    _setup: Setup,
}

/// Two workers. Requests of tables do not go through the proxy.
async fn start(s3: &S3, profile: Profile, data: &Path, hedge: bool) -> FarFleet {
    let latency = Latency::new(profile, 7);
    let proxy = Proxy::start(&s3.endpoint, &s3.bucket, latency, |_| false).await.unwrap();
    let state = unique("far");
    let tables = tpch::tables_toml(&format!("file://{}/", data.display()));
    let setup = Setup::with(|_| {
        let params = s3.params("state.params", &proxy.endpoint());
        let params = params.replace("hedge = false", &format!("hedge = {hedge}"));
        format!("[state]\nlocation = \"s3://{}/{state}\"\n{params}\n{LIMITS}\n{tables}", s3.bucket)
    });
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let api = Api::new(&fleet.url());
    FarFleet { proxy, fleet, api, _setup: setup }
}

/// Waits until the proxy has seen `count` requests of which `is` holds.
async fn seen(proxy: &Proxy, count: usize, is: impl Fn(&Seen) -> bool) {
    let began = Instant::now();
    while proxy.seen().iter().filter(|seen| is(seen)).count() < count {
        assert!(began.elapsed() < PATIENCE, "{count} such requests were not seen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn is_put(seen: &Seen, kind: &str) -> bool {
    seen.method == "PUT" && seen.key.contains(kind)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_on_a_far_store_answers_tpch_exactly() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(SCALE);
    let reference = Reference::over(&data);
    let far = start(&s3, Profile::Even, &data, true).await;
    for number in 1..=22 {
        let answer = far.api.sql(&tpch::query(number).unwrap(), &settings()).await;
        reference.check_tpch("far store", number, &answer.batches);
    }
}

/// A worker dies with requests under way: after a claim is sent, beside its commits, beside a seal. Then the gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_processes_on_a_far_store_cost_time_and_no_row() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(SCALE);
    let reference = Reference::over(&data);
    let mut far = start(&s3, Profile::Even, &data, true).await;
    let cases = [("/k/", 1, 18), ("/k/", 5, 5), ("/c/", 1, 9), ("/c/", 6, 21), ("/seal", 1, 8)];
    for (kind, count, number) in cases {
        far.proxy.forget();
        let sql = tpch::query(number).unwrap();
        let query = far.api.begin(&sql, &settings()).await;
        seen(&far.proxy, count, |seen| is_put(seen, kind)).await;
        far.fleet.workers[0].kill();
        far.fleet.workers.remove(0);
        far.fleet.add_worker(1).unwrap();
        let answer = far.api.results(&query, PATIENCE).await;
        reference.check_tpch(&format!("killed at {kind} {count}"), number, &answer.batches);
    }
    let query = far.api.begin(&tpch::query(7).unwrap(), &settings()).await;
    far.fleet.gateway.kill();
    far.fleet.restart_gateway().unwrap();
    let answer = Api::new(&far.fleet.url()).results(&query, PATIENCE).await;
    reference.check_tpch("killed gateway", 7, &answer.batches);
}

/// One answer in 25 takes over a second. The answers are the same, and late requests were sent a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_answers_are_asked_for_again() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(SCALE);
    let reference = Reference::over(&data);
    let far = start(&s3, Profile::Troubled, &data, true).await;
    let mut hedged = 0;
    for number in [3, 10, 13, 3, 10, 13] {
        let answer = far.api.sql(&tpch::query(number).unwrap(), &settings()).await;
        reference.check_tpch("troubled store", number, &answer.batches);
        hedged += answer.summary["requests"]["hedged"].as_u64().unwrap();
    }
    assert!(hedged > 0, "no request was sent a second time");
    let all = far.proxy.seen().len();
    assert!(hedged * 20 <= all as u64, "{hedged} of {all} requests were sent twice");
}
