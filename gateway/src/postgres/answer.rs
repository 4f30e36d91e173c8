//! The answer to a statement: rows that are still to be sent, or what was done.

use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::SendableRecordBatchStream;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::meter::Meter;

use super::copy::CopyFormat;
use super::out::Column;
use super::rows::Prepared;
use crate::door::Permit;
use crate::query::answer::{Answer, Receipt};
use crate::query::intake::Held;

/// The answer to a statement.
#[derive(Debug)]
pub(super) enum Reply {
    /// Rows follow.
    Rows(Box<Rows>),
    /// It is done; this is what the client is told.
    Done(String),
}

/// Rows that are still to be sent.
pub(super) struct Rows {
    pub(super) stream: SendableRecordBatchStream,
    pub(super) columns: Vec<Column>,
    /// The batch that is being sent, and its next row.
    pub(super) batch: Option<(Prepared, usize)>,
    pub(super) sent: u64,
    /// The word before the number of rows.
    pub(super) tag: &'static str,
    /// They are sent as COPY does.
    pub(super) copy: Option<CopyFormat>,
    /// What is said of the query at the end.
    pub(super) told: Option<Told>,
    /// This process computes them, so that they hold a place while they wait.
    pub(super) is_inline: bool,
    /// When the client last took some.
    pub(super) taken: Duration,
    pub(super) _held: (Held, Option<Permit>),
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("sent", &self.sent).finish_non_exhaustive()
    }
}

/// What is known of the query of an answer.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) query: QueryId,
    pub(super) receipt: Receipt,
    pub(super) meter: Option<Arc<Meter>>,
}

impl Told {
    pub(super) fn of(answer: &Answer) -> Self {
        let (query, receipt) = (answer.query.clone(), answer.receipt.clone());
        Self { query, receipt, meter: answer.meter.clone() }
    }

    /// A sentence for people.
    pub(super) fn text(&self, rows: u64) -> String {
        let Self { query, receipt, .. } = self;
        let (route, scanned) = (receipt.route, receipt.bytes_scanned);
        let mut text = format!("query {query}: {route}, {rows} rows, {scanned} bytes scanned");
        if receipt.tasks > 0 {
            text.push_str(&format!(", {} stages, {} tasks", receipt.stages, receipt.tasks));
        }
        if receipt.cost_usd.is_some() {
            text.push_str(&format!(", {}", receipt.dollars()));
        }
        text
    }
}
