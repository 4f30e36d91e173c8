//! Ctrl+C.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl+C while a query runs. (At the prompt, the editor of lines reads it as a key.)
#[derive(Debug)]
pub(crate) struct Interrupts(Signal);

impl Interrupts {
    /// From now on Ctrl+C does not end the process.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::interrupt())?))
    }

    /// Resolves at the next Ctrl+C. May be given up and called again.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Forgets what came before.
    pub(crate) async fn forget(&mut self) {
        tokio::select! {
            biased;
            () = self.next() => {}
            () = std::future::ready(()) => {}
        }
    }
}
