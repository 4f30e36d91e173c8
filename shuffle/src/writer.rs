//! Writes a task's output rows.
//!
//! A task pushes batches. Their rows are placed in buckets, encoded when a bucket fills, and held in memory until a
//! part is large enough for a PUT. A small output needs no object: it is stored in the commit record.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::repartition::BatchPartitioner;
use dunlin_manifest::env::Env;
use dunlin_manifest::records::{DataObject, Slice, TaskOutput};
use dunlin_manifest::store::below;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::batch::conform;
use crate::buckets::{BucketSet, EncodedSlice};
use crate::format::{Compression, SLICE_ALIGN, checksum};
use crate::key_filter::KeyFilterBuilder;
use crate::{Result, ShuffleError};

/// When memory is refused, a part is not written early below this size, because each part costs a PUT and later a GET
/// for each of its buckets.
const MIN_EARLY_PART: usize = 4 << 20;
/// Reservations grow in steps, so that not every batch asks the shared pool.
const RESERVE_STEP: usize = 1 << 20;
/// Less than this is encoded on the same thread, because a change of threads costs more.
const OFFLOAD_FROM: usize = 256 << 10;
/// Tries of a PUT. The store's client may retry each of them. The key belongs to this attempt only, so repeating the
/// PUT does no harm.
const PUT_ATTEMPTS: u32 = 3;
const PADDING: [u8; SLICE_ALIGN] = [0; SLICE_ALIGN];

/// Names the key of part `n`, below the state's prefix. No other process may write this key.
pub type KeyOf = Arc<dyn Fn(u32) -> String + Send + Sync>;

/// Resolves when parts may be written, or with the reason why they may not. A part is garbage if it is written by an
/// attempt that does not have its claim, so nothing is written before the claim is won.
pub type Ready = Shared<BoxFuture<'static, std::result::Result<(), String>>>;

/// Parts may be written at once.
pub fn at_once() -> Ready {
    std::future::ready(Ok(())).boxed().shared()
}

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

/// Where parts are written.
#[derive(Clone)]
pub struct DataTarget {
    /// Store.
    pub store: Arc<dyn ObjectStore>,
    /// The state's prefix in the store.
    pub prefix: Path,
    /// Keys of the parts.
    pub key_of: KeyOf,
    /// Before it resolves, no part is written.
    pub ready: Ready,
}

impl fmt::Debug for DataTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataTarget").field("prefix", &self.prefix).finish_non_exhaustive()
    }
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
        }
    }
}

enum Router {
    Hash(Box<BatchPartitioner>),
    One,
    Partitions,
}

/// Writes the output of one attempt of a task.
pub struct TaskWriter {
    schema: SchemaRef,
    router: Router,
    part_bytes: usize,
    inline_limit: usize,
    target: DataTarget,
    env: Env,
    reservation: MemoryReservation,
    // `None` while a blocking thread has it, and forever if that thread did not return it.
    set: Option<BucketSet>,
    // The bucket of the filter, and the filter so far.
    key_filter: Option<(u32, KeyFilterBuilder)>,
    objects: Vec<DataObject>,
    slices: Vec<Slice>,
}

impl fmt::Debug for TaskWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskWriter")
            .field("target", &self.target)
            .field("parts", &self.objects.len())
            .finish_non_exhaustive()
    }
}

impl TaskWriter {
    /// A writer that has written nothing.
    pub fn new(options: WriterOptions) -> Result<Self> {
        let key_filter = match &options.buckets {
            Buckets::Hash { exprs, n } if options.key_filter => {
                Some((*n, KeyFilterBuilder::new(exprs.clone())))
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
            Buckets::Hash { n: 1, .. } => Router::One,
            Buckets::Hash { exprs, n } => Router::Hash(Box::new(
                BatchPartitioner::new_hash_partitioner(exprs, n as usize, Time::new())?,
            )),
        };
        let set = BucketSet::new(
            Arc::clone(&options.schema),
            options.compression,
            options.batch_size,
            count,
            options.waiting_bytes,
        );
        Ok(Self {
            schema: options.schema,
            router,
            part_bytes: options.part_bytes.max(1),
            inline_limit: options.inline_limit,
            target: options.target,
            env: options.env,
            reservation: options.reservation,
            set: Some(set),
            key_filter,
            objects: Vec::new(),
            slices: Vec::new(),
        })
    }

    /// Appends rows of a partition of the stage. This may write a part.
    pub async fn push(&mut self, partition: u32, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = conform(batch, &self.schema)?;
        if let Some((_, filter)) = &mut self.key_filter {
            filter.add(&batch)?;
        }
        let set = self.set.as_mut().ok_or(ShuffleError::Lost("encoding"))?;
        set.measure(&batch);
        match &mut self.router {
            Router::One => set.push(0, batch)?,
            Router::Partitions => set.push(partition, batch)?,
            Router::Hash(partitioner) => partitioner.partition(batch, |bucket, rows| {
                let bucket = u32::try_from(bucket).map_err(|_| {
                    DataFusionError::Internal(format!("bucket {bucket} is too large"))
                })?;
                Ok(set.push(bucket, rows)?)
            })?,
        }
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
        if self.objects.is_empty() && padded_len(&last) <= self.inline_limit {
            let (bytes, slices) = concat(&last);
            inline = STANDARD.encode(bytes);
            self.slices = slices;
        } else if !last.is_empty() {
            self.put_part(last).await?;
        }
        self.reservation.free();
        let mut slices = std::mem::take(&mut self.slices);
        slices.sort_by_key(|slice| (slice.bucket, slice.object, slice.offset));
        Ok(TaskOutput {
            objects: std::mem::take(&mut self.objects),
            rows: slices.iter().map(|slice| slice.rows).sum(),
            bytes: slices.iter().map(|slice| slice.len).sum(),
            slices,
            inline,
        })
    }

    /// Gives up before anything was committed: drops what is held and tries to delete what was written.
    pub async fn abort(mut self) {
        self.set = None;
        self.reservation.free();
        for object in &self.objects {
            let path = below(&self.target.prefix, object.key.as_str());
            // Garbage collection finds what remains, by the claim's nonce.
            if let Err(error) = self.target.store.delete(&path).await {
                tracing::debug!(key = %object.key, %error, "part of an aborted attempt stays");
            }
        }
    }

    /// Encoded and waiting bytes held in memory now.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let filter = self.key_filter.as_ref().map_or(0, |(_, filter)| filter.held());
        self.set.as_ref().map_or(0, BucketSet::held) + filter
    }

    /// Parts written so far.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.objects.len()
    }

    async fn settle(&mut self) -> Result<()> {
        let set = self.set.as_ref().ok_or(ShuffleError::Lost("encoding"))?;
        if set.encoded() >= self.part_bytes {
            return self.write_part(false).await;
        }
        let held = set.held();
        if held <= self.reservation.size() {
            return Ok(());
        }
        let wanted = held.next_multiple_of(RESERVE_STEP);
        if self.reservation.try_resize(wanted).is_ok() {
            return Ok(());
        }
        let least = MIN_EARLY_PART.min(self.part_bytes);
        if held >= least {
            // Rows that wait are left where they are, if that helps: a slice of them would cost its reader a request.
            let is_mostly_encoded = set.encoded() >= least;
            return self.write_part(!is_mostly_encoded).await;
        }
        // The smallest amount that a writer needs to work. It is used and reserved even if the pool refuses it.
        self.reservation.resize(held);
        Ok(())
    }

    async fn write_part(&mut self, flush: bool) -> Result<()> {
        let slices = self.encode(flush).await?;
        if !slices.is_empty() {
            self.put_part(slices).await?;
        }
        let held = self.held_bytes();
        self.reservation.resize(held);
        Ok(())
    }

    async fn encode(&mut self, flush: bool) -> Result<Vec<EncodedSlice>> {
        let mut set = self.set.take().ok_or(ShuffleError::Lost("encoding"))?;
        if set.held() < OFFLOAD_FROM {
            let slices = set.take(flush);
            self.set = Some(set);
            return slices;
        }
        let (set, slices) = self
            .env
            .offload(move || {
                let slices = set.take(flush);
                (set, slices)
            })
            .await
            .ok_or(ShuffleError::Lost("encoding"))?;
        self.set = Some(set);
        slices
    }

    async fn put_part(&mut self, encoded: Vec<EncodedSlice>) -> Result<()> {
        let number = u32::try_from(self.objects.len())
            .map_err(|_| ShuffleError::Malformed("too many parts".to_string()))?;
        let key = (self.target.key_of)(number);
        let (chunks, slices, len) = layout(&encoded, Some(number));
        drop(encoded);
        self.target.ready.clone().await.map_err(ShuffleError::NotReady)?;
        let payload = PutPayload::from_iter(chunks);
        let path = below(&self.target.prefix, key.as_str());
        let mut attempt = 1;
        while let Err(source) = self.target.store.put(&path, payload.clone()).await {
            if attempt == PUT_ATTEMPTS {
                return Err(ShuffleError::Write { key, source });
            }
            let pause = self.env.jitter(Duration::from_millis(100 << attempt));
            tracing::warn!(%key, attempt, error = %source, "part was not written, trying again");
            self.env.clock.sleep(pause).await;
            attempt += 1;
        }
        self.objects.push(DataObject { key, len });
        self.slices.extend(slices);
        Ok(())
    }
}

/// The chunks of an object that holds `encoded` one after the other, and the position of each.
fn layout(encoded: &[EncodedSlice], object: Option<u32>) -> (Vec<Bytes>, Vec<Slice>, u64) {
    let mut chunks = Vec::with_capacity(encoded.len() * 2);
    let mut slices = Vec::with_capacity(encoded.len());
    let mut end = 0usize;
    for slice in encoded {
        let offset = end.next_multiple_of(SLICE_ALIGN);
        if offset > end {
            chunks.push(Bytes::copy_from_slice(&PADDING[..offset - end]));
        }
        chunks.push(slice.bytes.clone());
        slices.push(Slice {
            bucket: slice.bucket,
            object,
            offset: offset as u64,
            len: slice.bytes.len() as u64,
            rows: slice.rows,
            xxh3: slice.xxh3.clone(),
        });
        end = offset + slice.bytes.len();
    }
    (chunks, slices, end as u64)
}

fn concat(encoded: &[EncodedSlice]) -> (Vec<u8>, Vec<Slice>) {
    let (chunks, slices, _) = layout(encoded, None);
    (chunks.concat(), slices)
}

fn padded_len(encoded: &[EncodedSlice]) -> usize {
    encoded
        .iter()
        .fold(0, |end: usize, slice| end.next_multiple_of(SLICE_ALIGN) + slice.bytes.len())
}
