//! Requests that cannot be read, and what a gateway tells everybody.

use dunlin_gateway::GatewayOptions;
use dunlin_gateway::auth::Scope;
use serde_json::json;

use super::super::site::*;
use super::client::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_and_says_why() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let address = format!("{}/v1/statement", gateway.url);
    let bare = || gateway.client.post(&address).body("select 1");
    // A page of another site can send this from a browser, and must not run anything.
    let refused = reply(bare()).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("INVALID_REQUEST")));
    assert!(refused.body["detail"].as_str().unwrap().contains("X-Trino-User"));
    let refused = reply(bare().header("x-trino-user", "a").header("x-trino-user", "b")).await;
    assert_eq!(refused.status, 400);
    let user = || bare().header("x-trino-user", "me");
    for (name, value) in [
        ("x-trino-session", &b"=1"[..]),
        ("x-trino-session", b"a=%ff%fe"),
        ("x-trino-client-tags", b"\xff\xfe"),
        ("x-forwarded-proto", b"gopher"),
        ("x-forwarded-host", b"a/b"),
        ("x-forwarded-port", b"99999"),
    ] {
        let refused = reply(user().header(name, value)).await;
        // Damaged letters of a value are letters; the setting is not known.
        let is_read = refused.status == 200 && refused.body["error"]["errorCode"] == 14;
        assert!(refused.status == 400 || is_read, "{name}: {refused:?}");
    }
    // A prepared statement is read when it is named.
    let kept = user().header("x-trino-prepared-statement", "a=$zstd:AAAA");
    let refused = reply(kept.body("execute a")).await;
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("is damaged"));
    let refused = reply(user().body(vec![0xff, 0xfe])).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("INVALID_REQUEST")));
    let refused = reply(user().body("x".repeat(3 << 20))).await;
    assert_eq!((refused.status, &refused.body["code"]), (413, &json!("BODY_TOO_LARGE")));
    assert_eq!(site.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_are_none_are_refused() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    for path in ["x", "..%2f..", "%00", "AAAA", "%ff"] {
        let reply = gateway.get(&format!("/v1/statement/executing/{path}")).await;
        assert_eq!(reply.status().as_u16(), 404, "{path}");
    }
    assert_eq!(gateway.get("/v1/statement").await.status().as_u16(), 405);
    assert_eq!(gateway.get("/v1/statement/queued/x").await.status().as_u16(), 404);
    assert_eq!(gateway.post("/v1/statement/executing/x").await.status().as_u16(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_those_that_the_client_sees_through_a_proxy() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let proxied = statement(&gateway, "select 1 as n")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "sql.example")
        .header("x-forwarded-port", "8443");
    let begun = reply(proxied).await;
    assert!(begun.next().starts_with("https://sql.example:8443/v1/statement/"), "{begun:?}");
    let info = begun.body["infoUri"].as_str().unwrap();
    assert!(info.starts_with("https://sql.example:8443/#/query/"), "{info}");
    // The token is the same wherever it is shown.
    assert_eq!(followed(&gateway, begun.next()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_says_what_it_is_without_a_key() {
    let site = Site::new();
    let gateway = site.keyed(None, &[("mine", &[Scope::Query])]).await;
    let info = json(gateway.get("/v1/info").await).await;
    assert_eq!((&info["coordinator"], &info["starting"]), (&json!(true), &json!(false)));
    assert!(info["nodeVersion"]["version"].as_str().unwrap().starts_with("dunlin-"));
    assert_eq!(json(gateway.get("/v1/info/state").await).await, "ACTIVE");
}
