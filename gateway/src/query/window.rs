//! Reading an answer on at any row, for protocols whose clients take it page by page.
//!
//! ```text
//!   slices of the answer   │  0  │ 1 │ 2 │   3   │ 4 │ …
//!   from row n                    n──window──>│            at most so many bytes are read, whatever comes behind them
//! ```
//! Which rows a window has follows from the seal and the number of its first row alone. So every gateway cuts the same
//! window, and a client that asks for it again gets the same rows.

use datafusion::execution::SendableRecordBatchStream;

use super::error::CoreError;
use super::queries::{Ended, Queries};

/// Bytes in the store of the slices of a window, about. A slice has about as many at most.
const WINDOW_BYTES: u64 = 4 << 20;

/// Rows of an answer from some row on.
pub(crate) struct Window {
    /// At least one row, unless the answer has no more.
    pub(crate) rows: SendableRecordBatchStream,
    /// Rows of the whole answer.
    pub(crate) total: u64,
}

impl Queries {
    /// The rows of a query that has ended, from row `from` on, or why there are none.
    pub(crate) async fn window(&self, ended: &Ended, from: u64) -> Result<Window, CoreError> {
        let about = |error: CoreError| error.about(&ended.query);
        let (handle, seal) = self.answer_seal(ended).await.map_err(about)?;
        let wanted = (from, WINDOW_BYTES);
        let rows = self.results.open_from(&ended.query, &handle.root, &seal, wanted).await;
        Ok(Window { rows: rows.map_err(about)?, total: seal.rows })
    }
}
