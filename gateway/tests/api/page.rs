//! The page for people, beside the API, and what the API tells for it.

use dunlin_gateway::GatewayOptions;
use http::Method;
use serde_json::json;

use super::site::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_the_page_and_a_program_an_error() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let url = format!("{}/", gateway.url);
    let ask = async |method: Method, accept: &str| {
        gateway.client.request(method, &url).header("accept", accept).send().await.unwrap()
    };
    let page = ask(Method::GET, "text/html,application/xhtml+xml,*/*;q=0.8").await;
    assert_eq!(page.status(), 200);
    assert!(header(&page, "content-type").starts_with("text/html"));
    assert!(header(&page, "content-security-policy").starts_with("default-src 'none'"));
    let document = page.text().await.unwrap();
    let script = document.split("src=\"./").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let script = gateway.get(&format!("/{script}")).await;
    assert_eq!(script.status(), 200);
    assert!(header(&script, "cache-control").contains("immutable"));
    let refused = ask(Method::GET, "application/json").await;
    assert_eq!(refused.status(), 404);
    assert_eq!(json(refused).await["code"], "NOT_FOUND");
    assert_eq!(json(ask(Method::POST, "*/*").await).await["code"], "METHOD_NOT_ALLOWED");
    // The API is where it was.
    assert_eq!(json(gateway.get("/v1/nothing").await).await["code"], "NOT_FOUND");
    assert_eq!(gateway.get("/health").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_names_who_listens() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let fleet = json(gateway.get("/v1/fleet").await).await;
    assert_eq!(fleet, json!({"gateways": [], "workers": []}));
    gateway.get("/v1/wake?worker=one").await;
    gateway.get("/v1/wake?worker=another").await;
    let fleet = json(gateway.get("/v1/fleet").await).await;
    assert_eq!(fleet["workers"], json!(["another", "one"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_tells_how_far_a_query_is() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let submitted = gateway.submit(&json!({"sql": "select 7 as n"})).send().await.unwrap();
    assert_eq!(json(submitted).await["status"], "SUCCEEDED");
    let page = json(gateway.get("/v1/queries").await).await;
    let brief = &page["queries"][0];
    assert_eq!(brief["progress"]["stages_done"], brief["progress"]["stages"]);
    assert_eq!(brief["progress"]["tasks_done"], brief["progress"]["tasks"]);
    // There are no keys, and the query belongs to nobody.
    assert_eq!(brief.get("owner"), None);
}
