//! Runtime filters: the keys of a join's build side, used to filter the probe side before it is exchanged.
//!
//! ```text
//!  build stage ─ hash of every key ─> Bloom filter, one a task, as bucket K of its output
//!                                          │ sealed
//!  probe stage: KeyFilterExec <────────────┘ drops rows whose key no build task has seen
//! ```
//! DataFusion's own dynamic filter exists in one process only; this filter is stored like any other data. It uses the
//! same hash that places rows in buckets, so it is correct wherever the exchange is: equal keys have equal hashes on
//! both sides. A filter may let rows through that match nothing (the join drops them). It never drops a row whose key
//! a build task has seen. Null keys are hashed like any other value.
//!
//! A task that has too many keys writes no filter, and then the whole stage has none.

use std::sync::Arc;

use crate::{Result, ShuffleError};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use bytes::Bytes;
use datafusion::common::hash_utils::create_hashes;
use datafusion::error::Result as DfResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::repartition::REPARTITION_RANDOM_STATE;

/// A task with more keys than this writes no filter: 2 Mi keys take 16 MiB while they are collected, and a filter of
/// 4 MiB.
const MOST_KEYS: usize = 2 << 20;
/// Bits for each key: about 1 % of the keys that are not in the build side pass.
const BITS_PER_KEY: usize = 16;
/// The number of words is a power of two up to this, even if a damaged record says more.
const MOST_WORDS: usize = 1 << 20;

/// The hashes of a batch's key columns, computed in the same way as in the exchange.
pub(crate) fn key_hashes(
    keys: &[Arc<dyn PhysicalExpr>],
    batch: &RecordBatch,
    hashes: &mut Vec<u64>,
) -> DfResult<()> {
    let rows = batch.num_rows();
    let columns = keys
        .iter()
        .map(|key| key.evaluate(batch)?.into_array(rows))
        .collect::<DfResult<Vec<ArrayRef>>>()?;
    hashes.clear();
    hashes.resize(rows, 0);
    create_hashes(&columns, REPARTITION_RANDOM_STATE.random_state(), hashes)?;
    Ok(())
}

/// Collects the keys of one build task.
#[derive(Debug)]
pub(crate) struct KeyFilterBuilder {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    hashes: Vec<u64>,
    buffer: Vec<u64>,
    full: bool,
}

impl KeyFilterBuilder {
    /// A filter of the rows' `keys`.
    pub(crate) fn new(keys: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        Self { keys, hashes: Vec::new(), buffer: Vec::new(), full: false }
    }

    /// Adds the keys of a batch.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> DfResult<()> {
        if self.full {
            return Ok(());
        }
        if self.hashes.len() + batch.num_rows() > MOST_KEYS {
            self.full = true;
            self.hashes = Vec::new();
            return Ok(());
        }
        key_hashes(&self.keys, batch, &mut self.buffer)?;
        self.hashes.extend_from_slice(&self.buffer);
        Ok(())
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        (self.hashes.capacity() + self.buffer.capacity()) * size_of::<u64>()
    }

    /// The filter as bytes; `None` if there were too many keys.
    pub(crate) fn finish(self) -> Option<Bytes> {
        if self.full {
            return None;
        }
        let words = (self.hashes.len() * BITS_PER_KEY / 64).next_power_of_two().min(MOST_WORDS);
        let mut filter = KeyFilter { words: vec![0; words] };
        for hash in self.hashes {
            let (word, bits) = filter.place(hash);
            filter.words[word] |= bits;
        }
        Some(filter.words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }
}

/// A Bloom filter in which each key sets four bits of one 64-bit word, so that a lookup is one memory access.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyFilter {
    words: Vec<u64>,
}

impl KeyFilter {
    /// False only if no build task has seen a key with this hash.
    #[must_use]
    pub fn may_contain(&self, hash: u64) -> bool {
        let (word, bits) = self.place(hash);
        self.words[word] & bits == bits
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        let word = (hash >> 32) as usize & (self.words.len() - 1);
        let bit = |shift: u32| 1u64 << ((hash >> shift) & 63);
        (word, bit(0) | bit(6) | bit(12) | bit(18))
    }

    /// True for the rows of a batch that may match, and false for all others.
    pub(crate) fn mask(&self, hashes: &[u64]) -> BooleanArray {
        BooleanArray::from_unary(&UInt64Array::from(hashes.to_vec()), |hash| self.may_contain(hash))
    }

    /// The filter of several tasks' keys together.
    pub(crate) fn union(parts: &[Bytes]) -> Result<Self> {
        let mut union = Self { words: vec![0] };
        for part in parts {
            let words = part.len() / size_of::<u64>();
            let whole = part.len() % size_of::<u64>() == 0;
            if !whole || !words.is_power_of_two() || words > MOST_WORDS {
                return Err(ShuffleError::Malformed(format!(
                    "a key filter of {} bytes",
                    part.len()
                )));
            }
            // A filter with twice the words has the same meaning if every word is repeated, because positions use the
            // low bits.
            while union.words.len() < words {
                union.words.extend_from_within(..);
            }
            let from = |index: usize| {
                let start = (index & (words - 1)) * size_of::<u64>();
                let mut bytes = [0; size_of::<u64>()];
                bytes.copy_from_slice(&part[start..start + size_of::<u64>()]);
                u64::from_le_bytes(bytes)
            };
            for (index, word) in union.words.iter_mut().enumerate() {
                *word |= from(index);
            }
        }
        Ok(union)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::Int64Array;
    use datafusion::physical_expr::expressions::col;

    use super::*;

    fn batch(values: impl IntoIterator<Item = Option<i64>>) -> RecordBatch {
        let array: Int64Array = values.into_iter().collect();
        RecordBatch::try_from_iter_with_nullable(vec![("k", Arc::new(array) as ArrayRef, true)])
            .unwrap()
    }

    fn hashes(batch: &RecordBatch) -> Vec<u64> {
        let mut hashes = Vec::new();
        key_hashes(&[col("k", &batch.schema()).unwrap()], batch, &mut hashes).unwrap();
        hashes
    }

    fn part(batch: &RecordBatch) -> Bytes {
        let mut builder = KeyFilterBuilder::new(vec![col("k", &batch.schema()).unwrap()]);
        builder.add(batch).unwrap();
        builder.finish().unwrap()
    }

    #[test]
    fn no_key_that_a_task_has_seen_is_dropped_whatever_the_sizes_of_the_parts() {
        let (large, small) = (batch((0..50_000).map(Some)), batch([Some(-1), None, Some(-7)]));
        for parts in [
            vec![part(&large), part(&small)],
            vec![part(&small), part(&large)],
            vec![part(&batch([])), part(&small), part(&batch([])), part(&large)],
        ] {
            let filter = KeyFilter::union(&parts).unwrap();
            for hash in hashes(&large).into_iter().chain(hashes(&small)) {
                assert!(filter.may_contain(hash));
            }
        }
    }

    #[test]
    fn most_foreign_keys_are_dropped_and_an_empty_build_side_drops_all() {
        let filter = KeyFilter::union(&[part(&batch((0..50_000).map(Some)))]).unwrap();
        let foreign = hashes(&batch((1_000_000..1_050_000).map(Some)));
        let passed = foreign.iter().filter(|hash| filter.may_contain(**hash)).count();
        assert!(passed < 2_500, "{passed} of 50000 pass");
        let none = KeyFilter::union(&[part(&batch([]))]).unwrap();
        assert!(foreign.iter().all(|hash| !none.may_contain(*hash)));
    }

    #[test]
    fn too_many_keys_make_no_filter_and_damaged_ones_are_errors() {
        let many = batch((0..MOST_KEYS as i64).map(Some));
        let mut builder = KeyFilterBuilder::new(vec![col("k", &many.schema()).unwrap()]);
        builder.add(&many).unwrap();
        builder.add(&batch([Some(1)])).unwrap();
        assert_eq!(builder.finish(), None);
        for bytes in [&b""[..], &[0; 7], &[0; 24]] {
            assert!(KeyFilter::union(&[Bytes::copy_from_slice(bytes)]).is_err());
        }
    }
}
