//! The rows of a query that has ended: what the seal of its last stage names, in order.
//!
//! ```text
//!  end ──names──> seal of the last stage ──names──> res/… objects
//!                                                   bucket 0, bucket 1, … = the answer
//! ```
//!
//! Nothing is listed and nothing is guessed. An answer is exactly the slices that the seal names, and their length
//! and checksum are verified when they are read.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
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
use futures::{Stream, StreamExt, TryStreamExt};

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
        let mut inputs = self.inputs(seal, Arc::clone(&data));
        if let Some(share) = part.and_then(|part| part.share(seal.stage)) {
            inputs = inputs.with_share(share);
        }
        let buckets: Vec<u32> = wanted.filter(|bucket| data.slice_count(*bucket) > 0).collect();
        let (stage, pool, bucket_schema) =
            (seal.stage, Arc::clone(&self.pool), Arc::clone(&schema));
        let opened = buckets
            .into_iter()
            .map(move |bucket| inputs.open(stage, bucket, Arc::clone(&bucket_schema), &pool));
        let batches = one_after_the_other(opened);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    /// The rows of a query from row `from` on, as far as the slices reach that have so many bytes together. So the work of
    /// reading on at any row is bounded, and its rows depend on nothing but that number.
    pub(crate) async fn open_from(
        &self,
        query: &QueryId,
        root: &Root,
        seal: &Arc<Seal>,
        (from, bytes): (u64, u64),
    ) -> Result<SendableRecordBatchStream, CoreError> {
        let schema = schema_from_text(&root.result.schema).map_err(CoreError::internal)?;
        let data = self.data(query, seal)?;
        let (near, before) = near(&data, from, bytes);
        load(&data, near.iter().copied()).await?;
        let slices = near.iter().map(|bucket| Ok((*bucket, data.slices(*bucket)?)));
        let slices: Vec<_> =
            slices.collect::<Result<_, ShuffleError>>().map_err(CoreError::internal)?;
        let (wanted, skipped) = window(&slices, from.saturating_sub(before), bytes);
        let inputs = self.inputs(seal, Arc::new(data));
        let (stage, pool, slice_schema) = (seal.stage, Arc::clone(&self.pool), Arc::clone(&schema));
        let opened = wanted.into_iter().map(move |(bucket, slices)| {
            inputs.open_slices(stage, bucket, slices, Arc::clone(&slice_schema), &pool)
        });
        let batches = one_after_the_other(opened);
        let mut left = usize::try_from(skipped).unwrap_or(usize::MAX);
        let batches = batches.map_ok(move |batch| {
            let skipped = left.min(batch.num_rows());
            left -= skipped;
            batch.slice(skipped, batch.num_rows() - skipped)
        });
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

    fn inputs(&self, seal: &Seal, data: Arc<StageData>) -> ExchangeInputs {
        ExchangeInputs::new(
            Arc::clone(self.control.data_store()),
            self.control.data_prefix().clone(),
            self.env.clone(),
            self.governor.clone(),
        )
        .with_stage(seal.stage, data)
    }

    fn data(&self, query: &QueryId, seal: &Arc<Seal>) -> Result<StageData, CoreError> {
        let blocks = Blocks::of(&self.control, query, seal);
        StageData::of(seal, blocks).map_err(CoreError::internal)
    }
}

/// The rows of some buckets in their order. Buckets are opened ahead.
fn one_after_the_other(
    buckets: impl Iterator<Item = Result<SendableRecordBatchStream, ShuffleError>> + Send + 'static,
) -> impl Stream<Item = Result<RecordBatch, DataFusionError>> + Send {
    futures::stream::iter(buckets)
        .map(|opened| async move {
            let mut rows = opened?;
            // Polled once, so that its first fetches run while earlier buckets are sent.
            let first = rows.next().await;
            Ok::<_, DataFusionError>(futures::stream::iter(first).chain(rows))
        })
        .buffered(BUCKETS_AHEAD)
        .try_flatten()
}

/// The buckets that may hold the slices of a window, and the rows before the first of them.
fn near(data: &StageData, from: u64, bytes: u64) -> (Vec<u32>, u64) {
    let (mut near, mut before, mut held) = (Vec::new(), 0, 0);
    for bucket in 0..data.buckets() {
        let rows = data.bucket_rows(bucket);
        if near.is_empty() && before + rows <= from {
            before += rows;
            continue;
        }
        if rows == 0 {
            continue;
        }
        // Of the first bucket, all slices may be before the row, but the last one.
        held += if near.is_empty() { 0 } else { data.bucket_bytes(bucket) };
        near.push(bucket);
        if held >= bytes {
            break;
        }
    }
    (near, before)
}

/// Slices of buckets, each with its bytes and rows.
type Slices = [(u32, Vec<(u64, u64)>)];

/// The slices from row `from` on that have so many bytes together, at least one, and the rows of the first before that row.
fn window(slices: &Slices, from: u64, bytes: u64) -> (Vec<(u32, Range<usize>)>, u64) {
    let (mut wanted, mut before, mut held, mut skipped) = (Vec::new(), 0, 0, 0);
    let mut has_begun = false;
    for (bucket, slices) in slices {
        let mut range: Option<Range<usize>> = None;
        for (number, (length, rows)) in slices.iter().enumerate() {
            if !has_begun && before + rows <= from {
                before += rows;
                continue;
            }
            if has_begun && held >= bytes {
                break;
            }
            let mut left = *length;
            if !has_begun {
                (has_begun, skipped) = (true, from - before);
                // What is skipped of the first slice does not count, so that windows have about as many rows as they can.
                left = length * (rows - skipped) / rows.max(&1);
            }
            held += left;
            let start = range.map_or(number, |range| range.start);
            range = Some(start..number + 1);
        }
        wanted.extend(range.map(|range| (*bucket, range)));
    }
    (wanted, skipped)
}

/// Reads which slices the buckets have.
async fn load(data: &StageData, buckets: impl IntoIterator<Item = u32>) -> Result<(), CoreError> {
    data.load(buckets).await.map_err(|error| match error {
        ShuffleError::Blocks(error) => CoreError::from(error),
        other => CoreError::internal(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_one_after_the_other_have_every_row_once() {
        // Buckets 0, 3 and 4, with (bytes, rows) of their slices.
        let slices = [
            (0, vec![(10, 5), (10, 1), (30, 7)]),
            (3, vec![(1, 1)]),
            (4, vec![(5, 2), (100, 50), (1, 1)]),
        ];
        let total = 67;
        for bytes in [1, 10, 11, 45, 1_000] {
            let mut from = 0;
            while from < total {
                let (wanted, skipped) = window(&slices, from, bytes);
                let rows = |(bucket, range): &(u32, Range<usize>)| {
                    let of = slices.iter().find(|(found, _)| found == bucket);
                    of.map_or(0, |(_, slices)| {
                        slices[range.clone()].iter().map(|it| it.1).sum::<u64>()
                    })
                };
                let held: u64 = wanted.iter().map(rows).sum();
                assert!(held > skipped, "no row after {from} within {bytes} bytes");
                from += held - skipped;
            }
            assert_eq!(from, total, "{bytes}");
        }
        assert_eq!(window(&slices, 5, 10), (vec![(0, 1..2)], 0));
        assert_eq!(window(&slices, 8, 22), (vec![(0, 2..3), (3, 0..1)], 2));
        assert_eq!(window(&slices, 8, 23), (vec![(0, 2..3), (3, 0..1), (4, 0..1)], 2));
        assert_eq!(window(&slices, total, 10), (vec![], 0));
    }
}
