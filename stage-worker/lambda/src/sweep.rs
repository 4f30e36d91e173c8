//! A call that looks after all active queries, for installations in which no gateway runs all the time. A schedule makes it
//! once a minute.

use std::sync::Arc;
use std::time::Duration;

use dunlin_invoke::Functions;
use dunlin_invoke::sweep::sweeper;
use dunlin_manifest::keys;
use dunlin_manifest::query::sweep::{Sweeper, Swept};
use dunlin_manifest::records::EngineFence;
use dunlin_manifest::store::{ControlStore, ObjectControlStore, StoreError};
use dunlin_plan::stores::Stores;
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
        let sweeper = sweeper((store.clone(), stores), fence, functions);
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
