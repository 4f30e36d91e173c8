//! A fleet that runs one query: the processes, what they share, and what came out.
//!
//! ```text
//!   workers ──┐                      ┌── Ear ── Hub
//!   gateway ──┼── hedged ── FarStore │           (news, places)
//!             └── one thread, SimClock, one seed
//! ```
//! It exists to put the parts together in one place. The workers, their slots and all decisions are the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dunlin_manifest::env::Env;
use dunlin_manifest::hedge::{HedgedStore, Hedger};
use dunlin_manifest::keys::{self, Key};
use dunlin_manifest::query::{News, QueryHandle};
use dunlin_manifest::records::End;
use dunlin_manifest::store::{ObjectControlStore, create};
use dunlin_manifest::submit::submit;
use dunlin_plan::config::StateConfig;
use dunlin_plan::fence;
use dunlin_plan::stores::Stores;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fleet::engine::engine;
use crate::fleet::rates::{Partition, Split};
use crate::fleet::shape::Shape;
use crate::fleet::store::FarStore;
use crate::fleet::tally::Tally;
use crate::options::WorkerOptions;
use crate::worker::{Visit, Worker};
use dunlin_sim::clock::SimClock;
use dunlin_sim::hub::{Ear, Hub, watch};

/// The workers start within this time, so that their periods do not fall together.
const START: Duration = Duration::from_secs(1);
/// The fleet is idle before the query comes.
const IDLE: Duration = Duration::from_secs(3);
/// In this time those workers die that do.
const DEATHS: Duration = Duration::from_secs(4);
/// A query that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(3_600);

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Workers of one slot.
    pub(super) workers: usize,
    /// The query.
    pub(super) shape: Shape,
    /// How far the store has cut its keys.
    pub(super) split: Split,
    /// True if late requests are sent once more, as real processes do.
    pub(super) hedges: bool,
    /// True if the heads of blocks are read.
    pub(super) reads_heads: bool,
    /// So many workers die within [`DEATHS`] of the query's submit.
    pub(super) deaths: usize,
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// The end of the query, if it came.
    pub(super) end: Option<Arc<End>>,
    /// When the query was there.
    pub(super) began: Duration,
    /// When its end was seen.
    pub(super) over: Duration,
    /// What was asked of the store, from the submit to the end.
    pub(super) tally: Tally,
    /// What each partition has taken.
    pub(super) partitions: BTreeMap<String, Partition>,
    /// The tasks that have a commit.
    pub(super) committed: BTreeSet<(u32, u32)>,
}

/// Runs one query on a fleet.
pub(super) fn simulate(options: &Options) -> std::io::Result<Outcome> {
    let clock = SimClock::default();
    let seed = options.shape.seed;
    let fleet = Fleet::new(options, &clock);
    clock.run(seed, Box::pin(fleet.run()))?.map_err(std::io::Error::other)
}

/// Runs one query on workers that visit, all together and again and again, until it has ended. Returns how many times.
/// Between the visits nothing may be asked of the store.
pub(super) fn visits(options: &Options, visit: Visit) -> std::io::Result<(u32, Outcome)> {
    let clock = SimClock::default();
    let seed = options.shape.seed;
    let fleet = Fleet::new(options, &clock);
    clock.run(seed, Box::pin(fleet.visits(visit)))?.map_err(std::io::Error::other)
}

/// Requests of an idle hour, by what they are for: nobody submits anything.
pub(super) fn idle(options: &Options) -> std::io::Result<BTreeMap<&'static str, u64>> {
    let clock = SimClock::default();
    let seed = options.shape.seed;
    let fleet = Fleet::new(options, &clock);
    clock.run(seed, Box::pin(fleet.idle()))?.map_err(std::io::Error::other)
}

struct Fleet {
    options: Options,
    env: Env,
    store: FarStore,
    hub: Arc<Hub>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Fleet {
    /// Nobody has started yet.
    fn new(options: &Options, clock: &SimClock) -> Self {
        let seed = options.shape.seed;
        let env = clock.env(seed);
        let store = FarStore::new(clock, &env, options.split, seed ^ 1);
        Self { options: *options, hub: Hub::new(options.workers), env, store }
    }

    async fn run(self) -> Result<Outcome, Failure> {
        let stopping = CancellationToken::new();
        let mut workers = JoinSet::new();
        let stores = Stores::open(&state(), [], &tokio::runtime::Handle::current())?;
        for index in 0..self.options.workers {
            let worker = self.worker(index, &stores, &stopping)?;
            let env = self.env.clone();
            workers.spawn(async move {
                let most = u64::try_from(START.as_micros()).unwrap_or(1);
                env.clock.sleep(Duration::from_micros(env.below(most))).await;
                worker.run().await;
            });
        }
        self.env.clock.sleep(IDLE).await;
        let before = self.store.tally();
        let control = self.control(None);
        let submission = self.options.shape.submission(&self.env, fence::current()?);
        let query = submission.query.clone();
        let root = submit(&control, submission).await?.root.ok_or("the query was there before")?;
        let began = self.env.clock.monotonic();
        self.hub.push(News::work(query.clone(), &root.engine.build));
        let handle = QueryHandle::with_root(control, &query, root, &fence::current()?);
        let telling = self.tell_progress();
        let end = watch(&handle, &self.hub, LIMIT).await;
        telling.abort();
        let over = self.env.clock.monotonic();
        let tally = self.store.tally().since(&before);
        let partitions = self.store.partitions();
        stopping.cancel();
        while workers.join_next().await.is_some() {}
        let committed = committed(&self.store).await?;
        Ok(Outcome { end, began, over, tally, partitions, committed })
    }

    async fn idle(self) -> Result<BTreeMap<&'static str, u64>, Failure> {
        let stores = Stores::open(&state(), [], &tokio::runtime::Handle::current())?;
        let stopping = CancellationToken::new();
        for index in 0..self.options.workers {
            let worker = self.worker(index, &stores, &stopping)?;
            tokio::spawn(async move { worker.run().await });
        }
        self.env.clock.sleep(IDLE).await;
        let before = self.store.tally();
        self.env.clock.sleep(Duration::from_secs(3_600)).await;
        let purposes = self.store.tally().since(&before).purposes;
        Ok(purposes.into_iter().map(|(purpose, count)| (purpose, count.requests)).collect())
    }

    async fn visits(self, visit: Visit) -> Result<(u32, Outcome), Failure> {
        let stores = Stores::open(&state(), [], &tokio::runtime::Handle::current())?;
        let stopping = CancellationToken::new();
        let workers = (0..self.options.workers).map(|index| self.worker(index, &stores, &stopping));
        let workers: Vec<Worker> = workers.collect::<Result<_, Failure>>()?;
        let control = self.control(None);
        let began = self.env.clock.monotonic();
        let query = submit(&control, self.options.shape.submission(&self.env, fence::current()?));
        let query = query.await?.query;
        for round in 1..=100 {
            let visit = Visit { queries: vec![query.clone()], ..visit.clone() };
            let visits = workers.iter().map(|worker| worker.visit(visit.clone()));
            futures::future::join_all(visits).await;
            let over = self.env.clock.monotonic();
            let asked = self.store.progress();
            self.env.clock.sleep(Duration::from_secs(60)).await;
            if self.store.progress() != asked {
                return Err("something goes on after a visit".into());
            }
            let end: Option<End> = create::load(&control, &keys::end(&query)).await?;
            if let Some(end) = end {
                let (tally, partitions) = (self.store.tally(), self.store.partitions());
                let committed = committed(&self.store).await?;
                let end = Some(Arc::new(end));
                return Ok((round, Outcome { end, began, over, tally, partitions, committed }));
            }
        }
        Err("the query does not end".into())
    }

    fn worker(
        &self,
        index: usize,
        stores: &Stores,
        stopping: &CancellationToken,
    ) -> Result<Worker, Failure> {
        let ear = Ear::new(&self.hub, &self.env, u32::try_from(index)?);
        let options =
            WorkerOptions { wake: Some(Arc::new(ear)), ..WorkerOptions::remote(1, 2 << 30) };
        let engine = engine(self.options.shape, self.options.reads_heads);
        let spread = u64::try_from(DEATHS.as_micros()).unwrap_or(1);
        let dies = (index < self.options.deaths)
            .then(|| IDLE + Duration::from_micros(self.env.below(spread)));
        let (control, stopping) = (self.control(dies), stopping.clone());
        Ok(Worker::with_engine(control, stores.clone(), options, stopping, engine)?)
    }

    /// The store as one process sees it. It learns for itself which answers are late.
    fn control(&self, dies: Option<Duration>) -> ObjectControlStore {
        let mut store: Arc<dyn ObjectStore> = Arc::new(self.store.until(dies));
        if self.options.hedges {
            let hedger = Arc::new(Hedger::new());
            store = Arc::new(HedgedStore::new(store, hedger, self.env.clone()));
        }
        ObjectControlStore::new(store, Path::default(), self.env.clone())
    }

    /// Says every ten simulated seconds how far a long run is.
    fn tell_progress(&self) -> tokio::task::JoinHandle<()> {
        let (env, store, began) = (self.env.clone(), self.store.clone(), Instant::now());
        let is_long = self.options.shape.tasks * self.options.shape.stages > 10_000;
        tokio::spawn(async move {
            if !is_long {
                return;
            }
            loop {
                env.clock.sleep(Duration::from_secs(10)).await;
                let (commits, requests) = store.progress();
                eprintln!(
                    "fleet: {:?} simulated, {:?} real: {commits} commits, {requests} requests",
                    env.clock.monotonic(),
                    began.elapsed()
                );
            }
        })
    }
}

fn state() -> StateConfig {
    StateConfig {
        location: "memory://".to_owned(),
        params: Default::default(),
        control: None,
        root_secret: None,
    }
}

/// The tasks that have a commit. A task has at most one: its key has no attempt.
async fn committed(store: &FarStore) -> Result<BTreeSet<(u32, u32)>, Failure> {
    let listed = store.objects().list(Some(&Path::from("g")));
    let objects: Vec<_> = listed.try_collect().await?;
    let commits = objects.iter().filter_map(|meta| match keys::parse(meta.location.as_ref()) {
        Some((_, Key::Commit(stage, task))) => Some((stage, task)),
        _ => None,
    });
    Ok(commits.collect())
}
