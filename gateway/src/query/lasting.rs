//! Work that must not stop half-way when a client disconnects.

use std::future::Future;

use super::error::CoreError;

/// Runs `work` in a task of its own, so that it runs to its end even if no client waits any more, and a panic in it
/// is an error of this request only.
pub(super) async fn lasting<T: Send + 'static>(
    work: impl Future<Output = Result<T, CoreError>> + Send + 'static,
) -> Result<T, CoreError> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, "a request panicked");
            Err(CoreError::internal("the request met a defect; it was logged"))
        }
    }
}
