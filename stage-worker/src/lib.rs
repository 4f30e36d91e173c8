//! The stage worker: looks for queries in the store, claims tasks, runs them, and moves queries on.
//!
//! ```text
//!   idle ──bell or pause──> look ─> advance ─> claim ─> run ─> commit ─┐
//!     ^                       ^                                        │ look again at once:
//!     └── nothing to do ──────┴────────────────────────────────────────┘ whoever sealed goes on
//! ```
//! A worker listens on nothing, knows no other process, and keeps nothing that a query needs: it may be
//! killed at any instruction. `slots` of these loops share one process: its memory pool, its caches, and
//! one handle a query.

mod attempt;
mod run;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use dunlin_manifest::advance::{self, QueryHandle, retire};
use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::meter::{Meter, MeteredStore};
use dunlin_manifest::records::{EngineFence, FailClass, Root, Route};
use dunlin_manifest::store::{Changed, ControlStore, ObjectControlStore};
use dunlin_plan::fence;
use dunlin_plan::stores::Stores;
use dunlin_shuffle::{ReadGovernor, ReadLimits};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

pub use attempt::AttemptOutcome;
pub use run::AttemptError;

use attempt::Compute;

/// Pause of a slot after an attempt that another may better; doubles with the attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// What a worker process may use, and how it looks for work.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Tasks run at once.
    pub slots: usize,
    /// Memory that operators and the exchange may reserve, in bytes, for the whole process.
    pub memory_bytes: usize,
    /// Folder for spills.
    pub spill_dir: Option<PathBuf>,
    /// Pause between two looks while there is work about.
    pub active_poll: Duration,
    /// Longest pause between two looks at the bell while there is none.
    pub idle_poll: Duration,
    /// Pause after which an idle worker looks whether or not the bell rang: a lost ring costs this much.
    pub sweep: Duration,
}

impl WorkerOptions {
    /// Periods for a state on a folder or in memory, where a look costs microseconds.
    #[must_use]
    pub fn local(slots: usize, memory_bytes: usize) -> Self {
        Self {
            slots,
            memory_bytes,
            spill_dir: None,
            active_poll: Duration::from_millis(7),
            idle_poll: Duration::from_millis(50),
            sweep: Duration::from_secs(2),
        }
    }

    /// Periods for a state across a network: an idle worker's GETs of the bell cost $0.035 a day.
    #[must_use]
    pub fn remote(slots: usize, memory_bytes: usize) -> Self {
        Self {
            active_poll: Duration::from_millis(40),
            idle_poll: Duration::from_secs(1),
            sweep: Duration::from_secs(15),
            ..Self::local(slots, memory_bytes)
        }
    }
}

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
    queries: parking_lot::Mutex<HashMap<QueryId, Arc<Known>>>,
    rung: tokio::sync::Notify,
    busy: AtomicU64,
    /// Queries that [`Worker::run_query`] is at or has been asked for.
    local: parking_lot::Mutex<HashSet<QueryId>>,
    /// As many of them run at once as the worker has slots.
    local_slots: tokio::sync::Semaphore,
}

/// A query that this process knows.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) handle: QueryHandle,
    pub(crate) meter: Arc<Meter>,
    /// Why this process may not run it.
    refused: Option<String>,
    stages: tokio::sync::Mutex<HashMap<u32, Arc<dunlin_shuffle::StageData>>>,
    /// Attempts that a slot of this process claims or has claimed: slots do not race each other.
    taken: parking_lot::Mutex<HashSet<(u32, u32, u32)>>,
    /// Until when the other slots need not look, because one just found nothing to do.
    quiet_until: parking_lot::Mutex<Duration>,
}

impl Known {
    /// The exchange data of a sealed stage, indexed once a process.
    pub(crate) async fn stage(&self, stage: u32) -> Result<Arc<dunlin_shuffle::StageData>, String> {
        let mut stages = self.stages.lock().await;
        if let Some(known) = stages.get(&stage) {
            return Ok(Arc::clone(known));
        }
        let seal = self.handle.seal(stage).await.map_err(|error| error.to_string())?;
        let seal = seal.ok_or_else(|| format!("stage {stage} is not sealed"))?;
        let data =
            dunlin_shuffle::StageData::from_seal(&seal).map_err(|error| error.to_string())?;
        let data = Arc::new(data);
        stages.insert(stage, Arc::clone(&data));
        Ok(data)
    }
}

/// A worker process, or the worker part of one.
#[derive(Clone, Debug)]
pub struct Worker {
    shared: Arc<Shared>,
}

/// A worker that cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the worker cannot start: {0}")]
pub struct StartError(String);

impl Worker {
    /// A worker over a state. Plans run on a thread of their slot; everything else runs on the runtime that
    /// calls [`Worker::run`].
    ///
    /// # Errors
    /// The engine cannot be set up (no folder for spills, say).
    pub fn new(
        control: ObjectControlStore,
        stores: Stores,
        options: WorkerOptions,
        stopping: CancellationToken,
    ) -> Result<Self, StartError> {
        let start = |error: datafusion::error::DataFusionError| StartError(error.to_string());
        let env = control.env().clone();
        let pool = TrackConsumersPool::new(
            FairSpillPool::new(options.memory_bytes),
            NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN),
        );
        let disk = match &options.spill_dir {
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(|error| StartError(error.to_string()))?;
                DiskManagerMode::Directories(vec![folder.clone()])
            }
            None => DiskManagerMode::OsTmpDirectory,
        };
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
            .with_object_store_registry(stores.registry())
            .build_arc()
            .map_err(start)?;
        let slots = options.slots.max(1);
        let shared = Shared {
            name: format!("{}-{}", std::process::id(), &env.nonce()[..8]),
            fence: fence::current().map_err(start)?,
            functions: SessionStateBuilder::new().with_default_features().build(),
            governor: ReadGovernor::new(ReadLimits::default()),
            control,
            stores,
            env,
            options,
            runtime,
            stopping,
            queries: parking_lot::Mutex::default(),
            rung: tokio::sync::Notify::new(),
            busy: AtomicU64::new(0),
            local: parking_lot::Mutex::default(),
            local_slots: tokio::sync::Semaphore::new(slots),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The worker's name in claims and commits.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Tells idle slots of this process to look now. The bell does the same between processes.
    pub fn ring(&self) {
        self.shared.rung.notify_waiters();
    }

    /// Runs the tasks of one query until it ends, whatever its route: how a gateway runs a query of the
    /// inline route that must leave its objects. Calling it again meanwhile does nothing.
    pub async fn run_query(&self, query: &QueryId) {
        let shared = &self.shared;
        if !shared.local.lock().insert(query.clone()) {
            return;
        }
        let turn = shared.local_slots.acquire().await;
        let mut compute = Compute::default();
        while !shared.stopping.is_cancelled() {
            match self.step(query, &mut compute).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => tracing::warn!(%query, %error, "a query could not be moved on"),
            }
            shared.env.clock.sleep(shared.options.active_poll).await;
        }
        drop(turn);
        shared.queries.lock().remove(query);
        shared.local.lock().remove(query);
    }

    /// True once the query has ended, or is not this process's to run.
    async fn step(
        &self,
        query: &QueryId,
        compute: &mut Compute,
    ) -> Result<bool, advance::AdvanceError> {
        let Some(known) = known(&self.shared, query).await? else { return Ok(true) };
        if known.refused.is_some() {
            return Ok(true);
        }
        work_on(&self.shared, &known, 0, compute).await?;
        Ok(known.handle.ended().await?.is_some())
    }

    /// Runs until the worker is asked to stop; tasks under way are given back.
    pub async fn run(&self) {
        let bell = tokio::spawn(watch_bell(Arc::clone(&self.shared)));
        let slots: Vec<_> = (0..self.shared.options.slots.max(1))
            .map(|slot| tokio::spawn(keep_slot(Arc::clone(&self.shared), slot)))
            .collect();
        for slot in slots {
            if let Err(error) = slot.await {
                tracing::error!(%error, "a slot ended abnormally");
            }
        }
        bell.abort();
    }
}

/// Keeps a slot going: a panic outside a task (an unforeseen record, say) must not cost the process a slot.
async fn keep_slot(shared: Arc<Shared>, slot: usize) {
    loop {
        let running = slot_loop(Arc::clone(&shared), slot);
        if std::panic::AssertUnwindSafe(running).catch_unwind().await.is_ok() {
            return;
        }
        tracing::error!(slot, "a slot panicked and starts again");
        shared.env.clock.sleep(shared.options.sweep).await;
    }
}

/// One loop of the process: finds a task, runs it, and starts again.
async fn slot_loop(shared: Arc<Shared>, slot: usize) {
    let mut pause = shared.options.active_poll;
    let mut compute = Compute::default();
    while !shared.stopping.is_cancelled() {
        let rung = shared.rung.notified();
        let found = match look(&shared, slot, &mut compute).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the state store could not be looked at");
                Found::Nothing
            }
        };
        pause = match found {
            Found::Work => shared.options.active_poll,
            // A ring ends the pause, so it may grow to an idle worker's.
            Found::Active => (pause + pause / 4).clamp(
                shared.options.active_poll,
                shared.options.idle_poll.max(shared.options.active_poll * 4),
            ),
            Found::Nothing => shared.options.sweep,
        };
        if matches!(found, Found::Work) {
            continue;
        }
        let wait = if matches!(found, Found::Nothing) { pause } else { shared.env.jitter(pause) };
        tokio::select! {
            () = rung => spread(&shared).await,
            () = shared.env.clock.sleep(wait) => {}
            () = shared.stopping.cancelled() => {}
        }
    }
}

/// After a ring everybody looks: a little apart, so that they do not all race for the same task.
async fn spread(shared: &Shared) {
    let most = u64::try_from(shared.options.slots).unwrap_or(1).min(64) * 200;
    shared.env.clock.sleep(Duration::from_micros(shared.env.below(most.max(1)))).await;
}

/// What a look came to.
enum Found {
    /// A task was run, or a query moved on.
    Work,
    /// There are queries, and nothing to do for this slot now.
    Active,
    /// There is no query.
    Nothing,
}

async fn look(
    shared: &Arc<Shared>,
    slot: usize,
    compute: &mut Compute,
) -> Result<Found, dunlin_manifest::store::StoreError> {
    let mut queries = advance::active(&shared.control).await?;
    {
        let mut known = shared.queries.lock();
        known.retain(|query, _| queries.contains(query));
    }
    if queries.is_empty() {
        return Ok(Found::Nothing);
    }
    // Oldest first: ids sort by time of submission.
    queries.sort();
    let mut active = false;
    for query in queries {
        let known = match known(shared, &query).await {
            Ok(Some(known)) => known,
            Ok(None) => continue,
            Err(error) => {
                // One query that cannot be read must not keep this worker from the others.
                tracing::warn!(%query, %error, "a query could not be read");
                active = true;
                continue;
            }
        };
        if known.refused.is_some() {
            continue;
        }
        // A query of the inline route is its gateway's to run; see `Worker::run_query`.
        if known.handle.root.route == Route::Inline {
            continue;
        }
        active = true;
        if shared.env.clock.monotonic() < *known.quiet_until.lock() {
            continue;
        }
        match work_on(shared, &known, slot, compute).await {
            Ok(true) => return Ok(Found::Work),
            Ok(false) => {}
            Err(error) => tracing::warn!(%query, %error, "a query could not be moved on"),
        }
    }
    Ok(if active { Found::Active } else { Found::Nothing })
}

/// The process's view of a query, made when it is first seen.
async fn known(
    shared: &Arc<Shared>,
    query: &QueryId,
) -> Result<Option<Arc<Known>>, dunlin_manifest::store::StoreError> {
    if let Some(known) = shared.queries.lock().get(query) {
        return Ok(Some(Arc::clone(known)));
    }
    let meter = Arc::new(Meter::default());
    let counted =
        shared.control.through(|inner| Arc::new(MeteredStore::new(inner, Arc::clone(&meter))));
    let Some(handle) = QueryHandle::open(counted, query).await? else { return Ok(None) };
    if handle.ended().await?.is_some() {
        retire(&shared.control, query).await;
        return Ok(None);
    }
    let refused = refusal(shared, &handle.root);
    if let Some(reason) = &refused {
        tracing::warn!(%query, %reason, "a query is left to others");
        let hint = keys::refusal(query, &shared.name);
        shared.control.put(&hint, bytes::Bytes::from(reason.clone())).await?;
    }
    let fresh = Arc::new(Known {
        handle,
        meter,
        refused,
        stages: tokio::sync::Mutex::default(),
        taken: parking_lot::Mutex::default(),
        quiet_until: parking_lot::Mutex::default(),
    });
    let mut queries = shared.queries.lock();
    Ok(Some(Arc::clone(queries.entry(query.clone()).or_insert(fresh))))
}

/// Why this process may not run a query, if it may not.
fn refusal(shared: &Shared, root: &Root) -> Option<String> {
    let wanted = &root.engine;
    if shared.fence != *wanted {
        return Some(format!(
            "this worker is {} (hash {}), the query was planned by {} (hash {})",
            shared.fence.engine, shared.fence.hash, wanted.engine, wanted.hash
        ));
    }
    let unknown = root.pins.iter().find(|pin| shared.stores.get(&pin.store).is_none())?;
    Some(format!("this worker's configuration has no table in {}", unknown.store))
}

/// Moves a query on and runs a task of it; false if there was nothing to do.
async fn work_on(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    slot: usize,
    compute: &mut Compute,
) -> Result<bool, advance::AdvanceError> {
    let mut worked = false;
    let mut committed = false;
    loop {
        let mut view = known.handle.look(false).await?;
        let advanced = if committed {
            known.handle.advance(&mut view).await?
        } else {
            known.handle.advance_patiently(&mut view).await?
        };
        if advanced.moved {
            shared.rung.notify_waiters();
            if !advanced.open.is_empty() {
                advance::ring(&shared.control, &shared.env).await;
            }
        }
        if advanced.ended.is_some() {
            shared.queries.lock().remove(&known.handle.query);
            return Ok(worked || advanced.moved);
        }
        if advanced.moved {
            *known.quiet_until.lock() = Duration::ZERO;
        }
        // Asked before a task is chosen: a choice is kept from the other slots of this process.
        let over = shared.stopping.is_cancelled()
            || (!advanced.open.is_empty() && known.handle.ended().await?.is_some());
        if over {
            return Ok(worked);
        }
        let Some(task) = choose(shared, known, &advanced.open, slot) else {
            *known.quiet_until.lock() = shared.env.clock.monotonic() + shared.options.active_poll;
            return Ok(worked || advanced.moved);
        };
        shared.busy.fetch_add(1, Ordering::Relaxed);
        let outcome = attempt::attempt(shared, known, task, compute).await;
        shared.busy.fetch_sub(1, Ordering::Relaxed);
        committed = outcome == AttemptOutcome::Committed;
        match outcome {
            AttemptOutcome::Lost => {}
            AttemptOutcome::Unsettled => {
                known.taken.lock().remove(&(task.stage, task.task, task.attempt));
                return Ok(worked);
            }
            AttemptOutcome::Stopped => return Ok(worked),
            AttemptOutcome::Committed => worked = true,
            AttemptOutcome::Failed(class) => {
                worked = true;
                if class == FailClass::Retry {
                    // What was short (memory, the store) gets time, and another worker a chance.
                    let pause = RETRY_PAUSE * (1 << task.attempt.min(4));
                    shared.env.clock.sleep(shared.env.jitter(pause)).await;
                }
            }
        }
    }
}

/// One of the open tasks that no other slot of this process took: mostly the first, but each slot of
/// each worker starts at its own offset among the tasks of the first stage, so that many workers do not
/// race for one task.
fn choose(shared: &Shared, known: &Known, open: &[OpenTask], slot: usize) -> Option<OpenTask> {
    let mut taken = known.taken.lock();
    let free: Vec<OpenTask> = open
        .iter()
        .filter(|task| !taken.contains(&(task.stage, task.task, task.attempt)))
        .copied()
        .collect();
    let first = free.first()?;
    let same: usize = free.iter().take_while(|task| task.stage == first.stage).count();
    let seed = blake3::hash(format!("{}/{slot}/{}", shared.name, first.stage).as_bytes());
    let offset = usize::from(u16::from_le_bytes([seed.as_bytes()[0], seed.as_bytes()[1]])) % same;
    let chosen = free.get(offset).copied()?;
    taken.insert((chosen.stage, chosen.task, chosen.attempt));
    Some(chosen)
}

/// Looks at the bell while the process is idle, and wakes its slots when it rang.
async fn watch_bell(shared: Arc<Shared>) {
    // `None` until the first look: what rang before this process came is found by its first look anyway.
    let mut last: Option<Bell> = None;
    loop {
        let busy = shared.busy.load(Ordering::Relaxed) as usize >= shared.options.slots;
        if !busy {
            let tag = match &last {
                Some(Bell::Rung(tag)) => tag.as_deref(),
                _ => None,
            };
            let now = match shared.control.get_if_changed(keys::BELL, tag).await {
                Ok(Changed::Got(got)) => Some(Bell::Rung(got.e_tag)),
                Ok(Changed::Missing) => Some(Bell::Missing),
                Ok(Changed::NotModified) => None,
                Err(error) => {
                    tracing::debug!(%error, "the bell could not be read");
                    None
                }
            };
            if let Some(now) = now {
                if last.as_ref().is_some_and(|last| *last != now) {
                    for known in shared.queries.lock().values() {
                        *known.quiet_until.lock() = Duration::ZERO;
                    }
                    shared.rung.notify_waiters();
                }
                last = Some(now);
            }
        }
        shared.env.clock.sleep(shared.env.jitter(shared.options.idle_poll)).await;
    }
}

/// What was last seen of the bell.
#[derive(Debug, PartialEq, Eq)]
enum Bell {
    Missing,
    Rung(Option<String>),
}
