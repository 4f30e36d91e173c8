//! News for workers: who waits is told of a query when it is there, and who tells ends a watcher's pause.

use std::time::Duration;

use dunlin_gateway::GatewayOptions;
use serde_json::json;

use super::queries::fleet;
use super::site::{LONG, Outcome, Site, header, json, problem};

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_of_a_new_query() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let first = json(gateway.get("/v1/wake").await).await;
    assert_eq!(first, json!({ "at": 0, "news": [] }));
    let waiting = tokio::spawn({
        let (client, url) = (gateway.client.clone(), gateway.url.clone());
        async move { client.get(format!("{url}/v1/wake?after=0&wait=25s")).send().await.unwrap() }
    });
    let id = json(gateway.submit(&fleet()).send().await.unwrap()).await["query_id"].clone();
    let heard = json(waiting.await.unwrap()).await;
    let news = &heard["news"][0];
    assert_eq!((&heard["at"], &news["query"], &news["ended"]), (&json!(1), &id, &json!(false)));
    assert_eq!(news["open"], json!([1]), "its one task can be claimed: {news}");
    // Nothing is new: the wait is over.
    let heard = json(gateway.get("/v1/wake?after=1&wait=10ms").await).await;
    assert_eq!(heard, json!({ "at": 1, "news": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn news_that_a_query_has_ended_ends_the_pause_of_who_waits_for_it() {
    let site = Site::new();
    let mut options = GatewayOptions::default();
    // Without news, nobody would look within the time of this test.
    (options.watch.first, options.watch.most, options.watch.repair) = (LONG, LONG, LONG);
    (options.sweep.busy, options.sweep.idle) = (LONG / 2, LONG / 2);
    let gateway = site.gateway(None, options).await;
    let submitted = gateway.submit(&fleet()).header("prefer", "wait=0").send().await.unwrap();
    let id = header(&submitted, "dunlin-query-id");
    let waiting = tokio::spawn({
        let (client, url) = (gateway.client.clone(), gateway.url.clone());
        let path = format!("{url}/v1/queries/{id}?wait=60s");
        async move { client.get(path).send().await.unwrap() }
    });
    site.somebody_waits().await;
    let query = dunlin_manifest::ids::QueryId::parse(&id).unwrap();
    site.worker(Outcome::Fails).run(query.clone()).await;
    let fence = dunlin_plan::fence::current().unwrap();
    let store = (*site.control).clone();
    let handle = dunlin_manifest::query::QueryHandle::open(store, &query, &fence).await;
    let handle = handle.unwrap().unwrap();
    handle.look(false).await.unwrap();
    assert!(handle.advance().await.unwrap().ended.is_some());
    let news = json!({ "news": [{ "query": id, "ended": true }] });
    let told = gateway.client.post(format!("{}/v1/wake", gateway.url)).json(&news);
    assert_eq!(told.send().await.unwrap().status(), 204);
    let status = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert_eq!(json(status).await["status"], "FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_what_is_no_query_is_refused() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let tell =
        |body: &str| gateway.client.post(format!("{}/v1/wake", gateway.url)).body(body.to_owned());
    let many = format!("{{\"news\":[{}]}}", vec!["{\"query\":\"x\"}"; 65].join(","));
    for body in ["", "[]", "{\"news\":[{\"query\":\"../../etc\"}]}", many.as_str()] {
        let (status, problem) = problem(tell(body)).await;
        assert_eq!((status, problem["code"].as_str().unwrap()), (400, "INVALID_REQUEST"), "{body}");
    }
    let request = gateway.client.get(format!("{}/v1/wake?after=x", gateway.url));
    assert_eq!(problem(request).await.0, 400);
}
