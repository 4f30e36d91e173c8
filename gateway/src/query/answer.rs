//! An answer as the core returns it: a schema, a stream of rows, and a receipt.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::records::{Requests, Route, Summary, Usage};
use dunlin_planner::cost::{Bill, Cost, Tariff};
use futures::StreamExt;
use serde::Serialize;

use super::cut::{AnswerLimits, Cut, cut};

/// How many rows a statement has written, by its answer.
pub(crate) fn rows_written(answer: &RecordBatch) -> Option<u64> {
    let counts = answer.column_by_name("rows")?.as_primitive_opt::<Int64Type>()?;
    u64::try_from(*counts.values().first()?).ok()
}

/// What an answer cost.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// The route.
    pub route: Route,
    /// Rows of the answer; `null` if an inline answer was not complete when its headers were sent.
    pub rows: Option<u64>,
    /// Whether rows were left out because of a limit of the request; `null` while that is not known, and missing if there
    /// is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Option<bool>>,
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
    /// Among them: requests for attempts that came to nothing.
    #[serde(skip_serializing_if = "Requests::is_zero")]
    pub requests_lost: Requests,
    /// Requests of this gateway for the query until the headers were sent: submit, waiting, repairs.
    pub requests_gateway: Requests,
    /// What functions that work were paid for.
    #[serde(skip_serializing_if = "Usage::is_zero")]
    pub functions: Usage,
    /// What this gateway is paid for, if it is a function: from the request's arrival to the answer's headers.
    #[serde(skip_serializing_if = "Usage::is_zero")]
    pub function_gateway: Usage,
    /// Bytes of the answer in the store.
    pub result_bytes: u64,
    /// Dollars, by list prices; `null` if there is no price.
    pub cost_usd: Option<Cost>,
    /// Where the prices come from, or why there are none.
    pub price: String,
    /// Milliseconds from the request's arrival to the answer's headers, by this gateway's clock. If the query itself
    /// took longer by the store's stamps (its answer is fetched later), it is that time.
    pub wall_ms: u64,
    /// Microseconds of slots.
    #[serde(skip)]
    pub(crate) slot_us: u64,
}

impl Receipt {
    /// The receipt of an answer whose rows are not counted yet.
    pub(crate) fn of(route: Route, totals: &Summary) -> Self {
        Self {
            route,
            rows: None,
            truncated: None,
            stages: totals.stages,
            tasks: totals.tasks,
            attempts: totals.attempts,
            bytes_scanned: totals.bytes_scanned,
            shuffle_bytes: totals.shuffle_bytes,
            requests: totals.requests,
            requests_lost: totals.lost,
            requests_gateway: Requests::default(),
            functions: totals.usage,
            function_gateway: Usage::default(),
            result_bytes: totals.result_bytes,
            cost_usd: None,
            price: String::new(),
            wall_ms: totals.wall_ms,
            slot_us: totals.slot.total(),
        }
    }

    /// The dollars as text for people.
    pub(crate) fn dollars(&self) -> String {
        let Some(Cost { total, compute, requests, storage }) = self.cost_usd else {
            return self.price.clone();
        };
        let mut text = format!(
            "${total:.8} (compute ${compute:.8}, requests ${requests:.8}, storage ${storage:.8}; {})",
            self.price
        );
        if !self.functions.is_zero() {
            let Usage { calls, cold, .. } = self.functions;
            let seconds = self.functions.gb_seconds();
            text.push_str(&format!("; {calls} calls, {cold} cold, {seconds:.3} GB-s"));
        }
        text
    }

    /// Fills in the dollars for what it says.
    pub(crate) fn price(&mut self, tariff: &Tariff) {
        let mut requests = self.requests;
        requests += self.requests_gateway;
        let bill = Bill {
            requests,
            usage: self.functions,
            gateway: self.function_gateway,
            slot_us: self.slot_us,
            data_bytes: self.shuffle_bytes,
            result_bytes: self.result_bytes,
        };
        self.cost_usd = tariff.cost(&bill);
        self.price = tariff.note();
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
    /// Tells whether rows were left out, if there is a limit.
    pub(crate) cut: Option<Cut>,
    /// How many parts the answer has, if it is in the store.
    pub(crate) parts: Option<u64>,
}

impl Answer {
    /// The same answer, whose rows keep something until they are dropped.
    pub(crate) fn holding<T: Send + 'static>(self, held: Option<T>) -> Self {
        let Some(held) = held else { return self };
        let schema = self.rows.schema();
        let rows = self.rows.inspect(move |_| {
            let _ = &held;
        });
        Self { rows: Box::pin(RecordBatchStreamAdapter::new(schema, rows)), ..self }
    }

    /// The same answer, as far as the limits allow.
    pub(crate) fn limited(self, limits: AnswerLimits) -> Self {
        if limits.is_none() {
            return self;
        }
        let (rows, cut) = cut(self.rows, limits);
        let mut receipt = self.receipt;
        receipt.truncated = Some(None);
        match (receipt.rows, limits) {
            (Some(all), AnswerLimits { rows: Some(most), bytes: None }) => {
                receipt.rows = Some(all.min(most));
                receipt.truncated = Some(Some(all > most));
            }
            // How many rows so many bytes have is known at the end.
            _ => receipt.rows = None,
        }
        Self { rows, receipt, cut: Some(cut), ..self }
    }
}
