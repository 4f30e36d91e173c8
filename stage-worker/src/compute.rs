//! Where plans run: a thread a slot, apart from store requests and heartbeats.

use tokio::runtime::{Handle, Runtime};

/// How far plans stand back behind heartbeats, store requests and serving when cores are short.
const NICE: i32 = 5;

/// The thread on which a slot's plans run: one, so that a process computes as many things at once as it
/// has slots, and apart from the runtime of heartbeats and store requests.
#[derive(Debug, Default)]
pub(crate) struct Compute(Option<Runtime>);

impl Compute {
    pub(crate) fn handle(&mut self) -> std::io::Result<&Handle> {
        if self.0.is_none() {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("dunlin-compute")
                .on_thread_start(stand_back)
                .enable_all()
                .build()?;
            self.0 = Some(runtime);
        }
        self.0.as_ref().map(Runtime::handle).ok_or_else(|| std::io::Error::other("no runtime"))
    }

    /// Leaves whatever still runs to itself; the next plan gets another thread.
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

fn stand_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "the priority of a thread could not be lowered");
    }
}
