//! Workgroups: what their keys may name, and what they may use together at all gateways.

use bytes::Bytes;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys::{self, Spent};
use dunlin_manifest::store::ControlStore;
use futures::future::join_all;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::site::{Outcome, Running, Site, answered, header};

const BYTES: &str = "0123456789";

/// Tables `t_one`, `t_two` and `hidden` of a few rows, and files beside them.
fn site() -> (tempfile::TempDir, Site) {
    let data = tempfile::tempdir().unwrap();
    let at = data.path().display().to_string();
    let mut text = String::new();
    for name in ["t_one", "t_two", "hidden"] {
        std::fs::write(data.path().join(format!("{name}.csv")), format!("n\n{BYTES}\n")).unwrap();
        text.push_str(&format!(
            "[[tables]]\nname = \"{name}\"\nlocation = \"{at}/{name}.csv\"\nformat = \"csv\"\n"
        ));
    }
    text.push_str("[files]\nenabled = true\nlocal = true\n");
    text.push_str(&format!("[[writing]]\nlocation = \"{at}/written/\"\ntables = true\n"));
    (data, Site::with(&text))
}

async fn get(gateway: &Running, key: &str, path: &str) -> (u16, Value) {
    let request = gateway.client.get(format!("{}{path}", gateway.url)).bearer_auth(key);
    answered(request.send().await.unwrap()).await
}

fn names(rows: &Value, column: &str) -> Vec<String> {
    let rows = rows.as_array().unwrap_or_else(|| panic!("{rows}"));
    rows.iter().map(|row| row[column].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_granted_does_not_exist() {
    let (data, site) = site();
    let at = data.path().display().to_string();
    let keys = [("all", Value::Null), ("some", json!({ "name": "bi", "tables": ["T_*"] }))];
    let gateway = site.gateway(None, Site::grouped(&keys)).await;
    for (key, count) in [("all", 3), ("some", 2)] {
        let (_, listed) = get(&gateway, key, "/v1/tables").await;
        assert_eq!(names(&listed["tables"], "name").len(), count, "{listed}");
        for sql in [
            "select table_name as name from information_schema.tables where table_schema = 'public'",
            "select table_name as name from system.tables",
        ] {
            let (_, listed) = gateway.ask(key, sql).await;
            assert_eq!(names(&listed, "name").len(), count, "{sql}: {listed}");
        }
    }
    assert_eq!(gateway.ask("some", "select n from t_one").await.0, 200);
    assert_eq!(gateway.ask("all", "select n from hidden").await.0, 200);
    let hidden = [
        "select n from hidden".to_owned(),
        "select n from public.hidden".to_owned(),
        "select n from datafusion.public.hidden".to_owned(),
        "select n from \"hidden\"".to_owned(),
        "select 1 from t_one where n in (select n from hidden)".to_owned(),
        "with a as (select n from hidden) select * from a".to_owned(),
        "explain select n from hidden".to_owned(),
        "explain analyze select n from hidden".to_owned(),
        "describe hidden".to_owned(),
        "insert into hidden values (1)".to_owned(),
        "select n from hiden".to_owned(),
    ];
    for sql in hidden {
        let (status, problem) = gateway.ask("some", &sql).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!((400..500).contains(&status), "{sql}: {problem}");
        assert!(!detail.contains(&at), "{sql}: {detail}");
        assert!(!detail.contains("mean hidden") && !detail.contains(", hidden"), "{sql}: {detail}");
    }
    assert_eq!(get(&gateway, "some", "/v1/tables/hidden").await.0, 404);
    assert_eq!(get(&gateway, "all", "/v1/tables/hidden").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_files_nor_places_lead_around_a_grant() {
    let (data, site) = site();
    let at = data.path().display().to_string();
    let keys = [("all", Value::Null), ("some", json!({ "name": "bi", "tables": ["t_*"] }))];
    let gateway = site.gateway(None, Site::grouped(&keys)).await;
    let file = format!("select n from '{at}/hidden.csv'");
    assert_eq!(gateway.ask("all", &file).await.0, 200);
    for (sql, says) in [
        (file, "may not name files"),
        (format!("copy (select 1 as n) to '{at}/written/x/'"), "write to tables"),
        ("create table other as select 1 as n".to_owned(), "may not name a table other"),
    ] {
        let (status, problem) = gateway.ask("some", &sql).await;
        assert!((400..500).contains(&status), "{sql}: {status}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{sql}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogs_of_other_protocols_show_each_key_its_own_tables() {
    let (_data, site) = site();
    let keys = [("all", Value::Null), ("some", json!({ "name": "bi", "tables": ["t_*"] }))];
    let gateway = site.gateway(None, Site::grouped(&keys)).await;
    // In turns, because what a gateway keeps of its catalog must not be of another key.
    for (key, count) in [("all", 3), ("some", 2), ("all", 3), ("some", 2)] {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(gateway.postgres.port()).user("tests").password(key);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let driving = tokio::spawn(connection);
        let catalog = "select relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where nspname = 'public'";
        for sql in [
            catalog,
            "select table_name from information_schema.tables where table_schema = 'public'",
        ] {
            let rows = client.query(sql, &[]).await.unwrap();
            assert_eq!(rows.len(), count, "{key}: {sql}");
        }
        let hidden = client.query("select n from hidden", &[]).await;
        assert_eq!(hidden.is_ok(), key == "all");
        drop(client);
        driving.await.unwrap().unwrap();
        let shown = |next: String| {
            let request = gateway.client.get(next).bearer_auth(key);
            async move { answered(request.send().await.unwrap()).await.1 }
        };
        let request = gateway.client.post(format!("{}/v1/statement", gateway.url));
        let request = request.header("x-trino-user", "tests").bearer_auth(key).body("show tables");
        let mut last = answered(request.send().await.unwrap()).await.1;
        while last.get("data").is_none() {
            last = shown(last["nextUri"].as_str().unwrap_or_else(|| panic!("{last}")).to_owned())
                .await;
        }
        assert_eq!(last["data"].as_array().unwrap().len(), count, "{key}: {last}");
    }
}

fn fleet(sql: &str) -> Value {
    json!({ "sql": sql, "settings": { "route": "fleet" }, "wait_timeout": "0s" })
}

async fn submit(gateway: &Running, key: &str, sql: &str) -> Response {
    gateway.submit(&fleet(sql)).bearer_auth(key).send().await.unwrap()
}

async fn cancel(gateway: &Running, key: &str, query: &str) {
    let request = gateway.client.post(format!("{}/v1/queries/{query}/cancel", gateway.url));
    let response = request.bearer_auth(key).send().await.unwrap();
    assert!(response.status().is_success(), "{}", response.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_together_never_run_more_queries_of_a_group_than_it_may() {
    let (_data, site) = site();
    let group = json!({ "name": "bi", "max_running": 3, "queue_ms": 700 });
    let keys = [("some", group), ("all", Value::Null)];
    let gateways = [
        site.gateway(None, Site::grouped(&keys)).await,
        site.gateway(None, Site::grouped(&keys)).await,
    ];
    // Nobody runs them, so a place that is taken stays taken.
    let asked = (0..12).map(|number| {
        let gateway = &gateways[number % 2];
        async move { answered(submit(gateway, "some", "select n from t_one").await).await }
    });
    let answers = join_all(asked).await;
    let accepted: Vec<&Value> =
        answers.iter().filter(|(status, _)| *status == 202).map(|(_, body)| body).collect();
    assert_eq!(accepted.len(), 3, "{answers:?}");
    for (status, problem) in answers.iter().filter(|(status, _)| *status != 202) {
        assert_eq!((*status, &problem["code"]), (429, &json!("TOO_MANY_REQUESTS")), "{problem}");
    }
    // Another client is not kept, and neither is what the gateway runs itself.
    assert_eq!(submit(&gateways[0], "all", "select n from t_one").await.status().as_u16(), 202);
    assert_eq!(gateways[1].ask("some", "select n from t_two").await.0, 200);
    // A place is free when its query has an end, at whichever gateway.
    let query = accepted[0]["query_id"].as_str().unwrap();
    let waiting = submit(&gateways[1], "some", "select n from t_two");
    let (waited, ()) = tokio::join!(waiting, cancel(&gateways[0], "some", query));
    assert_eq!(waited.status().as_u16(), 202);
    let refused = submit(&gateways[0], "some", "select n from t_two").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_taken_again_and_again_and_few_objects_are_kept() {
    let (_data, site) = site();
    let keys = [("some", json!({ "name": "bi", "max_running": 1 }))];
    let gateway = site.gateway(None, Site::grouped(&keys)).await;
    for _ in 0..40 {
        let (status, body) = answered(submit(&gateway, "some", "select n from t_one").await).await;
        assert_eq!(status, 202, "{body}");
        cancel(&gateway, "some", body["query_id"].as_str().unwrap()).await;
    }
    let turns = std::fs::read_dir(site.folder.path().join("use/turns/bi")).unwrap().count();
    assert!((32..=34).contains(&turns), "{turns}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_has_an_end() {
    let (_data, site) = site();
    let group = json!({ "name": "bi", "max_running": 1, "max_queued": 0 });
    let gateway = site.gateway(None, Site::grouped(&[("some", group)])).await;
    for _ in 0..2 {
        let (status, first) = answered(submit(&gateway, "some", "select n from t_one").await).await;
        assert_eq!(status, 202, "{first}");
        let second = submit(&gateway, "some", "select n from t_one").await;
        let (status, problem) = answered(second).await;
        assert_eq!(status, 429);
        assert!(problem["detail"].as_str().unwrap().contains("no more may wait"), "{problem}");
        // Its place is free again, and the line is not full for ever.
        cancel(&gateway, "some", first["query_id"].as_str().unwrap()).await;
    }
}

/// Bytes of a table.
fn table_bytes() -> u64 {
    (BYTES.len() + 3) as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queries_of_a_day_scan_no_more_than_the_group_may_at_any_gateway() {
    let (_data, site) = site();
    let group = json!({ "name": "bi", "bytes_per_day": 3 * table_bytes() + 1 });
    let keys = [("some", group), ("all", Value::Null)];
    let gateways = [
        site.gateway(None, Site::grouped(&keys)).await,
        site.gateway(None, Site::grouped(&keys)).await,
    ];
    assert_eq!(submit(&gateways[0], "some", "select n from t_one").await.status().as_u16(), 202);
    // What reads nothing is free.
    assert_eq!(gateways[1].ask("some", "select 1").await.0, 200);
    assert_eq!(submit(&gateways[1], "some", "select n from t_one").await.status().as_u16(), 202);
    assert_eq!(gateways[0].ask("some", "select n from t_one").await.0, 200);
    // The inline query is written down beside its answer; this gateway knows of it anyway.
    let refused = submit(&gateways[0], "some", "select n from t_one").await;
    let after: u64 = header(&refused, "retry-after").parse().unwrap();
    assert!((1..=86_400).contains(&after));
    let (status, problem) = answered(refused).await;
    assert_eq!((status, &problem["code"]), (429, &json!("QUOTA_EXCEEDED")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("next day"), "{problem}");
    let (status, problem) = gateways[0].ask("some", "select n from t_one").await;
    assert_eq!((status, &problem["code"]), (429, &json!("QUOTA_EXCEEDED")), "{problem}");
    assert_eq!(submit(&gateways[0], "all", "select n from t_one").await.status().as_u16(), 202);
    // A third gateway reads the books. What was refused left nothing in them.
    let third = site.gateway(None, Site::grouped(&keys)).await;
    let (status, problem) = answered(submit(&third, "some", "select n from t_two").await).await;
    assert_eq!(status, 429, "{problem}");
    let spent = walk(&site.folder.path().join("use/spent/bi"));
    assert_eq!(spent.len(), 3, "{spent:?}");
    assert_eq!(spent.iter().filter(|name| name.contains(".s.")).count(), 1, "{spent:?}");
}

/// The names of all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let below = entries.flat_map(|entry| match entry.path().is_dir() {
        true => walk(&entry.path()),
        false => vec![entry.file_name().into_string().unwrap()],
    });
    below.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_same_moment_two_gateways_do_not_both_take_the_last_of_a_day() {
    let (_data, site) = site();
    let group = json!({ "name": "bi", "bytes_per_day": 2 * table_bytes() });
    let keys = [("some", group)];
    let gateways = [
        site.gateway(None, Site::grouped(&keys)).await,
        site.gateway(None, Site::grouped(&keys)).await,
    ];
    let asked = (0..8).map(|number| submit(&gateways[number % 2], "some", "select n from t_one"));
    let statuses: Vec<u16> =
        join_all(asked).await.iter().map(|response| response.status().as_u16()).collect();
    let accepted = statuses.iter().filter(|status| **status == 202).count();
    // All that are refused had seen one more; then all may be.
    assert!(accepted <= 2, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 202 | 429)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_gateway_has_given_back_is_free_here_too() {
    let (_data, site) = site();
    let group = json!({ "name": "bi", "bytes_per_day": 2 * table_bytes() });
    let gateway = site.gateway(None, Site::grouped(&[("some", group)])).await;
    // Another gateway reserves for a query that it then refuses.
    let query = QueryId::new(&site.env);
    let day = query.unix_ms() / 86_400_000;
    let spent = Spent { is_settled: false, bytes: 2 * table_bytes(), micro_usd: 0 };
    let key = keys::spent("bi", day, &query, &spent);
    site.control.put(&key, Bytes::new()).await.unwrap();
    let refused = submit(&gateway, "some", "select n from t_one").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    site.control.delete(&key).await.unwrap();
    let taken = submit(&gateway, "some", "select n from t_one").await;
    assert_eq!(taken.status(), StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_query_has_used_counts_and_not_what_was_expected() {
    let (_data, site) = site();
    // The worker of these tests says that it has read 11 bytes, which are fewer than the table has.
    let group = json!({ "name": "bi", "bytes_per_day": table_bytes() + 2 * 11 });
    let options = Site::grouped(&[("some", group)]);
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), options).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let body = json!({ "sql": "select n from t_one", "settings": { "route": "inline" } });
        let response = gateway.submit(&body).bearer_auth("some").send().await.unwrap();
        statuses.push(response.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_query_of_a_group_may_use_so_much() {
    let (_data, site) = site();
    let group = json!({ "name": "bi", "max_bytes_scanned": 3, "ttl_ms": 60_000 });
    let gateway = site.gateway(None, Site::grouped(&[("some", group)])).await;
    let (status, problem) = gateway.ask("some", "select n from t_one").await;
    assert_eq!((status, &problem["code"]), (422, &json!("LIMIT_EXCEEDED")), "{problem}");
    let (status, body) = answered(submit(&gateway, "some", "select 1 as n").await).await;
    assert_eq!(status, 202);
    let root = site.control.clone();
    let query = dunlin_manifest::ids::QueryId::parse(body["query_id"].as_str().unwrap()).unwrap();
    let key = dunlin_manifest::keys::root(&query);
    let root: dunlin_manifest::records::Root =
        dunlin_manifest::store::create::load(&*root, &key).await.unwrap().unwrap();
    assert_eq!((root.limits.ttl_ms, root.workgroup.as_deref()), (60_000, Some("bi")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_the_line_has_no_query() {
    let (_data, site) = site();
    let group = json!({ "name": "bi", "max_running": 1 });
    let gateway = site.gateway(None, Site::grouped(&[("some", group)])).await;
    let (_, first) = answered(submit(&gateway, "some", "select n from t_one").await).await;
    let waiting = tokio::time::timeout(
        std::time::Duration::from_millis(400),
        submit(&gateway, "some", "select n from t_two"),
    );
    assert!(waiting.await.is_err(), "it was not kept waiting");
    cancel(&gateway, "some", first["query_id"].as_str().unwrap()).await;
    // The next one has the place, and not the one who has left.
    assert_eq!(submit(&gateway, "some", "select 1 as n").await.status().as_u16(), 202);
    let (_, listed) = get(&gateway, "some", "/v1/queries").await;
    let sqls = names(&listed["queries"], "sql_preview");
    assert!(!sqls.iter().any(|sql| sql.contains("t_two")), "{sqls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_writes_is_in_the_receipt_and_a_group_without_limits_writes_nothing() {
    let (_data, site) = site();
    let keys = [
        ("plain", Value::Null),
        ("free", json!({ "name": "free", "tables": ["t_*"] })),
        ("turns", json!({ "name": "turns", "max_running": 2 })),
        ("quota", json!({ "name": "quota", "bytes_per_day": 1_000_000 })),
    ];
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), Site::grouped(&keys)).await;
    let mut asked = Vec::new();
    for (key, _) in &keys {
        // With a key of its own it is stored.
        let request = gateway.sql("select n from t_one").bearer_auth(key);
        let response = request.header("idempotency-key", *key).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let summary: Value = serde_json::from_str(&header(&response, "dunlin-summary")).unwrap();
        // How often it looks for the end depends on the time; what it writes does not.
        asked.push(summary["requests_gateway"]["put"].as_u64().unwrap());
    }
    let plain = asked[0];
    assert_eq!(asked, [plain, plain, plain + 1, plain + 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_everybodys_queries_are_for_keys_without_a_group() {
    let (_data, site) = site();
    let keys = [("some", json!({ "name": "bi" })), ("all", Value::Null)];
    let gateway = site.gateway(None, Site::grouped(&keys)).await;
    let wake = |key: &str| gateway.client.get(format!("{}/v1/wake", gateway.url)).bearer_auth(key);
    assert_eq!(wake("all").send().await.unwrap().status().as_u16(), 200);
    assert_eq!(wake("some").send().await.unwrap().status().as_u16(), 403);
    let tell = gateway.client.post(format!("{}/v1/wake", gateway.url)).json(&json!({ "news": [] }));
    assert_eq!(tell.bearer_auth("some").send().await.unwrap().status().as_u16(), 403);
}
