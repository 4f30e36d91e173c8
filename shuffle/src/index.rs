//! Which slices belong to a bucket. A seal lists slices by task, and a reader needs them by bucket. The index is made
//! once for a stage, for any number of opened partitions.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dunlin_manifest::records::{Seal, Share, Slice, TaskOutput};

use tokio::sync::OnceCell;

use crate::key_filter::KeyFilter;
use crate::{Result, ShuffleError};

/// The sealed data of one stage. Sharing it is cheap, and a worker should cache it between its tasks.
#[derive(Debug)]
pub struct StageData {
    tasks: Arc<[TaskOutput]>,
    // Slices of bucket b: entries[starts[b]..starts[b + 1]], each (task, index of the slice).
    starts: Vec<usize>,
    entries: Vec<(u32, u32)>,
    // Decoded at the first read; `None`: not valid base64.
    inline: Vec<OnceLock<Option<Bytes>>>,
    // The runtime filter of the stage's keys. It is read once for all tasks of a process.
    pub(crate) key_filter: OnceCell<Option<Arc<KeyFilter>>>,
}

/// Where the bytes of a slice are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Inline(Bytes),
    Object { key: String, range: Range<u64> },
}

/// A slice to read.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) place: Place,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) rows: u64,
    pub(crate) xxh3: String,
}

impl StageData {
    /// The outputs of the winners, in task order.
    pub fn new(tasks: impl Into<Arc<[TaskOutput]>>) -> Result<Self> {
        let tasks = tasks.into();
        let mut starts = Vec::new();
        for (task, output) in tasks.iter().enumerate() {
            for slice in &output.slices {
                check(task, output, slice)?;
                let end = slice.bucket as usize + 2;
                if starts.len() < end {
                    starts.resize(end, 0usize);
                }
                starts[end - 1] += 1;
            }
        }
        for bucket in 1..starts.len() {
            starts[bucket] += starts[bucket - 1];
        }
        let mut next = starts.clone();
        let mut entries = vec![(0, 0); starts.last().copied().unwrap_or(0)];
        for (task, output) in (0u32..).zip(tasks.iter()) {
            for (index, slice) in (0u32..).zip(&output.slices) {
                let place = &mut next[slice.bucket as usize];
                entries[*place] = (task, index);
                *place += 1;
            }
        }
        let inline = tasks.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { tasks, starts, entries, inline, key_filter: OnceCell::new() })
    }

    /// The data of a sealed stage.
    pub fn from_seal(seal: &Seal) -> Result<Self> {
        Self::new(seal.tasks.iter().map(|task| task.output.clone()).collect::<Vec<_>>())
    }

    /// The outputs, in task order.
    #[must_use]
    pub fn tasks(&self) -> &[TaskOutput] {
        &self.tasks
    }

    /// One more than the highest bucket that has rows.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        u32::try_from(self.starts.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Rows of a bucket.
    #[must_use]
    pub fn bucket_rows(&self, bucket: u32) -> u64 {
        self.slices(bucket).map(|slice| slice.rows).sum()
    }

    /// Encoded bytes of a bucket.
    #[must_use]
    pub fn bucket_bytes(&self, bucket: u32) -> u64 {
        self.slices(bucket).map(|slice| slice.len).sum()
    }

    /// Slices of a bucket.
    #[must_use]
    pub fn slice_count(&self, bucket: u32) -> usize {
        self.entries(bucket).len()
    }

    /// The slices of a bucket that belong to a share of it.
    pub(crate) fn share(&self, bucket: u32, share: Share) -> Range<usize> {
        let lengths = self.entries(bucket).iter();
        share.slices(
            lengths.map(|&(task, index)| self.tasks[task as usize].slices[index as usize].len),
        )
    }

    /// Tasks with rows in a bucket.
    #[must_use]
    pub fn bucket_tasks(&self, bucket: u32) -> usize {
        // Entries of a bucket are ascending by task.
        self.entries(bucket).chunk_by(|a, b| a.0 == b.0).count()
    }

    /// Slice `number` of a bucket, in task and slice order.
    pub(crate) fn piece(&self, bucket: u32, number: usize) -> Result<Piece> {
        let &(task, index) = self.entries(bucket).get(number).ok_or_else(|| {
            ShuffleError::Malformed(format!("bucket {bucket} has no slice {number}"))
        })?;
        let output = &self.tasks[task as usize];
        let slice = &output.slices[index as usize];
        let place = match slice.object {
            Some(object) => Place::Object {
                key: output.objects[object as usize].key.clone(),
                range: slice.offset..slice.offset + slice.len,
            },
            None => Place::Inline(self.inline_bytes(task, slice)?),
        };
        Ok(Piece {
            place,
            offset: slice.offset,
            len: slice.len,
            rows: slice.rows,
            xxh3: slice.xxh3.clone(),
        })
    }

    fn inline_bytes(&self, task: u32, slice: &Slice) -> Result<Bytes> {
        let all = self.inline[task as usize]
            .get_or_init(|| {
                STANDARD.decode(&self.tasks[task as usize].inline).ok().map(Bytes::from)
            })
            .as_ref()
            .ok_or_else(|| {
                ShuffleError::Malformed(format!("inline data of task {task} is not base64"))
            })?;
        let (from, to) = (slice.offset as usize, (slice.offset + slice.len) as usize);
        if to > all.len() {
            return Err(ShuffleError::Malformed(format!(
                "inline data of task {task} has {} bytes, a slice ends at {to}",
                all.len()
            )));
        }
        Ok(all.slice(from..to))
    }

    fn slices(&self, bucket: u32) -> impl Iterator<Item = &Slice> {
        self.entries(bucket)
            .iter()
            .map(|&(task, index)| &self.tasks[task as usize].slices[index as usize])
    }

    fn entries(&self, bucket: u32) -> &[(u32, u32)] {
        let bucket = bucket as usize;
        match (self.starts.get(bucket), self.starts.get(bucket + 1)) {
            (Some(&from), Some(&to)) => &self.entries[from..to],
            _ => &[],
        }
    }
}

fn check(task: usize, output: &TaskOutput, slice: &Slice) -> Result<()> {
    let end = slice.offset.checked_add(slice.len);
    let fits = match slice.object {
        None => end.is_some(),
        Some(object) => output
            .objects
            .get(object as usize)
            .is_some_and(|object| end.is_some_and(|end| end <= object.len)),
    };
    if fits {
        return Ok(());
    }
    Err(ShuffleError::Malformed(format!(
        "task {task}: a slice of bucket {} lies outside its object",
        slice.bucket
    )))
}
