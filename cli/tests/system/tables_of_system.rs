//! The system tables over a real fleet: what its queries did, which attempt was lost, and all of it on the fleet again.

use std::time::Duration;

use dunlin_cli::fleet::Fleet;
use serde_json::{Value, json};

use super::survival::{SHORT_LEASE, SLOW, freeze_in_the_middle};
use crate::common::api::Api;
use crate::common::objects::Objects;
use crate::common::{Setup, binary, data};

const SCALE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(300);

/// The rows of a statement as JSON.
async fn rows(api: &Api, sql: &str, route: &str) -> Value {
    let body = json!({"sql": sql, "settings": {"route": route, "target_partitions": 3}});
    let (status, rows) = api.raw("/v1/sql", &body).await;
    assert_eq!(status, 200, "{sql}: {rows}");
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_attempt_is_in_the_tables_and_any_route_gives_the_same_rows() {
    let setup = Setup::folder(&data(SCALE), SHORT_LEASE);
    let mut fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let api = Api::new(&fleet.url());
    let query = api.begin(SLOW, &json!({"route": "fleet", "target_partitions": 16})).await;
    let objects = Objects::new(&setup.state, &query);
    let (stage, task, attempt) = freeze_in_the_middle(&objects, &fleet.workers[0]).await;
    let killed = fleet.workers[0].id();
    fleet.workers[0].kill();
    assert_eq!(api.end(&query, PATIENCE).await["status"], "SUCCEEDED");
    let lost = format!(
        "select stage, task, attempt, split_part(worker, '-', 1) as process from system.attempts where query_id = '{query}' and state = 'lost' order by 1, 2, 3"
    );
    let dead =
        json!({"stage": stage, "task": task, "attempt": attempt, "process": killed.to_string()});
    let inline = rows(&api, &lost, "inline").await;
    assert!(inline.as_array().unwrap().contains(&dead), "{dead} in {inline}");
    // The rows travel in the plan: the worker that is left computes with them, and joins them with files.
    assert_eq!(rows(&api, &lost, "fleet").await, inline);
    let won = format!(
        "select count(*) as n, count(distinct stage) as stages from system.attempts where query_id = '{query}' and state = 'won'"
    );
    let tasks = format!(
        "select count(*) as n, count(distinct stage) as stages from system.tasks where query_id = '{query}' and state = 'committed'"
    );
    assert_eq!(rows(&api, &won, "fleet").await, rows(&api, &tasks, "fleet").await);
    let summary = api.status(&query, "0s").await["summary"].clone();
    let told = format!(
        "select tasks, attempts, bytes_scanned, rows, wall_ms from system.queries where query_id = '{query}'"
    );
    let of = |name: &str| summary[name].clone();
    assert_eq!(
        rows(&api, &told, "auto").await,
        json!([{"tasks": of("tasks"), "attempts": of("attempts"), "bytes_scanned": of("bytes_scanned"), "rows": of("rows"), "wall_ms": of("wall_ms")}])
    );
    let joined = format!(
        "select r_name, t.n from region join (select stage % 5 as k, count(*) as n from system.tasks where query_id = '{query}' group by 1) t on r_regionkey = t.k order by 1"
    );
    let inline = rows(&api, &joined, "inline").await;
    assert!(!inline.as_array().unwrap().is_empty());
    assert_eq!(rows(&api, &joined, "fleet").await, inline);
    // What it cost is summed up by day, and an analysis of it is a query like any other.
    let days = "select sum(queries) as n, min(succeeded) as s from system.cost_by_day where day >= date '2020-01-01'";
    let days = rows(&api, days, "inline").await;
    assert!(days[0]["n"].as_i64() >= Some(5), "{days}");
    let explained = rows(&api, &format!("explain analyze {tasks}"), "fleet").await;
    assert!(explained.to_string().contains("succeeded"), "{explained}");
    let settings = "select name, value, source from system.settings where name in ('state.location', 'limits.lease_ms') order by 1";
    let settings = rows(&api, settings, "inline").await;
    assert_eq!(settings[0]["value"], "1000", "{settings}");
    assert!(settings[0]["source"].as_str().unwrap().contains("dunlin.toml, line"), "{settings}");
    let gateways = rows(&api, "select url from system.gateways", "inline").await;
    assert_eq!(gateways, json!([{"url": fleet.url()}]));
    // The one that was killed may be among them for 40 seconds.
    let lives = fleet.workers[1].id();
    let workers = format!(
        "select count(*) as n from system.workers where is_listening and split_part(worker, '-', 1) = '{lives}'"
    );
    assert_eq!(rows(&api, &workers, "inline").await, json!([{"n": 1}]));
}
