//! The status of a query, as a gateway tells it.

use serde::Deserialize;

use crate::client::Summary;

/// The status of a query.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    /// Its id.
    pub(crate) query_id: String,
    /// `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED` or `CANCELLED`.
    pub(crate) status: String,
    /// For people.
    pub(crate) phase: String,
    /// `inline` or `fleet`.
    pub(crate) route: Option<String>,
    /// Why it goes there.
    pub(crate) route_reason: Option<String>,
    /// How far it is.
    pub(crate) progress: Progress,
    /// Why it failed.
    pub(crate) error: Option<Cause>,
    /// What it has cost so far.
    pub(crate) cost_usd: Option<f64>,
    /// What it took, once it has ended.
    pub(crate) receipt: Option<Summary>,
    /// What it has answered, once it has ended.
    pub(crate) summary: Option<Totals>,
}

/// How far a query is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    /// Stages that are done.
    pub(crate) stages_done: u64,
    /// Stages.
    pub(crate) stages: u64,
    /// Tasks that are done, of the stages that have begun.
    pub(crate) tasks_done: u64,
    /// Tasks of those stages.
    pub(crate) tasks: u64,
    /// Bytes read so far, if the gateway counts them.
    pub(crate) bytes_scanned: Option<u64>,
    /// Rows so far, if the gateway counts them.
    pub(crate) rows: Option<u64>,
}

/// What a query has answered.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Totals {
    pub(crate) rows: Option<u64>,
}

/// Why a query failed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Cause {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retryable: bool,
}

impl Status {
    /// Whether the query has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "SUCCEEDED" | "FAILED" | "CANCELLED")
    }
}
