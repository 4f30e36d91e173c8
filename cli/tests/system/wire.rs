//! A wire that tears between all processes and their store: late and lost answers, cut connections, 503.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dunlin_cli::fleet::Fleet;
use dunlin_cli::tpch;
use dunlin_sim::far::{Tears, Wire};
use serde_json::json;

use crate::common::api::Api;
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
    let setup = Setup::with(|_| {
        // Late requests are sent once more, as usual.
        let params =
            s3.params("state.params", &wire.endpoint()).replace("hedge = false", "hedge = true");
        format!("[state]\nlocation = \"s3://{}/{state}\"\n{params}\n{LIMITS}\n{tables}", s3.bucket)
    });
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let (api, reference) = (Api::new(&fleet.url()), Reference::over(&data));
    let settings = json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });
    let began = Instant::now();
    for number in queries {
        let (sql, key) = (tpch::query(number).unwrap(), unique("wire"));
        // A gateway that cannot reach its store says so, and the client asks again.
        let rows = loop {
            assert!(began.elapsed() < PATIENCE * 22, "Q{number}");
            let submitted = api.submit(&sql, &settings, Some(&key)).await;
            if submitted.status.is_success() {
                break submitted.query();
            }
            assert!(submitted.status.is_server_error(), "{submitted:?}");
        };
        let answer = loop {
            match api.try_results(&rows, PATIENCE).await {
                Ok(answer) => break answer,
                Err(error) => assert!(began.elapsed() < PATIENCE * 22, "Q{number}: {error}"),
            }
        };
        reference.check_tpch("over a wire that tears", number, &answer.batches);
    }
    let torn = wire.torn();
    println!("wire: exact after {:?}: {torn:?}", began.elapsed());
    for count in [&torn.slow, &torn.refused, &torn.cut_before, &torn.cut_after] {
        assert!(count.load(Ordering::Relaxed) > 0, "{torn:?}");
    }
}
