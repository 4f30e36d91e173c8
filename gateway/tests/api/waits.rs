//! Waits: what happens when they are over, long polls by ETag, dry runs, tags.

use std::time::Duration;

use dunlin_gateway::{GatewayOptions, LocalRunner};
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::QueryHandle;
use http::StatusCode;
use serde_json::{Value, json};

use super::queries::fleet;
use super::site::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_query_may_be_cancelled_when_its_client_has_waited_long_enough() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let mut body = fleet();
    body["wait_timeout"] = json!("100ms");
    body["on_wait_timeout"] = json!("cancel");
    let response = gateway.submit(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let status = json(response).await;
    assert_eq!(status["status"], "CANCELLED");
    let sql = gateway.client.post(format!("{}/v1/sql", gateway.url)).json(&body);
    let (code, problem_of_sql) = problem(sql).await;
    assert_eq!((code, problem_of_sql["code"].as_str()), (504, Some("WAIT_OVER")));
    let id = problem_of_sql["query_id"].as_str().unwrap();
    let status = json(gateway.get(&format!("/v1/queries/{id}")).await).await;
    assert_eq!(status["status"], "CANCELLED");
    // By default it goes on.
    body["on_wait_timeout"] = json!("continue");
    assert_eq!(gateway.submit(&body).send().await.unwrap().status(), 202);
    body["on_wait_timeout"] = json!("cancel");
    body["wait_timeout"] = json!("0s");
    let (code, refused) = problem(gateway.submit(&body)).await;
    assert_eq!((code, refused["code"].as_str()), (400, Some("INVALID_REQUEST")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_plans_and_leaves_nothing() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let body = json!({"sql": "select 1 as x", "dry_run": true, "settings": {"route": "fleet"}});
    let explain = gateway.client.post(format!("{}/v1/explain", gateway.url)).json(&body);
    let explained = json(explain.send().await.unwrap()).await;
    assert_eq!(
        (explained["route"].as_str(), explained["stages"].as_u64()),
        (Some("fleet"), Some(1))
    );
    for path in ["/v1/sql", "/v1/queries"] {
        let request = gateway.client.post(format!("{}{path}", gateway.url)).json(&body);
        let response = request.header("idempotency-key", "k").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(json(response).await, explained, "{path}");
    }
    assert_eq!(site.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_come_back_in_statuses_and_listings_of_any_gateway() {
    let site = Site::new();
    let first = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let tags = json!({"team": "finance", "job": "nightly/1"});
    let submit = |tags: &Value| first.submit(&json!({"sql": "select 1 as n", "tags": tags}));
    let submitted = json(submit(&tags).send().await.unwrap()).await;
    assert_eq!(submitted["tags"], tags);
    let plain = json(submit(&json!({})).send().await.unwrap()).await;
    assert_eq!(plain.get("tags"), None);
    let second = site.gateway(None, GatewayOptions::default()).await;
    let id = submitted["query_id"].as_str().unwrap();
    assert_eq!(json(second.get(&format!("/v1/queries/{id}")).await).await["tags"], tags);
    for (filter, found) in
        [("team:finance", 1), ("team", 1), ("team:sales", 0), ("job:nightly/1", 1)]
    {
        let page = json(second.get(&format!("/v1/queries?tag={filter}")).await).await;
        assert_eq!(page["queries"].as_array().unwrap().len(), found, "{filter}");
    }
    let page = json(second.get("/v1/queries").await).await;
    assert_eq!(page["queries"].as_array().unwrap().len(), 2);
    // The same request under the same key is the same query, whatever it is tagged with.
    let keyed = |tags: Value| submit(&tags).header("idempotency-key", "k");
    let one = json(keyed(json!({"a": "1"})).send().await.unwrap()).await;
    let two = json(keyed(json!({"a": "2"})).send().await.unwrap()).await;
    assert_eq!((&two["query_id"], &two["tags"]), (&one["query_id"], &json!({"a": "1"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_returns_when_the_status_is_another_one_on_any_gateway() {
    let site = Site::new();
    let first = site.gateway(None, GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let location = header(&first.submit(&fleet()).send().await.unwrap(), "location");
    let tag = header(&first.get(&location).await, "etag");
    assert!(tag.starts_with("W/\"queued."), "{tag}");
    let ask = |wait: &str, tag: &str| {
        let url = format!("{}{location}?wait={wait}", second.url);
        second.client.get(url).header("if-none-match", tag)
    };
    // Nothing is new: at once, and after a wait.
    for wait in ["0s", "300ms"] {
        let same = ask(wait, &tag).send().await.unwrap();
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(header(&same, "etag"), tag);
        assert_eq!(same.bytes().await.unwrap().len(), 0);
    }
    // A tag that is not the newest is answered at once.
    let other = ask("600s", "W/\"starting.0.9.\"").send().await.unwrap();
    assert_eq!(json(other).await["status"], "PENDING");
    let waiting = tokio::spawn(ask("600s", &tag).send());
    site.somebody_waits().await;
    let query = QueryId::parse(location.rsplit('/').next().unwrap()).unwrap();
    Worker { control: std::sync::Arc::clone(&site.control), outcome: Outcome::Rows }
        .run(query.clone())
        .await;
    let moved = tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap().unwrap();
    let moved = moved.unwrap();
    assert_eq!(moved.status(), 200);
    assert_ne!(header(&moved, "etag"), tag);
    // Once it has ended, its tag stays.
    let fence = dunlin_plan::fence::current().unwrap();
    let handle = QueryHandle::open((*site.control).clone(), &query, &fence).await;
    let handle = handle.unwrap().unwrap();
    while handle.ended().await.unwrap().is_none() {
        handle.look(false).await.unwrap();
        handle.advance().await.unwrap();
    }
    let ended = header(&first.get(&location).await, "etag");
    assert_eq!(ended, "W/\"SUCCEEDED.0.0.\"");
    assert_eq!(ask("600s", &ended).send().await.unwrap().status(), StatusCode::NOT_MODIFIED);
}
