//! What is said of a write that failed.

use dunlin_manifest::records::{QueryError, Root};
use dunlin_plan::write::State;

/// The error of a query that failed, and what became of its files. If it writes, it may be tried again only if it is
/// known that nothing was written.
pub(super) fn of_write(
    mut error: QueryError,
    root: Option<&Root>,
    write: Option<State>,
) -> QueryError {
    if root.is_none_or(|root| root.write.is_none()) {
        return error;
    }
    if write == Some(State::Committed) {
        error.message += "; its files were committed before, so its rows are there";
    }
    error.retryable &= write == Some(State::Cancelled);
    error
}
