//! What this process knows about queries: one handle for each query, shared by all requests for it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::meter::{Meter, MeteredStore};
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{EngineFence, Requests, Root};
use dunlin_manifest::store::ObjectControlStore;
use parking_lot::Mutex;

use super::asked::{Asked, Remarks};
use super::error::CoreError;

/// Handles that are in use: a query that is swept and watched is read once.
#[derive(Debug)]
pub(crate) struct Handles {
    store: Arc<ObjectControlStore>,
    env: Env,
    /// The fence of this build: a gateway derives nothing for queries of other builds.
    fence: EngineFence,
    held: Mutex<HashMap<QueryId, Held>>,
    asked: Asked,
}

/// A handle, and the requests that were made through it.
#[derive(Debug)]
struct Held {
    handle: Weak<QueryHandle>,
    meter: Arc<Meter>,
}

impl Handles {
    pub(crate) fn new(store: Arc<ObjectControlStore>, env: Env, fence: EngineFence) -> Self {
        Self { store, env, fence, held: Mutex::default(), asked: Asked::default() }
    }

    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    pub(crate) fn store(&self) -> &ObjectControlStore {
        &self.store
    }

    /// What clients said of their queries beside the statements.
    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// What the client said of a query that exists.
    pub(super) async fn remarks(&self, query: &QueryId) -> Arc<Remarks> {
        self.asked.of(&self.store, query).await
    }

    /// Time by this gateway's clock.
    pub(crate) fn now(&self) -> Duration {
        self.env.clock.monotonic()
    }

    /// The handle of a query. Reads `root` if no handle is in use.
    pub(super) async fn open(&self, query: &QueryId) -> Result<Arc<QueryHandle>, CoreError> {
        if let Some(handle) = self.held.lock().get(query).and_then(|held| held.handle.upgrade()) {
            return Ok(handle);
        }
        let meter = Arc::<Meter>::default();
        let handle = QueryHandle::open(self.metered(&meter), query, &self.fence)
            .await
            .map_err(|error| CoreError::from(error).about(query))?
            .ok_or_else(|| CoreError::no_such_query(query.as_str()))?;
        Ok(self.hold(handle, meter))
    }

    /// The handle of a query whose root this process has written.
    pub(super) fn written(
        &self,
        query: &QueryId,
        root: Arc<Root>,
        meter: Arc<Meter>,
    ) -> Arc<QueryHandle> {
        let store = self.metered(&meter);
        self.hold(QueryHandle::with_root(store, query, root, &self.fence), meter)
    }

    /// The store, with requests counted.
    pub(super) fn metered(&self, meter: &Arc<Meter>) -> ObjectControlStore {
        self.store.through(|inner| Arc::new(MeteredStore::new(inner, Arc::clone(meter))))
    }

    /// Requests of this process for a query so far, while its handle is in use.
    pub(super) fn requests(&self, query: &QueryId) -> Requests {
        let held = self.held.lock();
        held.get(query).map(|held| held.meter.snapshot().requests).unwrap_or_default()
    }

    /// If two requests read a query at the same time, the first handle is kept, because its caches may be filled.
    fn hold(&self, handle: QueryHandle, meter: Arc<Meter>) -> Arc<QueryHandle> {
        let handle = Arc::new(handle);
        let mut held = self.held.lock();
        held.retain(|_, held| held.handle.strong_count() > 0);
        if let Some(first) = held.get(&handle.query).and_then(|held| held.handle.upgrade()) {
            return first;
        }
        held.insert(handle.query.clone(), Held { handle: Arc::downgrade(&handle), meter });
        handle
    }

    /// The handles that are in use.
    pub(super) fn in_use(&self) -> Vec<Arc<QueryHandle>> {
        self.held.lock().values().filter_map(|held| held.handle.upgrade()).collect()
    }
}
