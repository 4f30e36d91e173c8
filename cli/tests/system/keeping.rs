//! `dunlin gc` and `dunlin doctor`, as whoever runs Dunlin uses them.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use dunlin_cli::fleet::{Fleet, start_gateway};
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::objects::{Objects, until};
use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data, files_below, unique};

const SCALE: f64 = 0.05;
const HOUR: Duration = Duration::from_secs(3_600);

fn dunlin(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(binary()).args(arguments).env_clear().output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn older(path: &Path, by: Duration) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_queries_left_is_deleted_by_hand_and_by_gateways_and_answers_stay() {
    let data = data(SCALE);
    let setup = Setup::folder(&data, "[gateway.gc]\nevery_ms = 1000\n");
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 1, 1).unwrap();
    let api = Api::new(&fleet.url());
    let settings = json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });
    // More rows than a commit holds itself.
    let sql = "select l_orderkey, l_comment from lineitem where l_quantity > 20 order by l_orderkey, l_comment";
    let query = api.begin(sql, &settings).await;
    assert_eq!(api.end(&query, HOUR).await["status"], "SUCCEEDED");
    let state = setup.path().join("state");
    let of_data = || files_below(&state.join("data")).len();
    assert!(of_data() > 0, "{:?}", files_below(&state));
    let config = setup.config.display().to_string();
    let gc = |more: &[&str]| {
        let (is_right, told, error) =
            dunlin(&[&["gc", "--config", &config, "--json"], more].concat());
        assert!(is_right, "{error}");
        serde_json::from_str::<Value>(&told).unwrap()
    };
    let told = gc(&[]);
    assert_eq!(told["kinds"]["data"]["deleted"]["objects"], 0, "it has ended just now: {told}");
    let told = gc(&["--dry-run", "--set", "gateway.gc.data_ms=0"]);
    assert_eq!(told["kinds"]["data"]["deleted"]["objects"], of_data(), "{told}");
    assert!(of_data() > 0);
    // The gateway does it itself once the query has ended long enough ago.
    let end = state.join(keys::end(&QueryId::parse(&query).unwrap()));
    older(&end, 2 * HOUR);
    until("the gateway has collected", HOUR, || (of_data() == 0).then_some(())).await;
    let answer = api.results(&query, HOUR).await;
    Reference::over(&data).check("after gc", sql, &answer.batches);
    let (is_right, told, error) = dunlin(&["gc", "--config", &config]);
    assert!(is_right && told.contains("1 queries have ended, 0 have not"), "{told}{error}");
    older(&end, 8 * 24 * HOUR);
    let told = gc(&[]);
    assert_eq!(told["queries"]["ended"], 1, "{told}");
    let url = format!("{}/v1/queries/{query}/results", fleet.url());
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.status().as_u16(), 410);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "RESULT_EXPIRED", "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_sweep_ends_what_nobody_else_looks_after() {
    let limits = "[limits]\nheartbeat_ms = 200\nlease_ms = 1000\nno_worker_ms = 2000\n";
    let setup = Setup::folder(&data(SCALE), limits);
    let log = setup.path().join("gateway.log");
    let (mut gateway, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    let api = Api::new(&format!("http://{address}"));
    let settings = json!({ "route": "fleet" });
    let query = api.begin("select count(*) from lineitem", &settings).await;
    gateway.kill();
    let objects = Objects::new(&setup.path().join("state"), &query);
    assert!(!objects.has_ended());
    let config = setup.config.display().to_string();
    let (is_right, told, error) = dunlin(&["sweep", "--config", &config, "--seconds", "60"]);
    assert!(is_right && told.starts_with("0 active queries, 0 tasks run"), "{told}{error}");
    assert!(objects.has_ended());
    let (_gateway, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    let end = Api::new(&format!("http://{address}")).status(&query, "0s").await;
    assert_eq!(end["error"]["code"], "NO_COMPATIBLE_WORKER", "{end}");
}

#[test]
fn the_doctor_finds_a_folder_fit_and_says_what_is_wrong_with_others() {
    let folder = tempfile::tempdir().unwrap();
    let config = |location: &str, more: &str| {
        let path = folder.path().join(format!("{}.toml", unique("doctor")));
        std::fs::write(&path, format!("[state]\nlocation = \"{location}\"\n{more}")).unwrap();
        path.display().to_string()
    };
    let state = folder.path().join("state");
    let fit = config(&state.display().to_string(), "");
    let (is_right, told, error) = dunlin(&["doctor", "--config", &fit]);
    assert!(is_right, "{told}{error}");
    for check in [
        "conditional creates",
        "read and list",
        "clock",
        "PUT",
        "GET",
        "LIST",
        "ranges",
        "throughput",
    ] {
        let line = told.lines().find(|line| line.starts_with(check));
        assert!(line.is_some_and(|line| line.ends_with("  ok")), "{check}: {told}");
    }
    assert!(files_below(&state).is_empty(), "it leaves nothing: {:?}", files_below(&state));
    let refused = config(
        "s3://bucket/state",
        "[state.params]\ns3_endpoint = \"http://127.0.0.1:1\"\ns3_key = \"k\"\ns3_secret = \"s\"\nallow_http = true\n",
    );
    let (is_right, told, error) = dunlin(&["doctor", "--config", &refused, "--json"]);
    assert!(!is_right && error.contains("this store cannot hold the state"), "{error}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let wrong =
        told["checks"].as_array().unwrap().iter().find(|line| line["verdict"] == "wrong").unwrap();
    assert_eq!(wrong["check"], "access");
    assert!(
        wrong["cure"].as_str().unwrap().contains("nobody listens at the store's address"),
        "{wrong}"
    );
}

#[test]
fn the_doctor_finds_an_s3_server_fit() {
    let Some(s3) = S3::from_env() else { return };
    let setup = Setup::with(|_| {
        format!(
            "[state]\nlocation = \"s3://{}/{}\"\n{}",
            s3.bucket,
            unique("doctor"),
            s3.params("state.params", &s3.endpoint)
        )
    });
    let (is_right, told, error) =
        dunlin(&["doctor", "--config", &setup.config.display().to_string()]);
    assert!(is_right && !told.contains("WRONG"), "{told}{error}");
}
