//! Many queries and few slots: no client waits until another one's queries are done, and no small query for a large one.

use std::time::Duration;

use dunlin_cli::fleet::{Process, start_gateway};
use serde_json::json;

use super::site::Key;
use crate::common::api::Api;
use crate::common::objects::{Objects, until};
use crate::common::{Setup, binary, data};

const PATIENCE: Duration = Duration::from_secs(120);

/// Takes a slot some hundred milliseconds.
const MIDDLING: &str = "select l_returnflag, l_linestatus, sum(l_quantity) as q, avg(l_extendedprice) as p from lineitem \
    group by l_returnflag, l_linestatus order by 1, 2";
const SMALL: &str = "select count(*) as n from nation";
/// Takes a slot many seconds, in many tasks.
const LARGE: &str = "select count(*) as n from lineitem a join lineitem b on a.l_suppkey = b.l_suppkey \
    and a.l_quantity = b.l_quantity and a.l_comment <> b.l_comment";

fn one_slot(setup: &Setup) -> Process {
    let config = setup.config.display().to_string();
    let arguments = ["worker", "--config", &config, "--slots", "1"];
    Process::start(binary(), &arguments, &setup.path().join("worker.log")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_does_not_wait_for_all_that_another_has_asked() {
    let (flood, quiet) = (Key::new("flood", "query"), Key::new("quiet", "query"));
    let setup = Setup::folder(&data(0.05), &format!("{}\n{}", flood.toml, quiet.toml));
    let log = setup.path().join("gateway.log");
    let (_gateway, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    let base = format!("http://{address}");
    let (ours, theirs) = (Api::with_key(&base, &flood.text), Api::with_key(&base, &quiet.text));
    let fleet = json!({ "route": "fleet", "task_bytes": 0 });
    let mut before = Vec::new();
    for _ in 0..16 {
        before.push(ours.begin(MIDDLING, &fleet).await);
    }
    let query = theirs.begin(SMALL, &fleet).await;
    let _worker = one_slot(&setup);
    assert_eq!(theirs.end(&query, PATIENCE).await["status"], "SUCCEEDED");
    let state = setup.path().join("state");
    let done = before.iter().filter(|query| Objects::new(&state, query).has_ended()).count();
    assert!(done <= before.len() / 2, "{done} of {} queries of the other were first", before.len());
    // And the others come to their end, too.
    for query in &before {
        assert_eq!(ours.end(query, PATIENCE).await["status"], "SUCCEEDED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_query_does_not_wait_for_the_end_of_a_large_one() {
    let setup = Setup::folder(&data(0.05), "");
    let log = setup.path().join("gateway.log");
    let (_gateway, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    let api = Api::new(&format!("http://{address}"));
    let settings = json!({ "route": "fleet", "target_partitions": 64, "task_bytes": 0 });
    let large = api.begin(LARGE, &settings).await;
    let _worker = one_slot(&setup);
    let objects = Objects::new(&setup.path().join("state"), &large);
    until("a commit", PATIENCE, || (!objects.commits().is_empty()).then_some(())).await;
    let small = api.begin(SMALL, &json!({ "route": "fleet" })).await;
    assert_eq!(api.end(&small, PATIENCE).await["status"], "SUCCEEDED");
    assert!(!objects.has_ended(), "the small query has waited for the large one");
    assert_eq!(api.end(&large, PATIENCE).await["status"], "SUCCEEDED");
}
