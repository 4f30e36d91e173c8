//! Sessions: prepared statements, settings, transactions. Their state is what the client sends back.

use dunlin_gateway::GatewayOptions;
use serde_json::json;

use super::super::site::*;
use super::client::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_is_kept_by_its_client_and_executed_at_another_gateway() {
    let site = Site::new();
    let first = site.gateway(None, GatewayOptions::default()).await;
    let second = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let made = posted(&first, "PREPARE s FROM explain select ? as x, '?' as y").await;
    assert_eq!((made.status, made.next(), &made.body["updateType"]), (200, "", &json!("PREPARE")));
    assert_eq!(made.body["data"], json!([[true]]));
    let kept = made.header("x-trino-added-prepare").to_owned();
    assert_eq!(kept, "s=explain+select+%3F+as+x%2C+%27%3F%27+as+y");
    let with = |sql: &str| statement(&second, sql).header("x-trino-prepared-statement", &kept);
    let told = rows_of(&second, with("EXECUTE s USING DECIMAL '12.50'")).await;
    assert!(told[0][1].as_str().unwrap().contains("12.50"), "{told:?}");
    for (sql, wanted) in [
        ("EXECUTE s", "expected 1 but found 0"),
        ("EXECUTE s USING 1, 2", "expected 1 but found 2"),
    ] {
        let (last, _) = ended(&second, reply(with(sql)).await).await;
        assert_eq!(last.error(), ("INVALID_PARAMETER_USAGE", 80));
        assert!(last.message().ends_with(wanted), "{}", last.message());
    }
    let gone = reply(with("DEALLOCATE PREPARE s")).await;
    assert_eq!(gone.header("x-trino-deallocated-prepare"), "s");
    for sql in ["EXECUTE s", "DEALLOCATE PREPARE s", "DESCRIBE OUTPUT s"] {
        assert_eq!(failed(&second, sql).await, ("NOT_FOUND".to_owned(), 5), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_executed_at_once_with_its_values() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    assert_eq!(rows(&gateway, "EXECUTE IMMEDIATE 'SELECT 1'").await.len(), 5);
    assert_eq!(rows(&gateway, "EXECUTE IMMEDIATE 'select ? as n' USING 1").await.len(), 5);
    // A text stays a text.
    let sql = "EXECUTE IMMEDIATE 'select version() = ? as a, ? as b' USING 'x'' or 1=1 --', NULL";
    assert_eq!(rows(&gateway, sql).await, [json!([false, null])]);
    for sql in [
        "EXECUTE IMMEDIATE 'select ?' USING random()",
        "EXECUTE IMMEDIATE 'select ?' USING 1 from t",
        "EXECUTE IMMEDIATE 'select ?' USING (select 1)",
        "EXECUTE IMMEDIATE 'use a.b'",
        "PREPARE p FROM prepare q from select 1",
    ] {
        let (last, _) = ended(&gateway, posted(&gateway, sql).await).await;
        assert_eq!(last.body["error"]["errorType"], "USER_ERROR", "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_is_described() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let prepared = "s=select+1+as+a%2C+true+as+b+where+1+%3D+%3F";
    let with = |sql: &str| statement(&gateway, sql).header("x-trino-prepared-statement", prepared);
    assert_eq!(rows_of(&gateway, with("DESCRIBE INPUT s")).await, [json!([0, "bigint"])]);
    assert_eq!(
        rows_of(&gateway, with("DESCRIBE OUTPUT s")).await,
        [
            json!(["a", "", "", "", "bigint", 0, false]),
            json!(["b", "", "", "", "boolean", 0, false]),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_catalogs_and_schemas_are_answered_by_headers() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let set = posted(&gateway, "SET SESSION dunlin.route = 'fleet'").await;
    assert_eq!(set.header("x-trino-set-session"), "dunlin.route=fleet");
    assert_eq!(set.body["updateType"], "SET SESSION");
    let reset = posted(&gateway, "RESET SESSION dunlin.route").await;
    assert_eq!(reset.header("x-trino-clear-session"), "dunlin.route");
    let shown = statement(&gateway, "SHOW SESSION").header("x-trino-session", "dunlin.route=fleet");
    let shown = rows_of(&gateway, shown).await;
    assert_eq!((&shown[0][0], &shown[0][1]), (&json!("dunlin.route"), &json!("fleet")));
    let usage = posted(&gateway, "USE datafusion.public").await;
    assert_eq!(usage.header("x-trino-set-catalog"), "datafusion");
    assert_eq!(usage.header("x-trino-set-schema"), "public");
    for (sql, wanted) in [
        ("SET SESSION dunlin.route = 'moon'", ("INVALID_SESSION_PROPERTY", 14)),
        ("SET SESSION query_max_run_time = '1s'", ("INVALID_SESSION_PROPERTY", 14)),
        ("USE hive.public", ("CATALOG_NOT_FOUND", 44)),
        ("USE datafusion.other", ("SCHEMA_NOT_FOUND", 45)),
        ("SET TIME ZONE 'Europe/Berlin'", ("NOT_SUPPORTED", 13)),
    ] {
        assert_eq!(posted(&gateway, sql).await.error(), wanted, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_keeps_nothing_and_nothing_is_written_in_it() {
    let site = Site::new();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let begun = posted(&gateway, "START TRANSACTION READ ONLY").await;
    let id = begun.header("x-trino-started-transaction-id").to_owned();
    assert!(!id.is_empty());
    let with = |sql: &str| statement(&gateway, sql).header("x-trino-transaction-id", &id);
    assert_eq!(rows_of(&gateway, with("select 1 as n")).await.len(), 5);
    let write = with("copy (select 1 as n) to 'somewhere.csv'");
    assert_eq!(reply(write).await.error(), ("READ_ONLY_VIOLATION", 23));
    assert_eq!(reply(with("START TRANSACTION")).await.error(), ("NOT_SUPPORTED", 13));
    for sql in ["COMMIT", "ROLLBACK"] {
        let ended = reply(with(sql)).await;
        assert_eq!(ended.header("x-trino-clear-transaction-id"), "true");
        assert_eq!(posted(&gateway, sql).await.error(), ("NOT_IN_TRANSACTION", 21));
    }
}
