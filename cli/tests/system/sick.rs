//! One sick worker among others: it fails whatever it takes, and faster than the others compute. The query ends as if it
//! were not there.

use std::collections::BTreeMap;
use std::time::Duration;

use dunlin_cli::fleet::{Process, start_gateway};
use dunlin_manifest::records::{ErrorCode, FailClass};
use serde_json::json;

use crate::common::api::Api;
use crate::common::objects::{Objects, until};
use crate::common::reference::Reference;
use crate::common::{Setup, binary, data};

const SCALE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(120);

/// Each of its tasks has more groups than the sick worker has memory for, and that one may not spill either.
const GROUPS: &str = "select l_orderkey, l_partkey, sum(l_quantity) as q, max(l_comment) as c from lineitem \
    group by l_orderkey, l_partkey order by q desc, l_orderkey, l_partkey limit 20";

fn worker(setup: &Setup, name: &str, more: &[&str]) -> Process {
    let config = setup.config.display().to_string();
    let arguments = [&["worker", "--config", &config, "--slots", "1"], more].concat();
    Process::start(binary(), &arguments, &setup.path().join(format!("{name}.log"))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_fails_everything_leaves_the_tasks_to_the_others() {
    let data = data(SCALE);
    let setup = Setup::folder(&data, "");
    let log = setup.path().join("gateway.log");
    let (_gateway, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    let api = Api::new(&format!("http://{address}"));
    let small = ["--set", "worker.memory_bytes=3000000", "--set", "worker.spill_bytes=1"];
    let _sick = worker(&setup, "sick", &small);
    let settings = json!({ "route": "fleet", "target_partitions": 16, "task_bytes": 0 });
    let query = api.begin(GROUPS, &settings).await;
    let objects = Objects::new(&setup.path().join("state"), &query);
    // Nobody else is there when it begins.
    until("a failure", PATIENCE, || (!objects.fails().is_empty()).then_some(())).await;
    let _well = worker(&setup, "well", &[]);
    let end = api.end(&query, PATIENCE).await;
    assert_eq!(end["status"], "SUCCEEDED", "{end}");
    let answer = api.results(&query, PATIENCE).await;
    Reference::over(&data).check("beside a sick worker", GROUPS, &answer.batches);
    let mut sick: BTreeMap<String, usize> = BTreeMap::new();
    for (_, _, _, fail) in objects.fails() {
        assert_eq!(fail.class, FailClass::Retry, "{fail:?}");
        assert!(matches!(fail.code, ErrorCode::OutOfMemory | ErrorCode::DiskFull), "{fail:?}");
        *sick.entry(fail.worker).or_default() += 1;
    }
    assert_eq!(sick.len(), 1, "only one of them fails: {sick:?}");
}
