//! What became of the files of a query that writes, when the query has ended or is to end.
//!
//! ```text
//!  cancel ──> one create: "cancelled" ─ first ──────────────> the query ends as cancelled
//!                                     └ "committed" is there > too late: it ends as it would have
//!  failed ──> the same create, so that no task that still runs commits ──> files are deleted
//!  ended while nobody asked ──> the sweeper does the same
//! ```

use std::collections::HashMap;
use std::time::Duration;

use datafusion::error::Result;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{End, WriteTarget};
use dunlin_plan::write::{State, Written};
use parking_lot::Mutex;

use super::error::CoreError;
use crate::options::Current;

/// Queries whose writes a process remembers as settled. One that has settled more forgets all.
const MOST_REMEMBERED: usize = 10_000;

/// The files of queries that write.
#[derive(Debug)]
pub(crate) struct Writes {
    current: Current,
    env: Env,
    settled: Mutex<HashMap<QueryId, State>>,
}

impl Writes {
    pub(crate) fn new(current: Current, env: Env) -> Self {
        Self { current, env, settled: Mutex::default() }
    }

    fn written(&self, query: &QueryId, target: &WriteTarget) -> Result<Written> {
        Written::by(query, target, self.current.now().planner.stores())
    }

    /// Makes sure that a write which is not committed never is. Returns what became of it.
    pub(crate) async fn cancel(
        &self,
        query: &QueryId,
        target: &WriteTarget,
    ) -> Result<State, CoreError> {
        if let Some(known) = self.settled.lock().get(query) {
            return Ok(*known);
        }
        let written = self.written(query, target).map_err(CoreError::internal)?;
        let state = written.cancel(&self.env).await;
        let state = state.map_err(|error| CoreError::store(error.to_string()).about(query))?;
        self.remember(query, state);
        Ok(state)
    }

    fn remember(&self, query: &QueryId, state: State) {
        let mut settled = self.settled.lock();
        if settled.len() >= MOST_REMEMBERED {
            settled.clear();
        }
        settled.insert(query.clone(), state);
    }

    /// What became of the files of a query that has ended, if it writes and that can be told. Files that do not count are
    /// deleted in the background.
    pub(crate) async fn ended(&self, handle: &QueryHandle, end: &End) -> Option<State> {
        let (query, target) = (&handle.query, handle.root.write.as_ref()?);
        if let Some(known) = self.settled.lock().get(query) {
            return Some(*known);
        }
        let ended = async { self.written(query, target)?.ended(&self.env, end).await };
        let state = ended
            .await
            .inspect_err(|error| {
                tracing::warn!(%query, %error, "it is not known whether a query has committed its files");
            })
            .ok()?;
        self.remember(query, state);
        if handle.root.leaves_files(end) {
            self.clean(query, target, state, Duration::ZERO);
        }
        Some(state)
    }

    /// For the sweeper: settles the files of a query that has ended, `seen` after it was first seen so. Files are deleted at
    /// once, and again when all tasks that still ran have noticed or were given up. True when nothing is left to do.
    pub(crate) async fn settle(&self, handle: &QueryHandle, end: &End, seen: Duration) -> bool {
        let Some(target) = &handle.root.write else { return true };
        let Some(state) = self.ended(handle, end).await else { return false };
        if seen < Duration::from_millis(handle.root.limits.lease_ms) {
            return false;
        }
        let clean = async { self.written(&handle.query, target)?.clean(&self.env, state).await };
        tell(&handle.query, clean.await)
    }

    /// Deletes the files of a query that was cancelled, once its tasks have noticed: after `pause`, and once more for those
    /// that notice late.
    pub(crate) fn clean_cancelled(&self, query: &QueryId, target: &WriteTarget, pause: Duration) {
        for pause in [pause, pause * 5] {
            self.clean(query, target, State::Cancelled, pause);
        }
    }

    /// Deletes the files of attempts that lost, after `pause`.
    fn clean(&self, query: &QueryId, target: &WriteTarget, state: State, pause: Duration) {
        let (query, env) = (query.clone(), self.env.clone());
        let written = self.written(&query, target);
        tokio::spawn(async move {
            env.clock.sleep(pause).await;
            let clean = async { written?.clean(&env, state).await };
            tell(&query, clean.await)
        });
    }
}

/// Says what was deleted, or that files are left. True if none are left.
fn tell(query: &QueryId, deleted: Result<usize>) -> bool {
    match &deleted {
        Ok(0) => {}
        Ok(deleted) => tracing::info!(%query, deleted, "deleted files that were not committed"),
        Err(error) => tracing::warn!(%query, %error, "files that were not committed are left"),
    }
    deleted.is_ok()
}
