//! `[state] root_secret`: workers run what a gateway with the same secret has written down, and nothing else.

use std::path::PathBuf;
use std::time::Duration;

use dunlin_cli::fleet::{Process, start_gateway};
use dunlin_cli::tpch;
use dunlin_manifest::keys::Key;
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::objects::{Objects, until};
use crate::common::reference::Reference;
use crate::common::{Setup, binary, data};

const SCALE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(90);
const LEFT: &str = "a query is left to others";

fn worker(setup: &Setup, name: &str, secret: Option<&str>) -> (Process, PathBuf) {
    let log = setup.path().join(format!("{name}.log"));
    let config = setup.config.display().to_string();
    let secret = secret.map(|secret| format!("state.root_secret={secret}"));
    let mut arguments = vec!["worker", "--config", &config, "--slots", "1"];
    if let Some(secret) = &secret {
        arguments.extend(["--set", secret]);
    }
    (Process::start(binary(), &arguments, &log).unwrap(), log)
}

/// The line in which a worker says why it leaves a query.
async fn left(log: &PathBuf, query: &str) -> String {
    until("a worker's word", PATIENCE, || {
        let text = std::fs::read_to_string(log).unwrap();
        let of_query = |line: &&str| line.contains(LEFT) && line.contains(query);
        text.lines().find(of_query).map(str::to_owned)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_no_gateway_vouches_for_is_run_by_nobody() {
    let data = data(SCALE);
    let setup = Setup::with(|state| {
        format!(
            "[state]\nlocation = \"file://{}\"\nroot_secret = \"of this house\"\n\n{}",
            state.display(),
            tpch::tables_toml(&format!("file://{}/", data.display()))
        )
    });
    let (mut gateway, address) =
        start_gateway(binary(), &setup.config, &setup.path().join("gateway.log")).unwrap();
    let api = Api::new(&format!("http://{address}"));
    let settings = json!({ "route": "fleet", "target_partitions": 4 });

    // A worker with another secret cannot know that the gateway is the right one.
    let (mut stranger, log) = worker(&setup, "stranger", Some("of another house"));
    let query = api.begin(&tpch::query(6).unwrap(), &settings).await;
    let line = left(&log, &query).await;
    assert!(line.contains("root_secret"), "{line}");
    let (mut own, own_log) = worker(&setup, "own", None);
    let answer = api.results(&query, PATIENCE).await;
    Reference::over(&data).check_tpch("beside a worker with another secret", 6, &answer.batches);
    let objects = Objects::new(&setup.state, &query);
    let of_own = |name: &String| name.starts_with(&format!("{}-", own.id()));
    assert!(objects.workers().iter().all(of_own), "{:?}", objects.workers());
    stranger.kill();
    own.kill();

    // Somebody changes a query in the store, before a worker has seen it.
    let query = api.begin(&tpch::query(6).unwrap(), &settings).await;
    gateway.kill();
    let objects = Objects::new(&setup.state, &query);
    let root = objects.keys().into_iter().find(|(key, _)| *key == Key::Root).unwrap().1;
    let mut forged: Value = serde_json::from_slice(&std::fs::read(&root).unwrap()).unwrap();
    assert!(forged["code"].is_string(), "{forged}");
    forged["session"]["datafusion.execution.batch_size"] = "17".into();
    std::fs::write(&root, serde_json::to_vec(&forged).unwrap()).unwrap();
    let (_worker, log) = worker(&setup, "later", None);
    let line = left(&log, &query).await;
    assert!(line.contains("no gateway with this process's [state] root_secret"), "{line}");
    assert!(objects.claims().is_empty(), "{:?}", objects.claims());
    let text = std::fs::read_to_string(own_log).unwrap() + &line;
    assert!(!text.contains("of this house"), "a secret is in a log");
}
