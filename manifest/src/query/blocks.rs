//! Reading the seals of groups: a head tells what is where, and a consumer reads only the rows of its buckets.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use crate::model::ids::QueryId;
use crate::model::keys;
use crate::model::records::block::{BucketSlices, DamagedBlock, decode_head, head_end};
use crate::model::records::{BlockHead, BlockRef, Seal, SealedTask};
use crate::query::error::AdvanceError;
use crate::store::control::StoreError;
use crate::store::object::ObjectControlStore;

/// A block of at most this many bytes is read whole. The first read of a longer one gets so much of it.
const WHOLE: u64 = 256 << 10;
/// Blocks read at once.
const READS: usize = 32;

/// The seals of a stage's groups.
#[derive(Debug)]
pub struct Blocks {
    store: ObjectControlStore,
    query: QueryId,
    seal: Arc<Seal>,
    opened: OnceCell<Vec<Opened>>,
}

#[derive(Debug)]
struct Opened {
    key: String,
    head: BlockHead,
    /// The whole block, if it is small.
    whole: Option<Bytes>,
}

impl Blocks {
    /// The blocks that a seal names; `None` if it lists its winners itself.
    #[must_use]
    pub fn of(store: &ObjectControlStore, query: &QueryId, seal: &Arc<Seal>) -> Option<Self> {
        seal.blocks.as_ref()?;
        let (store, query, seal) = (store.clone(), query.clone(), Arc::clone(seal));
        Some(Self { store, query, seal, opened: OnceCell::new() })
    }

    /// The winners of all tasks, without their slices. The heads are read once.
    ///
    /// # Errors
    /// The store's, or a block that is not the one that the seal names.
    pub async fn winners(&self) -> Result<Vec<SealedTask>, AdvanceError> {
        Ok(self.open().await?.iter().flat_map(|opened| opened.head.tasks.clone()).collect())
    }

    /// The slices of these buckets. A bucket without slices is left out.
    ///
    /// # Errors
    /// As [`Self::winners`].
    pub async fn slices(
        &self,
        buckets: &[u32],
    ) -> Result<BTreeMap<u32, BucketSlices>, AdvanceError> {
        let opened = self.open().await?;
        let mut reads = Vec::with_capacity(opened.len());
        for (opened, reference) in opened.iter().zip(self.refs()) {
            reads.push(self.rows(opened, reference, buckets));
        }
        let mut read = stream::iter(reads).buffered(READS);
        let mut slices: BTreeMap<u32, BucketSlices> = BTreeMap::new();
        while let Some(rows) = read.try_next().await? {
            for (bucket, row) in rows {
                slices.entry(bucket).or_default().extend(row);
            }
        }
        Ok(slices)
    }

    fn refs(&self) -> &[BlockRef] {
        self.seal.blocks.as_ref().map_or(&[], |blocks| &blocks.refs)
    }

    async fn open(&self) -> Result<&Vec<Opened>, AdvanceError> {
        let open = || async {
            let mut reads = Vec::with_capacity(self.refs().len());
            for (group, reference) in (0u32..).zip(self.refs()) {
                reads.push(self.open_one(group, reference));
            }
            stream::iter(reads).buffered(READS).try_collect().await
        };
        self.opened.get_or_try_init(open).await
    }

    async fn open_one(&self, group: u32, reference: &BlockRef) -> Result<Opened, AdvanceError> {
        let key = keys::group_seal(&self.query, self.seal.stage, group);
        let until = if reference.len <= WHOLE { reference.len } else { reference.head };
        let first = self.store.get_range(&key, 0..until).await?;
        let first = first.ok_or_else(|| AdvanceError::Missing { key: key.clone() })?;
        let head = checked(&key, &first, reference)?;
        let whole = (first.len() as u64 == reference.len).then_some(first);
        Ok(Opened { key, head, whole })
    }

    async fn rows(
        &self,
        opened: &Opened,
        reference: &BlockRef,
        buckets: &[u32],
    ) -> Result<Vec<(u32, BucketSlices)>, AdvanceError> {
        let places = buckets.iter().filter_map(|bucket| opened.head.place(reference, *bucket));
        let (ranges, rows): (Vec<Range<u64>>, Vec<_>) = places.unzip();
        let key = &opened.key;
        let parts = match &opened.whole {
            Some(whole) => {
                let part = |range: &Range<u64>| {
                    let at = |end: u64| usize::try_from(end).unwrap_or(usize::MAX).min(whole.len());
                    whole.slice(at(range.start)..at(range.end))
                };
                ranges.iter().map(part).collect()
            }
            None if ranges.is_empty() => Vec::new(),
            None => self.store.get_ranges(key, &ranges).await?,
        };
        let decoded = rows.iter().zip(parts).map(|(row, part)| {
            let slices = row.decode(&part).map_err(|error| damaged(key, error))?;
            Ok((row.bucket, slices))
        });
        decoded.collect()
    }
}

/// The head of a block, and what its stage's seal is to hold of it; `None` if the block is not written.
pub(super) async fn read_head(
    store: &ObjectControlStore,
    key: &str,
) -> Result<Option<(BlockHead, BlockRef)>, AdvanceError> {
    let Some(mut first) = store.get_range(key, 0..WHOLE).await? else { return Ok(None) };
    let end = head_end(&first).map_err(|error| damaged(key, error))?;
    if end > first.len() {
        let longer = store.get_range(key, 0..end as u64).await?;
        first = longer.ok_or_else(|| AdvanceError::Missing { key: key.to_owned() })?;
    }
    decode_head(&first).map(Some).map_err(|error| damaged(key, error))
}

fn checked(key: &str, first: &Bytes, wanted: &BlockRef) -> Result<BlockHead, AdvanceError> {
    let (head, found) = decode_head(first).map_err(|error| damaged(key, error))?;
    if found == *wanted { Ok(head) } else { Err(AdvanceError::Broken { key: key.to_owned() }) }
}

pub(super) fn damaged(key: &str, error: DamagedBlock) -> AdvanceError {
    StoreError::Malformed { key: key.to_owned(), reason: error.to_string() }.into()
}
