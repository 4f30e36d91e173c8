//! Sending a request once more when its answer is late.
//!
//! A store answers most requests in tens of milliseconds, and a few in a second or more. A task waits for the slowest
//! of its requests, and a stage for the slowest of its tasks, so these few set the time of a query. A second request
//! mostly meets another machine of the store, and the usual time.
//!
//! ```text
//!   first    ├──────────────┼─────────────┄┄┄┄┄   dropped
//!   second                  ├─────────────┤       answers
//!            sent          p95         the answer
//!
//!   GET                      raced until the answer begins, not until its body ends
//!   PUT that overwrites      raced: it writes the same bytes
//!   create, conditional put  sent once: a second could be told that the first has won
//!   everything else          sent once
//! ```
//!
//! The time after which an answer is late is learned from the latest requests to the same store. A budget keeps the
//! second requests to a twentieth of all, so a store that is slow as a whole does not get twice the work.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, Either, select};
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};
use parking_lot::Mutex;

use crate::env::Env;
use crate::store::meter::{Meter, ranges_by_get_opts};

/// Requests of more bytes have a model of their own.
const SMALL: u64 = 256 << 10;
/// Latencies that a model remembers.
const REMEMBERED: usize = 256;
/// Latencies that a model must know before it calls an answer late.
const FEWEST: usize = 20;
/// New latencies after which the percentile is computed again.
const REFRESH: usize = 16;
/// No answer is late before this time: a second request could hardly win.
const SHORTEST: Duration = Duration::from_millis(20);
/// What a second request costs, if each request brings 1.
const COST: u32 = 20;
/// The most that can be saved: ten second requests.
const MOST_SAVED: u32 = 10 * COST;

/// How fast a store answers, as this process has seen it, and how many requests may be sent once more. There is one
/// for each store of a process, so that every query learns from all of them.
#[derive(Debug, Default)]
pub struct Hedger {
    gets: Kind,
    puts: Kind,
}

impl Hedger {
    /// Knows nothing yet: no request is sent twice.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// The requests of one kind.
#[derive(Debug, Default)]
struct Kind(Mutex<Pace>);

#[derive(Debug, Default)]
struct Pace {
    small: Model,
    large: Model,
    saved: u32,
}

impl Pace {
    fn model(&mut self, size: u64) -> &mut Model {
        if size <= SMALL { &mut self.small } else { &mut self.large }
    }
}

impl Kind {
    /// A request of `size` bytes begins. Returns the time after which its answer is late, if that is known.
    fn begin(&self, size: u64) -> Option<Duration> {
        let mut pace = self.0.lock();
        pace.saved = (pace.saved + 1).min(MOST_SAVED);
        pace.model(size).p95.map(|p95| p95.max(SHORTEST))
    }

    /// Takes the cost of a second request from the budget. Returns false if the budget does not have it.
    fn pay(&self) -> bool {
        let mut pace = self.0.lock();
        let rest = pace.saved.checked_sub(COST);
        pace.saved = rest.unwrap_or(pace.saved);
        rest.is_some()
    }

    fn learn(&self, size: u64, latency: Duration) {
        self.0.lock().model(size).learn(latency);
    }
}

/// The latest latencies of one kind of request and one class of sizes.
#[derive(Debug, Default)]
struct Model {
    latencies: VecDeque<Duration>,
    /// Latencies since the percentile was computed.
    fresh: usize,
    p95: Option<Duration>,
}

impl Model {
    fn learn(&mut self, latency: Duration) {
        if self.latencies.len() == REMEMBERED {
            self.latencies.pop_front();
        }
        self.latencies.push_back(latency);
        self.fresh += 1;
        let due = self.p95.is_none() || self.fresh >= REFRESH;
        if self.latencies.len() < FEWEST || !due {
            return;
        }
        self.fresh = 0;
        let mut sorted: Vec<Duration> = self.latencies.iter().copied().collect();
        let rank = (sorted.len() * 95).div_ceil(100) - 1;
        self.p95 = Some(*sorted.select_nth_unstable(rank).1);
    }
}

/// A store whose late requests are sent once more. It lies above a
/// [`MeteredStore`](crate::store::meter::MeteredStore), so that both requests are counted and paid for.
#[derive(Debug)]
pub struct HedgedStore {
    inner: Arc<dyn ObjectStore>,
    hedger: Arc<Hedger>,
    env: Env,
    meter: Option<Arc<Meter>>,
}

impl HedgedStore {
    /// Sends late requests to `inner` once more. `hedger` is that store's.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, hedger: Arc<Hedger>, env: Env) -> Self {
        Self { inner, hedger, env, meter: None }
    }

    /// The same store, which also counts the second requests as such in `meter`.
    #[must_use]
    pub fn counted_in(self, meter: Arc<Meter>) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// The answer to a request of `size` bytes. An error for which `settles` is true is an answer, too.
    async fn answer<'a, T: Send>(
        &self,
        kind: &Kind,
        size: u64,
        send: impl Fn() -> BoxFuture<'a, Result<T>> + Send,
        settles: fn(&Error) -> bool,
    ) -> Result<T> {
        let began = self.env.clock.monotonic();
        let late_after = kind.begin(size);
        let result = self.race(kind, late_after, send, settles).await;
        if result.as_ref().err().is_none_or(settles) {
            // If the second request has won, the first took at least this long. Both are beyond the percentile, so it
            // comes out the same.
            kind.learn(size, self.env.clock.monotonic().saturating_sub(began));
        }
        result
    }

    async fn race<'a, T: Send>(
        &self,
        kind: &Kind,
        late_after: Option<Duration>,
        send: impl Fn() -> BoxFuture<'a, Result<T>> + Send,
        settles: fn(&Error) -> bool,
    ) -> Result<T> {
        let first = send();
        let Some(late_after) = late_after else { return first.await };
        let first = match select(first, self.env.clock.sleep(late_after)).await {
            Either::Left((result, _)) => return result,
            Either::Right(((), first)) => first,
        };
        if !kind.pay() {
            return first.await;
        }
        if let Some(meter) = &self.meter {
            meter.add_hedged();
        }
        match select(first, send()).await {
            // The first has failed. If the second fails as well, the first's error is the one to tell.
            Either::Left((Err(error), second)) if !settles(&error) => match second.await {
                Err(other) if !settles(&other) => Err(error),
                result => result,
            },
            Either::Right((Err(error), first)) if !settles(&error) => first.await,
            // The other one is dropped.
            Either::Left((result, _)) | Either::Right((result, _)) => result,
        }
    }
}

impl fmt::Display for HedgedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hedged({})", self.inner)
    }
}

/// The bytes that a GET asks for. A read to the end does not tell, and counts as small: most are of records, and the
/// first byte comes as soon.
fn asked_for(options: &GetOptions) -> u64 {
    match &options.range {
        Some(GetRange::Bounded(range)) => range.end.saturating_sub(range.start),
        Some(GetRange::Suffix(length)) => *length,
        Some(GetRange::Offset(_)) | None => 0,
    }
}

/// Whether an error says something about the object, so that the other request would be told the same.
fn is_answer(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. } | Error::NotModified { .. } | Error::Precondition { .. })
}

// A method that is left to the trait's default could bypass a wrapper below.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for HedgedStore {
    // Only a put that overwrites is sent twice. Its key has one writer, and both requests carry the same bytes, so the
    // one that loses may be dropped at any point: the store has the object from the other. If the store still finishes
    // it later, it writes what is there already. Should a hint have been written anew or deleted in between, the old
    // one is back, as after any put that timed out, and a wrong hint changes no result.
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        if opts.mode != PutMode::Overwrite {
            return self.inner.put_opts(location, payload, opts).await;
        }
        let size = u64::try_from(payload.content_length()).unwrap_or(u64::MAX);
        let send = || self.inner.put_opts(location, payload.clone(), opts.clone());
        // No error settles a put: it has no condition.
        self.answer(&self.hedger.puts, size, send, |_| false).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            return self.inner.get_opts(location, options).await;
        }
        let send = || self.inner.get_opts(location, options.clone());
        self.answer(&self.hedger.gets, asked_for(&options), send, is_answer).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        ranges_by_get_opts(self, location, ranges).await
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

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests;
