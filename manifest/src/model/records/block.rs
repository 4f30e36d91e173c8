//! The seal of a group: up to 64 commits, ordered by bucket, so that a consumer reads only what belongs to its buckets.
//!
//! ```text
//!   "DLB8" | length of the head | head: the winners, and where each bucket's row is | row | row | …
//!                                                                                     a row: the slices of one bucket
//! ```
//! The stage's seal holds the digest and the length of each head. A head holds the checksum of each row. So a reader can
//! check every part that it reads by range. It is the only record that is not JSON, because it grows with tasks × buckets.
//! Its parts are protobuf messages. They have no maps and no unknown fields, so the same values give the same bytes. A
//! winner in the head is a JSON text, as it would be in a seal.
//!
//! The blocks of a stage that are short together are also written as one block, so that a consumer makes two requests and
//! not two for each group. Its rows are those of the groups, one after the other: repeated fields of protobuf messages add
//! up when their bytes are joined.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use prost::Message;

use crate::model::encoding::RECORD_VERSION;
use crate::model::ids::{StageId, TaskId};
use crate::model::records::attempt::{Slice, TaskOutput};
use crate::model::records::seal::{BlockRef, BucketTotal, SealedTask};

const MAGIC: &[u8; 4] = b"DLB8";
/// Bytes before the head.
const BEFORE: usize = 8;

/// The bytes of a block are not what they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the seal of a group is damaged: {0}")]
pub struct DamagedBlock(&'static str);

/// What a block tells about itself: its winners without their slices, and its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockHead {
    /// The stage.
    pub stage: StageId,
    /// The group.
    pub group: u32,
    /// BLAKE3 of the stage's manifest.
    pub manifest: String,
    /// The winners without their slices, ascending by task.
    pub tasks: Vec<SealedTask>,
    /// The rows that are not empty, ascending by bucket. They follow each other.
    pub rows: Vec<BlockRow>,
}

/// Where the slices of a bucket are, and what they have together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// The bucket.
    pub bucket: u32,
    /// Where the row begins, after the head.
    pub at: u64,
    /// Bytes of the row in the block.
    pub len: u32,
    /// The first bytes of the row's BLAKE3.
    pub check: u64,
    /// What the slices have.
    pub total: BucketTotal,
}

/// [`BlockHead`] as it is stored.
#[derive(Clone, PartialEq, Message)]
struct StoredHead {
    #[prost(uint32, tag = "1")]
    v: u32,
    #[prost(uint32, tag = "2")]
    stage: u32,
    #[prost(uint32, tag = "3")]
    group: u32,
    #[prost(string, tag = "4")]
    manifest: String,
    #[prost(string, repeated, tag = "5")]
    tasks: Vec<String>,
    // Of each row, one value in each of the following.
    #[prost(uint32, repeated, tag = "6")]
    bucket: Vec<u32>,
    #[prost(uint32, repeated, tag = "7")]
    len: Vec<u32>,
    #[prost(fixed64, repeated, tag = "8")]
    check: Vec<u64>,
    #[prost(uint64, repeated, tag = "9")]
    bytes: Vec<u64>,
    #[prost(uint64, repeated, tag = "10")]
    rows: Vec<u64>,
    #[prost(uint64, repeated, tag = "11")]
    slices: Vec<u64>,
}

/// The slices of a bucket as they are stored: of each slice, one value in each field.
#[derive(Clone, PartialEq, Message)]
struct StoredRow {
    #[prost(uint32, repeated, tag = "1")]
    task: Vec<u32>,
    /// One more than the number of the object; 0: inline.
    #[prost(uint32, repeated, tag = "2")]
    object: Vec<u32>,
    #[prost(uint64, repeated, tag = "3")]
    offset: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    len: Vec<u64>,
    #[prost(uint64, repeated, tag = "5")]
    rows: Vec<u64>,
    #[prost(string, repeated, tag = "6")]
    xxh3: Vec<String>,
}

impl StoredRow {
    fn push(&mut self, task: TaskId, slice: &Slice) {
        self.task.push(task);
        self.object.push(slice.object.map_or(0, |object| object + 1));
        self.offset.push(slice.offset);
        self.len.push(slice.len);
        self.rows.push(slice.rows);
        self.xxh3.push(slice.xxh3.clone());
    }

    fn slices(mut self, bucket: u32) -> Option<BucketSlices> {
        let texts = std::mem::take(&mut self.xxh3);
        let slice = |(at, xxh3): (usize, String)| {
            let slice = Slice {
                bucket,
                object: self.object.get(at)?.checked_sub(1),
                offset: *self.offset.get(at)?,
                len: *self.len.get(at)?,
                rows: *self.rows.get(at)?,
                xxh3,
            };
            Some((*self.task.get(at)?, slice))
        };
        texts.into_iter().enumerate().map(slice).collect()
    }
}

/// Encodes the winners of a group, ascending by task.
///
/// # Errors
/// A part of a block has at most 4 GiB.
pub fn encode_block(
    stage: StageId,
    group: u32,
    manifest: &str,
    tasks: &[SealedTask],
) -> Result<Bytes, DamagedBlock> {
    let mut by_bucket: BTreeMap<u32, (StoredRow, BucketTotal)> = BTreeMap::new();
    for task in tasks {
        for slice in &task.output.slices {
            let (row, total) = by_bucket.entry(slice.bucket).or_default();
            row.push(task.task, slice);
            total.add(slice.len, slice.rows);
        }
    }
    let rows =
        by_bucket.into_iter().map(|(bucket, (row, total))| (bucket, row.encode_to_vec(), total));
    assemble(stage, group, manifest, tasks, rows)
}

/// The number of the block that has all groups of its stage.
pub const ALL_GROUPS: u32 = u32::MAX;

/// All blocks of a stage as one. They are given whole, in the order of the groups.
///
/// # Errors
/// One of them is damaged, or they are too long together.
pub fn join_blocks(blocks: &[(&BlockHead, &BlockRef, Bytes)]) -> Result<Bytes, DamagedBlock> {
    let mut by_bucket: BTreeMap<u32, (Vec<u8>, BucketTotal)> = BTreeMap::new();
    for (head, reference, bytes) in blocks {
        for row in &head.rows {
            let range = head.range(reference, row);
            let at = |end: u64| usize::try_from(end).unwrap_or(usize::MAX);
            let part = bytes.get(at(range.start)..at(range.end));
            let part = part.ok_or(DamagedBlock("its rows are cut off"))?;
            row.check(part)?;
            let (joined, total) = by_bucket.entry(row.bucket).or_default();
            joined.extend_from_slice(part);
            *total += row.total;
        }
    }
    let first = blocks.first().ok_or(DamagedBlock("there is none"))?.0;
    let tasks: Vec<SealedTask> = blocks.iter().flat_map(|(head, ..)| head.tasks.clone()).collect();
    let rows = by_bucket.into_iter().map(|(bucket, (row, total))| (bucket, row, total));
    assemble(first.stage, ALL_GROUPS, &first.manifest, &tasks, rows)
}

fn assemble(
    stage: StageId,
    group: u32,
    manifest: &str,
    tasks: &[SealedTask],
    by_bucket: impl Iterator<Item = (u32, Vec<u8>, BucketTotal)>,
) -> Result<Bytes, DamagedBlock> {
    let mut head = StoredHead { v: RECORD_VERSION, stage, group, ..StoredHead::default() };
    head.manifest = manifest.to_owned();
    head.tasks = tasks.iter().map(without_slices).collect();
    let mut rows = Vec::new();
    for (bucket, bytes, total) in by_bucket {
        head.bucket.push(bucket);
        head.len.push(u32::try_from(bytes.len()).map_err(|_| DamagedBlock("a row is too long"))?);
        head.check.push(check(&bytes));
        head.bytes.push(total.bytes);
        head.rows.push(total.rows);
        head.slices.push(total.slices);
        rows.extend_from_slice(&bytes);
    }
    let head = head.encode_to_vec();
    let length = u32::try_from(head.len()).map_err(|_| DamagedBlock("its head is too long"))?;
    Ok([MAGIC.as_slice(), &length.to_le_bytes(), &head, &rows].concat().into())
}

/// Whether bytes are a block. Every other record is JSON.
#[must_use]
pub fn is_block(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The slices of a bucket, each with its task, in task order.
pub type BucketSlices = Vec<(TaskId, Slice)>;

/// Decodes a whole block: its head, and the slices of each bucket.
///
/// # Errors
/// The bytes are damaged, or of another version.
pub fn decode_block(bytes: &[u8]) -> Result<(BlockHead, Vec<(u32, BucketSlices)>), DamagedBlock> {
    let (head, reference) = decode_head(bytes)?;
    let mut rest = usize::try_from(reference.head)
        .ok()
        .and_then(|end| bytes.get(end..))
        .ok_or(DamagedBlock("its rows are cut off"))?;
    let mut rows = Vec::new();
    for row in &head.rows {
        let (part, after) =
            rest.split_at_checked(row.len as usize).ok_or(DamagedBlock("its rows are cut off"))?;
        rows.push((row.bucket, row.decode(part)?));
        rest = after;
    }
    Ok((head, rows))
}

/// How many bytes of a block its head ends after, told by the first bytes.
///
/// # Errors
/// They are not the first bytes of a block.
pub fn head_end(first: &[u8]) -> Result<usize, DamagedBlock> {
    let length = first.get(MAGIC.len()..BEFORE).and_then(|length| length.try_into().ok());
    match length {
        Some(length) if first.starts_with(MAGIC) => {
            Ok(BEFORE + u32::from_le_bytes(length) as usize)
        }
        _ => Err(DamagedBlock("it has another format")),
    }
}

/// Decodes the head from the first bytes of a block, and says what the stage's seal holds of it.
///
/// # Errors
/// The bytes are damaged, or of another version.
pub fn decode_head(first: &[u8]) -> Result<(BlockHead, BlockRef), DamagedBlock> {
    let end = head_end(first)?;
    let bytes = first.get(..end).ok_or(DamagedBlock("its head is cut off"))?;
    let stored = StoredHead::decode(&bytes[BEFORE..]).map_err(|_| DamagedBlock("its head"))?;
    let head = stored.head().ok_or(DamagedBlock("its head"))?;
    let rows: u64 = head.rows.iter().map(|row| u64::from(row.len)).sum();
    let (head_len, len) = (end as u64, end as u64 + rows);
    let digest = blake3::hash(bytes).to_hex().to_string();
    Ok((head, BlockRef { digest, head: head_len, len }))
}

impl StoredHead {
    /// `None` if it is of another version, or contradicts itself.
    fn head(self) -> Option<BlockHead> {
        if self.v != RECORD_VERSION {
            return None;
        }
        let mut end = 0;
        let row = |(at, &bucket): (usize, &u32)| {
            let total = BucketTotal {
                bytes: *self.bytes.get(at)?,
                rows: *self.rows.get(at)?,
                slices: *self.slices.get(at)?,
            };
            let (begin, len) = (end, *self.len.get(at)?);
            end += u64::from(len);
            Some(BlockRow { bucket, at: begin, len, check: *self.check.get(at)?, total })
        };
        Some(BlockHead {
            stage: self.stage,
            group: self.group,
            rows: self.bucket.iter().enumerate().map(row).collect::<Option<_>>()?,
            tasks: self
                .tasks
                .iter()
                .map(|text| serde_json::from_str(text).ok())
                .collect::<Option<_>>()?,
            manifest: self.manifest,
        })
    }
}

impl BlockHead {
    /// Where the row of a bucket is in the block, if the bucket has rows.
    #[must_use]
    pub fn place(&self, reference: &BlockRef, bucket: u32) -> Option<(Range<u64>, BlockRow)> {
        let at = self.rows.binary_search_by_key(&bucket, |row| row.bucket).ok()?;
        let row = self.rows[at];
        Some((self.range(reference, &row), row))
    }

    fn range(&self, reference: &BlockRef, row: &BlockRow) -> Range<u64> {
        let start = reference.head + row.at;
        start..start + u64::from(row.len)
    }
}

impl BlockRow {
    /// The slices of the bucket, each with its task, in task order.
    ///
    /// # Errors
    /// The bytes are not those that the block was made with.
    pub fn decode(&self, bytes: &[u8]) -> Result<BucketSlices, DamagedBlock> {
        self.check(bytes)?;
        let row = StoredRow::decode(bytes).map_err(|_| DamagedBlock("a row"))?;
        row.slices(self.bucket).ok_or(DamagedBlock("a row"))
    }

    fn check(&self, bytes: &[u8]) -> Result<(), DamagedBlock> {
        if check(bytes) == self.check {
            Ok(())
        } else {
            Err(DamagedBlock("a row has another checksum"))
        }
    }
}

fn without_slices(task: &SealedTask) -> String {
    let output = TaskOutput { slices: Vec::new(), ..task.output.clone() };
    // A struct of texts and integers. Encoding it cannot fail.
    serde_json::to_string(&SealedTask { output, ..task.clone() }).unwrap_or_default()
}

fn check(bytes: &[u8]) -> u64 {
    blake3::hash(bytes).as_bytes().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::records::attempt::TaskMetrics;

    /// The winner of a task, with these slices: bucket and bytes.
    fn won(task: TaskId, slices: &[(u32, u64)]) -> SealedTask {
        let slice = |&(bucket, len): &(u32, u64)| Slice {
            bucket,
            object: (len > 10).then_some(0),
            offset: 0,
            len,
            rows: 1,
            xxh3: "0123456789abcdef".to_owned(),
        };
        let slices: Vec<Slice> = slices.iter().map(slice).collect();
        SealedTask {
            task,
            attempt: 0,
            claim: "c".to_owned(),
            worker: "w".to_owned(),
            output: TaskOutput { rows: slices.len() as u64, slices, ..TaskOutput::default() },
            metrics: TaskMetrics::default(),
        }
    }

    #[test]
    fn blocks_joined_are_the_block_of_all_their_tasks() {
        let tasks = [
            won(0, &[(0, 10), (7, 20)]),
            won(1, &[(7, 30), (7, 31)]),
            won(64, &[(7, 32), (9, 1)]),
            won(65, &[]),
        ];
        let block = |group: u32, tasks: &[SealedTask]| {
            let bytes = encode_block(3, group, "m", tasks).unwrap();
            let (head, reference) = decode_head(&bytes).unwrap();
            (head, reference, bytes)
        };
        let blocks = [block(0, &tasks[..2]), block(1, &tasks[2..])];
        let whole: Vec<_> = blocks
            .iter()
            .map(|(head, reference, bytes)| (head, reference, bytes.clone()))
            .collect();
        let joined = join_blocks(&whole).unwrap();
        let (head, rows) = decode_block(&joined).unwrap();
        let (all_head, all_rows) =
            decode_block(&encode_block(3, ALL_GROUPS, "m", &tasks).unwrap()).unwrap();
        assert_eq!((&head.tasks, &rows), (&all_head.tasks, &all_rows));
        let totals = |head: &BlockHead| head.rows.iter().map(|row| row.total).collect::<Vec<_>>();
        assert_eq!((head.group, totals(&head)), (ALL_GROUPS, totals(&all_head)));
        // A damaged part is found when it is joined.
        let mut damaged = whole.clone();
        let mut bytes = damaged[1].2.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        damaged[1].2 = bytes.into();
        assert!(join_blocks(&damaged).is_err() && join_blocks(&[]).is_err());
    }

    #[test]
    fn a_bucket_is_read_by_its_range_and_every_part_is_checked() {
        let tasks = [won(64, &[(0, 10), (7, 20)]), won(65, &[(7, 30), (7, 31)]), won(66, &[])];
        let bytes = encode_block(3, 1, "m", &tasks).unwrap();
        let (read, reference) = decode_head(&bytes).unwrap();
        assert_eq!((read.stage, read.group, reference.len), (3, 1, bytes.len() as u64));
        assert_eq!(read.tasks.iter().map(|task| task.task).collect::<Vec<_>>(), [64, 65, 66]);
        let row = |bucket| {
            let (range, row) = read.place(&reference, bucket).unwrap();
            let part =
                &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
            (part.to_vec(), row)
        };
        let (part, seven) = row(7);
        let slices = seven.decode(&part).unwrap();
        let lengths: Vec<_> =
            slices.iter().map(|(task, slice)| (*task, slice.bucket, slice.len)).collect();
        assert_eq!(lengths, [(64, 7, 20), (65, 7, 30), (65, 7, 31)]);
        assert_eq!(seven.total, BucketTotal { bytes: 81, rows: 3, slices: 3 });
        assert_eq!(read.place(&reference, 5), None);
        // A changed bit anywhere is found: in the head by its digest, in a row by its checksum.
        let (other, _) = row(0);
        assert!(seven.decode(&other).is_err());
        let mut damaged = bytes.to_vec();
        damaged[BEFORE + 3] ^= 1;
        assert!(decode_head(&damaged).map_or(true, |(_, found)| found.digest != reference.digest));
        assert!(decode_head(&bytes[..20]).is_err() && decode_head(b"{\"v\":3}").is_err());
    }
}
