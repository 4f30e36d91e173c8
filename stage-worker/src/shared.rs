//! What the slots of a process share: the store, the engine's resources, and one handle for each query.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::query::{Place, QueryHandle, active, retire};
use dunlin_manifest::records::{End, EngineFence, Requests, Root, Route};
use dunlin_manifest::store::create::decode;
use dunlin_manifest::store::{ControlStore, ObjectControlStore, StoreError};
use dunlin_plan::pressure::Pressure;
use dunlin_plan::stores::Stores;
use dunlin_shuffle::ReadGovernor;
use futures::try_join;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::crowd::Crowd;
use crate::known::{Known, refusal};
use crate::ledger::Ledger;
use crate::options::WorkerOptions;
use crate::shares::{Candidate, Shares, sharer};

/// What the slots of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) control: ObjectControlStore,
    /// Counts what is asked for no query: lists of queries, the bell.
    pub(crate) asked: Arc<Meter>,
    pub(crate) ledger: Ledger,
    /// The stores of the state.
    pub(crate) stores: Stores,
    /// The stores of the tables. Another configuration may bring others; an attempt keeps those that it began with.
    pub(crate) tables: parking_lot::RwLock<Stores>,
    pub(crate) env: Env,
    pub(crate) options: WorkerOptions,
    pub(crate) fence: EngineFence,
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) functions: SessionState,
    pub(crate) governor: ReadGovernor,
    /// Cancelled when running tasks are to be given back. A visit has its own.
    pub(crate) stopping: parking_lot::Mutex<CancellationToken>,
    /// From then on no task is begun.
    pub(crate) begin_until: parking_lot::Mutex<Option<Duration>>,
    /// When a slot last looked for work, in milliseconds of the monotonic clock.
    pub(crate) turned_ms: AtomicU64,
    /// Tasks that this process has committed.
    pub(crate) committed: AtomicU64,
    /// What goes on beside the work of the slots: claims, looks, seals that are written, news.
    pub(crate) writing: TaskTracker,
    pub(crate) queries: parking_lot::Mutex<HashMap<QueryId, Arc<Known>>>,
    /// Queries whose records this build cannot read.
    pub(crate) unreadable: parking_lot::Mutex<HashSet<QueryId>>,
    /// Queries that this worker may not run, and when it has said so.
    pub(crate) refusals: parking_lot::Mutex<HashMap<QueryId, Refusal>>,
    /// Queries that this process has seen end, the latest last. Their hints may still be there.
    pub(crate) ended: parking_lot::Mutex<VecDeque<QueryId>>,
    /// The latest list of active queries, and when it was asked for.
    pub(crate) active: tokio::sync::Mutex<Option<(Duration, Vec<QueryId>)>>,
    /// When they were last listed.
    pub(crate) listed: parking_lot::Mutex<Option<Duration>>,
    pub(crate) rung: tokio::sync::Notify,
    /// Queries of which this process was told that they have work.
    pub(crate) heard: parking_lot::Mutex<Heard>,
    /// This process's place among those that listen for news.
    pub(crate) place: parking_lot::Mutex<Option<Place>>,
    /// How many processes listened when this one was last told its place.
    pub(crate) listeners: AtomicU32,
    pub(crate) busy: AtomicU64,
    pub(crate) pressure: Arc<Pressure>,
    /// Attempts share it. One whose task has lacked memory before has it alone.
    pub(crate) memory: RwLock<()>,
    /// Slots that are at work on a query, also if they only wait for commits.
    pub(crate) at_work: AtomicU64,
    /// Queries of the inline route that only this process runs, or was asked to run.
    pub(crate) local: parking_lot::Mutex<HashSet<QueryId>>,
    /// What owners and queries have had of the slots.
    pub(crate) shares: Arc<Shares>,
    /// Limits how many of them run at once to the worker's number of slots.
    pub(crate) local_slots: tokio::sync::Semaphore,
}

/// The queries that this process was told of, by the number of the news.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    latest: u64,
    queries: HashMap<QueryId, u64>,
}

/// What a slot may do for a query, as far as this process knows.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Work on it, or read it.
    Turn(Candidate),
    /// Leave it for a moment: a look has just found nothing to do.
    Quiet(Candidate),
    /// Say again that this worker may not run it.
    Refused,
    /// It has ended, or its gateway runs it (see `Worker::run_query`), or it is for another pool.
    NotOurs,
}

impl Asked {
    /// The query, if a slot may work on it or read it now.
    fn turn(self) -> Option<Candidate> {
        match self {
            Self::Turn(candidate) => Some(candidate),
            Self::Quiet(_) | Self::Refused | Self::NotOurs => None,
        }
    }
}

/// So many queries are remembered that have ended.
const ENDED: usize = 64;
/// News that no slot has asked for after so many others is forgotten. The slots look at the store anyway.
const HEARD: u64 = 256;

impl Shared {
    /// Wakes the slots for a query.
    pub(crate) fn hear(&self, query: &QueryId) {
        let mut heard = self.heard.lock();
        heard.latest += 1;
        let latest = heard.latest;
        heard.queries.insert(query.clone(), latest);
        heard.queries.retain(|_, number| *number + HEARD > latest);
        drop(heard);
        if let Some(known) = self.queries.lock().get(query) {
            *known.quiet_until.lock() = Duration::ZERO;
        }
        self.rung.notify_waiters();
    }

    /// True if this process knows of one query at most: it has read no other, and was told of no other.
    pub(crate) fn has_one_query(&self) -> bool {
        let queries = self.queries.lock();
        let heard = self.heard.lock();
        let others = heard
            .queries
            .keys()
            .filter(|query| !queries.contains_key(*query) && !self.has_ended(query));
        queries.len() + others.count() <= 1
    }

    /// What a slot may do for a query.
    pub(crate) fn candidate(&self, query: &QueryId) -> Asked {
        if self.has_ended(query) {
            return Asked::NotOurs;
        }
        if self.unreadable.lock().contains(query) {
            return Asked::Refused;
        }
        let Some(known) = self.is_known(query) else {
            let query = query.clone();
            return Asked::Turn(Candidate { query, owner: None, is_read: false });
        };
        if known.refused.is_some() {
            return Asked::Refused;
        }
        let root = &known.handle.root;
        if root.route == Route::Inline || !self.options.pool.runs(root.pool.as_deref()) {
            return Asked::NotOurs;
        }
        let candidate = Candidate { query: query.clone(), owner: sharer(root), is_read: true };
        match self.env.clock.monotonic() < *known.quiet_until.lock() {
            true => Asked::Quiet(candidate),
            false => Asked::Turn(candidate),
        }
    }

    /// What this process knows of a query that it has read.
    pub(crate) fn is_known(&self, query: &QueryId) -> Option<Arc<Known>> {
        self.queries.lock().get(query).cloned()
    }

    /// The queries that this process has read, and of which no slot has just found that there is nothing to do.
    pub(crate) fn open_queries(&self) -> Vec<Candidate> {
        let read: Vec<QueryId> = self.queries.lock().keys().cloned().collect();
        read.iter().filter_map(|query| self.candidate(query).turn()).collect()
    }

    /// Whether a slot that works on `query` is to look for another one: it is another's turn, or there may be new ones.
    pub(crate) fn is_anothers_turn(&self, query: &QueryId) -> bool {
        let heard: Vec<QueryId> = self.heard.lock().queries.keys().cloned().collect();
        let heard = heard.iter().filter_map(|other| self.candidate(other).turn());
        let unread = heard.filter(|candidate| !candidate.is_read);
        let mut candidates = self.open_queries();
        candidates.extend(unread);
        candidates.retain(|candidate| candidate.query != *query);
        if let Asked::Turn(own) | Asked::Quiet(own) = self.candidate(query) {
            candidates.push(own);
        }
        let first = self.shares.first(&candidates, false);
        first.is_some_and(|first| first.query != *query) || !self.has_listed_lately()
    }

    /// True if this process has listed the active queries so lately that it need not do so before it works.
    pub(crate) fn has_listed_lately(&self) -> bool {
        let longest = self.crowd().pauses(&self.options).1.max(self.options.sweep);
        let now = self.env.clock.monotonic();
        self.listed.lock().is_some_and(|at| now.saturating_sub(at) < longest)
    }

    /// Forgets what it was told.
    pub(crate) fn forget_news(&self) {
        self.heard.lock().queries.clear();
    }

    /// The queries of which this process was told after news number `since`, which becomes the latest.
    pub(crate) fn heard_since(&self, since: &mut u64) -> Vec<QueryId> {
        let heard = self.heard.lock();
        let new = heard.queries.iter().filter(|(_, number)| **number > *since);
        let queries = new.map(|(query, _)| query.clone()).collect();
        *since = heard.latest;
        queries
    }

    /// Cancelled when running tasks are to be given back.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stopping.lock().clone()
    }

    /// A slot looks for work.
    pub(crate) fn turned(&self) {
        self.turned_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Milliseconds of the monotonic clock.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.env.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    /// True if no more tasks are to be begun.
    pub(crate) fn is_leaving(&self) -> bool {
        let is_late = |until: Duration| self.env.clock.monotonic() >= until;
        self.stopping.lock().is_cancelled() || self.begin_until.lock().is_some_and(is_late)
    }

    /// The query has ended.
    pub(crate) fn forget(&self, query: &QueryId) {
        if let Some(known) = self.queries.lock().remove(query) {
            self.take_over(&known);
        }
        self.heard.lock().queries.remove(query);
        let mut ended = self.ended.lock();
        if ended.contains(query) {
            return;
        }
        if ended.len() >= ENDED {
            ended.pop_front();
        }
        ended.push_back(query.clone());
    }

    /// True if this process has seen the query end.
    pub(crate) fn has_ended(&self, query: &QueryId) -> bool {
        self.ended.lock().contains(query)
    }

    /// This process is told its place, or that it has none.
    pub(crate) fn take_place(&self, place: Option<Place>) {
        if let Some(place) = place {
            // It stays when the gateway is gone: the others are still there.
            self.listeners.store(place.of, Ordering::Relaxed);
        }
        *self.place.lock() = place;
    }

    /// How many worker processes listen, if this one was told; it is one of them.
    pub(crate) fn workers(&self) -> Option<usize> {
        self.place.lock().map(|place| place.of as usize)
    }

    /// How many workers there are.
    pub(crate) fn crowd(&self) -> Crowd {
        Crowd::of(self.listeners.load(Ordering::Relaxed))
    }

    /// The place of a slot among all slots, if all processes have as many.
    pub(crate) fn place_of(&self, slot: usize) -> Option<Place> {
        let place = (*self.place.lock())?;
        let slots = u32::try_from(self.options.slots.max(1)).unwrap_or(1);
        let slot = u32::try_from(slot).unwrap_or(0) % slots;
        let of = place.of.saturating_mul(slots).max(1);
        Some(Place { index: place.index.saturating_mul(slots).saturating_add(slot) % of, of })
    }

    /// The store, for what is asked for no query.
    pub(crate) fn asking(&self) -> ObjectControlStore {
        self.control.through(|inner| self.stores.view(inner, Some(&self.asked)))
    }

    /// Removes the hint of a query that has ended, if this worker may, and if the query has left nothing for a sweeper.
    pub(crate) async fn retire(&self, query: &QueryId, root: Option<&Root>, end: &End) {
        let is_left = root.is_some_and(|root| root.leaves_files(end));
        if self.options.retires && !is_left {
            retire(&self.control, query).await;
        }
    }

    /// A slot that panicked may have chosen an attempt that it never claimed. Any slot may choose it again; if another one
    /// is about to claim it, one of them loses.
    pub(crate) fn forget_unclaimed(&self) {
        for known in self.queries.lock().values() {
            let view = known.handle.view();
            known.taken.lock().retain(|(stage, task, attempt)| {
                let claims = view.stages.get(stage).map(|state| &state.claims);
                claims.and_then(|claims| claims.get(task)).is_some_and(|latest| latest >= attempt)
            });
        }
    }

    /// Forgets the queries that are not among these.
    pub(crate) fn keep_only(&self, queries: &[QueryId]) {
        self.unreadable.lock().retain(|query| queries.contains(query));
        self.refusals.lock().retain(|query, _| queries.contains(query));
        self.queries.lock().retain(|query, known| {
            let stays = queries.contains(query);
            if !stays {
                self.take_over(known);
            }
            stays
        });
    }

    /// Keeps the requests of a query that this process no longer knows.
    pub(crate) fn take_over(&self, known: &Known) {
        self.asked.add_requests(&known.meter.take().requests);
        self.asked.add_requests(&std::mem::take(&mut *known.lost.lock()));
    }

    /// The requests that no commit has told of.
    pub(crate) fn untold(&self) -> Requests {
        let mut requests = self.asked.take().requests;
        for known in self.queries.lock().values() {
            requests += known.meter.take().requests;
            requests += std::mem::take(&mut *known.lost.lock());
        }
        requests
    }

    /// The queries that may need care. The slots of a process list them together.
    ///
    /// # Errors
    /// The store did not answer.
    pub(crate) async fn active(&self) -> Result<Vec<QueryId>, StoreError> {
        let asked = self.env.clock.monotonic();
        let mut latest = self.active.lock().await;
        if let Some((at, queries)) = &*latest
            && asked.saturating_sub(*at) < self.options.active_poll / 2
        {
            return Ok(queries.clone());
        }
        let at = self.env.clock.monotonic();
        let queries = active(&self.asking()).await?;
        *self.listed.lock() = Some(at);
        *latest = Some((at, queries.clone()));
        Ok(queries)
    }

    /// The process's view of a query, created when the query is first seen; `None` if it does not exist or has ended.
    ///
    /// # Errors
    /// The store did not answer.
    pub(crate) async fn known(&self, query: &QueryId) -> Result<Option<Arc<Known>>, StoreError> {
        if let Some(known) = self.is_known(query) {
            return Ok(Some(known));
        }
        if self.unreadable.lock().contains(query) {
            return Ok(None);
        }
        let since = self.env.clock.monotonic();
        let meter = Arc::new(Meter::default());
        let counted = self.control.through(|inner| self.stores.view(inner, Some(&meter)));
        // Three requests at once: what the query is, whether it is over, and how far it is.
        let (prefix, end) = (keys::query_prefix(query), keys::end(query));
        let asked = try_join!(
            QueryHandle::open(counted.clone(), query, &self.fence),
            counted.get(&end),
            counted.list(&prefix),
        );
        let (handle, got, listed) = match asked {
            Err(StoreError::Malformed { key, reason }) => {
                self.leave_unreadable(query, &key, &reason).await?;
                return Ok(None);
            }
            asked => asked?,
        };
        if let Some(got) = got {
            self.forget(query);
            // What another build has written is left to a sweeper.
            if let Ok(end) = decode(&end, &got.body) {
                self.retire(query, handle.as_ref().map(|handle| &*handle.root), &end).await;
            }
            return Ok(None);
        }
        let Some(handle) = handle else { return Ok(None) };
        handle.note_listing(&listed);
        let refused = refusal(&self.fence, &self.tables.read(), &handle.root);
        if let Some(reason) = &refused {
            self.refuse(query, reason).await?;
        }
        let fresh = Arc::new(Known::new(handle, meter, since, refused));
        let mut queries = self.queries.lock();
        Ok(Some(Arc::clone(queries.entry(query.clone()).or_insert(fresh))))
    }
}

impl Shared {
    /// Leaves a query to workers that can read its records, and says so once.
    async fn leave_unreadable(
        &self,
        query: &QueryId,
        key: &str,
        reason: &str,
    ) -> Result<(), StoreError> {
        if !self.unreadable.lock().insert(query.clone()) {
            return Ok(());
        }
        let EngineFence { engine, build, .. } = &self.fence;
        let reason = format!(
            "this worker is {engine} (build {build}) and cannot read {key}: {reason}; the query was planned by another version"
        );
        self.refuse(query, &reason).await
    }

    /// Tells whoever waits for a query that this worker may not run it.
    async fn refuse(&self, query: &QueryId, reason: &str) -> Result<(), StoreError> {
        tracing::warn!(%query, %reason, "a query is left to others");
        let refusal = Refusal { said: self.env.clock.monotonic(), reason: reason.to_owned() };
        self.refusals.lock().insert(query.clone(), refusal);
        self.say_refusal(query, reason).await
    }

    /// Says again that this worker may not run a query, if it may not and has not said so lately. Who waits for the query
    /// would otherwise take this worker for one that is gone.
    pub(crate) async fn refuse_again(&self, query: &QueryId) {
        let now = self.env.clock.monotonic();
        let due = {
            let mut refusals = self.refusals.lock();
            let refusal = refusals.get_mut(query);
            let due = refusal.filter(|refusal| now.saturating_sub(refusal.said) >= REFUSE_AGAIN);
            due.map(|refusal| {
                refusal.said = now;
                refusal.reason.clone()
            })
        };
        if let Some(reason) = due
            && let Err(error) = self.say_refusal(query, &reason).await
        {
            tracing::debug!(%query, %error, "a refusal was lost");
        }
    }

    async fn say_refusal(&self, query: &QueryId, reason: &str) -> Result<(), StoreError> {
        let hint = keys::refusal(query, &self.name);
        self.control.put(&hint, bytes::Bytes::from(reason.to_owned())).await
    }
}

/// A worker that may not run a query says so again after this time, as long as the query is active.
const REFUSE_AGAIN: Duration = Duration::from_secs(5);

/// What this worker has said of a query that it may not run.
#[derive(Debug)]
pub(crate) struct Refusal {
    said: Duration,
    reason: String,
}

/// The bytes that a pool has, if they are limited.
pub(crate) fn memory_limit(pool: &Arc<dyn MemoryPool>) -> Option<usize> {
    match pool.memory_limit() {
        MemoryLimit::Finite(limit) => Some(limit),
        MemoryLimit::Infinite | MemoryLimit::Unknown => None,
    }
}
