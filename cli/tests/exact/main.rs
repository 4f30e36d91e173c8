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
