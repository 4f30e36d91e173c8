//! COPY, INSERT and CREATE TABLE AS through real processes: what was written is what was asked for, once, whoever dies,
//! and nothing if the statement did not succeed.

mod again;
mod one_file;
mod swept;
mod words;

use std::path::Path;
use std::time::Duration;

use dunlin_cli::fleet::Fleet;
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::objects::Objects;
use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data, files_below, unique};
use crate::survival::{ENDLESS, SHORT_LEASE, SLOW, freeze_in_the_middle};

const SCALE: f64 = 0.01;
const PATIENCE: Duration = Duration::from_secs(180);

/// Places below `folder` may be written to, and tables are made there.
fn places(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "[files]\nenabled = true\nlocal = true\n[[writing]]\nlocation = \"file://{folder}/made/\"\ntables = true\n[[writing]]\nlocation = \"file://{folder}/out/\"\n"
    )
}

struct Site {
    setup: Setup,
    fleet: Fleet,
    api: Api,
}

impl Site {
    fn start(data: &Path, limits: &str, workers: usize) -> Self {
        let setup = Setup::folder(data, "");
        let text = std::fs::read_to_string(&setup.config).unwrap();
        // At the front: a table's own section may be last.
        let text = format!("{text}\n{}\n{limits}", places(setup.path()));
        std::fs::write(&setup.config, text).unwrap();
        let fleet = Fleet::start(binary(), &setup.config, setup.path(), workers, 1).unwrap();
        let api = Api::new(&fleet.url());
        Self { setup, fleet, api }
    }

    fn at(&self, below: &str) -> String {
        format!("file://{}/{below}", self.setup.path().display())
    }

    /// The rows of a statement as JSON.
    async fn rows(&self, sql: &str) -> Value {
        let (status, rows) = self.api.raw("/v1/sql", &json!({ "sql": sql })).await;
        assert_eq!(status, 200, "{sql}: {rows}");
        rows
    }

    /// What is wrong with a statement.
    async fn refused(&self, sql: &str, route: &str) -> (String, String) {
        let body = json!({ "sql": sql, "settings": { "route": route } });
        let (status, body) = self.api.raw("/v1/sql", &body).await;
        assert!(status >= 400, "{sql}: {body}");
        (body["code"].as_str().unwrap().to_owned(), body["detail"].as_str().unwrap().to_owned())
    }
}

fn settings(route: &str) -> Value {
    json!({ "route": route, "target_partitions": 4, "task_bytes": 0 })
}

/// A copy in each format, in one file and in many, by the gateway and by the fleet, has the rows of its query.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_has_the_rows_of_its_query() {
    let site = Site::start(&data(SCALE), "", 2);
    let reference = Reference::over(&data(SCALE));
    let query = "select o_orderkey, o_orderdate, o_totalprice, o_comment, o_orderpriority, o_orderstatus from orders";
    let sums = "select count(*) as n, count(distinct o_orderkey) as k, cast(min(o_orderdate) as varchar) as d, max(length(o_comment)) as c, min(o_orderpriority) as p, max(o_orderstatus) as s, cast(round(sum(o_totalprice * 100)) as bigint) as t from";
    for (route, partitioned) in [("fleet", false), ("inline", false), ("fleet", true)] {
        for (number, (form, ending)) in [
            ("format parquet", "parquet"),
            ("format csv, compression gzip", "csv.gz"),
            ("format json, compression zstd", "json.zst"),
            ("format arrow, compression lz4", "arrow"),
            (
                "format parquet, compression snappy, file_size '64KiB', row_group_size 500",
                "parquet",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let by =
                if partitioned { ", partition_by (o_orderstatus, o_orderpriority)" } else { "" };
            let name = format!("out/{route}-{partitioned}-{number}/");
            let to = site.at(&name);
            let sql = format!("copy ({query}) to '{to}' ({form}{by})");
            let answer = site.api.sql(&sql, &settings(route)).await;
            assert_eq!(answer.summary["rows"], 1, "{sql}");
            let got =
                site.api.sql(&format!("{sums} '{to}**/*.{ending}'"), &settings("inline")).await;
            reference.check(&sql, &format!("{sums} orders"), &got.batches);
        }
    }
    // Parquet keeps every value and type.
    let to = site.at("out/fleet-true-0/");
    let all = format!("select o_orderkey, o_orderdate, o_totalprice, o_comment from '{to}'");
    let got = site.api.sql(&all, &settings("fleet")).await;
    reference.check(
        "all rows",
        "select o_orderkey, o_orderdate, o_totalprice, o_comment from orders",
        &got.batches,
    );
    let one = site.at("out/one.csv");
    let first =
        format!("copy (select o_orderkey from orders order by o_orderkey limit 5) to '{one}'");
    site.rows(&first).await;
    let text = std::fs::read_to_string(site.setup.path().join("out/one.csv")).unwrap();
    assert_eq!(text, "o_orderkey\n1\n2\n3\n4\n5\n");
    assert_eq!(site.refused(&first, "auto").await.0, "TARGET_EXISTS");
    site.rows(
        &first
            .replace("order by o_orderkey", "order by o_orderkey desc")
            .replace(&format!("'{one}'"), &format!("'{one}' (overwrite, header false)")),
    )
    .await;
    let text = std::fs::read_to_string(site.setup.path().join("out/one.csv")).unwrap();
    assert!(!text.contains("o_orderkey") && text.lines().count() == 5, "{text}");
}

/// Tables that are made, filled and read again, over S3, through the whole life of a small warehouse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_and_filled() {
    let Some(s3) = S3::from_env() else { return };
    let state = unique("writing");
    let reference = Reference::over(&data(SCALE));
    let setup = Setup::with(|_| {
        format!(
            "[state]\nlocation = \"s3://{}/{state}\"\n{}\n[[writing]]\nlocation = \"s3://{}/{state}-made/\"\ntables = true\n{}\n{}",
            s3.bucket,
            s3.params("state.params", &s3.endpoint),
            s3.bucket,
            s3.params("writing.params", &s3.endpoint),
            dunlin_cli::tpch::tables_toml(&format!("file://{}/", data(SCALE).display()))
        )
    });
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let api = Api::new(&fleet.url());
    let fleet_route = settings("fleet");
    api.sql("create table li with (partition_by = 'l_linestatus') as select l_orderkey, l_linestatus, l_shipdate, l_comment from lineitem where l_orderkey < 20000", &fleet_route).await;
    let first = "select l_orderkey, l_linestatus, l_shipdate, l_comment from";
    let got = api.sql(&format!("{first} li"), &fleet_route).await;
    reference.check("made", &format!("{first} lineitem where l_orderkey < 20000"), &got.batches);
    api.sql("insert into li (l_comment, l_orderkey, l_linestatus, l_shipdate) select l_comment, l_orderkey, l_linestatus, l_shipdate from lineitem where l_orderkey >= 20000", &fleet_route).await;
    let got = api.sql(&format!("{first} li"), &fleet_route).await;
    reference.check("filled", &format!("{first} lineitem"), &got.batches);
    // A table read and written by one statement is read as it was.
    api.sql("insert into li select l_orderkey + 1000000, l_linestatus, l_shipdate, l_comment from li where l_linestatus = 'F'", &settings("inline")).await;
    let got = api.sql("select count(*) as n from li", &fleet_route).await;
    let wanted = "select count(*) + count(*) filter (where l_linestatus = 'F') as n from lineitem";
    reference.check("itself", wanted, &got.batches);
    // Missing columns are NULL, and values of other types are cast or refused.
    api.sql("insert into li (l_orderkey, l_linestatus, l_shipdate) values (7, 'X', '2024-02-29'), (8, NULL, NULL)", &fleet_route).await;
    let (_, rows) = api
        .raw("/v1/sql", &json!({ "sql": "select l_orderkey, l_linestatus, l_shipdate, l_comment from li where l_linestatus = 'X' or l_linestatus is null order by 1" }))
        .await;
    let wanted = json!([
        { "l_orderkey": 7, "l_linestatus": "X", "l_shipdate": "2024-02-29", "l_comment": null },
        { "l_orderkey": 8, "l_linestatus": null, "l_shipdate": null, "l_comment": null },
    ]);
    assert_eq!(rows, wanted);
    // A table without rows has columns.
    api.sql(
        "create table nothing as select l_orderkey, l_shipdate from lineitem where false",
        &fleet_route,
    )
    .await;
    api.sql("create table no_folder with (partition_by = 'l_shipdate') as select l_orderkey, l_shipdate from lineitem where false", &settings("inline")).await;
    for table in ["nothing", "no_folder"] {
        let (_, rows) =
            api.raw("/v1/sql", &json!({ "sql": format!("select * from {table}") })).await;
        assert_eq!(rows, json!([]), "{table}");
        api.sql(
            &format!("insert into {table} select l_orderkey, l_shipdate from lineitem limit 10"),
            &fleet_route,
        )
        .await;
        let (_, rows) = api
            .raw(
                "/v1/sql",
                &json!({ "sql": format!("select count(l_shipdate) as n from {table}") }),
            )
            .await;
        assert_eq!(rows, json!([{ "n": 10 }]), "{table}");
    }
    let listed = api.get("/v1/tables").await;
    let names: Vec<&str> =
        listed["tables"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
    assert!(
        ["li", "nothing", "no_folder", "lineitem"].iter().all(|it| names.contains(it)),
        "{names:?}"
    );
}

/// A worker that dies while it writes costs time, and neither a row nor a row too many. One that was thought dead goes on
/// writing, and nobody counts what it writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_or_wakes_again_adds_nothing() {
    let data = data(0.05);
    let mut site = Site::start(&data, SHORT_LEASE, 2);
    let reference = Reference::over(&data);
    for (name, kill) in [("killed", true), ("woken", false)] {
        let by = if kill { "" } else { "with (partition_by = 'bucket')" };
        let sql = format!(
            "create table {name} {by} as select supplier, pairs, total, supplier % 7 as bucket from ({SLOW})"
        );
        let query =
            site.api.begin(&sql, &json!({ "route": "fleet", "target_partitions": 16 })).await;
        let objects = Objects::new(&site.setup.state, &query);
        freeze_in_the_middle(&objects, &site.fleet.workers[0]).await;
        if kill {
            site.fleet.workers[0].kill();
        }
        let answer = site.api.results(&query, PATIENCE).await;
        assert_eq!(answer.summary["rows"], 1);
        if !kill {
            crate::common::signal(&site.fleet.workers[0], "-CONT");
        }
        let got = site
            .api
            .sql(&format!("select supplier, pairs, total from {name}"), &settings("inline"))
            .await;
        reference.check(name, SLOW, &got.batches);
        if kill {
            site.fleet.workers.remove(0);
            site.fleet.add_worker(1).unwrap();
        }
    }
}

/// A write that is cancelled leaves nothing that counts, and the place is free again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_write_leaves_nothing() {
    let site = Site::start(&data(SCALE), "", 1);
    for _ in 0..2 {
        let sql = format!("create table t as {ENDLESS}");
        let query = site.api.begin(&sql, &settings("fleet")).await;
        let status = site.api.cancel(&query).await;
        assert_eq!(
            (status["status"].as_str(), status["write"].as_str()),
            (Some("CANCELLED"), Some("cancelled")),
            "{status}"
        );
        assert_eq!(site.refused("select * from t", "auto").await.0, "PLANNING_FAILED");
    }
    site.rows("create table t as select 1 as a").await;
    assert_eq!(site.rows("select * from t").await, json!([{ "a": 1 }]));
    assert_eq!(site.refused("create table t as select 2 as a", "auto").await.0, "TARGET_EXISTS");
}

/// However a cancel and a commit meet: a statement that succeeded is there, and one that was cancelled is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_and_a_commit_never_both_happen() {
    let site = Site::start(&data(SCALE), "", 2);
    site.rows("create table t as select cast(0 as bigint) as a").await;
    let mut sum = 0;
    let mut cancelled = 0;
    for round in 1..=24_u64 {
        let sql = format!("insert into t values ({round})");
        let query = site.api.begin(&sql, &settings("fleet")).await;
        tokio::time::sleep(Duration::from_millis(round * 3)).await;
        site.api.cancel(&query).await;
        let end = site.api.end(&query, PATIENCE).await;
        match end["status"].as_str() {
            Some("SUCCEEDED") => sum += round,
            Some("CANCELLED") => cancelled += 1,
            other => panic!("{other:?}: {end}"),
        }
        let rows = site.rows("select sum(a) as s from t").await;
        assert_eq!(rows[0]["s"], sum, "round {round}: {end}");
    }
    println!("{cancelled} of 24 were cancelled");
}

/// Of two statements that make one table, one makes it; and a retry with its key makes nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_made_once() {
    let site = Site::start(&data(SCALE), "", 2);
    // Whether it made the table. Who comes when it is there is refused at once.
    let make = |value: u64| {
        let sql = format!(
            "create table t as select {value} as a, count(*) as n from lineitem l1 join lineitem l2 on l1.l_partkey = l2.l_partkey"
        );
        let api = &site.api;
        async move {
            let submitted = api.submit(&sql, &settings("fleet"), None).await;
            if !submitted.status.is_success() {
                assert_eq!(submitted.body["code"], "TARGET_EXISTS", "{submitted:?}");
                return false;
            }
            let end = api.end(&submitted.query(), PATIENCE).await;
            let is_made = end["status"] == "SUCCEEDED";
            assert!(is_made || end["error"]["code"] == "TARGET_EXISTS", "{end}");
            is_made
        }
    };
    let made = tokio::join!(make(1), make(2));
    let value = match made {
        (true, false) => 1,
        (false, true) => 2,
        both => panic!("{both:?}"),
    };
    assert_eq!(site.rows("select a from t").await, json!([{ "a": value }]));
    site.rows("create table u as select 1 as a").await;
    for replayed in [false, true, true] {
        let submitted =
            site.api.submit("insert into u values (2)", &settings("inline"), Some("once")).await;
        site.api.results(&submitted.query(), PATIENCE).await;
        assert_eq!(submitted.replayed, replayed);
    }
    assert_eq!(site.rows("select count(*) as n from u").await, json!([{ "n": 2 }]));
}

/// A file of a write that was not committed is no part of a table, wherever the table begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_nobody_committed_are_not_read() {
    let site = Site::start(&data(SCALE), "", 1);
    site.rows("create table t with (partition_by = 'k') as select value as a, value % 2 as k from generate_series(1, 10)").await;
    let folder = site.setup.path().join("made/t");
    let written: Vec<_> = files_below(&folder)
        .into_iter()
        .filter(|it| it.extension().is_some_and(|it| it == "parquet"))
        .collect();
    assert_eq!(written.len(), 2, "{written:?}");
    for file in &written {
        let name = file.file_name().unwrap().to_str().unwrap();
        // Another attempt of the same task, and another query.
        let other = name.replace("-0000.parquet", "-0001.parquet");
        std::fs::copy(file, file.with_file_name(other)).unwrap();
        let mut other = name.to_owned();
        other.replace_range(7..9, "ff");
        std::fs::copy(file, file.with_file_name(other)).unwrap();
    }
    assert_eq!(
        site.rows("select count(*) as n, sum(a) as s from t").await,
        json!([{ "n": 10, "s": 55 }])
    );
    let part = site.at("made/t/k=1/");
    assert_eq!(site.rows(&format!("select sum(a) as s from '{part}'")).await, json!([{ "s": 25 }]));
    let pattern = site.at("made/*/*/*.parquet");
    assert_eq!(
        site.rows(&format!("select sum(a) as s from '{pattern}'")).await,
        json!([{ "s": 55 }])
    );
    // Files of others count, and files that were deleted do not.
    std::fs::copy(&written[0], written[0].with_file_name("other.parquet")).unwrap();
    std::fs::remove_file(&written[1]).unwrap();
    let both = site.rows("select count(*) as n from t").await;
    assert_eq!(both, json!([{ "n": 10 }]));
}
