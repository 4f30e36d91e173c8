//! One process's view of one query, shared by its task slots. Each record is read once, and how long claims are
//! silent is remembered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::env::Env;
use crate::model::ids::{QueryId, StageId};
use crate::model::keys;
use crate::model::records::{End, Root, Seal, SealedTask, StageManifest};
use crate::model::view::QueryView;
use crate::query::error::AdvanceError;
use crate::query::known::Known;
use crate::query::observer::Observer;
use crate::store::control::{ControlStore, StoreError};
use crate::store::create;
use crate::store::object::ObjectControlStore;

/// One process's view of one query.
#[derive(Debug)]
pub struct QueryHandle {
    /// The query.
    pub query: QueryId,
    /// Its root.
    pub root: Arc<Root>,
    pub(super) store: ObjectControlStore,
    pub(super) env: Env,
    pub(super) known: Known,
    pub(super) observer: Mutex<Observer>,
    /// One slot of a process writes derived records at a time. The other slots then find them as known records.
    pub(super) deriving: tokio::sync::Mutex<()>,
}

impl QueryHandle {
    /// Reads the root; `None` if there is no such query.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        store: ObjectControlStore,
        query: &QueryId,
    ) -> Result<Option<Self>, StoreError> {
        let root: Option<Root> = create::load(&store, &keys::root(query)).await?;
        Ok(root.map(|root| Self::with_root(store, query, Arc::new(root))))
    }

    /// A handle for a root that is already known.
    #[must_use]
    pub fn with_root(store: ObjectControlStore, query: &QueryId, root: Arc<Root>) -> Self {
        let env = store.env().clone();
        Self {
            query: query.clone(),
            root,
            store,
            env,
            known: Known::default(),
            observer: Mutex::default(),
            deriving: tokio::sync::Mutex::default(),
        }
    }

    /// The store that this handle uses.
    #[must_use]
    pub fn store(&self) -> &ObjectControlStore {
        &self.store
    }

    /// One LIST of the query's objects. A LIST of its heartbeats follows if a claim has been silent for longer than
    /// the heartbeat period, or if `with_beats` asks for it.
    ///
    /// # Errors
    /// The store's.
    pub async fn look(&self, with_beats: bool) -> Result<QueryView, StoreError> {
        let now = self.env.clock.monotonic();
        let period = Duration::from_millis(self.root.limits.heartbeat_ms);
        let with_beats = with_beats || self.observer.lock().wants_beats(now, period);
        let control = self.store.list(&keys::ctl_prefix(&self.query)).await?;
        let beats = if with_beats {
            self.store.list(&keys::hb_prefix(&self.query)).await?
        } else {
            Vec::new()
        };
        let view = QueryView::from_listing(&self.query, &control, &beats);
        let now = self.env.clock.monotonic();
        self.observer.lock().observe(now, &view, with_beats);
        Ok(view)
    }

    /// How long nothing at all has changed, as far as this process has seen.
    #[must_use]
    pub fn still_for(&self) -> Duration {
        self.observer.lock().still_for(self.env.clock.monotonic())
    }

    /// The end of the query, if it has one. Costs one GET, or none if this process knows the end already.
    ///
    /// # Errors
    /// The store's.
    pub async fn ended(&self) -> Result<Option<Arc<End>>, StoreError> {
        if let Some(known) = self.known.end() {
            return Ok(Some(known));
        }
        let found: Option<End> = create::load(&self.store, &keys::end(&self.query)).await?;
        Ok(found.map(|end| self.known.remember_end(end)))
    }

    /// The manifest of a stage; `None` if it is not written.
    ///
    /// # Errors
    /// The store's.
    pub async fn manifest(&self, stage: StageId) -> Result<Option<Arc<StageManifest>>, StoreError> {
        if let Some(known) = self.known.manifest(stage) {
            return Ok(Some(known));
        }
        let key = keys::manifest(&self.query, stage);
        let found: Option<StageManifest> = create::load(&self.store, &key).await?;
        Ok(found.map(|manifest| self.known.remember_manifest(stage, manifest)))
    }

    /// The seal of a stage; `None` if it is not written.
    ///
    /// # Errors
    /// The store's.
    pub async fn seal(&self, stage: StageId) -> Result<Option<Arc<Seal>>, StoreError> {
        if let Some(known) = self.known.seal(stage) {
            return Ok(Some(known));
        }
        let key = keys::seal(&self.query, stage);
        let found: Option<Seal> = create::load(&self.store, &key).await?;
        Ok(found.map(|seal| self.known.remember_seal(stage, seal)))
    }

    /// The bytes of a plan object, verified against its name.
    ///
    /// # Errors
    /// The store's, or [`AdvanceError::Missing`].
    pub async fn plan(&self, name: &str) -> Result<Bytes, AdvanceError> {
        if let Some(known) = self.known.plan(name) {
            return Ok(known);
        }
        let key = keys::plan(&self.query, name);
        let Some(got) = self.store.get(&key).await? else {
            return Err(AdvanceError::Missing { key });
        };
        if blake3::hash(&got.body).to_hex().as_str() != name {
            return Err(AdvanceError::Store(StoreError::Malformed {
                key,
                reason: "its bytes do not hash to its name".to_owned(),
            }));
        }
        self.known.remember_plan(name, got.body.clone());
        Ok(got.body)
    }

    /// Remembers a commit that this process won, so that it does not have to be read again.
    pub fn remember_commit(&self, stage: StageId, task: SealedTask) {
        self.known.remember_commit(stage, task);
    }
}
