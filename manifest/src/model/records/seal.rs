//! Seals: the winners of a stage, combined into one record that never changes.

use serde::{Deserialize, Serialize};

use crate::model::ids::{Attempt, StageId, TaskId};
use crate::model::records::attempt::{TaskMetrics, TaskOutput};

/// A task's entry in a group seal or a seal: its commit without the nonce.
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

/// `s<S>/g/<g>`: the combined commits of 64 tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSeal {
    /// [`RECORD_VERSION`](crate::model::encoding::RECORD_VERSION).
    pub v: u32,
    /// Group.
    pub group: u32,
    /// BLAKE3 of the manifest under which the tasks ran.
    pub manifest: String,
    /// The winners, ascending by task.
    pub tasks: Vec<SealedTask>,
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
    /// The winners, ascending by task.
    pub tasks: Vec<SealedTask>,
}
