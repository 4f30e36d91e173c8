//! A changed configuration is taken into a gateway that serves, when its process is sent SIGHUP.
//!
//! ```text
//!   SIGHUP ──> read every source again ──cannot be used──> the earlier configuration stays, and a log says why
//!                 │
//!                 └──> tables, limits, routing, engine, keys: the next statement is taken with them
//!                      state, listeners, sizes of pools: a log says that they need a restart
//! ```
//! A statement keeps what it began with. A query that is in the store has its limits and its plan there.

use std::collections::BTreeSet;

use anyhow::Result;
use dunlin_config::Tree;
use dunlin_gateway::{Current, DoorOptions, Live, Most};
use dunlin_manifest::env::Env;
use dunlin_plan::stores::Stores;
use dunlin_planner::Planner;
use dunlin_planner::config::{Config, LimitsConfig, PlanningConfig};
use dunlin_planner::gateway_config::GatewayConfig;
use dunlin_process::{ConfigOptions, report, tree};
use dunlin_worker::Worker;
use tokio::signal::unix::Signal;

use crate::door::Listen;

/// What is read at start only: a change would move the state, close listeners, or resize what queries are using.
const FIXED: [&str; 16] = [
    "state",
    "worker",
    "functions",
    "prices",
    "gateway.advertise",
    "gateway.postgres",
    "gateway.drain_ms",
    "gateway.results_cache_ms",
    "gateway.audit",
    "gateway.flight_sql",
    "gateway.tls",
    "gateway.limits",
    "gateway.inline",
    "planning.at_once",
    "planning.queue",
    "planning.time_limit_ms",
];

/// What statements are taken with under a configuration.
pub(crate) fn live(
    (tree, config): (&Tree, &Config),
    stores: &Stores,
    door: &DoorOptions,
) -> Result<Live> {
    let planner = Planner::open(config, stores)?;
    let live = Live::new(planner, config.limits.resolve()?, most(config), door)?;
    Ok(live.with_settings(Config::settings(tree).into()))
}

/// The most that a query may use under a configuration.
pub(crate) fn most(config: &Config) -> Most {
    let LimitsConfig { max_bytes_scanned, max_cost_usd, .. } = config.limits;
    Most { max_bytes_scanned, max_cost_usd }
}

/// Reads the configuration of a gateway again.
pub(crate) struct Reload {
    pub(crate) from: ConfigOptions,
    pub(crate) listen: Listen,
    pub(crate) io: tokio::runtime::Handle,
    /// What the process was started with.
    pub(crate) start: (Tree, Config),
    /// What is in force.
    pub(crate) latest: (Tree, Config),
    pub(crate) current: Current,
    /// The worker of this process, which reads the same tables.
    pub(crate) worker: Worker,
}

impl Reload {
    /// Reloads at each signal, until the process ends.
    pub(crate) async fn run(mut self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            if let Err(error) = self.reload().await {
                tracing::error!(
                    "the configuration cannot be reloaded, and the earlier one stays in force: {}",
                    report::report(&error)
                );
            }
        }
    }

    async fn reload(&mut self) -> Result<()> {
        let tree = tree(&self.from.sources()).await?;
        let read = Config::of(&tree)?;
        let config = with_fixed(&self.start.1, read);
        let door = self.listen.door(&config.gateway)?;
        let stores = config.open_stores(&self.io)?.hedged(Env::system());
        let live = live((&tree, &config), &stores, &door)?;
        // The worker first: it may be given a query of a table that it did not know.
        self.worker.use_tables(stores);
        self.current.replace(live);
        self.tell(&tree, &config);
        self.latest = (tree, config);
        Ok(())
    }

    fn tell(&self, tree: &Tree, config: &Config) {
        let waiting: Vec<String> =
            self.start.0.differences(tree).into_iter().filter(|key| is_fixed(key)).collect();
        if !waiting.is_empty() {
            tracing::warn!(
                "read at start only, and so unchanged until the process is started again: {}",
                waiting.join(", ")
            );
        }
        let changed = self.latest.0.differences(tree);
        let changed: Vec<String> = changed.into_iter().filter(|key| !is_fixed(key)).collect();
        let (before, after) = (names(&self.latest.1), names(config));
        let added: Vec<&str> = after.difference(&before).map(String::as_str).collect();
        let removed: Vec<&str> = before.difference(&after).map(String::as_str).collect();
        tracing::info!(
            tables = after.len(),
            added = added.join(", "),
            removed = removed.join(", "),
            changed = changed.join(", "),
            "the configuration was reloaded"
        );
    }
}

fn names(config: &Config) -> BTreeSet<String> {
    config.tables.iter().map(|table| table.name.clone()).collect()
}

fn is_fixed(key: &str) -> bool {
    FIXED.iter().any(|fixed| {
        key.strip_prefix(fixed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// A configuration with the values of another where they may not change.
fn with_fixed(start: &Config, read: Config) -> Config {
    let PlanningConfig { at_once, queue, time_limit_ms, .. } = start.planning;
    Config {
        state: start.state.clone(),
        worker: start.worker.clone(),
        functions: start.functions.clone(),
        prices: start.prices.clone(),
        planning: PlanningConfig { at_once, queue, time_limit_ms, ..read.planning },
        gateway: GatewayConfig {
            keys: read.gateway.keys,
            workgroups: read.gateway.workgroups,
            oidc: read.gateway.oidc,
            ..start.gateway.clone()
        },
        ..read
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_may_not_change_keeps_its_value_and_the_rest_is_new() {
        let start = Config::parse("[state]\nlocation = \"memory://\"\n").unwrap();
        let read = "[state]\nlocation = \"file:///elsewhere/\"\n[worker]\nslots = 7\n[limits]\nttl_ms = 5\n[planning]\nqueue = 1\nmax_depth = 9\n[gateway]\ndrain_ms = 1\n[[gateway.keys]]\nname = \"a\"\nsha256 = \"b\"\nscopes = []\n[gateway.oidc]\nissuer = \"i\"\naudience = \"a\"\nsecret = \"s\"\n[[tables]]\nname = \"t\"\nlocation = \"x/\"\n";
        let merged = with_fixed(&start, Config::parse(read).unwrap());
        assert_eq!(merged.state.location, "memory://");
        assert_eq!((merged.worker.slots, merged.planning.queue), (None, start.planning.queue));
        assert_eq!(merged.gateway.drain_ms, start.gateway.drain_ms);
        assert_eq!((merged.limits.ttl_ms, merged.planning.max_depth), (5, 9));
        assert_eq!((merged.gateway.keys.len(), merged.tables.len()), (1, 1));
        assert!(merged.gateway.oidc.is_some());
    }

    #[test]
    fn every_fixed_key_is_known_by_its_section() {
        for key in ["state.location", "state", "gateway.tls.key", "worker.slots", "planning.queue"]
        {
            assert!(is_fixed(key), "{key}");
        }
        for key in [
            "tables.t.location",
            "gateway.keys.ci.sha256",
            "gateway.oidc.issuer",
            "planning.max_depth",
            "statement.x",
        ] {
            assert!(!is_fixed(key), "{key}");
        }
    }
}
