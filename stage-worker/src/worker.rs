//! A worker: set up once, then run until it is asked to stop.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::query::AdvanceError;
use dunlin_manifest::store::{ControlStore, ObjectControlStore};
use dunlin_plan::pressure::{self, Pressure};
use dunlin_plan::stores::Stores;
use dunlin_plan::{disk, fence, functions};
use dunlin_shuffle::{ReadGovernor, ReadLimits};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bell::watch_bell;
use crate::compute::{Compute, Engine};
use crate::ledger::{Ledger, Paid};
use crate::news;
use crate::options::WorkerOptions;
use crate::shared::Shared;
use crate::shares::Shares;
use crate::slot::keep_slot;
use crate::turn::work_on;

/// A worker: a whole process, or a part of one.
#[derive(Clone, Debug)]
pub struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) engine: Engine,
    /// Visits come one after the other.
    visiting: Arc<tokio::sync::Mutex<()>>,
}

/// A visit: a worker that works for a while and leaves nothing behind, as a function does that may be frozen between its
/// calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Queries that are said to have work. This is a hint: the store tells which have.
    pub queries: Vec<QueryId>,
    /// After this time no task is begun.
    pub begin_for: Duration,
    /// After this time what still runs is given back.
    pub run_for: Duration,
    /// For how long the last slot waits for more work when it finds none.
    pub linger: Duration,
    /// How the visit is paid, if it is: what it uses is told with its commits.
    pub paid: Option<Paid>,
}

/// What a visit has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visited {
    /// Tasks that were committed.
    pub tasks: u64,
    /// True if the time was over before the work was.
    pub is_cut: bool,
}

/// Why a worker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder for spills cannot be created.
    #[error("the worker cannot start: the folder for spills {} cannot be made: {source}", .folder.display())]
    SpillFolder {
        /// The folder.
        folder: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The engine cannot be set up.
    #[error("the worker cannot start: {0}")]
    Engine(#[from] DataFusionError),
}

/// A name for the worker of a process.
#[must_use]
pub fn new_name(env: &Env, process: u32) -> String {
    format!("{process}-{}", &env.nonce()[..8])
}

/// A query that this process runs alone, until it is dropped.
struct Local<'a> {
    shared: &'a Shared,
    query: &'a QueryId,
}

impl Drop for Local<'_> {
    fn drop(&mut self) {
        self.shared.queries.lock().remove(self.query);
        self.shared.local.lock().remove(self.query);
    }
}

impl Worker {
    /// A worker over a state. Plans run on the thread of their slot. Everything else runs on the runtime that calls
    /// [`Worker::run`].
    ///
    /// # Errors
    /// The engine cannot be set up, for example without a folder for spills.
    pub fn new(
        control: ObjectControlStore,
        stores: Stores,
        options: WorkerOptions,
        stopping: CancellationToken,
    ) -> Result<Self, StartError> {
        Self::with_engine(control, stores, options, stopping, Engine::real())
    }

    /// The same without any thread: plans run on the runtime that calls [`Worker::run`]. A simulation needs it, because
    /// there a run is a function of its seed. Elsewhere long plans would delay heartbeats.
    ///
    /// # Errors
    /// As [`Worker::new`].
    pub fn without_threads(
        control: ObjectControlStore,
        stores: Stores,
        options: WorkerOptions,
        stopping: CancellationToken,
    ) -> Result<Self, StartError> {
        Self::with_engine(control, stores, options, stopping, Engine::here())
    }

    /// The same with something in the engine's place.
    pub(crate) fn with_engine(
        control: ObjectControlStore,
        stores: Stores,
        options: WorkerOptions,
        stopping: CancellationToken,
        engine: Engine,
    ) -> Result<Self, StartError> {
        let env = control.env().clone();
        let pool = TrackConsumersPool::new(
            FairSpillPool::new(options.memory_bytes),
            NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN),
        );
        let folder = options.spill_dir.as_ref();
        let spills = disk::spills(folder, options.spill_bytes).map_err(|source| {
            StartError::SpillFolder { folder: folder.cloned().unwrap_or_default(), source }
        })?;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(spills)
            .with_object_store_registry(stores.registry())
            .build_arc()?;
        let slots = options.slots.max(1);
        let shares = Arc::new(Shares::new(Arc::clone(&env.clock)));
        let shared = Shared {
            name: options.name.clone().unwrap_or_else(|| {
                // Simulated workers have no process of their own, and their names must repeat with their seed.
                new_name(&env, if engine.has_threads() { std::process::id() } else { 0 })
            }),
            fence: fence::current()?,
            functions: functions::session(),
            governor: ReadGovernor::new(ReadLimits::default()),
            control,
            asked: Arc::default(),
            ledger: Ledger::default(),
            tables: parking_lot::RwLock::new(stores.clone()),
            stores,
            env,
            options,
            runtime,
            stopping: parking_lot::Mutex::new(stopping),
            begin_until: parking_lot::Mutex::default(),
            turned_ms: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            writing: TaskTracker::new(),
            queries: parking_lot::Mutex::default(),
            unreadable: parking_lot::Mutex::default(),
            refusals: parking_lot::Mutex::default(),
            ended: parking_lot::Mutex::default(),
            active: tokio::sync::Mutex::default(),
            listed: parking_lot::Mutex::default(),
            rung: tokio::sync::Notify::new(),
            heard: parking_lot::Mutex::default(),
            place: parking_lot::Mutex::default(),
            listeners: AtomicU32::new(0),
            busy: AtomicU64::new(0),
            pressure: Arc::new(Pressure::default()),
            memory: RwLock::new(()),
            at_work: AtomicU64::new(0),
            local: parking_lot::Mutex::default(),
            shares,
            local_slots: tokio::sync::Semaphore::new(slots),
        };
        Ok(Self { shared: Arc::new(shared), engine, visiting: Arc::default() })
    }

    /// The worker's name in claims and commits.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Reads tables through these stores from now on. Attempts in progress, and the state, keep theirs.
    pub fn use_tables(&self, stores: Stores) {
        *self.shared.tables.write() = stores;
    }

    /// Wakes idle slots of this process so that they look now. The bell does the same between processes.
    pub fn ring(&self) {
        self.shared.rung.notify_waiters();
    }

    /// Runs the tasks of one query until it ends, on any route. A gateway runs an inline query that must write
    /// objects in this way. Calling it again while it runs does nothing.
    pub async fn run_query(&self, query: &QueryId) {
        let shared = &self.shared;
        if !shared.local.lock().insert(query.clone()) {
            return;
        }
        let _running = Local { shared, query };
        let _turn = shared.local_slots.acquire().await;
        let mut compute = Compute::new(self.engine.clone());
        while !shared.is_leaving() {
            match self.step(query, &mut compute).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => tracing::warn!(%query, %error, "a query could not be moved on"),
            }
            shared.env.clock.sleep(shared.options.active_poll).await;
        }
    }

    /// True if the query has ended, or if this process is not to run it.
    async fn step(&self, query: &QueryId, compute: &mut Compute) -> Result<bool, AdvanceError> {
        let Some(known) = self.shared.known(query).await? else { return Ok(true) };
        if known.refused.is_some() {
            return Ok(true);
        }
        work_on(&self.shared, &known, 0, compute).await?;
        Ok(known.handle.known_end().is_some() || known.handle.ended().await?.is_some())
    }

    /// Works until there is nothing to do, or the time is over. When it returns, nothing of it runs any more. What was
    /// learned and opened stays for the next visit.
    pub async fn visit(&self, visit: Visit) -> Visited {
        let _one_at_a_time = self.visiting.lock().await;
        let shared = &self.shared;
        let begun = shared.env.clock.monotonic();
        let before = shared.committed.load(Ordering::Relaxed);
        let stopping = CancellationToken::new();
        *shared.stopping.lock() = stopping.clone();
        *shared.begin_until.lock() = Some(begun + visit.begin_for);
        // What former visits were told of is over, or is listed.
        shared.forget_news();
        shared.asked.take();
        shared.ledger.begin(begun, visit.paid);
        visit.queries.iter().for_each(|query| shared.hear(query));
        let ending = {
            let (shared, stopping) = (Arc::clone(shared), stopping.clone());
            tokio::spawn(async move {
                shared.env.clock.sleep(visit.run_for).await;
                stopping.cancel();
            })
        };
        self.run_slots(Some(visit.linger)).await;
        ending.abort();
        self.settle().await;
        self.close_books(visit.queries.first()).await;
        Visited {
            tasks: shared.committed.load(Ordering::Relaxed).saturating_sub(before),
            is_cut: shared.is_leaving(),
        }
    }

    /// Writes down what the visit has used, if no commit has told of it.
    async fn close_books(&self, query: Option<&QueryId>) {
        let shared = &self.shared;
        let now = shared.env.clock.monotonic();
        let Some((usage, requests)) = shared.ledger.end(now, shared.untold()) else { return };
        // A call that was made for no query is a part of what the installation costs when it is idle.
        let Some(query) = query else { return };
        let key = keys::used(query, &shared.env.nonce()[..8], &usage, &requests);
        if let Err(error) = shared.control.put(&key, Bytes::new()).await {
            tracing::debug!(%query, %error, "what a call has used is not written down");
        }
    }

    /// Runs all slots until they leave. `linger` as for [`keep_slot`].
    async fn run_slots(&self, linger: Option<Duration>) {
        let shared = &self.shared;
        let slots: Vec<_> = (0..shared.options.slots.max(1))
            .map(|slot| {
                tokio::spawn(keep_slot(Arc::clone(shared), self.engine.clone(), slot, linger))
            })
            .collect();
        let ended = async {
            for slot in slots {
                if let Err(error) = slot.await {
                    tracing::error!(%error, "a slot ended abnormally");
                }
            }
        };
        let limit = shared.options.resident_bytes;
        let watching = pressure::watch(&shared.pressure, limit, &shared.env);
        tokio::select! {
            () = ended => {}
            () = watching => {}
        }
    }

    /// Waits for what the slots have left: seals that are under way, and news. Another process would write the seals, but
    /// later.
    async fn settle(&self) {
        self.shared.writing.close();
        self.shared.writing.wait().await;
        self.shared.writing.reopen();
    }

    /// Begins no more tasks: [`Worker::run`] ends with those in progress. After `grace` they are given back.
    pub async fn leave(&self, grace: Duration) {
        let shared = &self.shared;
        *shared.begin_until.lock() = Some(shared.env.clock.monotonic());
        self.ring();
        shared.env.clock.sleep(grace).await;
        shared.stopping().cancel();
    }

    /// Whether the worker is at work or has looked for work in the last `within`. Otherwise something of it hangs.
    #[must_use]
    pub fn is_alive(&self, within: Duration) -> bool {
        let shared = &self.shared;
        let since = shared.now_ms().saturating_sub(shared.turned_ms.load(Ordering::Relaxed));
        shared.at_work.load(Ordering::Relaxed) > 0 || u128::from(since) <= within.as_millis()
    }

    /// Runs until the worker is asked to stop. Tasks in progress are then given back.
    pub async fn run(&self) {
        let bell = tokio::spawn(watch_bell(Arc::clone(&self.shared)));
        let wake = self.shared.options.wake.clone();
        let listening = wake.map(|wake| tokio::spawn(news::listen(Arc::clone(&self.shared), wake)));
        self.run_slots(None).await;
        bell.abort();
        if let Some(listening) = listening {
            listening.abort();
        }
        self.settle().await;
    }
}
