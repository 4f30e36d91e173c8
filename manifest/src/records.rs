//! The records of the protocol: what is written down, and by whom it may be written.
//!
//! ```text
//!  root ──> s0/m ──> claim ──> commit ──> (gseal) ──> s0/seal ──> s1/m ──> … ──> end
//!  decision derived  decision  decision   derived     derived     derived       decision
//! ```
//!
//! A **decision** carries a fresh nonce; a **derived** record is a pure function of records already
//! written and has canonical bytes (`serde_json` over structs with a fixed field order; maps are
//! `BTreeMap`), so that two writers write the same object.
//!
//! Every record is JSON: a query can be debugged from its objects with nothing but a pager.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Number of a stage in its query: 0-based, producers before consumers.
pub type StageId = u32;
/// Number of a task in its stage: 0-based.
pub type TaskId = u32;
/// Number of an attempt of a task: 0-based; attempt a+1 may exist only after attempt a.
pub type Attempt = u32;

/// Format version of the records. A process that reads another one must not act on the query.
pub const RECORD_VERSION: u32 = 2;

/// `root`: the query exists. Everything the planner decided, written once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Root {
    /// [`RECORD_VERSION`].
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
    /// `fleet`, or `inline` when the submitting gateway means to run the tasks itself.
    pub route: String,
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

/// One stage: a plan with `partitions` partitions, whose tasks each run some of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSpec {
    /// Number in the query.
    pub id: StageId,
    /// A few words for people: `scan lineitem`, `join`, `final aggregate`.
    pub name: String,
    /// BLAKE3 of the zstd-compressed plan: object `plan/<blake3>`.
    pub plan: String,
    /// Partitions of the plan.
    pub partitions: u32,
    /// Stages that must be sealed first, ascending; one that is read in several ways stands here several
    /// times.
    pub inputs: Vec<StageInput>,
    /// How rows leave the stage.
    pub output: Output,
    /// Estimated bytes scanned by each partition (empty = no scan in this stage).
    pub scan_bytes: Vec<u64>,
    /// A task is given partitions until their input reaches this many bytes.
    pub task_bytes: u64,
    /// True if all partitions must run in one task (an operator shares state between partitions).
    pub one_task: bool,
    /// True if each task also writes a filter of its keys, as the bucket after the last: a later stage
    /// reads it before it exchanges rows that are joined with this stage's.
    pub key_filter: bool,
    /// Inputs of which the planner has proved: if one of them has no rows, neither has this stage. It then
    /// has no tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty_with: Vec<StageId>,
    /// The input whose buckets may be read in shares: several tasks run the same partition, each over some
    /// of the slices of its bucket, and their rows together are the partition's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<StageId>,
    /// How the stage runs if a join's build side turns out to be small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<Broadcast>,
    /// The stage that does this one's work if it runs as its [`Broadcast`] says: then this one has no tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absorbed_by: Option<StageId>,
}

impl StageSpec {
    /// The stage as it runs, once its manifest has decided whether the build side is sent whole.
    #[must_use]
    pub fn decided(&self, broadcast: bool) -> Self {
        let mut spec = self.clone();
        if let Some(broadcast) = spec.broadcast.take().filter(|_| broadcast) {
            spec.plan = broadcast.plan;
            spec.partitions = broadcast.partitions;
            spec.inputs = broadcast.inputs;
            spec.scan_bytes = broadcast.scan_bytes;
            spec.shares = None;
        }
        spec
    }
}

/// Another way to run a stage that joins: every task reads the whole build side, and the probe side is read
/// where it lies instead of being exchanged first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broadcast {
    /// The stage of the build side, whose sealed bytes decide.
    pub build: StageId,
    /// The stage of the probe side, which would exchange it.
    pub probe: StageId,
    /// The most bytes that the build side may have.
    pub most_bytes: u64,
    /// As [`StageSpec::plan`].
    pub plan: String,
    /// As [`StageSpec::partitions`].
    pub partitions: u32,
    /// As [`StageSpec::inputs`].
    pub inputs: Vec<StageInput>,
    /// As [`StageSpec::scan_bytes`].
    pub scan_bytes: Vec<u64>,
}

/// An input of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageInput {
    /// The producer.
    pub stage: StageId,
    /// How this stage's partitions use the producer's buckets.
    pub mode: InputMode,
    /// Partition of this stage that reads bucket 0, where the mode is `Partitioned`.
    pub offset: u32,
}

/// How partition `p` of a consumer uses the buckets of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputMode {
    /// Partition `offset + b` reads bucket `b`: sizes of buckets weigh the partitions.
    Partitioned,
    /// Every task may read every bucket (broadcast build side, merge, gather, scalar).
    Whole,
}

/// How rows leave a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Rows are placed in `buckets` buckets by the hash of the expressions at the plan's root.
    Hash {
        /// Number of buckets.
        buckets: u32,
    },
    /// Bucket `p` holds the rows of partition `p`, in order.
    Partitions,
    /// As `Partitions`, and the rows are the answer (written under `res/`).
    Result,
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

/// `s<S>/m`: the stage may run. Derived from `root` and the seals of the inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageManifest {
    /// [`RECORD_VERSION`].
    pub v: u32,
    /// Query id.
    pub query: String,
    /// Stage.
    pub stage: StageId,
    /// Tasks, largest first.
    pub tasks: Vec<TaskSpec>,
    /// BLAKE3 of each input's seal, in the order of the stage's inputs.
    pub seals: Vec<String>,
    /// The most bytes that a task may put inline in its commit.
    pub inline_bytes: u64,
    /// The stage runs as its [`Broadcast`] says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broadcast: bool,
    /// The stage has no tasks because another one does its work ([`StageSpec::absorbed_by`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absorbed: bool,
}

/// One task: partitions of the stage's plan that one worker runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Partitions, ascending.
    pub partitions: Vec<u32>,
    /// Input bytes: what the order of tasks was chosen by.
    pub bytes: u64,
    /// The part of its bucket that the task reads, where a partition was too large for one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
}

/// Some of the slices of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The producer.
    pub stage: StageId,
    /// Number of this share.
    pub index: u32,
    /// Number of shares.
    pub of: u32,
}

impl Share {
    /// Which of the slices that have `lengths` bytes this share reads: a contiguous run, chosen so that the
    /// shares of a bucket are of about equal size. Every slice is in exactly one share.
    #[must_use]
    pub fn slices(&self, lengths: impl Iterator<Item = u64> + Clone) -> std::ops::Range<usize> {
        let total: u128 = lengths.clone().map(u128::from).sum::<u128>().max(1);
        let mut range: Option<std::ops::Range<usize>> = None;
        let mut before = 0u128;
        for (number, len) in lengths.enumerate() {
            let middle = before * 2 + u128::from(len);
            before += u128::from(len);
            let share = middle * u128::from(self.of) / (total * 2);
            if share.min(u128::from(self.of.saturating_sub(1))) == u128::from(self.index) {
                let start = range.as_ref().map_or(number, |range| range.start);
                range = Some(start..number + 1);
            }
        }
        range.unwrap_or(0..0)
    }
}

/// `claim/<t>.<a>`: this worker runs this attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// [`RECORD_VERSION`].
    pub v: u32,
    /// The decision's nonce, also in the names of the attempt's data.
    pub nonce: String,
    /// Who claims, for people.
    pub worker: String,
}

/// `fail/<t>.<a>`: how an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fail {
    /// [`RECORD_VERSION`].
    pub v: u32,
    /// The decision's nonce.
    pub nonce: String,
    /// Whether another attempt may help.
    pub class: FailClass,
    /// Error code as the API gives it.
    pub code: String,
    /// What went wrong, for the user.
    pub message: String,
}

/// Whether another attempt may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailClass {
    /// Another attempt may succeed (store trouble, memory of a small worker).
    Retry,
    /// Every attempt would fail alike (an error of the query or of its data).
    Fatal,
    /// The worker was asked to stop: counts as neither failure nor lost claim.
    GiveBack,
}

/// `commit/<g>/<t>`: the winner of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// [`RECORD_VERSION`].
    pub v: u32,
    /// The decision's nonce.
    pub nonce: String,
    /// Task.
    pub task: TaskId,
    /// Attempt that won.
    pub attempt: Attempt,
    /// Nonce of the attempt's claim.
    pub claim: String,
    /// Who ran it, for people.
    pub worker: String,
    /// What was written.
    pub output: TaskOutput,
    /// What it took.
    pub metrics: TaskMetrics,
}

/// The data of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOutput {
    /// Data objects, complete keys below the state's prefix.
    pub objects: Vec<DataObject>,
    /// Where each non-empty slice lies, ascending by (bucket, object, offset).
    pub slices: Vec<Slice>,
    /// Bytes of the slices with `object == None`, base64; empty if there are none.
    pub inline: String,
    /// Rows in all slices.
    pub rows: u64,
    /// Encoded bytes in all slices.
    pub bytes: u64,
}

/// A data object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataObject {
    /// Key below the state's prefix.
    pub key: String,
    /// Length in bytes.
    pub len: u64,
}

/// One complete Arrow IPC stream: rows of one bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Bucket.
    #[serde(rename = "b")]
    pub bucket: u32,
    /// Index in `objects`; `None` = in `inline`.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub object: Option<u32>,
    /// First byte.
    #[serde(rename = "at")]
    pub offset: u64,
    /// Length in bytes.
    #[serde(rename = "n")]
    pub len: u64,
    /// Rows.
    #[serde(rename = "r")]
    pub rows: u64,
    /// XXH3-64 of the bytes, 16 hex digits.
    #[serde(rename = "x")]
    pub xxh3: String,
}

/// What a task took. Times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskMetrics {
    /// From the claim to the commit.
    pub wall_us: u64,
    /// Bytes read from tables.
    pub scan_bytes: u64,
    /// Rows read from the exchange and tables by the task's leaves.
    pub input_rows: u64,
    /// Bytes read from the exchange.
    pub shuffle_read_bytes: u64,
    /// Bytes spilled to local disk.
    pub spill_bytes: u64,
    /// Memory reserved by the whole process when the task ended, in bytes.
    pub peak_memory: u64,
    /// Requests made for this query since the worker's previous commit for it.
    pub requests: Requests,
    /// Time in which the plan's operators computed, summed over operators and partitions; waiting for
    /// inputs is not in it.
    #[serde(default)]
    pub cpu_us: u64,
    /// Highest memory that the task itself had reserved, in bytes.
    #[serde(default)]
    pub task_memory: u64,
}

/// Store requests by price class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// PUT, and each part of a multipart upload.
    pub put: u64,
    /// GET, ranged or not.
    pub get: u64,
    /// LIST, one a page.
    pub list: u64,
    /// HEAD.
    pub head: u64,
    /// DELETE.
    pub delete: u64,
}

impl std::ops::AddAssign for Requests {
    fn add_assign(&mut self, other: Self) {
        self.put += other.put;
        self.get += other.get;
        self.list += other.list;
        self.head += other.head;
        self.delete += other.delete;
    }
}

/// A task's entry in a group seal or a seal: its commit without the nonce.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SealedTask {
    /// Task.
    pub task: TaskId,
    /// Attempt that won.
    pub attempt: Attempt,
    /// Nonce of the winner's claim.
    pub claim: String,
    /// Who ran it.
    pub worker: String,
    /// What was written.
    pub output: TaskOutput,
    /// What it took.
    pub metrics: TaskMetrics,
}

/// `gseal/<g>`: 64 commits folded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSeal {
    /// [`RECORD_VERSION`].
    pub v: u32,
    /// Group.
    pub group: u32,
    /// The winners, ascending by task.
    pub tasks: Vec<SealedTask>,
}

/// `seal`: all winners of a stage, and the facts that planning may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seal {
    /// [`RECORD_VERSION`].
    pub v: u32,
    /// Query id.
    pub query: String,
    /// Stage.
    pub stage: StageId,
    /// Rows in all outputs.
    pub rows: u64,
    /// Encoded bytes in all outputs.
    pub bytes: u64,
    /// The winners, ascending by task.
    pub tasks: Vec<SealedTask>,
}

/// `end/<Q>`: the only terminal state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// [`RECORD_VERSION`].
    pub v: u32,
    /// The decision's nonce.
    pub nonce: String,
    /// Outcome.
    pub status: EndStatus,
    /// What went wrong, unless it succeeded.
    pub error: Option<QueryError>,
    /// BLAKE3 of the last stage's seal, which names the result objects, if it succeeded.
    pub seal: Option<String>,
    /// What the whole query took, as far as its records tell.
    pub summary: Option<Summary>,
}

/// Outcome of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EndStatus {
    /// The answer is there.
    Succeeded,
    /// There will be no answer.
    Failed,
    /// Somebody asked for no answer.
    Cancelled,
}

/// An error as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryError {
    /// Code, e.g. `EXECUTION_FAILED`, `NO_COMPATIBLE_WORKER`.
    pub code: String,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// Whether submitting the query again may help.
    pub retryable: bool,
}

/// Totals of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Rows of the answer.
    pub rows: u64,
    /// Milliseconds from `root` to the last record before the end, by the store's own stamps.
    pub wall_ms: u64,
    /// Stages.
    pub stages: u64,
    /// Tasks.
    pub tasks: u64,
    /// Attempts that were claimed.
    pub attempts: u64,
    /// Bytes read from tables.
    pub bytes_scanned: u64,
    /// Bytes written to the exchange.
    pub shuffle_bytes: u64,
    /// Requests that the workers reported.
    pub requests: Requests,
}

/// `idem/<sha256>`: a client's retry of a submit finds its query here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idem {
    /// [`RECORD_VERSION`].
    pub v: u32,
    /// The decision's nonce.
    pub nonce: String,
    /// Query id that the key stands for.
    pub query: String,
    /// SHA-256 of the canonical request: another request under the same key is an error.
    pub request: String,
}
