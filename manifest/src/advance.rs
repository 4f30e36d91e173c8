//! Moving a query on: the I/O around [`crate::decide`].
//!
//! Anyone may advance a query, any number of times, at once: every step is a create that one process
//! wins and the others adopt. A [`QueryHandle`] is one process's view of one query, shared by its slots:
//! it caches what is written once (root, manifests, seals) and remembers how long claims are silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use crate::create::{self, CreateError, Decision, Derived};
use crate::decide::{self, Due, OpenTask, Seen, Steps, Verdict};
use crate::env::Env;
use crate::ids::QueryId;
use crate::keys;
use crate::records::{
    Attempt, Broadcast, Commit, End, EndStatus, Fail, GroupSeal, QueryError, RECORD_VERSION, Root,
    Seal, SealedTask, StageId, StageManifest, Summary, TaskId,
};
use crate::store::{ControlStore, ObjectControlStore, StoreError};
use crate::view::{Observer, QueryView};

/// Records read at once while a stage is sealed.
const READS: usize = 16;

/// How long a process that did not make a record due waits for the one that did. Costs this much only where
/// a process died between its commit and the seal.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// A step that could not be made. The query is as it was; anyone may try again.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A create that was not settled.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A record that must be there is not.
    #[error("{key} is not there although later records rest on it")]
    Missing {
        /// The key.
        key: String,
    },
}

impl AdvanceError {
    /// Whether the same step may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Create(error) => error.is_retryable(),
            Self::Missing { .. } => false,
        }
    }
}

/// Where a query stands after it was advanced.
#[derive(Clone, Debug, Default)]
pub struct Advanced {
    /// Its end, if it has one.
    pub ended: Option<Arc<End>>,
    /// Tasks that may be claimed now, best first.
    pub open: Vec<OpenTask>,
    /// Claims that are believed alive.
    pub running: usize,
    /// Something was written that opens work for others.
    pub moved: bool,
}

/// How far a query has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Stages.
    pub stages: usize,
    /// Sealed stages.
    pub stages_done: usize,
    /// Tasks of the stages whose manifest is known here.
    pub tasks: usize,
    /// Committed tasks among them.
    pub tasks_done: usize,
    /// Attempts claimed.
    pub attempts: u64,
}

#[derive(Debug, Default)]
struct Cache {
    manifests: BTreeMap<StageId, Arc<StageManifest>>,
    seals: BTreeMap<StageId, Arc<Seal>>,
    commits: BTreeMap<(StageId, TaskId), Arc<SealedTask>>,
    fails: BTreeMap<(StageId, TaskId, Attempt), Arc<Fail>>,
    plans: BTreeMap<String, Bytes>,
    groups: BTreeSet<(StageId, u32)>,
    /// Since when something is due that somebody else is expected to do, by this process's clock.
    due_since: Option<Duration>,
    end: Option<Arc<End>>,
    observer: Observer,
}

/// One process's view of one query.
#[derive(Debug)]
pub struct QueryHandle {
    /// The query.
    pub query: QueryId,
    /// Its root.
    pub root: Arc<Root>,
    store: ObjectControlStore,
    env: Env,
    cache: Mutex<Cache>,
    /// Derived records are written by one slot of a process at a time; the others find them in the cache.
    deriving: tokio::sync::Mutex<()>,
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
            cache: Mutex::new(Cache::default()),
            deriving: tokio::sync::Mutex::default(),
        }
    }

    /// The store that this handle asks.
    #[must_use]
    pub fn store(&self) -> &ObjectControlStore {
        &self.store
    }

    /// One LIST of the query's objects, and one of its heartbeats where some claim has been silent for
    /// longer than a heartbeat's period (or `with_beats` asks for it).
    ///
    /// # Errors
    /// The store's.
    pub async fn look(&self, with_beats: bool) -> Result<QueryView, StoreError> {
        let now = self.env.clock.monotonic();
        let period = Duration::from_millis(self.root.limits.heartbeat_ms);
        let with_beats = with_beats || self.cache.lock().observer.wants_beats(now, period);
        let control = self.store.list(&keys::ctl_prefix(&self.query)).await?;
        let beats = if with_beats {
            self.store.list(&keys::hb_prefix(&self.query)).await?
        } else {
            Vec::new()
        };
        let view = QueryView::from_listing(&self.query, &control, &beats);
        let now = self.env.clock.monotonic();
        self.cache.lock().observer.observe(now, &view, with_beats);
        Ok(view)
    }

    /// How long nothing at all has changed, as far as this process has seen.
    #[must_use]
    pub fn still_for(&self) -> Duration {
        self.cache.lock().observer.still_for(self.env.clock.monotonic())
    }

    /// How far the query has come, by a view.
    #[must_use]
    pub fn progress(&self, view: &QueryView) -> Progress {
        let cache = self.cache.lock();
        let mut progress = Progress { stages: self.root.stages.len(), ..Progress::default() };
        for spec in &self.root.stages {
            let state = view.stages.get(&spec.id);
            if state.is_some_and(|state| state.sealed) {
                progress.stages_done += 1;
            }
            let done = state.map_or(0, |state| state.commits.len());
            let known = cache.manifests.get(&spec.id).map_or(done, |manifest| manifest.tasks.len());
            progress.tasks += known.max(done);
            progress.tasks_done += done;
            progress.attempts += state.map_or(0, |state| state.attempts);
        }
        progress
    }

    /// The end of the query, if it has one: one GET, or none if it is known here.
    ///
    /// # Errors
    /// The store's.
    pub async fn ended(&self) -> Result<Option<Arc<End>>, StoreError> {
        if let Some(end) = self.cache.lock().end.clone() {
            return Ok(Some(end));
        }
        let end: Option<End> = create::load(&self.store, &keys::end(&self.query)).await?;
        Ok(end.map(|end| self.remember_end(end)))
    }

    fn remember_end(&self, end: End) -> Arc<End> {
        Arc::clone(self.cache.lock().end.get_or_insert_with(|| Arc::new(end)))
    }

    /// The manifest of a stage; `None` if it is not written.
    ///
    /// # Errors
    /// The store's.
    pub async fn manifest(&self, stage: StageId) -> Result<Option<Arc<StageManifest>>, StoreError> {
        if let Some(known) = self.cache.lock().manifests.get(&stage) {
            return Ok(Some(Arc::clone(known)));
        }
        let key = keys::manifest(&self.query, stage);
        let found: Option<StageManifest> = create::load(&self.store, &key).await?;
        Ok(found.map(|found| self.remember_manifest(stage, found)))
    }

    fn remember_manifest(&self, stage: StageId, manifest: StageManifest) -> Arc<StageManifest> {
        let mut cache = self.cache.lock();
        Arc::clone(cache.manifests.entry(stage).or_insert_with(|| Arc::new(manifest)))
    }

    /// The seal of a stage; `None` if it is not written.
    ///
    /// # Errors
    /// The store's.
    pub async fn seal(&self, stage: StageId) -> Result<Option<Arc<Seal>>, StoreError> {
        if let Some(known) = self.cache.lock().seals.get(&stage) {
            return Ok(Some(Arc::clone(known)));
        }
        let found: Option<Seal> =
            create::load(&self.store, &keys::seal(&self.query, stage)).await?;
        Ok(found.map(|found| self.remember_seal(stage, found)))
    }

    fn remember_seal(&self, stage: StageId, seal: Seal) -> Arc<Seal> {
        let mut cache = self.cache.lock();
        // A sealed stage's commits are in the seal.
        cache.commits.retain(|(of, _), _| *of != stage);
        Arc::clone(cache.seals.entry(stage).or_insert_with(|| Arc::new(seal)))
    }

    /// The bytes of a plan object, verified against its name.
    ///
    /// # Errors
    /// The store's, or [`AdvanceError::Missing`].
    pub async fn plan(&self, name: &str) -> Result<Bytes, AdvanceError> {
        if let Some(known) = self.cache.lock().plans.get(name) {
            return Ok(known.clone());
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
        self.cache.lock().plans.insert(name.to_owned(), got.body.clone());
        Ok(got.body)
    }

    /// Remembers a commit that this process won, so that it need not be read back.
    pub fn remember_commit(&self, stage: StageId, task: SealedTask) {
        self.cache.lock().commits.insert((stage, task.task), Arc::new(task));
    }

    /// As [`QueryHandle::advance`], for processes that merely look: what is due is left to whoever made it
    /// due (the last committer, as a rule) until it has been due for [`PATIENCE`]. Otherwise every idle
    /// worker would read the same commits and send the same record at the same moment.
    ///
    /// # Errors
    /// As [`QueryHandle::advance`].
    pub async fn advance_patiently(&self, view: &mut QueryView) -> Result<Advanced, AdvanceError> {
        let steps = self.steps(view).await?;
        let overdue = {
            let now = self.env.clock.monotonic();
            let mut cache = self.cache.lock();
            if steps.due.is_empty() && !steps.finished {
                cache.due_since = None;
                true
            } else {
                let since = *cache.due_since.get_or_insert(now);
                now.saturating_sub(since) >= PATIENCE
            }
        };
        if overdue {
            return self.advance(view).await;
        }
        Ok(Advanced { open: steps.open, running: steps.running, ..Advanced::default() })
    }

    /// Writes whatever is due, until nothing is, and says what may be claimed. An `end` that somebody else
    /// wrote is not looked for: ask [`QueryHandle::ended`] before a claim.
    ///
    /// # Errors
    /// See [`AdvanceError`]; the query can be advanced again by anyone.
    pub async fn advance(&self, view: &mut QueryView) -> Result<Advanced, AdvanceError> {
        match self.move_on(view).await {
            Err(error) if self.is_over_age(view) => {
                tracing::warn!(query = %self.query, %error, "a query that cannot be moved on is over its time");
                let ended = Some(self.fail(self.over_age()).await?);
                Ok(Advanced { ended, ..Advanced::default() })
            }
            outcome => outcome,
        }
    }

    async fn move_on(&self, view: &mut QueryView) -> Result<Advanced, AdvanceError> {
        let mut moved = false;
        if let Some(end) = self.cache.lock().end.clone() {
            return Ok(Advanced { ended: Some(end), ..Advanced::default() });
        }
        let steps = loop {
            let steps = self.steps(view).await?;
            if steps.due.is_empty() {
                break steps;
            }
            let _one_at_a_time = self.deriving.lock().await;
            for due in &steps.due {
                match self.write(view, *due).await {
                    Ok(Derived::Created) => moved = true,
                    Ok(Derived::Adopted) => {}
                    Err(AdvanceError::Create(CreateError::Conflict { key })) => {
                        let error = QueryError {
                            code: "INTERNAL".to_owned(),
                            message: format!(
                                "{key} holds other bytes than its inputs give: the store or the engine broke a promise"
                            ),
                            retryable: false,
                        };
                        let ended = self.fail(error).await?;
                        return Ok(Advanced { ended: Some(ended), moved, ..Advanced::default() });
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let ended = self.conclude(view, &steps).await?;
        if ended.is_some() {
            return Ok(Advanced { ended, moved, ..Advanced::default() });
        }
        Ok(Advanced { ended: None, open: steps.open, running: steps.running, moved })
    }

    async fn steps(&self, view: &QueryView) -> Result<Steps, StoreError> {
        let mut manifests = BTreeMap::new();
        for spec in &self.root.stages {
            let open =
                view.stages.get(&spec.id).is_some_and(|state| state.manifest && !state.sealed);
            if open && let Some(manifest) = self.manifest(spec.id).await? {
                manifests.insert(spec.id, manifest);
            }
        }
        let now = self.env.clock.monotonic();
        let cache = self.cache.lock();
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Ok(decide::next_steps(&self.root, view, &manifests, |stage, task| Seen {
            silent_ms: millis(cache.observer.silent_for(now, stage, task)),
            age_ms: millis(cache.observer.claim_age(now, stage, task)),
        }))
    }

    async fn write(&self, view: &mut QueryView, due: Due) -> Result<Derived, AdvanceError> {
        if self.is_written(due) {
            match due {
                Due::Manifest(stage) => view.stage(stage).manifest = true,
                Due::GroupSeal(stage, group) => {
                    view.stage(stage).groups.insert(group);
                }
                Due::Seal(stage) => view.stage(stage).sealed = true,
            }
            return Ok(Derived::Adopted);
        }
        match due {
            Due::Manifest(stage) => {
                let manifest = self.make_manifest(stage).await?;
                let key = keys::manifest(&self.query, stage);
                let body = create::encode(&manifest);
                let derived = create::derive(&self.store, &self.env, &key, body).await?;
                self.remember_manifest(stage, manifest);
                view.stage(stage).manifest = true;
                Ok(derived)
            }
            Due::GroupSeal(stage, group) => {
                let tasks = self.tasks_of(stage).await?;
                let wanted = decide::group_tasks(group, tasks);
                let seal = decide::group_seal(group, self.winners(stage, wanted).await?);
                let key = keys::gseal(&self.query, stage, group);
                let body = create::encode(&seal);
                let derived = create::derive(&self.store, &self.env, &key, body).await?;
                view.stage(stage).groups.insert(group);
                self.cache.lock().groups.insert((stage, group));
                Ok(derived)
            }
            Due::Seal(stage) => {
                let tasks = self.tasks_of(stage).await?;
                let groups = decide::groups(tasks);
                let winners = if groups == 0 {
                    self.winners(stage, 0..u32::try_from(tasks).unwrap_or(u32::MAX)).await?
                } else {
                    self.grouped(stage, groups).await?
                };
                let seal = decide::seal(&self.root, stage, winners);
                let body = create::encode(&seal);
                let key = keys::seal(&self.query, stage);
                let derived = create::derive(&self.store, &self.env, &key, body).await?;
                self.remember_seal(stage, seal);
                view.stage(stage).sealed = true;
                Ok(derived)
            }
        }
    }

    /// True if this process knows the record to be there: the view is older than that.
    fn is_written(&self, due: Due) -> bool {
        let cache = self.cache.lock();
        match due {
            Due::Manifest(stage) => cache.manifests.contains_key(&stage),
            Due::GroupSeal(stage, group) => cache.groups.contains(&(stage, group)),
            Due::Seal(stage) => cache.seals.contains_key(&stage),
        }
    }

    async fn make_manifest(&self, stage: StageId) -> Result<StageManifest, AdvanceError> {
        let missing = |key: String| AdvanceError::Missing { key };
        let spec = self
            .root
            .stages
            .iter()
            .find(|spec| spec.id == stage)
            .ok_or_else(|| missing(keys::manifest(&self.query, stage)))?;
        // Whether the build side of a join is sent whole was decided when the probe side's turn came.
        let broadcast = match &spec.broadcast {
            Some(Broadcast { probe, .. }) => {
                let manifest = self.manifest(*probe).await?;
                manifest.ok_or_else(|| missing(keys::manifest(&self.query, *probe)))?.absorbed
            }
            None => false,
        };
        let inputs = spec.decided(broadcast).inputs;
        let mut seals = Vec::with_capacity(inputs.len());
        for input in &inputs {
            let seal = self.seal(input.stage).await?;
            seals.push(seal.ok_or_else(|| missing(keys::seal(&self.query, input.stage)))?);
        }
        let seals: Vec<&Seal> = seals.iter().map(AsRef::as_ref).collect();
        Ok(decide::stage_manifest(&self.root, spec, broadcast, &seals))
    }

    async fn tasks_of(&self, stage: StageId) -> Result<usize, AdvanceError> {
        match self.manifest(stage).await? {
            Some(manifest) => Ok(manifest.tasks.len()),
            None => Err(AdvanceError::Missing { key: keys::manifest(&self.query, stage) }),
        }
    }

    async fn winners(
        &self,
        stage: StageId,
        tasks: std::ops::Range<TaskId>,
    ) -> Result<Vec<SealedTask>, AdvanceError> {
        stream::iter(tasks.map(|task| self.winner(stage, task))).buffered(READS).try_collect().await
    }

    async fn winner(&self, stage: StageId, task: TaskId) -> Result<SealedTask, AdvanceError> {
        if let Some(known) = self.cache.lock().commits.get(&(stage, task)) {
            return Ok(known.as_ref().clone());
        }
        let key = keys::commit(&self.query, stage, task);
        let commit: Option<Commit> = create::load(&self.store, &key).await?;
        commit.map(decide::sealed).ok_or(AdvanceError::Missing { key })
    }

    async fn grouped(&self, stage: StageId, groups: u32) -> Result<Vec<SealedTask>, AdvanceError> {
        let folded: Vec<Vec<SealedTask>> = stream::iter((0..groups).map(|group| async move {
            let key = keys::gseal(&self.query, stage, group);
            let seal: Option<GroupSeal> = create::load(&self.store, &key).await?;
            seal.map(|seal| seal.tasks).ok_or(AdvanceError::Missing { key })
        }))
        .buffered(READS)
        .try_collect()
        .await?;
        Ok(folded.into_iter().flatten().collect())
    }

    /// Ends the query where the view says that it is over.
    async fn conclude(
        &self,
        view: &QueryView,
        steps: &Steps,
    ) -> Result<Option<Arc<End>>, AdvanceError> {
        if steps.finished {
            return self.succeed(view).await.map(Some);
        }
        for &(stage, task) in &steps.failed {
            let fails = self.fails(view, stage, task).await?;
            if let Verdict::Fail(error) = decide::judge(&fails, &self.root.limits)
                && !self.is_committed(stage, task).await?
            {
                return self.fail(error).await.map(Some);
            }
        }
        for &(stage, task) in &steps.exhausted {
            if !self.is_committed(stage, task).await? {
                let error = QueryError {
                    code: "WORKER_LOST".to_owned(),
                    message: format!(
                        "task {task} of stage {stage} was claimed {} times and every worker died with it; it may need more memory than the workers have",
                        self.root.limits.max_claims
                    ),
                    retryable: true,
                };
                return self.fail(error).await.map(Some);
            }
        }
        if self.is_over_age(view) {
            return self.fail(self.over_age()).await.map(Some);
        }
        Ok(None)
    }

    fn is_over_age(&self, view: &QueryView) -> bool {
        self.age(view) > Duration::from_millis(self.root.limits.ttl_ms)
    }

    fn over_age(&self) -> QueryError {
        QueryError {
            code: "TIMEOUT".to_owned(),
            message: format!(
                "the query did not end within its time to live of {} s",
                self.root.limits.ttl_ms / 1000
            ),
            retryable: true,
        }
    }

    /// A lower bound of the query's age: what this process has lived through, or what the store's stamps
    /// of the query's own objects span.
    fn age(&self, view: &QueryView) -> Duration {
        let lived = self.cache.lock().observer.known_for(self.env.clock.monotonic());
        lived.max(Duration::from_millis(spanned_ms(view)))
    }

    async fn fails(
        &self,
        view: &QueryView,
        stage: StageId,
        task: TaskId,
    ) -> Result<Vec<Fail>, AdvanceError> {
        let attempts = view.stages.get(&stage).and_then(|state| state.fails.get(&task)).cloned();
        let mut fails = Vec::new();
        for attempt in attempts.into_iter().flatten() {
            let known = self.cache.lock().fails.get(&(stage, task, attempt)).cloned();
            let fail = match known {
                Some(known) => known,
                None => {
                    let key = keys::fail(&self.query, stage, task, attempt);
                    let fail: Option<Fail> = create::load(&self.store, &key).await?;
                    let fail = Arc::new(fail.ok_or(AdvanceError::Missing { key })?);
                    self.cache.lock().fails.insert((stage, task, attempt), Arc::clone(&fail));
                    fail
                }
            };
            fails.push(fail.as_ref().clone());
        }
        Ok(fails)
    }

    async fn is_committed(&self, stage: StageId, task: TaskId) -> Result<bool, StoreError> {
        Ok(self.store.get(&keys::commit(&self.query, stage, task)).await?.is_some())
    }

    async fn succeed(&self, view: &QueryView) -> Result<Arc<End>, AdvanceError> {
        let mut summary = Summary {
            stages: u64::try_from(self.root.stages.len()).unwrap_or(u64::MAX),
            attempts: view.attempts(),
            wall_ms: spanned_ms(view),
            ..Summary::default()
        };
        let mut last = None;
        for spec in &self.root.stages {
            let seal = self.seal(spec.id).await?;
            let seal = seal
                .ok_or_else(|| AdvanceError::Missing { key: keys::seal(&self.query, spec.id) })?;
            summary.tasks += u64::try_from(seal.tasks.len()).unwrap_or(u64::MAX);
            for task in &seal.tasks {
                summary.bytes_scanned += task.metrics.scan_bytes;
                summary.requests += task.metrics.requests;
            }
            summary.rows = seal.rows;
            summary.shuffle_bytes += seal.bytes;
            last = Some(seal);
        }
        // The last stage's bytes are the answer, not exchange.
        summary.shuffle_bytes -= last.as_ref().map_or(0, |seal| seal.bytes);
        let end = End {
            v: RECORD_VERSION,
            nonce: self.env.nonce(),
            status: EndStatus::Succeeded,
            error: None,
            seal: last.map(|seal| decide::digest(seal.as_ref())),
            summary: Some(summary),
        };
        self.end(end).await
    }

    /// Ends the query FAILED, unless it has ended already; gives whichever end is there.
    ///
    /// # Errors
    /// A create that was not settled.
    pub async fn fail(&self, error: QueryError) -> Result<Arc<End>, AdvanceError> {
        self.end(End {
            v: RECORD_VERSION,
            nonce: self.env.nonce(),
            status: EndStatus::Failed,
            error: Some(error),
            seal: None,
            summary: None,
        })
        .await
    }

    /// Ends the query CANCELLED, unless it has ended already; gives whichever end is there.
    ///
    /// # Errors
    /// A create that was not settled.
    pub async fn cancel(&self) -> Result<Arc<End>, AdvanceError> {
        self.end(End {
            v: RECORD_VERSION,
            nonce: self.env.nonce(),
            status: EndStatus::Cancelled,
            error: Some(QueryError {
                code: "CANCELLED".to_owned(),
                message: "the query was cancelled".to_owned(),
                retryable: false,
            }),
            seal: None,
            summary: None,
        })
        .await
    }

    async fn end(&self, end: End) -> Result<Arc<End>, AdvanceError> {
        let end = create_end(&self.store, &self.env, &self.query, end).await?;
        Ok(self.remember_end(end))
    }
}

/// Milliseconds between the stamps of `root` and of the newest object, both the store's.
fn spanned_ms(view: &QueryView) -> u64 {
    view.root_ms.map_or(0, |root| u64::try_from(view.newest_ms.saturating_sub(root)).unwrap_or(0))
}

/// Creates `end` or adopts the one that is there, and takes the query off the list of active ones.
///
/// # Errors
/// A create that was not settled.
pub async fn create_end(
    store: &dyn ControlStore,
    env: &Env,
    query: &QueryId,
    end: End,
) -> Result<End, AdvanceError> {
    let key = keys::end(query);
    let end = match create::decide(store, env, &key, create::encode(&end), &end.nonce).await? {
        Decision::Won => end,
        Decision::Lost(body) => create::decode(&key, &body)?,
    };
    retire(store, query).await;
    Ok(end)
}

/// Takes an ended query off the list of active ones. A hint: failing to is harmless.
pub async fn retire(store: &dyn ControlStore, query: &QueryId) {
    if let Err(error) = store.delete(&keys::active(query)).await {
        tracing::debug!(%query, %error, "an ended query stays on the list of active ones for now");
    }
}

/// Rings the bell: idle workers look again. A hint.
pub async fn ring(store: &dyn ControlStore, env: &Env) {
    if let Err(error) = store.put(keys::BELL, Bytes::from(env.nonce())).await {
        tracing::debug!(%error, "the bell could not be rung");
    }
}

/// The active queries, by the hints.
///
/// # Errors
/// The store's.
pub async fn active(store: &dyn ControlStore) -> Result<Vec<QueryId>, StoreError> {
    let listed = store.list(keys::ACTIVE).await?;
    Ok(listed.iter().filter_map(|entry| keys::parse_active(&entry.key)).collect())
}
