//! Rows of an answer that leaves no records, watched until they end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use dunlin_manifest::records::EndStatus;
use futures::Stream;

use super::error::CoreError;
use crate::metrics::{Books, Passing};

/// The rows, and whom to tell how they have ended. Rows that are dropped before their end were not wanted any more.
pub(super) struct Counted {
    rows: SendableRecordBatchStream,
    books: Arc<Books>,
    passing: Option<Passing>,
}

impl Counted {
    /// The same rows.
    pub(super) fn rows(
        rows: SendableRecordBatchStream,
        books: Arc<Books>,
        passing: Passing,
    ) -> SendableRecordBatchStream {
        Box::pin(Self { rows, books, passing: Some(passing) })
    }

    fn end(&mut self, status: EndStatus, error: Option<&CoreError>) {
        if let Some(passed) = self.passing.take() {
            self.books.pass(&passed, status, error);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.end(EndStatus::Cancelled, None);
    }
}

impl Stream for Counted {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.rows.as_mut().poll_next(context) {
            Poll::Ready(None) => {
                self.end(EndStatus::Succeeded, None);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                // Whoever reads the rows finds this error in it.
                let error = CoreError::rows(error);
                self.end(EndStatus::Failed, Some(&error));
                Poll::Ready(Some(Err(DataFusionError::External(Box::new(error)))))
            }
            polled => polled,
        }
    }
}

impl RecordBatchStream for Counted {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
