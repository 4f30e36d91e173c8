//! What became of the files of a query that writes, when the query has ended or is to end.
//!
//! ```text
//!  cancel ──> one create: "cancelled" ─ first ──────────────> the query ends as cancelled
//!                                     └ "committed" is there > too late: it ends as it would have
//!  failed ──> the same create, so that no task that still runs commits ──> files are deleted
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{End, EndStatus, WriteTarget};
use dunlin_plan::write::{self, CommitName, State};
use object_store::ObjectStore;
use object_store::path::Path;
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

/// Where the files of one query are.
struct Place {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    commit: CommitName,
}

impl Writes {
    pub(crate) fn new(current: Current, env: Env) -> Self {
        Self { current, env, settled: Mutex::default() }
    }

    fn place(&self, target: &WriteTarget) -> Result<Place, CoreError> {
        let store = self.current.now().planner.stores().get(&target.store).ok_or_else(|| {
            CoreError::internal(format!(
                "the query writes to {}, which the configuration of this gateway does not name",
                target.store
            ))
        })?;
        let folder = Path::parse(&target.folder).map_err(CoreError::internal)?;
        let commit = target.first.map_or(CommitName::OfQuery, CommitName::First);
        Ok(Place { store, folder, commit })
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
        let Place { store, folder, commit } = self.place(target)?;
        let state = write::cancel(&store, &self.env, (&folder, &commit), query.as_str()).await;
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
        let state = match end.status {
            EndStatus::Succeeded => State::Committed,
            EndStatus::Failed | EndStatus::Cancelled => {
                let cancelled = self.cancel(query, target).await;
                cancelled
                    .inspect_err(|error| {
                        tracing::warn!(%query, %error, "it is not known whether a query has committed its files");
                    })
                    .ok()?
            }
        };
        self.remember(query, state);
        // Each task ran once: no attempt lost.
        let ran_once = end.summary.is_some_and(|summary| summary.attempts <= summary.tasks);
        if state == State::Cancelled || !ran_once {
            match self.place(target) {
                Ok(place) => self.clean(query, place, state, Duration::ZERO),
                Err(error) => {
                    tracing::warn!(%query, %error, "files that were not committed are left");
                }
            }
        }
        Some(state)
    }

    /// Deletes the files of a query that was cancelled, once its tasks have noticed: after `pause`, and once more for those
    /// that notice late.
    pub(crate) fn clean_cancelled(&self, query: &QueryId, target: &WriteTarget, pause: Duration) {
        for pause in [pause, pause * 5] {
            if let Ok(place) = self.place(target) {
                self.clean(query, place, State::Cancelled, pause);
            }
        }
    }

    /// Deletes the files of attempts that lost, after `pause`.
    fn clean(&self, query: &QueryId, place: Place, state: State, pause: Duration) {
        let (query, env) = (query.clone(), self.env.clone());
        tokio::spawn(async move {
            env.clock.sleep(pause).await;
            match leftovers(&query, &place, state, &env).await {
                Ok(0) => {}
                Ok(deleted) => {
                    tracing::info!(%query, deleted, "deleted files that were not committed");
                }
                Err(error) => {
                    tracing::warn!(%query, %error, "files that were not committed are left");
                }
            }
        });
    }
}

/// Without its commit, nothing of a query that was committed is deleted.
async fn leftovers(
    query: &QueryId,
    place: &Place,
    state: State,
    env: &Env,
) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    let Place { store, folder, commit } = place;
    let record = match state {
        State::Cancelled => None,
        State::Committed => {
            match write::committed(store, env, (folder, commit), query.as_str()).await? {
                Some(record) => Some(record),
                None => return Ok(0),
            }
        }
    };
    Ok(write::leftovers(store, folder, query.as_str(), record.as_ref()).await?)
}
