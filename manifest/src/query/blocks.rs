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
use crate::query::known::Block;
use crate::store::control::StoreError;
use crate::store::object::ObjectControlStore;

/// A block of at most this many bytes is read whole. The first read of a longer one gets so much of it.
pub(super) const WHOLE: u64 = 256 << 10;
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
        let blocks = self.seal.blocks.as_ref();
        blocks.map_or(&[], |blocks| {
            blocks.all.as_ref().map_or(blocks.refs.as_slice(), std::slice::from_ref)
        })
    }

    async fn open(&self) -> Result<&Vec<Opened>, AdvanceError> {
        let (query, stage) = (&self.query, self.seal.stage);
        let is_one = self.seal.blocks.as_ref().is_some_and(|blocks| blocks.all.is_some());
        let open = || async {
            let mut reads = Vec::with_capacity(self.refs().len());
            for (group, reference) in (0u32..).zip(self.refs()) {
                let key = match is_one {
                    true => keys::all_groups(query, stage),
                    false => keys::group_seal(query, stage, group),
                };
                reads.push(self.open_one(key, reference));
            }
            stream::iter(reads).buffered(READS).try_collect().await
        };
        self.opened.get_or_try_init(open).await
    }

    async fn open_one(&self, key: String, reference: &BlockRef) -> Result<Opened, AdvanceError> {
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

/// The seal of a group; `None` if it is not written.
pub(super) async fn read_block(
    store: &ObjectControlStore,
    key: &str,
) -> Result<Option<Block>, AdvanceError> {
    let Some(mut first) = store.get_range(key, 0..WHOLE).await? else { return Ok(None) };
    let end = head_end(&first).map_err(|error| damaged(key, error))?;
    if end > first.len() {
        let longer = store.get_range(key, 0..end as u64).await?;
        first = longer.ok_or_else(|| AdvanceError::Missing { key: key.to_owned() })?;
    }
    let (head, reference) = decode_head(&first).map_err(|error| damaged(key, error))?;
    let whole = (first.len() as u64 == reference.len).then_some(first);
    Ok(Some(Block { head, reference, whole }))
}

/// All bytes of a block.
pub(super) async fn whole(
    store: &ObjectControlStore,
    key: &str,
    block: &Block,
) -> Result<Bytes, AdvanceError> {
    if let Some(whole) = &block.whole {
        return Ok(whole.clone());
    }
    let read = store.get_range(key, 0..block.reference.len).await?;
    read.ok_or_else(|| AdvanceError::Missing { key: key.to_owned() })
}

fn checked(key: &str, first: &Bytes, wanted: &BlockRef) -> Result<BlockHead, AdvanceError> {
    let (head, found) = decode_head(first).map_err(|error| damaged(key, error))?;
    if found == *wanted { Ok(head) } else { Err(AdvanceError::Broken { key: key.to_owned() }) }
}

pub(super) fn damaged(key: &str, error: DamagedBlock) -> AdvanceError {
    StoreError::Malformed { key: key.to_owned(), reason: error.to_string() }.into()
}
