//! The records of one attempt of a task: its claim, and its commit or its failure.

use serde::{Deserialize, Serialize};

use crate::model::error_code::ErrorCode;
use crate::model::ids::{Attempt, TaskId};

/// `k/<t>.<a>`: this worker runs this attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// [`RECORD_VERSION`](crate::model::encoding::RECORD_VERSION).
    pub v: u32,
    /// The decision's nonce. It is also in the names of the attempt's data.
    pub nonce: String,
    /// The worker that claims, for people.
    pub worker: String,
}

/// `f/<t>.<a>`: how an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fail {
    /// [`RECORD_VERSION`](crate::model::encoding::RECORD_VERSION).
    pub v: u32,
    /// The decision's nonce.
    pub nonce: String,
    /// The worker that ran it. Failures of several workers tell more than those of one.
    pub worker: String,
    /// No other worker could have taken the task, as far as this one knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
    /// Whether another attempt may help.
    pub class: FailClass,
    /// Error code as the API gives it.
    pub code: ErrorCode,
    /// What went wrong, for the user.
    pub message: String,
    /// When the attempt began, in Unix milliseconds by the worker's clock. Traces show it, and nothing decides by it.
    #[serde(default)]
    pub began_ms: u64,
    /// When it had failed, as `began_ms`.
    #[serde(default)]
    pub ended_ms: u64,
}

/// Whether another attempt may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailClass {
    /// Another attempt may succeed, on another worker above all (memory or disk of this one).
    Retry,
    /// A store did not answer, or not as it should: another attempt may succeed once it does. Such failures are bounded
    /// by time and not by their number.
    Store,
    /// Every attempt would fail in the same way (an error of the query or of its data).
    Fatal,
    /// The worker was asked to stop. This counts neither as a failure nor as a lost claim.
    GiveBack,
}

/// `c/<t>`: the winner of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// [`RECORD_VERSION`](crate::model::encoding::RECORD_VERSION).
    pub v: u32,
    /// The decision's nonce.
    pub nonce: String,
    /// Task.
    pub task: TaskId,
    /// Attempt that won.
    pub attempt: Attempt,
    /// Nonce of the attempt's claim.
    pub claim: String,
    /// BLAKE3 of the manifest under which the task ran. A seal is derived only from commits that ran under the manifest
    /// that its writer has computed.
    pub manifest: String,
    /// The worker that ran it, for people.
    pub worker: String,
    /// What was written.
    pub output: TaskOutput,
    /// What the task cost.
    pub metrics: TaskMetrics,
}

/// The data of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskOutput {
    /// Data objects, complete keys below the state's prefix.
    pub objects: Vec<DataObject>,
    /// Where each non-empty slice is, ascending by (bucket, object, offset).
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
#[serde(deny_unknown_fields)]
pub struct DataObject {
    /// Key below the state's prefix.
    pub key: String,
    /// Length in bytes.
    pub len: u64,
}

/// One complete Arrow IPC stream: rows of one bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// What a task cost. Times are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskMetrics {
    /// Time from the claim to the commit.
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
    /// Time in which the plan's operators computed, summed over operators and partitions. It does not include waiting
    /// for inputs.
    #[serde(default)]
    pub cpu_us: u64,
    /// Highest memory that the task itself had reserved, in bytes.
    #[serde(default)]
    pub task_memory: u64,
    /// How the slot spent its time.
    pub slot: SlotTime,
    /// Requests among `requests` that were made for attempts which came to nothing.
    #[serde(default, skip_serializing_if = "Requests::is_zero")]
    pub lost: Requests,
    /// What functions were paid for since the worker's previous commit, if the worker is one.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
    /// When the attempt ended, in Unix milliseconds by the worker's clock. Traces show it, and nothing decides by it.
    #[serde(default)]
    pub ended_ms: u64,
}

/// What functions are paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Calls.
    pub calls: u64,
    /// Environments that were started for them.
    pub cold: u64,
    /// Milliseconds, with starts.
    pub ms: u64,
    /// Milliseconds times megabytes of memory.
    pub mb_ms: u64,
}

impl Usage {
    /// True if there was no function.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Gigabytes of memory times seconds, as functions are paid.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // for dollars
    pub fn gb_seconds(&self) -> f64 {
        self.mb_ms as f64 / 1_024.0 / 1_000.0
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.cold += other.cold;
        self.ms += other.ms;
        self.mb_ms += other.mb_ms;
    }
}

/// How a slot spent its time, from the end of its task before until it was free for the next. Times are in
/// microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotTime {
    /// It computed.
    pub compute: u64,
    /// The plan waited: for its inputs, or for rows to be written.
    pub wait: u64,
    /// The plan had run, and the claim was not answered.
    pub claim: u64,
    /// It waited for commits of earlier tasks.
    pub commit: u64,
    /// It had no task, although the worker knew the query.
    pub idle: u64,
}

impl SlotTime {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { compute, wait, claim, commit, idle } = *self;
        compute + wait + claim + commit + idle
    }
}

impl std::ops::AddAssign for SlotTime {
    fn add_assign(&mut self, other: Self) {
        self.compute += other.compute;
        self.wait += other.wait;
        self.claim += other.claim;
        self.commit += other.commit;
        self.idle += other.idle;
    }
}

/// Store requests by price class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// PUT, and each part of a multipart upload.
    pub put: u64,
    /// GET, ranged or not.
    pub get: u64,
    /// LIST: one for each page.
    pub list: u64,
    /// HEAD.
    pub head: u64,
    /// DELETE.
    pub delete: u64,
    /// How many of them were sent a second time because the answer was late.
    pub hedged: u64,
}

impl Requests {
    /// True if there were none.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for Requests {
    fn add_assign(&mut self, other: Self) {
        self.put += other.put;
        self.get += other.get;
        self.list += other.list;
        self.head += other.head;
        self.delete += other.delete;
        self.hedged += other.hedged;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::encoding::{RECORD_VERSION, decode, encode};

    #[test]
    fn a_fail_record_keeps_its_bytes_whoever_wrote_its_code() {
        for code in ["EXECUTION_FAILED", "A_CODE_OF_A_LATER_VERSION"] {
            let text = format!(
                r#"{{"v":{RECORD_VERSION},"nonce":"n","worker":"w","class":"FATAL","code":"{code}","message":"why","began_ms":1,"ended_ms":2}}"#
            );
            let fail: Fail = decode(text.as_bytes()).unwrap();
            assert_eq!((fail.class, fail.code.as_str()), (FailClass::Fatal, code));
            assert_eq!(encode(&fail), text);
        }
    }
}
