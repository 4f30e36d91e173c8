//! The audit log: what clients do is found in `system.audit`, also what they may not do.

use dunlin_gateway::GatewayOptions;
use dunlin_gateway::auth::Scope;
use serde_json::{Value, json};

use super::site::{Running, Site};

const KEYS: [(&str, &[Scope]); 3] = [
    ("mine", &[Scope::Query]),
    ("other", &[Scope::Query]),
    ("admin", &[Scope::Query, Scope::Admin]),
];

impl Site {
    async fn audited(&self) -> Running {
        let options = GatewayOptions { audit: true, ..Self::keys(&KEYS) };
        self.gateway(None, options).await
    }
}

/// Stops a gateway, which writes what it has noted, and asks another one.
async fn events(site: &Site, gateway: Running, sql: &str) -> Vec<Value> {
    gateway.stop.send(()).unwrap();
    gateway.served.await.unwrap().unwrap();
    let other = site.audited().await;
    let (status, rows) = other.ask("admin", sql).await;
    assert_eq!(status, 200, "{rows}");
    rows.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_by_which_protocol_is_found_at_another_gateway() {
    let site = Site::new();
    let gateway = site.audited().await;
    assert_eq!(gateway.ask("mine", "select 1 as n").await.0, 200);
    assert_eq!(gateway.ask("mine", "select nothing").await.0, 400);
    assert_eq!(gateway.sql("select 1").bearer_auth("wrong").send().await.unwrap().status(), 401);
    // Without any key, nobody has tried one.
    assert_eq!(gateway.sql("select 1").send().await.unwrap().status(), 401);
    let body =
        json!({ "sql": "select 2 as n", "settings": { "route": "fleet" }, "wait_timeout": "0s" });
    let submitted = gateway.submit(&body).bearer_auth("mine").send().await.unwrap();
    let submitted: Value = submitted.json().await.unwrap();
    let query = submitted["query_id"].as_str().unwrap().to_owned();
    let path = format!("{}/v1/queries/{query}", gateway.url);
    for key in ["other", "admin"] {
        let cancel = gateway.client.post(format!("{path}/cancel")).bearer_auth(key);
        cancel.send().await.unwrap();
    }
    for key in ["mine", "admin"] {
        let read = gateway.client.get(format!("{path}/results")).bearer_auth(key);
        read.send().await.unwrap();
    }
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(gateway.postgres.port()).user("guest").password("wrong");
    assert!(config.connect(tokio_postgres::NoTls).await.is_err());
    config.password("mine");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let driving = tokio::spawn(connection);
    client.simple_query("select 3 as n").await.unwrap();
    drop(client);
    driving.await.unwrap().unwrap();
    let found = events(
        &site,
        gateway,
        "select action, is_allowed, error_code, principal, protocol, address, query_id, sql from system.audit where at > now() - interval '1 hour' and at < now() + interval '1 hour'",
    )
    .await;
    let is = |event: &Value, expected: Value| {
        let (event, expected) = (event.as_object().unwrap(), expected);
        expected.as_object().unwrap().iter().all(|(name, value)| event.get(name) == Some(value))
    };
    for expected in [
        json!({ "action": "statement", "is_allowed": true, "principal": "mine", "protocol": "http",
                "address": "127.0.0.1", "sql": "select 1 as n" }),
        json!({ "action": "statement", "is_allowed": false, "error_code": "PLANNING_FAILED", "sql": "select nothing" }),
        json!({ "action": "statement", "is_allowed": true, "query_id": query, "sql": "select 2 as n" }),
        json!({ "action": "cancel", "principal": "admin", "query_id": query }),
        json!({ "action": "read", "principal": "admin", "query_id": query }),
        json!({ "action": "login", "is_allowed": false, "error_code": "UNAUTHORIZED", "protocol": "http" }),
        json!({ "action": "login", "is_allowed": false, "protocol": "postgres", "principal": "guest" }),
        json!({ "action": "statement", "protocol": "postgres", "sql": "select 3 as n", "principal": "mine" }),
    ] {
        let count = found.iter().filter(|event| is(event, expected.clone())).count();
        assert_eq!(count, 1, "{expected} in {found:#?}");
    }
    // What was not there for a client was not cancelled, and an own answer is no news.
    assert!(
        !found.iter().any(|event| is(event, json!({ "action": "cancel", "principal": "other" })))
    );
    assert!(!found.iter().any(|event| is(event, json!({ "action": "read", "principal": "mine" }))));
    assert!(!found.iter().any(|event| event.to_string().contains("wrong")), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_read_it_and_nothing_is_written_where_it_is_off() {
    let site = Site::new();
    let gateway = site.audited().await;
    let (status, problem) = gateway.ask("mine", "select * from system.audit").await;
    assert_eq!((status, &problem["code"]), (403, &json!("FORBIDDEN")));
    let found = events(&site, gateway, "select action, error_code from system.audit").await;
    assert_eq!(found, [json!({ "action": "statement", "error_code": "FORBIDDEN" })]);
    let silent = Site::new();
    let gateway = silent.gateway(None, GatewayOptions::default()).await;
    gateway.sql("select 1").send().await.unwrap();
    gateway.stop.send(()).unwrap();
    gateway.served.await.unwrap().unwrap();
    assert!(!silent.folder.path().join("use").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workgroup_sees_what_it_has_used() {
    let site = Site::new();
    let groups = [
        ("some", json!({ "name": "bi", "tables": ["t_*", "x"], "bytes_per_day": 1_000 })),
        ("rest", json!({ "name": "rest", "max_running": 3 })),
        ("all", Value::Null),
    ];
    let gateway = site.gateway(None, Site::grouped(&groups)).await;
    let sql = "select workgroup, tables, max_running, bytes_per_day, bytes_today, queries_today from system.workgroups";
    assert_eq!(
        gateway.ask("some", sql).await.1,
        json!([{ "workgroup": "bi", "tables": "t_*, x", "max_running": null,
                 "bytes_per_day": 1_000, "bytes_today": 0, "queries_today": 0 }])
    );
    assert_eq!(
        gateway.ask("rest", sql).await.1,
        json!([{ "workgroup": "rest", "tables": null, "max_running": 3,
                 "bytes_per_day": null, "bytes_today": null, "queries_today": null }])
    );
    assert_eq!(gateway.ask("all", sql).await.1, json!([]));
}
