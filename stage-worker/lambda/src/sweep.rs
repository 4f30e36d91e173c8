//! A call that looks after all active queries, for installations in which no gateway runs all the time. A schedule makes it
//! once a minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dunlin_invoke::Functions;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::query::sweep::{Opened, Site, SweepPeriods, Sweeper, Swept};
use dunlin_manifest::query::{News, QueryHandle, Wake};
use dunlin_manifest::records::{End, EngineFence};
use dunlin_manifest::store::{ControlStore, ObjectControlStore, StoreError};
use dunlin_plan::stores::Stores;
use dunlin_plan::write::Written;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// A query with open tasks is looked at again after so long: only then it is known that nobody takes them.
const AGAIN: Duration = Duration::from_millis(2_500);
/// Calls that have less time left do not look again.
const LEAST: Duration = Duration::from_secs(10);
/// So often it is left in the store that a schedule sweeps.
const TOLD_EVERY: Duration = Duration::from_secs(15 * 60);
/// How an installation is named in its metrics.
const INSTALLATION: &str = "DUNLIN_INSTALLATION";

/// Sweeps. What it has seen stays while the sandbox is warm.
#[derive(Debug)]
pub(crate) struct Sweep {
    store: ObjectControlStore,
    sweeper: tokio::sync::Mutex<Sweeper>,
    /// When this sandbox has last left its mark.
    told: Mutex<Option<Duration>>,
}

impl Sweep {
    pub(crate) fn new(
        (store, stores): (ObjectControlStore, Stores),
        fence: EngineFence,
        functions: Option<Arc<Functions>>,
    ) -> Self {
        let (control, held) = (store.clone(), Mutex::default());
        let place = Place { store: control, stores, fence, functions, held };
        let sweeper = Sweeper::new(Arc::new(place), SweepPeriods::default());
        Self { store, sweeper: tokio::sync::Mutex::new(sweeper), told: Mutex::default() }
    }

    /// One call: a sweep, and a second one if tasks are open.
    pub(crate) async fn run(&self, left: Duration) -> Result<Value, StoreError> {
        let mut sweeper = self.sweeper.lock().await;
        let mut swept = sweeper.sweep().await?;
        if swept.open > 0 && left > LEAST {
            self.store.env().clock.sleep(AGAIN).await;
            swept = sweeper.sweep().await?;
        }
        self.tell().await;
        self.publish(&swept);
        Ok(json!({ "active_queries": swept.queries, "open_tasks": swept.open }))
    }

    /// Leaves a mark by which gateways that are functions see that the schedule is on. It is a hint.
    async fn tell(&self) {
        let now = self.store.env().clock.monotonic();
        if self.told.lock().is_some_and(|told| now.saturating_sub(told) < TOLD_EVERY) {
            return;
        }
        match self.store.put(keys::SWEPT, Default::default()).await {
            Ok(()) => *self.told.lock() = Some(now),
            Err(error) => tracing::warn!(%error, "it could not be written that a schedule sweeps"),
        }
    }

    /// Numbers for the scaling of containers and for dashboards, in the form that CloudWatch reads from logs.
    fn publish(&self, swept: &Swept) {
        let Ok(installation) = std::env::var(INSTALLATION) else { return };
        let metric = |name: &str| json!({ "Name": name, "Unit": "Count" });
        let line = json!({
            "_aws": {
                "Timestamp": self.store.env().clock.wall_ms(),
                "CloudWatchMetrics": [{
                    "Namespace": "Dunlin",
                    "Dimensions": [["Installation"]],
                    "Metrics": [metric("OpenTasks"), metric("ActiveQueries")],
                }],
            },
            "Installation": installation,
            "OpenTasks": swept.open,
            "ActiveQueries": swept.queries,
        });
        println!("{line}");
    }
}

/// What the function has for sweeps.
#[derive(Debug)]
struct Place {
    store: ObjectControlStore,
    /// The stores of the configuration, for files that statements have written.
    stores: Stores,
    fence: EngineFence,
    functions: Option<Arc<Functions>>,
    held: Mutex<HashMap<QueryId, Arc<QueryHandle>>>,
}

/// Handles that are kept between sweeps.
const HELD: usize = 256;

#[async_trait]
impl Site for Place {
    fn store(&self) -> &ObjectControlStore {
        &self.store
    }

    async fn open(&self, query: &QueryId) -> Opened {
        if let Some(handle) = self.held.lock().get(query) {
            return Opened::Handle(Arc::clone(handle));
        }
        let opened = Opened::from(QueryHandle::open(self.store.clone(), query, &self.fence).await);
        if let Opened::Handle(handle) = &opened {
            let mut held = self.held.lock();
            held.retain(|_, handle| handle.known_end().is_none());
            if held.len() < HELD {
                held.insert(query.clone(), Arc::clone(handle));
            }
        }
        opened
    }

    fn in_use(&self) -> Vec<Arc<QueryHandle>> {
        Vec::new()
    }

    async fn run_here(&self, _: &QueryId) -> bool {
        false
    }

    async fn tell(&self, news: News) {
        if let Some(functions) = &self.functions {
            functions.tell(news).await;
        }
    }

    async fn settle(&self, handle: &QueryHandle, end: &End, seen: Duration) -> bool {
        let Some(target) = &handle.root.write else { return true };
        let (query, env) = (&handle.query, self.store.env());
        let settle = async {
            let written = Written::by(query, target, &self.stores)?;
            let state = written.ended(env, end).await?;
            written.clean(env, state).await
        };
        match settle.await {
            Ok(deleted) => {
                tracing::info!(%query, deleted, "settled the files of a query that has ended");
                // Tasks that still run may write until they have noticed, or were given up.
                seen >= Duration::from_millis(handle.root.limits.lease_ms)
            }
            Err(error) => {
                tracing::warn!(%query, %error, "files that were not committed are left");
                false
            }
        }
    }

    fn trouble(&self) -> Option<String> {
        self.functions.as_ref().and_then(|functions| functions.trouble())
    }
}
