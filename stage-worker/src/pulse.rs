//! The heartbeat of an attempt: it tells the other workers that the attempt is alive, and tells the
//! attempt that its query has ended.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::keys;
use dunlin_manifest::store::ControlStore;
use futures::future::join;
use tokio_util::sync::CancellationToken;

use crate::known::Known;
use crate::shared::Shared;

/// The heartbeat of an attempt, and its watch for the end of the query. Both stop when it is dropped.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Cancelled once the query has ended, or the task is committed by another attempt.
    pub(crate) over: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Pulse {
    /// Starts with the claim. The first request asks for the end of the query, beside the claim.
    pub(crate) fn start(shared: &Arc<Shared>, known: &Arc<Known>, task: OpenTask) -> Self {
        let over = CancellationToken::new();
        let (shared, known, ended) = (Arc::clone(shared), Arc::clone(known), over.clone());
        let period = Duration::from_millis(known.handle.root.limits.heartbeat_ms);
        let pulse = async move {
            let watching = async {
                while !matches!(known.handle.ended().await, Ok(Some(_))) {
                    shared.env.clock.sleep(period).await;
                }
            };
            let beating = async {
                let mut latest = shared.env.clock.monotonic();
                for beats in 1u64.. {
                    shared.env.clock.sleep(period).await;
                    let now = shared.env.clock.monotonic();
                    let silent = now.saturating_sub(std::mem::replace(&mut latest, now));
                    let beaten = beat(&shared, &known, task, beats);
                    let both = join(beaten, is_superseded(&known, task, silent));
                    // A request that hangs must not delay the next heartbeat.
                    let is_over = tokio::select! {
                        ((), superseded) = both => superseded,
                        () = shared.env.clock.sleep(period) => false,
                    };
                    if is_over {
                        let query = &known.handle.query;
                        tracing::info!(%query, "the task is committed by another attempt, so this one stops");
                        return;
                    }
                }
            };
            // Nor must a look for the end.
            tokio::select! {
                () = watching => {}
                () = beating => {}
            }
            ended.cancel();
        };
        Self { over, task: tokio::spawn(pulse) }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Writes one heartbeat. Losing one does no harm, because the lease is several periods long.
async fn beat(shared: &Shared, known: &Known, task: OpenTask, beats: u64) {
    let handle = &known.handle;
    let key = keys::hb(&handle.query, task.stage, task.task, task.attempt);
    let body = format!("{{\"beat\":{beats},\"worker\":\"{}\"}}", shared.name);
    if let Err(error) = handle.store().put(&key, Bytes::from(body)).await {
        tracing::debug!(%key, %error, "a heartbeat was lost");
    }
}

/// True if another attempt has committed the task. It is asked for only if that may be so: a later attempt is known, or this
/// process was silent for longer than the lease, because it was frozen.
async fn is_superseded(known: &Known, task: OpenTask, silent: Duration) -> bool {
    let handle = &known.handle;
    let is_followed =
        handle.latest_claim(task.stage, task.task).is_some_and(|latest| latest > task.attempt);
    let lease = Duration::from_millis(handle.root.limits.lease_ms);
    (is_followed || silent >= lease)
        && matches!(handle.is_committed(task.stage, task.task).await, Ok(true))
}
