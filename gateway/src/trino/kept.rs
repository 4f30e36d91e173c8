//! Segments that this gateway has just made, until they are asked for.
//!
//! A client is told how long a segment is before it asks for it, so the segment was made once already. It mostly asks the same
//! gateway, and soon. Nothing depends on what is kept: the same segment is made again from the objects of the answer, here or
//! at another gateway.

use std::collections::VecDeque;

use dunlin_manifest::ids::QueryId;
use parking_lot::Mutex;

use super::encoding::{Encoded, Encoding};

/// Most bytes that are kept.
const MOST_BYTES: usize = 64 << 20;
/// A segment counts as having so many bytes at least, so that there are not too many to look through.
const LEAST_BYTES: usize = 64 << 10;

/// What segment it is. Its first row decides which rows it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) query: QueryId,
    pub(super) from: u64,
    pub(super) has_digits: bool,
    pub(super) encoding: Encoding,
}

/// Segments that were made, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<VecDeque<(Place, Encoded)>>);

fn weight(segment: &Encoded) -> usize {
    segment.bytes.len().max(LEAST_BYTES)
}

impl Kept {
    /// Keeps a segment. The oldest ones make room for it.
    pub(super) fn put(&self, place: Place, segment: Encoded) {
        let mut all = self.0.lock();
        all.retain(|(known, _)| *known != place);
        all.push_back((place, segment));
        let mut held: usize = all.iter().map(|(_, segment)| weight(segment)).sum();
        while held > MOST_BYTES
            && let Some((_, oldest)) = all.pop_front()
        {
            held -= weight(&oldest);
        }
    }

    pub(super) fn get(&self, place: &Place) -> Option<Encoded> {
        let all = self.0.lock();
        all.iter().find(|(known, _)| known == place).map(|(_, segment)| segment.clone())
    }

    /// Its client has it.
    pub(super) fn forget(&self, place: &Place) {
        self.0.lock().retain(|(known, _)| known != place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(from: u64) -> Place {
        let query = QueryId::at(7, &[3; 10]);
        Place { query, from, has_digits: true, encoding: Encoding::Json }
    }

    fn segment(length: usize) -> Encoded {
        Encoded { bytes: vec![b' '; length].into(), plain: None }
    }

    #[test]
    fn a_segment_is_kept_until_its_client_has_it() {
        let kept = Kept::default();
        kept.put(place(1), segment(3));
        assert_eq!(kept.get(&place(1)), Some(segment(3)));
        assert_eq!(kept.get(&place(1)), Some(segment(3)), "it may be asked for again");
        for other in [
            place(2),
            Place { encoding: Encoding::Zstd, ..place(1) },
            Place { has_digits: false, ..place(1) },
            Place { query: QueryId::at(8, &[3; 10]), ..place(1) },
        ] {
            assert_eq!(kept.get(&other), None, "{other:?}");
        }
        kept.forget(&place(1));
        assert_eq!(kept.get(&place(1)), None);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let kept = Kept::default();
        for from in 0..5 {
            kept.put(place(from), segment(MOST_BYTES / 4));
        }
        assert_eq!((kept.get(&place(0)), kept.get(&place(1)).is_some()), (None, true));
        // Put again, it is the newest, and counts once.
        kept.put(place(1), segment(MOST_BYTES / 4));
        kept.put(place(5), segment(1));
        assert_eq!((kept.get(&place(2)), kept.get(&place(1)).is_some()), (None, true));
        for from in 10..10 + 2 * (MOST_BYTES / LEAST_BYTES) as u64 {
            kept.put(place(from), segment(1));
        }
        assert_eq!(kept.0.lock().len(), MOST_BYTES / LEAST_BYTES);
        kept.put(place(0), segment(MOST_BYTES + 1));
        assert_eq!(kept.0.lock().len(), 0);
    }
}
