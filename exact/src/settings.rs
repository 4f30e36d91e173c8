//! How much is run: the environment variables of the library and the joins.

/// Partition counts: one, few, as many as files, more than files.
pub(crate) const PARTITIONS: [usize; 4] = [1, 2, 7, 16];

/// Whether every form is run at every partition count.
pub(crate) fn full() -> bool {
    std::env::var("DUNLIN_EXACT").is_ok_and(|value| value == "full")
}

/// The text that queries must contain to be run.
pub(crate) fn only() -> Option<String> {
    std::env::var("DUNLIN_EXACT_ONLY").ok()
}
