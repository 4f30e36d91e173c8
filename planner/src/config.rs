//! `dunlin.toml`: what a gateway, a worker and `dunlin run` read.
//!
//! Gateway and worker read the same file. A worker takes from it how to reach the state and the stores of tables,
//! because credentials are never stored in a query's objects.

use std::collections::BTreeMap;
use std::path::Path;

use dunlin_manifest::records::Limits;
use dunlin_plan::StoreError;
use dunlin_plan::config::{EngineConfig, FunctionsConfig, StateConfig, WorkerConfig};
use dunlin_plan::stores::{Reach, Stores};
use serde::Deserialize;

use crate::complexity::StatementLimits;
use crate::cost::PricesConfig;
use crate::gateway_config::GatewayConfig;
use crate::settings::RouteMode;
pub use crate::tables::config::TableConfig;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The location of coordination state, exchange data and results.
    pub state: StateConfig,
    /// Tables by name.
    #[serde(default)]
    pub tables: Vec<TableConfig>,
    /// Files that statements name themselves.
    #[serde(default)]
    pub files: FilesConfig,
    /// Which queries go to the fleet.
    #[serde(default)]
    pub routing: RoutingConfig,
    /// How queries are planned.
    #[serde(default)]
    pub engine: EngineConfig,
    /// The limits of statements.
    #[serde(default)]
    pub planning: PlanningConfig,
    /// What a worker process may use.
    #[serde(default)]
    pub worker: WorkerConfig,
    /// Limits and periods of queries.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Who may use a gateway, and what every client may use.
    #[serde(default)]
    pub gateway: GatewayConfig,
    /// Functions that are called when there is work.
    #[serde(default)]
    pub functions: Option<FunctionsConfig>,
    /// What queries cost.
    #[serde(default)]
    pub prices: PricesConfig,
}

/// `[planning]`: limits on statements, so that no text crashes or blocks a gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlanningConfig {
    /// See [`StatementLimits::max_depth`].
    pub max_depth: usize,
    /// See [`StatementLimits::max_plan_depth`].
    pub max_plan_depth: usize,
    /// See [`StatementLimits::max_columns`].
    pub max_columns: usize,
    /// See [`StatementLimits::max_operators`].
    pub max_operators: usize,
    /// See [`StatementLimits::max_expressions`].
    pub max_expressions: usize,
    /// Statements planned at the same time; twice the number of cores if not set.
    pub at_once: Option<usize>,
    /// Statements that may wait to be planned; more are refused.
    pub queue: usize,
    /// The longest time that planning may take, in milliseconds. Listing many files takes seconds.
    pub time_limit_ms: u64,
}

impl PlanningConfig {
    /// The limits on one statement.
    #[must_use]
    pub fn statement(&self) -> StatementLimits {
        let Self { max_depth, max_plan_depth, max_columns, max_operators, max_expressions, .. } =
            *self;
        StatementLimits { max_depth, max_plan_depth, max_columns, max_operators, max_expressions }
    }
}

impl Default for PlanningConfig {
    fn default() -> Self {
        let StatementLimits {
            max_depth,
            max_plan_depth,
            max_columns,
            max_operators,
            max_expressions,
        } = StatementLimits::default();
        Self {
            max_depth,
            max_plan_depth,
            max_columns,
            max_operators,
            max_expressions,
            at_once: None,
            queue: 256,
            time_limit_ms: 60_000,
        }
    }
}

/// `[files]`: statements that name files, as `SELECT * FROM 's3://bucket/a.parquet'`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilesConfig {
    /// Statements may name files. They are read with the rights of the gateway and of the workers, so this is for one
    /// person, and not for a gateway that others use.
    pub enabled: bool,
    /// Statements may name files on web servers, too.
    pub https: bool,
}

/// `[routing]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingConfig {
    /// Route of queries that do not name one.
    pub mode: RouteMode,
    /// In `auto`, a query whose estimated scan is at most this many bytes runs in the gateway.
    pub inline_bytes: u64,
    /// In `auto`, a query that cannot go to the fleet runs in the gateway if its estimated scan is at most
    /// this many bytes, and is refused otherwise.
    pub inline_most_bytes: u64,
}

impl Default for RoutingConfig {
    fn default() -> Self {
        // One core scans 64 MiB of Parquet in about the time that a fleet of containers needs to see the query.
        Self { mode: RouteMode::Auto, inline_bytes: 64 << 20, inline_most_bytes: 8 << 30 }
    }
}

/// `[limits]`: the fields of [`Limits`], all optional.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Time to live of a query.
    pub ttl_ms: Option<u64>,
    /// Period of heartbeats.
    pub heartbeat_ms: Option<u64>,
    /// Time without a heartbeat after which the next attempt may be claimed.
    pub lease_ms: Option<u64>,
    /// Age of a claim after which the next attempt may be claimed.
    pub task_limit_ms: Option<u64>,
    /// The most attempts of a task that may fail by their own work.
    pub max_failures: Option<u32>,
    /// The most claims of a task.
    pub max_claims: Option<u32>,
    /// How long a query may make no progress while no worker can take its tasks.
    pub no_worker_ms: Option<u64>,
    /// The most bytes that a query may read from tables, unless the request says less.
    pub max_bytes_scanned: Option<u64>,
    /// The most dollars that a query may cost, unless the request says less.
    pub max_cost_usd: Option<f64>,
}

impl LimitsConfig {
    /// The limits of a query under this configuration.
    ///
    /// # Errors
    /// A lease that is not longer than two heartbeats.
    pub fn resolve(&self) -> Result<Limits, ConfigError> {
        let base = Limits::default();
        let limits = Limits {
            ttl_ms: self.ttl_ms.unwrap_or(base.ttl_ms),
            heartbeat_ms: self.heartbeat_ms.unwrap_or(base.heartbeat_ms),
            lease_ms: self.lease_ms.unwrap_or(base.lease_ms),
            task_limit_ms: self.task_limit_ms.unwrap_or(base.task_limit_ms),
            max_failures: self.max_failures.unwrap_or(base.max_failures),
            max_claims: self.max_claims.unwrap_or(base.max_claims),
            no_worker_ms: self.no_worker_ms.unwrap_or(base.no_worker_ms),
            ..base
        };
        if limits.lease_ms < limits.heartbeat_ms.saturating_mul(2) {
            return Err(ConfigError::Invalid(format!(
                "[limits] lease_ms ({}) must be at least twice heartbeat_ms ({}), or living workers would be followed",
                limits.lease_ms, limits.heartbeat_ms
            )));
        }
        Ok(limits)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file as given.
        path: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not valid TOML, or has unknown or missing keys.
    #[error("{path}: {source}")]
    Parse {
        /// The file as given.
        path: String,
        /// What is wrong, with line and column.
        source: Box<toml::de::Error>,
    },
    /// A value cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.display().to_string(), source })?;
        Self::parse(&text).map_err(|error| match error {
            ConfigError::Parse { source, .. } => {
                ConfigError::Parse { path: path.display().to_string(), source }
            }
            other => other,
        })
    }

    /// Parses and checks the text of a configuration.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Parse {
            path: "configuration".to_owned(),
            source: Box::new(error),
        })?;
        config.check()?;
        Ok(config)
    }

    /// Opens the stores of the state and of every table. `io` is the runtime on which network I/O runs.
    ///
    /// # Errors
    /// A location or parameter that cannot be used, or two parameter sets for one bucket.
    pub fn open_stores(&self, io: &tokio::runtime::Handle) -> Result<Stores, ConfigError> {
        let tables = self.tables.iter().flat_map(|table| {
            let reach = |location| Reach { owner: &table.name, location, params: &table.params };
            table.location.iter().map(reach)
        });
        let stores = Stores::open(&self.state, tables, io)?;
        Ok(if self.files.enabled { stores.and_others(io) } else { stores })
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut names = BTreeMap::new();
        for table in &self.tables {
            table.check()?;
            if names.insert(table.name.to_lowercase(), ()).is_some() {
                return Err(ConfigError::Invalid(format!("table {} is named twice", table.name)));
            }
        }
        if self.engine.target_partitions == 0 || self.engine.target_partitions > 4096 {
            return Err(ConfigError::Invalid(
                "[engine] target_partitions must be between 1 and 4096".to_owned(),
            ));
        }
        if !matches!(self.engine.exchange_compression.as_str(), "auto" | "none" | "lz4") {
            return Err(ConfigError::Invalid(
                "[engine] exchange_compression must be auto, none or lz4".to_owned(),
            ));
        }
        if let Some(functions) = &self.functions {
            functions.check().map_err(ConfigError::Invalid)?;
        }
        self.limits.resolve().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_full_file_is_read_and_secrets_are_not_printed() {
        let config = Config::parse(
            r#"
            [state]
            location = "s3://bucket/prefix"
            [state.params]
            s3_endpoint = "http://127.0.0.1:9000"
            key = "k"
            s3_secret = "hidden"
            allow_http = true
            [[tables]]
            name = "lineitem"
            location = "file:///data/lineitem/"
            [routing]
            mode = "fleet"
            "#,
        )
        .unwrap();
        assert_eq!(config.routing.mode, RouteMode::Fleet);
        assert_eq!(config.state.params.s3_key.as_deref(), Some("k"));
        assert!(!format!("{config:?}").contains("hidden"));
    }

    #[test]
    fn mistakes_are_named() {
        let base = "[state]\nlocation = \"memory://\"\n";
        for (text, says) in [
            ("[routing]\nmode = \"sometimes\"", "sometimes"),
            ("[[tables]]\nname=\"t\"\nlocation=\"x\"\nformat=\"orc\"", "orc"),
            ("[[tables]]\nname=\"t\"\nlocation=\"x\"\norder=[\"a UP\"]", "a UP"),
            ("[engine]\ntarget_partitions = 0", "target_partitions"),
            ("[limits]\nlease_ms = 10\nheartbeat_ms = 9", "lease_ms"),
            ("[surprise]\nx = 1", "surprise"),
            ("[functions]\nclass = []", "no [[functions.class]]"),
            ("[[functions.class]]\nmemory_mb = 64\nnames = [\"f\"]", "128 to 10240"),
            ("[[functions.class]]\nmemory_mb = 1769\nnames = []", "names has no function"),
            ("[[functions.class]]\nmemory_mb = 1769\nnames = [\"f:live\"]", "qualify = false"),
        ] {
            let error = Config::parse(&format!("{base}{text}")).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
