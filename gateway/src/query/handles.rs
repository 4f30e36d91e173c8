//! What this process knows about queries: one handle a query, however many requests ask for it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::store::ObjectControlStore;
use parking_lot::Mutex;

use super::error::CoreError;

/// Handles somebody holds: a query that is swept and watched is read once.
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

    /// What this process knows about a query, read from `root` if nobody holds it.
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
        // Of two that read at the same time, the first stays: its caches may be warm.
        if let Some(first) = held.get(query).and_then(Weak::upgrade) {
            return Ok(first);
        }
        held.insert(query.clone(), Arc::downgrade(&handle));
        Ok(handle)
    }
}
