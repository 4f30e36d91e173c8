//! Ending a query: because of its records, because of an error, or because a client cancelled it.

use std::sync::Arc;
use std::time::Duration;

use crate::decide::{self, Steps, Verdict, end};
use crate::env::Env;
use crate::model::encoding::encode;
use crate::model::ids::{QueryId, StageId, TaskId};
use crate::model::keys;
use crate::model::records::{End, Fail, QueryError, Summary};
use crate::model::view::QueryView;
use crate::query::error::AdvanceError;
use crate::query::handle::QueryHandle;
use crate::query::hints::retire;
use crate::store::control::{ControlStore, StoreError};
use crate::store::create::{self, Decision};

impl QueryHandle {
    /// Ends the query as FAILED unless it has ended already. Returns the end that is there.
    ///
    /// # Errors
    /// A create that was not settled.
    pub async fn fail(&self, error: QueryError) -> Result<Arc<End>, AdvanceError> {
        finish(self, end::failed(self.env.nonce(), error)).await
    }

    /// Ends the query as CANCELLED unless it has ended already. Returns the end that is there.
    ///
    /// # Errors
    /// A create that was not settled.
    pub async fn cancel(&self) -> Result<Arc<End>, AdvanceError> {
        finish(self, end::cancelled(self.env.nonce())).await
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
    let key = keys::end(query);
    let end = match create::decide(store, env, &key, encode(&end), &end.nonce).await? {
        Decision::Won => end,
        Decision::Lost(body) => create::decode(&key, &body)?,
    };
    retire(store, query).await;
    Ok(end)
}

async fn finish(handle: &QueryHandle, end: End) -> Result<Arc<End>, AdvanceError> {
    let end = create_end(&handle.store, &handle.env, &handle.query, end).await?;
    Ok(handle.known.remember_end(end))
}

/// Ends the query if the view says that it is over.
pub(super) async fn conclude(
    handle: &QueryHandle,
    view: &QueryView,
    steps: &Steps,
) -> Result<Option<Arc<End>>, AdvanceError> {
    if steps.finished {
        return succeed(handle, view).await.map(Some);
    }
    let limits = &handle.root.limits;
    for &(stage, task) in &steps.failed {
        let fails = fails(handle, view, stage, task).await?;
        if let Verdict::Fail(error) = decide::judge(&fails, limits)
            && !is_committed(handle, stage, task).await?
        {
            return handle.fail(error).await.map(Some);
        }
    }
    for &(stage, task) in &steps.exhausted {
        if !is_committed(handle, stage, task).await? {
            return handle.fail(end::workers_lost(stage, task, limits)).await.map(Some);
        }
    }
    if is_over_age(handle, view) {
        return handle.fail(end::over_age(limits)).await.map(Some);
    }
    Ok(None)
}

/// True if the query is older than its time to live. The age is a lower bound: the time that this process has known
/// the query, or the time between the stamps of the query's own objects.
pub(super) fn is_over_age(handle: &QueryHandle, view: &QueryView) -> bool {
    let lived = handle.observer.lock().known_for(handle.env.clock.monotonic());
    let age = lived.max(Duration::from_millis(view.spanned_ms()));
    age > Duration::from_millis(handle.root.limits.ttl_ms)
}

async fn fails(
    handle: &QueryHandle,
    view: &QueryView,
    stage: StageId,
    task: TaskId,
) -> Result<Vec<Fail>, AdvanceError> {
    let attempts = view.stages.get(&stage).and_then(|state| state.fails.get(&task)).cloned();
    let mut fails = Vec::new();
    for attempt in attempts.into_iter().flatten() {
        let fail = match handle.known.fail((stage, task, attempt)) {
            Some(known) => known,
            None => {
                let key = keys::fail(&handle.query, stage, task, attempt);
                let fail: Option<Fail> = create::load(&handle.store, &key).await?;
                let fail = fail.ok_or(AdvanceError::Missing { key })?;
                handle.known.remember_fail((stage, task, attempt), fail)
            }
        };
        fails.push(fail.as_ref().clone());
    }
    Ok(fails)
}

async fn is_committed(
    handle: &QueryHandle,
    stage: StageId,
    task: TaskId,
) -> Result<bool, StoreError> {
    Ok(handle.store.get(&keys::commit(&handle.query, stage, task)).await?.is_some())
}

async fn succeed(handle: &QueryHandle, view: &QueryView) -> Result<Arc<End>, AdvanceError> {
    let mut seals = Vec::with_capacity(handle.root.stages.len());
    for spec in &handle.root.stages {
        let seal = handle.seal(spec.id).await?;
        let missing = || AdvanceError::Missing { key: keys::seal(&handle.query, spec.id) };
        seals.push(seal.ok_or_else(missing)?);
    }
    let answer = seals.last().map(AsRef::as_ref);
    let summary = Summary {
        stages: u64::try_from(seals.len()).unwrap_or(u64::MAX),
        attempts: view.attempts(),
        wall_ms: view.spanned_ms(),
        ..decide::totals(seals.iter().map(AsRef::as_ref), answer)
    };
    finish(handle, end::succeeded(handle.env.nonce(), answer, summary)).await
}
