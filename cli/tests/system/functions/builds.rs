//! Two builds at once: queries of the old one end on its functions, while a new gateway calls the new ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use dunlin_cli::tpch;
use dunlin_sim::lambda::{Call, Function, Lambda, Rules};
use serde_json::{Value, json};

use super::{NAME, PATIENCE, Plan, SCALE, function, gateway_of, tasks};
use crate::common::api::Api;
use crate::common::build::of_another_build;
use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data, unique};

/// The build of a worker's program, as its alias.
fn alias_of(worker: &Path) -> String {
    let output = Command::new(worker).arg("--about").output().unwrap();
    let about: Value = serde_json::from_slice(&output.stdout).unwrap();
    about["build"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_of_the_old_build_ends_on_it_while_a_new_gateway_calls_the_new_one() {
    let Some(s3) = S3::from_env() else { return };
    let tables = tpch::tables_toml(&format!("file://{}/", data(SCALE).display()));
    let plan = Plan { functions: vec![(NAME, 1_769, 2)], ..Plan::of(2) };
    let setup = Setup::with(|_| {
        format!(
            "[state]\nlocation = \"s3://{}/{}\"\n{}\n{}\n{tables}",
            s3.bucket,
            unique("builds"),
            s3.params("state.params", &s3.endpoint),
            plan.section(),
        )
    });
    let old_worker = of_another_build(&function(), setup.path());
    let old_gateway = of_another_build(binary(), setup.path());
    let (old, new) = (alias_of(&old_worker), alias_of(&function()));
    assert_ne!(old, new);
    let config = std::fs::read_to_string(&setup.config).unwrap();
    let version = |alias: &str, binary: PathBuf| Function {
        name: NAME.to_owned(),
        binary,
        alias: Some(alias.to_owned()),
        env: vec![("DUNLIN_CONFIG_TOML".to_owned(), config.clone())],
        memory_mb: 1_769,
        timeout: PATIENCE,
        concurrency: 2,
        is_denied: false,
        folder: setup.path().to_owned(),
    };
    let versions = vec![version(&new, function()), version(&old, old_worker)];
    let lambda = Lambda::start(versions, Rules::default()).await.unwrap();
    let settings = json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });

    // The old gateway takes a query, its calls are lost, and it is replaced.
    let log = setup.path().join("old.log");
    let (before, address) = gateway_of(&old_gateway, &lambda, &setup.config, &log).await.unwrap();
    lambda.lose_calls(true);
    let api = Api::new(&format!("http://{address}"));
    let left = api.begin(&tpch::query(9).unwrap(), &settings).await;
    drop(before);
    let begun = lambda.calls().len();
    lambda.lose_calls(false);

    let log = setup.path().join("new.log");
    let (_after, address) = gateway_of(binary(), &lambda, &setup.config, &log).await.unwrap();
    let api = Api::new(&format!("http://{address}"));
    let answer = api.sql(&tpch::query(3).unwrap(), &settings).await;
    let reference = Reference::over(&data(SCALE));
    reference.check_tpch("the new build", 3, &answer.batches);
    let of_new = answer.summary["tasks"].as_u64().unwrap();
    let answer = api.results(&left, PATIENCE).await;
    reference.check_tpch("the old build", 9, &answer.batches);
    let of_old = answer.summary["tasks"].as_u64().unwrap();
    super::quiet(&lambda).await;

    // Each build has run its own tasks, and none of the other.
    let calls = lambda.calls().split_off(begun);
    let run = |alias: &str| -> u64 {
        let own = calls.iter().filter(|call: &&Call| call.alias.as_deref() == Some(alias));
        own.map(|call| tasks(&call.outcome)).sum()
    };
    assert_eq!((run(&old), run(&new)), (of_old, of_new), "{calls:?}");
    assert!(of_old > 10 && of_new > 3, "{of_old} and {of_new} tasks");
}
