//! Counting requests by price class, and bytes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart, coalesce_ranges,
};

use crate::model::records::Requests;

/// Entries of one LIST page, as S3 bills them.
const LIST_PAGE: u64 = 1000;

/// Counters that many requests add to.
#[derive(Debug, Default)]
pub struct Meter {
    put: AtomicU64,
    get: AtomicU64,
    list: AtomicU64,
    head: AtomicU64,
    delete: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    hedged: AtomicU64,
}

/// The values of a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Requests by price class.
    pub requests: Requests,
    /// Bytes of bodies received.
    pub bytes_read: u64,
    /// Bytes of bodies sent.
    pub bytes_written: u64,
}

impl Meter {
    /// The current values.
    #[must_use]
    pub fn snapshot(&self) -> Reading {
        self.read(|counter| counter.load(Ordering::Relaxed))
    }

    /// The current values. Sets the meter back to zero.
    pub fn take(&self) -> Reading {
        self.read(|counter| counter.swap(0, Ordering::Relaxed))
    }

    fn read(&self, of: impl Fn(&AtomicU64) -> u64) -> Reading {
        Reading {
            requests: Requests {
                put: of(&self.put),
                get: of(&self.get),
                list: of(&self.list),
                head: of(&self.head),
                delete: of(&self.delete),
                hedged: of(&self.hedged),
            },
            bytes_read: of(&self.bytes_read),
            bytes_written: of(&self.bytes_written),
        }
    }

    /// Adds what was counted elsewhere.
    pub fn add_requests(&self, requests: &Requests) {
        for (counter, amount) in [
            (&self.put, requests.put),
            (&self.get, requests.get),
            (&self.list, requests.list),
            (&self.head, requests.head),
            (&self.delete, requests.delete),
            (&self.hedged, requests.hedged),
        ] {
            Self::add(counter, amount);
        }
    }

    /// Counts a request that is sent once more.
    pub(crate) fn add_hedged(&self) {
        Self::add(&self.hedged, 1);
    }

    fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

/// A store that counts the requests and bytes that pass through it.
#[derive(Debug)]
pub struct MeteredStore {
    inner: Arc<dyn ObjectStore>,
    meter: Arc<Meter>,
}

impl MeteredStore {
    /// Counts the requests to `inner` in `meter`.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }
}

impl fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metered({})", self.inner)
    }
}

/// `get_ranges` made of the store's own `get_opts`, so that what a wrapper adds to a read is added to every read.
pub(crate) async fn ranges_by_get_opts(
    store: &dyn ObjectStore,
    location: &Path,
    ranges: &[Range<u64>],
) -> Result<Vec<Bytes>> {
    coalesce_ranges(
        ranges,
        |range| async move {
            let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
            store.get_opts(location, options).await?.bytes().await
        },
        OBJECT_STORE_COALESCE_DEFAULT,
    )
    .await
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

// A method that is left to the trait's default could bypass the counters, or a wrapper below.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for MeteredStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        Meter::add(&self.meter.put, 1);
        Meter::add(&self.meter.bytes_written, length(payload.content_length()));
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Meter::add(&self.meter.put, 1);
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(MeteredUpload { inner, meter: Arc::clone(&self.meter) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            Meter::add(&self.meter.head, 1);
            return self.inner.get_opts(location, options).await;
        }
        Meter::add(&self.meter.get, 1);
        let result = self.inner.get_opts(location, options).await?;
        Meter::add(&self.meter.bytes_read, result.range.end - result.range.start);
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        ranges_by_get_opts(self, location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let meter = Arc::clone(&self.meter);
        let counted = locations.inspect_ok(move |_| Meter::add(&meter.delete, 1)).boxed();
        self.inner.delete_stream(counted)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        counted_list(self.inner.list(prefix), &self.meter)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        counted_list(self.inner.list_with_offset(prefix, offset), &self.meter)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        Meter::add(&self.meter.list, 1);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        Meter::add(&self.meter.put, 1);
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        Meter::add(&self.meter.put, 1);
        Meter::add(&self.meter.delete, 1);
        self.inner.rename_opts(from, to, options).await
    }
}

fn counted_list(
    entries: BoxStream<'static, Result<ObjectMeta>>,
    meter: &Arc<Meter>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    Meter::add(&meter.list, 1);
    let meter = Arc::clone(meter);
    let mut seen = 0u64;
    entries
        .inspect_ok(move |_| {
            seen += 1;
            if seen > 1 && seen % LIST_PAGE == 1 {
                Meter::add(&meter.list, 1);
            }
        })
        .boxed()
}

#[derive(Debug)]
struct MeteredUpload {
    inner: Box<dyn MultipartUpload>,
    meter: Arc<Meter>,
}

#[async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        Meter::add(&self.meter.put, 1);
        Meter::add(&self.meter.bytes_written, length(data.content_length()));
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        Meter::add(&self.meter.put, 1);
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        Meter::add(&self.meter.delete, 1);
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn every_request_is_counted_once_in_its_class() {
        let meter = Arc::new(Meter::default());
        let store = MeteredStore::new(Arc::new(InMemory::new()), Arc::clone(&meter));
        let path = Path::from("a/b");
        store.put(&path, "0123456789".into()).await.unwrap();
        store.get(&path).await.unwrap().bytes().await.unwrap();
        store.head(&path).await.unwrap();
        // Two ranges less than a megabyte apart are one request.
        store.get_ranges(&path, &[0..2, 4..6]).await.unwrap();
        store.list(None).try_collect::<Vec<_>>().await.unwrap();
        store.delete(&path).await.unwrap();
        let reading = meter.take();
        assert_eq!(
            reading.requests,
            Requests { put: 1, get: 2, list: 1, head: 1, delete: 1, hedged: 0 }
        );
        assert_eq!((reading.bytes_written, reading.bytes_read), (10, 16));
        assert_eq!(meter.snapshot(), Reading::default());
    }
}
