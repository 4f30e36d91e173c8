//! An answer as the core gives it: a schema, a stream of rows, and a receipt.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::records::{Requests, Route, Summary};
use serde::Serialize;

/// What an answer took.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// Where it ran.
    pub route: Route,
    /// Rows of the answer; `null` if an inline answer was still growing when its headers were sent.
    pub rows: Option<u64>,
    /// Stages; 0 if the gateway ran the plan itself.
    pub stages: u64,
    /// Tasks; 0 if the gateway ran the plan itself.
    pub tasks: u64,
    /// Attempts that were claimed.
    pub attempts: u64,
    /// Bytes read from tables.
    pub bytes_scanned: u64,
    /// Bytes written to the exchange.
    pub shuffle_bytes: u64,
    /// Requests that the query's workers made; of an inline answer, those of this process for the
    /// tables until the headers were sent. Those of the gateway's own waiting are not counted.
    pub requests: Requests,
    /// Milliseconds from the receipt of the request to the answer's headers, by this gateway's clock; or
    /// what the query itself took by the store's stamps, where that is more (its answer is fetched later).
    pub wall_ms: u64,
}

impl Receipt {
    /// What a query took, for an answer whose rows are not counted yet.
    pub(crate) fn of(route: Route, totals: &Summary) -> Self {
        Self {
            route,
            rows: None,
            stages: totals.stages,
            tasks: totals.tasks,
            attempts: totals.attempts,
            bytes_scanned: totals.bytes_scanned,
            shuffle_bytes: totals.shuffle_bytes,
            requests: totals.requests,
            wall_ms: totals.wall_ms,
        }
    }
}

/// The answer to a statement.
pub(crate) struct Answer {
    /// The query, or the id of a statement that leaves no trace.
    pub(crate) query: QueryId,
    /// Schema and rows. Dropping them stops the work that makes them.
    pub(crate) rows: SendableRecordBatchStream,
    /// What it took, as far as that is known now.
    pub(crate) receipt: Receipt,
    /// Counts the requests of an answer that this process computes.
    pub(crate) meter: Option<Arc<Meter>>,
}
