//! What a task reads from the exchange.
//!
//! The worker puts one [`ExchangeInputs`] into the task's session, and every reader in the plan finds its stage
//! there. Slices are fetched in tasks of their own, a few in advance. So fetching continues while the plan computes,
//! and does not depend on which stream is polled.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::coalesce::LimitedBatchCoalescer;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use dunlin_manifest::env::Env;
use dunlin_manifest::records::Share;
use dunlin_manifest::store::below;
use futures::stream;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::batch::conform;
use crate::blocks::{self, Blocks, When};
use crate::format::{SliceDecoder, checksum, decode_slice};
use crate::governor::{ReadGovernor, ReadLimits};
use crate::index::{Piece, Place, StageData};
use crate::jobs::{Job, Jobs};
use crate::key_filter::KeyFilter;
use crate::{Result, ShuffleError};

/// Slices up to this size are decoded when they are fetched. For larger slices only the bytes are held, and each
/// batch is decoded when it is needed, because decoded rows can be many times as large.
const DECODE_AHEAD: u64 = 1 << 20;
/// Slices with fewer bytes, on average, may have batches that are worth joining.
const SMALL_SLICE: u64 = 1 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Counts what was read, for the task's metrics.
#[derive(Debug, Default)]
pub struct ReadCounters {
    /// Encoded bytes of slices, inline ones included.
    pub bytes: AtomicU64,
    /// Rows.
    pub rows: AtomicU64,
    /// GETs sent, with repeated ones.
    pub gets: AtomicU64,
}

/// The sealed stages that a task's plan may read.
#[derive(Clone, Debug)]
pub struct ExchangeInputs {
    stages: BTreeMap<u32, Arc<StageData>>,
    /// The part that the task reads of a bucket that several tasks share.
    share: Option<Share>,
    fetcher: Fetcher,
}

impl ExchangeInputs {
    /// No stages yet. Objects are below `prefix` in `store`. They are read on the runtime on which this is called.
    #[must_use]
    pub fn new(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        env: Env,
        governor: ReadGovernor,
    ) -> Self {
        let (counters, blocks, jobs) = (Arc::default(), Arc::default(), Jobs::here());
        let fetcher = Fetcher { store, prefix, env, governor, jobs, counters, blocks };
        Self { stages: BTreeMap::new(), share: None, fetcher }
    }

    /// Adds the data of a stage.
    #[must_use]
    pub fn with_stage(mut self, stage: u32, data: Arc<StageData>) -> Self {
        self.stages.insert(stage, data);
        self
    }

    /// Restricts every bucket of one stage to a share of its slices.
    #[must_use]
    pub fn with_share(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    /// The data of a stage.
    pub fn stage(&self, stage: u32) -> Result<&Arc<StageData>> {
        self.stages.get(&stage).ok_or_else(|| ShuffleError::UnknownStage {
            stage,
            known: self.stages.keys().copied().collect(),
        })
    }

    /// The runtime filter that the tasks of a stage wrote as bucket `bucket`; `None` unless every task wrote one. It
    /// is read once for all tasks of a process.
    pub async fn key_filter(&self, stage: u32, bucket: u32) -> Result<Option<Arc<KeyFilter>>> {
        let data = self.stage(stage)?;
        let read = || async {
            let tasks = data.tasks();
            data.load([bucket]).await?;
            if data.bucket_tasks(bucket)? != tasks || data.slice_count(bucket) != tasks {
                return Ok(None);
            }
            // The governor bounds how much of it is on its way at once.
            let parts = (0..tasks).map(|number| async move {
                let piece = data.piece(bucket, number)?;
                let bytes = self.fetcher.bytes(&piece).await?;
                self.fetcher.counters.bytes.fetch_add(piece.len, Ordering::Relaxed);
                Ok::<_, ShuffleError>(bytes)
            });
            let parts = futures::future::try_join_all(parts).await?;
            Ok(Some(Arc::new(KeyFilter::union(&parts)?)))
        };
        data.key_filter.get_or_try_init(read).await.cloned()
    }

    /// Reads which slices the buckets have that a task will read, each with its stage. It must be called before they are
    /// opened.
    pub async fn load(&self, buckets: &[(u32, u32)]) -> Result<()> {
        let mut by_stage: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        buckets
            .iter()
            .for_each(|(stage, bucket)| by_stage.entry(*stage).or_default().push(*bucket));
        let loads = by_stage
            .into_iter()
            .map(|(stage, buckets)| async move { self.stage(stage)?.load(buckets).await });
        futures::future::try_join_all(loads).await.map(|_| ())
    }

    /// Starts to fetch the buckets that a task will read, each with its stage and in the order in which they are read. It
    /// does nothing beyond its budget or the pool's memory, and nothing if [`read_early`](Self::read_early) has begun.
    pub fn read_ahead(
        &self,
        buckets: impl IntoIterator<Item = (u32, u32)>,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<()> {
        self.read_blocks(buckets, pool, blocks::BUDGET, When::Now)
    }

    /// The same before the task begins, so that one slice is worth it, too. At most `budget` bytes are read.
    pub fn read_early(
        &self,
        buckets: impl IntoIterator<Item = (u32, u32)>,
        pool: &Arc<dyn MemoryPool>,
        budget: u64,
    ) -> Result<()> {
        self.read_blocks(buckets, pool, budget.min(blocks::BUDGET), When::Early)
    }

    /// Fetches blocks.
    fn read_blocks(
        &self,
        buckets: impl IntoIterator<Item = (u32, u32)>,
        pool: &Arc<dyn MemoryPool>,
        budget: u64,
        when: When,
    ) -> Result<()> {
        let mut slices = Vec::new();
        let mut bytes = 0;
        for (stage, bucket) in buckets {
            let data = self.stage(stage)?;
            for number in self.own(data, stage, bucket)? {
                let piece = data.piece(bucket, number)?;
                if let Place::Object { key, range } = piece.place {
                    bytes += piece.len;
                    slices.push((key, range));
                }
            }
            if bytes > budget {
                break;
            }
        }
        // One slice is read as soon as the plan asks for it, and needs no block.
        if when == When::Now && slices.len() < 2 {
            slices.clear();
        }
        self.fetcher.blocks.add(when, blocks::plan(slices, budget), |block| {
            let reservation = MemoryConsumer::new("exchange read ahead").register(pool);
            let length = block.range.end - block.range.start;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if !leaves_room(pool, length) || reservation.try_grow(length).is_err() {
                return None;
            }
            // It does not hold what holds it, so that it ends when nobody wants it any more.
            let fetcher = Fetcher { blocks: Arc::default(), ..self.fetcher.clone() };
            let (key, range) = (block.key.clone(), block.range.clone());
            let jobs = fetcher.jobs.clone();
            let task = jobs.spawn(async move { fetcher.block(&key, range).await });
            Some((task, reservation))
        });
        Ok(())
    }

    /// The slices of a bucket that the task reads.
    fn own(&self, data: &StageData, stage: u32, bucket: u32) -> Result<Range<usize>> {
        match self.share.filter(|share| share.stage == stage) {
            Some(share) => data.share(bucket, share),
            None => Ok(0..data.slice_count(bucket)),
        }
    }

    /// Counts of what was read through these inputs so far.
    #[must_use]
    pub fn counters(&self) -> &Arc<ReadCounters> {
        &self.fetcher.counters
    }

    /// The rows of a bucket: task after task, slice after slice. Nothing is fetched before the stream is first
    /// polled. Data that is fetched in advance is reserved in `pool`.
    pub fn open(
        &self,
        stage: u32,
        bucket: u32,
        schema: SchemaRef,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<SendableRecordBatchStream> {
        let own = self.own(self.stage(stage)?, stage, bucket)?;
        self.open_slices(stage, bucket, own, schema, pool)
    }

    /// The same of some slices of a bucket.
    pub fn open_slices(
        &self,
        stage: u32,
        bucket: u32,
        own: Range<usize>,
        schema: SchemaRef,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<SendableRecordBatchStream> {
        let data = Arc::clone(self.stage(stage)?);
        let limits = self.fetcher.governor.limits();
        let slices = data.slice_count(bucket);
        // Wide rows come in batches of few rows on purpose.
        let small = data.bucket_rows(bucket) < slices as u64 * limits.batch_rows as u64
            && data.bucket_bytes(bucket) < slices as u64 * SMALL_SLICE;
        let coalescer = (small && own.len() > 1)
            .then(|| LimitedBatchCoalescer::new(Arc::clone(&schema), limits.batch_rows, None));
        let reservation =
            MemoryConsumer::new(format!("exchange stage {stage} bucket {bucket}")).register(pool);
        let reader = BucketReader {
            fetcher: self.fetcher.clone(),
            limits,
            data,
            bucket,
            schema: Arc::clone(&schema),
            next: own.start,
            end: own.end,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            current: None,
            coalescer,
            pool: Arc::clone(pool),
            reservation,
        };
        let batches = stream::try_unfold(reader, |mut reader| async move {
            let batch = reader.next_batch().await?;
            Ok(batch.map(|batch| (batch, reader)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// Rows of a fetched slice.
#[derive(Debug)]
enum Fetched {
    Rows(std::vec::IntoIter<RecordBatch>),
    Bytes(Box<SliceDecoder>),
}

#[derive(Debug)]
struct Ahead {
    piece: Arc<Piece>,
    task: Job<Result<Fetched>>,
}

struct BucketReader {
    fetcher: Fetcher,
    limits: ReadLimits,
    data: Arc<StageData>,
    bucket: u32,
    schema: SchemaRef,
    next: usize,
    end: usize,
    ahead: VecDeque<Ahead>,
    ahead_bytes: u64,
    current: Option<(Arc<Piece>, Fetched)>,
    coalescer: Option<LimitedBatchCoalescer>,
    pool: Arc<dyn MemoryPool>,
    reservation: MemoryReservation,
}

/// True if half of a pool stays free for the operators, which may not be able to go on without memory.
fn leaves_room(pool: &Arc<dyn MemoryPool>, more: usize) -> bool {
    match pool.memory_limit() {
        MemoryLimit::Finite(limit) => pool.reserved().saturating_add(more) <= limit / 2,
        MemoryLimit::Infinite | MemoryLimit::Unknown => true,
    }
}

impl BucketReader {
    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) =
                self.coalescer.as_mut().and_then(LimitedBatchCoalescer::next_completed_batch)
            {
                return Ok(Some(batch));
            }
            match (self.next_raw().await?, &mut self.coalescer) {
                (Some(batch), Some(coalescer)) => {
                    coalescer.push_batch(batch)?;
                }
                (Some(batch), None) => return Ok(Some(batch)),
                (None, Some(coalescer)) => {
                    coalescer.finish()?;
                    let last = coalescer.next_completed_batch();
                    self.coalescer = None;
                    if last.is_some() {
                        return Ok(last);
                    }
                }
                (None, None) => return Ok(None),
            }
        }
    }

    /// The next batch in its encoded size.
    async fn next_raw(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            self.fill()?;
            if let Some((piece, fetched)) = &mut self.current {
                let step = match fetched {
                    Fetched::Rows(batches) => Ok(batches.next()),
                    Fetched::Bytes(decoder) => decoder.next_batch(),
                };
                match step.map_err(|error| piece.corrupt(error.to_string()))? {
                    Some(batch) => {
                        let rows = batch.num_rows() as u64;
                        self.fetcher.counters.rows.fetch_add(rows, Ordering::Relaxed);
                        return Ok(Some(conform(batch, &self.schema)?));
                    }
                    None => {
                        self.reservation.shrink(piece.memory());
                        self.current = None;
                    }
                }
                continue;
            }
            let Some(Ahead { piece, mut task }) = self.ahead.pop_front() else {
                return Ok(None);
            };
            self.ahead_bytes -= piece.len;
            let fetched = task.join().await.ok_or(ShuffleError::Lost("fetching a slice"))??;
            self.current = Some((piece, fetched));
        }
    }

    /// Starts fetches up to the limits. One is always in progress while there is anything to read.
    fn fill(&mut self) -> Result<()> {
        while self.next < self.end && self.ahead.len() < self.limits.slices_ahead.max(1) {
            let piece = Arc::new(self.data.piece(self.bucket, self.next)?);
            if self.ahead.is_empty() && self.current.is_none() {
                // Without this slice there is no progress, so its memory is reserved even over the limit.
                self.reservation.grow(piece.memory());
            } else {
                let far = self.ahead_bytes + piece.len > self.limits.bytes_ahead;
                if far && !self.ahead.is_empty() {
                    return Ok(());
                }
                if !leaves_room(&self.pool, piece.memory())
                    || self.reservation.try_grow(piece.memory()).is_err()
                {
                    return Ok(());
                }
            }
            self.ahead_bytes += piece.len;
            self.next += 1;
            let task = self.fetcher.jobs.spawn(self.fetcher.clone().fetch(Arc::clone(&piece)));
            self.ahead.push_back(Ahead { piece, task });
        }
        Ok(())
    }
}

impl Piece {
    fn memory(&self) -> usize {
        match self.place {
            // The record holds these bytes in any case.
            Place::Inline(_) => 0,
            Place::Object { .. } => usize::try_from(self.len).unwrap_or(usize::MAX),
        }
    }

    fn key(&self) -> String {
        match &self.place {
            Place::Inline(_) => "inline".to_string(),
            Place::Object { key, .. } => key.clone(),
        }
    }

    fn corrupt(&self, reason: String) -> ShuffleError {
        ShuffleError::Corrupt { key: self.key(), offset: self.offset, len: self.len, reason }
    }

    fn verify(&self, bytes: &Bytes) -> Result<()> {
        if bytes.len() as u64 != self.len {
            return Err(self.corrupt(format!("{} bytes arrived", bytes.len())));
        }
        let found = checksum(bytes);
        if found != self.xxh3 {
            return Err(self.corrupt(format!("checksum {found} instead of {}", self.xxh3)));
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Fetcher {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    env: Env,
    governor: ReadGovernor,
    jobs: Jobs,
    counters: Arc<ReadCounters>,
    /// What the task reads ahead.
    blocks: Arc<Blocks>,
}

impl Fetcher {
    async fn fetch(self, piece: Arc<Piece>) -> Result<Fetched> {
        let bytes = self.bytes(&piece).await?;
        self.counters.bytes.fetch_add(piece.len, Ordering::Relaxed);
        if piece.len > DECODE_AHEAD {
            return Ok(Fetched::Bytes(Box::new(SliceDecoder::new(bytes, piece.rows))));
        }
        let batches =
            decode_slice(bytes, piece.rows).map_err(|error| piece.corrupt(error.to_string()))?;
        Ok(Fetched::Rows(batches.into_iter()))
    }

    /// The bytes of a block; `None` if they could not be read. Its slices are then read one by one, with more tries.
    async fn block(&self, key: &str, range: std::ops::Range<u64>) -> Option<Bytes> {
        let path = below(&self.prefix, key);
        let _permit = self.governor.acquire(range.end - range.start).await;
        self.counters.gets.fetch_add(1, Ordering::Relaxed);
        let read = self.store.get_range(&path, range).await;
        read.inspect_err(|error| tracing::debug!(%key, %error, "a block was not read")).ok()
    }

    async fn bytes(&self, piece: &Piece) -> Result<Bytes> {
        let (key, range) = match &piece.place {
            Place::Inline(bytes) => {
                piece.verify(bytes)?;
                return Ok(bytes.clone());
            }
            Place::Object { key, range } => (key, range),
        };
        // A block that could not be fetched, or that is damaged, is as if it had never been asked for.
        if let Some(bytes) = self.blocks.take(key, range).await
            && piece.verify(&bytes).is_ok()
        {
            return Ok(bytes);
        }
        let path = below(&self.prefix, key.as_str());
        let _permit = self.governor.acquire(piece.len).await;
        let mut attempt = 1;
        loop {
            self.counters.gets.fetch_add(1, Ordering::Relaxed);
            let error = match self.store.get_range(&path, range.clone()).await {
                Ok(bytes) => match piece.verify(&bytes) {
                    Ok(()) => return Ok(bytes),
                    Err(error) => error,
                },
                Err(source) => ShuffleError::Read { key: key.clone(), source },
            };
            if attempt >= self.governor.limits().attempts || !error.is_retryable() {
                return Err(error);
            }
            tracing::warn!(%key, attempt, %error, "slice was not read, trying again");
            self.env.clock.sleep(self.env.jitter(FIRST_PAUSE * (1 << attempt.min(6)))).await;
            attempt += 1;
        }
    }
}
