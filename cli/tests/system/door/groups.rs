//! What the queries of a workgroup write lies below its name, so that a policy of the store can tell groups apart.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::array::RecordBatch;
use dunlin_cli::fleet::{Process, start_gateway};
use serde_json::json;

use super::site::Key;
use crate::common::api::Api;
use crate::common::{Setup, binary, data, files_below};

const PATIENCE: Duration = Duration::from_secs(120);

/// Rows that are exchanged, and an answer that does not fit into a commit.
const ROWS: &str = "select l_partkey, l_suppkey, max(l_comment) as c from lineitem group by 1, 2";

/// The objects below a folder, by the path below it.
fn below(folder: &Path) -> Vec<String> {
    let key = |file: PathBuf| file.strip_prefix(folder).unwrap().display().to_string();
    files_below(folder).into_iter().map(key).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_queries_of_a_workgroup_write_lies_below_its_name() {
    let (ours, free) = (Key::new("ours", "query"), Key::new("free", "query"));
    let more = format!(
        "[gateway.gc]\nenabled = false\ndata_ms = 0\nanswers_ms = 0\n\
         [[gateway.workgroups]]\nname = \"bi\"\n{}workgroup = \"bi\"\n{}",
        ours.toml, free.toml
    );
    let setup = Setup::folder(&data(0.05), &more);
    let log = setup.path().join("gateway.log");
    let (_gateway, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    let config = setup.config.display().to_string();
    let arguments = ["worker", "--config", &config, "--slots", "2"];
    let _worker = Process::start(binary(), &arguments, &setup.path().join("worker.log")).unwrap();
    let base = format!("http://{address}");
    let settings = json!({ "route": "fleet", "task_bytes": 0, "target_partitions": 4 });
    let state = setup.path().join("state");
    let mut answers = Vec::new();
    for key in [&ours, &free] {
        let api = Api::with_key(&base, &key.text);
        let query = api.begin(ROWS, &settings).await;
        let answer = api.results(&query, PATIENCE).await;
        answers.push((query, answer.batches.iter().map(RecordBatch::num_rows).sum::<usize>()));
    }
    assert_eq!(answers[0].1, answers[1].1);
    for place in ["data", "res"] {
        let objects = below(&state.join(place));
        assert!(!objects.is_empty(), "nothing was written to {place}");
        for object in objects {
            let (is_ours, is_below) = (object.contains(&answers[0].0), object.starts_with("bi/"));
            assert_eq!(is_ours, is_below, "{place}/{object}");
        }
    }
    // They are collected like all others.
    let told = std::process::Command::new(binary()).args(["gc", "--config", &config]).output();
    assert!(told.unwrap().status.success());
    assert_eq!([below(&state.join("data")), below(&state.join("res"))].concat(), [""; 0]);
}
