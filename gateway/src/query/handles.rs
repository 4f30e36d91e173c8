//! What this process knows about queries: one handle for each query, shared by all requests for it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::store::ObjectControlStore;
use parking_lot::Mutex;

use super::error::CoreError;

/// Handles that are in use: a query that is swept and watched is read once.
#[derive(Debug)]
pub(crate) struct Handles {
    store: Arc<ObjectControlStore>,
    env: Env,
    held: Mutex<HashMap<QueryId, Weak<QueryHandle>>>,
}

impl Handles {
    pub(crate) fn new(store: Arc<ObjectControlStore>, env: Env) -> Self {
        Self { store, env, held: Mutex::default() }
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
        let handle = QueryHandle::open(self.store().clone(), query)
            .await
            .map_err(|error| CoreError::from(error).about(query))?
            .ok_or_else(|| CoreError::no_such_query(query.as_str()))?;
        let handle = Arc::new(handle);
        let mut held = self.held.lock();
        held.retain(|_, handle| handle.strong_count() > 0);
        // If two requests read it at the same time, the first handle is kept, because its caches may be filled.
        if let Some(first) = held.get(query).and_then(Weak::upgrade) {
            return Ok(first);
        }
        held.insert(query.clone(), Arc::downgrade(&handle));
        Ok(handle)
    }
}
