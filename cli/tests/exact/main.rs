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

use common::bench::difference;

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
