//! Statements: what they become, what is told of them, cancelling, mistakes.

use dunlin_gateway::GatewayOptions;
use dunlin_manifest::ids::QueryId;
use serde_json::{Value, json};

use super::super::site::*;
use super::client::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_a_query_of_the_store_and_its_rows_come_by_next_uri() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let first = posted(&gateway, "select 1 as n").await;
    assert_eq!((first.status, &first.body["stats"]["state"]), (200, &json!("QUEUED")));
    assert_eq!(first.body.get("data"), None, "clients may ignore rows of the first answer");
    let id = first.body["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("dunlin-query-id"), id);
    assert_eq!(first.body["infoUri"], format!("{}/#/query/{id}", gateway.url));
    assert!(first.next().starts_with(&format!("{}/v1/statement/", gateway.url)));
    let column = json!({
        "name": "n",
        "type": "bigint",
        "typeSignature": { "rawType": "bigint", "arguments": [] },
    });
    assert_eq!(first.body["columns"], json!([column]));
    let last = told(|next| gateway.client.get(next), first.next()).await;
    assert_eq!(last.body["data"], json!([[0], [1], [2], [3], [4]]));
    assert_eq!((last.next(), &last.body["columns"]), ("", &json!([column])));
    let stats = &last.body["stats"];
    assert_eq!(
        (&stats["state"], &stats["progressPercentage"]),
        (&json!("FINISHED"), &json!(100.0))
    );
    assert_eq!((&stats["completedSplits"], &stats["processedRows"]), (&json!(1), &json!(5)));
    let status = json(gateway.get(&format!("/v1/queries/{id}")).await).await;
    assert_eq!(status["status"], "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_waits_says_so_and_goes_on_at_another_gateway() {
    let site = Site::new();
    let first = site.gateway(None, GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let begun = posted(&first, "select 1 as n").await;
    let told = followed(&second, begun.next()).await;
    assert_eq!((told.status, &told.body["stats"]["state"]), (200, &json!("QUEUED")));
    assert_eq!(told.body["id"], begun.body["id"]);
    assert_eq!(told.body.get("data"), None);
    let query = QueryId::parse(begun.body["id"].as_str().unwrap()).unwrap();
    site.worker(Outcome::Rows).run(query).await;
    first.served.abort();
    let _ = first.served.await;
    let (_, rows) = ended(&second, told).await;
    assert_eq!(rows.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_cancelled_at_another_gateway_and_says_so() {
    let site = Site::new();
    let first = site.gateway(None, GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let begun = posted(&first, "select 1 as n").await;
    assert_eq!(deleted(&second, begun.next()).await.status, 204);
    let told = followed(&first, begun.next()).await;
    assert_eq!(told.error(), ("USER_CANCELED", 3));
    assert_eq!(told.body["error"]["errorType"], "USER_ERROR");
    assert_eq!(told.next(), "");
    let id = begun.body["id"].as_str().unwrap();
    let status = json(second.get(&format!("/v1/queries/{id}")).await).await;
    assert_eq!(status["status"], "CANCELLED");
    // Again, and of a statement that is no query.
    assert_eq!(deleted(&second, begun.next()).await.status, 204);
    let here = posted(&first, "show catalogs").await;
    assert_eq!(deleted(&first, here.next()).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_fails_has_the_name_that_trino_gives_its_error() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Fails)), GatewayOptions::default()).await;
    let begun = posted(&gateway, "select 1 as n").await;
    let (last, rows) = ended(&gateway, begun).await;
    assert_eq!((last.error(), rows.len()), (("DIVISION_BY_ZERO", 8), 0));
    assert!(last.message().contains("divide by zero"), "{}", last.message());
    assert_eq!(last.body["error"]["failureInfo"]["type"], "dunlin.EXECUTION_FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_have_names_numbers_and_places() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let wrong = posted(&gateway, "select 1\n form t").await;
    assert_eq!(wrong.error(), ("SYNTAX_ERROR", 1));
    let place = &wrong.body["error"]["errorLocation"];
    assert_eq!(*place, json!({"lineNumber": 2, "columnNumber": 7}));
    assert!(wrong.message().starts_with("line 2:7: "), "{}", wrong.message());
    let named = |name: &str, number| (name.to_owned(), number);
    for (sql, wanted) in [
        ("select 1 as a from nowhere", named("TABLE_NOT_FOUND", 46)),
        ("select b from (select 1 as a) t", named("COLUMN_NOT_FOUND", 47)),
        ("select nothing_like_it(1)", named("FUNCTION_NOT_FOUND", 6)),
        ("", named("GENERIC_USER_ERROR", 0)),
        ("show stats for t", named("NOT_SUPPORTED", 13)),
        ("call system.runtime.kill_query('x')", named("NOT_SUPPORTED", 13)),
        ("create view v as select 1", named("NOT_SUPPORTED", 13)),
    ] {
        assert_eq!(failed(&gateway, sql).await, wanted, "{sql}");
    }
    let long = failed(&gateway, &format!("select '{}'", "x".repeat(1 << 20))).await;
    assert_eq!(long, named("QUERY_TEXT_TOO_LARGE", 35));
    assert_eq!(site.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_is_answered_without_a_query_and_explain_analyze_after_one() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let other = site.gateway(None, GatewayOptions::default()).await;
    let begun = posted(&gateway, "explain select 1 as x").await;
    let (_, told) = ended(&other, begun).await;
    let kinds: Vec<_> = told.iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(kinds, ["distributed_plan", "route", "estimate"]);
    assert_eq!(site.objects(), 0, "nothing is stored for it");
    let told = rows(&gateway, "explain analyze select 1 as x").await;
    assert!(told.iter().any(|row| row[0] == "total"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_sent_again_with_its_key_is_the_same_query() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let keyed = || statement(&gateway, "select 1 as n").header("idempotency-key", "k");
    let (one, two) = (reply(keyed()).await, reply(keyed()).await);
    assert_eq!(one.body["id"], two.body["id"]);
    let other = statement(&gateway, "select 2 as n").header("idempotency-key", "k");
    let refused = reply(other).await;
    assert_eq!((refused.status, &refused.body["code"]), (422, &json!("IDEMPOTENCY_MISMATCH")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_has_the_tags_and_settings_of_its_session() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let begun = reply(
        statement(&gateway, "select 1 as n")
            .header("x-trino-source", "superset")
            .header("x-trino-client-tags", "team:finance,urgent")
            .header("x-trino-session", "dunlin.route=fleet"),
    )
    .await;
    let id = begun.body["id"].as_str().unwrap();
    let status = json(gateway.get(&format!("/v1/queries/{id}")).await).await;
    assert_eq!(status["route"], "fleet");
    assert_eq!(status["tags"], json!({"source": "superset", "team": "finance", "urgent": ""}));
    let wrong = statement(&gateway, "select 1").header("x-trino-session", "dunlin.nothing=1");
    assert_eq!(reply(wrong).await.error(), ("INVALID_SESSION_PROPERTY", 14));
    let wrong = statement(&gateway, "select 1").header("x-trino-catalog", "hive");
    assert_eq!(reply(wrong).await.error(), ("CATALOG_NOT_FOUND", 44));
    let wrong = statement(&gateway, "select 1").header("x-trino-schema", "default");
    assert_eq!(reply(wrong).await.error(), ("SCHEMA_NOT_FOUND", 45));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_sends_its_clients_elsewhere() {
    let site = Site::new();
    let first = site.gateway(None, GatewayOptions::default()).await;
    let second = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let begun = posted(&first, "select 1 as n").await;
    let next = begun.next().to_owned();
    let asking = tokio::spawn({
        let (client, address) = (first.client.clone(), at(&first, &next));
        // As a client does, until it is sent away.
        async move {
            loop {
                match client.get(&address).send().await {
                    Ok(told) if told.status().as_u16() == 200 => {}
                    other => return other,
                }
            }
        }
    });
    while json(first.get("/v1/status").await).await["counts"]["clients_waiting"] != 1 {
        tokio::task::yield_now().await;
    }
    first.stop.send(()).unwrap();
    // It is told so, or asks again when nobody listens any more.
    if let Ok(told) = asking.await.unwrap() {
        assert_eq!(told.status().as_u16(), 503);
        assert!(told.headers().contains_key("retry-after"));
    }
    let query = QueryId::parse(begun.body["id"].as_str().unwrap()).unwrap();
    site.worker(Outcome::Rows).run(query).await;
    let last = told(|next| second.client.get(at(&second, next)), &next).await;
    assert_eq!(last.body["data"].as_array().map(Vec::len), Some(5));
    assert_eq!(last.body["error"], Value::Null);
}
