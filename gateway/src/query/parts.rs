//! The parts of an answer: pieces of about equal size that a client fetches beside one another, from any gateway, and again
//! if one of them breaks off.
//!
//! ```text
//!   buckets of the last stage   │ 0 │ 1 │ 2 │        3         │ 4 │
//!   parts                       │    0      │  1  │  2  │  3   │ 4 │     small buckets together, a large one in shares
//! ```
//! The parts follow from the seal of the last stage alone, so every gateway cuts an answer in the same way. Their rows, one
//! part after the other, are the answer.

use std::ops::Range;

use dunlin_manifest::records::{BucketTotal, Share, StageId};
use serde::Serialize;

/// About how many bytes of the store a part has. Changing it changes the parts of every answer, and gateways of different
/// builds would disagree.
const PART_BYTES: u64 = 16 << 20;

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Whole buckets.
    Buckets(Range<u32>),
    /// Some of the slices of one bucket.
    Share {
        /// The bucket.
        bucket: u32,
        /// Number of the share.
        index: u32,
        /// Number of shares.
        of: u32,
    },
}

impl Part {
    /// The buckets that it reads.
    pub(crate) fn buckets(&self) -> Range<u32> {
        match self {
            Self::Buckets(buckets) => buckets.clone(),
            Self::Share { bucket, .. } => *bucket..bucket.saturating_add(1),
        }
    }

    /// Its bytes in the store, about, and its rows if they are known without reading more.
    pub(crate) fn size(&self, buckets: &[BucketTotal]) -> (u64, Option<u64>) {
        let mut total = BucketTotal::default();
        for bucket in self.buckets() {
            total += buckets.get(bucket as usize).copied().unwrap_or_default();
        }
        match self {
            Self::Buckets(_) => (total.bytes, Some(total.rows)),
            Self::Share { of, .. } => (total.bytes / u64::from(*of).max(1), None),
        }
    }

    /// The share of its bucket, if it reads only a share.
    pub(crate) fn share(&self, stage: StageId) -> Option<Share> {
        match self {
            Self::Buckets(_) => None,
            Self::Share { index, of, .. } => Some(Share { stage, index: *index, of: *of }),
        }
    }
}

/// The parts of an answer whose buckets have this. There is at least one, also of an answer without rows.
pub(crate) fn parts_of(buckets: &[BucketTotal]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut first = 0;
    let mut bytes = 0;
    for (bucket, total) in (0u32..).zip(buckets) {
        let shares = (total.bytes / PART_BYTES).min(total.slices);
        let is_large = shares >= 2;
        if bytes > 0 && (is_large || bytes + total.bytes > PART_BYTES) {
            parts.push(Part::Buckets(first..bucket));
            (first, bytes) = (bucket, 0);
        }
        if is_large {
            let of = u32::try_from(shares).unwrap_or(u32::MAX);
            parts.extend((0..of).map(|index| Part::Share { bucket, index, of }));
            first = bucket + 1;
        } else {
            bytes += total.bytes;
        }
    }
    let end = u32::try_from(buckets.len()).unwrap_or(u32::MAX);
    if bytes > 0 || parts.is_empty() {
        parts.push(Part::Buckets(first..end));
    }
    parts
}

/// The parts of an answer as clients see them.
#[derive(Debug, Serialize)]
pub(crate) struct Parts {
    /// Rows of the answer.
    pub(crate) rows: u64,
    /// Bytes in the store.
    pub(crate) bytes: u64,
    pub(crate) parts: Vec<PartBody>,
}

/// A part as clients see it.
#[derive(Debug, Serialize)]
pub(crate) struct PartBody {
    /// Its number, from 0.
    part: u64,
    /// Rows of the parts before it.
    row_offset: u64,
    /// Its rows.
    rows: u64,
    /// Its bytes in the store.
    bytes: u64,
}

impl Parts {
    /// From what each part has.
    pub(crate) fn new(totals: impl IntoIterator<Item = BucketTotal>) -> Self {
        let (mut rows, mut bytes, mut parts) = (0, 0, Vec::new());
        for (part, total) in (0u64..).zip(totals) {
            parts.push(PartBody { part, row_offset: rows, rows: total.rows, bytes: total.bytes });
            rows += total.rows;
            bytes += total.bytes;
        }
        Self { rows, bytes, parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(bytes: u64, slices: u64) -> BucketTotal {
        BucketTotal { bytes, rows: bytes / 10, slices }
    }

    /// The buckets, and the shares of each, that the parts have in their order.
    fn covered(parts: &[Part]) -> Vec<(u32, u32, u32)> {
        let each = |part: &Part| match part {
            Part::Buckets(buckets) => buckets.clone().map(|bucket| (bucket, 0, 1)).collect(),
            Part::Share { bucket, index, of } => vec![(*bucket, *index, *of)],
        };
        parts.iter().flat_map(|part: &Part| -> Vec<(u32, u32, u32)> { each(part) }).collect()
    }

    #[test]
    fn small_buckets_are_one_part_and_a_large_one_is_several() {
        let small = total(PART_BYTES / 4, 3);
        let buckets = [small, small, small, total(PART_BYTES * 3 + 1, 50), small, total(0, 0)];
        let share = |index| Part::Share { bucket: 3, index, of: 3 };
        assert_eq!(
            parts_of(&buckets),
            [Part::Buckets(0..3), share(0), share(1), share(2), Part::Buckets(4..6)]
        );
        // A slice is never divided.
        assert_eq!(parts_of(&[total(PART_BYTES * 9, 1)]), [Part::Buckets(0..1)]);
        assert_eq!(parts_of(&[]), [Part::Buckets(0..0)]);
        assert_eq!(parts_of(&[total(0, 0)]), [Part::Buckets(0..1)]);
    }

    #[test]
    fn every_bucket_is_in_the_parts_once_and_in_order() {
        let mut seed = 11u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..500 {
            let count = next(12);
            let buckets: Vec<BucketTotal> =
                (0..count).map(|_| total(next(3) * next(PART_BYTES * 3), next(6))).collect();
            let parts = parts_of(&buckets);
            let covered = covered(&parts);
            let mut wanted = Vec::new();
            for bucket in 0..u32::try_from(count).unwrap_or(0) {
                let of = covered.iter().find(|(found, ..)| *found == bucket).map_or(1, |it| it.2);
                // Buckets without bytes after the last part hold nothing.
                if buckets[bucket as usize].bytes > 0 || covered.iter().any(|it| it.0 == bucket) {
                    wanted.extend((0..of).map(|index| (bucket, index, of)));
                }
            }
            assert_eq!(covered, wanted, "{buckets:?}");
        }
    }

    #[test]
    fn offsets_count_the_rows_before() {
        let parts = Parts::new([total(20, 1), total(0, 0), total(50, 2)]);
        assert_eq!((parts.rows, parts.bytes), (7, 70));
        let offsets: Vec<u64> = parts.parts.iter().map(|part| part.row_offset).collect();
        assert_eq!(offsets, [0, 2, 2]);
    }
}
