//! A worker that is older, or newer, than the gateway: it leaves the query alone and says so, and the query ends on workers
//! of its own build, or with an error that names both builds.

use std::time::Duration;

use dunlin_cli::fleet::{Process, start_gateway};
use dunlin_cli::tpch;
use serde_json::json;

use crate::common::api::Api;
use crate::common::build::{hashes, of_another_build};
use crate::common::objects::{Objects, until};
use crate::common::reference::Reference;
use crate::common::{Setup, binary, data, worker_binary};

const SCALE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(90);
const LEFT: &str = "a query is left to others";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_another_build_leaves_a_query_alone_and_says_so() {
    let setup = Setup::folder(&data(SCALE), "");
    let config = setup.config.display().to_string();
    let (build, other) = hashes();
    let program = of_another_build(&worker_binary(), setup.path());
    let log = setup.path().join("older.log");
    let mut older = Process::start(&program, &["--config", &config, "--slots", "1"], &log).unwrap();
    let (_gateway, address) =
        start_gateway(binary(), &setup.config, &setup.path().join("gateway.log")).unwrap();
    let api = Api::new(&format!("http://{address}"));
    let settings = json!({ "route": "fleet", "target_partitions": 4 });

    // Alone with it, a query ends with a sentence.
    let alone = api.begin(&tpch::query(6).unwrap(), &settings).await;
    let status = api.end(&alone, PATIENCE).await;
    assert_eq!(status["error"]["code"], "NO_COMPATIBLE_WORKER", "{status}");
    let said = status["error"]["message"].as_str().unwrap();
    assert!(said.contains(&format!("(build {build})")) && said.contains(&other), "{said}");
    assert!(said.contains("refused by") && said.contains("start workers of this build"), "{said}");

    // A worker of the gateway's build that comes while it waits ends it.
    let query = api.begin(&tpch::query(9).unwrap(), &settings).await;
    let lines = || {
        let text = std::fs::read_to_string(&log).unwrap();
        let of_query = |line: &&str| line.contains(LEFT) && line.contains(&query);
        text.lines().filter(of_query).map(str::to_owned).collect::<Vec<_>>()
    };
    let line = until("the older worker's word", PATIENCE, || lines().pop()).await;
    assert!(line.contains(&build) && line.contains(&other), "{line}");
    let right_log = setup.path().join("worker.log");
    let right = Process::start(&worker_binary(), &["--config", &config], &right_log).unwrap();
    let answer = api.results(&query, PATIENCE).await;
    Reference::over(&data(SCALE)).check_tpch("beside an older worker", 9, &answer.batches);
    let objects = Objects::new(&setup.state, &query);
    let of_right = |name: &str| name.starts_with(&format!("{}-", right.id()));
    assert!(objects.workers().iter().all(|name| of_right(name)), "{:?}", objects.workers());
    let claims = objects.claims();
    assert!(claims.iter().all(|(.., claim)| of_right(&claim.worker)), "{claims:?}");
    assert!(older.is_running() && lines().len() == 1, "{:?}", lines());
}
