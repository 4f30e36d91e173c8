//! Exact: a library of small adversarial queries, every plan shape in every way of running it, against what
//! one DataFusion process answers.
//!
//! By default each query runs in the forms that CI has time for. `DUNLIN_EXACT=full` runs every form at every
//! partition count; `DUNLIN_EXACT_ONLY=text` runs the queries whose file or name contains the text and shows
//! their plans when they fail.
#![allow(unreachable_pub, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod joins;
mod library;
mod tables;

use arrow::array::RecordBatch;
use common::ENGINE;
use common::bench::{Bench, Outcome, TableOf, difference};

/// Partition counts: none, few, as many as files, more than files.
const PARTITIONS: [usize; 4] = [1, 2, 7, 16];

/// Whether everything is asked for at everything.
fn full() -> bool {
    std::env::var("DUNLIN_EXACT").is_ok_and(|value| value == "full")
}

/// The text that queries must contain to be run.
fn only() -> Option<String> {
    std::env::var("DUNLIN_EXACT_ONLY").ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_library_is_answered_exactly() {
    library::run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_join_is_answered_exactly_in_every_mode() {
    joins::run().await;
}

#[tokio::test]
async fn a_difference_is_found_and_a_tolerance_is_no_loophole() {
    let differs = |want: &str, got: &str, ordered: bool| {
        let (want, got) = (format!("select {want}"), format!("select {got}"));
        async move {
            let want = tables::rows(&want).await;
            difference(&[want], &[tables::rows(&got).await], ordered).is_some()
        }
    };
    let values = |rows: &str| format!("* from (values {rows}) as v(a, b)");
    let want = values("(1, 0.5), (1, 0.25), (2, null)");
    assert!(!differs(&want, &values("(2, null), (1, 0.25), (1, 0.5 + 1e-13)"), false).await);
    for got in [
        "(2, null), (1, 0.25), (1, 0.5)",
        "(1, 0.5), (1, 0.25), (2, null), (2, null)",
        "(1, 0.5), (1, 0.5), (2, null)",
        "(1, 0.5), (1, 0.25), (2, 0)",
        "(1, 0.5), (1, 0.25 + 1e-7), (2, null)",
    ] {
        assert!(differs(&want, &values(got), true).await, "{got}");
    }
    assert!(differs(&want, &values("(1, 0.5), (1, 0.5), (2, null)"), false).await);
    assert!(differs("'inf'::double as x", "7.5 as x", false).await, "nothing is near infinity");
    assert!(!differs("'NaN'::double as x", "'NaN'::double as x", false).await);
    assert!(differs("1 as x", "1 as y", false).await, "another name");
    assert!(differs("1 as x", "cast(1 as int) as x", false).await, "another type");
    assert!(differs("make_array('') as x", "make_array(null::varchar) as x", false).await);
    assert!(!differs("'a' as x", "arrow_cast('a', 'Utf8View') as x", false).await, "one text type");
}

/// What uncut, decoded and fleet say at 1 and 7 partitions.
async fn ours(bench: &Bench, sql: &str) -> Vec<(String, Vec<RecordBatch>)> {
    let mut answers = Vec::new();
    for partitions in [1, 7] {
        for (form, outcome) in [
            ("uncut", bench.uncut(sql, partitions).await),
            ("decoded", bench.decoded(sql, partitions).await),
            ("fleet", bench.fleet(sql, partitions).await),
        ] {
            let label = format!("{sql}, {form} at {partitions}");
            match outcome {
                Outcome::Rows(rows) => answers.push((label, rows)),
                other => panic!("{label}: {other:?}"),
            }
        }
    }
    answers
}

/// A bug of DataFusion 55.2 that one process has and Dunlin has not: decision 0010.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_above_a_swapped_join_means_the_side_that_it_names() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut sides = Vec::new();
    for (name, k, m, count, files) in [
        ("a", "value", "case when value % 7 > 0 then value end", 400, [90, 0, 1, 80]),
        ("b", "value * 90", "value", 9, [2, 0, 1, 3]),
    ] {
        let sql = format!("select {k} as k, {m} as m from generate_series(1, {count})");
        tables::write(&folder.path().join(name), &tables::rows(&sql).await, &files, false);
        sides.push(TableOf::parquet(name, &folder.path().join(name)));
    }
    let bench = Bench::open(&sides, ENGINE).await;
    for join in ["right", "full", "left"] {
        for filter in
            ["a.m is null or b.m = 1000", "(b.m <> a.m) is null", "a.m is not true or b.m > 3"]
        {
            let filter = filter.replace("is not true", "> 100 is not true");
            let sql =
                format!("select count(*) as c from a {join} join b on a.k = b.k where {filter}");
            let plain = format!(
                "select count(*) as c from (select k, m as am from a) a {join} join \
                 (select k as bk, m as bm from b) b on a.k = bk where {}",
                filter.replace("a.m", "am").replace("b.m", "bm")
            );
            let Outcome::Rows(want) = bench.single(&plain, 1).await else { panic!("{plain}") };
            for (label, got) in ours(&bench, &sql).await {
                assert_eq!(difference(&want, &got, false), None, "{label}");
            }
        }
    }
}

/// The same: files that follow each other by least and greatest values, with nulls between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sorted_files_with_nulls_in_their_keys_are_not_taken_for_one_sorted_run() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let first =
        "select * from (values (1, 1), (2, 1), (null, 1), (3, 1), (4, 1), (null, 2)) as v(a, b)";
    let rows = tables::rows(first).await;
    tables::write(&folder.path().join("s"), &rows, &[3, 3], true);
    let bench = Bench::open(&[TableOf::parquet("s", &folder.path().join("s"))], ENGINE).await;
    let want = tables::rows(&format!("{first} order by a, b")).await;
    for (label, got) in ours(&bench, "select a, b from s order by a, b").await {
        assert_eq!(difference(std::slice::from_ref(&want), &got, true), None, "{label}");
    }
}
