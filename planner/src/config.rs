//! The configuration of a gateway, a worker and `dunlin run`: `dunlin.toml`, the environment and the command line.
//!
//! Gateway and worker read the same file. A worker takes from it how to reach the state and the stores of tables,
//! because credentials are never stored in a query's objects.

mod effective;
pub(crate) mod error;
mod routing;
mod schema;
mod setting;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use dunlin_config::{Tree, TreeError, redact};
use dunlin_manifest::records::Limits;
use dunlin_plan::config::{EngineConfig, FunctionsConfig, StateConfig, StoreParams, WorkerConfig};
use dunlin_plan::location::Location;
use dunlin_plan::stores::{Reach, Stores};
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::error::ConfigError;
pub use self::routing::{PoolConfig, RoutingConfig};
pub use self::setting::Setting;
use crate::complexity::StatementLimits;
use crate::cost::PricesConfig;
use crate::gateway_config::GatewayConfig;
pub use crate::tables::config::{
    Compression, CsvConfig, Format, JsonConfig, Partitions, PartitionsWord, TableConfig,
};

/// The whole configuration.
#[derive(Clone, Deserialize, JsonSchema)]
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
    /// Places that statements may write to.
    #[serde(default)]
    pub writing: Vec<WritingConfig>,
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
    /// Where `${secrets:NAME}` is looked for.
    #[serde(default)]
    pub secrets: SecretsConfig,
}

/// Shows no secret, wherever it was used.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            state,
            tables,
            files,
            writing,
            routing,
            engine,
            planning,
            worker,
            limits,
            gateway,
            functions,
            prices,
            secrets,
        } = self;
        f.debug_struct("Config")
            .field("state", &Redacted(state))
            .field("tables", &Redacted(tables))
            .field("files", files)
            .field("writing", &Redacted(writing))
            .field("routing", routing)
            .field("engine", &Redacted(engine))
            .field("planning", planning)
            .field("worker", &Redacted(worker))
            .field("limits", limits)
            .field("gateway", &Redacted(gateway))
            .field("functions", &Redacted(functions))
            .field("prices", &Redacted(prices))
            .field("secrets", secrets)
            .finish()
    }
}

/// A value without the secrets that this process knows.
struct Redacted<'a, T>(&'a T);

impl<T: fmt::Debug> fmt::Debug for Redacted<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if f.alternate() { format!("{:#?}", self.0) } else { format!("{:?}", self.0) };
        f.write_str(&redact(&text))
    }
}

/// `[secrets]`: a value of any key may name a secret as `${secrets:NAME}`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsConfig {
    /// The folder whose files are secrets, each named by its file. A secret that has no file there is taken from the
    /// environment variable of its name.
    pub folder: Option<String>,
}

/// `[planning]`: limits on statements, so that no text crashes or blocks a gateway.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlanningConfig {
    /// Levels of a statement's syntax tree. A level is a parenthesis, a CASE, or a link of a chain of operators, of UNIONs
    /// or of joins.
    pub max_depth: usize,
    /// Levels of the logical plan: operators on the way to its deepest leaf, with the expressions in them.
    pub max_plan_depth: usize,
    /// Columns of any query of the statement, also of inner ones, with every `*` written out.
    pub max_columns: usize,
    /// Operators of the logical plan, written out: a common table expression counts each time it is named.
    pub max_operators: usize,
    /// Expressions of the logical plan, written out.
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilesConfig {
    /// Statements may name files. They are read with the rights of the gateway and of the workers, so this is for one
    /// person, and not for a gateway that others use.
    pub enabled: bool,
    /// Statements may name files of this machine, too. For a person's own processes, as `dunlin sql` without a gateway.
    pub local: bool,
    /// Statements may name files on web servers, too.
    pub https: bool,
    /// Statements may write files wherever they may read them.
    pub write: bool,
}

impl FilesConfig {
    /// False for a place on this machine, where statements may not name those.
    pub(crate) fn reaches(&self, at: &Location) -> bool {
        self.local || at.is_remote()
    }
}

/// `[[writing]]`: a place that COPY, INSERT and CREATE TABLE AS may write to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WritingConfig {
    /// A folder, with all folders below it.
    pub location: String,
    /// CREATE TABLE AS makes a folder here for each table, and tables are found here by their names.
    #[serde(default)]
    pub tables: bool,
    /// How to reach its store.
    #[serde(default)]
    pub params: StoreParams,
}

/// `[limits]`: the limits that are written into each query.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Time to live of a query, in milliseconds.
    pub ttl_ms: u64,
    /// Period of heartbeats, in milliseconds.
    pub heartbeat_ms: u64,
    /// Time without a heartbeat after which the next attempt may be claimed, in milliseconds.
    pub lease_ms: u64,
    /// Age of a claim after which the next attempt may be claimed, in milliseconds.
    pub task_limit_ms: u64,
    /// The most attempts of a task that may fail by their own work.
    pub max_failures: u32,
    /// The most claims of a task.
    pub max_claims: u32,
    /// A task whose attempts fail because a store is in trouble is tried again for at least so long, in milliseconds.
    pub store_trouble_ms: u64,
    /// How long a query may make no progress while no worker can take its tasks, in milliseconds.
    pub no_worker_ms: u64,
    /// The most bytes that a query may read from tables, unless the request says less.
    pub max_bytes_scanned: Option<u64>,
    /// The most dollars that a query may cost, unless the request says less.
    pub max_cost_usd: Option<f64>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let Limits {
            ttl_ms,
            heartbeat_ms,
            lease_ms,
            task_limit_ms,
            max_failures,
            max_claims,
            store_trouble_ms,
            no_worker_ms,
            ..
        } = Limits::default();
        Self {
            ttl_ms,
            heartbeat_ms,
            lease_ms,
            task_limit_ms,
            max_failures,
            max_claims,
            store_trouble_ms,
            no_worker_ms,
            max_bytes_scanned: None,
            max_cost_usd: None,
        }
    }
}

impl LimitsConfig {
    /// The limits of a query under this configuration.
    ///
    /// # Errors
    /// A lease that is not longer than two heartbeats.
    pub fn resolve(&self) -> Result<Limits, ConfigError> {
        let Self {
            ttl_ms,
            heartbeat_ms,
            lease_ms,
            task_limit_ms,
            max_failures,
            max_claims,
            store_trouble_ms,
            no_worker_ms,
            ..
        } = *self;
        let limits = Limits {
            ttl_ms,
            heartbeat_ms,
            lease_ms,
            task_limit_ms,
            max_failures,
            max_claims,
            store_trouble_ms,
            no_worker_ms,
            ..Limits::default()
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

impl Config {
    /// Reads and checks a file alone, without the environment.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TreeError::Read { path: path.to_owned(), source })?;
        Self::of(&Tree::of_text(&path.display().to_string(), &text)?)
    }

    /// Parses and checks the text of a configuration alone, without the environment.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::of(&Tree::of_text("configuration", text)?)
    }

    /// Reads and checks what several sources give together.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn of(tree: &Tree) -> Result<Self, ConfigError> {
        let config: Self = tree.read()?;
        config.check()?;
        Ok(config)
    }

    /// The JSON schema of the file, for editors.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schema::schema()
    }

    /// What is in effect as TOML: every value that is set, with its source, and every default. Credentials are masked, and
    /// secrets stay references.
    #[must_use]
    pub fn effective(tree: &Tree, defaults: bool) -> String {
        effective::effective(tree, &schema::schema(), defaults)
    }

    /// The configuration with every default, key by key, with the source of each that is not one. Credentials are masked.
    #[must_use]
    pub fn settings(tree: &Tree) -> Vec<Setting> {
        effective::settings(tree, &schema::schema())
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
        let writing = self.writing.iter().map(|place| Reach {
            owner: "[[writing]]",
            location: &place.location,
            params: &place.params,
        });
        let stores = Stores::open(&self.state, tables.chain(writing), io)?;
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
        for WritingConfig { location, .. } in &self.writing {
            let at = Location::parse(location)
                .map_err(|error| ConfigError::Invalid(format!("[[writing]]: {error}")))?;
            if at.pattern.is_some() || matches!(at.store.scheme(), "http" | "https") {
                return Err(ConfigError::Invalid(format!(
                    "[[writing]]: {location:?} is no folder that can be written; name a folder, without a pattern"
                )));
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
        self.routing.check(&self.gateway.workgroups)?;
        self.limits.resolve().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::settings::RouteMode;

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
