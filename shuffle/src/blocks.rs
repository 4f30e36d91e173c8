//! Reading ahead: what a task will read, fetched with few requests before its plan asks for it.
//!
//! ```text
//!   object of producer 0:  … │ bucket 4 │ bucket 5 │ bucket 6 │ …     a task reads buckets 4 to 6:
//!                            └────────── one GET ──────────┘         one block of each producer, all at once
//! ```
//! A task that runs several partitions reads them one after the other. Without blocks, each partition would wait for
//! its own requests. A producer writes its buckets one after the other, so the slices of neighbouring buckets are
//! neighbours in its object, and one request can read them.
//!
//! Only what fits into a budget is read ahead. Everything else is read when the plan asks for it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::execution::memory_pool::MemoryReservation;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use crate::jobs::Job;

/// Bytes that a task reads ahead, in all.
pub(crate) const BUDGET: u64 = 16 << 20;
/// The largest block. A larger one would take longer than several requests beside one another.
const BLOCK: u64 = 4 << 20;
/// Bytes between two slices that are read with them: the padding, and nothing more.
const GAP: u64 = 64;

/// A range of an object that holds slices of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) key: String,
    pub(crate) range: Range<u64>,
    /// Slices in it.
    pub(crate) slices: usize,
    /// Place of its first slice in the order in which the task reads.
    first: usize,
}

/// Joins neighbouring slices, given in the order in which a task reads them, into blocks. The blocks are in the order in
/// which they are needed, and together not larger than `budget`.
pub(crate) fn plan(slices: Vec<(String, Range<u64>)>, budget: u64) -> Vec<Block> {
    let mut ranges: Vec<Block> = slices
        .into_iter()
        .enumerate()
        .map(|(first, (key, range))| Block { key, range, slices: 1, first })
        .collect();
    ranges.sort_by(|a, b| (&a.key, a.range.start).cmp(&(&b.key, b.range.start)));
    let mut blocks: Vec<Block> = Vec::new();
    for next in ranges {
        match blocks.last_mut() {
            Some(block)
                if block.key == next.key
                    && next.range.start <= block.range.end + GAP
                    && next.range.end - block.range.start <= BLOCK =>
            {
                block.range.end = block.range.end.max(next.range.end);
                block.slices += 1;
                block.first = block.first.min(next.first);
            }
            _ => blocks.push(next),
        }
    }
    blocks.sort_by_key(|block| block.first);
    let mut left = budget;
    blocks.retain(|block| {
        let length = block.range.end - block.range.start;
        let fits = length <= left;
        left -= if fits { length } else { 0 };
        fits
    });
    blocks
}

/// The blocks of one task.
#[derive(Debug, Default)]
pub(crate) struct Blocks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    held: HashMap<String, Vec<Held>>,
    /// Blocks were read before the task has begun.
    is_early: bool,
    /// The task has begun.
    is_begun: bool,
}

/// When blocks are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the task, if it has not begun.
    Early,
    /// In the task, if nothing was read before.
    Now,
}

#[derive(Debug)]
struct Held {
    range: Range<u64>,
    fetch: Arc<AsyncMutex<Fetch>>,
}

/// A block on its way, or there. It is dropped with its last slice.
#[derive(Debug)]
struct Fetch {
    task: Option<Job<Option<Bytes>>>,
    bytes: Option<Bytes>,
    /// Slices that were not asked for yet.
    left: usize,
    reservation: MemoryReservation,
}

impl Blocks {
    /// Adds blocks, until `fetch` does not fetch one.
    pub(crate) fn add(
        &self,
        when: When,
        blocks: Vec<Block>,
        mut fetch: impl FnMut(&Block) -> Option<(Job<Option<Bytes>>, MemoryReservation)>,
    ) {
        let mut state = self.0.lock();
        let is_wanted = match when {
            When::Early => !state.is_begun,
            When::Now => !state.is_early,
        };
        state.is_begun |= when == When::Now;
        if !is_wanted {
            return;
        }
        for block in blocks {
            let Some((task, reservation)) = fetch(&block) else { return };
            let Block { key, range, slices, .. } = block;
            let fetch = Fetch { task: Some(task), bytes: None, left: slices, reservation };
            let fetch = Arc::new(AsyncMutex::new(fetch));
            state.held.entry(key).or_default().push(Held { range, fetch });
            state.is_early |= when == When::Early;
        }
    }

    /// The bytes of a slice, if a block holds it. `None`: it must be read on its own.
    pub(crate) async fn take(&self, key: &str, range: &Range<u64>) -> Option<Bytes> {
        let (start, fetch) = {
            let state = self.0.lock();
            let block =
                state.held.get(key)?.iter().find(|block| {
                    block.range.start <= range.start && range.end <= block.range.end
                })?;
            (block.range.start, Arc::clone(&block.fetch))
        };
        let mut fetch = fetch.lock().await;
        if let Some(mut task) = fetch.task.take() {
            fetch.bytes = task.join().await.flatten();
        }
        let at = usize::try_from(range.start - start).ok()?;
        let length = usize::try_from(range.end - range.start).ok()?;
        let found = fetch.bytes.as_ref().filter(|bytes| at + length <= bytes.len());
        let found = found.map(|bytes| bytes.slice(at..at + length));
        fetch.left = fetch.left.saturating_sub(1);
        if fetch.left == 0 {
            fetch.bytes = None;
            fetch.reservation.free();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(key: &str, range: Range<u64>) -> (String, Range<u64>) {
        (key.to_owned(), range)
    }

    #[test]
    fn neighbours_are_one_block_and_strangers_are_not() {
        let blocks = plan(
            vec![
                slice("b", 0..100),
                slice("a", 64..100),
                slice("a", 128..200),
                slice("a", 1000..1100),
                slice("b", 128..200),
            ],
            BUDGET,
        );
        let found: Vec<(&str, Range<u64>, usize)> =
            blocks.iter().map(|b| (b.key.as_str(), b.range.clone(), b.slices)).collect();
        assert_eq!(found, [("b", 0..200, 2), ("a", 64..200, 2), ("a", 1000..1100, 1)]);
    }

    #[test]
    fn blocks_keep_to_their_size_and_to_the_budget() {
        let slices = (0..8).map(|n| slice("a", n * BLOCK / 2..(n + 1) * BLOCK / 2)).collect();
        let blocks = plan(slices, 3 * BLOCK);
        assert!(blocks.iter().all(|block| block.range.end - block.range.start <= BLOCK));
        assert_eq!(blocks.len(), 3);
        // What is too large is left to be read when it is asked for, and smaller ones after it still fit.
        let blocks = plan(vec![slice("a", 0..200), slice("b", 0..50)], 100);
        assert_eq!(blocks.iter().map(|block| block.key.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}
