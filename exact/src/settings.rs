//! How much is asked: what the environment says about a run of the library and the joins.

/// Partition counts: none, few, as many as files, more than files.
pub(crate) const PARTITIONS: [usize; 4] = [1, 2, 7, 16];

/// Whether everything is asked for at everything.
pub(crate) fn full() -> bool {
    std::env::var("DUNLIN_EXACT").is_ok_and(|value| value == "full")
}

/// The text that queries must contain to be run.
pub(crate) fn only() -> Option<String> {
    std::env::var("DUNLIN_EXACT_ONLY").ok()
}
