//! Work that goes on beside a plan: requests, decoding, encoding.
//!
//! A plan has a thread of its own, which it may keep for long. Requests that were spawned there would wait for it: the
//! answer would lie in the socket until the plan pauses. So they are spawned on the runtime of whoever has prepared the
//! task.

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Where such work runs.
#[derive(Clone, Debug, Default)]
pub struct Jobs(Option<Handle>);

impl Jobs {
    /// The runtime on which this is called.
    #[must_use]
    pub fn here() -> Self {
        Self(Handle::try_current().ok())
    }

    /// Starts `work`. By default it runs on the runtime of the caller.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Job<T> {
        Job(match &self.0 {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        })
    }
}

/// Work that was started. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Job<T>(JoinHandle<T>);

impl<T> Job<T> {
    /// Its result; `None` if it panicked. It is given once.
    pub(crate) async fn join(&mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }

    /// True if it has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
