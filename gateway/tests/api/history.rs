//! The list of queries: newest first, page by page, and only one's own.

use dunlin_gateway::GatewayOptions;
use serde_json::{Value, json};

use super::queries::fleet;
use super::site::*;

/// The ids on all pages of so many, and how many pages there were.
async fn pages(gateway: &Running, limit: usize, more: &str) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let path = format!("/v1/queries?limit={limit}{more}{cursor}");
        let page = json(gateway.get(&path).await).await;
        let queries = page["queries"].as_array().unwrap();
        assert!(queries.len() <= limit);
        ids.extend(queries.iter().map(|query| query["query_id"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { return (ids, pages) };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_is_on_one_page_and_the_newest_on_the_first() {
    let site = Site::new();
    let first = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let empty = json(first.get("/v1/queries").await).await;
    assert_eq!(empty, json!({"queries": [], "next": null}));
    let mut submitted = Vec::new();
    for number in 0..7 {
        let body = json!({"sql": format!("select {number}\n  as n")});
        let status = json(first.submit(&body).send().await.unwrap()).await;
        assert_eq!(status["status"], "SUCCEEDED");
        submitted.push(status["query_id"].as_str().unwrap().to_owned());
    }
    let open = json(first.submit(&fleet()).send().await.unwrap()).await;
    submitted.push(open["query_id"].as_str().unwrap().to_owned());
    submitted.reverse();
    let second = site.gateway(None, GatewayOptions::default()).await;
    for limit in [1, 3, 8, 200] {
        let (ids, count) = pages(&second, limit, "").await;
        assert_eq!(ids, submitted, "pages of {limit}");
        assert!(count <= 8 / limit + 1, "{count} pages of {limit}");
    }
    let newest = json(second.get("/v1/queries?limit=2").await).await["queries"].clone();
    assert_eq!(newest[0]["status"], "PENDING");
    let done: &Value = &newest[1];
    assert_eq!((&done["status"], &done["rows"]), (&json!("SUCCEEDED"), &json!(5)));
    assert_eq!((&done["sql_preview"], &done["route"]), (&json!("select 6 as n"), &json!("inline")));
    assert!(done["submitted_ms"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(pages(&second, 50, "&status=pending").await.0, submitted[..1]);
    assert_eq!(pages(&second, 2, "&status=SUCCEEDED").await.0, submitted[1..]);
    assert!(pages(&second, 50, "&status=canceled").await.0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_page_is_refused() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    for (query, text) in [
        ("limit=0", "limit is a number from 1 to 200"),
        ("limit=201", "limit is a number from 1 to 200"),
        ("limit=many", "limit is a number from 1 to 200"),
        ("cursor=7", "cursor is the next of an earlier page"),
        ("status=done", "status is one of PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED"),
        ("limt=3", "limt of the address is not known; did you mean limit?"),
    ] {
        let request = gateway.client.get(format!("{}/v1/queries?{query}", gateway.url));
        let (status, body) = problem(request).await;
        assert_eq!((status, body["code"].as_str()), (400, Some("INVALID_REQUEST")));
        assert!(body["detail"].as_str().unwrap().contains(text), "{body}");
    }
}
