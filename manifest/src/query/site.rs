//! What a sweeper needs of the process that it sweeps in.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::ids::QueryId;
use crate::model::records::End;
use crate::query::handle::QueryHandle;
use crate::query::news::News;
use crate::store::control::StoreError;
use crate::store::object::ObjectControlStore;

/// What a process that sweeps knows and has.
#[async_trait]
pub trait Site: Send + Sync + Debug {
    /// The store.
    fn store(&self) -> &ObjectControlStore;

    /// The handle of a query.
    async fn open(&self, query: &QueryId) -> Opened;

    /// The handles that somebody waits with.
    fn in_use(&self) -> Vec<Arc<QueryHandle>>;

    /// Runs an inline query here. False if this process runs none.
    async fn run_here(&self, query: &QueryId) -> bool;

    /// Tells others of work.
    async fn tell(&self, news: News);

    /// Looks after the files of a query that has ended, `seen` after this process first saw its end: nobody commits them any
    /// more, and those that do not count are deleted. Any number of processes may do so, any number of times. Returns
    /// true when nothing is left to do.
    async fn settle(&self, handle: &QueryHandle, end: &End, seen: Duration) -> bool;

    /// What a user should know about why no worker comes, if this process knows something.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// The result of opening a query.
#[derive(Clone, Debug)]
pub enum Opened {
    /// Its handle.
    Handle(Arc<QueryHandle>),
    /// It has no root.
    Missing,
    /// Its root is of another version.
    Unreadable,
    /// The store did not tell.
    Unknown,
}

impl From<Result<Option<QueryHandle>, StoreError>> for Opened {
    fn from(opened: Result<Option<QueryHandle>, StoreError>) -> Self {
        match opened {
            Ok(Some(handle)) => Self::Handle(Arc::new(handle)),
            Ok(None) => Self::Missing,
            Err(StoreError::Malformed { .. }) => Self::Unreadable,
            Err(_) => Self::Unknown,
        }
    }
}
