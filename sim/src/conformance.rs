//! What every store must do before the protocol may use it. One test suite serves memory, folder and S3 servers, and
//! any crate's tests can call it.
//!
//! Each part is a function that writes below a new prefix of its own. If a check fails, it panics with what it saw.
//! The parts about lost, late and refused requests put a [`FaultStore`] in front of the store under test, so they
//! check the store and the create primitive together. `run` must be called on a Tokio runtime.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use tokio::sync::Barrier;

use crate::fault::{Fault, FaultStore, Keys, ManualClock};
use dunlin_manifest::env::Env;
use dunlin_manifest::model::encoding::encode;
use dunlin_manifest::records::{Claim, RECORD_VERSION};
use dunlin_manifest::store::create::{self, CreateError, Decision, Derived};
use dunlin_manifest::store::{Changed, ControlStore, ObjectControlStore, Put, REQUEST_BUDGET};

/// Writers that race for one key.
const WAYS: usize = 32;
/// Number of races.
const ROUNDS: usize = 20;
/// Bytes of the body in every other race.
const LARGE: usize = 1 << 20;
/// Keys of the long LIST: more than one page of S3.
const MANY: usize = 1_050;
/// Concurrent requests when many keys are written or deleted.
const AT_ONCE: usize = 32;

/// Runs every part.
///
/// # Panics
/// If the store does not pass.
pub async fn run(store: ObjectControlStore) {
    reads_follow_writes(&store).await;
    creates_never_overwrite(&store).await;
    conditional_reads_see_overwrites(&store).await;
    deletes_are_idempotent(&store).await;
    derived_records_are_created_adopted_or_in_conflict(&store).await;
    a_lost_response_settles_as_won(&store).await;
    a_conflict_that_nobody_won_is_sent_again(&store).await;
    an_unreachable_store_leaves_it_unknown(&store).await;
    a_put_that_lands_late_counts(&store).await;
    a_put_that_lands_too_late_changes_nothing(&store).await;
    lists_are_exact(&store).await;
    sibling_prefixes_are_apart(&store).await;
    lists_under_writes_show_all_that_was_there(&store).await;
    creates_have_one_winner(&store).await;
}

/// Of many concurrent creates of one key exactly one wins, and every other writer sees the winner's body.
pub async fn creates_have_one_winner(store: &ObjectControlStore) {
    let prefix = fresh(store);
    for round in 0..ROUNDS {
        let key = format!("{prefix}race-{round}");
        let filler = if round % 2 == 0 { 0 } else { LARGE };
        let start = Arc::new(Barrier::new(WAYS));
        let contenders = (0..WAYS).map(|_| {
            let (store, key, start) = (store.clone(), key.clone(), Arc::clone(&start));
            tokio::spawn(async move {
                let nonce = store.env().nonce();
                let filler = "x".repeat(filler);
                let body = Bytes::from(format!(r#"{{"nonce":"{nonce}","filler":"{filler}"}}"#));
                start.wait().await;
                let decision =
                    create::decide(&store, store.env(), &key, body.clone(), &nonce).await;
                (body, decision)
            })
        });
        let mut winners = Vec::new();
        let mut shown = Vec::new();
        for outcome in join_all(contenders).await {
            let (body, decision) = must("a contender", outcome);
            match must("a racing create", decision) {
                Decision::Won => winners.push(body),
                Decision::Lost(theirs) => shown.push(theirs),
            }
        }
        assert_eq!(winners.len(), 1, "race {round}: {} of {WAYS} writers won {key}", winners.len());
        assert_eq!(
            shown.len(),
            WAYS - 1,
            "race {round}: some writers of {key} neither won nor lost"
        );
        assert!(
            shown.iter().all(|theirs| *theirs == winners[0]),
            "race {round}: a loser of {key} was shown other bytes than the winner's"
        );
        let there = read(store, &key).await;
        assert_eq!(there.as_ref(), Some(&winners[0]), "race {round}: {key} is not the winner's");
    }
}

/// An object can be read back at once, byte for byte, after a create or a put.
pub async fn reads_follow_writes(store: &ObjectControlStore) {
    let prefix = fresh(store);
    for length in [0usize, 1, 100, LARGE] {
        let body = Bytes::from(vec![b'b'; length]);
        let created = format!("{prefix}created-{length}");
        assert_eq!(read(store, &created).await, None, "{created} is there before it was created");
        assert!(
            matches!(
                must("a create", store.put_if_absent(&created, body.clone()).await),
                Put::Created
            ),
            "a create of the free key {created} was refused"
        );
        assert!(
            read(store, &created).await.as_ref() == Some(&body),
            "{created} does not read back right after it was created"
        );
        let put = format!("{prefix}put-{length}");
        must("a put", store.put(&put, Bytes::from_static(b"older")).await);
        must("a put", store.put(&put, body.clone()).await);
        assert!(
            read(store, &put).await.as_ref() == Some(&body),
            "{put} does not read back right after it was overwritten"
        );
    }
}

/// A create of an existing key is refused and changes nothing, whether the object was created or put.
pub async fn creates_never_overwrite(store: &ObjectControlStore) {
    let prefix = fresh(store);
    let first = Bytes::from_static(b"first");
    let (created, put) = (format!("{prefix}created"), format!("{prefix}put"));
    must("a create", store.put_if_absent(&created, first.clone()).await);
    must("a put", store.put(&put, first.clone()).await);
    for key in [&created, &put] {
        for second in [first.clone(), Bytes::from_static(b"second")] {
            let outcome = must("a create", store.put_if_absent(key, second).await);
            assert!(matches!(outcome, Put::NotCreated), "a create went over the existing {key}");
        }
        assert_eq!(read(store, key).await, Some(first.clone()), "a refused create changed {key}");
    }
    must("a delete", store.delete(&created).await);
    let again = must("a create", store.put_if_absent(&created, first).await);
    assert!(matches!(again, Put::Created), "{created} cannot be created after it was deleted");
}

/// A read with the current tag returns "not modified". A read with an older tag returns the newer object.
pub async fn conditional_reads_see_overwrites(store: &ObjectControlStore) {
    let key = format!("{}bell", fresh(store));
    let missing = must("a conditional get", store.get_if_changed(&key, Some("\"none\"")).await);
    assert!(matches!(missing, Changed::Missing), "a missing {key} reads as {missing:?}");
    let mut tags = BTreeSet::new();
    // All bodies have the same length, because no tag may depend on the length alone.
    for turn in 0..5 {
        let body = Bytes::from(format!("turn {turn}"));
        must("a put", store.put(&key, body.clone()).await);
        for older in tags.iter().map(String::as_str).map(Some).chain([None]) {
            match must("a conditional get", store.get_if_changed(&key, older).await) {
                Changed::Got(got) => {
                    assert_eq!(got.body, body, "{key} reads as an older version");
                }
                other => panic!("{key} was overwritten, but with tag {older:?} reads as {other:?}"),
            }
        }
        let Some(got) = must("a get", store.get(&key).await) else {
            panic!("{key} is gone after it was overwritten");
        };
        let Some(tag) = got.e_tag else { panic!("{key} has no entity tag") };
        let same = must("a conditional get", store.get_if_changed(&key, Some(&tag)).await);
        assert!(matches!(same, Changed::NotModified), "{key} is unchanged, but reads as {same:?}");
        assert!(tags.insert(tag), "two versions of {key} have one tag");
    }
}

/// Deleting an object twice, or one that never existed, is no error. A deleted object is neither read nor listed.
pub async fn deletes_are_idempotent(store: &ObjectControlStore) {
    let prefix = fresh(store);
    let key = format!("{prefix}hint");
    must("a delete of what never was", store.delete(&key).await);
    must("a put", store.put(&key, Bytes::from_static(b"x")).await);
    must("a delete", store.delete(&key).await);
    must("a second delete", store.delete(&key).await);
    assert_eq!(read(store, &key).await, None, "{key} can be read after it was deleted");
    assert!(names(store, &prefix).await.is_empty(), "LIST shows {key} after it was deleted");
}

/// A derived record is created once, adopted if the bytes are the same, and never silently replaced.
pub async fn derived_records_are_created_adopted_or_in_conflict(store: &ObjectControlStore) {
    let key = format!("{}seal", fresh(store));
    let derive = async |text: &'static str| {
        create::derive(store, store.env(), &key, Bytes::from_static(text.as_bytes())).await
    };
    assert_eq!(must("a derived create", derive("{\"v\":1}").await), Derived::Created);
    assert_eq!(must("a derived create", derive("{\"v\":1}").await), Derived::Adopted);
    match derive("{\"v\":2}").await {
        Err(error @ CreateError::Conflict { .. }) => {
            assert!(!error.is_retryable(), "a conflict does not go away");
        }
        other => panic!("other bytes of {key} gave {other:?} instead of a conflict"),
    }
    assert_eq!(read(store, &key).await, Some(Bytes::from_static(b"{\"v\":1}")));
    let writers = (0..WAYS).map(|_| {
        let (store, key) = (store.clone(), format!("{key}-raced"));
        tokio::spawn(async move {
            create::derive(&store, store.env(), &key, Bytes::from_static(b"{\"v\":1}")).await
        })
    });
    let mut created = 0;
    for outcome in join_all(writers).await {
        created += usize::from(must("derive", must("a writer", outcome)) == Derived::Created);
    }
    assert_eq!(created, 1, "{created} of {WAYS} writers created the same derived record");
}

/// A writer whose create lost its response finds that it won.
pub async fn a_lost_response_settles_as_won(store: &ObjectControlStore) {
    let key = format!("{}claim", fresh(store));
    let (faulty, faults) = faulty(store);
    faults.script(Keys::EndingWith(key.clone()), Fault::FailAfter, 1);
    let (nonce, body) = claim(store.env());
    let decision = create::decide(&faulty, store.env(), &key, body.clone(), &nonce).await;
    assert_eq!(must("a create whose response is lost", decision), Decision::Won);
    assert_eq!(faults.struck(), 1, "the create was sent again although it had landed");
    assert_eq!(read(store, &key).await, Some(body.clone()));

    // When the loser's response is lost, the loser still sees the winner and no error.
    faults.script(Keys::EndingWith(key.clone()), Fault::FailAfter, 1);
    let (other, other_body) = claim(store.env());
    let decision = create::decide(&faulty, store.env(), &key, other_body, &other).await;
    assert_eq!(must("a lost create whose response is lost", decision), Decision::Lost(body));

    let derived = format!("{key}-derived");
    faults.script(Keys::EndingWith(derived.clone()), Fault::FailAfter, 1);
    let settled = create::derive(&faulty, store.env(), &derived, Bytes::from_static(b"{}")).await;
    assert_eq!(must("a derived create whose response is lost", settled), Derived::Created);
}

/// A refusal when the key is free, and an error before anything was sent, are followed by another send of the same
/// bytes.
pub async fn a_conflict_that_nobody_won_is_sent_again(store: &ObjectControlStore) {
    for fault in [Fault::Conflict, Fault::FailBefore] {
        let (_, env) = ManualClock::env();
        let store = with_env(store, env);
        let key = format!("{}claim", fresh(&store));
        let (faulty, faults) = faulty(&store);
        faults.script(Keys::EndingWith(key.clone()), fault, 2);
        let (nonce, body) = claim(store.env());
        let decision = create::decide(&faulty, store.env(), &key, body.clone(), &nonce).await;
        assert_eq!(must("a create after two faults", decision), Decision::Won, "{fault:?}");
        assert_eq!(faults.struck(), 2, "{fault:?}");
        assert_eq!(read(&store, &key).await, Some(body), "{fault:?}");
    }
}

/// While the store cannot be reached, nothing is concluded, and especially not that another writer won.
pub async fn an_unreachable_store_leaves_it_unknown(store: &ObjectControlStore) {
    let (clock, env) = ManualClock::env();
    let store = with_env(store, env);
    let key = format!("{}claim", fresh(&store));
    let (faulty, faults) = faulty(&store);
    faults.unreachable(true);
    let (nonce, body) = claim(store.env());
    match create::decide(&faulty, store.env(), &key, body.clone(), &nonce).await {
        Err(error @ CreateError::Unknown { last: Some(_), .. }) => {
            assert!(error.is_retryable(), "an unsettled create may be settled later");
        }
        other => panic!("an unreachable store gave {other:?} instead of Unknown"),
    }
    let spent = dunlin_manifest::env::Clock::monotonic(clock.as_ref());
    assert!(spent <= REQUEST_BUDGET * 3 / 2, "the writer went on for {spent:?}");
    assert!(spent >= REQUEST_BUDGET / 2, "the writer gave up after {spent:?}");
    assert_eq!(read(&store, &key).await, None);
    faults.unreachable(false);
    let decision = create::decide(&faulty, store.env(), &key, body, &nonce).await;
    assert_eq!(must("the same create, settled later", decision), Decision::Won);
}

/// A create that is applied after its writer gave up belongs to that writer. Other writers lose to it, and the writer
/// itself finds that it won.
pub async fn a_put_that_lands_late_counts(store: &ObjectControlStore) {
    let (_, env) = ManualClock::env();
    let store = with_env(store, env);
    let key = format!("{}claim", fresh(&store));
    let (faulty, faults) = faulty(&store);
    faults.script(Keys::EndingWith(key.clone()), Fault::Late, usize::MAX);
    let (first, first_body) = claim(store.env());
    let outcome = create::decide(&faulty, store.env(), &key, first_body.clone(), &first).await;
    assert!(
        matches!(outcome, Err(CreateError::Unknown { .. })),
        "a create that is still under way gave {outcome:?} instead of Unknown"
    );
    assert_eq!(faults.release().await, 1, "of many sends of one create one must land");
    let (second, second_body) = claim(store.env());
    let decision = create::decide(&store, store.env(), &key, second_body, &second).await;
    assert_eq!(
        must("a create after a late one", decision),
        Decision::Lost(first_body.clone()),
        "the second writer of {key} did not see the first's nonce"
    );
    let decision = create::decide(&store, store.env(), &key, first_body, &first).await;
    assert_eq!(must("the first create, settled", decision), Decision::Won);
}

/// A create that arrives after another writer won is refused by the store itself.
pub async fn a_put_that_lands_too_late_changes_nothing(store: &ObjectControlStore) {
    let (_, env) = ManualClock::env();
    let store = with_env(store, env);
    let key = format!("{}claim", fresh(&store));
    let (faulty, faults) = faulty(&store);
    faults.script(Keys::EndingWith(key.clone()), Fault::Late, usize::MAX);
    let (first, first_body) = claim(store.env());
    let outcome = create::decide(&faulty, store.env(), &key, first_body.clone(), &first).await;
    assert!(matches!(outcome, Err(CreateError::Unknown { .. })), "{outcome:?}");
    let (second, second_body) = claim(store.env());
    let decision = create::decide(&store, store.env(), &key, second_body.clone(), &second).await;
    assert_eq!(must("a create while another is under way", decision), Decision::Won);
    assert_eq!(faults.release().await, 0, "a late create went over the winner's {key}");
    assert_eq!(read(&store, &key).await, Some(second_body.clone()));
    let decision = create::decide(&store, store.env(), &key, first_body, &first).await;
    assert_eq!(must("the first create, settled", decision), Decision::Lost(second_body));
}

/// A LIST of more than one page, directly after many writes, shows every key once and nothing else.
pub async fn lists_are_exact(store: &ObjectControlStore) {
    let prefix = fresh(store);
    assert!(names(store, &prefix).await.is_empty(), "LIST of a prefix that has nothing");
    // Two depths, and names whose order as text is not their order as numbers.
    let keys: BTreeSet<String> = (0..MANY)
        .map(|n| {
            if n % 3 == 0 { format!("{prefix}{n}") } else { format!("{prefix}deep/{}/{n}", n / 64) }
        })
        .collect();
    // The keys are owned, because a closure over borrowed ones makes a future that is not `Send` for every lifetime.
    let writes = keys
        .iter()
        .cloned()
        .map(|key| async move { store.put_if_absent(&key, Bytes::from(key.clone())).await });
    must(
        "concurrent creates",
        stream::iter(writes).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await,
    );
    let listed = must("a list", store.list(&prefix).await);
    assert_eq!(listed.len(), MANY, "LIST of {MANY} keys shows {} entries", listed.len());
    for entry in &listed {
        assert!(keys.contains(&entry.key), "LIST shows {}, which nobody wrote", entry.key);
        assert_eq!(entry.size, entry.key.len() as u64, "LIST gives {} another length", entry.key);
        assert!(entry.modified_ms > 0, "LIST gives {} no stamp", entry.key);
    }
    assert_eq!(listed.iter().map(|entry| &entry.key).collect::<BTreeSet<_>>().len(), MANY);
    let group = format!("{prefix}deep/1/");
    let expected: BTreeSet<String> =
        keys.iter().filter(|key| key.starts_with(&group)).cloned().collect();
    assert_eq!(names(store, &group).await, expected, "LIST of a nested prefix");

    let (gone, kept): (Vec<&String>, Vec<&String>) =
        keys.iter().partition(|key| key.len() % 2 == 0);
    remove(store, gone.into_iter().cloned().collect()).await;
    let kept: BTreeSet<String> = kept.into_iter().cloned().collect();
    assert_eq!(names(store, &prefix).await, kept, "LIST right after many deletes");
    remove(store, kept.into_iter().collect()).await;
    assert!(names(store, &prefix).await.is_empty(), "LIST right after all was deleted");
}

/// `s1/` is not a part of `s10/`, and `s10/` is not a part of `s1/`. An object's name may be the beginning of a
/// prefix.
pub async fn sibling_prefixes_are_apart(store: &ObjectControlStore) {
    let prefix = fresh(store);
    let all: BTreeSet<String> =
        ["s1/m", "s1/claim/0.0", "s1/claim/10.0", "s10/m", "s10/claim/0.0", "s1m", "s11/s1/m"]
            .iter()
            .map(|name| format!("{prefix}{name}"))
            .collect();
    for key in &all {
        must("a create", store.put_if_absent(key, Bytes::from_static(b"x")).await);
    }
    assert_eq!(names(store, &prefix).await, all, "LIST of everything");
    for inner in ["s1/", "s10/", "s11/", "s11/s1/", "s1/claim/", "s2/", "s/", "claim/"] {
        let inner = format!("{prefix}{inner}");
        let expected: BTreeSet<String> =
            all.iter().filter(|key| key.starts_with(&inner)).cloned().collect();
        assert_eq!(names(store, &inner).await, expected, "LIST of {inner}");
    }
}

/// A LIST during writes and deletes of other clients shows every object that existed before it began and remains, and
/// nothing that was never written.
pub async fn lists_under_writes_show_all_that_was_there(store: &ObjectControlStore) {
    let prefix = fresh(store);
    let settled: BTreeSet<String> = (0..20).map(|n| format!("{prefix}s0/claim/{n}.0")).collect();
    for key in &settled {
        must("a create", store.put_if_absent(key, Bytes::from_static(b"x")).await);
    }
    let writer = {
        let (store, prefix) = (store.clone(), prefix.clone());
        tokio::spawn(async move {
            for turn in 0..60 {
                let hint = format!("{prefix}s0/claim/hint-{turn}");
                let record = format!("{prefix}s{turn}/m");
                must("a put", store.put(&hint, Bytes::from_static(b"x")).await);
                must("a create", store.put_if_absent(&record, Bytes::from_static(b"x")).await);
                must("a put", store.put(&hint, Bytes::from_static(b"y")).await);
                must("a delete", store.delete(&hint).await);
            }
        })
    };
    let mut rounds = 0;
    while rounds < 3 || !writer.is_finished() {
        let shown = names(store, &prefix).await;
        assert!(
            shown.is_superset(&settled),
            "LIST under writes leaves out {:?}",
            &settled - &shown
        );
        let foreign = shown
            .iter()
            .find(|key| !(settled.contains(*key) || key.contains("/hint-") || key.ends_with("/m")));
        assert_eq!(foreign, None, "LIST under writes shows what nobody wrote");
        rounds += 1;
    }
    must("the writer", writer.await);
}

fn must<T, E: std::fmt::Debug>(what: &str, outcome: Result<T, E>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => panic!("{what} failed: {error:?}"),
    }
}

fn fresh(store: &ObjectControlStore) -> String {
    format!("conformance/{}/", store.env().nonce())
}

fn claim(env: &Env) -> (String, Bytes) {
    let nonce = env.nonce();
    let record =
        Claim { v: RECORD_VERSION, nonce: nonce.clone(), worker: "conformance".to_owned() };
    (nonce, encode(&record))
}

fn with_env(store: &ObjectControlStore, env: Env) -> ObjectControlStore {
    ObjectControlStore::new(Arc::clone(store.object_store()), store.prefix().clone(), env)
}

fn faulty(store: &ObjectControlStore) -> (ObjectControlStore, Arc<FaultStore>) {
    let faults = FaultStore::new(Arc::clone(store.object_store()));
    let wrapped = Arc::clone(&faults) as Arc<dyn ObjectStore>;
    (store.through(|_| Arc::clone(&wrapped)), faults)
}

async fn read(store: &ObjectControlStore, key: &str) -> Option<Bytes> {
    must("a get", store.get(key).await).map(|got| got.body)
}

async fn names(store: &ObjectControlStore, prefix: &str) -> BTreeSet<String> {
    must("a list", store.list(prefix).await).into_iter().map(|entry| entry.key).collect()
}

async fn remove(store: &ObjectControlStore, keys: Vec<String>) {
    let deletes = keys.into_iter().map(|key| async move { store.delete(&key).await });
    let deletes = stream::iter(deletes).buffer_unordered(AT_ONCE);
    must("concurrent deletes", deletes.try_collect::<Vec<()>>().await);
}
