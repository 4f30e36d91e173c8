//! The end of a query: its outcome, its error, its totals.

use serde::{Deserialize, Serialize};

use crate::model::error_code::ErrorCode;
use crate::model::records::attempt::{Requests, SlotTime, Usage};
use crate::model::records::seal::Seal;

/// `end/<Q>`: the only terminal state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// [`RECORD_VERSION`](crate::model::encoding::RECORD_VERSION).
    pub v: u32,
    /// The decision's nonce.
    pub nonce: String,
    /// Outcome.
    pub status: EndStatus,
    /// What went wrong, unless it succeeded.
    pub error: Option<QueryError>,
    /// BLAKE3 of the last stage's seal, which names the result objects, if it succeeded.
    pub seal: Option<String>,
    /// The last stage's seal itself, if the stage has one task: this record is then the commit of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Seal>,
    /// What the whole query cost, as far as its records show.
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
    /// A client cancelled the query.
    Cancelled,
}

/// An error as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryError {
    /// Code, e.g. `EXECUTION_FAILED`, `NO_COMPATIBLE_WORKER`. Clients program against it.
    pub code: ErrorCode,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// Whether submitting the query again may help.
    pub retryable: bool,
}

/// Totals of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Rows of the answer.
    pub rows: u64,
    /// Milliseconds that the query took, at least: from the stamp of `root` to the newest stamp that the process which
    /// ended the query has seen, or the time for which that process has known the query.
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
    /// How the slots spent their time, as far as they reported it.
    pub slot: SlotTime,
    /// Requests among them for attempts that came to nothing.
    #[serde(default, skip_serializing_if = "Requests::is_zero")]
    pub lost: Requests,
    /// What functions were paid for.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
    /// Bytes of the answer.
    #[serde(default)]
    pub result_bytes: u64,
}
