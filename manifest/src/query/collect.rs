//! Collecting what ended queries have left: exchange data, answers, records. Nothing that a query without an end may name
//! is ever deleted.
//!
//! ```text
//!   LIST end/    which queries have ended, and when, by the store's clock
//!   LIST q/      which of the others exist: they live
//!   LIST live/   and which may be about to exist
//!   LIST …       of every other object: its query ─> ended long enough ago?  delete
//!                                                 ─> lives?                  keep
//!                                                 ─> neither, and old?       delete: its query never came to be
//! ```
//! An end is written once and never goes before everything else of its query, so a query that was seen to have ended
//! has ended. Whoever wakes up after that and still writes for it writes what the next pass deletes. Ages are differences
//! of the store's own stamps: no clock of a machine counts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::path::Path;

use crate::model::ids::QueryId;
use crate::model::keys;
use crate::model::records::{End, Root};
use crate::store::control::{ControlStore, StoreError};
use crate::store::create::load;
use crate::store::object::{ObjectControlStore, below};

/// How long objects stay after the end of their query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Exchange data and heartbeats. Only attempts that do not know of the end yet can still read them.
    pub data: Duration,
    /// Answers.
    pub answers: Duration,
    /// Records: what a query was, and how it went.
    pub records: Duration,
    /// The end itself. It must outlive every process that may still work for the query.
    pub ends: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            data: Duration::from_secs(3_600),
            answers: days(2),
            records: days(7),
            ends: days(30),
        }
    }
}

/// Objects of a query that never came to be, and other leftovers, stay so long.
const ORPHAN: Duration = Duration::from_secs(2 * 86_400);
/// What gateways have learned of files, and how long it stays. Who misses it reads the files again.
const CACHES: &str = "use/";
const CACHED: Duration = Duration::from_secs(30 * 86_400);
/// Objects deleted by one request, where the store can do so.
const BATCH: usize = 1_000;
/// What the probe leaves if it dies.
const PROBES: &str = "probe/";

/// Objects and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// What was found of one kind of object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Deleted, or to be deleted.
    pub deleted: Sum,
    /// Those of them whose query never came to be.
    pub orphans: Sum,
    /// Kept, because their query lives.
    pub living: Sum,
    /// Kept for now, because their query ended lately, or because they are new.
    pub waiting: Sum,
}

/// What a pass has found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// By kind of object.
    pub kinds: BTreeMap<&'static str, Found>,
    /// Queries that have ended.
    pub ended: u64,
    /// Queries that have not.
    pub living: u64,
    /// Hints that were gone although their query lives, and were put back.
    pub put_back: u64,
    /// Objects that could not be deleted. The next pass tries again.
    pub failed: u64,
}

impl Collected {
    /// All that was deleted.
    #[must_use]
    pub fn deleted(&self) -> Sum {
        let add = |sum: Sum, found: &Found| Sum {
            objects: sum.objects + found.deleted.objects,
            bytes: sum.bytes + found.deleted.bytes,
        };
        self.kinds.values().fold(Sum::default(), add)
    }
}

/// The queries of a store, and what time it is there.
struct Queries {
    now_ms: i64,
    ended: HashMap<QueryId, i64>,
    living: HashSet<QueryId>,
    /// Ended, with files that a sweeper must still look after. It finds them by their hints.
    unsettled: HashSet<QueryId>,
}

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Delete,
    Orphan,
    Living,
    Waiting,
}

impl Queries {
    fn age(&self, stamp_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.now_ms - stamp_ms).unwrap_or(0))
    }

    /// `keep`: how long after the end; `stamp_ms`: the object's own.
    fn fate(&self, key: &str, stamp_ms: i64, keep: Duration) -> Fate {
        let Some(query) = keys::query_of(key) else {
            // What is learned of files helps many queries. What nobody of Dunlin has written is left alone.
            let is_old = key.starts_with(CACHES) && self.age(stamp_ms) >= CACHED;
            return if is_old { Fate::Delete } else { Fate::Waiting };
        };
        if key.starts_with(keys::ACTIVE) && self.unsettled.contains(&query) {
            return Fate::Waiting;
        }
        if let Some(ended) = self.ended.get(&query) {
            return if self.age(*ended) >= keep { Fate::Delete } else { Fate::Waiting };
        }
        if self.living.contains(&query) {
            return Fate::Living;
        }
        if self.age(stamp_ms) >= ORPHAN { Fate::Orphan } else { Fate::Waiting }
    }
}

/// Deletes what ended queries have left, or with `is_dry` only tells what it would delete.
///
/// # Errors
/// The store could not be listed.
pub async fn collect(
    store: &ObjectControlStore,
    keep: &Keep,
    is_dry: bool,
) -> Result<Collected, StoreError> {
    let mut done = Collected::default();
    let queries = queries(store, &mut done, is_dry).await?;
    let places = [
        ("data", "data/", keep.data),
        ("heartbeats", "hb/", keep.data),
        ("answers", "res/", keep.answers),
        ("attempts", "g/", keep.records),
        ("records", "q/", keep.records),
        ("uses", "use/", keep.records),
        ("hints", keys::ACTIVE, Duration::ZERO),
    ];
    for (kind, prefix, keep) in places {
        let (inner, base) = match kind {
            "data" | "answers" => (store.data_store(), store.data_prefix()),
            _ => (store.object_store(), store.prefix()),
        };
        let place = Place { inner, base, kind, prefix };
        pass(&place, &mut done, is_dry, |key, stamp| queries.fate(key, stamp, keep)).await?;
    }
    let records =
        |kind, prefix| Place { inner: store.object_store(), base: store.prefix(), kind, prefix };
    pass(&records("probes", PROBES), &mut done, is_dry, |key, stamp| {
        let is_mark = [keys::PROBED, keys::SWEPT, keys::COLLECTED].contains(&key);
        if !is_mark && queries.age(stamp) >= ORPHAN { Fate::Delete } else { Fate::Waiting }
    })
    .await?;
    // The end is the last that goes. It stays if anything else of any query did.
    let is_clean = done.failed == 0;
    for (kind, prefix) in [("idempotency keys", "idem/"), ("ends", keys::ENDS)] {
        pass(&records(kind, prefix), &mut done, is_dry, |key, stamp| {
            // Without its end, a query whose hint stays would be taken for one that was never written.
            let is_hinted =
                keys::query_of(key).is_some_and(|query| queries.unsettled.contains(&query));
            let goes = is_clean && !is_hinted && queries.age(stamp) >= keep.ends;
            if goes { Fate::Delete } else { Fate::Waiting }
        })
        .await?;
    }
    Ok(done)
}

/// When what ended queries have left was last collected: how long ago by the store's clock; `None` if never.
///
/// # Errors
/// The store's.
pub async fn last_collected(store: &ObjectControlStore) -> Result<Option<Duration>, StoreError> {
    let Some(before) = store.get(keys::COLLECTED).await? else { return Ok(None) };
    let key = keys::probe_basics(&store.env().nonce());
    let now = now_ms(store, &key).await?;
    store.delete(&key).await?;
    Ok(Some(Duration::from_millis(u64::try_from(now - before.modified_ms).unwrap_or(0))))
}

/// The store's time: the stamp of an object that is written now.
async fn now_ms(store: &ObjectControlStore, key: &str) -> Result<i64, StoreError> {
    store.put(key, Bytes::new()).await?;
    let got = store.get(key).await?;
    let gone = || StoreError::Malformed {
        key: key.to_owned(),
        reason: "it cannot be read right after it was written".to_owned(),
    };
    got.map(|got| got.modified_ms).ok_or_else(gone)
}

async fn queries(
    store: &ObjectControlStore,
    done: &mut Collected,
    is_dry: bool,
) -> Result<Queries, StoreError> {
    let now_ms = now_ms(store, keys::COLLECTED).await?;
    let listing =
        |prefix| Place { inner: store.object_store(), base: store.prefix(), kind: "", prefix };
    // Queries before their ends: one that is submitted meanwhile is in neither list, and what it has is new.
    let (mut rooted, mut hinted, mut ended) = (HashSet::new(), HashSet::new(), HashMap::new());
    let mut roots = listing("q/").entries();
    while let Some((key, ..)) = roots.try_next().await? {
        if key.ends_with("/root") {
            rooted.extend(keys::query_of(&key));
        }
    }
    let mut hints = listing(keys::ACTIVE).entries();
    while let Some((key, ..)) = hints.try_next().await? {
        hinted.extend(keys::query_of(&key));
    }
    let mut ends = listing(keys::ENDS).entries();
    while let Some((key, _, stamp)) = ends.try_next().await? {
        if let Some(query) = keys::query_of(&key) {
            ended.insert(query, stamp);
        }
    }
    rooted.retain(|query| !ended.contains_key(query));
    for query in rooted.difference(&hinted).filter(|_| !is_dry) {
        // Nobody cares for it. Whoever sweeps finds it by this, and runs it or ends it.
        store.put(&keys::active(query), Bytes::new()).await?;
        done.put_back += 1;
    }
    done.ended = ended.len() as u64;
    let mut unsettled = HashSet::new();
    for query in hinted.iter().filter(|query| ended.contains_key(*query)) {
        if leaves_files(store, query).await? {
            unsettled.insert(query.clone());
        }
    }
    let living: HashSet<QueryId> =
        rooted.into_iter().chain(hinted).filter(|query| !ended.contains_key(query)).collect();
    done.living = living.len() as u64;
    Ok(Queries { now_ms, ended, living, unsettled })
}

/// Whether a query that has ended may have left files that do not count. Of one of another version this is not known.
async fn leaves_files(store: &ObjectControlStore, query: &QueryId) -> Result<bool, StoreError> {
    let (root, end) = (keys::root(query), keys::end(query));
    match try_join(load(store, &root), load(store, &end)).await {
        Ok((root, end)) => {
            let both: Option<(Root, End)> = root.zip(end);
            Ok(both.is_some_and(|(root, end)| root.leaves_files(&end)))
        }
        Err(StoreError::Malformed { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Objects of one kind.
struct Place<'a> {
    inner: &'a std::sync::Arc<dyn ObjectStore>,
    base: &'a Path,
    kind: &'static str,
    prefix: &'static str,
}

impl Place<'_> {
    /// Keys, bytes and stamps, as they are listed.
    fn entries(&self) -> stream::BoxStream<'static, Result<(String, u64, i64), StoreError>> {
        let skip = match self.base.as_ref().len() {
            0 => 0,
            length => length + 1,
        };
        let prefix = self.prefix;
        let failed = move |source| StoreError::Request {
            operation: "list",
            key: prefix.to_owned(),
            source: Box::new(source),
        };
        let listed = self.inner.list(Some(&below(self.base, self.prefix)));
        let entry = move |meta: object_store::ObjectMeta| {
            let key = meta.location.as_ref().get(skip..).unwrap_or_default().to_owned();
            (key, meta.size, meta.last_modified.timestamp_millis())
        };
        listed
            .filter(|listed| {
                // A folder in which nothing was written yet, or an object that is deleted meanwhile.
                let is_gone = matches!(listed, Err(object_store::Error::NotFound { .. }));
                std::future::ready(!is_gone)
            })
            .map(move |listed| listed.map(entry).map_err(failed))
            .boxed()
    }

    /// Deletes some of them. Returns how many could not be deleted.
    async fn delete(&self, keys: Vec<String>) -> u64 {
        let paths: Vec<Path> = keys.iter().map(|key| below(self.base, key.as_str())).collect();
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let failed = self.inner.delete_stream(paths).filter(|deleted| {
            let is_failed = match deleted {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => false,
                Err(error) => {
                    tracing::warn!(kind = self.kind, %error, "an object could not be deleted");
                    true
                }
            };
            std::future::ready(is_failed)
        });
        failed.count().await as u64
    }
}

/// Goes over one kind of object.
async fn pass(
    place: &Place<'_>,
    done: &mut Collected,
    is_dry: bool,
    fate: impl Fn(&str, i64) -> Fate,
) -> Result<(), StoreError> {
    let mut found = Found::default();
    let mut doomed = Vec::new();
    let mut entries = place.entries();
    while let Some((key, bytes, stamp)) = entries.try_next().await? {
        match fate(&key, stamp) {
            Fate::Living => found.living.add(bytes),
            Fate::Waiting => found.waiting.add(bytes),
            fate @ (Fate::Delete | Fate::Orphan) => {
                found.deleted.add(bytes);
                if fate == Fate::Orphan {
                    found.orphans.add(bytes);
                }
                doomed.push(key);
            }
        }
        if doomed.len() == BATCH && !is_dry {
            done.failed += place.delete(std::mem::take(&mut doomed)).await;
        }
        if is_dry {
            doomed.clear();
        }
    }
    if !doomed.is_empty() {
        done.failed += place.delete(doomed).await;
    }
    done.kinds.insert(place.kind, found);
    Ok(())
}
