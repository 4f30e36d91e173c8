//! Queries live their whole life in memory and in a folder: submitted, claimed, committed, sealed, ended —
//! by workers that compute nothing.
//!
//! Longer than most because all lives run over the same stores, by one list.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{
    claim, commit, drive, ended, fail, fence, folder, handle, memory, one_task, open, stage,
    stored_end, submission, submitted, three_stages, with_env,
};
use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys::{self, Key};
use dunlin_manifest::model::encoding::digest;
use dunlin_manifest::query::{self, Blocks, PATIENCE, QueryHandle};
use dunlin_manifest::records::{EndStatus, EngineFence, ErrorCode, FailClass, InputMode};
use dunlin_manifest::store::create::Decision;
use dunlin_manifest::store::{ControlStore, ObjectControlStore};
use dunlin_manifest::submit::{SubmitError, find, submit};
use dunlin_sim::fault::{Fault, FaultStore, Keys, ManualClock};
use futures::future::join_all;
use object_store::ObjectStore;

/// Runs each body in memory and in a folder.
macro_rules! lives {
    ($($body:ident,)+) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::memory(&super::Env::system())).await;
            })+
        }
        mod in_a_folder {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                let (store, _guard) = super::folder(&super::Env::system());
                super::$body(store).await;
            })+
        }
    };
}

lives! {
    a_query_runs_from_submit_to_end,
    what_one_process_wrote_another_adopts,
    many_processes_at_once_come_to_one_end,
    slots_of_one_process_share_what_they_know,
    a_sealed_query_succeeds_once,
    the_first_end_wins,
    a_fatal_failure_fails_the_query,
    a_failure_beside_a_commit_is_nothing,
    four_failures_fail_the_query,
    a_task_that_was_given_back_is_open_again,
    a_dead_claim_is_followed_after_the_lease,
    a_task_whose_workers_all_die_fails_the_query,
    a_query_past_its_time_to_live_fails,
    a_repeated_submit_finds_the_first_one_s_query,
    many_submits_of_one_request_at_once_make_one_query,
    an_announced_query_that_was_never_written_is_taken_up_again,
    a_submit_that_was_cancelled_before_its_root_is_retired,
    a_wide_stage_is_sealed_by_groups,
    a_query_ends_though_every_response_is_lost,
    foreign_bytes_under_a_derived_key_fail_the_query,
    a_seal_that_nobody_can_read_fails_the_query,
    a_process_of_another_build_derives_nothing,
}

const FIRST: OpenTask = OpenTask { stage: 0, task: 0, attempt: 0 };

async fn a_query_runs_from_submit_to_end(store: ObjectControlStore) {
    let query = submitted(&store, three_stages()).await;
    assert_eq!(query::active(&store).await.unwrap(), vec![query.clone()]);
    let worker = handle(&store, &query).await;
    assert_eq!(&worker.plan(&worker.root.stages[0].plan).await.unwrap()[..6], b"a plan");
    assert_eq!(worker.ended().await.unwrap(), None);
    let end = drive(&worker).await;
    assert_eq!(end.status, EndStatus::Succeeded);
    let summary = end.summary.unwrap();
    // Three scans, two joins of two partitions, one answer.
    let joins = &worker.manifest(1).await.unwrap().unwrap().manifest;
    let dealt: BTreeSet<u32> =
        joins.tasks.iter().flat_map(|task| task.partitions.clone()).collect();
    assert_eq!(dealt, BTreeSet::from([0, 1, 2, 3]));
    let tasks = 3 + joins.tasks.len() as u64 + 1;
    assert_eq!((summary.stages, summary.tasks, summary.attempts), (3, tasks, tasks));
    assert_eq!((summary.rows, summary.shuffle_bytes), (2, 30 + 40));
    assert_eq!(summary.bytes_scanned, 100 * tasks);
    let answer = worker.seal(2).await.unwrap().unwrap();
    assert_eq!(end.seal.as_ref(), Some(&digest(answer.seal.as_ref())));
    assert_eq!(joins.seals, [digest(worker.seal(0).await.unwrap().unwrap().seal.as_ref())]);
    // Who may delete nothing leaves the hint to who may.
    assert_eq!(query::active(&store).await.unwrap(), std::slice::from_ref(&query));

    let stranger = handle(&store, &query).await;
    assert_eq!(stranger.ended().await.unwrap(), Some(Arc::clone(&end)));
    stranger.look(true).await.unwrap();
    let progress = stranger.progress();
    assert_eq!((progress.stages, progress.stages_done), (3, 3));
    assert_eq!((progress.tasks, progress.tasks_done), (tasks, tasks));
}

async fn what_one_process_wrote_another_adopts(store: ObjectControlStore) {
    let query = submitted(&store, three_stages()).await;
    let (one, two) = (handle(&store, &query).await, handle(&store, &query).await);
    for task in open(&one).await {
        let nonce = claim(&one, task).await.unwrap();
        assert_eq!(claim(&two, task).await, None, "a claimed attempt was claimed again");
        assert_eq!(commit(&one, task, &nonce).await, Decision::Won);
    }
    one.look(false).await.unwrap();
    two.look(false).await.unwrap();
    assert_eq!(one.view().stages, two.view().stages);
    let first = one.advance().await.unwrap();
    let second = two.advance().await.unwrap();
    assert!(first.moved && !second.moved);
    assert_eq!(first.open, second.open);
    assert_eq!(one.seal(0).await.unwrap(), two.seal(0).await.unwrap());
    assert_eq!(one.manifest(1).await.unwrap(), two.manifest(1).await.unwrap());
}

async fn many_processes_at_once_come_to_one_end(store: ObjectControlStore) {
    let query = submitted(&store, three_stages()).await;
    let workers = (0..6).map(|_| {
        let (store, query) = (store.clone(), query.clone());
        tokio::spawn(async move { drive(&handle(&store, &query).await).await })
    });
    let ends: Vec<_> = join_all(workers).await.into_iter().map(Result::unwrap).collect();
    let stored = stored_end(&store, &query).await.unwrap();
    assert_eq!(stored.status, EndStatus::Succeeded);
    assert!(ends.iter().all(|end| **end == stored));
    let listed = store.list("g/").await.unwrap();
    let count = |wanted: fn(&Key) -> bool| {
        let keys = listed.iter().filter_map(|entry| keys::parse(&entry.key));
        keys.filter(|(of, key)| *of == query && wanted(key)).count() as u64
    };
    let summary = stored.summary.unwrap();
    assert_eq!(count(|key| matches!(key, Key::Commit(..))), summary.tasks);
    let claims = count(|key| matches!(key, Key::Claim(..)));
    assert_eq!(claims, summary.tasks, "a living claim was followed by another");
}

async fn slots_of_one_process_share_what_they_know(store: ObjectControlStore) {
    for _ in 0..20 {
        let query = submitted(&store, three_stages()).await;
        let shared = Arc::new(handle(&store, &query).await);
        let slots = (0..8).map(|slot| {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                // Every other slot only looks, as a watcher does.
                while slot % 2 == 1 && shared.known_end().is_none() {
                    shared.look(slot == 3).await.unwrap();
                    shared.advance_patiently(PATIENCE).await.unwrap();
                    shared.go_on().await.unwrap();
                }
                drive(&shared).await
            })
        });
        let ends: Vec<_> = join_all(slots).await.into_iter().map(Result::unwrap).collect();
        assert!(ends.iter().all(|end| end.status == EndStatus::Succeeded), "{ends:?}");
    }
}

/// A query whose only task is committed and whose seal is due.
async fn ripe(store: &ObjectControlStore) -> QueryId {
    let query = submitted(store, one_task()).await;
    let worker = handle(store, &query).await;
    assert_eq!(open(&worker).await, vec![FIRST]);
    let nonce = claim(&worker, FIRST).await.unwrap();
    assert_eq!(commit(&worker, FIRST, &nonce).await, Decision::Won);
    query
}

async fn a_sealed_query_succeeds_once(store: ObjectControlStore) {
    let query = ripe(&store).await;
    let sealers = (0..8).map(|_| {
        let (store, query) = (store.clone(), query.clone());
        tokio::spawn(async move { ended(&handle(&store, &query).await).await })
    });
    let ends: Vec<_> = join_all(sealers).await.into_iter().map(Result::unwrap).collect();
    let stored = stored_end(&store, &query).await.unwrap();
    assert_eq!(stored.status, EndStatus::Succeeded);
    assert!(ends.iter().all(|end| **end == stored), "a sealed query ended more than once");
}

async fn the_first_end_wins(store: ObjectControlStore) {
    let query = ripe(&store).await;
    let cancelled = handle(&store, &query).await.cancel().await.unwrap();
    assert_eq!(cancelled.status, EndStatus::Cancelled);
    assert_eq!(ended(&handle(&store, &query).await).await, cancelled);

    let query = ripe(&store).await;
    let succeeded = ended(&handle(&store, &query).await).await;
    assert_eq!(succeeded.status, EndStatus::Succeeded);
    assert_eq!(handle(&store, &query).await.cancel().await.unwrap(), succeeded);

    for _ in 0..10 {
        let query = ripe(&store).await;
        let racers = (0..8).map(|racer| {
            let (store, query) = (store.clone(), query.clone());
            tokio::spawn(async move {
                let handle = handle(&store, &query).await;
                if racer % 2 == 0 { handle.cancel().await.unwrap() } else { ended(&handle).await }
            })
        });
        let ends: Vec<_> = join_all(racers).await.into_iter().map(Result::unwrap).collect();
        let stored = stored_end(&store, &query).await.unwrap();
        assert!(ends.iter().all(|end| **end == stored), "two ends of one query: {ends:?}");
    }
}

async fn a_fatal_failure_fails_the_query(store: ObjectControlStore) {
    let query = submitted(&store, three_stages()).await;
    let worker = handle(&store, &query).await;
    claim(&worker, FIRST).await.unwrap();
    fail(&worker, FIRST, FailClass::Fatal).await;
    let end = ended(&handle(&store, &query).await).await;
    let error = end.error.clone().unwrap();
    assert_eq!((end.status, error.retryable), (EndStatus::Failed, false));
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("EXECUTION_FAILED", "attempt 0 broke")
    );
    assert_eq!(query::active(&store).await.unwrap(), [query]);
}

async fn a_failure_beside_a_commit_is_nothing(store: ObjectControlStore) {
    let query = submitted(&store, one_task()).await;
    let worker = handle(&store, &query).await;
    let nonce = claim(&worker, FIRST).await.unwrap();
    fail(&worker, FIRST, FailClass::Fatal).await;
    // The failure is seen, and then another attempt commits.
    worker.look(false).await.unwrap();
    assert_eq!(commit(&worker, FIRST, &nonce).await, Decision::Won);
    assert_eq!(worker.advance().await.unwrap().ended, None);
    assert_eq!(ended(&worker).await.status, EndStatus::Succeeded);
}

async fn four_failures_fail_the_query(store: ObjectControlStore) {
    let query = submitted(&store, one_task()).await;
    let worker = handle(&store, &query).await;
    for attempt in 0..4 {
        let task = OpenTask { attempt, ..FIRST };
        assert_eq!(open(&worker).await, vec![task]);
        claim(&worker, task).await.unwrap();
        fail(&worker, task, FailClass::Retry).await;
    }
    let end = ended(&worker).await;
    let error = end.error.clone().unwrap();
    assert_eq!((end.status, error.retryable), (EndStatus::Failed, true));
    assert_eq!(error.message, "attempt 3 broke (after 4 attempts)");
}

async fn a_task_that_was_given_back_is_open_again(store: ObjectControlStore) {
    let query = submitted(&store, one_task()).await;
    let worker = handle(&store, &query).await;
    // More often than failures, or lost claims, would be borne.
    let times = worker.root.limits.max_claims + worker.root.limits.max_failures;
    for attempt in 0..times {
        let task = OpenTask { attempt, ..FIRST };
        assert_eq!(open(&worker).await, vec![task]);
        claim(&worker, task).await.unwrap();
        assert!(open(&worker).await.is_empty());
        fail(&worker, task, FailClass::GiveBack).await;
    }
    assert_eq!(drive(&worker).await.status, EndStatus::Succeeded);
}

async fn a_dead_claim_is_followed_after_the_lease(store: ObjectControlStore) {
    let query = submitted(&store, one_task()).await;
    let (clock, env) = ManualClock::env();
    let store = with_env(&store, env);
    let dead = handle(&store, &query).await;
    let late = claim(&dead, FIRST).await.unwrap();
    let observer = handle(&store, &query).await;
    let lease = Duration::from_millis(observer.root.limits.lease_ms);
    let tick = Duration::from_millis(1);
    assert!(open(&observer).await.is_empty());
    clock.advance(lease - tick);
    // The only sign of life.
    let beat = keys::hb(&query, 0, 0, 0);
    store.put(&beat, Bytes::from_static(b"1")).await.unwrap();
    assert!(open(&observer).await.is_empty());
    clock.advance(lease - tick);
    assert!(open(&observer).await.is_empty());
    clock.advance(tick);
    let next = OpenTask { attempt: 1, ..FIRST };
    assert_eq!(open(&observer).await, vec![next]);
    // Who has just come cannot know that it is silent.
    assert!(open(&handle(&store, &query).await).await.is_empty());

    let nonce = claim(&observer, next).await.unwrap();
    assert!(open(&observer).await.is_empty());
    assert_eq!(commit(&observer, next, &nonce).await, Decision::Won);
    // The dead one was only slow.
    assert!(matches!(commit(&dead, FIRST, &late).await, Decision::Lost(_)));
    let end = ended(&observer).await;
    assert_eq!((end.status, end.summary.unwrap().attempts), (EndStatus::Succeeded, 2));
    assert_eq!(observer.seal(0).await.unwrap().unwrap().seal.tasks[0].claim, nonce);
}

async fn a_task_whose_workers_all_die_fails_the_query(store: ObjectControlStore) {
    let query = submitted(&store, one_task()).await;
    let (clock, env) = ManualClock::env();
    let store = with_env(&store, env);
    let worker = handle(&store, &query).await;
    for attempt in 0..worker.root.limits.max_claims {
        let task = OpenTask { attempt, ..FIRST };
        assert_eq!(open(&worker).await, vec![task]);
        claim(&worker, task).await.unwrap();
        assert!(open(&worker).await.is_empty());
        // Patience doubles with every claim that was lost, up to 32 leases.
        clock.advance(Duration::from_millis(worker.root.limits.lease_ms << attempt.min(5)));
    }
    let end = ended(&worker).await;
    assert_eq!(end.status, EndStatus::Failed);
    assert_eq!(end.error.clone().unwrap().code, ErrorCode::WorkerLost);
}

async fn a_query_past_its_time_to_live_fails(store: ObjectControlStore) {
    let query = submitted(&store, one_task()).await;
    let (clock, env) = ManualClock::env();
    let store = with_env(&store, env);
    let sweeper = handle(&store, &query).await;
    assert_eq!(open(&sweeper).await, vec![FIRST]);
    clock.advance(Duration::from_millis(sweeper.root.limits.ttl_ms));
    assert_eq!(open(&sweeper).await, vec![FIRST]);
    clock.advance(Duration::from_millis(1));
    assert_eq!(ended(&sweeper).await.error.clone().unwrap().code, ErrorCode::Timeout);
}

async fn a_repeated_submit_finds_the_first_one_s_query(store: ObjectControlStore) {
    let idem = |request: &str| Some(("key".to_owned(), request.to_owned()));
    assert_eq!(find(&store, "key", "request").await.unwrap(), None);
    let mut first = submission(store.env(), one_task());
    first.idem = idem("request");
    let query = first.query.clone();
    assert!(!submit(&store, first).await.unwrap().replayed);
    for _ in 0..2 {
        let mut again = submission(store.env(), three_stages());
        again.idem = idem("request");
        let again = submit(&store, again).await.unwrap();
        assert_eq!((&again.query, again.replayed), (&query, true));
        assert_eq!(find(&store, "key", "request").await.unwrap(), Some(query.clone()));
        assert_eq!(query::active(&store).await.unwrap(), vec![query.clone()]);
        // It stands for that query also when it is over.
        handle(&store, &query).await.cancel().await.unwrap();
        store.put(&keys::active(&query), Bytes::new()).await.unwrap();
    }
    let mut other = submission(store.env(), one_task());
    other.idem = idem("another request");
    for outcome in [
        submit(&store, other).await.map(|_| ()),
        find(&store, "key", "another request").await.map(|_| ()),
    ] {
        match outcome {
            Err(SubmitError::IdemMismatch { query: theirs }) => assert_eq!(theirs, query),
            other => panic!("another request under the same key gave {other:?}"),
        }
    }
    let ids = query::active(&store).await.unwrap();
    assert_eq!(ids, vec![query], "a refused submit left a trace");
}

async fn many_submits_of_one_request_at_once_make_one_query(store: ObjectControlStore) {
    let submits = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut mine = submission(store.env(), three_stages());
            mine.idem = Some(("key".to_owned(), "request".to_owned()));
            loop {
                match submit(&store, mine.clone()).await {
                    // Announced by another, whose root is not there yet.
                    Err(SubmitError::Orphaned { query }) => {
                        mine.root.query = query.to_string();
                        mine.query = query;
                    }
                    outcome => return outcome.unwrap(),
                }
            }
        })
    });
    let done: Vec<_> = join_all(submits).await.into_iter().map(Result::unwrap).collect();
    assert!(done.iter().all(|one| one.query == done[0].query), "{done:?}");
    assert_eq!(done.iter().filter(|one| !one.replayed).count(), 1, "{done:?}");
    let query = &done[0].query;
    assert_eq!(query::active(&store).await.unwrap(), vec![query.clone()]);
    assert_eq!(drive(&handle(&store, query).await).await.status, EndStatus::Succeeded);
}

async fn an_announced_query_that_was_never_written_is_taken_up_again(store: ObjectControlStore) {
    let faults = FaultStore::new(Arc::clone(store.object_store()));
    let (_, env) = ManualClock::env();
    let broken = with_env(&store, env).through(|_| Arc::clone(&faults) as Arc<dyn ObjectStore>);
    faults.script(Keys::EndingWith("/root".to_owned()), Fault::FailBefore, usize::MAX);
    let mut first = submission(store.env(), one_task());
    first.idem = Some(("key".to_owned(), "request".to_owned()));
    let died = submit(&broken, first.clone()).await;
    assert!(matches!(died, Err(SubmitError::Create(_))), "{died:?}");
    let announced = match find(&store, "key", "request").await {
        Err(SubmitError::Orphaned { query }) => query,
        other => panic!("an announced query without root gave {other:?}"),
    };
    assert_eq!(announced, first.query);
    let mut second = submission(store.env(), one_task());
    second.idem = first.idem.clone();
    let other_id = submit(&store, second.clone()).await;
    assert!(matches!(other_id, Err(SubmitError::Orphaned { query }) if query == announced));
    second.root.query = announced.to_string();
    second.query = announced.clone();
    let done = submit(&store, second).await.unwrap();
    assert_eq!((done.query, done.replayed), (announced.clone(), false));
    assert_eq!(drive(&handle(&store, &announced).await).await.status, EndStatus::Succeeded);
}

async fn a_submit_that_was_cancelled_before_its_root_is_retired(store: ObjectControlStore) {
    let submission = submission(store.env(), one_task());
    let query = submission.query.clone();
    let root = Arc::new(submission.root.clone());
    let early = QueryHandle::with_root(store.clone(), &query, root, &fence());
    let end = early.cancel().await.unwrap();
    submit(&store, submission).await.unwrap();
    let worker = handle(&store, &query).await;
    assert_eq!(worker.ended().await.unwrap(), Some(end));
    assert!(query::active(&store).await.unwrap().is_empty());
}

async fn a_wide_stage_is_sealed_by_groups(store: ObjectControlStore) {
    let stages = vec![stage(0, 130, &[]), stage(1, 1, &[(0, InputMode::Whole)])];
    let query = submitted(&store, stages).await;
    let worker = handle(&store, &query).await;
    let tasks = open(&worker).await;
    assert_eq!(tasks.len(), 130);
    // The last task first: group 2 has two tasks, and is full before the others.
    for (done, &task) in tasks.iter().rev().enumerate() {
        let nonce = claim(&worker, task).await.unwrap();
        assert_eq!(commit(&worker, task, &nonce).await, Decision::Won);
        if done == 1 {
            open(&worker).await;
            assert_eq!(worker.view().stages[&0].groups, BTreeSet::from([2]));
        }
        if done == 65 {
            open(&handle(&store, &query).await).await;
        }
    }
    assert_eq!(worker.seal(0).await.unwrap(), None);
    assert_eq!(drive(&worker).await.status, EndStatus::Succeeded);
    assert_eq!(worker.view().stages[&0].groups, BTreeSet::from([0, 1, 2]));
    assert!(worker.view().stages[&1].groups.is_empty());
    let seal = handle(&store, &query).await.seal(0).await.unwrap().unwrap().seal;
    assert!(seal.tasks.is_empty());
    // The blocks joined, and the blocks of the groups.
    let mut by_groups = seal.as_ref().clone();
    assert!(by_groups.blocks.as_mut().unwrap().all.take().is_some());
    for seal in [&seal, &Arc::new(by_groups)] {
        let blocks = Blocks::of(&store, &query, seal).unwrap();
        let winners = blocks.winners().await.unwrap();
        assert!(winners.iter().map(|task| task.task).eq(0..130));
        // Each task has written the bucket of its number.
        let slices = blocks.slices(&[0, 77, 200]).await.unwrap();
        let found = slices.iter().map(|(bucket, of)| (*bucket, of.len(), of[0].0));
        assert_eq!(found.collect::<Vec<_>>(), [(0, 1, 0), (77, 1, 77)]);
    }
    assert_eq!((seal.rows, seal.bytes), (130, 1300));
    assert!(seal.buckets().iter().map(|bucket| bucket.slices).eq([1; 130]));
    assert_eq!(seal.totals().tasks, 130);
}

async fn a_query_ends_though_every_response_is_lost(store: ObjectControlStore) {
    let faults = FaultStore::new(Arc::clone(store.object_store()));
    for keys in ["/root", "/seal"] {
        faults.script(Keys::EndingWith(keys.to_owned()), Fault::FailAfter, usize::MAX);
    }
    for keys in ["/k/", "/c/", "end/"] {
        faults.script(Keys::Containing(keys.to_owned()), Fault::FailAfter, usize::MAX);
    }
    let lossy = store.through(|_| Arc::clone(&faults) as Arc<dyn ObjectStore>);
    let query = submitted(&lossy, three_stages()).await;
    let end = drive(&handle(&lossy, &query).await).await;
    assert_eq!(end.status, EndStatus::Succeeded);
    assert_eq!(stored_end(&store, &query).await.as_ref(), Some(end.as_ref()));
    let summary = end.summary.unwrap();
    // Each record was sent once: root, end, seals, claims and commits.
    assert_eq!(faults.struck() as u64, 2 + summary.stages + 2 * summary.tasks);
}

async fn a_process_of_another_build_derives_nothing(store: ObjectControlStore) {
    let query =
        submitted(&store, vec![stage(0, 2, &[]), stage(1, 1, &[(0, InputMode::Whole)])]).await;
    let worker = handle(&store, &query).await;
    for task in open(&worker).await {
        let nonce = claim(&worker, task).await.unwrap();
        commit(&worker, task, &nonce).await;
    }
    let other = EngineFence { build: "another".to_owned(), ..worker.root.engine.clone() };
    let foreign = QueryHandle::open(store.clone(), &query, &other).await.unwrap().unwrap();
    foreign.look(true).await.unwrap();
    let advanced = foreign.advance().await.unwrap();
    assert!(advanced.ended.is_none() && advanced.open.is_empty() && !advanced.moved);
    // All commits of stage 0 are there. This build's decisions may differ from those that they were made with.
    assert!(foreign.known_manifest(0).is_none());
    assert_eq!(foreign.manifest(1).await.unwrap(), None);
    assert!(store.get(&keys::seal(&query, 0)).await.unwrap().is_none());
    assert_eq!(drive(&worker).await.status, EndStatus::Succeeded);
}

async fn foreign_bytes_under_a_derived_key_fail_the_query(store: ObjectControlStore) {
    let query = ripe(&store).await;
    let foreign = Bytes::from_static(b"{\"v\":1}");
    let worker = handle(&store, &query).await;
    // The look comes before the foreign object.
    worker.look(false).await.unwrap();
    store.put_if_absent(&keys::seal(&query, 0), foreign).await.unwrap();
    let end = worker.advance().await.unwrap().ended.unwrap();
    assert_eq!(end.status, EndStatus::Failed);
    assert_eq!(end.error.clone().unwrap().code, ErrorCode::Internal);
}

async fn a_seal_that_nobody_can_read_fails_the_query(store: ObjectControlStore) {
    let query = ripe(&store).await;
    let foreign = Bytes::from_static(b"{\"v\":1}");
    store.put_if_absent(&keys::seal(&query, 0), foreign).await.unwrap();
    // This process has not computed the seal, so it reads it.
    let worker = handle(&store, &query).await;
    worker.look(false).await.unwrap();
    let end = worker.known_end().unwrap();
    assert_eq!(end.status, EndStatus::Failed);
    assert_eq!(end.error.clone().unwrap().code, ErrorCode::Internal);
}
