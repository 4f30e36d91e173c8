//! Queries in the store: submit, wait, status, results, cancel, idempotency, sweeps and stops.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dunlin_gateway::{GatewayOptions, LocalRunner, SweepPeriods};
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::records::Limits;
use dunlin_manifest::store::ControlStore;
use serde_json::{Value, json};

use super::site::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_query_is_answered_by_any_gateway_also_a_later_one() {
    let site = Site::new();
    let first = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let response = first.submit(&json!({"sql": "select 1 as n"})).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let status = json(response).await;
    assert_eq!(status["status"], "SUCCEEDED");
    assert_eq!(status["phase"], "finished");
    assert_eq!(status["route"], "inline");
    let id = status["query_id"].as_str().unwrap();
    first.stop.send(()).unwrap();
    first.served.await.unwrap().unwrap();

    let second = site.gateway(None, GatewayOptions::default()).await;
    let mut again = json(second.get(&format!("/v1/queries/{id}?wait=5s")).await).await;
    let receipt = again.as_object_mut().unwrap().remove("receipt").unwrap();
    assert_eq!((&receipt["tasks"], &receipt["cost_usd"]), (&json!(1), &Value::Null));
    assert!(receipt["price"].as_str().unwrap().starts_with("no price"), "{receipt}");
    assert_eq!(again, status);
    let response = second.get(&format!("/v1/queries/{id}/results")).await;
    let summary: Value = serde_json::from_str(&header(&response, "dunlin-summary")).unwrap();
    assert_eq!(summary["rows"], 5);
    assert_eq!(summary["bytes_scanned"], 11);
    assert_eq!(summary["stages"], 1);
    assert_eq!(summary["tasks"], 1);
    assert_eq!(summary["attempts"], 1);
    let rows = json(response).await;
    assert_eq!(rows, json!([{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]));
    // A query that has ended cannot be cancelled any more.
    let cancelled = json(second.post(&format!("/v1/queries/{id}/cancel")).await).await;
    assert_eq!(cancelled["status"], "SUCCEEDED");
    // The rows are deleted: the answer has expired, and the error says so.
    std::fs::remove_dir_all(site.folder.path().join("res")).unwrap();
    let (code, body) =
        problem(second.client.get(format!("{}/v1/queries/{id}/results", second.url))).await;
    assert_eq!((code, body["code"].as_str()), (410, Some("RESULT_EXPIRED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_stands_for_one_query() {
    let site = Site::new();
    let worker = || Some(site.worker(Outcome::Rows));
    let first = site.gateway(worker(), GatewayOptions::default()).await;
    let second = site.gateway(worker(), GatewayOptions::default()).await;
    let keyed = |gateway: &Running, sql| gateway.sql(sql).header("idempotency-key", "k1");
    let one = keyed(&first, "select 1 as n").send().await.unwrap();
    assert_eq!(one.status(), 200);
    assert_eq!(header(&one, "idempotent-replayed"), "");
    let two = keyed(&second, "select 1 as n").send().await.unwrap();
    assert_eq!(header(&two, "idempotent-replayed"), "true");
    assert_eq!(header(&one, "dunlin-query-id"), header(&two, "dunlin-query-id"));
    assert_eq!(json(one).await, json(two).await);
    let (status, body) = problem(keyed(&second, "select 2 as n")).await;
    assert_eq!((status, body["code"].as_str()), (422, Some("IDEMPOTENCY_MISMATCH")));
    // The same request through the other endpoint is the same query.
    let body = json!({"sql": "select 1 as n"});
    let status = second.submit(&body).header("idempotency-key", "k1").send().await.unwrap();
    assert_eq!(header(&status, "idempotent-replayed"), "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_submits_under_one_key_make_one_query() {
    let site = Site::new();
    let worker = || Some(site.worker(Outcome::Rows));
    let gateways = [
        site.gateway(worker(), GatewayOptions::default()).await,
        site.gateway(worker(), GatewayOptions::default()).await,
    ];
    let requests = (0..16).map(|number| {
        let request = gateways[number % 2].sql("select 1 as n").header("idempotency-key", "storm");
        async move {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 200);
            let id = header(&response, "dunlin-query-id");
            assert_eq!(json(response).await.as_array().unwrap().len(), 5);
            id
        }
    });
    let ids = futures::future::join_all(requests).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_query_says_why_on_every_path() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Fails)), GatewayOptions::default()).await;
    let response = gateway.submit(&json!({"sql": "select 1 as n"})).send().await.unwrap();
    let status = json(response).await;
    assert_eq!(status["status"], "FAILED");
    assert_eq!(status["error"]["code"], "EXECUTION_FAILED");
    let id = status["query_id"].as_str().unwrap();
    let results = gateway.client.get(format!("{}/v1/queries/{id}/results", gateway.url));
    let (code, body) = problem(results).await;
    assert_eq!((code, body["code"].as_str()), (400, Some("EXECUTION_FAILED")));
    assert_eq!(body["query_id"], id);
    let sql = gateway.sql("select 2 as n").header("idempotency-key", "k");
    let (code, body) = problem(sql).await;
    assert_eq!((code, body["detail"].as_str()), (400, Some("divide by zero")));
}

pub(super) fn fleet() -> Value {
    json!({"sql": "select 1 as n", "settings": {"route": "fleet"}, "wait_timeout": "0s"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_workers_waits_is_watched_and_is_cancelled() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let response = gateway.submit(&fleet()).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let location = header(&response, "location");
    let status = json(response).await;
    assert_eq!(
        (status["status"].as_str(), status["phase"].as_str()),
        (Some("PENDING"), Some("queued"))
    );
    let (code, body) =
        problem(gateway.client.get(format!("{}{location}/results", gateway.url))).await;
    assert_eq!((code, body["code"].as_str()), (409, Some("NOT_READY")));
    let status = json(gateway.get(&format!("{location}?wait=1s")).await).await;
    assert_eq!(status["status"], "PENDING");
    assert_eq!(
        status["progress"],
        json!({"stages_done": 0, "stages": 1, "tasks_done": 0, "tasks": 1})
    );
    // A cancel ends a wait that is in progress, on another gateway too.
    let other = site.gateway(None, GatewayOptions::default()).await;
    let path = format!("{location}?wait=600s");
    let waiting = other.get(&path);
    let cancelling = async {
        site.somebody_waits().await;
        json(gateway.post(&format!("{location}/cancel")).await).await
    };
    let (waited, cancelled) = tokio::join!(waiting, cancelling);
    assert_eq!(cancelled["status"], "CANCELLED");
    assert_eq!(json(waited).await["status"], "CANCELLED");
    let (code, body) =
        problem(gateway.client.get(format!("{}{location}/results", gateway.url))).await;
    assert_eq!((code, body["code"].as_str()), (410, Some("CANCELLED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_runs_out_leaves_the_query_to_come_back_to() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let request = gateway.client.post(format!("{}/v1/sql", gateway.url)).json(&fleet());
    let response = request.header("prefer", "wait=1").send().await.unwrap();
    assert_eq!(response.status(), 202);
    let location = header(&response, "location");
    let query = QueryId::parse(&header(&response, "dunlin-query-id")).unwrap();
    assert_eq!(json(gateway.get(&location).await).await["status"], "PENDING");
    Worker { control: Arc::clone(&site.control), outcome: Outcome::Rows }.run(query).await;
    // The worker died after its commit, so a waiting request repairs the query.
    let status = json(gateway.get(&format!("{location}?wait=30s")).await).await;
    assert_eq!(status["status"], "SUCCEEDED");
    let rows = json(gateway.get(&format!("{location}/results")).await).await;
    assert_eq!(rows.as_array().unwrap().len(), 5);
}

pub(super) fn impatient() -> GatewayOptions {
    let quick = Duration::from_millis(50);
    GatewayOptions {
        limits: Limits { no_worker_ms: 300, ..Limits::default() },
        sweep: SweepPeriods { busy: quick, idle: quick, ..SweepPeriods::default() },
        ..GatewayOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_no_worker_takes_is_ended() {
    let site = Site::new();
    let gateway = site.gateway(None, impatient()).await;
    let id = json(gateway.submit(&fleet()).send().await.unwrap()).await["query_id"].clone();
    let path = format!("/v1/queries/{}", id.as_str().unwrap());
    let status = json(gateway.get(&format!("{path}?wait=30s")).await).await;
    assert_eq!(status["error"]["code"], "NO_COMPATIBLE_WORKER");
    assert!(status["error"]["message"].as_str().unwrap().contains("no worker is running"));
    let results = gateway.client.get(format!("{}{path}/results", gateway.url));
    assert_eq!(problem(results).await.0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_refuse_a_query_are_named() {
    let site = Site::new();
    let mut options = impatient();
    options.limits.no_worker_ms = 60_000;
    options.sweep.refused = Duration::from_millis(300);
    let gateway = site.gateway(None, options).await;
    let id = json(gateway.submit(&fleet()).send().await.unwrap()).await["query_id"].clone();
    let id = id.as_str().unwrap();
    let key = keys::refusal(&QueryId::parse(id).unwrap(), "w7");
    // A worker that is alive says so again and again.
    let refusing = async {
        loop {
            let body = Bytes::from_static(b"{\"engine\":\"dunlin-9\"}");
            site.control.put(&key, body).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let path = format!("/v1/queries/{id}?wait=30s");
    let status = tokio::select! {
        status = gateway.get(&path) => json(status).await,
        () = refusing => unreachable!("it refuses for ever"),
    };
    assert_eq!(status["error"]["code"], "NO_COMPATIBLE_WORKER");
    assert!(status["error"]["message"].as_str().unwrap().contains("w7 (dunlin-9)"));
}

/// A worker that has refused once may be gone, and others may be starting.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_refusal_does_not_end_a_query_that_waits_for_workers() {
    let site = Site::new();
    let mut options = impatient();
    options.limits.no_worker_ms = 16_000;
    options.sweep.refused = Duration::from_millis(300);
    let gateway = site.gateway(None, options).await;
    let id = json(gateway.submit(&fleet()).send().await.unwrap()).await["query_id"].clone();
    let id = id.as_str().unwrap();
    let key = keys::refusal(&QueryId::parse(id).unwrap(), "w7");
    site.control.put(&key, Bytes::from_static(b"gone")).await.unwrap();
    // Longer than a lease, which is how long living workers that refuse are believed.
    let status = json(gateway.get(&format!("/v1/queries/{id}?wait=14s")).await).await;
    assert_eq!(status["error"], Value::Null, "{status}");
    let status = json(gateway.get(&format!("/v1/queries/{id}?wait=30s")).await).await;
    let said = status["error"]["message"].as_str().unwrap();
    assert!(said.contains("no worker is running"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_moves_on_what_nobody_watches() {
    let site = Site::new();
    let gateway = site.gateway(None, impatient()).await;
    let id = json(gateway.submit(&fleet()).send().await.unwrap()).await["query_id"].clone();
    let query = QueryId::parse(id.as_str().unwrap()).unwrap();
    Worker { control: Arc::clone(&site.control), outcome: Outcome::Rows }.run(query.clone()).await;
    let swept = async {
        while site.control.get(&keys::end(&query)).await.unwrap().is_none()
            || site.control.get(&keys::active(&query)).await.unwrap().is_some()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), swept).await.unwrap();
    let status = json(gateway.get(&format!("/v1/queries/{query}")).await).await;
    assert_eq!(status["status"], "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_waits_and_not_queries() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    assert_eq!(gateway.get("/health").await.status(), 200);
    assert_eq!(gateway.get("/v1/ready").await.status(), 200);
    let id = json(gateway.submit(&fleet()).send().await.unwrap()).await["query_id"].clone();
    let path = format!("/v1/queries/{}?wait=600s", id.as_str().unwrap());
    let Running { url, client, stop, served, .. } = gateway;
    let waiting = tokio::spawn(client.get(format!("{url}{path}")).send());
    site.somebody_waits().await;
    stop.send(()).unwrap();
    let status = json(waiting.await.unwrap().unwrap()).await;
    assert_eq!(status["status"], "PENDING");
    served.await.unwrap().unwrap();
    let later = site.gateway(None, GatewayOptions::default()).await;
    let path = format!("/v1/queries/{}", id.as_str().unwrap());
    assert_eq!(json(later.get(&path).await).await["status"], "PENDING");
}
