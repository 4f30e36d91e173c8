//! Tables that are deleted and made again, types that are known only when a statement is planned, and who may write.

use dunlin_cli::fleet::start_gateway;
use serde_json::json;

use super::{ENDLESS, PATIENCE, SCALE, Site, settings};
use crate::common::api::Api;
use crate::common::objects::until;
use crate::common::{Setup, binary, data, files_below};

/// Types come from the whole statement: a union has more than those of its first branch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_have_the_types_of_the_planned_statement() {
    let site = Site::start(&data(SCALE), "", 1);
    for (name, sql, rows) in [
        ("a", "select 1 as a union all select 2.5", json!([1.0, 2.5])),
        (
            "b",
            "select case when value = 1 then 0 else value / 2.0 end as a from generate_series(1, 2)",
            json!([0.0, 1.0]),
        ),
        ("c", "select null as a union all select 1", json!([null, 1])),
        ("d", "select cast(1 as smallint) as a union all select 70000", json!([1, 70_000])),
        ("e", "select 'x' as a union all select null", json!([null, "x"])),
    ] {
        site.rows(&format!("create table {name} as {sql}")).await;
        let got = site.rows(&format!("select a from {name} order by a nulls first")).await;
        let got: Vec<_> = got.as_array().unwrap().iter().map(|row| row["a"].clone()).collect();
        assert_eq!(json!(got), rows, "{sql}");
    }
    site.rows("create table whole as select cast(1 as bigint) as a").await;
    for (sql, told) in [
        ("insert into whole select 1 union all select 2.5", "cast it"),
        ("insert into whole select 1.9", "cast it"),
        ("insert into whole select timestamp '2024-01-01'", "cast it"),
    ] {
        let (code, detail) = site.refused(sql, "auto").await;
        assert!(code == "PLANNING_FAILED" && detail.contains(told), "{sql}: {detail}");
    }
    site.rows(
        "create table money as select cast(1 as decimal(10, 2)) as a, date '2024-01-01' as d",
    )
    .await;
    site.rows("insert into money values (2.345, '2024-02-29'), (3, '2024-03-01')").await;
    let got = site.rows("select cast(a as varchar) as a from money order by d").await;
    assert_eq!(got, json!([{ "a": "1.00" }, { "a": "2.35" }, { "a": "3.00" }]));
    let (code, _) = site.refused("insert into money values (1, 'yesterday')", "auto").await;
    assert_eq!(code, "EXECUTION_FAILED");
}

/// The columns of a table are in the order of its statement, wherever its folders are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_in_the_order_of_the_statement() {
    let site = Site::start(&data(SCALE), "", 1);
    let row = "select 'NL' as country, 'Texel' as city, 2024 as year";
    site.rows(&format!("create table t with (partition_by = 'country, year') as {row}")).await;
    site.rows("insert into t select 'DE' as country, 'Sylt' as city, 2023 as year").await;
    let rows = site.rows("select * from t order by year").await;
    let wanted = json!([
        { "country": "DE", "city": "Sylt", "year": 2023 },
        { "country": "NL", "city": "Texel", "year": 2024 },
    ]);
    assert_eq!(rows, wanted);
    let (_, text) = site
        .api
        .raw("/v1/explain", &json!({ "sql": "select city from t where country = 'DE'" }))
        .await;
    assert!(text["text"].as_str().unwrap().contains("1 file,"), "{text}");
}

/// A folder that was deleted and written again is read as it is now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_deleted_is_made_again() {
    let site = Site::start(&data(SCALE), "", 1);
    site.rows("create table t as select 1 as a").await;
    assert_eq!(site.rows("select * from t").await, json!([{ "a": 1 }]));
    std::fs::remove_dir_all(site.setup.path().join("made/t")).unwrap();
    assert_eq!(site.refused("select * from t", "auto").await.0, "PLANNING_FAILED");
    site.rows("create table t as select 'x' as b, 2 as c").await;
    assert_eq!(site.rows("select * from t").await, json!([{ "b": "x", "c": 2 }]));
}

/// Who is cancelled stops no other statement that begins the same folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_of_one_stops_no_other() {
    let site = Site::start(&data(SCALE), "", 2);
    let endless = site.api.begin(&format!("create table t as {ENDLESS}"), &settings("fleet")).await;
    let slow = "create table t as select count(*) as n from lineitem l1 join lineitem l2 on l1.l_partkey = l2.l_partkey";
    let other = site.api.begin(slow, &settings("fleet")).await;
    assert_eq!(site.api.cancel(&endless).await["status"], "CANCELLED");
    let end = site.api.end(&other, PATIENCE).await;
    assert_eq!(
        (&end["status"], &end["write"]),
        (&json!("SUCCEEDED"), &json!("committed")),
        "{end}"
    );
    // A cancel that comes after the end changes nothing.
    assert_eq!(site.api.cancel(&other).await["status"], "SUCCEEDED");
    assert_eq!(site.rows("select count(n) as k from t").await, json!([{ "k": 1 }]));
}

/// A key needs a scope to write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_may_write_only_with_its_scope() {
    let setup = Setup::folder(&data(SCALE), "");
    let mut text = std::fs::read_to_string(&setup.config).unwrap();
    text += &super::places(setup.path());
    let mut keys = Vec::new();
    for (name, scopes) in [("reads", "query"), ("writes", "query,write")] {
        let made = std::process::Command::new(binary())
            .args(["key", "new", "--name", name, "--scopes", scopes])
            .output()
            .unwrap();
        let made = String::from_utf8(made.stdout).unwrap();
        let key =
            made.split_whitespace().find(|word| word.starts_with("dunlin_")).unwrap().to_owned();
        text += &format!("\n{}\n", &made[made.find("[[gateway.keys]]").unwrap()..]);
        keys.push(key);
    }
    std::fs::write(&setup.config, text).unwrap();
    let log = setup.path().join("gateway.log");
    let (_gateway, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    let sql =
        json!({ "sql": "create table t as select 1 as a", "settings": { "route": "inline" } });
    for (key, status) in keys.iter().zip([403, 200]) {
        let api = Api::with_key(&format!("http://{address}"), key);
        for path in ["/v1/sql", "/v1/queries"] {
            let (found, body) = api.raw(path, &sql).await;
            let is_as_wanted =
                found == status || (status == 200 && body["code"] == "TARGET_EXISTS");
            assert!(is_as_wanted, "{found}: {body}");
        }
        let (found, body) = api
            .raw("/v1/sql", &json!({ "sql": "select 1 as a", "settings": { "route": "inline" } }))
            .await;
        assert_eq!(found, 200, "{body}");
    }
}

/// The files of a write that was cancelled are deleted once its tasks have noticed, and those of one that had ended stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_cancelled_write_are_deleted() {
    let site = Site::start(&data(SCALE), "[limits]\nheartbeat_ms = 200\nlease_ms = 2000\n", 2);
    // Billions of rows, in small files.
    let slow = "create table t with (file_size = '64KiB') as select l1.l_orderkey as k, l2.l_comment as c from lineitem l1 cross join lineitem l2";
    let query = site.api.begin(slow, &settings("fleet")).await;
    let folder = site.setup.path().join("made/t");
    let files = || {
        let all = files_below(&folder);
        all.into_iter().filter(|it| it.extension().is_some_and(|it| it == "parquet")).count()
    };
    until("a file of the write", PATIENCE, || (files() > 0).then_some(())).await;
    assert_eq!(site.api.cancel(&query).await["status"], "CANCELLED");
    until("no file of the write", PATIENCE, || (files() == 0).then_some(())).await;
    // Whoever cancels what has succeeded deletes nothing.
    let done = site.api.begin("create table t as select 1 as a", &settings("fleet")).await;
    site.api.results(&done, PATIENCE).await;
    let status = site.api.cancel(&done).await;
    assert_eq!((&status["status"], &status["write"]), (&json!("SUCCEEDED"), &json!("committed")));
    assert_eq!(site.rows("select a from t").await, json!([{ "a": 1 }]));
}
