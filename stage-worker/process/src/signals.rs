//! How a process is asked to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How much time there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM: whoever runs the process waits for a while before it kills it.
    Soon,
    /// Ctrl-C: somebody waits at a terminal.
    Now,
}

/// Resolves when the process is asked to stop.
pub async fn asked() -> Asked {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be waited for");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => Asked::Soon,
        _ = tokio::signal::ctrl_c() => Asked::Now,
    }
}

/// SIGHUP, which no longer ends the process: it asks for the configuration to be read again.
///
/// # Errors
/// The system gives no signals.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}
