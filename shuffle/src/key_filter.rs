//! Runtime filters: the keys of a join's build side, used to filter the probe side before it is exchanged.
//!
//! ```text
//!  build stage ─ hashes of the keys, one part a task, as bucket K of its output
//!                                          │ sealed
//!  probe stage: KeyFilterExec <────────────┘ one Bloom filter of all parts, sized by the keys of the whole stage;
//!                                            it drops rows whose key no build task has seen
//! ```
//! DataFusion's own dynamic filter exists in one process only; this filter is stored like any other data. It uses the
//! same hash that places rows in buckets, so it is correct wherever the exchange is: equal keys have equal hashes on
//! both sides. A filter may let rows through that match nothing (the join drops them). It never drops a row whose key
//! a build task has seen. Null keys are hashed like any other value.
//!
//! A part is a list of hashes, so the reader can size its filter by all of them. A Bloom filter of each task would be
//! sized by that task: joined with those of T tasks, it would have only 1/T of the bits for a key. A task with very many
//! keys writes a Bloom filter of a fixed size instead.
//!
//! ```text
//!   0, then hashes of 4 bytes, ascending, each once          up to 2 Mi rows
//!   1, then words of 8 bytes, a power of two of them         more
//! ```

use std::sync::Arc;

use crate::{Result, ShuffleError};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use bytes::Bytes;
use datafusion::common::hash_utils::create_hashes;
use datafusion::error::Result as DfResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::repartition::REPARTITION_RANDOM_STATE;

/// Rows whose hashes a task collects: 16 MiB. A task with more writes a Bloom filter.
const MOST_ROWS: usize = 2 << 20;
/// Words of that Bloom filter: 4 MiB.
const LARGE_WORDS: usize = 1 << 19;
/// Bits for each key: about 1 % of the keys that are not in the build side pass.
const BITS_PER_KEY: usize = 16;
/// The most words of the filter of a stage: 32 MiB.
const MOST_WORDS: usize = 1 << 22;

/// What a part is.
const HASHES: u8 = 0;
const BLOOM: u8 = 1;

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

/// What is kept of a hash. Two keys of a stage rarely have the same 32 bits, and then a filter only lets more through.
fn short(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

/// Collects the keys of one build task.
#[derive(Debug, Default)]
pub(crate) struct KeyFilterBuilder {
    hashes: Vec<u32>,
    /// Instead of the hashes, once there are too many.
    bloom: Option<KeyFilter>,
}

impl KeyFilterBuilder {
    /// Adds keys by their hashes.
    pub(crate) fn add(&mut self, hashes: &[u64]) {
        let new = hashes.iter().map(|hash| short(*hash));
        if let Some(bloom) = &mut self.bloom {
            new.for_each(|hash| bloom.insert(hash));
            return;
        }
        self.hashes.extend(new);
        if self.hashes.len() > MOST_ROWS {
            // Keys often repeat.
            self.hashes.sort_unstable();
            self.hashes.dedup();
            if self.hashes.len() > MOST_ROWS / 2 {
                let mut bloom = KeyFilter::of(LARGE_WORDS);
                self.hashes.drain(..).for_each(|hash| bloom.insert(hash));
                self.hashes = Vec::new();
                self.bloom = Some(bloom);
            }
        }
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        let bloom = self.bloom.as_ref().map_or(0, |bloom| bloom.words.len() * size_of::<u64>());
        self.hashes.capacity() * size_of::<u32>() + bloom
    }

    /// The part as bytes.
    pub(crate) fn finish(mut self) -> Bytes {
        if let Some(bloom) = self.bloom {
            let words = bloom.words.iter().flat_map(|word| word.to_le_bytes());
            return std::iter::once(BLOOM).chain(words).collect();
        }
        self.hashes.sort_unstable();
        self.hashes.dedup();
        let hashes = self.hashes.iter().flat_map(|hash| hash.to_le_bytes());
        std::iter::once(HASHES).chain(hashes).collect()
    }
}

/// A Bloom filter in which each key sets four bits of one 64-bit word, so that a lookup is one memory access.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyFilter {
    words: Vec<u64>,
}

/// A part of a filter, as it was read.
enum Part<'a> {
    Hashes(&'a [[u8; 4]]),
    Bloom(&'a [[u8; 8]]),
}

impl<'a> Part<'a> {
    fn of(bytes: &'a Bytes) -> Result<Self> {
        let malformed =
            || ShuffleError::Malformed(format!("a key filter of {} bytes", bytes.len()));
        let (kind, rest) = bytes.split_first().ok_or_else(malformed)?;
        match *kind {
            HASHES => {
                let (hashes, rest) = rest.as_chunks();
                if rest.is_empty() { Ok(Self::Hashes(hashes)) } else { Err(malformed()) }
            }
            BLOOM => {
                let (words, rest) = rest.as_chunks();
                let fits = words.len().is_power_of_two() && words.len() <= MOST_WORDS;
                if rest.is_empty() && fits { Ok(Self::Bloom(words)) } else { Err(malformed()) }
            }
            _ => Err(malformed()),
        }
    }
}

impl KeyFilter {
    /// An empty filter of so many words, a power of two.
    fn of(words: usize) -> Self {
        Self { words: vec![0; words] }
    }

    /// False only if no build task has seen a key with this hash.
    #[must_use]
    pub fn may_contain(&self, hash: u64) -> bool {
        let (word, bits) = self.place(short(hash));
        self.words[word] & bits == bits
    }

    fn insert(&mut self, hash: u32) {
        let (word, bits) = self.place(hash);
        self.words[word] |= bits;
    }

    fn place(&self, hash: u32) -> (usize, u64) {
        // All bits of a place depend on all bits of the hash.
        let mixed = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (mixed >> 32) as usize & (self.words.len() - 1);
        let bit = |shift: u32| 1u64 << ((mixed >> shift) & 63);
        (word, bit(0) | bit(6) | bit(12) | bit(18))
    }

    /// True for the rows of a batch that may match, and false for all others.
    pub(crate) fn mask(&self, hashes: &[u64]) -> BooleanArray {
        BooleanArray::from_unary(&UInt64Array::from(hashes.to_vec()), |hash| self.may_contain(hash))
    }

    /// The filter of several tasks' keys together. It is sized by all of them.
    pub(crate) fn union(parts: &[Bytes]) -> Result<Self> {
        let parts = parts.iter().map(Part::of).collect::<Result<Vec<_>>>()?;
        let keys: usize = parts
            .iter()
            .map(|part| match part {
                Part::Hashes(hashes) => hashes.len(),
                // As many as fill it.
                Part::Bloom(words) => words.len() * 64 / BITS_PER_KEY,
            })
            .sum();
        let words = (keys * BITS_PER_KEY / 64).next_power_of_two().min(MOST_WORDS);
        let least = parts.iter().map(|part| match part {
            Part::Hashes(_) => 1,
            Part::Bloom(words) => words.len(),
        });
        let mut union = Self::of(least.max().unwrap_or(1).max(words));
        for part in parts {
            match part {
                Part::Hashes(hashes) => {
                    hashes.iter().for_each(|hash| union.insert(u32::from_le_bytes(*hash)));
                }
                // A filter with twice the words has the same meaning if every word is repeated, because places use the
                // low bits.
                Part::Bloom(words) => {
                    for (index, word) in union.words.iter_mut().enumerate() {
                        *word |= u64::from_le_bytes(words[index & (words.len() - 1)]);
                    }
                }
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
        let mut builder = KeyFilterBuilder::default();
        builder.add(&hashes(batch));
        builder.finish()
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

    /// Foreign keys of 50,000 that pass a filter of 64,000 keys of `tasks` tasks.
    fn passed(tasks: i64) -> usize {
        let each = 64_000 / tasks;
        let parts: Vec<Bytes> = (0..tasks)
            .map(|task| part(&batch((task * each..(task + 1) * each).map(Some))))
            .collect();
        let filter = KeyFilter::union(&parts).unwrap();
        let foreign = hashes(&batch((1_000_000..1_050_000).map(Some)));
        foreign.iter().filter(|hash| filter.may_contain(**hash)).count()
    }

    #[test]
    fn most_foreign_keys_are_dropped_however_many_tasks_there_are() {
        for tasks in [1, 8, 64] {
            let passed = passed(tasks);
            assert!(passed < 1_500, "{passed} of 50000 pass with {tasks} tasks");
        }
        let none = KeyFilter::union(&[part(&batch([]))]).unwrap();
        assert!(hashes(&batch((0..1_000).map(Some))).iter().all(|hash| !none.may_contain(*hash)));
    }

    #[test]
    fn very_many_keys_make_a_filter_of_a_fixed_size_that_drops_some_and_never_a_key() {
        let many = batch((0..3 * MOST_ROWS as i64 / 2).map(Some));
        let mut builder = KeyFilterBuilder::default();
        builder.add(&hashes(&many));
        builder.add(&hashes(&batch([Some(-1)])));
        let bytes = builder.finish();
        assert_eq!(bytes.len(), 1 + LARGE_WORDS * size_of::<u64>());
        let filter = KeyFilter::union(&[bytes, part(&batch([Some(-2)]))]).unwrap();
        let own = hashes(&many).into_iter().chain(hashes(&batch([Some(-1), Some(-2)])));
        assert!(own.into_iter().all(|hash| filter.may_contain(hash)));
        let foreign = hashes(&batch((10_000_000..10_050_000).map(Some)));
        let passed = foreign.iter().filter(|hash| filter.may_contain(**hash)).count();
        assert!(passed < 10_000, "{passed} of 50000 pass");
    }

    #[test]
    fn repeated_keys_take_no_room() {
        let rows = MOST_ROWS as i64 + 1;
        let repeated = batch((0..rows).map(|row| Some(row % 100)));
        assert_eq!(part(&repeated).len(), 1 + 100 * size_of::<u32>());
    }

    #[test]
    fn damaged_parts_are_errors() {
        for bytes in [&b""[..], &[2], &[0, 1, 2], &[1], &[1, 0, 0], &[1; 25]] {
            assert!(KeyFilter::union(&[Bytes::copy_from_slice(bytes)]).is_err(), "{bytes:?}");
        }
    }
}
