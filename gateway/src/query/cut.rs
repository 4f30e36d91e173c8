//! Answers that a client wants cut: at most so many rows, and about so many bytes.
//!
//! Bytes are those of the rows in memory, not of the answer's text, so that a limit means the same in every format. A row is
//! never cut in two.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result as DfResult;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::Stream;
use serde::{Deserialize, Serialize};

/// The most of an answer that a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerLimits {
    /// Rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
    /// Bytes of the rows in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
}

impl AnswerLimits {
    /// Whether there is no limit.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// These limits, and the others where these have none.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { rows: self.rows.or(other.rows), bytes: self.bytes.or(other.bytes) }
    }
}

/// Whether an answer was cut, for whoever sends it. Known when its rows have ended.
#[derive(Clone, Debug)]
pub(crate) struct Cut(Arc<AtomicU8>);

const RUNNING: u8 = 0;
const WHOLE: u8 = 1;
const CUT: u8 = 2;

impl Cut {
    /// True if rows were left out, false if all were sent, none if that is not known yet.
    pub(crate) fn known(&self) -> Option<bool> {
        match self.0.load(Ordering::Acquire) {
            RUNNING => None,
            state => Some(state == CUT),
        }
    }

    fn set(&self, state: u8) {
        self.0.store(state, Ordering::Release);
    }
}

/// The same rows, as far as the limits allow.
pub(crate) fn cut(
    rows: SendableRecordBatchStream,
    limits: AnswerLimits,
) -> (SendableRecordBatchStream, Cut) {
    let cut = Cut(Arc::new(AtomicU8::new(RUNNING)));
    let limited = Limited {
        schema: rows.schema(),
        rows: Some(rows),
        rows_left: limits.rows.unwrap_or(u64::MAX),
        bytes_left: limits.bytes.unwrap_or(u64::MAX),
        cut: cut.clone(),
    };
    (Box::pin(limited), cut)
}

struct Limited {
    schema: SchemaRef,
    /// None when no more rows will come. Dropping them stops the work that makes them.
    rows: Option<SendableRecordBatchStream>,
    rows_left: u64,
    bytes_left: u64,
    cut: Cut,
}

impl Limited {
    /// The first rows of a batch that are within the limits.
    fn within(&mut self, batch: RecordBatch) -> RecordBatch {
        let rows = batch.num_rows() as u64;
        let bytes = bytes_of(&batch);
        // The rows of a batch count as equally large. A fraction of a row does not fit.
        let by_bytes = match bytes {
            bytes if bytes <= self.bytes_left => rows,
            bytes => (u128::from(rows) * u128::from(self.bytes_left) / u128::from(bytes)) as u64,
        };
        let fit = rows.min(self.rows_left).min(by_bytes);
        if fit < rows {
            self.end(CUT);
            // At most the number of rows of the batch, which is a usize.
            return batch.slice(0, usize::try_from(fit).unwrap_or(usize::MAX));
        }
        self.rows_left -= rows;
        self.bytes_left -= bytes;
        batch
    }

    fn end(&mut self, state: u8) {
        self.rows = None;
        self.cut.set(state);
    }
}

/// Bytes of a batch's own rows in memory. A slice of a larger batch counts as far as it goes.
fn bytes_of(batch: &RecordBatch) -> u64 {
    let columns = batch.columns().iter();
    columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(0) as u64).sum()
}

impl Stream for Limited {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(rows) = &mut self.rows else { return Poll::Ready(None) };
            match rows.as_mut().poll_next(context) {
                // One batch more than the limit is asked for: only it tells whether anything is left out.
                Poll::Ready(Some(Ok(batch))) if batch.num_rows() > 0 => {
                    let batch = self.within(batch);
                    if batch.num_rows() > 0 {
                        return Poll::Ready(Some(Ok(batch)));
                    }
                }
                Poll::Ready(None) => {
                    self.end(WHOLE);
                    return Poll::Ready(None);
                }
                polled => return polled,
            }
        }
    }
}

impl RecordBatchStream for Limited {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::TryStreamExt;

    use super::*;

    fn numbers(from: i64, to: i64) -> RecordBatch {
        let column = Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef;
        RecordBatch::try_from_iter(vec![("n", column)]).unwrap()
    }

    async fn taken(
        batches: Vec<RecordBatch>,
        rows: Option<u64>,
        bytes: Option<u64>,
    ) -> (Vec<i64>, Option<bool>) {
        let schema = numbers(0, 0).schema();
        let items = futures::stream::iter(batches.into_iter().map(Ok));
        let rows_of = Box::pin(RecordBatchStreamAdapter::new(schema, items));
        let (limited, cut) = cut(rows_of, AnswerLimits { rows, bytes });
        assert_eq!(cut.known(), None);
        let batches: Vec<RecordBatch> = limited.try_collect().await.unwrap();
        let values = batches.iter().flat_map(|batch| {
            let column = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().clone();
            column.values().to_vec()
        });
        (values.collect(), cut.known())
    }

    #[tokio::test]
    async fn an_answer_is_cut_at_a_row_and_says_so_only_if_something_is_left_out() {
        let all = || vec![numbers(0, 3), numbers(3, 3), numbers(3, 5)];
        assert_eq!(taken(all(), None, None).await, ((0..5).collect(), Some(false)));
        assert_eq!(taken(all(), Some(5), None).await, ((0..5).collect(), Some(false)));
        assert_eq!(taken(all(), Some(4), None).await, ((0..4).collect(), Some(true)));
        assert_eq!(taken(all(), Some(3), None).await, ((0..3).collect(), Some(true)));
        assert_eq!(taken(all(), Some(0), None).await, (vec![], Some(true)));
        assert_eq!(taken(vec![], Some(0), None).await, (vec![], Some(false)));
    }

    #[tokio::test]
    async fn bytes_are_those_of_the_rows_also_in_a_slice() {
        let all = || vec![numbers(0, 3), numbers(0, 100).slice(3, 2)];
        assert_eq!(taken(all(), None, Some(40)).await, ((0..5).collect(), Some(false)));
        assert_eq!(taken(all(), None, Some(39)).await, ((0..4).collect(), Some(true)));
        assert_eq!(taken(all(), None, Some(7)).await, (vec![], Some(true)));
        assert_eq!(taken(all(), Some(2), Some(39)).await, ((0..2).collect(), Some(true)));
    }
}
