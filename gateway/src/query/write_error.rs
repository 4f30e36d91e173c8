//! What is said of a write that failed.

use dunlin_manifest::records::QueryError;
use dunlin_plan::write::State;

/// The error of a write that failed. Only if it is known that nothing was written may it be tried again.
pub(super) fn of_write(mut error: QueryError, write: Option<State>) -> QueryError {
    if write == Some(State::Committed) {
        error.message += "; its files were committed before, so its rows are there";
    }
    error.retryable &= write == Some(State::Cancelled);
    error
}
