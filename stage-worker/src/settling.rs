//! What follows an attempt: its commit, the look whether its group is complete, and the news of a seal.
//!
//! ```text
//!   rows ─> commit ─> last of its group? ─> seal, believed ─> told: this process, the store, the others
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::query::News;
use dunlin_manifest::records::{FailClass, StageId, TaskId};

use crate::commit::{self, Finished, Settled};
use crate::duty::Duties;
use crate::known::Known;
use crate::news;
use crate::shared::Shared;

/// Pause of a slot after an attempt that failed in a way that another attempt may not. It doubles with each attempt.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// A task that a slot has claimed, or claims. If the work on it panics, the process no longer holds it.
pub(crate) struct Holding {
    known: Arc<Known>,
    task: OpenTask,
    is_over: bool,
}

impl Holding {
    /// The process holds it from now on.
    pub(crate) fn of(known: &Arc<Known>, task: OpenTask) -> Self {
        known.duties.hold(task.stage, task.task);
        Self { known: Arc::clone(known), task, is_over: false }
    }

    /// Ends in the usual way. Returns the task after which this process must look.
    pub(crate) fn end(
        mut self,
        how: fn(&Duties, StageId, TaskId) -> Option<TaskId>,
    ) -> Option<TaskId> {
        self.is_over = true;
        how(&self.known.duties, self.task.stage, self.task.task)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if !self.is_over {
            self.known.duties.given_up(self.task.stage, self.task.task);
        }
    }
}

/// Commits an attempt, and looks whether its group is complete then.
pub(crate) async fn settle(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    finished: Finished,
    holding: Holding,
) -> Settled {
    let task = finished.task;
    let settled = commit::commit(shared, known, finished).await;
    let owed = match settled {
        Settled::Committed => {
            shared.committed.fetch_add(1, Ordering::Relaxed);
            known.streak.lock().succeeded();
            holding.end(Duties::settled)
        }
        Settled::Unclaimed => {
            // The same attempt may be claimed again.
            known.taken.lock().remove(&(task.stage, task.task, task.attempt));
            holding.end(Duties::given_up)
        }
        Settled::Failed(_) | Settled::Lost | Settled::Unknown => holding.end(Duties::given_up),
    };
    if let Some(end) = known.handle.known_end() {
        news::tell(shared, News::ended(known.handle.query.clone()));
        let (shared, known) = (Arc::clone(shared), Arc::clone(known));
        shared.clone().writing.spawn(async move {
            shared.retire(&known.handle.query, Some(&known.handle.root), &end).await;
        });
    } else if let Some(owed) = owed {
        look_after(shared, known, task.stage, owed).await;
    }
    if let Settled::Failed(class) = settled {
        pause_after(shared, task, class).await;
    }
    settled
}

pub(crate) async fn look_after(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    stage: StageId,
    task: TaskId,
) {
    let among_many = shared.crowd().is_large();
    if let Err(error) = known.handle.after_commit(stage, task, among_many).await {
        // Whoever polls the query finds the group complete.
        tracing::debug!(query = %known.handle.query, stage, task, %error, "the look after a commit failed");
    }
    // The slot may be at work on a long task of another stage, so its seal does not wait for it.
    if known.handle.has_unconfirmed_seals() {
        tell(shared, known);
    }
}

/// The pause gives what is missing (memory, the store) time to recover, and gives another worker a chance.
pub(crate) async fn pause_after(shared: &Shared, task: OpenTask, class: FailClass) {
    if matches!(class, FailClass::Retry | FailClass::Store) {
        let pause = RETRY_PAUSE * (1 << task.attempt.min(4));
        shared.env.clock.sleep(shared.env.jitter(pause)).await;
    }
}

/// Writes the seals that this process believes, and then tells the other workers. The slots of this process know them
/// already.
pub(crate) fn tell(shared: &Arc<Shared>, known: &Arc<Known>) {
    shared.rung.notify_waiters();
    if known.telling.swap(true, Ordering::Relaxed) {
        return;
    }
    let (writer, known) = (Arc::clone(shared), Arc::clone(known));
    shared.writing.spawn(async move {
        // What is believed from here on is told of again.
        known.telling.store(false, Ordering::Relaxed);
        match known.handle.settle().await {
            Ok(_) => news::announce(&writer, &known).await,
            // They are written again before anything rests on them, or by whoever polls the query.
            Err(error) => {
                tracing::warn!(query = %known.handle.query, %error, "a seal could not be written");
            }
        }
    });
}
