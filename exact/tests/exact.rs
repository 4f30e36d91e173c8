//! Exact: a library of small adversarial queries, every plan shape in every way of running it, joins of every
//! kind, random queries and DataFusion's own test files, against what one DataFusion process answers.
//!
//! By default each query runs in the forms that CI has time for. `DUNLIN_EXACT=full` runs every form at every
//! partition count; `DUNLIN_EXACT_ONLY=text` runs the queries whose file or name contains the text and shows
//! their plans when they fail.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use dunlin_exact::engines::ENGINE;
use dunlin_exact::random::{self, SEED};
use dunlin_exact::{
    Bench, Outcome, Table, TableOf, assert_same, difference, hard_tables as tables,
};
use dunlin_exact::{formats, joins, library, slt, told};
use tokio::sync::Mutex;

/// Held by the long tests: each of them keeps all cores busy by itself, and has time limits.
static ALONE: Mutex<()> = Mutex::const_new(());

fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_library_is_answered_exactly() {
    let _alone = ALONE.lock().await;
    library::run(scratch()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_format_give_the_same_rows() {
    let _alone = ALONE.lock().await;
    formats::run(scratch()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_folders_are_columns() {
    let _alone = ALONE.lock().await;
    formats::run_folders(scratch()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_files_tell_of_themselves_changes_no_answer() {
    let _alone = ALONE.lock().await;
    told::run(scratch()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_join_is_answered_exactly_in_every_mode() {
    let _alone = ALONE.lock().await;
    joins::run(scratch()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_of_datafusions_test_files_are_answered_as_one_process_answers_them() {
    let _alone = ALONE.lock().await;
    slt::run(scratch()).await;
}

#[test]
fn random_queries_give_what_one_process_gives() {
    let _alone = ALONE.blocking_lock();
    let found = random::run(scratch());
    assert!(found.is_none(), "{}", found.unwrap_or_default());
}

#[test]
fn a_seed_and_a_number_name_one_query() {
    for number in 0..100 {
        assert_eq!(random::text(SEED, number), random::text(SEED, number));
        assert_ne!(random::text(SEED, number), random::text(SEED, number + 1));
    }
}

#[tokio::test]
async fn what_fails_is_made_smaller_and_still_fails() {
    let mut tried = 0;
    for number in 0..400 {
        let text = random::text(SEED, number);
        if !text.contains("FULL JOIN") || text.len() < 600 {
            continue;
        }
        tried += 1;
        let small = random::smaller(SEED, number, |text| text.contains("FULL JOIN")).await;
        assert!(small.contains("FULL JOIN"), "{small}");
        assert!(small.len() < 250, "{text}\nbecame only\n{small}");
    }
    assert!(tried > 3, "{tried} queries to make smaller");
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
    let folder = tempfile::tempdir_in(scratch()).unwrap();
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
    let folder = tempfile::tempdir_in(scratch()).unwrap();
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

#[test]
fn the_comparison_tells_wrong_answers_from_right_ones() {
    let table = |keys: &[i64], values: &[f64]| {
        let keys: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
        let values: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        Table::new(&[RecordBatch::try_from_iter([("k", keys), ("v", values)]).unwrap()])
    };
    let want = table(&[1, 2, 2], &[1.0, 2.0, 3.0]);
    let differs = |got: Table, keys: &[&str]| {
        std::panic::catch_unwind(|| assert_same("got", &want, &got, keys)).is_err()
    };
    assert!(!differs(table(&[1, 2, 2], &[1.0, 3.0, 2.0 + 1e-12]), &["k"]), "ties are sets");
    assert!(!differs(table(&[2, 1, 2], &[2.0, 1.0, 3.0]), &[]), "no order was asked for");
    assert!(differs(table(&[2, 1, 2], &[2.0, 1.0, 3.0]), &["k"]), "another order");
    assert!(differs(table(&[1, 2], &[1.0, 2.0]), &[]), "a missing row");
    assert!(differs(table(&[1, 2, 2], &[1.0, 2.0, 2.0]), &[]), "a row twice instead of another");
    assert!(differs(table(&[1, 2, 2], &[1.0, 2.0, 3.0 + 1e-7]), &[]), "a float too far off");
    assert!(differs(table(&[1, 2, 3], &[1.0, 2.0, 3.0]), &[]), "another value");
}
