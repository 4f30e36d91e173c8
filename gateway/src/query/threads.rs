//! Separate threads for work that computes.
//!
//! A plan computes for milliseconds at a time, and some operators for hours. On shared threads a few plans would
//! delay everything. With separate threads, the operating system divides the cores among them. A panic ends one
//! thread and is reported. Nothing waits for a thread that was given up.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use dunlin_plan::priority::stand_back;
use dunlin_plan::threads;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::error::{CoreError, ErrorKind};

/// How to start a thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThreadKind {
    /// Name, for people who inspect the process.
    pub(super) name: &'static str,
    /// Bytes of stack. Memory is used only for the part of the stack that is used.
    pub(super) stack: usize,
    /// The `nice` value of the thread, 0 (normal priority) to 19 (lowest priority).
    pub(super) nice: i32,
    /// Threads that compute at the same time.
    pub(super) threads: usize,
}

impl ThreadKind {
    fn runtime(self) -> std::io::Result<Runtime> {
        if self.threads <= 1 {
            return Builder::new_current_thread().enable_all().build();
        }
        Builder::new_multi_thread()
            .worker_threads(self.threads)
            .thread_name(self.name)
            .thread_stack_size(self.stack)
            .enable_all()
            .build()
    }

    /// Runs `work` on a thread of its own. The receiver fails if the work panicked.
    pub(super) fn run<T: Send + 'static, F: Future<Output = T>>(
        self,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> std::io::Result<oneshot::Receiver<T>> {
        let (tell, told) = oneshot::channel();
        let builder = std::thread::Builder::new().name(self.name.to_owned());
        let thread = builder.stack_size(self.stack).spawn(move || {
            // Threads that this one starts inherit the priority.
            stand_back(self.nice);
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| {
                let runtime = self.runtime()?;
                let done = runtime.block_on(work());
                // An operator that never pauses must not block this thread, too.
                threads::leave(runtime);
                Ok::<_, std::io::Error>(done)
            }));
            match done {
                Ok(Ok(done)) => drop(tell.send(done)),
                Ok(Err(error)) => {
                    tracing::error!(%error, thread = self.name, "no runtime for a thread");
                }
                Err(_) => tracing::error!(thread = self.name, "work panicked"),
            }
        })?;
        threads::let_go(thread);
        Ok(told)
    }
}

/// The operating system gives no thread. Others end and give theirs back, so the client may come again.
pub(super) fn no_thread(error: std::io::Error) -> CoreError {
    ErrorKind::Busy(format!(
        "this gateway is busy: the operating system gives it no more threads ({error}); try again later, or on another gateway"
    ))
    .into()
}
