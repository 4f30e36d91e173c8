//! Writes a task's output rows.
//!
//! ```text
//!   push ─> hash, place ─> full batches ─> encode ─> part ─> PUT
//!           compute thread                 another   beside what follows, one at a time
//! ```
//! A task pushes batches. Their rows are placed in buckets, encoded when a bucket fills, and held in memory until a
//! part is large enough for a PUT. A small output needs no object: it is stored in the commit record.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::PhysicalExpr;
use dunlin_manifest::env::Env;
use dunlin_manifest::records::TaskOutput;

use crate::Result;
use crate::batch::conform;
use crate::buckets::{EncodedSlice, Gather};
use crate::encoder::Encoder;
use crate::format::{Compression, checksum};
use crate::key_filter::{KeyFilter, KeyFilterBuilder};
use crate::router::HashRouter;
use crate::uploads::{DataTarget, Uploads, concat, padded_len};

/// When memory is refused, a part is not written early below this size, because each part costs a PUT and later a GET
/// for each of its buckets.
const MIN_EARLY_PART: usize = 4 << 20;
/// Reservations grow in steps, so that not every batch asks the shared pool.
const RESERVE_STEP: usize = 1 << 20;

/// How rows are placed in buckets.
#[derive(Clone, Debug)]
pub enum Buckets {
    /// By the hash of the expressions, exactly as DataFusion's `RepartitionExec` does it.
    Hash {
        /// Expressions over the rows.
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        /// Number of buckets.
        n: u32,
    },
    /// Bucket `p` holds the rows of partition `p`, in order.
    Partitions,
}

/// The inputs of a writer.
#[derive(Debug)]
pub struct WriterOptions {
    /// Schema of the exchange.
    pub schema: SchemaRef,
    /// How rows are placed.
    pub buckets: Buckets,
    /// Rows of an encoded batch.
    pub batch_size: usize,
    /// Encoded bytes after which a part is written.
    pub part_bytes: usize,
    /// An output of at most this many encoded bytes goes into the commit record.
    pub inline_limit: usize,
    /// How buffers are stored.
    pub compression: Compression,
    /// Where parts go.
    pub target: DataTarget,
    /// Time and blocking work.
    pub env: Env,
    /// Reserves the memory that is held.
    pub reservation: MemoryReservation,
    /// Bytes that rows may have that wait for a full batch of their bucket.
    pub waiting_bytes: usize,
    /// Also write a filter of the keys, in the bucket after the last one (if rows are placed by hash).
    pub key_filter: bool,
    /// Rows whose keys it does not know are dropped (if rows are placed by hash). The keys are those of `buckets`.
    pub filter: Option<Arc<KeyFilter>>,
}

impl WriterOptions {
    /// Rows of an encoded batch, if not set: DataFusion's own batch size.
    pub const BATCH_SIZE: usize = 8192;
    /// Bytes of a part, if not set. One PUT can send this well within the time limit of a request.
    pub const PART_BYTES: usize = 128 << 20;

    /// Bytes of waiting rows, if not set.
    pub const WAITING_BYTES: usize = 64 << 20;

    /// Options with the usual sizes, no compression, and nothing inline.
    #[must_use]
    pub fn new(
        schema: SchemaRef,
        buckets: Buckets,
        target: DataTarget,
        env: Env,
        reservation: MemoryReservation,
    ) -> Self {
        Self {
            schema,
            buckets,
            batch_size: Self::BATCH_SIZE,
            part_bytes: Self::PART_BYTES,
            inline_limit: 0,
            compression: Compression::None,
            target,
            env,
            reservation,
            waiting_bytes: Self::WAITING_BYTES,
            key_filter: false,
            filter: None,
        }
    }
}

enum Router {
    Hash(Box<HashRouter>),
    One,
    Partitions,
}

/// Writes the output of one attempt of a task.
pub struct TaskWriter {
    schema: SchemaRef,
    router: Router,
    part_bytes: usize,
    inline_limit: usize,
    reservation: MemoryReservation,
    gather: Gather,
    encoder: Encoder,
    // The bucket of the filter, and the filter so far.
    key_filter: Option<(u32, KeyFilterBuilder)>,
    uploads: Uploads,
}

impl fmt::Debug for TaskWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskWriter")
            .field("target", &self.uploads.target)
            .field("parts", &self.parts())
            .finish_non_exhaustive()
    }
}

impl TaskWriter {
    /// A writer that has written nothing.
    pub fn new(options: WriterOptions) -> Result<Self> {
        let key_filter = match &options.buckets {
            Buckets::Hash { n, .. } if options.key_filter => {
                Some((*n, KeyFilterBuilder::default()))
            }
            _ => None,
        };
        let count = match &options.buckets {
            Buckets::Hash { n, .. } => *n as usize,
            // Partitions come one after the other.
            Buckets::Partitions => 1,
        };
        let router = match options.buckets {
            Buckets::Partitions => Router::Partitions,
            // Nobody asks for a hash.
            Buckets::Hash { n: 1, .. } if key_filter.is_none() && options.filter.is_none() => {
                Router::One
            }
            Buckets::Hash { exprs, n } => {
                Router::Hash(Box::new(HashRouter::new(exprs, n, options.filter)))
            }
        };
        let schema = Arc::clone(&options.schema);
        Ok(Self {
            router,
            part_bytes: options.part_bytes.max(1),
            inline_limit: options.inline_limit,
            reservation: options.reservation,
            gather: Gather::new(
                Arc::clone(&schema),
                options.batch_size,
                count,
                options.waiting_bytes,
            ),
            encoder: Encoder::new(
                Arc::clone(&schema),
                options.compression,
                options.env.clone(),
                options.target.jobs.clone(),
            ),
            schema,
            key_filter,
            uploads: Uploads::new(options.target, options.env),
        })
    }

    /// Appends rows of a partition of the stage. This may write a part.
    pub async fn push(&mut self, partition: u32, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = conform(batch, &self.schema)?;
        self.gather.measure(&batch);
        match &mut self.router {
            Router::One => self.gather.push(0, batch)?,
            Router::Partitions => self.gather.push(partition, batch)?,
            Router::Hash(router) => {
                let keys = self.key_filter.as_mut().map(|(_, filter)| filter);
                router.route(batch, keys, |bucket, rows| self.gather.push(bucket, rows))?;
            }
        }
        self.encoder.feed(&mut self.gather).await?;
        self.settle().await
    }

    /// Writes what is left and returns where everything is. The data is durable when this returns. It counts only
    /// when the output is in a commit record.
    pub async fn finish(mut self) -> Result<TaskOutput> {
        let mut last = self.encode(true).await?;
        if let Some((bucket, filter)) = self.key_filter.take() {
            let bytes = filter.finish();
            let xxh3 = checksum(&bytes);
            last.push(EncodedSlice { bucket, rows: 0, bytes, xxh3 });
        }
        let mut inline = String::new();
        if self.parts() == 0 && padded_len(&last) <= self.inline_limit {
            let (bytes, slices) = concat(&last);
            inline = STANDARD.encode(bytes);
            self.uploads.slices = slices;
        } else if !last.is_empty() {
            self.uploads.start(&last).await?;
        }
        drop(last);
        let (objects, mut slices) = self.uploads.finish().await?;
        self.reservation.free();
        slices.sort_by_key(|slice| (slice.bucket, slice.object, slice.offset));
        Ok(TaskOutput {
            objects,
            rows: slices.iter().map(|slice| slice.rows).sum(),
            bytes: slices.iter().map(|slice| slice.len).sum(),
            slices,
            inline,
        })
    }

    /// Gives up before anything was committed: drops what is held and tries to delete what was written.
    pub async fn abort(self) {
        let Self { uploads, reservation, gather, encoder, .. } = self;
        drop((gather, encoder));
        reservation.free();
        uploads.abort().await;
    }

    /// Encoded and waiting bytes held in memory now.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let filter = self.key_filter.as_ref().map_or(0, |(_, filter)| filter.held());
        self.gather.held() + self.encoder.held() + self.uploads.held() + filter
    }

    /// Parts written so far, or about to be.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.uploads.begun()
    }

    async fn settle(&mut self) -> Result<()> {
        if self.encoder.encoded() >= self.part_bytes {
            return self.write_part(false).await;
        }
        let held = self.held_bytes();
        if held <= self.reservation.size() {
            return Ok(());
        }
        let wanted = held.next_multiple_of(RESERVE_STEP);
        if self.reservation.try_resize(wanted).is_ok() {
            return Ok(());
        }
        // A part that is on its way is free soon.
        if self.uploads.held() > 0 {
            self.uploads.wait().await?;
            if self.reservation.try_resize(self.held_bytes().next_multiple_of(RESERVE_STEP)).is_ok()
            {
                return Ok(());
            }
        }
        let least = MIN_EARLY_PART.min(self.part_bytes);
        if self.held_bytes() >= least {
            // Rows that wait are left where they are, if that helps: a slice of them would cost its reader a request.
            let is_mostly_encoded = self.encoder.encoded() >= least;
            self.write_part(!is_mostly_encoded).await?;
            // There is no memory to hold it and more.
            self.uploads.wait().await?;
        }
        // The smallest amount that a writer needs to work. It is used and reserved even if the pool refuses it.
        self.reservation.resize(self.held_bytes());
        Ok(())
    }

    async fn write_part(&mut self, flush: bool) -> Result<()> {
        let slices = self.encode(flush).await?;
        if !slices.is_empty() {
            self.uploads.start(&slices).await?;
        }
        drop(slices);
        if self.reservation.try_resize(self.held_bytes()).is_err() {
            self.uploads.wait().await?;
            self.reservation.resize(self.held_bytes());
        }
        Ok(())
    }

    /// Ends the slices of a part. With `flush`, it has the rows that wait. Without it, they wait for a full batch of the
    /// next part.
    async fn encode(&mut self, flush: bool) -> Result<Vec<EncodedSlice>> {
        if flush {
            self.gather.flush()?;
        }
        self.encoder.take(&mut self.gather).await
    }
}
