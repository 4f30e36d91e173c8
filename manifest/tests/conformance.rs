//! The stores of one machine keep the protocol's promises, and queries live their whole life on them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use dunlin_manifest::conformance;
use dunlin_manifest::env::Env;
use dunlin_manifest::store::ObjectControlStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use tempfile::TempDir;

/// A state in memory, below a prefix.
fn memory(env: &Env) -> ObjectControlStore {
    ObjectControlStore::new(Arc::new(InMemory::new()), Path::from("team/state"), env.clone())
}

/// A state in a folder of its own, which goes when the guard does.
fn folder(env: &Env) -> (ObjectControlStore, TempDir) {
    let guard = TempDir::new().unwrap();
    let inner = LocalFileSystem::new_with_prefix(guard.path()).unwrap();
    (ObjectControlStore::new(Arc::new(inner), Path::default(), env.clone()), guard)
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    conformance::run(memory(&Env::system())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_conforms() {
    let (store, _guard) = folder(&Env::system());
    conformance::run(store).await;
}
