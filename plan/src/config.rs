//! The parts of the configuration that both the gateway and the workers read: where the state is, how stores are
//! reached, and the settings of the engine, which are stored with each query.
//!
//! `dunlin-config` makes one configuration of the file (`dunlin.toml`), the environment and the command line. A worker that is
//! embedded in another program can fill these types in any way.

use std::fmt;

use dunlin_manifest::model::vouch::RootKey;
use serde::Deserialize;

/// `[state]`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StateConfig {
    /// `file:///…`, `memory://` or `s3://bucket/prefix`.
    pub location: String,
    /// How to reach its store.
    #[serde(default)]
    pub params: StoreParams,
    /// Another place for the records; without it they are at `location`, like the data.
    #[serde(default)]
    pub control: Option<ControlConfig>,
    /// A secret text, the same for all gateways and workers. With it, no process runs a query for which no gateway has
    /// vouched.
    #[serde(default)]
    pub root_secret: Option<RootSecret>,
}

/// A secret text from which the key that vouches for queries follows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct RootSecret(String);

impl RootSecret {
    /// The key.
    #[must_use]
    pub fn key(&self) -> RootKey {
        RootKey::of(&self.0)
    }
}

/// Never prints the secret.
impl fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootSecret")
    }
}

/// `[state.control]`: where the records that decide about queries are.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ControlConfig {
    /// As the location of `[state]`.
    pub location: String,
    /// How to reach its store.
    #[serde(default)]
    pub params: StoreParams,
}

/// One location, or a list of locations.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a location, or a list of locations")]
pub enum Locations {
    /// One.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl Locations {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        };
        all.iter().map(String::as_str)
    }
}

impl From<&str> for Locations {
    fn from(one: &str) -> Self {
        Self::One(one.to_owned())
    }
}

impl fmt::Display for Locations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.iter();
        write!(f, "{}", all.next().unwrap_or("nowhere"))?;
        match all.count() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// How to reach a store. Every name may be written with or without `s3_`. A value that is not set is taken from the
/// process's environment (`AWS_…`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StoreParams {
    /// Endpoint URL of an S3-compatible store.
    #[serde(alias = "endpoint")]
    pub s3_endpoint: Option<String>,
    /// Region; `us-east-1` if it is not set anywhere.
    #[serde(alias = "region")]
    pub s3_region: Option<String>,
    /// Access key id.
    #[serde(alias = "key")]
    pub s3_key: Option<String>,
    /// Secret access key.
    #[serde(alias = "secret")]
    pub s3_secret: Option<String>,
    /// Session token of temporary credentials.
    #[serde(alias = "session_token")]
    pub s3_session_token: Option<String>,
    /// `key` or `iam_role` (the default if no key is given).
    #[serde(alias = "auth")]
    pub s3_auth: Option<String>,
    /// Allow plain HTTP.
    pub allow_http: Option<bool>,
    /// Timeout of one request, e.g. `30s`.
    pub client_timeout: Option<String>,
    /// Send a request once more when its answer is late. `true` if it is not set.
    pub hedge: Option<bool>,
    /// For `gs` and `az`: options by the names that their own tools use, as `azure_storage_account_name`.
    #[serde(default)]
    pub options: std::collections::BTreeMap<String, String>,
}

/// Never prints a credential.
impl std::fmt::Debug for StoreParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreParams")
            .field("s3_endpoint", &self.s3_endpoint)
            .field("s3_region", &self.s3_region)
            .field("s3_auth", &self.s3_auth)
            .finish_non_exhaustive()
    }
}

/// `[functions]`: AWS Lambda functions that run stage workers. Whoever has work for them calls them.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FunctionsConfig {
    /// Their region; from the process's environment if it is not set.
    #[serde(default)]
    pub region: Option<String>,
    /// Endpoint URL of an emulator; from the process's environment (`AWS_ENDPOINT_URL_LAMBDA`) if it is not set.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Call `NAME:b-<build>`, so that a query ends on functions of the build that has planned it. `false`: call `NAME`.
    #[serde(default = "yes")]
    pub qualify: bool,
    /// The most functions at work on one query at a time.
    #[serde(default = "most_calls")]
    pub most_calls: u32,
    /// Look at the functions when a gateway starts, and refuse to start if they cannot be used.
    #[serde(default = "yes")]
    pub check: bool,
    /// Functions by their memory.
    #[serde(rename = "class")]
    pub classes: Vec<FunctionClass>,
}

/// `[[functions.class]]`: functions of the same memory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FunctionClass {
    /// The pool whose queries they run; those of no pool if not set.
    #[serde(default)]
    pub pool: Option<String>,
    /// Their memory.
    pub memory_mb: u64,
    /// Identical functions. Several of them, because each may start only 1,000 environments in 10 s.
    pub names: Vec<String>,
}

fn yes() -> bool {
    true
}

fn most_calls() -> u32 {
    256
}

/// Megabytes of memory for which Lambda gives one vCPU.
const MEMORY_OF_A_CPU: u64 = 1_769;

impl FunctionClass {
    /// Tasks that such a function runs at a time: one for each vCPU.
    #[must_use]
    pub fn slots(&self) -> usize {
        slots_of(self.memory_mb)
    }
}

/// Tasks that a function of this memory runs at a time: one for each vCPU.
#[must_use]
pub fn slots_of(memory_mb: u64) -> usize {
    usize::try_from(memory_mb / MEMORY_OF_A_CPU).unwrap_or(usize::MAX).clamp(1, 6)
}

impl FunctionsConfig {
    /// What is wrong with it, if something is.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn check(&self) -> Result<(), String> {
        if self.classes.is_empty() {
            return Err("[functions] has no [[functions.class]]".to_owned());
        }
        let mut sizes = std::collections::BTreeSet::new();
        for FunctionClass { pool, memory_mb, names } in &self.classes {
            if let Some(pool) = pool {
                check_pool(pool).map_err(|error| format!("[[functions.class]] {error}"))?;
            }
            if names.is_empty() || names.iter().any(String::is_empty) {
                return Err(format!(
                    "[[functions.class]] of {memory_mb} MB: names has no function, or an empty name"
                ));
            }
            if !(128..=10_240).contains(memory_mb) {
                return Err(format!(
                    "[[functions.class]] memory_mb = {memory_mb} is not within 128 to 10240"
                ));
            }
            if !sizes.insert((pool, memory_mb)) {
                return Err(format!(
                    "[functions] has two classes of {memory_mb} MB in one pool; put their names into one"
                ));
            }
            if self.qualify && names.iter().any(|name| name.contains(':')) {
                return Err(format!(
                    "[[functions.class]] of {memory_mb} MB: a name has a qualifier (`:`), which needs qualify = false"
                ));
            }
        }
        if self.most_calls == 0 {
            return Err("[functions] most_calls is 0: no function would ever be called".to_owned());
        }
        Ok(())
    }
}

/// Longest name of a pool or a workgroup, in bytes.
pub const MOST_NAME: usize = 64;

/// Whether a text can be the name of a pool or a workgroup, which may be a part of a key of the state.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_fit = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=MOST_NAME).contains(&name.len()) && name.bytes().all(is_fit)
}

/// Whether a text can be the name of a pool.
///
/// # Errors
/// A sentence about what a name may be.
pub fn check_pool(name: &str) -> Result<(), String> {
    if is_name(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(MOST_NAME).collect();
    Err(format!("pool {shown:?}: a name has 1 to {MOST_NAME} lower-case letters, digits, - and _"))
}

/// `[worker]`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Tasks that the process runs at once. The command line's `--slots` has priority.
    pub slots: Option<usize>,
    /// The pool whose queries it runs (`[[routing.pools]]` of gateways); those of no pool if not set. The command line's
    /// `--pool` has priority.
    pub pool: Option<String>,
    /// Memory that operators and the exchange may reserve, in bytes, for the whole process.
    pub memory_bytes: usize,
    /// Memory that the process may have in all, in bytes; the limit of its container if not set. Near it, the process ends
    /// an attempt before the operating system ends the process. 0: it does not look.
    pub resident_bytes: Option<u64>,
    /// Folder for spills; the system's temporary folder if not set.
    pub spill_dir: Option<String>,
    /// The most bytes of spills, for the whole process; 100 GiB, the engine's own limit, if not set.
    pub spill_bytes: Option<u64>,
    /// Longest pause of an idle worker between two looks for work, in milliseconds.
    pub idle_poll_ms: Option<u64>,
    /// How long the tasks in progress may go on after SIGTERM, in milliseconds. Then they are given back.
    pub grace_ms: u64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            slots: None,
            pool: None,
            memory_bytes: 3 << 30,
            resident_bytes: None,
            spill_dir: None,
            spill_bytes: None,
            idle_poll_ms: None,
            // Kubernetes and ECS kill a container 30 s after SIGTERM, and giving back takes a few requests.
            grace_ms: 20_000,
        }
    }
}

/// `[engine]`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Partitions of wide stages. This is set in the configuration and never from the number of CPUs, because it
    /// shapes plans.
    pub target_partitions: usize,
    /// Partitions are added to a task of a wide stage until its input reaches this many bytes.
    pub task_bytes: u64,
    /// Files larger than this may be split between partitions.
    pub repartition_file_min_size: usize,
    /// The build side of a join is broadcast (read whole by every task) if its estimated size is below this many
    /// bytes.
    pub broadcast_bytes: usize,
    /// … and below this many rows.
    pub broadcast_rows: usize,
    /// Join with hash tables, which must fit into memory. `false`: join by sorting both sides where the engine can.
    pub prefer_hash_join: bool,
    /// Let the build side of a join filter its probe side before the probe side is exchanged.
    pub runtime_filters: bool,
    /// A build side that has at most this many bytes once it is written is read whole by every task, and the probe
    /// side is not exchanged. 0: never.
    pub sealed_broadcast_bytes: u64,
    /// An exchange that may have more slices (tasks of the producer × buckets) has two levels.
    pub exchange_slices: usize,
    /// Compression of exchange data: `auto` (LZ4 on a network store, none on a folder), `none`, `lz4`.
    pub exchange_compression: String,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            target_partitions: 8,
            task_bytes: 16 << 20,
            repartition_file_min_size: 1 << 20,
            broadcast_bytes: 16 << 20,
            broadcast_rows: 1 << 20,
            prefer_hash_join: true,
            runtime_filters: true,
            sealed_broadcast_bytes: 16 << 20,
            exchange_slices: 1 << 20,
            exchange_compression: "auto".to_owned(),
        }
    }
}
