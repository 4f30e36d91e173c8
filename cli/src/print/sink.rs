//! What takes the batches of one answer.

use anyhow::Result;
use arrow::array::RecordBatch;

use super::out::Out;

/// Writes one answer.
pub(super) trait Sink {
    /// Writes rows.
    fn batch(&mut self, batch: &RecordBatch, out: &mut Out) -> Result<()>;

    /// Writes what comes after the last row.
    fn finish(&mut self, out: &mut Out) -> Result<()>;
}
