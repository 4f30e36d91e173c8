//! The stores of one machine keep the protocol's promises, the probe says so, and it refuses stores that
//! do not.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use common::{folder, memory};
use dunlin_manifest::env::Env;
use dunlin_manifest::probe::{ProbeOptions, Unfit, probe};
use dunlin_manifest::store::{ControlStore, ObjectControlStore};
use dunlin_sim::conformance;
use dunlin_sim::fault::FaultStore;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    conformance::run(memory(&Env::system())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_conforms() {
    let (store, _guard) = folder(&Env::system());
    conformance::run(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_finds_memory_and_folder_fit_and_leaves_nothing_behind() {
    let env = Env::system();
    let (folder, _guard) = folder(&env);
    for store in [memory(&env), folder] {
        let (probed, world) = (store.clone(), env.clone());
        let probing = async move { probe(&probed, &world, ProbeOptions::default()).await };
        let report = tokio::spawn(probing).await.unwrap().unwrap();
        assert_eq!((report.races, report.ways), (20, 32));
        assert!(store.list("probe/").await.unwrap().is_empty());
    }
}

/// A store that takes a conditional create for a plain put; or that looks first, and then puts.
#[derive(Debug)]
struct IgnoresConditions {
    inner: InMemory,
    looks_first: bool,
}

impl fmt::Display for IgnoresConditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IgnoresConditions({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for IgnoresConditions {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        if self.looks_first && opts.mode == PutMode::Create {
            if self.inner.head(location).await.is_ok() {
                let path = location.to_string();
                return Err(Error::AlreadyExists { path, source: "it is there".into() });
            }
            tokio::task::yield_now().await;
        }
        self.inner.put_opts(location, payload, PutOptions::default()).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn careless(env: &Env, looks_first: bool) -> ObjectControlStore {
    let inner = IgnoresConditions { inner: InMemory::new(), looks_first };
    ObjectControlStore::new(Arc::new(inner), Path::from("state"), env.clone())
}

#[tokio::test]
async fn the_probe_refuses_a_store_that_ignores_conditions() {
    let env = Env::system();
    let refused = probe(&careless(&env, false), &env, ProbeOptions::default()).await;
    assert!(matches!(refused, Err(Unfit::Overwrites)), "{refused:?}");
}

#[tokio::test]
async fn the_probe_refuses_a_store_on_which_racing_creates_all_win() {
    let env = Env::system();
    let store = careless(&env, true);
    let refused = probe(&store, &env, ProbeOptions::default()).await;
    assert!(matches!(refused, Err(Unfit::NotAtomic { winners: 2.., ways: 32 })), "{refused:?}");
    assert!(store.list("probe/").await.unwrap().is_empty());
}

#[tokio::test]
async fn the_probe_says_that_a_store_cannot_be_reached() {
    let env = Env::system();
    let faults = FaultStore::new(Arc::new(InMemory::new()));
    faults.unreachable(true);
    let store = memory(&env).through(|_| Arc::clone(&faults) as Arc<dyn ObjectStore>);
    let refused = probe(&store, &env, ProbeOptions::default()).await;
    assert!(matches!(refused, Err(Unfit::Store(_))), "{refused:?}");
}

/// The suite itself must be able to fail.
#[tokio::test]
async fn the_suite_refuses_a_store_that_ignores_conditions() {
    for looks_first in [false, true] {
        let store = careless(&Env::system(), looks_first);
        let outcome = tokio::spawn(conformance::run(store)).await;
        assert!(outcome.is_err_and(|error| error.is_panic()), "looks first: {looks_first}");
    }
}
