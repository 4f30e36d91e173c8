//! `[routing]`: where queries run.

use std::collections::BTreeSet;

use dunlin_plan::config::check_pool;
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::ConfigError;
use crate::gateway_config::WorkgroupConfig;
use crate::settings::RouteMode;

/// `[routing]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingConfig {
    /// Route of queries that do not name one.
    pub mode: RouteMode,
    /// In `auto`, a query whose estimated scan is at most this many bytes runs in the gateway.
    pub inline_bytes: u64,
    /// In `auto`, a query that cannot go to the fleet runs in the gateway if its estimated scan is at most
    /// this many bytes, and is refused otherwise.
    pub inline_most_bytes: u64,
    /// `[[routing.pools]]`: pools of workers, for queries of the fleet. Of those whose bounds a query reaches, the last one
    /// runs it; if it reaches none, the workers that are in no pool do.
    pub pools: Vec<PoolConfig>,
}

/// `[[routing.pools]]`: workers that run some queries, and no others.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// Its name, as its workers have it (`[worker] pool`, `--pool`): lower-case letters, digits, - and _.
    pub name: String,
    /// It runs queries whose estimated scan has at least this many bytes.
    #[serde(default)]
    pub from_bytes: Option<u64>,
    /// It runs queries whose tables have, together, at least this many rows in the files to be scanned.
    #[serde(default)]
    pub from_rows: Option<u64>,
}

impl Default for RoutingConfig {
    fn default() -> Self {
        // One core scans 64 MiB of Parquet in about the time that a fleet of containers needs to see the query.
        Self {
            mode: RouteMode::Auto,
            inline_bytes: 64 << 20,
            inline_most_bytes: 8 << 30,
            pools: Vec::new(),
        }
    }
}

impl RoutingConfig {
    /// Whether a pool is chosen by rows.
    pub(crate) fn counts_rows(&self) -> bool {
        self.pools.iter().any(|pool| pool.from_rows.is_some())
    }

    /// Checks the pools, and those of workgroups.
    pub(super) fn check(&self, groups: &[WorkgroupConfig]) -> Result<(), ConfigError> {
        let mut pools = BTreeSet::new();
        for PoolConfig { name, .. } in &self.pools {
            check_pool(name)
                .map_err(|error| ConfigError::Invalid(format!("[[routing.pools]] {error}")))?;
            if !pools.insert(name) {
                return Err(ConfigError::Invalid(format!(
                    "[[routing.pools]] {name:?} stands twice"
                )));
            }
        }
        for group in groups {
            if let Some(pool) = group.pool.as_ref().filter(|pool| !pools.contains(pool)) {
                return Err(ConfigError::Invalid(format!(
                    "[[gateway.workgroups]] {:?}: there is no [[routing.pools]] entry {pool:?}",
                    group.name
                )));
            }
        }
        Ok(())
    }
}
