//! The claim of an attempt, and what is asked beside it.

use std::sync::Arc;

use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::keys;
use dunlin_manifest::model::encoding::encode;
use dunlin_manifest::records::Claim;
use dunlin_manifest::store::create::{self, Decision};
use dunlin_plan::words;
use dunlin_shuffle::Ready;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared as SharedFuture};

use crate::known::Known;
use crate::news;
use crate::shared::Shared;

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    Won,
    Lost,
    Unknown,
}

/// A claim that is under way.
pub(crate) type Claiming = SharedFuture<BoxFuture<'static, Claimed>>;

/// Sends the claim. The answer may be waited for in several places.
pub(crate) fn send_claim(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    task: OpenTask,
    claim: &Claim,
) -> Claiming {
    let (known, env) = (Arc::clone(known), shared.env.clone());
    let (body, nonce) = (encode(claim), claim.nonce.clone());
    let job = shared.writing.spawn(async move {
        let handle = &known.handle;
        let key = keys::claim(&handle.query, task.stage, task.task, task.attempt);
        match create::decide(handle.store(), &env, &key, body, &nonce).await {
            Ok(decision) => {
                handle.note_claim(task.stage, task.task, task.attempt);
                if decision == Decision::Won { Claimed::Won } else { Claimed::Lost }
            }
            Err(error) => {
                // The claim may be written. Then it stays silent, and the next attempt may be claimed after the lease.
                let error = words::explained(&error);
                tracing::warn!(query = %handle.query, %key, %error, "a claim is left unsettled");
                Claimed::Unknown
            }
        }
    });
    job.map(|claimed| claimed.unwrap_or(Claimed::Unknown)).boxed().shared()
}

/// Lists the group of the task beside its claim, so that the next choice is made with what the others have claimed. In a
/// large crowd a slot looks when it has no task of its own place left.
pub(crate) fn look_beside(
    shared: &Shared,
    known: &Arc<Known>,
    task: OpenTask,
) -> tokio::task::JoinHandle<()> {
    let (known, is_wanted) = (Arc::clone(known), !shared.crowd().is_large());
    shared.writing.spawn(async move {
        let decided = known.handle.known_manifest(task.stage);
        if is_wanted
            && decided.is_some_and(|decided| decided.manifest.tasks.len() > 1)
            && let Err(error) = known.handle.look_at_group(task.stage, task.task).await
        {
            tracing::debug!(query = %known.handle.query, %error, "a group could not be listed");
        }
    })
}

/// Resolves once the attempt may write.
pub(crate) fn ready(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    task: OpenTask,
    claiming: &Claiming,
) -> Ready {
    let (writer, known, claiming) = (Arc::clone(shared), Arc::clone(known), claiming.clone());
    let settling = shared.writing.spawn(async move {
        let settled = known.handle.settle_inputs(task.stage).await;
        // This may have written a seal before the task that was to tell of it.
        let teller = Arc::clone(&writer);
        writer.writing.spawn(async move { news::announce(&teller, &known).await });
        settled.map_err(|error| error.to_string())
    });
    async move {
        if claiming.await != Claimed::Won {
            return Err("the claim was not won".to_owned());
        }
        settling.await.unwrap_or_else(|error| Err(error.to_string()))
    }
    .boxed()
    .shared()
}

/// Resolves if the claim is answered and not won.
pub(crate) async fn not_won(claiming: Claiming) {
    if claiming.await == Claimed::Won {
        std::future::pending::<()>().await;
    }
}
