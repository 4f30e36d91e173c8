//! The rows that a task has produced and not yet written. Each bucket has rows that wait for a full batch, and the
//! encoded stream so far.
//!
//! ```text
//! push(bucket, rows) ──> coalescer ──full batch──> compact ──> encoder ──take()──> slices of a part
//!                                                               └── 4 MiB ─┘
//! ```
//! A slice ends when it has [`FRAME`] bytes, because a reader holds one whole slice of each run that it merges. With very
//! many buckets the batches are smaller, because each bucket has room for one.
//!
//! Nothing here waits or does I/O, so a whole set can be moved to a blocking thread and back.

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow_schema::SchemaRef;
use bytes::Bytes;

use crate::batch::{compact, row_bytes, shares_buffers};
use crate::format::{Compression, StreamEncoder, checksum};
use crate::{Result, ShuffleError};

/// Encoded bytes after which a slice ends. The next rows of the bucket begin another one.
pub(crate) const FRAME: usize = 4 << 20;
/// The fewest rows of a batch. With fewer, a batch would be mostly headers.
const LEAST_ROWS: usize = 128;
/// Number of batches between two measurements of the row size.
const MEASURE_EVERY: u32 = 16;

/// One finished slice.
#[derive(Debug)]
pub(crate) struct EncodedSlice {
    pub(crate) bucket: u32,
    pub(crate) rows: u64,
    pub(crate) bytes: Bytes,
    pub(crate) xxh3: String,
}

#[derive(Debug)]
struct Bucket {
    coalescer: BatchCoalescer,
    stream: Option<StreamEncoder>,
    /// Slices that are full.
    full: Vec<EncodedSlice>,
}

/// All buckets of a task.
#[derive(Debug)]
pub(crate) struct BucketSet {
    schema: SchemaRef,
    compression: Compression,
    batch_size: usize,
    /// Bytes that the rows of all buckets may have that wait for a full batch.
    waiting_bytes: usize,
    /// Buckets that will have rows, as far as it is known.
    count: usize,
    // Batches of at least this many rows are encoded directly. `None` if rows share buffers, because only the
    // coalescer compacts views.
    pass_through: Option<usize>,
    buckets: Vec<Option<Bucket>>,
    encoded: usize,
    capacity: usize,
    pending_rows: usize,
    bytes_per_row: usize,
    until_measure: u32,
}

impl BucketSet {
    /// `count` buckets will have rows. Those that wait for full batches of `batch_size` rows have about `waiting_bytes`
    /// at most.
    pub(crate) fn new(
        schema: SchemaRef,
        compression: Compression,
        batch_size: usize,
        count: usize,
        waiting_bytes: usize,
    ) -> Self {
        let shared = schema.fields().iter().any(|field| shares_buffers(field.data_type()));
        let batch_size = batch_size.max(1);
        Self {
            schema,
            compression,
            batch_size,
            waiting_bytes,
            count: count.max(1),
            pass_through: (!shared && batch_size > 1).then_some(batch_size / 2),
            buckets: Vec::new(),
            encoded: 0,
            capacity: 0,
            pending_rows: 0,
            bytes_per_row: 0,
            until_measure: 0,
        }
    }

    /// Records how large the rows of an input batch are, before it is split into buckets.
    pub(crate) fn measure(&mut self, batch: &RecordBatch) {
        if self.until_measure > 0 {
            self.until_measure -= 1;
            return;
        }
        self.until_measure = MEASURE_EVERY;
        let found = row_bytes(batch).div_ceil(batch.num_rows().max(1));
        self.bytes_per_row = match self.bytes_per_row {
            0 => found,
            before => (3 * before + found).div_ceil(4),
        };
    }

    /// Appends rows with the declared schema to a bucket.
    pub(crate) fn push(&mut self, bucket: u32, batch: RecordBatch) -> Result<()> {
        let index = bucket as usize;
        if index >= self.buckets.len() {
            self.buckets.resize_with(index + 1, || None);
        }
        self.pending_rows += batch.num_rows();
        let rows = self.rows_of_a_batch();
        let pass_through = self.pass_through.map(|most| most.min(rows / 2).max(1));
        let slot = &mut self.buckets[index];
        let entry = slot.get_or_insert_with(|| Bucket {
            coalescer: BatchCoalescer::new(SchemaRef::clone(&self.schema), rows)
                .with_biggest_coalesce_batch_size(pass_through),
            stream: None,
            full: Vec::new(),
        });
        let all = batch.num_rows();
        for from in (0..all).step_by(rows) {
            entry.coalescer.push_batch(batch.slice(from, rows.min(all - from)))?;
        }
        self.drain(index)
    }

    /// Rows of a bucket's batches. A bucket has room for one batch from its first row on.
    fn rows_of_a_batch(&self) -> usize {
        let row = self.bytes_per_row.max(1).saturating_mul(self.count);
        let least = LEAST_ROWS.min(self.batch_size);
        // A batch of wide rows should be smaller than a slice.
        let narrow = (FRAME / 4) / self.bytes_per_row.max(1);
        (self.waiting_bytes / row).min(narrow).clamp(least, self.batch_size)
    }

    /// Encoded bytes of a part that would be written now, without waiting rows.
    pub(crate) fn encoded(&self) -> usize {
        self.encoded
    }

    /// Approximate memory that is held.
    pub(crate) fn held(&self) -> usize {
        self.capacity + self.pending_rows * self.bytes_per_row
    }

    /// Ends all streams and returns their slices by bucket. With `flush`, waiting rows are included. Without it, they
    /// wait for a full batch of the next part.
    pub(crate) fn take(&mut self, flush: bool) -> Result<Vec<EncodedSlice>> {
        let mut slices = Vec::new();
        for index in 0..self.buckets.len() {
            if flush {
                if let Some(bucket) = &mut self.buckets[index] {
                    bucket.coalescer.finish_buffered_batch()?;
                }
                self.drain(index)?;
            }
            let Some(bucket) = &mut self.buckets[index] else { continue };
            slices.append(&mut bucket.full);
            if let Some(stream) = bucket.stream.take() {
                slices.push(slice_of(index, stream)?);
            }
        }
        self.encoded = 0;
        self.capacity = 0;
        Ok(slices)
    }

    fn drain(&mut self, index: usize) -> Result<()> {
        let Some(bucket) = &mut self.buckets[index] else {
            return Ok(());
        };
        while let Some(batch) = bucket.coalescer.next_completed_batch() {
            let rows = batch.num_rows();
            let stream = match &mut bucket.stream {
                Some(stream) => stream,
                None => {
                    bucket.stream.insert(StreamEncoder::try_new(&self.schema, self.compression)?)
                }
            };
            let (encoded, capacity) = (stream.encoded(), stream.capacity());
            stream.write(&compact(batch)?)?;
            // The schema of a new stream is counted with its first batch.
            let first = stream.rows() == rows as u64;
            self.encoded += stream.encoded() - if first { 0 } else { encoded };
            self.capacity += stream.capacity() - if first { 0 } else { capacity };
            self.pending_rows = self.pending_rows.saturating_sub(rows);
            if stream.encoded() >= FRAME
                && let Some(stream) = bucket.stream.take()
            {
                bucket.full.push(slice_of(index, stream)?);
            }
        }
        Ok(())
    }
}

fn slice_of(bucket: usize, stream: StreamEncoder) -> Result<EncodedSlice> {
    let bucket = u32::try_from(bucket)
        .map_err(|_| ShuffleError::Malformed(format!("bucket {bucket} is too large")))?;
    let rows = stream.rows();
    let bytes = stream.finish()?;
    Ok(EncodedSlice { bucket, rows, xxh3: checksum(&bytes), bytes })
}
