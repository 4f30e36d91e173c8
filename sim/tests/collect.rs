//! What ended queries have left is deleted when it is old enough, and nothing else ever is. Over a folder, where a test can
//! make objects older.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use common::{
    claim, commit, drive, fence, folder, handle, open, submission, submitted, three_stages,
};
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::query::sweep::{Opened, Site, SweepPeriods, Sweeper};
use dunlin_manifest::query::{Collected, Keep, News, QueryHandle, collect, last_collected};
use dunlin_manifest::records::{End, EndStatus, WriteTarget};
use dunlin_manifest::store::{ControlStore, ObjectControlStore};
use dunlin_manifest::submit::submit;
use object_store::{ObjectStoreExt, PutPayload};

const HOUR: Duration = Duration::from_secs(3_600);

/// The keys of all objects.
async fn all(store: &ObjectControlStore) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for prefix in ["data/", "hb/", "res/", "g/", "q/", "use/", "live/", "idem/", "end/"] {
        keys.extend(store.list(prefix).await.unwrap().into_iter().map(|entry| entry.key));
    }
    keys
}

/// As if the object had been written so long ago.
fn age(root: &Path, key: &str, by: Duration) {
    let file = File::options().write(true).open(root.join(key)).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

/// Objects of data, answers and heartbeats, as attempts write them.
async fn rows_of(store: &ObjectControlStore, query: &QueryId, nonce: &str) -> Vec<String> {
    let writer = keys::Writer { workgroup: None, query, stage: 0, task: 1, attempt: 0, nonce };
    let last = keys::Writer { stage: 2, task: 0, ..writer };
    let of_group = keys::Writer { workgroup: Some("bi"), ..last };
    let keys = vec![writer.data(0), last.res(0), keys::hb(query, 0, 1, 0), of_group.res(1)];
    for key in &keys {
        let payload = PutPayload::from_static(b"rows");
        store.object_store().put(&store.full_path(key), payload).await.unwrap();
    }
    keys
}

async fn pass(store: &ObjectControlStore, is_dry: bool) -> Collected {
    let collected = collect(store, &Keep::default(), is_dry).await.unwrap();
    assert_eq!(collected.failed, 0);
    collected
}

#[tokio::test]
async fn what_an_ended_query_has_left_goes_step_by_step_and_a_living_query_loses_nothing() {
    let (store, guard) = folder(&Env::system());
    assert_eq!(last_collected(&store).await.unwrap(), None);
    let (over, alive) =
        (submitted(&store, three_stages()).await, submitted(&store, three_stages()).await);
    assert_eq!(drive(&handle(&store, &over).await).await.status, EndStatus::Succeeded);
    store.delete(&keys::active(&over)).await.unwrap();
    let worker = handle(&store, &alive).await;
    let first = open(&worker).await[0];
    let nonce = claim(&worker, first).await.unwrap();
    commit(&worker, first, &nonce).await;
    let (left, used) = (rows_of(&store, &over, "n").await, rows_of(&store, &alive, "n").await);
    // However old they are: the query lives.
    for key in all(&store).await.iter().filter(|key| keys::query_of(key).as_ref() == Some(&alive)) {
        age(guard.path(), key, 1_000 * HOUR);
    }
    let before = all(&store).await;
    let collected = pass(&store, false).await;
    assert_eq!((collected.ended, collected.living, collected.deleted().objects), (1, 1, 0));
    assert_eq!(all(&store).await, before);
    assert!(last_collected(&store).await.unwrap().is_some_and(|ago| ago < HOUR));

    age(guard.path(), &keys::end(&over), 2 * HOUR);
    let dry = pass(&store, true).await;
    assert_eq!(all(&store).await, before, "a dry run deletes nothing");
    let collected = pass(&store, false).await;
    assert_eq!(dry.kinds, collected.kinds, "and tells what would be deleted");
    let gone: BTreeSet<String> = before.difference(&all(&store).await).cloned().collect();
    assert!(gone.iter().all(|key| keys::query_of(key).as_ref() == Some(&over)), "{gone:?}");
    assert!(gone.contains(&left[0]) && gone.contains(&left[2]) && !gone.contains(&left[1]));
    assert!(gone.iter().all(|key| key.starts_with("data/") || key.starts_with("hb/")), "{gone:?}");
    assert!(handle(&store, &over).await.ended().await.unwrap().is_some(), "the answer is there");

    age(guard.path(), &keys::end(&over), 49 * HOUR);
    pass(&store, false).await;
    assert!(!guard.path().join(&left[1]).exists() && guard.path().join(keys::root(&over)).exists());
    age(guard.path(), &keys::end(&over), 8 * 24 * HOUR);
    pass(&store, false).await;
    let of_over = |keys: BTreeSet<String>| {
        keys.into_iter()
            .filter(|key| keys::query_of(key).as_ref() == Some(&over))
            .collect::<Vec<_>>()
    };
    assert_eq!(of_over(all(&store).await), [keys::end(&over)]);
    // Who wakes up only now writes for nobody.
    store
        .object_store()
        .put(&store.full_path(&left[0]), PutPayload::from_static(b"late"))
        .await
        .unwrap();
    pass(&store, false).await;
    assert_eq!(of_over(all(&store).await), [keys::end(&over)]);
    age(guard.path(), &keys::end(&over), 31 * 24 * HOUR);
    pass(&store, false).await;
    assert!(of_over(all(&store).await).is_empty());

    // All this time the other query was there, and it goes on to its end.
    assert!(used.iter().all(|key| guard.path().join(key).exists()));
    // It would be over its time.
    age(guard.path(), &keys::root(&alive), Duration::ZERO);
    assert_eq!(drive(&handle(&store, &alive).await).await.status, EndStatus::Succeeded);
}

#[tokio::test]
async fn what_belongs_to_no_query_goes_when_it_is_old_and_hints_come_back() {
    let (store, guard) = folder(&Env::system());
    let env = Env::system();
    let alive = submitted(&store, three_stages()).await;
    store.delete(&keys::active(&alive)).await.unwrap();
    // A query that was never written down, one that may still be, and what gateways know of files.
    let (dead, coming) = (QueryId::new(&env), QueryId::new(&env));
    let orphans = rows_of(&store, &dead, "n").await;
    let fresh = rows_of(&store, &coming, "n").await;
    let cached = "use/files/0123456789abcdef";
    store.put(cached, Bytes::from_static(b"footers")).await.unwrap();
    store.put("use/mine.txt", Bytes::from_static(b"whose?")).await.unwrap();
    orphans.iter().for_each(|key| age(guard.path(), key, 49 * HOUR));
    [cached, "use/mine.txt"].iter().for_each(|key| age(guard.path(), key, 49 * HOUR));
    let collected = pass(&store, false).await;
    assert_eq!((collected.put_back, collected.living), (1, 1));
    assert!(guard.path().join(keys::active(&alive)).exists());
    let orphaned: u64 = collected.kinds.values().map(|found| found.orphans.objects).sum();
    assert_eq!((orphaned, collected.deleted().objects), (4, 4));
    assert!(fresh.iter().all(|key| guard.path().join(key).exists()));
    assert!(guard.path().join(cached).exists());
    age(guard.path(), cached, 31 * 24 * HOUR);
    assert_eq!(pass(&store, false).await.deleted().objects, 1);
    assert!(!guard.path().join(cached).exists());
}

#[tokio::test]
async fn a_hint_of_an_ended_query_goes_at_once() {
    let (store, _guard) = folder(&Env::system());
    let over = submitted(&store, three_stages()).await;
    drive(&handle(&store, &over).await).await;
    store.put(&keys::active(&over), Bytes::new()).await.unwrap();
    assert_eq!(pass(&store, false).await.kinds["hints"].deleted.objects, 1);
    assert!(store.list(keys::ACTIVE).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_hint_of_a_write_that_nobody_has_looked_after_stays() {
    let (store, guard) = folder(&Env::system());
    let mut write = submission(store.env(), three_stages());
    write.root.write =
        Some(WriteTarget { store: "file:///".to_owned(), folder: "made".to_owned(), first: None });
    let query = write.query.clone();
    submit(&store, write).await.unwrap();
    handle(&store, &query).await.cancel().await.unwrap();
    age(guard.path(), &keys::end(&query), 49 * HOUR);
    assert_eq!(pass(&store, false).await.kinds["hints"].waiting.objects, 1);
    assert!(guard.path().join(keys::active(&query)).exists());
    // Without its records nobody can look after it any more.
    age(guard.path(), &keys::end(&query), 8 * 24 * HOUR);
    pass(&store, false).await;
    pass(&store, false).await;
    assert!(!guard.path().join(keys::active(&query)).exists());
}

/// A process in which somebody waits for queries, and which does nothing else.
#[derive(Debug)]
struct Waiting {
    store: ObjectControlStore,
    handles: Vec<Arc<QueryHandle>>,
}

#[async_trait]
impl Site for Waiting {
    fn store(&self) -> &ObjectControlStore {
        &self.store
    }

    async fn open(&self, query: &QueryId) -> Opened {
        QueryHandle::open(self.store.clone(), query, &fence()).await.into()
    }

    fn in_use(&self) -> Vec<Arc<QueryHandle>> {
        self.handles.clone()
    }

    async fn run_here(&self, _: &QueryId) -> bool {
        false
    }

    async fn tell(&self, _: News) {}

    async fn settle(&self, _: &QueryHandle, _: &End, _: Duration) -> bool {
        true
    }
}

#[tokio::test]
async fn who_still_waits_for_a_query_of_which_nothing_is_left_brings_no_hint_of_it_back() {
    let (store, guard) = folder(&Env::system());
    let (gone, alive) =
        (submitted(&store, three_stages()).await, submitted(&store, three_stages()).await);
    let handles =
        vec![Arc::new(handle(&store, &gone).await), Arc::new(handle(&store, &alive).await)];
    // Another process sees the end, and everything goes while this one sleeps.
    assert_eq!(drive(&handle(&store, &gone).await).await.status, EndStatus::Succeeded);
    age(guard.path(), &keys::end(&gone), 31 * 24 * HOUR);
    pass(&store, false).await;
    store.delete(&keys::active(&alive)).await.unwrap();
    let site = Arc::new(Waiting { store: store.clone(), handles });
    Sweeper::new(site, SweepPeriods::default()).sweep().await.unwrap();
    assert!(!guard.path().join(keys::active(&gone)).exists());
    assert!(guard.path().join(keys::active(&alive)).exists(), "one that lives is found again");
}
