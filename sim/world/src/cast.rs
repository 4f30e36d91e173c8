//! The processes of a run: they start, and what happens to them.

use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::env::{Clock, Env};
use dunlin_manifest::hedge::{HedgedStore, Hedger};
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::store::ObjectControlStore;
use dunlin_plan::config::StateConfig;
use dunlin_plan::stores::Stores;
use dunlin_sim::clock::SimClock;
use dunlin_sim::hub::{Ear, Hub};
use dunlin_worker::{Worker, WorkerOptions};
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;
use crate::gateway::Gateway;
use crate::life::Life;
use crate::luck::Luck;
use crate::scenario::{Event, Scenario};
use crate::store::{STATE, Store};

/// Memory of a worker.
const MEMORY: usize = 256 << 20;

/// What all processes of a run share, and those of them that live.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) clock: SimClock,
    pub(crate) store: Arc<Store>,
    env: Env,
    hub: Arc<Hub>,
    luck: Arc<Mutex<Dice>>,
    living: Arc<Mutex<Living>>,
}

#[derive(Debug)]
struct Living {
    dice: Dice,
    born: u32,
    killed: u32,
    workers: Vec<Running>,
    gateways: Vec<Gateway>,
}

#[derive(Debug)]
struct Running {
    life: Arc<Life>,
    worker: Worker,
}

/// The query that is to be cancelled, once it is known.
pub(crate) type Known = watch::Sender<Option<QueryId>>;

impl Cast {
    /// Nobody lives yet.
    pub(crate) fn new(scenario: &Scenario, clock: &SimClock, store: Arc<Store>) -> Self {
        let living = Living {
            dice: Dice::new(scenario.seed, 3),
            born: 0,
            killed: 0,
            workers: Vec::new(),
            gateways: Vec::new(),
        };
        Self {
            scenario: Arc::new(scenario.clone()),
            clock: clock.clone(),
            store,
            env: clock.env(scenario.seed),
            hub: Hub::new(scenario.workers),
            luck: Arc::new(Mutex::new(Dice::new(scenario.seed, 4))),
            living: Arc::new(Mutex::new(living)),
        }
    }

    /// Starts as many as there should be.
    pub(crate) fn start_all(&self) {
        for _ in 0..self.scenario.workers {
            self.start_worker();
        }
        for _ in 0..self.scenario.gateways {
            self.start_gateway();
        }
    }

    /// Kills all.
    pub(crate) fn kill_all(&self) {
        let mut living = self.living.lock();
        let workers: Vec<_> = living.workers.drain(..).map(|running| running.life).collect();
        let gateways: Vec<_> = living.gateways.drain(..).map(|gateway| gateway.life).collect();
        for life in workers.into_iter().chain(gateways) {
            life.kill();
            living.killed += 1;
        }
    }

    /// Processes that were killed so far.
    pub(crate) fn killed(&self) -> u32 {
        self.living.lock().killed
    }

    /// A gateway that lives, if any does.
    pub(crate) fn any_gateway(&self) -> Option<Gateway> {
        let mut living = self.living.lock();
        let Living { dice, gateways, .. } = &mut *living;
        dice.choice(gateways.len()).map(|chosen| gateways[chosen].clone())
    }

    /// A number in `from..=to`.
    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        self.living.lock().dice.between(from, to)
    }

    /// A process begins its life: its number, its life, and the state as it sees it.
    fn born(&self) -> (u32, Arc<Life>, ObjectControlStore, Stores) {
        let mut living = self.living.lock();
        let number = living.born;
        living.born += 1;
        let life = Life::new(number, &self.clock);
        let wrong = living.dice.below(2 * self.scenario.wrong_clocks_ms + 1);
        let wrong = wrong.cast_signed() - self.scenario.wrong_clocks_ms.cast_signed();
        let env = life.env(&self.env, wrong);
        let view: Arc<dyn ObjectStore> = self.store.view(&life);
        let config = StateConfig {
            location: format!("memory:///{STATE}"),
            params: Default::default(),
            control: None,
            root_secret: None,
        };
        let stores = Stores::open(&config, [], &tokio::runtime::Handle::current()).unwrap();
        let address = stores.state.address();
        let stores = stores.with(&address, Arc::clone(&view));
        let hedged = HedgedStore::new(view, Arc::new(Hedger::new()), env.clone());
        let control = ObjectControlStore::new(Arc::new(hedged), Path::from(STATE), env);
        (number, life, control, stores)
    }

    pub(crate) fn start_worker(&self) {
        let (number, life, control, stores) = self.born();
        let env = control.env().clone();
        let index = number % u32::try_from(self.scenario.workers).unwrap();
        let ear = Ear::new(&self.hub, &env, index);
        let luck = Luck::new(ear, &env, &self.luck, self.scenario.lost_news);
        let options = WorkerOptions {
            wake: Some(Arc::new(luck)),
            ..WorkerOptions::remote(self.scenario.slots, MEMORY)
        };
        let worker =
            Worker::without_threads(control, stores, options, CancellationToken::new()).unwrap();
        let running = Running { life, worker: worker.clone() };
        self.living.lock().workers.push(running);
        tokio::spawn(async move { worker.run().await });
    }

    pub(crate) fn start_gateway(&self) {
        let (_, life, control, stores) = self.born();
        let gateway = Gateway::start(life, control, stores, &self.hub);
        self.living.lock().gateways.push(gateway);
    }

    /// Something starts after up to five seconds.
    pub(crate) fn soon(&self, start: fn(&Self)) {
        let (cast, after) = (self.clone(), self.between(0, 5_000));
        tokio::spawn(async move {
            cast.clock.sleep(Duration::from_millis(after)).await;
            start(&cast);
        });
    }

    /// Something happens.
    pub(crate) fn event(&self, event: Event, known: &Known) {
        match event {
            Event::KillWorker => {
                if let Some(killed) = self.take_worker() {
                    killed.life.kill();
                    self.living.lock().killed += 1;
                    self.soon(Self::start_worker);
                }
            }
            Event::KillGateway => {
                let mut living = self.living.lock();
                let Living { dice, gateways, killed, .. } = &mut *living;
                if let Some(chosen) = dice.choice(gateways.len()) {
                    gateways.remove(chosen).life.kill();
                    *killed += 1;
                    drop(living);
                    self.soon(Self::start_gateway);
                }
            }
            Event::KillAll => {
                self.kill_all();
                self.soon(Self::start_all);
            }
            Event::FreezeWorker(time) => {
                let mut living = self.living.lock();
                let Living { dice, workers, .. } = &mut *living;
                if let Some(chosen) = dice.choice(workers.len()) {
                    workers[chosen].life.freeze(self.clock.now() + time);
                }
            }
            Event::FreezeGateway(time) => {
                if let Some(gateway) = self.any_gateway() {
                    gateway.life.freeze(self.clock.now() + time);
                }
            }
            Event::StopWorker => {
                if let Some(stopped) = self.take_worker() {
                    let grace = Duration::from_millis(self.between(0, 2_000));
                    tokio::spawn(async move { stopped.worker.leave(grace).await });
                    self.soon(Self::start_worker);
                }
            }
            Event::StartWorker => self.start_worker(),
            Event::Cancel => self.cancel(known),
            Event::Damage => self.store.damage(),
        }
    }

    fn take_worker(&self) -> Option<Running> {
        let mut living = self.living.lock();
        let Living { dice, workers, .. } = &mut *living;
        dice.choice(workers.len()).map(|chosen| workers.remove(chosen))
    }

    /// A client asks until it is sure that the query is cancelled, or has ended before.
    fn cancel(&self, known: &Known) {
        let (cast, mut known) = (self.clone(), known.subscribe());
        tokio::spawn(async move {
            let id = match known.wait_for(Option::is_some).await {
                Ok(id) => id.clone(),
                Err(_) => None,
            };
            let Some(id) = id else { return };
            loop {
                if let Some(gateway) = cast.any_gateway() {
                    let life = Arc::clone(&gateway.life);
                    let is_done = tokio::select! {
                        is_done = gateway.cancel(&id) => is_done,
                        () = life.died() => false,
                    };
                    if is_done {
                        return;
                    }
                }
                cast.clock.sleep(Duration::from_secs(1)).await;
            }
        });
    }
}
