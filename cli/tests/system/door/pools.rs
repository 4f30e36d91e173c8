//! Pools of workers: a query runs where it is sent, and nowhere else.

use std::time::Duration;

use dunlin_cli::fleet::{Process, start_gateway};
use serde_json::{Value, json};

use super::site::Key;
use crate::common::api::Api;
use crate::common::objects::Objects;
use crate::common::{Setup, binary, data};

const PATIENCE: Duration = Duration::from_secs(120);
const SMALL: &str = "select n_regionkey, count(*) as n from nation group by n_regionkey";
const LARGE: &str = "select l_returnflag, count(*) as n from lineitem group by l_returnflag";
/// `lineitem` is larger at the scale of the test, and nothing else is.
const POOLS: &str = "\n[[routing.pools]]\nname = \"big\"\nfrom_bytes = 1_000_000\n\n[[routing.pools]]\nname = \"night\"\n";

fn worker(setup: &Setup, pool: Option<&str>) -> Process {
    let config = setup.config.display().to_string();
    let mut arguments = vec!["worker", "--config", &config, "--slots", "1"];
    arguments.extend(pool.into_iter().flat_map(|pool| ["--pool", pool]));
    let log = setup.path().join(format!("worker-{}.log", pool.unwrap_or("any")));
    Process::start(binary(), &arguments, &log).unwrap()
}

/// Runs a statement, and checks that all of it ran on `worker`.
async fn runs_on(setup: &Setup, api: &Api, sql: &str, settings: &Value, worker: &Process) -> Value {
    let query = api.begin(sql, settings).await;
    let status = api.end(&query, PATIENCE).await;
    assert_eq!(status["status"], "SUCCEEDED", "{sql}: {status}");
    let workers = Objects::new(&setup.state, &query).workers();
    let own = format!("{}-", worker.id());
    assert!(
        !workers.is_empty() && workers.iter().all(|name| name.starts_with(&own)),
        "{sql} with {settings} ran on {workers:?}, and not on {own} alone: {status}"
    );
    status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_runs_in_the_pool_that_its_size_its_client_or_its_workgroup_chooses() {
    let mut key = Key::new("nightly", "query");
    key.toml.push_str("workgroup = \"nightly\"\n");
    let group = "[[gateway.workgroups]]\nname = \"nightly\"\npool = \"night\"\n";
    let own = Key::new("own", "query");
    let setup =
        Setup::folder(&data(0.05), &format!("{POOLS}\n{}\n{}\n{group}", own.toml, key.toml));
    let log = setup.path().join("gateway.log");
    let (_gateway, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    let base = format!("http://{address}");
    let (api, nightly) = (Api::with_key(&base, &own.text), Api::with_key(&base, &key.text));
    let (any, big, night) =
        (worker(&setup, None), worker(&setup, Some("big")), worker(&setup, Some("night")));
    let fleet = json!({ "route": "fleet" });
    for _ in 0..3 {
        let status = runs_on(&setup, &api, SMALL, &fleet, &any).await;
        assert_eq!(status["pool"], Value::Null, "{status}");
        let status = runs_on(&setup, &api, LARGE, &fleet, &big).await;
        assert_eq!(status["pool"], "big", "{status}");
        assert!(status["route_reason"].as_str().unwrap().contains("from_bytes"), "{status}");
        let status = runs_on(&setup, &api, SMALL, &json!({ "pool": "night" }), &night).await;
        assert_eq!(status["route"], "fleet", "{status}");
        runs_on(&setup, &nightly, LARGE, &fleet, &night).await;
    }
    let (status, told) =
        api.raw("/v1/sql", &json!({ "sql": SMALL, "settings": { "pool": "hugo" } })).await;
    assert_eq!((status, &told["code"]), (400, &json!("INVALID_SETTING")), "{told}");
    let (_, told) =
        nightly.raw("/v1/sql", &json!({ "sql": SMALL, "settings": { "pool": "big" } })).await;
    assert!(told["detail"].as_str().unwrap().contains("run in the pool \"night\""), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_of_a_pool_without_workers_is_not_run_by_others_and_says_what_is_missing() {
    let setup = Setup::folder(&data(0.05), &format!("{POOLS}\n[limits]\nno_worker_ms = 1500\n"));
    let log = setup.path().join("gateway.log");
    let (_gateway, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    let api = Api::new(&format!("http://{address}"));
    let any = worker(&setup, None);
    let query = api.begin(SMALL, &json!({ "pool": "night" })).await;
    runs_on(&setup, &api, SMALL, &json!({ "route": "fleet" }), &any).await;
    let status = api.end(&query, PATIENCE).await;
    assert_eq!(status["error"]["code"], "NO_COMPATIBLE_WORKER", "{status}");
    assert!(status["error"]["message"].as_str().unwrap().contains("--pool night"), "{status}");
}
