//! The records that a submit writes: the query itself, and what a client's retry finds it by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::records::stage::StageSpec;
use crate::model::route::Route;

/// `root`: the query exists. Everything the planner decided, written once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Root {
    /// [`RECORD_VERSION`](crate::model::encoding::RECORD_VERSION).
    pub v: u32,
    /// The decision's nonce.
    pub nonce: String,
    /// Query id.
    pub query: String,
    /// The SQL text as submitted.
    pub sql: String,
    /// Session settings that both ends must share (`datafusion.…` keys and Dunlin's own).
    pub session: BTreeMap<String, String>,
    /// Who may compute for this query.
    pub engine: EngineFence,
    /// [`Route::Inline`] when the submitting gateway means to run the tasks itself.
    pub route: Route,
    /// Why that route.
    pub route_reason: String,
    /// The stage graph, producers before consumers. The last stage's output is the answer.
    pub stages: Vec<StageSpec>,
    /// Shape of the answer.
    pub result: ResultSpec,
    /// Input files by exact version; readers fail on any other (`if_match`).
    pub pins: Vec<Pin>,
    /// Limits and periods that every party of this query uses.
    pub limits: Limits,
    /// `distributed_plan` as EXPLAIN shows it, for people who debug from the objects.
    pub explain: String,
    /// Whose query it is, where gateways ask for keys: a short hash that stands for the key that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Who may compute for a query: a worker that differs must not claim. Serialised plans and the hash
/// that places rows in buckets are promises of one engine version only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFence {
    /// Dunlin's and DataFusion's version.
    pub engine: String,
    /// Hash of a fixed batch under the exchange's partitioning hash.
    pub hash: String,
}

/// Shape of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultSpec {
    /// Arrow schema as an IPC stream without batches, base64.
    pub schema: String,
}

/// An input file, pinned to one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Store the file lies in, e.g. `file:///` or `s3://bucket`.
    pub store: String,
    /// Path inside the store.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// Entity tag at planning time; `None` if the store gives none.
    pub e_tag: Option<String>,
}

/// Limits and periods of a query, in milliseconds where they are times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Time to live of the query, counted from `root`'s own stamp.
    pub ttl_ms: u64,
    /// A running task writes a heartbeat each time this much time has passed.
    pub heartbeat_ms: u64,
    /// A claim silent for this long may be followed by the next attempt.
    pub lease_ms: u64,
    /// A claim older than this may be followed by the next attempt, heartbeat or not.
    pub task_limit_ms: u64,
    /// Tries of a task whose own work failed.
    pub max_failures: u32,
    /// Claims of a task in all, dead workers included.
    pub max_claims: u32,
    /// How long a query may stand still with no worker able to take its tasks.
    pub no_worker_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ttl_ms: 12 * 3_600_000,
            // A heartbeat costs a PUT ($5e-6): every 3 s is 6 % of what 2 GB of Lambda cost meanwhile.
            heartbeat_ms: 3_000,
            lease_ms: 12_000,
            task_limit_ms: 15 * 60_000,
            max_failures: 4,
            max_claims: 16,
            no_worker_ms: 120_000,
        }
    }
}

/// `idem/<sha256>`: a client's retry of a submit finds its query here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idem {
    /// [`RECORD_VERSION`](crate::model::encoding::RECORD_VERSION).
    pub v: u32,
    /// The decision's nonce.
    pub nonce: String,
    /// Query id that the key stands for.
    pub query: String,
    /// SHA-256 of the canonical request: another request under the same key is an error.
    pub request: String,
}
