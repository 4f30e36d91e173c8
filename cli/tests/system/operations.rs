//! What whoever runs Dunlin sees of it: health checks, metrics, logs, traces.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dunlin_cli::fleet::{Process, start_listening};
use dunlin_cli::tpch;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::common::api::Api;
use crate::common::objects::until;
use crate::common::reference::Reference;
use crate::common::{Setup, binary, data, worker_binary};

const SCALE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(60);
/// Starts a program with more environment.
const ENV: &str = "/usr/bin/env";
const CONTEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Takes what is posted to it, and answers 200.
async fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
    let keeping = Arc::clone(&kept);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let keeping = Arc::clone(&keeping);
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(read) = stream.read(&mut buffer).await
                    && read > 0
                {
                    keeping.lock().unwrap().extend_from_slice(&buffer[..read]);
                    // The body may come in parts. Each is answered, and the client takes the first answer.
                    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if buffer[..read].ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let _ = stream.write_all(ok).await;
                }
            });
        }
    });
    (url, kept)
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Where a gateway's log says that its metrics are.
fn metrics_of(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let line = text.lines().find(|line| line.contains("metrics at /metrics"))?;
    let line: Value = serde_json::from_str(line).ok()?;
    Some(format!("http://{}/metrics", line["address"].as_str()?))
}

async fn text(url: &str) -> String {
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

/// The metrics, once a query has succeeded and another has failed.
async fn both_ends(page: &str) -> String {
    let told = async {
        loop {
            let text = text(page).await;
            let has = |line: &str| text.lines().any(|found| found == line);
            if has(r#"dunlin_queries_total{status="SUCCEEDED",route="fleet"} 1"#)
                && has(r#"dunlin_queries_total{status="FAILED",route="fleet"} 1"#)
            {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_logs_and_traces_tell_of_a_query() {
    let setup = Setup::folder(&data(SCALE), "");
    let config = setup.config.display().to_string();
    let program = binary().display().to_string();
    let (url, kept) = collector().await;
    let endpoint = format!("OTEL_EXPORTER_OTLP_ENDPOINT={url}");
    let log = setup.path().join("gateway.log");
    let arguments = [
        &endpoint,
        "DUNLIN_LOG_FORMAT=json",
        &program,
        "gateway",
        "--config",
        &config,
        "--metrics",
        "127.0.0.1:0",
    ];
    let (mut gateway, address) = start_listening(Path::new(ENV), &arguments, &log).unwrap();
    let page = metrics_of(&log).unwrap();
    let worker_log = setup.path().join("worker.log");
    let worker = worker_binary().display().to_string();
    let arguments = [
        "DUNLIN_LOG_FORMAT=json",
        "DUNLIN_LOG=info,dunlin_worker=debug",
        &worker,
        "--config",
        &config,
        "--slots",
        "2",
    ];
    let _worker = Process::start(Path::new(ENV), &arguments, &worker_log).unwrap();

    let base = format!("http://{address}");
    let api = Api::new(&base);
    let settings = json!({ "route": "fleet" });
    let answer = api.sql(&tpch::query(3).unwrap(), &settings).await;
    Reference::over(&data(SCALE)).check_tpch("with metrics", 3, &answer.batches);
    let body = json!({ "sql": "select sum(l_quantity / (l_linenumber - 1)) from lineitem", "settings": settings });
    let client = reqwest::Client::new();
    let failing = client.post(format!("{base}/v1/sql")).json(&body).header("traceparent", CONTEXT);
    let failed: Value = failing.send().await.unwrap().json().await.unwrap();
    assert!(failed["code"].is_string(), "{failed}");

    let text = both_ends(&page).await;
    let committed = text.lines().find_map(|line| {
        line.strip_prefix(r#"dunlin_tasks_total{outcome="committed"} "#)?.parse::<u64>().ok()
    });
    assert!(committed.unwrap() >= answer.summary["tasks"].as_u64().unwrap(), "{text}");
    assert!(text.contains(r#"dunlin_store_requests_total{part="worker",op="put"}"#), "{text}");
    // The port of the API shows none of it.
    assert_eq!(reqwest::get(format!("{base}/metrics")).await.unwrap().status(), 404);

    gateway.stop(PATIENCE).unwrap();
    until("both traces", PATIENCE, || {
        let bytes = kept.lock().unwrap();
        let trace: Vec<u8> =
            (0..16).map(|at| u8::from_str_radix(&TRACE[2 * at..2 * at + 2], 16).unwrap()).collect();
        (holds(&bytes, answer.query.as_bytes())
            && holds(&bytes, &trace)
            && holds(&bytes, b"task 0"))
        .then_some(())
    })
    .await;
    let log = std::fs::read_to_string(&worker_log).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let failed = lines.iter().find(|line| line["message"] == "an attempt failed");
    let failed = failed.unwrap_or_else(|| panic!("{log}"));
    assert_eq!(failed["trace_id"], TRACE, "{failed}");
    assert!(failed["stage"].is_u64() && failed["task"].is_u64() && failed["attempt"].is_u64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_tell_who_is_alive() {
    let setup = Setup::folder(&data(SCALE), "");
    let config = setup.config.display().to_string();
    let program = binary().display().to_string();
    let nobody = run(&program, &["health", "--url", "http://127.0.0.1:9"]);
    assert_eq!(nobody.status.code(), Some(1));
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(said.contains("no gateway answers at http://127.0.0.1:9"), "{said}");

    let log = setup.path().join("gateway.log");
    let (_gateway, address) =
        start_listening(binary(), &["gateway", "--config", &config], &log).unwrap();
    let url = format!("http://{address}");
    assert!(run(&program, &["health", "--url", &url]).status.success());

    let file = setup.path().join("alive").display().to_string();
    let alive = || run(&worker_binary().display().to_string(), &["alive", "--file", &file]);
    assert_eq!(alive().status.code(), Some(1));
    let log = setup.path().join("worker.log");
    let arguments = ["--config", &config, "--alive-file", &file];
    let mut worker = Process::start(&worker_binary(), &arguments, &log).unwrap();
    until("a living worker", PATIENCE, || alive().status.success().then_some(())).await;
    worker.stop(PATIENCE).unwrap();
}
