//! The records that a submit writes: the query itself, and the record that lets a client's retry find it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::records::end::{End, EndStatus};
use crate::model::records::stage::StageSpec;
use crate::model::route::Route;

/// `root`: the query exists. It holds everything that the planner decided, and is written once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// [`RECORD_VERSION`](crate::model::encoding::RECORD_VERSION).
    pub v: u32,
    /// The decision's nonce.
    pub nonce: String,
    /// Query id.
    pub query: String,
    /// The SQL text as submitted.
    pub sql: String,
    /// Session settings that the planner and the workers must share (`datafusion.…` keys and Dunlin's own).
    pub session: BTreeMap<String, String>,
    /// Which workers may compute for this query.
    pub engine: EngineFence,
    /// [`Route::Inline`] if the gateway that got the submit is to run the tasks itself.
    pub route: Route,
    /// Why this route was chosen.
    pub route_reason: String,
    /// The stage graph, producers before consumers. The last stage's output is the answer.
    pub stages: Vec<StageSpec>,
    /// Shape of the answer.
    pub result: ResultSpec,
    /// Input files by exact version. Reading any other version fails (`if_match`).
    pub pins: Vec<Pin>,
    /// Limits and periods that every process uses for this query.
    pub limits: Limits,
    /// The numbers that decide which tasks a stage has.
    pub adaptive: Adaptive,
    /// Where its rows are written to, if it writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<WriteTarget>,
    /// Plan objects by name, base64, as far as they fit. The others are objects of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plans: BTreeMap<String, String>,
    /// `distributed_plan` as EXPLAIN shows it, for people who debug from the objects.
    pub explain: String,
    /// The owner of the query, if gateways ask for API keys: a short hash of the key that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The workgroup of its owner, if it has one. Workers share their slots among workgroups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workgroup: Option<String>,
    /// The pool whose workers run it; those of no pool if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The trace that the client's request belongs to ([`TraceContext`](crate::model::trace::TraceContext) as text).
    /// Without it, the trace is the query's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The code of the gateway's key over everything else in this record, in hex. Without it, or with another one, the query
    /// is run by nobody ([`RootKey`](crate::model::vouch::RootKey)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Root {
    /// True if the query may have left files that do not count, or has not told anybody that its write is not to be:
    /// somebody who may must look after them before the query is forgotten.
    #[must_use]
    pub fn leaves_files(&self, end: &End) -> bool {
        let ran_once = end.summary.is_some_and(|summary| summary.attempts <= summary.tasks);
        self.write.is_some() && !(end.status == EndStatus::Succeeded && ran_once)
    }
}

/// The files that a query writes, for who ends the query or cleans up after it. The plan of its last stage says more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteTarget {
    /// Store, as in [`Pin`].
    pub store: String,
    /// The folder of the files.
    pub folder: String,
    /// The number of the commit, if it is the first of its folder; otherwise its name is the query's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
}

/// Which processes may act on a query: a process with other values claims none of its tasks, derives none of its records
/// and does not end it as succeeded. Serialised plans, the hash that places rows in buckets, and the decisions are stable
/// only within one build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineFence {
    /// Dunlin's and DataFusion's version.
    pub engine: String,
    /// Hash of a fixed batch under the exchange's partitioning hash.
    pub hash: String,
    /// Hash of the sources that define records, decisions, plans and the exchange.
    pub build: String,
}

/// The numbers that decide which tasks a stage has. They are written into the query, so that every process decides
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adaptive {
    /// The most bytes that one task may put inline in its commit.
    pub inline_task: u64,
    /// The most bytes that all tasks of a stage together may put inline. A reader of the seal fetches these bytes even
    /// when it does not need them.
    pub inline_stage: u64,
    /// Bytes that every task may put inline, however many tasks there are.
    pub inline_least: u64,
    /// A partition is too large for one task if it is this many times the mean of its stage, and of `task_bytes`.
    pub skew: u64,
    /// The most tasks that share one partition.
    pub most_shares: u64,
    /// The most bytes that all tasks of a stage together may read of a build side without a comparison with the probe
    /// side.
    pub free_broadcast: u64,
    /// A stage is merged into its reader only if the numbers of rows of its inputs, multiplied, are at most this.
    pub most_pairs: u64,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            inline_task: 64 << 10,
            inline_stage: 1 << 20,
            inline_least: 4 << 10,
            skew: 2,
            most_shares: 32,
            free_broadcast: 1 << 20,
            most_pairs: 1 << 24,
        }
    }
}

/// Shape of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultSpec {
    /// Arrow schema as an IPC stream without batches, base64.
    pub schema: String,
}

/// An input file, fixed to one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Store of the file, e.g. `file:///` or `s3://bucket`.
    pub store: String,
    /// Path inside the store.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// Entity tag when the query was planned; `None` if the store gives none.
    pub e_tag: Option<String>,
}

/// Limits and periods of a query. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Time to live of the query, counted from the stamp of `root`.
    pub ttl_ms: u64,
    /// A running task writes a heartbeat each time this time has passed.
    pub heartbeat_ms: u64,
    /// The next attempt may be claimed when a claim was silent for this long.
    pub lease_ms: u64,
    /// The next attempt may be claimed when a claim is older than this, even with heartbeats.
    pub task_limit_ms: u64,
    /// The most attempts of a task that may fail by their own work. Those of one worker beside others count half.
    pub max_failures: u32,
    /// The most claims of a task, including those of workers that died.
    pub max_claims: u32,
    /// A task whose attempts fail because a store is in trouble is tried again for at least so long.
    pub store_trouble_ms: u64,
    /// How long a query may make no progress while no worker can take its tasks.
    pub no_worker_ms: u64,
    /// The most bytes that may be read from tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_scan_bytes: Option<u64>,
    /// The most that may be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend: Option<Spend>,
}

/// The most that a query may cost, and what its parts cost. Every process can tell from them what the query has cost so far.
/// Amounts are in 10^-15 dollars, so that a millisecond of a megabyte is a whole number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spend {
    /// The most.
    pub most: u64,
    /// A PUT or LIST.
    pub put: u64,
    /// A GET or HEAD.
    pub get: u64,
    /// A call of a function.
    pub call: u64,
    /// A millisecond of a megabyte of a function.
    pub mb_ms: u64,
    /// A microsecond of a slot of a container.
    pub slot_us: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ttl_ms: 12 * 3_600_000,
            // A heartbeat costs one PUT ($5e-6): every 3 s is 6 % of what 2 GB of Lambda cost in that time.
            heartbeat_ms: 3_000,
            lease_ms: 12_000,
            task_limit_ms: 15 * 60_000,
            max_failures: 4,
            max_claims: 16,
            store_trouble_ms: 120_000,
            no_worker_ms: 120_000,
            max_scan_bytes: None,
            spend: None,
        }
    }
}

/// `idem/<sha256>`: a client's retry of a submit finds its query here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idem {
    /// [`RECORD_VERSION`](crate::model::encoding::RECORD_VERSION).
    pub v: u32,
    /// The decision's nonce.
    pub nonce: String,
    /// Id of the query that was submitted with the key.
    pub query: String,
    /// SHA-256 of the canonical request. Another request with the same key is an error.
    pub request: String,
}
