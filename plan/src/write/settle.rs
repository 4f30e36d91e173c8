//! What becomes of the files of a query that has ended: nobody commits them any more, and those that do not count are
//! deleted. Whoever may does this, at any time and any number of times.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::{End, EndStatus, WriteTarget};
use object_store::ObjectStore;
use object_store::path::Path;

use super::commit::{self, State};
use super::error::WriteError;
use super::spec::CommitName;
use crate::stores::Stores;

/// Where the files of one query are.
#[derive(Clone, Debug)]
pub struct Written {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    commit: CommitName,
    query: QueryId,
}

impl Written {
    /// The files that a query says it writes.
    ///
    /// # Errors
    /// The configuration does not reach them.
    pub fn by(query: &QueryId, target: &WriteTarget, stores: &Stores) -> Result<Self> {
        let store = stores.get(&target.store);
        let store = store.ok_or_else(|| WriteError::OutOfReach { store: target.store.clone() })?;
        let folder = Path::parse(&target.folder)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let commit = target.first.map_or(CommitName::OfQuery, CommitName::First);
        Ok(Self { store, folder, commit, query: query.clone() })
    }

    /// Makes sure that a write which is not committed never is. Returns what has become of it.
    ///
    /// # Errors
    /// The store's.
    pub async fn cancel(&self, env: &Env) -> Result<State> {
        let at = (&self.folder, &self.commit);
        commit::cancel(&self.store, env, at, self.query.as_str()).await
    }

    /// What has become of the write of a query that has ended. One that did not succeed is cancelled, if it is not committed.
    ///
    /// # Errors
    /// The store's.
    pub async fn ended(&self, env: &Env, end: &End) -> Result<State> {
        match end.status {
            EndStatus::Succeeded => Ok(State::Committed),
            EndStatus::Failed | EndStatus::Cancelled => self.cancel(env).await,
        }
    }

    /// Deletes the files that the commit does not name. Without its commit, nothing of a query that was committed is
    /// deleted. Returns their number.
    ///
    /// # Errors
    /// The store's.
    pub async fn clean(&self, env: &Env, state: State) -> Result<usize> {
        let Self { store, folder, commit, query } = self;
        let record = match state {
            State::Cancelled => None,
            State::Committed => {
                match commit::committed(store, env, (folder, commit), query.as_str()).await? {
                    Some(record) => Some(record),
                    None => return Ok(0),
                }
            }
        };
        Ok(commit::leftovers(store, folder, query.as_str(), record.as_ref()).await?)
    }
}
