//! A write is committed or cancelled, and never both; and its files are what its rows were.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dunlin_manifest::env::Env;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::commit::{self, CommitRecord, State, WrittenFile};
use super::commit::{cancel, committed, leftovers};
use super::{CommitName, folder_of, query_of};

const ONE: &str = "0190a000-0000-7000-8000-000000000001";
const OTHER: &str = "0190a000-0000-7000-8000-000000000002";

fn store() -> (Arc<dyn ObjectStore>, Path, Env) {
    (Arc::new(InMemory::new()), Path::from("a/b"), Env::system())
}

fn record(env: &Env, query: &str, path: &str) -> CommitRecord {
    let file = WrittenFile { path: path.to_owned(), rows: 1, bytes: 2 };
    CommitRecord::committed(query, env, vec![file])
}

#[tokio::test]
async fn what_is_cancelled_first_is_never_committed() {
    let (store, folder, env) = store();
    let at = (&folder, &CommitName::OfQuery);
    let cancelled = cancel(&store, &env, at, ONE).await.unwrap();
    assert_eq!(cancelled, State::Cancelled);
    let refused = commit::commit(Arc::clone(&store), &env, at, record(&env, ONE, "x")).await;
    assert!(refused.unwrap_err().to_string().contains("was cancelled"));
    assert!(store.head(&folder.clone().join("_SUCCESS")).await.is_err());
}

#[tokio::test]
async fn what_is_committed_first_is_not_cancelled_and_not_committed_otherwise() {
    let (store, folder, env) = store();
    let at = (&folder, &CommitName::First(0));
    let first = commit::commit(Arc::clone(&store), &env, at, record(&env, ONE, "x")).await.unwrap();
    // Another attempt of the same task has other files, and takes those that count.
    let again = commit::commit(Arc::clone(&store), &env, at, record(&env, ONE, "y")).await.unwrap();
    assert_eq!((&first, again.files[0].path.as_str()), (&again, "x"));
    assert_eq!(cancel(&store, &env, at, ONE).await.unwrap(), State::Committed);
    // Another query finds the name taken, and cancelling it changes nothing.
    let other = commit::commit(Arc::clone(&store), &env, at, record(&env, OTHER, "z")).await;
    assert!(other.unwrap_err().to_string().contains("by another query"));
    assert_eq!(cancel(&store, &env, at, OTHER).await.unwrap(), State::Cancelled);
    assert_eq!(committed(&store, &env, at, ONE).await.unwrap(), Some(first));
    assert_eq!(committed(&store, &env, at, OTHER).await.unwrap(), None);
    assert!(store.head(&folder.clone().join("_SUCCESS")).await.is_ok());
}

#[tokio::test]
async fn a_query_that_is_cancelled_keeps_no_other_from_beginning_the_folder() {
    let (store, folder, env) = store();
    let at = (&folder, &CommitName::First(0));
    assert_eq!(cancel(&store, &env, at, ONE).await.unwrap(), State::Cancelled);
    let made =
        commit::commit(Arc::clone(&store), &env, at, record(&env, OTHER, "x")).await.unwrap();
    assert_eq!(committed(&store, &env, at, OTHER).await.unwrap(), Some(made));
    // Whoever is cancelled stays so, and whoever is committed stays so.
    let again = commit::commit(Arc::clone(&store), &env, at, record(&env, ONE, "y")).await;
    assert!(again.unwrap_err().to_string().contains("was cancelled"));
    assert_eq!(cancel(&store, &env, at, OTHER).await.unwrap(), State::Committed);
}

#[tokio::test]
async fn files_of_attempts_that_lost_are_deleted_and_no_others() {
    let (store, folder, env) = store();
    let name = |query: &str, attempt: &str| commit::file_name(query, 1, attempt, 0, "parquet");
    let (won, lost, other) = (name(ONE, "0-0-0-a"), name(ONE, "0-0-1-b"), name(OTHER, "0-0-0-c"));
    for file in [&won, &lost, &other, &"plain.parquet".to_owned()] {
        store.put(&folder.clone().join("k=1").join(file.as_str()), "x".into()).await.unwrap();
    }
    assert_eq!(query_of(&won).unwrap().as_str(), ONE);
    assert_eq!(folder_of(&folder.clone().join("k=1").join(won.as_str())).unwrap(), folder);
    assert!(query_of("plain.parquet").is_none());
    let record = record(&env, ONE, &format!("k=1/{won}"));
    assert_eq!(leftovers(&store, &folder, ONE, Some(&record)).await.unwrap(), 1);
    assert!(store.head(&folder.clone().join("k=1").join(won.as_str())).await.is_ok());
    assert_eq!(leftovers(&store, &folder, ONE, None).await.unwrap(), 1);
    assert!(store.head(&folder.clone().join("k=1").join(other.as_str())).await.is_ok());
}
