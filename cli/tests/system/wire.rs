//! A wire that tears between all processes and their store: late and lost answers, cut connections, 503.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dunlin_cli::fleet::{Fleet, Process};
use dunlin_cli::tpch;
use dunlin_sim::far::{Tears, Wire};
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::objects::until;
use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data, unique};

const SCALE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(240);
/// A wire that is torn often looks like dead workers. The lease is that of real life.
const LIMITS: &str = "[limits]\nheartbeat_ms = 1000\nlease_ms = 8000\n";

/// `DUNLIN_WIRE=full`: as bad as it may be, and all queries.
fn is_full() -> bool {
    std::env::var("DUNLIN_WIRE").is_ok_and(|value| value == "full")
}

/// A state behind a wire.
fn behind(s3: &S3, endpoint: &str, state: &str, tables: &str) -> Setup {
    Setup::with(|_| {
        // Late requests are sent once more, as usual.
        let params = s3.params("state.params", endpoint).replace("hedge = false", "hedge = true");
        format!("[state]\nlocation = \"s3://{}/{state}\"\n{params}\n{LIMITS}\n{tables}", s3.bucket)
    })
}

/// Runs a query of TPC-H, as often as it takes, and checks its rows.
async fn answer(api: &Api, reference: &Reference, number: usize, how: &str) {
    let settings = json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });
    let (sql, key, began) = (tpch::query(number).unwrap(), unique("wire"), Instant::now());
    // A gateway that cannot reach its store says so, and the client asks again.
    let query = loop {
        assert!(began.elapsed() < PATIENCE, "Q{number} {how}");
        let submitted = api.submit(&sql, &settings, Some(&key)).await;
        if submitted.status.is_success() {
            break submitted.query();
        }
        assert!(submitted.status.is_server_error(), "{submitted:?}");
    };
    let answer = loop {
        match api.try_results(&query, PATIENCE).await {
            Ok(answer) => break answer,
            Err(error) => assert!(began.elapsed() < PATIENCE, "Q{number} {how}: {error}"),
        }
    };
    reference.check_tpch(how, number, &answer.batches);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_that_tears_costs_time_and_no_row() {
    let Some(s3) = S3::from_env() else { return };
    let (tears, queries): (_, Vec<usize>) = match is_full() {
        true => (
            Tears {
                slow: 35,
                longest: Duration::from_secs(3),
                refused: 10,
                cut_before: 8,
                cut_after: 7,
            },
            (1..=22).collect(),
        ),
        false => (
            Tears {
                slow: 10,
                longest: Duration::from_millis(500),
                refused: 5,
                cut_before: 3,
                cut_after: 3,
            },
            vec![1, 3, 5, 18],
        ),
    };
    let wire = Wire::start(&s3.endpoint, 7, tears).await.unwrap();
    let (data, state) = (data(SCALE), unique("wire"));
    let tables = tpch::tables_toml(&format!("file://{}/", data.display()));
    let setup = behind(&s3, &wire.endpoint(), &state, &tables);
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let (api, reference) = (Api::new(&fleet.url()), Reference::over(&data));
    let began = Instant::now();
    for number in queries {
        answer(&api, &reference, number, "over a wire that tears").await;
    }
    let torn = wire.torn();
    println!("wire: exact after {:?}: {torn:?}", began.elapsed());
    for count in [&torn.slow, &torn.refused, &torn.cut_before, &torn.cut_after] {
        assert!(count.load(Ordering::Relaxed) > 0, "{torn:?}");
    }
}

/// A proxy that spoils connections, and the address of its API.
struct Toxic {
    _server: Process,
    api: String,
    client: reqwest::Client,
}

impl Toxic {
    /// Before `upstream`. Also returns the address of the spoiled side.
    async fn start(program: &str, upstream: &str, folder: &Path) -> (Self, String) {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = free.port().to_string();
        let arguments = ["-host", "127.0.0.1", "-port", &port];
        let log = folder.join("toxiproxy");
        let server = Process::start(Path::new(program), &arguments, &log).unwrap();
        let toxic = Self {
            _server: server,
            api: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::new(),
        };
        until("toxiproxy listens", PATIENCE, || {
            std::net::TcpStream::connect(("127.0.0.1", free.port())).ok()
        })
        .await;
        let proxy = json!({ "name": "store", "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true });
        let made = toxic.send(reqwest::Method::POST, "/proxies", &proxy).await;
        let listens = format!("http://{}", made["listen"].as_str().unwrap());
        (toxic, listens)
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.api)).json(body);
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default()
    }
}

/// `scripts/toxic` runs it: it names toxiproxy's program in `DUNLIN_TOXIPROXY`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn toxics_cost_time_and_no_row() {
    let (Some(s3), Ok(program)) = (S3::from_env(), std::env::var("DUNLIN_TOXIPROXY")) else {
        return;
    };
    let (data, state) = (data(SCALE), unique("toxic"));
    let folder = tempfile::tempdir().unwrap();
    let upstream = s3.endpoint.strip_prefix("http://").unwrap();
    let (toxic, endpoint) = Toxic::start(&program, upstream, folder.path()).await;
    let tables = tpch::tables_toml(&format!("file://{}/", data.display()));
    let setup = behind(&s3, &endpoint, &state, &tables);
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let (api, reference) = (Api::new(&fleet.url()), Reference::over(&data));
    // As SlateDB's nightly runs do it: kind, the part of connections that has it, and its attributes.
    let toxics = [
        ("latency", 0.35, json!({ "latency": 1_000, "jitter": 500 })),
        ("bandwidth", 1.0, json!({ "rate": 400 })),
        ("slow_close", 1.0, json!({ "delay": 500 })),
        ("timeout", 0.1, json!({ "timeout": 2_000 })),
        ("reset_peer", 0.15, json!({ "timeout": 50 })),
        ("slicer", 1.0, json!({ "average_size": 400, "size_variation": 200, "delay": 100 })),
        ("limit_data", 0.2, json!({ "bytes": 100_000 })),
    ];
    for (at, (kind, toxicity, attributes)) in toxics.iter().enumerate() {
        let began = Instant::now();
        for (stream, number) in [("downstream", 1 + at), ("upstream", 12 + at)] {
            let body = json!({ "name": "it", "type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes });
            toxic.send(reqwest::Method::POST, "/proxies/store/toxics", &body).await;
            answer(&api, &reference, number, &format!("with {kind} {stream}")).await;
            let path = "/proxies/store/toxics/it";
            toxic.send(reqwest::Method::DELETE, path, &Value::Null).await;
        }
        println!("toxics: exact with {kind} after {:?}", began.elapsed());
    }
    // The store is away for as long as a restart takes, in the middle of a query.
    let away = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            for enabled in [false, true] {
                toxic
                    .send(reqwest::Method::POST, "/proxies/store", &json!({ "enabled": enabled }))
                    .await;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
    };
    tokio::join!(answer(&api, &reference, 9, "with a store that comes and goes"), away);
}
