//! Which slices belong to a bucket. The seal of a small stage lists them by task, and a reader needs them by bucket. The
//! seal of a large stage names blocks, of which a reader reads the rows of its buckets. What is known is kept for all
//! tasks of a process.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dunlin_manifest::query::Blocks;
use dunlin_manifest::records::seal::add_slice;
use dunlin_manifest::records::{BucketTotal, Seal, Share, Slice, TaskOutput};
use parking_lot::RwLock;
use tokio::sync::OnceCell;

use crate::key_filter::KeyFilter;
use crate::{Result, ShuffleError};

/// The sealed data of one stage. Sharing it is cheap, and a worker should cache it between its tasks.
///
/// Of a stage whose seal names blocks, the slices of a bucket are known only after [`StageData::load`]. What a bucket has
/// in all is always known.
#[derive(Debug)]
pub struct StageData {
    /// Number of tasks.
    count: usize,
    totals: Vec<BucketTotal>,
    tasks: OnceLock<Tasks>,
    slices: RwLock<HashMap<u32, Arc<[Entry]>>>,
    blocks: Option<Blocks>,
    // One task loads at a time. The others then find what it has loaded.
    loading: tokio::sync::Mutex<()>,
    // The runtime filter of the stage's keys. It is read once for all tasks of a process.
    pub(crate) key_filter: OnceCell<Option<Arc<KeyFilter>>>,
}

/// A task's number and one of its slices.
type Entry = (u32, Slice);

/// The outputs of the tasks, without their slices.
#[derive(Debug)]
struct Tasks {
    outputs: Vec<TaskOutput>,
    // Decoded at the first read; `None`: not valid base64.
    inline: Vec<OnceLock<Option<Bytes>>>,
}

impl Tasks {
    fn new(outputs: Vec<TaskOutput>) -> Self {
        let inline = outputs.iter().map(|_| OnceLock::new()).collect();
        Self { outputs, inline }
    }
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
    pub fn new(outputs: Vec<TaskOutput>) -> Result<Self> {
        let (mut totals, mut buckets) = (Vec::new(), BTreeMap::<u32, Vec<Entry>>::new());
        for (task, output) in (0u32..).zip(&outputs) {
            for slice in &output.slices {
                check(task, output, slice)?;
                let more = BucketTotal { bytes: slice.len, rows: slice.rows, slices: 1 };
                add_slice(&mut totals, slice.bucket, more);
                buckets.entry(slice.bucket).or_default().push((task, slice.clone()));
            }
        }
        let slices = buckets.into_iter().map(|(bucket, entries)| (bucket, entries.into()));
        let bare = |output: TaskOutput| TaskOutput { slices: Vec::new(), ..output };
        Ok(Self {
            count: outputs.len(),
            totals,
            tasks: OnceLock::from(Tasks::new(outputs.into_iter().map(bare).collect())),
            slices: RwLock::new(slices.collect()),
            blocks: None,
            loading: tokio::sync::Mutex::default(),
            key_filter: OnceCell::new(),
        })
    }

    /// The data of a sealed stage. `blocks` are those that the seal names, if it names any.
    pub fn of(seal: &Seal, blocks: Option<Blocks>) -> Result<Self> {
        if blocks.is_none() {
            return Self::new(seal.tasks.iter().map(|task| task.output.clone()).collect());
        }
        Ok(Self {
            count: usize::try_from(seal.totals().tasks).unwrap_or(usize::MAX),
            totals: seal.buckets(),
            tasks: OnceLock::new(),
            slices: RwLock::default(),
            blocks,
            loading: tokio::sync::Mutex::default(),
            key_filter: OnceCell::new(),
        })
    }

    /// Reads which slices these buckets have, unless it is known. It must be called before the buckets are read.
    pub async fn load(&self, buckets: impl IntoIterator<Item = u32>) -> Result<()> {
        let Some(blocks) = &self.blocks else { return Ok(()) };
        let _one_at_a_time = self.loading.lock().await;
        let wanted: Vec<u32> = {
            let known = self.slices.read();
            let filled = |bucket: &u32| self.slice_count(*bucket) > 0;
            buckets
                .into_iter()
                .filter(filled)
                .filter(|bucket| !known.contains_key(bucket))
                .collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        if self.tasks.get().is_none() {
            let winners = blocks.winners().await?;
            let _ =
                self.tasks.set(Tasks::new(winners.into_iter().map(|task| task.output).collect()));
        }
        for (bucket, entries) in blocks.slices(&wanted).await? {
            for (task, slice) in &entries {
                check(*task, self.output(*task)?, slice)?;
            }
            self.slices.write().insert(bucket, entries.into());
        }
        Ok(())
    }

    /// Number of tasks.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.count
    }

    /// One more than the highest bucket that has slices.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        u32::try_from(self.totals.len()).unwrap_or(u32::MAX)
    }

    /// Rows of a bucket.
    #[must_use]
    pub fn bucket_rows(&self, bucket: u32) -> u64 {
        self.total(bucket).rows
    }

    /// Encoded bytes of a bucket.
    #[must_use]
    pub fn bucket_bytes(&self, bucket: u32) -> u64 {
        self.total(bucket).bytes
    }

    /// Slices of a bucket.
    #[must_use]
    pub fn slice_count(&self, bucket: u32) -> usize {
        usize::try_from(self.total(bucket).slices).unwrap_or(usize::MAX)
    }

    fn total(&self, bucket: u32) -> BucketTotal {
        self.totals.get(bucket as usize).copied().unwrap_or_default()
    }

    /// The slices of a bucket that belong to a share of it.
    pub(crate) fn share(&self, bucket: u32, share: Share) -> Result<Range<usize>> {
        Ok(share.slices(self.entries(bucket)?.iter().map(|(_, slice)| slice.len)))
    }

    /// What a share of a bucket has. The bucket must be loaded.
    pub fn share_total(&self, bucket: u32, share: Share) -> Result<BucketTotal> {
        let mut total = BucketTotal::default();
        for (_, slice) in &self.entries(bucket)?[self.share(bucket, share)?] {
            total.add(slice.len, slice.rows);
        }
        Ok(total)
    }

    /// Encoded bytes and rows of each slice of a bucket, in their order. The bucket must be loaded.
    pub fn slices(&self, bucket: u32) -> Result<Vec<(u64, u64)>> {
        Ok(self.entries(bucket)?.iter().map(|(_, slice)| (slice.len, slice.rows)).collect())
    }

    /// Tasks with rows in a bucket.
    pub fn bucket_tasks(&self, bucket: u32) -> Result<usize> {
        // Entries of a bucket are ascending by task.
        Ok(self.entries(bucket)?.chunk_by(|a, b| a.0 == b.0).count())
    }

    /// Slice `number` of a bucket, in task and slice order.
    pub(crate) fn piece(&self, bucket: u32, number: usize) -> Result<Piece> {
        let entries = self.entries(bucket)?;
        let (task, slice) = entries.get(number).ok_or_else(|| {
            ShuffleError::Malformed(format!("bucket {bucket} has no slice {number}"))
        })?;
        let place = match slice.object {
            Some(object) => Place::Object {
                key: self.output(*task)?.objects[object as usize].key.clone(),
                range: slice.offset..slice.offset + slice.len,
            },
            None => Place::Inline(self.inline_bytes(*task, slice)?),
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
        let output = self.output(task)?;
        let decoded = self.tasks.get().and_then(|tasks| tasks.inline.get(task as usize));
        let all = decoded
            .and_then(|inline| {
                inline
                    .get_or_init(|| STANDARD.decode(&output.inline).ok().map(Bytes::from))
                    .as_ref()
            })
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

    fn output(&self, task: u32) -> Result<&TaskOutput> {
        let outputs = self.tasks.get().map(|tasks| tasks.outputs.as_slice());
        outputs.and_then(|outputs| outputs.get(task as usize)).ok_or_else(|| {
            ShuffleError::Malformed(format!("a slice belongs to task {task}, which is not there"))
        })
    }

    fn entries(&self, bucket: u32) -> Result<Arc<[Entry]>> {
        if let Some(entries) = self.slices.read().get(&bucket) {
            return Ok(Arc::clone(entries));
        }
        if self.slice_count(bucket) > 0 {
            return Err(ShuffleError::Malformed(format!("bucket {bucket} was not loaded")));
        }
        Ok(Arc::from([]))
    }
}

fn check(task: u32, output: &TaskOutput, slice: &Slice) -> Result<()> {
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
