//! Ending a query: because of its records, because of an error, or because a client cancelled it.

use std::sync::Arc;
use std::time::Duration;

use crate::decide::{self, Failed, Sealed, Steps, Verdict, end};
use crate::env::Env;
use crate::model::encoding::encode;
use crate::model::ids::{QueryId, StageId, TaskId};
use crate::model::keys;
use crate::model::records::{Commit, End, Fail, QueryError, Summary};
use crate::query::derive;
use crate::query::error::AdvanceError;
use crate::query::handle::QueryHandle;
use crate::query::hints::retire;
use crate::store::control::{ControlStore, StoreError};
use crate::store::create::{self, Decision};

impl QueryHandle {
    /// Commits a task, unless it is committed already. The seals of the stage's inputs must be settled, and the data
    /// must be acknowledged. If the last stage has one task, the end of the query is the commit of that task. The hint
    /// that the query is active then stays: clearing it is not what a client waits for. Returns true if this commit is the
    /// one that counts.
    ///
    /// # Errors
    /// It is not known whether the commit is there.
    pub async fn commit(&self, stage: StageId, commit: Commit) -> Result<bool, AdvanceError> {
        let outcome = if self.ends_with(stage) {
            self.answer(stage, commit).await
        } else {
            self.commit_task(stage, commit).await
        };
        self.unless_broken(outcome).await
    }

    async fn commit_task(&self, stage: StageId, commit: Commit) -> Result<bool, AdvanceError> {
        let task = commit.task;
        let key = keys::commit(&self.query, stage, task);
        let body = encode(&commit);
        let decision = create::decide(&self.store, &self.env, &key, body, &commit.nonce).await?;
        let (winner, is_won) = match decision {
            Decision::Won => (commit, true),
            Decision::Lost(body) => {
                tracing::info!(query = %self.query, %key, "another attempt committed first");
                (create::decode(&key, &body)?, false)
            }
        };
        self.note_commit(stage, task, winner).map(|_| is_won)
    }

    /// True if the commit of a task is to be the end of the query: the last stage has one task, and this is it.
    fn ends_with(&self, stage: StageId) -> bool {
        let last = self.root.stages.last().is_some_and(|last| last.id == stage);
        last && self.known_manifest(stage).is_some_and(|decided| decided.manifest.tasks.len() == 1)
    }

    /// Ends the query with the commit of its last task, unless it has ended already. Returns true if this is the end.
    async fn answer(&self, stage: StageId, commit: Commit) -> Result<bool, AdvanceError> {
        let decided = self.known_manifest(stage).ok_or_else(|| no_stages(self))?;
        let task = commit.task;
        let broken = |_| AdvanceError::Broken { key: keys::commit(&self.query, stage, task) };
        let winner = decide::winner(&decided, self.owner(), task, commit).map_err(broken)?;
        let answer = Sealed::derived(decide::seal(&decided, vec![winner]));
        let mut seals = all_seals(self, Some(stage)).await?;
        derive::settle_all(self).await?;
        seals.push(answer.clone());
        let summary = summary(self, &seals, &answer);
        let nonce = self.env.nonce();
        let end = end::answered(nonce.clone(), &answer, summary);
        let end = decide_end(&self.store, &self.env, &self.query, end).await?;
        Ok(self.known.remember_end(end).nonce == nonce)
    }

    /// True if the task is committed, by whatever attempt. Costs one GET.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_committed(&self, stage: StageId, task: TaskId) -> Result<bool, StoreError> {
        Ok(self.store.get(&keys::commit(&self.query, stage, task)).await?.is_some())
    }

    /// Ends the query as FAILED unless it has ended already. Returns the end that is there.
    ///
    /// # Errors
    /// A create that was not settled.
    pub async fn fail(&self, error: QueryError) -> Result<Arc<End>, AdvanceError> {
        finish(self, end::failed(self.env.nonce(), error)).await
    }

    /// Ends the query as CANCELLED unless it has ended already. Returns the end that is there. The hint of a query that may
    /// have left files stays for a sweeper.
    ///
    /// # Errors
    /// A create that was not settled.
    pub async fn cancel(&self) -> Result<Arc<End>, AdvanceError> {
        let end = finish(self, end::cancelled(self.env.nonce())).await?;
        if !self.root.leaves_files(&end) {
            retire(&self.store, &self.query).await;
        }
        Ok(end)
    }
}

/// Creates `end`, or uses the one that is there, and removes the query from the list of active queries.
///
/// # Errors
/// A create that was not settled.
pub async fn create_end(
    store: &dyn ControlStore,
    env: &Env,
    query: &QueryId,
    end: End,
) -> Result<End, AdvanceError> {
    let end = decide_end(store, env, query, end).await?;
    retire(store, query).await;
    Ok(end)
}

async fn decide_end(
    store: &dyn ControlStore,
    env: &Env,
    query: &QueryId,
    end: End,
) -> Result<End, AdvanceError> {
    let key = keys::end(query);
    Ok(match create::decide(store, env, &key, encode(&end), &end.nonce).await? {
        Decision::Won => end,
        Decision::Lost(body) => create::decode(&key, &body)?,
    })
}

/// Its hint stays, because a worker may delete nothing. Whoever may finds it.
async fn finish(handle: &QueryHandle, end: End) -> Result<Arc<End>, AdvanceError> {
    let end = decide_end(&handle.store, &handle.env, &handle.query, end).await?;
    Ok(handle.known.remember_end(end))
}

/// Ends the query if what is known says that it is over.
pub(super) async fn conclude(
    handle: &QueryHandle,
    steps: &Steps,
) -> Result<Option<Arc<End>>, AdvanceError> {
    if steps.finished {
        return succeed(handle).await.map(Some);
    }
    let limits = &handle.root.limits;
    for &(stage, task) in &steps.failed {
        let fails = fails(handle, stage, task).await?;
        let failing_ms = handle.observer.lock().failing_ms(stage, task);
        let records = fails.iter().map(|failed| failed.fail.as_ref());
        if let Verdict::Fail(error) = decide::judge(records, failing_ms, limits)
            && !handle.is_committed(stage, task).await?
        {
            return handle.fail(error).await.map(Some);
        }
    }
    for &(stage, task) in &steps.exhausted {
        if !handle.is_committed(stage, task).await? {
            return handle.fail(end::workers_lost(stage, task, limits)).await.map(Some);
        }
    }
    Ok(None)
}

/// True if the query is older than its time to live. The age is a lower bound: the time that this process has known
/// the query, or the time between the stamps of the query's own objects, as far as its own clock agrees.
pub(super) fn is_over_age(handle: &QueryHandle) -> bool {
    age(handle) > Duration::from_millis(handle.root.limits.ttl_ms)
}

/// How old the query is, at least.
fn age(handle: &QueryHandle) -> Duration {
    let spanned_ms = handle.view.lock().spanned_ms();
    handle.observer.lock().age(handle.env.clock.monotonic(), spanned_ms)
}

async fn fails(
    handle: &QueryHandle,
    stage: StageId,
    task: TaskId,
) -> Result<Vec<Failed>, AdvanceError> {
    let attempts = {
        let view = handle.view.lock();
        view.stages.get(&stage).and_then(|state| state.fails.get(&task)).cloned()
    };
    let mut fails = Vec::new();
    for attempt in attempts.into_iter().flatten() {
        let fail = match handle.known.fail((stage, task, attempt)) {
            Some(known) => known,
            None => {
                let key = keys::fail(&handle.query, stage, task, attempt);
                let fail: Option<Fail> = create::load(&handle.store, &key).await?;
                let fail = fail.ok_or(AdvanceError::Missing { key })?;
                let now = handle.env.clock.monotonic();
                handle.known.remember_fail((stage, task, attempt), fail, now)
            }
        };
        fails.push(fail);
    }
    Ok(fails)
}

/// Ends a query whose last stage is sealed, after the seals of all stages are settled.
pub(super) async fn succeed(handle: &QueryHandle) -> Result<Arc<End>, AdvanceError> {
    derive::settle_all(handle).await?;
    let seals = all_seals(handle, None).await?;
    let Some(answer) = seals.last() else { return Err(no_stages(handle)) };
    let summary = summary(handle, &seals, answer);
    finish(handle, end::succeeded(handle.env.nonce(), answer, summary)).await
}

fn no_stages(handle: &QueryHandle) -> AdvanceError {
    AdvanceError::Missing { key: keys::stage_prefix(&handle.query, 0) }
}

fn summary(handle: &QueryHandle, seals: &[Sealed], answer: &Sealed) -> Summary {
    let wall_ms = u64::try_from(age(handle).as_millis()).unwrap_or(u64::MAX);
    Summary {
        wall_ms,
        ..decide::totals(seals.iter().map(|sealed| sealed.seal.as_ref()), Some(&answer.seal))
    }
}

/// The seals of all stages but `except`, in order. Those that this process does not know are read, all at once.
async fn all_seals(
    handle: &QueryHandle,
    except: Option<StageId>,
) -> Result<Vec<Sealed>, AdvanceError> {
    let stages = handle.root.stages.iter().map(|spec| spec.id);
    let reads = stages.filter(|stage| Some(*stage) != except).map(|stage| async move {
        let sealed = handle.seal(stage).await?;
        sealed.ok_or_else(|| AdvanceError::Missing { key: keys::seal(&handle.query, stage) })
    });
    futures::future::try_join_all(reads).await
}
