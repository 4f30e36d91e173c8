//! The rows of a query that has ended: what the seal of its last stage names, in order.
//!
//! ```text
//!  end ──names──> seal of the last stage ──names──> res/… objects
//!                                                   bucket 0, bucket 1, … = the answer
//! ```
//!
//! Nothing is listed and nothing is guessed. An answer is exactly the slices that the seal names, and their length
//! and checksum are verified when they are read.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::Blocks;
use dunlin_manifest::records::{BucketTotal, Root, Seal};
use dunlin_manifest::store::ObjectControlStore;
use dunlin_plan::wire::schema_from_text;
use dunlin_shuffle::{ExchangeInputs, ReadGovernor, ShuffleError, StageData};
use futures::{StreamExt, TryStreamExt};

use super::error::CoreError;
use super::parts::{Part, parts_of};

/// Buckets whose first slices are fetched while an earlier one is being sent.
const BUCKETS_AHEAD: usize = 4;

/// Twice the bytes that all readers together may hold of slices that they do not send yet.
const READ_AHEAD: usize = 256 << 20;

/// Reads answers. The bytes that are fetched at once are limited for the whole process.
#[derive(Debug)]
pub(crate) struct ResultReader {
    control: ObjectControlStore,
    env: Env,
    governor: ReadGovernor,
    pool: Arc<dyn MemoryPool>,
}

impl ResultReader {
    pub(crate) fn new(control: ObjectControlStore, env: Env) -> Self {
        Self {
            control,
            env,
            governor: ReadGovernor::default(),
            // A reader fetches ahead only what the pool allows, and goes on without it.
            pool: Arc::new(GreedyMemoryPool::new(READ_AHEAD)),
        }
    }

    /// The rows of a query with this `root`, whose last stage has this `seal`: all of them, or those of one part.
    pub(crate) async fn open(
        &self,
        query: &QueryId,
        root: &Root,
        seal: &Arc<Seal>,
        part: Option<&Part>,
    ) -> Result<SendableRecordBatchStream, CoreError> {
        let schema = schema_from_text(&root.result.schema).map_err(CoreError::internal)?;
        let data = self.data(query, seal)?;
        let wanted = part.map_or(0..data.buckets(), Part::buckets);
        load(&data, wanted.clone()).await?;
        let data = Arc::new(data);
        let mut inputs = ExchangeInputs::new(
            Arc::clone(self.control.data_store()),
            self.control.data_prefix().clone(),
            self.env.clone(),
            self.governor.clone(),
        )
        .with_stage(seal.stage, Arc::clone(&data));
        if let Some(share) = part.and_then(|part| part.share(seal.stage)) {
            inputs = inputs.with_share(share);
        }
        let buckets: Vec<u32> = wanted.filter(|bucket| data.slice_count(*bucket) > 0).collect();
        let (stage, pool, bucket_schema) =
            (seal.stage, Arc::clone(&self.pool), Arc::clone(&schema));
        let batches = futures::stream::iter(buckets)
            .map(move |bucket| {
                let opened = inputs.open(stage, bucket, Arc::clone(&bucket_schema), &pool);
                async move {
                    let mut rows = opened?;
                    // Polled once, so that its first fetches run while earlier buckets are sent.
                    let first = rows.next().await;
                    Ok::<_, datafusion::error::DataFusionError>(
                        futures::stream::iter(first).chain(rows),
                    )
                }
            })
            .buffered(BUCKETS_AHEAD)
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
    /// The parts of an answer, with what each of them has.
    pub(crate) async fn parts(
        &self,
        query: &QueryId,
        seal: &Arc<Seal>,
    ) -> Result<Vec<(Part, BucketTotal)>, CoreError> {
        let parts = parts_of(&seal.buckets());
        let data = self.data(query, seal)?;
        let shared = parts.iter().filter(|part| part.share(seal.stage).is_some());
        load(&data, shared.flat_map(Part::buckets)).await?;
        let mut found = Vec::with_capacity(parts.len());
        for part in parts {
            let mut total = BucketTotal::default();
            for bucket in part.buckets() {
                total += match part.share(seal.stage) {
                    Some(share) => data.share_total(bucket, share).map_err(CoreError::internal)?,
                    None => BucketTotal {
                        bytes: data.bucket_bytes(bucket),
                        rows: data.bucket_rows(bucket),
                        slices: data.slice_count(bucket) as u64,
                    },
                };
            }
            found.push((part, total));
        }
        Ok(found)
    }

    fn data(&self, query: &QueryId, seal: &Arc<Seal>) -> Result<StageData, CoreError> {
        let blocks = Blocks::of(&self.control, query, seal);
        StageData::of(seal, blocks).map_err(CoreError::internal)
    }
}

/// Reads which slices the buckets have.
async fn load(data: &StageData, buckets: impl IntoIterator<Item = u32>) -> Result<(), CoreError> {
    data.load(buckets).await.map_err(|error| match error {
        ShuffleError::Blocks(error) => CoreError::from(error),
        other => CoreError::internal(other),
    })
}
