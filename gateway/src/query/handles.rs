//! What this process knows about queries: one handle for each query, shared by all requests for it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{EngineFence, Root};
use dunlin_manifest::store::ObjectControlStore;
use parking_lot::Mutex;

use super::error::CoreError;

/// Handles that are in use: a query that is swept and watched is read once.
#[derive(Debug)]
pub(crate) struct Handles {
    store: Arc<ObjectControlStore>,
    env: Env,
    /// The fence of this build: a gateway derives nothing for queries of other builds.
    fence: EngineFence,
    held: Mutex<HashMap<QueryId, Weak<QueryHandle>>>,
}

impl Handles {
    pub(crate) fn new(store: Arc<ObjectControlStore>, env: Env, fence: EngineFence) -> Self {
        Self { store, env, fence, held: Mutex::default() }
    }

    pub(super) fn env(&self) -> &Env {
        &self.env
    }

    pub(super) fn store(&self) -> &ObjectControlStore {
        &self.store
    }

    /// Time by this gateway's clock.
    pub(super) fn now(&self) -> Duration {
        self.env.clock.monotonic()
    }

    /// The handle of a query. Reads `root` if no handle is in use.
    pub(super) async fn open(&self, query: &QueryId) -> Result<Arc<QueryHandle>, CoreError> {
        if let Some(handle) = self.held.lock().get(query).and_then(Weak::upgrade) {
            return Ok(handle);
        }
        let handle = QueryHandle::open(self.store().clone(), query, &self.fence)
            .await
            .map_err(|error| CoreError::from(error).about(query))?
            .ok_or_else(|| CoreError::no_such_query(query.as_str()))?;
        Ok(self.hold(handle))
    }

    /// The handle of a query whose root this process has written.
    pub(super) fn written(&self, query: &QueryId, root: Arc<Root>) -> Arc<QueryHandle> {
        self.hold(QueryHandle::with_root(self.store().clone(), query, root, &self.fence))
    }

    /// If two requests read a query at the same time, the first handle is kept, because its caches may be filled.
    fn hold(&self, handle: QueryHandle) -> Arc<QueryHandle> {
        let handle = Arc::new(handle);
        let mut held = self.held.lock();
        held.retain(|_, handle| handle.strong_count() > 0);
        if let Some(first) = held.get(&handle.query).and_then(Weak::upgrade) {
            return first;
        }
        held.insert(handle.query.clone(), Arc::downgrade(&handle));
        handle
    }

    /// The handles that are in use.
    pub(super) fn in_use(&self) -> Vec<Arc<QueryHandle>> {
        self.held.lock().values().filter_map(Weak::upgrade).collect()
    }
}
