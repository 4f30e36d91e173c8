//! One process's view of one query, shared by its task slots. Each record is read once, and how long claims are
//! silent is remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::decide::{self, Decided, Sealed};
use crate::env::Env;
use crate::model::encoding::encode;
use crate::model::ids::{Attempt, QueryId, StageId, TaskId};
use crate::model::keys;
use crate::model::records::{Commit, End, EngineFence, Fail, Root, Seal, SealedTask, StageSpec};
use crate::model::view::QueryView;
use crate::query::cursor::Cursor;
use crate::query::error::AdvanceError;
use crate::query::known::{Known, KnownSeal};
use crate::query::observer::Observer;
use crate::store::control::{ControlStore, Got, StoreError};
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
    /// Locked before `observer`, where both are locked.
    pub(super) view: Mutex<QueryView>,
    pub(super) observer: Mutex<Observer>,
    pub(super) cursor: Mutex<Cursor>,
    /// One slot of a process writes derived records at a time. The other slots then find them as known records.
    pub(super) deriving: tokio::sync::Mutex<()>,
    /// This process has written a seal that it has not told of.
    pub(super) news: AtomicBool,
    /// False if the query belongs to another build.
    own: bool,
}

impl QueryHandle {
    /// Reads the root; `None` if there is no such query. `fence` is the fence of this process.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        store: ObjectControlStore,
        query: &QueryId,
        fence: &EngineFence,
    ) -> Result<Option<Self>, StoreError> {
        let key = keys::root(query);
        let Some(got) = store.get(&key).await? else { return Ok(None) };
        let root: Root = create::decode(&key, &got.body)?;
        let foreign =
            |reason: &str| StoreError::Malformed { key: key.clone(), reason: reason.to_owned() };
        if root.query != query.as_str() {
            return Err(foreign("it is the root of another query"));
        }
        if !store.root_key().vouches(&root) {
            return Err(foreign(
                "it is damaged, or no gateway with this process's [state] root_secret has written it",
            ));
        }
        let handle = Self::with_root(store, query, Arc::new(root), fence);
        let mut view = handle.view.lock();
        view.root_ms = Some(got.modified_ms);
        view.stamp(got.modified_ms);
        drop(view);
        Ok(Some(handle))
    }

    /// A handle for a root that is already known.
    #[must_use]
    pub fn with_root(
        store: ObjectControlStore,
        query: &QueryId,
        root: Arc<Root>,
        fence: &EngineFence,
    ) -> Self {
        let env = store.env().clone();
        let mut observer = Observer::default();
        observer.begin(env.clock.monotonic());
        Self {
            query: query.clone(),
            own: root.engine == *fence,
            root,
            store,
            known: Known::default(),
            view: Mutex::default(),
            observer: Mutex::new(observer),
            cursor: Mutex::new(Cursor::new(&env)),
            deriving: tokio::sync::Mutex::default(),
            news: AtomicBool::new(false),
            env,
        }
    }

    /// The store that this handle uses.
    #[must_use]
    pub fn store(&self) -> &ObjectControlStore {
        &self.store
    }

    /// False if the query belongs to another build. A process then derives nothing for it, and may only read it,
    /// cancel it, or end it when its time is over.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// What this process knows of the query by names.
    #[must_use]
    pub fn view(&self) -> QueryView {
        self.view.lock().clone()
    }

    /// A number that changes whenever a look has found something new: [`QueryView::facts`].
    #[must_use]
    pub fn facts(&self) -> u64 {
        self.view.lock().facts()
    }

    pub(super) fn spec(&self, stage: StageId) -> Result<&StageSpec, AdvanceError> {
        let found = self.root.stages.iter().find(|spec| spec.id == stage);
        found.ok_or_else(|| AdvanceError::Missing { key: keys::stage_prefix(&self.query, stage) })
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

    /// The end of the query, if this process knows it.
    #[must_use]
    pub fn known_end(&self) -> Option<Arc<End>> {
        self.known.end()
    }

    /// The manifest of a stage, if the seals that it depends on are known.
    #[must_use]
    pub fn known_manifest(&self, stage: StageId) -> Option<Arc<Decided>> {
        if let Some(known) = self.known.manifest(stage) {
            return Some(known);
        }
        // Another build may decide otherwise.
        if !self.own {
            return None;
        }
        let spec = self.spec(stage).ok()?;
        let seal_of = |stage| self.known.seal(stage).map(|known| known.sealed.clone());
        let decided = decide::manifest_of(&self.root, spec, seal_of)?;
        Some(self.known.remember_manifest(stage, decided))
    }

    /// The manifest of a stage; `None` if one of its inputs is not sealed. Reads the seals that it depends on and that
    /// this process does not know.
    ///
    /// # Errors
    /// The store's, or a seal that does not hold what it must.
    pub async fn manifest(&self, stage: StageId) -> Result<Option<Arc<Decided>>, AdvanceError> {
        if let Some(known) = self.known_manifest(stage) {
            return Ok(Some(known));
        }
        let spec = self.spec(stage)?;
        let broadcast = spec.broadcast.iter().flat_map(|broadcast| {
            let inputs = broadcast.inputs.iter().map(|input| input.stage);
            inputs.chain([broadcast.probe])
        });
        let inputs: std::collections::BTreeSet<StageId> =
            spec.inputs.iter().map(|input| input.stage).chain(broadcast).collect();
        let reads = inputs.into_iter().map(|input| self.seal(input));
        futures::future::try_join_all(reads).await?;
        Ok(self.known_manifest(stage))
    }

    /// The seal of a stage, if this process knows it.
    #[must_use]
    pub fn known_seal(&self, stage: StageId) -> Option<Sealed> {
        self.known.seal(stage).map(|known| known.sealed.clone())
    }

    pub(super) fn has_computed_the_last_seal(&self) -> bool {
        let last = self.root.stages.last().and_then(|last| self.known.seal(last.id));
        last.is_some_and(|known| known.computed)
    }

    /// True if this process has written a seal since it was last asked, so that others should be told. Another process
    /// that finds the same seal there has nothing to tell.
    pub fn has_news(&self) -> bool {
        self.news.swap(false, Ordering::Relaxed)
    }

    /// True if this process has completed an input of the stage: it has computed that seal, and not read it.
    #[must_use]
    pub fn has_opened(&self, stage: StageId) -> bool {
        let Ok(spec) = self.spec(stage) else { return false };
        let seals = spec.inputs.iter().filter_map(|input| self.known.seal(input.stage));
        seals.into_iter().any(|known| known.computed)
    }

    /// The seal of a stage; `None` if it is not written. Costs one GET, or none if this process knows the seal.
    ///
    /// # Errors
    /// The store's, or a seal of another manifest than the one that this process has computed.
    pub async fn seal(&self, stage: StageId) -> Result<Option<Sealed>, AdvanceError> {
        if let Some(known) = self.known_seal(stage) {
            return Ok(Some(known));
        }
        let key = keys::seal(&self.query, stage);
        let Some((seal, got)) = self.read::<Seal>(&key).await? else { return Ok(None) };
        let right = seal.stage == stage
            && seal.query == self.query.as_str()
            && self.known_manifest(stage).is_none_or(|decided| decided.digest == seal.manifest);
        if !right {
            return Err(AdvanceError::Broken { key });
        }
        let sealed = Sealed { seal: Arc::new(seal), digest: decide::digest_of(&got.body) };
        let known = self.known.remember_seal(stage, KnownSeal::read(sealed.clone()));
        if known.sealed.digest != sealed.digest {
            return Err(AdvanceError::Broken { key });
        }
        let mut view = self.view.lock();
        view.stamp(got.modified_ms);
        view.stage(stage).sealed = true;
        Ok(Some(sealed))
    }

    /// Reads a record of this query. Its bytes were written by this build, so what still cannot be read the second time
    /// is broken.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<(T, Got)>, AdvanceError> {
        for _ in 0..2 {
            let got = match self.store.get(key).await {
                Ok(Some(got)) => got,
                Ok(None) => return Ok(None),
                Err(StoreError::Malformed { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Ok(record) = create::decode(key, &got.body) {
                return Ok(Some((record, got)));
            }
        }
        Err(AdvanceError::Broken { key: key.to_owned() })
    }

    /// Remembers a seal that follows from settled commits. It is not written yet.
    pub(super) fn believe(&self, stage: StageId, seal: Seal) {
        let bytes = encode(&seal);
        let sealed = Sealed { seal: Arc::new(seal), digest: decide::digest_of(&bytes) };
        self.known.remember_seal(stage, KnownSeal::believed(sealed, bytes));
        self.view.lock().stage(stage).sealed = true;
    }

    /// The bytes of a plan, verified against its name.
    ///
    /// # Errors
    /// The store's, or [`AdvanceError::Missing`].
    pub async fn plan(&self, name: &str) -> Result<Bytes, AdvanceError> {
        if let Some(known) = self.known.plan(name) {
            return Ok(known);
        }
        let key = keys::plan(&self.query, name);
        let malformed = |reason: &str| {
            let reason = reason.to_owned();
            AdvanceError::Store(StoreError::Malformed { key: key.clone(), reason })
        };
        let bytes = match self.root.plans.get(name) {
            Some(text) => {
                let bytes = STANDARD.decode(text);
                Bytes::from(bytes.map_err(|_| malformed("the plan in the root is not base64"))?)
            }
            None => match self.store.get(&key).await? {
                Some(got) => got.body,
                None => return Err(AdvanceError::Missing { key }),
            },
        };
        if decide::digest_of(&bytes) != name {
            return Err(malformed("its bytes do not hash to its name"));
        }
        self.known.remember_plan(name, bytes.clone());
        Ok(bytes)
    }

    /// The latest attempt of a task that this process knows to be claimed.
    #[must_use]
    pub fn latest_claim(&self, stage: StageId, task: TaskId) -> Option<Attempt> {
        self.view.lock().stages.get(&stage)?.claims.get(&task).copied()
    }

    /// Remembers that an attempt was claimed.
    pub fn note_claim(&self, stage: StageId, task: TaskId, attempt: Attempt) {
        self.view.lock().stage(stage).add_claim(task, attempt);
    }

    /// Remembers how an attempt failed, as written by this process.
    pub fn note_fail(&self, stage: StageId, task: TaskId, attempt: Attempt, fail: Fail) {
        let now = self.env.clock.monotonic();
        self.known.remember_fail((stage, task, attempt), fail, now);
        let mut view = self.view.lock();
        view.stage(stage).fails.entry(task).or_default().insert(attempt);
    }

    /// What names the objects of this query: its id, and its workgroup.
    pub(super) fn owner(&self) -> (&QueryId, Option<&str>) {
        (&self.query, self.root.workgroup.as_deref())
    }

    /// Remembers a settled commit of a task: one that this process has won, or has read.
    pub(super) fn note_commit(
        &self,
        stage: StageId,
        task: TaskId,
        commit: Commit,
    ) -> Result<Arc<SealedTask>, AdvanceError> {
        let missing = || AdvanceError::Missing { key: keys::stage_prefix(&self.query, stage) };
        let decided = self.known_manifest(stage).ok_or_else(missing)?;
        let broken = |_| AdvanceError::Broken { key: keys::commit(&self.query, stage, task) };
        let winner = decide::winner(&decided, self.owner(), task, commit).map_err(broken)?;
        self.view.lock().stage(stage).commits.insert(task);
        Ok(self.known.remember_commit(stage, winner))
    }
}
