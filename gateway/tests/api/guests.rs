//! Inline queries as guests: seats, queue, time, memory, and clients that disconnect or do not wait.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dunlin_gateway::{GatewayOptions, InlineLimits, LocalRunner};
use dunlin_manifest::ids::QueryId;
use reqwest::{RequestBuilder, Response};
use serde_json::json;
use tokio::task::JoinHandle;

use super::queries::impatient;
use super::site::*;

/// Runs for hours, without a pause between its leaves, and reads nothing.
const RUNAWAY: &str =
    "select count(*) from generate_series(1, 10000000) a, generate_series(1, 10000000) b";
/// Needs a seat, and few resources.
const MODEST: &str = "select count(*) as n from generate_series(1, 1000)";

fn one_seat() -> GatewayOptions {
    let inline = InlineLimits { slots: 1, queue: 0, ..InlineLimits::default() };
    GatewayOptions { inline, ..GatewayOptions::default() }
}

/// Starts a request in the background.
fn start(request: RequestBuilder) -> JoinHandle<reqwest::Result<Response>> {
    tokio::spawn(request.send())
}

/// A long query that has the only seat, where no request may wait for one.
async fn seated_runaway(gateway: &Running) -> JoinHandle<reqwest::Result<Response>> {
    let mut runaway = start(gateway.sql(RUNAWAY));
    let seated = async {
        // A test query that held the seat when the long query arrived made the gateway refuse the long one.
        while gateway.sql(MODEST).send().await.unwrap().status() != 503 {
            if runaway.is_finished() {
                runaway = start(gateway.sql(RUNAWAY));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seated).await.unwrap();
    runaway
}

/// Sends the statement until the status is `wanted`.
async fn until(gateway: &Running, sql: &str, wanted: u16) {
    let tried = async {
        while gateway.sql(sql).send().await.unwrap().status() != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), tried).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_refuses_and_says_when_to_come_back_and_small_talk_goes_on() {
    let site = Site::new();
    let gateway = site.gateway(None, one_seat()).await;
    let runaway = seated_runaway(&gateway).await;
    let response = gateway.sql(MODEST).send().await.unwrap();
    assert!(!header(&response, "retry-after").is_empty());
    assert_eq!(json(response).await["code"], "GATEWAY_BUSY");
    // A statement that reads no file and multiplies no rows needs no seat.
    let response = gateway.sql("select 1 as one").send().await.unwrap();
    assert_eq!(json(response).await, json!([{"one": 1}]));
    assert_eq!(gateway.get("/health").await.status(), 200);
    // The client leaves, and its seat becomes free.
    runaway.abort();
    until(&gateway, MODEST, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_has_nearly_all_its_memory_ends_what_began_last_and_serves() {
    let site = Site::new();
    let mut options = one_seat();
    // This process has more already.
    options.inline.resident_bytes = Some(1 << 20);
    let gateway = site.gateway(None, options).await;
    let response = gateway.sql(RUNAWAY).send().await.unwrap();
    assert_eq!(response.status(), 500);
    let problem = json(response).await;
    assert_eq!(problem["code"], "OUT_OF_MEMORY");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("(1 MB)") && detail.contains("submit it to the fleet"), "{detail}");
    let response = gateway.sql("select 1 as one").send().await.unwrap();
    assert_eq!(json(response).await, json!([{"one": 1}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_finds_no_seat_waits_for_one() {
    let site = Site::new();
    let mut options = one_seat();
    options.inline.queue = 1;
    let gateway = site.gateway(None, options).await;
    // One has the seat, the other the only place in the queue. A test query that got one of them first made the gateway
    // refuse a long one, whichever came last.
    let mut long = [start(gateway.sql(RUNAWAY)), start(gateway.sql(RUNAWAY))];
    let full = async {
        loop {
            let modest = gateway.sql(MODEST).timeout(Duration::from_millis(500));
            if modest.send().await.is_ok_and(|response| response.status() == 503) {
                return;
            }
            for query in &mut long {
                if query.is_finished() {
                    *query = start(gateway.sql(RUNAWAY));
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), full).await.unwrap();
    for query in long {
        query.abort();
    }
    until(&gateway, MODEST, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_over_ends_what_leaves_no_trace() {
    let site = Site::new();
    let gateway = site.gateway(None, one_seat()).await;
    for sql in [
        RUNAWAY,
        // An operator that gives no batch at all.
        "select count(*) from generate_series(1, 300000) a(x), generate_series(1, 1000000) b(y) where a.x + b.y < 0",
    ] {
        let (status, problem) = problem(gateway.sql(sql).header("prefer", "wait=1")).await;
        assert_eq!((status, problem["code"].as_str().unwrap()), (504, "WAIT_OVER"));
        assert!(problem["detail"].as_str().unwrap().contains("after the 1 s"), "{problem}");
        until(&gateway, MODEST, 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_query_has_a_time_limit() {
    let site = Site::new();
    let mut options = one_seat();
    options.inline.time = Duration::from_millis(300);
    let gateway = site.gateway(None, options).await;
    let (status, problem) = problem(gateway.sql(RUNAWAY)).await;
    assert_eq!((status, problem["code"].as_str().unwrap()), (504, "INLINE_TIME_LIMIT"));
    until(&gateway, MODEST, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_query_has_its_share_of_the_memory() {
    let site = Site::new();
    let mut options = one_seat();
    (options.inline.slots, options.inline.memory_bytes) = (2, 16 << 20);
    let gateway = site.gateway(None, options).await;
    let join = "select count(*) from generate_series(1, 3000000) a join generate_series(1, 3000000) b on a.value = b.value";
    let (status, problem) = problem(gateway.sql(join)).await;
    assert_eq!(status, 500, "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("needs more memory than it may have"),
        "{problem}"
    );
    assert_eq!(gateway.sql(MODEST).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_over_a_limit_are_told_which() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    for (sql, limit) in [
        (format!("select 1 {}", "union all select 1 ".repeat(5_000)), "max_depth"),
        (format!("select 1 where true {}", "and true ".repeat(20_000)), "max_depth"),
        (format!("select {}1{}", "(".repeat(400), ")".repeat(400)), "nested over"),
    ] {
        let (status, problem) = problem(gateway.sql(&sql)).await;
        assert_eq!((status, problem["code"].as_str().unwrap()), (422, "QUERY_TOO_COMPLEX"));
        assert!(problem["detail"].as_str().unwrap().contains(limit), "{problem}");
    }
}

/// Workers of this process that never run the query.
#[derive(Debug)]
struct Busy;

#[async_trait]
impl LocalRunner for Busy {
    async fn run(&self, _: QueryId) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_inline_query_that_waits_for_a_slot_is_not_without_a_worker() {
    let site = Site::new();
    let gateway = site.gateway(Some(Arc::new(Busy)), impatient()).await;
    let body = json!({"sql": "select 1", "wait_timeout": "0s"});
    let id = json(gateway.submit(&body).send().await.unwrap()).await["query_id"].clone();
    // Many times as long as a fleet query may make no progress here.
    let path = format!("/v1/queries/{}", id.as_str().unwrap());
    let status = json(gateway.get(&format!("{path}?wait=3s")).await).await;
    assert_eq!(status["status"], "PENDING", "{status}");
    assert_eq!(json(gateway.post(&format!("{path}/cancel")).await).await["status"], "CANCELLED");
}
