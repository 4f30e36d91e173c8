//! The threads on which plans run: one for each slot, separate from store requests and heartbeats.

use dunlin_plan::priority;
use tokio::runtime::{Handle, Runtime};

/// Stack of a compute thread. Plans are decoded, run and dropped on it, and nested operator calls are as deep as the
/// deepest plan that planning accepts. Memory is used only for the part of the stack that is used.
const STACK: usize = 256 << 20;

/// The thread on which a slot's plans run. There is one, so that a process computes as many tasks at once as it has
/// slots. It is separate from the runtime of heartbeats and store requests.
#[derive(Debug, Default)]
pub(crate) struct Compute(Option<Runtime>);

impl Compute {
    pub(crate) fn handle(&mut self) -> std::io::Result<&Handle> {
        if self.0.is_none() {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("dunlin-compute")
                .on_thread_start(|| priority::stand_back(priority::NICE))
                .thread_stack_size(STACK)
                .enable_all()
                .build()?;
            self.0 = Some(runtime);
        }
        self.0.as_ref().map(Runtime::handle).ok_or_else(|| std::io::Error::other("no runtime"))
    }

    /// Leaves what still runs on this thread. The next plan gets another thread.
    pub(crate) fn abandon(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        self.abandon();
    }
}
