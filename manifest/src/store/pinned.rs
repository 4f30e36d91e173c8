//! Reading each input in one version only.
//!
//! A query is planned over the versions that its files had at that moment. Every later read names that version
//! (`If-Match`). If a file changed, the query fails. It never mixes versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;

use crate::model::records::Pin;
use crate::store::meter::ranges_by_get_opts;

/// An input is not in the version that the query was planned with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("input {path} changed since the query was planned")]
pub struct InputChanged {
    /// Path of the input in its store.
    pub path: String,
}

/// True if `error` or one of its causes is [`InputChanged`].
#[must_use]
pub fn is_input_changed(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<InputChanged>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Remembers that an input has changed or could not be read. Readers between the store and the code that judges the
/// failure may turn errors into text, so the cause is kept here.
#[derive(Clone, Debug, Default)]
pub struct InputWatch {
    changed: Arc<OnceLock<InputChanged>>,
    trouble: Arc<OnceLock<String>>,
    read: Arc<Mutex<BTreeSet<String>>>,
}

/// The most inputs whose names are kept.
const MOST_READ: usize = 1_000;

impl InputWatch {
    /// The first request that failed for another reason, which is a problem of the store and not of the query.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }

    /// The inputs that were read so far, in order of their names; not all of very many.
    #[must_use]
    pub fn read(&self) -> Vec<String> {
        self.read.lock().iter().cloned().collect()
    }

    fn reads(&self, path: &Path) {
        let mut read = self.read.lock();
        if read.len() < MOST_READ && !read.contains(path.as_ref()) {
            read.insert(path.to_string());
        }
    }

    /// The first input that was found changed.
    #[must_use]
    pub fn changed(&self) -> Option<&InputChanged> {
        self.changed.get()
    }
}

#[derive(Clone, Debug)]
struct Version {
    size: u64,
    e_tag: Option<String>,
}

/// A read-only view of a store: the pinned files in their pinned versions, and nothing else.
#[derive(Debug)]
pub struct PinnedStore {
    inner: Arc<dyn ObjectStore>,
    pins: Arc<BTreeMap<Path, Version>>,
    watch: InputWatch,
}

impl PinnedStore {
    /// Only `pins` can be read from `inner`. Changed files are recorded in `watch`.
    #[must_use]
    pub fn new<'a>(
        inner: Arc<dyn ObjectStore>,
        pins: impl IntoIterator<Item = &'a Pin>,
        watch: InputWatch,
    ) -> Self {
        let pins = pins
            .into_iter()
            .map(|pin| {
                let path = Path::parse(&pin.path).unwrap_or_else(|_| Path::from(pin.path.as_str()));
                (path, Version { size: pin.size, e_tag: pin.e_tag.clone() })
            })
            .collect();
        Self { inner, pins: Arc::new(pins), watch }
    }

    fn changed(&self, path: &Path) -> object_store::Error {
        let changed = InputChanged { path: path.to_string() };
        self.watch.changed.get_or_init(|| changed.clone());
        object_store::Error::Precondition { path: path.to_string(), source: Box::new(changed) }
    }

    fn read_only(operation: &str) -> object_store::Error {
        object_store::Error::NotImplemented {
            operation: operation.to_owned(),
            implementer: "PinnedStore".to_owned(),
        }
    }
}

impl fmt::Display for PinnedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pinned({})", self.inner)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for PinnedStore {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(Self::read_only("put"))
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Self::read_only("put_multipart"))
    }

    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        let Some(pin) = self.pins.get(location) else {
            return Err(object_store::Error::PermissionDenied {
                path: location.to_string(),
                source: "the query was not planned over this file".into(),
            });
        };
        self.watch.reads(location);
        if let Some(e_tag) = &pin.e_tag {
            options.if_match = Some(e_tag.clone());
        }
        match self.inner.get_opts(location, options).await {
            Ok(result) if result.meta.size != pin.size => Err(self.changed(location)),
            Ok(result) => Ok(result),
            Err(
                object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. },
            ) => Err(self.changed(location)),
            Err(error) => {
                self.watch.trouble.get_or_init(|| error.to_string());
                Err(error)
            }
        }
    }

    // The inner store's own `get_ranges` takes no options, so it could read another version.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        ranges_by_get_opts(self, location, ranges).await
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        futures::stream::once(async { Err(Self::read_only("delete")) }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::once(async { Err(Self::read_only("list")) }).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        _: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list(prefix)
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(Self::read_only("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Self::read_only("copy"))
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(Self::read_only("rename"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    async fn pinned() -> (Arc<InMemory>, PinnedStore, Path) {
        let inner = Arc::new(InMemory::new());
        let path = Path::from("t/a.parquet");
        inner.put(&path, "first".into()).await.unwrap();
        let meta = inner.head(&path).await.unwrap();
        let pin = Pin {
            store: "memory:///".to_owned(),
            path: path.to_string(),
            size: meta.size,
            e_tag: meta.e_tag,
        };
        let watch = InputWatch::default();
        let store = PinnedStore::new(Arc::clone(&inner) as Arc<dyn ObjectStore>, [&pin], watch);
        (inner, store, path)
    }

    #[tokio::test]
    async fn a_changed_input_fails_on_every_read_path() {
        let (inner, store, path) = pinned().await;
        assert_eq!(store.get_range(&path, 0..2).await.unwrap(), "fi");
        inner.put(&path, "other".into()).await.unwrap();
        let whole = store.get(&path).await.map(|_| ()).unwrap_err();
        let range = store.get_range(&path, 0..2).await.map(|_| ()).unwrap_err();
        let ranges = store.get_ranges(&path, &[0..1, 2..3]).await.map(|_| ()).unwrap_err();
        let head = store.head(&path).await.map(|_| ()).unwrap_err();
        for error in [whole, range, ranges, head] {
            assert!(is_input_changed(&error), "{error}");
        }
        assert_eq!(store.watch.changed().unwrap().path, path.to_string());
        assert_eq!(store.watch.read(), [path.to_string()]);
    }

    #[tokio::test]
    async fn a_file_outside_the_plan_cannot_be_read() {
        let (inner, store, _) = pinned().await;
        let other = Path::from("secret");
        inner.put(&other, "x".into()).await.unwrap();
        let error = store.get(&other).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, object_store::Error::PermissionDenied { .. }), "{error}");
    }
}
