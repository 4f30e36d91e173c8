//! The rows that a task has produced and not yet written. Each bucket has rows that wait for a full batch, and the
//! encoded stream so far.
//!
//! ```text
//!            compute thread                      another thread, if there is compression
//!   push(bucket, rows) ──> coalescer ──full batch──> compact ──> encoder ──take()──> slices of a part
//!   └───────── Gather ───────────┘                   └── Streams ── 4 MiB ─┘
//! ```
//! A slice ends when it has [`FRAME`] bytes, because a reader holds one whole slice of each run that it merges. With very
//! many buckets the batches are smaller, because each bucket has room for one.
//!
//! Nothing here waits or does I/O, so streams can be moved to a blocking thread and back.

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

/// Full batches, each with its bucket, in the order in which they were filled.
pub(crate) type Batches = Vec<(u32, RecordBatch)>;

/// Joins the rows of each bucket to full batches.
#[derive(Debug)]
pub(crate) struct Gather {
    schema: SchemaRef,
    batch_size: usize,
    /// Bytes that the rows of all buckets may have that wait for a full batch.
    waiting_bytes: usize,
    /// Buckets that will have rows, as far as it is known.
    count: usize,
    // Batches of at least this many rows are not copied. `None` if rows share buffers, because only the coalescer compacts
    // views.
    pass_through: Option<usize>,
    coalescers: Vec<Option<BatchCoalescer>>,
    full: Batches,
    full_rows: usize,
    waiting_rows: usize,
    bytes_per_row: usize,
    until_measure: u32,
}

impl Gather {
    /// `count` buckets will have rows. Those that wait for full batches of `batch_size` rows have about `waiting_bytes`
    /// at most.
    pub(crate) fn new(
        schema: SchemaRef,
        batch_size: usize,
        count: usize,
        waiting_bytes: usize,
    ) -> Self {
        let shared = schema.fields().iter().any(|field| shares_buffers(field.data_type()));
        let batch_size = batch_size.max(1);
        Self {
            schema,
            batch_size,
            waiting_bytes,
            count: count.max(1),
            pass_through: (!shared && batch_size > 1).then_some(batch_size / 2),
            coalescers: Vec::new(),
            full: Vec::new(),
            full_rows: 0,
            waiting_rows: 0,
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
        if index >= self.coalescers.len() {
            self.coalescers.resize_with(index + 1, || None);
        }
        let all = batch.num_rows();
        self.waiting_rows += all;
        let rows = self.rows_of_a_batch();
        let pass_through = self.pass_through.map(|most| most.min(rows / 2).max(1));
        let coalescer = self.coalescers[index].get_or_insert_with(|| {
            BatchCoalescer::new(SchemaRef::clone(&self.schema), rows)
                .with_biggest_coalesce_batch_size(pass_through)
        });
        for from in (0..all).step_by(rows) {
            coalescer.push_batch(batch.slice(from, rows.min(all - from)))?;
        }
        self.drain(bucket);
        Ok(())
    }

    /// Rows of a bucket's batches. A bucket has room for one batch from its first row on.
    fn rows_of_a_batch(&self) -> usize {
        let row = self.bytes_per_row.max(1).saturating_mul(self.count);
        let least = LEAST_ROWS.min(self.batch_size);
        // A batch of wide rows should be smaller than a slice.
        let narrow = (FRAME / 4) / self.bytes_per_row.max(1);
        (self.waiting_bytes / row).min(narrow).clamp(least, self.batch_size)
    }

    /// Makes batches of the rows that wait, bucket by bucket.
    pub(crate) fn flush(&mut self) -> Result<()> {
        for bucket in 0..self.coalescers.len() {
            if let Some(coalescer) = &mut self.coalescers[bucket] {
                coalescer.finish_buffered_batch()?;
            }
            let bucket = u32::try_from(bucket)
                .map_err(|_| ShuffleError::Malformed(format!("bucket {bucket} is too large")))?;
            self.drain(bucket);
        }
        Ok(())
    }

    fn drain(&mut self, bucket: u32) {
        let coalescer = self.coalescers.get_mut(bucket as usize).and_then(Option::as_mut);
        let Some(coalescer) = coalescer else { return };
        while let Some(batch) = coalescer.next_completed_batch() {
            self.full_rows += batch.num_rows();
            self.waiting_rows = self.waiting_rows.saturating_sub(batch.num_rows());
            self.full.push((bucket, batch));
        }
    }

    /// The full batches, which are the caller's from now on.
    pub(crate) fn take_full(&mut self) -> Batches {
        self.full_rows = 0;
        std::mem::take(&mut self.full)
    }

    /// About the bytes of the full batches.
    pub(crate) fn full_bytes(&self) -> usize {
        self.full_rows * self.bytes_per_row
    }

    /// Approximate memory that is held.
    pub(crate) fn held(&self) -> usize {
        (self.waiting_rows + self.full_rows) * self.bytes_per_row
    }
}

#[derive(Debug, Default)]
struct Stream {
    open: Option<StreamEncoder>,
    /// Slices that are full.
    full: Vec<EncodedSlice>,
}

/// The encoded streams of all buckets.
#[derive(Debug)]
pub(crate) struct Streams {
    schema: SchemaRef,
    compression: Compression,
    buckets: Vec<Stream>,
    encoded: usize,
    capacity: usize,
}

impl Streams {
    /// Nothing is encoded yet.
    pub(crate) fn new(schema: SchemaRef, compression: Compression) -> Self {
        Self { schema, compression, buckets: Vec::new(), encoded: 0, capacity: 0 }
    }

    /// Encoded bytes of a part that would be written now.
    pub(crate) fn encoded(&self) -> usize {
        self.encoded
    }

    /// Memory that is held.
    pub(crate) fn held(&self) -> usize {
        self.capacity
    }

    /// Encodes batches.
    pub(crate) fn encode(&mut self, batches: Batches) -> Result<()> {
        batches.into_iter().try_for_each(|(bucket, batch)| self.append(bucket, batch))
    }

    fn append(&mut self, number: u32, batch: RecordBatch) -> Result<()> {
        let index = number as usize;
        if index >= self.buckets.len() {
            self.buckets.resize_with(index + 1, Stream::default);
        }
        let bucket = &mut self.buckets[index];
        let stream = match &mut bucket.open {
            Some(stream) => stream,
            None => bucket.open.insert(StreamEncoder::try_new(&self.schema, self.compression)?),
        };
        let (encoded, capacity) = (stream.encoded(), stream.capacity());
        // The schema of a new stream is counted with its first batch.
        let first = stream.rows() == 0;
        stream.write(&compact(batch)?)?;
        self.encoded += stream.encoded() - if first { 0 } else { encoded };
        self.capacity += stream.capacity() - if first { 0 } else { capacity };
        if stream.encoded() >= FRAME
            && let Some(stream) = bucket.open.take()
        {
            bucket.full.push(slice_of(number, stream)?);
        }
        Ok(())
    }

    /// Ends all streams and returns their slices by bucket.
    pub(crate) fn take(&mut self) -> Result<Vec<EncodedSlice>> {
        let mut slices = Vec::new();
        for (number, bucket) in (0u32..).zip(&mut self.buckets) {
            slices.append(&mut bucket.full);
            if let Some(stream) = bucket.open.take() {
                slices.push(slice_of(number, stream)?);
            }
        }
        self.encoded = 0;
        self.capacity = 0;
        Ok(slices)
    }
}

fn slice_of(bucket: u32, stream: StreamEncoder) -> Result<EncodedSlice> {
    let rows = stream.rows();
    let bytes = stream.finish()?;
    Ok(EncodedSlice { bucket, rows, xxh3: checksum(&bytes), bytes })
}
