//! A store in memory that records its listings, gives them in pages, and counts how many come one after the other.
#![allow(clippy::unwrap_used)]

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use super::ranges::PAGE;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RecordedStore {
    inner: Arc<InMemory>,
    /// The objects in order, once one was listed.
    objects: Arc<Mutex<Option<Arc<Vec<ObjectMeta>>>>>,
    state: Arc<Mutex<State>>,
    is_upside_down: bool,
}

#[derive(Debug, Default)]
struct State {
    listed: Vec<String>,
    read: Vec<String>,
    pages: usize,
    /// Requests wait for the end of their round, if there are rounds.
    round: Option<usize>,
    waiting: Vec<Waker>,
}

impl RecordedStore {
    /// A store with empty-bodied objects of one byte.
    pub(super) async fn with(names: impl IntoIterator<Item = String>) -> Arc<Self> {
        let store = Self::default();
        for name in names {
            store.inner.put(&Path::parse(name).unwrap(), "x".into()).await.unwrap();
        }
        Arc::new(store)
    }

    /// The same store, which lists in the other order.
    pub(super) fn upside_down(self: Arc<Self>) -> Arc<Self> {
        let mut store = Arc::into_inner(self).unwrap();
        store.is_upside_down = true;
        Arc::new(store)
    }

    /// Adds an object.
    pub(super) async fn add(&self, name: &str, text: &str) {
        let path = Path::parse(name).unwrap();
        self.inner.put(&path, text.to_owned().into()).await.unwrap();
        *self.objects.lock() = None;
    }

    /// Removes an object.
    pub(super) async fn remove(&self, name: &str) {
        self.inner.delete(&Path::parse(name).unwrap()).await.unwrap();
        *self.objects.lock() = None;
    }

    /// The objects that were read since the last call, each once, in order of the alphabet.
    pub(super) fn read(&self) -> Vec<String> {
        let mut read = std::mem::take(&mut self.state.lock().read);
        read.sort_unstable();
        read.dedup();
        read
    }

    /// The requests for listings since the last call: `prefix` for all below a folder, `prefix/` for the folder alone,
    /// `prefix>name` for what comes after a name. In order of the alphabet.
    pub(super) fn listed(&self) -> Vec<String> {
        let mut listed = std::mem::take(&mut self.state.lock().listed);
        listed.sort_unstable();
        listed
    }

    /// Runs a listing. Returns what it finds, and its pages: how many come one after the other, and how many there are.
    pub(super) fn in_rounds<T>(&self, listing: impl Future<Output = T>) -> (T, usize, usize) {
        *self.state.lock() = State { round: Some(0), ..State::default() };
        let mut listing = pin!(listing);
        let found = loop {
            match listing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(found) => break found,
                Poll::Pending => {
                    let mut state = self.state.lock();
                    assert!(!state.waiting.is_empty(), "nothing is asked of the store");
                    state.round = state.round.map(|round| round + 1);
                    let waiting = std::mem::take(&mut state.waiting);
                    drop(state);
                    waiting.into_iter().for_each(Waker::wake);
                }
            }
        };
        let State { round, pages, .. } = std::mem::take(&mut *self.state.lock());
        (found, round.unwrap(), pages)
    }

    async fn request(state: &Mutex<State>) {
        let asked = {
            let mut state = state.lock();
            state.pages += 1;
            state.round
        };
        poll_fn(|context| {
            let mut state = state.lock();
            if state.round.is_none() || state.round > asked {
                return Poll::Ready(());
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The objects below a prefix that come after a name, in order.
    fn after(&self, prefix: &Path, name: &str) -> impl Iterator<Item = ObjectMeta> + use<> {
        let mut known = self.objects.lock();
        let all = known.get_or_insert_with(|| {
            let all = self.inner.list(None).try_collect::<Vec<_>>();
            let mut all = futures::executor::block_on(all).unwrap();
            all.sort_unstable_by(|a, b| a.location.cmp(&b.location));
            Arc::new(all)
        });
        let all = Arc::clone(all);
        let (prefix, from) =
            (prefix.clone(), all.partition_point(|object| object.location.as_ref() <= name));
        (from..all.len())
            .map(move |at| all[at].clone())
            .filter(move |object| object.location.prefix_matches(&prefix))
    }

    fn paged(&self, objects: Vec<ObjectMeta>) -> BoxStream<'static, Result<ObjectMeta>> {
        let state = Arc::clone(&self.state);
        let mut pages: Vec<Vec<ObjectMeta>> = objects.chunks(PAGE).map(<[_]>::to_vec).collect();
        if pages.is_empty() {
            pages.push(Vec::new());
        }
        stream::iter(pages)
            .then(move |page| {
                let state = Arc::clone(&state);
                async move {
                    Self::request(&state).await;
                    stream::iter(page.into_iter().map(Ok))
                }
            })
            .flatten()
            .boxed()
    }
}

impl fmt::Display for RecordedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordedStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for RecordedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !options.head {
            self.state.lock().read.push(location.to_string());
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        self.state.lock().listed.push(prefix.to_string());
        let mut objects: Vec<_> = self.after(&prefix, "").collect();
        if self.is_upside_down {
            objects.reverse();
        }
        self.paged(objects)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        self.state.lock().listed.push(format!("{prefix}>{offset}"));
        self.paged(self.after(&prefix, offset.as_ref()).collect())
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let name = prefix.cloned().unwrap_or_default();
        self.state.lock().listed.push(format!("{name}/"));
        let found = self.inner.list_with_delimiter(prefix).await?;
        for _ in 0..(found.objects.len() + found.common_prefixes.len()).div_ceil(PAGE).max(1) {
            Self::request(&self.state).await;
        }
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
