//! A view of the state's store that measures each request of the gateway.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dunlin_manifest::env::Clock;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::Metrics;

/// The measured store.
#[derive(Debug)]
pub(crate) struct Observed {
    inner: Arc<dyn ObjectStore>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

impl Observed {
    /// Measures the requests to `inner`.
    pub(crate) fn new(
        inner: Arc<dyn ObjectStore>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { inner, metrics, clock }
    }

    /// Measures a request until it is answered.
    async fn measure<T>(
        &self,
        op: &'static str,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let began = self.clock.monotonic();
        let answer = request.await;
        let took = self.clock.monotonic().saturating_sub(began);
        self.metrics.asked_store(op, took, answer.as_ref().err());
        answer
    }
}

/// The kind of an error, or `None` if it is an answer like any other.
fn kind(error: &Error) -> Option<&'static str> {
    let text = match error {
        Error::NotFound { .. }
        | Error::AlreadyExists { .. }
        | Error::Precondition { .. }
        | Error::NotModified { .. } => return None,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => return Some("denied"),
        other => other.to_string().to_lowercase(),
    };
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    Some(if has(&["slow down", "slowdown", "503", "429", "toomanyrequests"]) {
        "slow_down"
    } else if has(&["timed out", "timeout"]) {
        "timeout"
    } else {
        "other"
    })
}

impl Metrics {
    /// The state's store has answered a request of this gateway.
    fn asked_store(&self, op: &'static str, took: Duration, error: Option<&Error>) {
        self.store_requests.get_or_create(&[("part", "gateway"), ("op", op)]).inc();
        self.store_durations.get_or_create(&[("op", op)]).observe(took.as_secs_f64());
        if matches!(error, Some(Error::AlreadyExists { .. })) {
            self.store_conflicts.inc();
        }
        if let Some(kind) = error.and_then(kind) {
            self.store_errors.get_or_create(&[("op", op), ("kind", kind)]).inc();
        }
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observed({})", self.inner)
    }
}

// A method that is left to the trait's default could bypass the measures, or a wrapper below.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for Observed {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.measure("put", self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.measure("put", self.inner.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let op = if options.head { "head" } else { "get" };
        self.measure(op, self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.measure("get", self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (metrics, clock) = (Arc::clone(&self.metrics), Arc::clone(&self.clock));
        let mut began = clock.monotonic();
        let deleted = self.inner.delete_stream(locations).inspect(move |answer| {
            let now = clock.monotonic();
            metrics.asked_store("delete", now.saturating_sub(began), answer.as_ref().err());
            began = now;
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.measure("list", self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.measure("put", self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.measure("put", self.inner.rename_opts(from, to, options)).await
    }
}

impl Observed {
    /// Measures a LIST until its last entry.
    fn listed(
        &self,
        entries: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let began = self.clock.monotonic();
        let (metrics, clock) = (Arc::clone(&self.metrics), Arc::clone(&self.clock));
        let (failing, clock_of_failing) = (Arc::clone(&metrics), Arc::clone(&clock));
        let end = futures::stream::once(async move {
            metrics.asked_store("list", clock.monotonic().saturating_sub(began), None);
        })
        .filter_map(|()| async { None });
        let entries = entries.inspect_err(move |error| {
            let took = clock_of_failing.monotonic().saturating_sub(began);
            failing.asked_store("list", took, Some(error));
        });
        entries.chain(end).boxed()
    }
}
