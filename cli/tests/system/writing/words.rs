//! What cannot be written is told in words, before anything is written.

use serde_json::{Value, json};

use super::{SCALE, Site, settings};
use crate::common::data;

/// Values that are hard for a folder's name come back as they were, or are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_folders_give_their_values_back() {
    let site = Site::start(&data(SCALE), "", 1);
    let values = ["a/b", "a%2Fb", "a b", "ä=ö", "..", "007", "{x}*?", "NULL", "a\\b", "x#y:z"];
    let list: Vec<String> =
        values.iter().enumerate().map(|(n, it)| format!("({n}, '{it}')")).collect();
    for route in ["inline", "fleet"] {
        let sql = format!(
            "create table t_{route} with (partition_by = 'v') as select * from (values {}, (99, NULL)) as x (n, v)",
            list.join(", ")
        );
        site.api.sql(&sql, &settings(route)).await;
        let rows = site.rows(&format!("select n, v from t_{route} order by n")).await;
        let mut wanted: Vec<Value> =
            values.iter().enumerate().map(|(n, v)| json!({ "n": n, "v": v })).collect();
        wanted.push(json!({ "n": 99, "v": null }));
        assert_eq!(rows, Value::from(wanted));
    }
    for bad in ["''", "'__HIVE_DEFAULT_PARTITION__'", "repeat('x', 300)"] {
        let sql =
            format!("create table bad with (partition_by = 'v') as select 1 as n, {bad} as v");
        for route in ["inline", "fleet"] {
            let (code, detail) = site.refused(&sql, route).await;
            assert_eq!(code, "EXECUTION_FAILED", "{detail}");
            assert!(
                detail.contains("column v") && detail.contains("cannot be a folder's name"),
                "{detail}"
            );
        }
        assert_eq!(site.refused("select * from bad", "auto").await.0, "PLANNING_FAILED");
    }
}

/// What is wrong with a write is told before anything is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_write_is_told_in_words() {
    let site = Site::start(&data(SCALE), "", 1);
    let out = site.at("out");
    site.rows("create table t as select 1 as a, 'x' as b").await;
    let state = format!("file://{}/x/", site.setup.state.display());
    for (sql, code, told) in wrong(&out, &state) {
        let (found, detail) = site.refused(&sql, "auto").await;
        assert!(found == code && detail.contains(told), "{sql}: {found}: {detail}");
    }
    let (code, _) =
        site.refused("insert into t select cast('x' || a as int), b from t", "fleet").await;
    assert_eq!(code, "EXECUTION_FAILED");
    assert_eq!(site.rows("select * from t").await, json!([{ "a": 1, "b": "x" }]));
    let explained = site.rows("explain insert into t select a, b from t").await;
    let text = explained.to_string();
    assert!(
        text.contains("commit the files to") && text.contains("write parquet files to"),
        "{text}"
    );
    assert_eq!(site.rows("select count(*) as n from t").await, json!([{ "n": 1 }]));
    assert!(!site.setup.path().join("out").exists(), "something was written");
}

/// Wrong statements, their codes, and what is told. Long because it is a list.
fn wrong(out: &str, state: &str) -> Vec<(String, &'static str, &'static str)> {
    vec![
        (
            "copy (select 1 as a) to '/tmp/elsewhere/'".to_owned(),
            "UNSUPPORTED",
            "statements may write below",
        ),
        (
            format!("copy (select 1 as a) to '{state}'"),
            "UNSUPPORTED",
            "the state of Dunlin is there",
        ),
        (
            format!("copy (select 1 as a) to '{out}/../../x/'"),
            "UNSUPPORTED",
            "statements may write below",
        ),
        (
            "copy (select 1 as a) to 'https://example.org/x.csv'".to_owned(),
            "UNSUPPORTED",
            "web servers are read",
        ),
        (
            format!("copy (select 1 as a, 2 as \"A\") to '{out}/x/'"),
            "UNSUPPORTED",
            "two columns are named",
        ),
        (
            format!("copy (select interval '1 month 1 nanosecond' as a) to '{out}/x/'"),
            "UNSUPPORTED",
            "column a cannot be written as Parquet: attempting to write an Arrow interval",
        ),
        (
            format!("copy (select [1] as a) to '{out}/x.csv'"),
            "UNSUPPORTED",
            "a list or struct is no text",
        ),
        (
            format!("copy (select 1 as a) to '{out}/x.avro'"),
            "UNSUPPORTED",
            "Avro is read and not written",
        ),
        (
            format!("copy (select 1 as a) to '{out}/x/' (formt csv)"),
            "SYNTAX_ERROR",
            "did you mean format?",
        ),
        (
            format!("copy (select 1 as a) to '{out}/x/' (partition_by (b))"),
            "PLANNING_FAILED",
            "no such column",
        ),
        (
            format!("copy (select 1.5 as a, 1 as b) to '{out}/x/' (partition_by (a))"),
            "PLANNING_FAILED",
            "cast it",
        ),
        (
            format!("copy (select 1 as a) to '{out}/x/' (partition_by (a))"),
            "PLANNING_FAILED",
            "names all columns",
        ),
        (format!("copy nowhere to '{out}/x/'"), "PLANNING_FAILED", "nowhere"),
        (
            format!("copy (select * from lineitm) to '{out}/x/'"),
            "PLANNING_FAILED",
            "did you mean lineitem",
        ),
        ("copy lineitem to".to_owned(), "SYNTAX_ERROR", "a location in quotes"),
        ("copy lineitem from 'x.csv'".to_owned(), "UNSUPPORTED", "COPY FROM"),
        ("create table t as select 1 as a".to_owned(), "TARGET_EXISTS", "already"),
        ("create table lineitem as select 1 as a".to_owned(), "TARGET_EXISTS", "already"),
        ("create table \"a/b\" as select 1 as a".to_owned(), "UNSUPPORTED", "names its folder"),
        (
            "create table t2 with (format = 'csv') as select 1 as a".to_owned(),
            "UNSUPPORTED",
            "folders of Parquet",
        ),
        ("insert into nowhere select 1".to_owned(), "PLANNING_FAILED", "nowhere"),
        ("insert into t select 1".to_owned(), "PLANNING_FAILED", "the table has 2: a, b"),
        ("insert into t (a, c) select 1, 2".to_owned(), "PLANNING_FAILED", "has no column c"),
        ("insert into t (a, a) select 1, 2".to_owned(), "PLANNING_FAILED", "named twice"),
        ("insert into t select 'x', 'y'".to_owned(), "PLANNING_FAILED", "cast it"),
        (
            "insert into lineitem select * from lineitem".to_owned(),
            "UNSUPPORTED",
            "statements may write below",
        ),
        ("insert overwrite t select 1, 'x'".to_owned(), "UNSUPPORTED", "never replaced"),
        (
            "explain analyze insert into t select 1, 'x'".to_owned(),
            "UNSUPPORTED",
            "EXPLAIN ANALYZE of a write",
        ),
        ("delete from t".to_owned(), "UNSUPPORTED", "only queries are answered"),
    ]
}
