//! A small exchange for tests: stores that count requests and can fail, with a writer and a reader.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::concat_batches;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::col;
use dunlin_manifest::env::{Clock, Env};
use dunlin_manifest::records::TaskOutput;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use crate::*;

/// What happens to the next GET.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Refuse,
    Flip,
    Cut,
}

/// Counts requests, and lets those fail that the test selected.
#[derive(Debug)]
pub(crate) struct TestStore {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) puts: AtomicU64,
    pub(crate) gets: AtomicU64,
    pub(crate) faults: Mutex<VecDeque<Fault>>,
}

impl TestStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            puts: AtomicU64::new(0),
            gets: AtomicU64::new(0),
            faults: Mutex::default(),
        })
    }

    pub(crate) fn memory() -> Arc<Self> {
        Self::new(Arc::new(object_store::memory::InMemory::new()))
    }

    pub(crate) fn break_gets(&self, fault: Fault, times: usize) {
        self.faults.lock().unwrap().extend(std::iter::repeat_n(fault, times));
    }

    pub(crate) fn puts(&self) -> u64 {
        self.puts.load(Ordering::Relaxed)
    }

    pub(crate) fn gets(&self) -> u64 {
        self.gets.load(Ordering::Relaxed)
    }
}

impl fmt::Display for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "test({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for TestStore {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.puts.fetch_add(1, Ordering::Relaxed);
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        let fault = self.faults.lock().unwrap().pop_front();
        if let Some(Fault::Refuse) = fault {
            return Err(object_store::Error::Generic { store: "test", source: "refused".into() });
        }
        let mut result = self.inner.get_opts(path, options).await?;
        let Some(fault) = fault else {
            return Ok(result);
        };
        let payload = std::mem::replace(
            &mut result.payload,
            GetResultPayload::Stream(futures::stream::empty().boxed()),
        );
        let copy = GetResult { payload, ..result };
        let (meta, range, attributes) =
            (copy.meta.clone(), copy.range.clone(), copy.attributes.clone());
        let mut bytes = copy.bytes().await?.to_vec();
        match fault {
            Fault::Flip => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            _ => bytes.truncate(bytes.len() / 2),
        }
        let stream = futures::stream::once(async move { Ok(Bytes::from(bytes)) }).boxed();
        Ok(GetResult { payload: GetResultPayload::Stream(stream), meta, range, attributes })
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A clock whose sleeps end at once, so that a test does not wait for a retry.
#[derive(Debug)]
struct Hasty;

impl Clock for Hasty {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn wall_ms(&self) -> u64 {
        0
    }

    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::task::yield_now())
    }
}

pub(crate) fn env() -> Env {
    Env { clock: Arc::new(Hasty), ..Env::system() }
}

pub(crate) fn prefix() -> Path {
    Path::from("team a/state")
}

pub(crate) fn pool() -> Arc<dyn MemoryPool> {
    Arc::new(UnboundedMemoryPool::default())
}

/// Options for task `task` with small batches, writing to `store`.
pub(crate) fn options(
    store: &Arc<TestStore>,
    schema: &SchemaRef,
    buckets: Buckets,
    task: u32,
) -> WriterOptions {
    let target = DataTarget {
        ready: crate::at_once(),
        jobs: crate::Jobs::here(),
        store: Arc::clone(store) as Arc<dyn ObjectStore>,
        prefix: prefix(),
        key_of: Arc::new(move |part| format!("data/q/s0/{task}.0.nonce/{part}.arrow")),
    };
    let reservation = MemoryConsumer::new("test").register(&pool());
    WriterOptions::new(Arc::clone(schema), buckets, target, env(), reservation)
}

/// Writes batches, each with its partition, as one task.
pub(crate) async fn write(options: WriterOptions, batches: &[(u32, RecordBatch)]) -> TaskOutput {
    let mut writer = TaskWriter::new(options).unwrap();
    for (partition, batch) in batches {
        writer.push(*partition, batch.clone()).await.unwrap();
    }
    writer.finish().await.unwrap()
}

pub(crate) fn inputs_with(
    store: &Arc<TestStore>,
    tasks: Vec<TaskOutput>,
    limits: ReadLimits,
) -> ExchangeInputs {
    ExchangeInputs::new(
        Arc::clone(store) as Arc<dyn ObjectStore>,
        prefix(),
        env(),
        ReadGovernor::new(limits),
    )
    .with_stage(0, Arc::new(StageData::new(tasks).unwrap()))
}

pub(crate) fn inputs(store: &Arc<TestStore>, tasks: Vec<TaskOutput>) -> ExchangeInputs {
    inputs_with(store, tasks, ReadLimits::default())
}

/// All batches of a bucket of stage 0.
pub(crate) async fn batches(
    inputs: &ExchangeInputs,
    bucket: u32,
    schema: &SchemaRef,
) -> datafusion::error::Result<Vec<RecordBatch>> {
    inputs.open(0, bucket, Arc::clone(schema), &pool())?.try_collect().await
}

/// All rows of a bucket of stage 0 as one batch.
pub(crate) async fn read(inputs: &ExchangeInputs, bucket: u32, schema: &SchemaRef) -> RecordBatch {
    join(schema, &batches(inputs, bucket, schema).await.unwrap())
}

/// `concat_batches`, which also keeps the number of rows without columns.
pub(crate) fn join(schema: &SchemaRef, parts: &[RecordBatch]) -> RecordBatch {
    if schema.fields().is_empty() {
        let rows = parts.iter().map(RecordBatch::num_rows).sum();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        return RecordBatch::try_new_with_options(Arc::clone(schema), vec![], &options).unwrap();
    }
    concat_batches(schema, parts).unwrap()
}

/// Why a read of a bucket failed.
pub(crate) async fn read_error(
    inputs: &ExchangeInputs,
    bucket: u32,
    schema: &SchemaRef,
) -> ShuffleError {
    match batches(inputs, bucket, schema).await.unwrap_err() {
        datafusion::error::DataFusionError::External(inner) => {
            *inner.downcast::<ShuffleError>().unwrap()
        }
        other => ShuffleError::Engine(other),
    }
}

/// Rows `range` of a table (k: number, s: text).
pub(crate) fn table(range: Range<i64>) -> RecordBatch {
    let schema = table_schema();
    let text: Vec<Option<String>> =
        range.clone().map(|k| (k % 7 != 0).then(|| format!("row number {k}"))).collect();
    RecordBatch::try_new(
        schema,
        vec![Arc::new(Int64Array::from_iter_values(range)), Arc::new(StringArray::from(text))],
    )
    .unwrap()
}

pub(crate) fn table_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, false),
        Field::new("s", DataType::Utf8, true),
    ]))
}

/// The batch cut into batches of `rows`.
pub(crate) fn cut(batch: &RecordBatch, rows: usize) -> Vec<RecordBatch> {
    (0..batch.num_rows())
        .step_by(rows)
        .map(|from| batch.slice(from, rows.min(batch.num_rows() - from)))
        .collect()
}

pub(crate) fn keys(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
}

pub(crate) fn by(schema: &SchemaRef, column: &str, n: u32) -> Buckets {
    let expr: Arc<dyn PhysicalExpr> = col(column, schema).unwrap();
    Buckets::Hash { exprs: vec![expr], n }
}

pub(crate) fn on(partition: u32, batches: Vec<RecordBatch>) -> Vec<(u32, RecordBatch)> {
    batches.into_iter().map(|batch| (partition, batch)).collect()
}
