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
use dunlin_manifest::records::{Root, Seal};
use dunlin_manifest::store::ObjectControlStore;
use dunlin_plan::wire::schema_from_text;
use dunlin_shuffle::{ExchangeInputs, ReadGovernor, ShuffleError, StageData};
use futures::{StreamExt, TryStreamExt};

use super::error::CoreError;

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

    /// The rows of a query with this `root`, whose last stage has this `seal`.
    pub(crate) async fn open(
        &self,
        query: &QueryId,
        root: &Root,
        seal: &Arc<Seal>,
    ) -> Result<SendableRecordBatchStream, CoreError> {
        let schema = schema_from_text(&root.result.schema).map_err(CoreError::internal)?;
        let blocks = Blocks::of(&self.control, query, seal);
        let data = StageData::of(seal, blocks).map_err(CoreError::internal)?;
        data.load(0..data.buckets()).await.map_err(|error| match error {
            ShuffleError::Blocks(error) => CoreError::from(error),
            other => CoreError::internal(other),
        })?;
        let data = Arc::new(data);
        let inputs = ExchangeInputs::new(
            Arc::clone(self.control.data_store()),
            self.control.data_prefix().clone(),
            self.env.clone(),
            self.governor.clone(),
        )
        .with_stage(seal.stage, Arc::clone(&data));
        let buckets: Vec<u32> =
            (0..data.buckets()).filter(|bucket| data.slice_count(*bucket) > 0).collect();
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
}
