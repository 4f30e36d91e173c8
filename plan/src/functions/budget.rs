//! How many bytes functions may produce: for one batch, and for the constants of one statement.

use std::cell::Cell;

/// The most bytes that one call of a limited function may produce for one batch of rows. Batches have up to 8,192
/// rows, so this is 32 KiB for each row, and far below the memory of a process.
pub const MOST_BYTES: u64 = 256 << 20;

/// The most bytes that the constants of one statement may have together, as far as limited functions produce them.
/// The engine computes a constant while it plans, copies it whenever it rewrites the plan, and names columns by it.
pub const MOST_CONSTANT_BYTES: u64 = 4 << 20;

thread_local! {
    /// Bytes that constants may still use, while a statement is planned on this thread.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs `plan`, which computes constants. Returns `None` if they would have more than [`MOST_CONSTANT_BYTES`].
pub fn within_constants<T>(plan: impl FnOnce() -> T) -> Option<T> {
    let outer = LEFT.replace(Some(MOST_CONSTANT_BYTES));
    // If this panics, the budget stays as it is. The next statement of this thread gets its own.
    let planned = plan();
    let left = LEFT.replace(outer);
    (left != Some(0)).then_some(planned)
}

/// Takes the bytes of a constant from the budget. Returns false if too few are left.
pub(super) fn constant_fits(bytes: u64) -> bool {
    let Some(left) = LEFT.get() else { return true };
    let rest = left.saturating_sub(bytes);
    LEFT.set(Some(rest));
    rest > 0
}
