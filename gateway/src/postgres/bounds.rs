//! What can end a statement from outside: its client at any gateway, and its time.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::cancel::Name;
use super::face::Face;
use super::failure::{Failure, state};

/// What can end a statement from outside.
pub(super) struct Bounds {
    cancelled: CancellationToken,
    /// Another gateway was asked to cancel it.
    asked: BoxFuture<'static, ()>,
    late: Option<(BoxFuture<'static, ()>, Duration)>,
}

impl std::fmt::Debug for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bounds").finish_non_exhaustive()
    }
}

impl Bounds {
    /// The bounds of a statement of a connection. `most`: the longest time that it may take.
    pub(super) fn new(
        face: &Arc<Face>,
        connection: Name,
        cancelled: CancellationToken,
        most: Option<Duration>,
    ) -> Self {
        let (shared, origin) = (Arc::clone(face), connection.origin());
        let asked = Box::pin(async move { shared.queries.asked_to_stop(origin).await });
        let late = most.map(|most| (face.env.clock.sleep(most), most));
        Self { cancelled, asked, late }
    }

    /// Resolves when the statement must end.
    pub(super) async fn over(&mut self) -> Failure {
        let by_request =
            || Failure::error(state::CANCELLED, "canceling statement due to user request");
        let late = async {
            match &mut self.late {
                Some((late, most)) => {
                    late.await;
                    *most
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.cancelled.cancelled() => by_request(),
            () = &mut self.asked => by_request(),
            most = late => Failure::error(
                state::CANCELLED,
                format!("canceling statement due to statement timeout ({} ms)", most.as_millis()),
            ),
        }
    }
}
