//! An answer as the core returns it: a schema, a stream of rows, and a receipt.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::records::{Requests, Route, Summary};
use serde::Serialize;

/// What an answer cost.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// The route.
    pub route: Route,
    /// Rows of the answer; `null` if an inline answer was not complete when its headers were sent.
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
    /// Requests of the query's workers. For an inline answer: requests of this process for the tables until the
    /// headers were sent. Requests that the gateway makes while it waits are not counted.
    pub requests: Requests,
    /// Milliseconds from the request's arrival to the answer's headers, by this gateway's clock. If the query itself
    /// took longer by the store's stamps (its answer is fetched later), it is that time.
    pub wall_ms: u64,
}

impl Receipt {
    /// The receipt of an answer whose rows are not counted yet.
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
    /// The query, or the id of a statement that is not stored.
    pub(crate) query: QueryId,
    /// Schema and rows. Dropping them stops the work that produces them.
    pub(crate) rows: SendableRecordBatchStream,
    /// What it cost, as far as this is known now.
    pub(crate) receipt: Receipt,
    /// Counts the requests of an answer that this process computes.
    pub(crate) meter: Option<Arc<Meter>>,
}
