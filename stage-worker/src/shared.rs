//! What the slots of a process share: the store, the engine's resources, and one handle for each query.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::meter::{Meter, MeteredStore};
use dunlin_manifest::query::{QueryHandle, retire};
use dunlin_manifest::records::EngineFence;
use dunlin_manifest::store::{ControlStore, ObjectControlStore, StoreError};
use dunlin_plan::stores::Stores;
use dunlin_shuffle::ReadGovernor;
use tokio_util::sync::CancellationToken;

use crate::known::{Known, refusal};
use crate::options::WorkerOptions;

/// What the slots of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) control: ObjectControlStore,
    pub(crate) stores: Stores,
    pub(crate) env: Env,
    pub(crate) options: WorkerOptions,
    pub(crate) fence: EngineFence,
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) functions: SessionState,
    pub(crate) governor: ReadGovernor,
    pub(crate) stopping: CancellationToken,
    pub(crate) queries: parking_lot::Mutex<HashMap<QueryId, Arc<Known>>>,
    pub(crate) rung: tokio::sync::Notify,
    pub(crate) busy: AtomicU64,
    /// Queries of the inline route that only this process runs, or was asked to run.
    pub(crate) local: parking_lot::Mutex<HashSet<QueryId>>,
    /// Limits how many of them run at once to the worker's number of slots.
    pub(crate) local_slots: tokio::sync::Semaphore,
}

impl Shared {
    /// The process's view of a query, created when the query is first seen; `None` if it does not exist or has ended.
    ///
    /// # Errors
    /// The store did not answer.
    pub(crate) async fn known(&self, query: &QueryId) -> Result<Option<Arc<Known>>, StoreError> {
        if let Some(known) = self.queries.lock().get(query) {
            return Ok(Some(Arc::clone(known)));
        }
        let meter = Arc::new(Meter::default());
        let counted =
            self.control.through(|inner| Arc::new(MeteredStore::new(inner, Arc::clone(&meter))));
        let Some(handle) = QueryHandle::open(counted, query).await? else { return Ok(None) };
        if handle.ended().await?.is_some() {
            retire(&self.control, query).await;
            return Ok(None);
        }
        let refused = refusal(&self.fence, &self.stores, &handle.root);
        if let Some(reason) = &refused {
            tracing::warn!(%query, %reason, "a query is left to others");
            let hint = keys::refusal(query, &self.name);
            self.control.put(&hint, bytes::Bytes::from(reason.clone())).await?;
        }
        let fresh = Arc::new(Known::new(handle, meter, refused));
        let mut queries = self.queries.lock();
        Ok(Some(Arc::clone(queries.entry(query.clone()).or_insert(fresh))))
    }
}
