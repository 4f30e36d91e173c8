//! Seals: the winners of a stage, combined into one record that never changes.
//!
//! A seal never grows with tasks × buckets. It lists the slices of a small stage. Of a larger one it has totals, and says
//! which blocks list them ([`crate::model::records::block`]).

use serde::{Deserialize, Serialize};

use crate::model::ids::{Attempt, StageId, TaskId};
use crate::model::records::attempt::{Requests, SlotTime, TaskMetrics, TaskOutput, Usage};

/// A task's entry in a seal: its commit without the nonce.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedTask {
    /// Task.
    pub task: TaskId,
    /// Attempt that won.
    pub attempt: Attempt,
    /// Nonce of the winner's claim.
    pub claim: String,
    /// The worker that ran it.
    pub worker: String,
    /// What was written.
    pub output: TaskOutput,
    /// What the task cost.
    pub metrics: TaskMetrics,
}

/// What the slices of one bucket have together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketTotal {
    /// Encoded bytes.
    #[serde(rename = "b")]
    pub bytes: u64,
    /// Rows.
    #[serde(rename = "r")]
    pub rows: u64,
    /// Slices.
    #[serde(rename = "n")]
    pub slices: u64,
}

impl BucketTotal {
    /// Adds a slice.
    pub fn add(&mut self, bytes: u64, rows: u64) {
        *self += Self { bytes, rows, slices: 1 };
    }
}

impl std::ops::AddAssign for BucketTotal {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.rows += other.rows;
        self.slices += other.slices;
    }
}

/// What a seal holds of a block: the seal of a group, `s<S>/g/<g>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockRef {
    /// BLAKE3 of its first `head` bytes.
    pub digest: String,
    /// Bytes up to the end of its head.
    pub head: u64,
    /// Bytes of the whole block.
    pub len: u64,
}

/// What the winners of a stage have together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealTotals {
    /// Tasks.
    pub tasks: u64,
    /// Attempts, up to those that won.
    pub attempts: u64,
    /// Bytes read from tables.
    pub scan_bytes: u64,
    /// Rows read from tables and from the exchange.
    pub input_rows: u64,
    /// Requests.
    pub requests: Requests,
    /// Time of slots.
    pub slot: SlotTime,
    /// Requests for attempts that came to nothing.
    #[serde(default, skip_serializing_if = "Requests::is_zero")]
    pub lost: Requests,
    /// Functions.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
}

impl SealTotals {
    /// Adds a winner.
    pub fn add(&mut self, attempt: Attempt, metrics: &TaskMetrics) {
        self.tasks += 1;
        self.attempts += u64::from(attempt) + 1;
        self.scan_bytes += metrics.scan_bytes;
        self.input_rows += metrics.input_rows;
        self.requests += metrics.requests;
        self.slot += metrics.slot;
        self.lost += metrics.lost;
        self.usage += metrics.usage;
    }
}

impl std::ops::AddAssign for SealTotals {
    fn add_assign(&mut self, other: Self) {
        self.tasks += other.tasks;
        self.attempts += other.attempts;
        self.scan_bytes += other.scan_bytes;
        self.input_rows += other.input_rows;
        self.requests += other.requests;
        self.slot += other.slot;
        self.lost += other.lost;
        self.usage += other.usage;
    }
}

/// `seal`: all winners of a stage, and the facts that planning may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// [`RECORD_VERSION`](crate::model::encoding::RECORD_VERSION).
    pub v: u32,
    /// Query id.
    pub query: String,
    /// Stage.
    pub stage: StageId,
    /// BLAKE3 of the stage's manifest.
    pub manifest: String,
    /// True if the stage has no tasks because its work is merged into another stage.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absorbed: bool,
    /// Rows in all outputs.
    pub rows: u64,
    /// Encoded bytes in all outputs.
    pub bytes: u64,
    /// The winners, ascending by task; empty if they are in blocks.
    pub tasks: Vec<SealedTask>,
    /// Where the winners are, group by group, if the stage is too large for `tasks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<SealedBlocks>,
}

/// What a seal tells of winners that are in blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedBlocks {
    /// The blocks, by group.
    pub refs: Vec<BlockRef>,
    /// All blocks as one, `s<S>/all`, if they are short together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<BlockRef>,
    /// What each bucket has, up to the last one with a slice.
    pub buckets: Vec<BucketTotal>,
    /// What the tasks have together.
    pub totals: SealTotals,
}

impl Seal {
    /// What each bucket has, up to the last one with a slice.
    #[must_use]
    pub fn buckets(&self) -> Vec<BucketTotal> {
        if let Some(blocks) = &self.blocks {
            return blocks.buckets.clone();
        }
        let mut buckets = Vec::new();
        for slice in self.tasks.iter().flat_map(|task| &task.output.slices) {
            add_slice(
                &mut buckets,
                slice.bucket,
                BucketTotal { bytes: slice.len, rows: slice.rows, slices: 1 },
            );
        }
        buckets
    }

    /// What the winners have together.
    #[must_use]
    pub fn totals(&self) -> SealTotals {
        if let Some(blocks) = &self.blocks {
            return blocks.totals;
        }
        let mut totals = SealTotals::default();
        self.tasks.iter().for_each(|task| totals.add(task.attempt, &task.metrics));
        totals
    }
}

/// Adds to the total of a bucket.
pub fn add_slice(buckets: &mut Vec<BucketTotal>, bucket: u32, more: BucketTotal) {
    let at = bucket as usize;
    if buckets.len() <= at {
        buckets.resize(at + 1, BucketTotal::default());
    }
    buckets[at] += more;
}
