//! Places rows in buckets by the hash of their keys.
//!
//! ```text
//!   batch ─> hash of each row ─┬─> filter of a build stage: dropped
//!                              ├─> the stage's own key filter
//!                              └─> bucket ─> rows of each bucket, gathered once
//! ```
//! Each row is hashed once and copied once, whatever is asked of its hash.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_arrays;
use datafusion::physical_expr::PhysicalExpr;

use crate::Result;
use crate::key_filter::{KeyFilter, KeyFilterBuilder, key_hashes};

/// After this many rows, a filter that drops almost nothing is switched off.
pub(crate) const TRIAL_ROWS: usize = 1 << 17;

/// A filter of keys at work.
#[derive(Debug)]
pub(crate) struct Sieve {
    filter: Option<Arc<KeyFilter>>,
    seen: usize,
    kept: usize,
}

impl Sieve {
    /// Drops what `filter` does not know, and nothing if there is none.
    pub(crate) fn new(filter: Option<Arc<KeyFilter>>) -> Self {
        Self { filter, seen: 0, kept: 0 }
    }

    /// The filter, as long as it is worth asking.
    pub(crate) fn filter(&self) -> Option<&Arc<KeyFilter>> {
        let is_useless = self.seen >= TRIAL_ROWS && self.kept * 10 > self.seen * 9;
        self.filter.as_ref().filter(|_| !is_useless)
    }

    /// So many rows were asked for, and so many passed.
    pub(crate) fn count(&mut self, seen: usize, kept: usize) {
        self.seen += seen;
        self.kept += kept;
    }
}

/// Places rows by the hash of some expressions, exactly as DataFusion's `RepartitionExec` does it.
#[derive(Debug)]
pub(crate) struct HashRouter {
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    buckets: u32,
    sieve: Sieve,
    hashes: Vec<u64>,
}

/// The bucket of a row that is dropped.
const DROPPED: u32 = u32::MAX;

impl HashRouter {
    /// A router to so many buckets.
    pub(crate) fn new(
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        buckets: u32,
        filter: Option<Arc<KeyFilter>>,
    ) -> Self {
        let buckets = buckets.clamp(1, DROPPED);
        Self { exprs, buckets, sieve: Sieve::new(filter), hashes: Vec::new() }
    }

    /// Gives the rows of each bucket to `place`, buckets ascending, and the hashes of all of them to `keys`.
    pub(crate) fn route(
        &mut self,
        batch: RecordBatch,
        keys: Option<&mut KeyFilterBuilder>,
        mut place: impl FnMut(u32, RecordBatch) -> Result<()>,
    ) -> Result<()> {
        key_hashes(&self.exprs, &batch, &mut self.hashes)?;
        let all = self.hashes.len();
        if let Some(filter) = self.sieve.filter().cloned() {
            let mut of_row = Vec::with_capacity(all);
            let mut kept = Vec::with_capacity(all);
            for hash in &self.hashes {
                let passes = filter.may_contain(*hash);
                of_row.push(if passes { bucket_of(*hash, self.buckets) } else { DROPPED });
                if passes {
                    kept.push(*hash);
                }
            }
            self.sieve.count(all, kept.len());
            if let Some(keys) = keys {
                keys.add(&kept);
            }
            return spread(&batch, &of_row, self.buckets, &mut place);
        }
        if let Some(keys) = keys {
            keys.add(&self.hashes);
        }
        if self.buckets == 1 {
            return place(0, batch);
        }
        let of_row: Vec<u32> =
            self.hashes.iter().map(|hash| bucket_of(*hash, self.buckets)).collect();
        spread(&batch, &of_row, self.buckets, &mut place)
    }
}

fn bucket_of(hash: u64, buckets: u32) -> u32 {
    let buckets = u64::from(buckets);
    // The remainder of a power of two needs no division.
    let place = if buckets.is_power_of_two() { hash & (buckets - 1) } else { hash % buckets };
    u32::try_from(place).unwrap_or(DROPPED)
}

/// Gathers the rows of each bucket: one copy of all of them, sorted by bucket, in pieces.
fn spread(
    batch: &RecordBatch,
    of_row: &[u32],
    buckets: u32,
    place: &mut impl FnMut(u32, RecordBatch) -> Result<()>,
) -> Result<()> {
    let mut ends = vec![0usize; buckets as usize];
    for bucket in of_row.iter().filter(|bucket| **bucket != DROPPED) {
        ends[*bucket as usize] += 1;
    }
    let mut kept = 0;
    for end in &mut ends {
        kept += *end;
        *end = kept - *end;
    }
    if kept == 0 {
        return Ok(());
    }
    // Where the next row of a bucket goes. When all rows are placed, it is where the bucket ends.
    let mut order = vec![0u32; kept];
    for (row, bucket) in (0u32..).zip(of_row).filter(|(_, bucket)| **bucket != DROPPED) {
        let end = &mut ends[*bucket as usize];
        order[*end] = row;
        *end += 1;
    }
    let columns = take_arrays(batch.columns(), &UInt32Array::from(order), None)?;
    let options = RecordBatchOptions::new().with_row_count(Some(kept));
    let taken = RecordBatch::try_new_with_options(batch.schema(), columns, &options)?;
    let mut from = 0;
    for (bucket, end) in (0u32..).zip(ends) {
        if end > from {
            place(bucket, taken.slice(from, end - from))?;
            from = end;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{ArrayRef, AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;
    use datafusion::physical_expr::expressions::col;
    use datafusion::physical_plan::metrics::Time;
    use datafusion::physical_plan::repartition::BatchPartitioner;

    use super::*;

    fn rows(count: i64) -> RecordBatch {
        let keys: Int64Array = (0..count).map(|row| (row % 7 != 3).then_some(row * row)).collect();
        let texts: StringViewArray =
            (0..count).map(|row| Some(format!("a text of row number {row}"))).collect();
        RecordBatch::try_from_iter_with_nullable([
            ("k", Arc::new(keys) as ArrayRef, true),
            ("t", Arc::new(texts), true),
        ])
        .unwrap()
    }

    fn keys(batch: &RecordBatch) -> Vec<Arc<dyn PhysicalExpr>> {
        vec![col("k", &batch.schema()).unwrap()]
    }

    fn routed(router: &mut HashRouter, batch: &RecordBatch) -> Vec<(usize, RecordBatch)> {
        let mut found = Vec::new();
        let place = |bucket, rows| {
            found.push((bucket as usize, rows));
            Ok(())
        };
        router.route(batch.clone(), None, place).unwrap();
        found
    }

    #[test]
    fn rows_go_where_the_engine_would_send_them_and_in_its_order() {
        for count in [0, 1, 2, 5_000] {
            let batch = rows(count);
            for buckets in [1, 2, 3, 7, 16, 1_000] {
                let mut engine =
                    BatchPartitioner::new_hash_partitioner(keys(&batch), buckets, Time::new())
                        .unwrap();
                let mut wanted = Vec::new();
                let taken = engine.partition(batch.clone(), |bucket, rows| {
                    wanted.push((bucket, rows));
                    Ok(())
                });
                taken.unwrap();
                wanted.retain(|(_, rows)| rows.num_rows() > 0);
                let mut router = HashRouter::new(keys(&batch), buckets as u32, None);
                let mut found = routed(&mut router, &batch);
                found.retain(|(_, rows)| rows.num_rows() > 0);
                assert_eq!(found, wanted, "{count} rows to {buckets} buckets");
            }
        }
    }

    #[test]
    fn a_filter_drops_rows_and_their_hashes_and_no_row_that_it_knows() {
        let (known, all) = (rows(100), rows(4_000));
        let mut builder = KeyFilterBuilder::default();
        let mut hashes = Vec::new();
        key_hashes(&keys(&known), &known, &mut hashes).unwrap();
        builder.add(&hashes);
        let filter = Arc::new(KeyFilter::union(&[builder.finish()]).unwrap());
        for buckets in [1, 4, 5] {
            let mut router = HashRouter::new(keys(&all), buckets, Some(Arc::clone(&filter)));
            let mut found = Vec::new();
            let mut own = KeyFilterBuilder::default();
            router
                .route(all.clone(), Some(&mut own), |_, rows| {
                    let keys = rows.column(0).as_primitive::<Int64Type>().iter();
                    found.extend(keys.collect::<Vec<_>>());
                    Ok(())
                })
                .unwrap();
            for key in known.column(0).as_primitive::<Int64Type>().iter() {
                assert!(found.contains(&key), "{key:?}");
            }
            // Nulls of all rows pass, because the filter knows a null.
            let values = found.iter().flatten().count();
            assert!(values < 200, "{values} keys passed");
            // A list of hashes, each once.
            assert!(own.finish().len() < 1 + 4 * 202);
        }
    }

    #[test]
    fn a_filter_that_drops_almost_nothing_is_switched_off() {
        let mut sieve = Sieve::new(Some(Arc::new(KeyFilter::union(&[]).unwrap())));
        sieve.count(TRIAL_ROWS, TRIAL_ROWS / 2);
        assert!(sieve.filter().is_some());
        sieve.count(10 * TRIAL_ROWS, 10 * TRIAL_ROWS);
        assert!(sieve.filter().is_none());
    }
}
