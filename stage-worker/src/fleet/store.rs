//! A store as far away as S3, as slow, and as strict about rates, with its objects in memory.
//!
//! ```text
//!   request ─ half of its time ─> tokens? ─ yes ─> memory ─ the other half, and the body ─> answer
//!      ^                             └── no ──> 503 ─ the other half ─┐
//!      └────────────── pause, 100 ms and growing ─────────────────────┘   ten times, as the S3 client does
//! ```
//! It exists because a store in memory answers at once and never refuses, and so hides all that the protocol costs.
//! Latencies are those of [`dunlin_sim::far`]. Stamps are of simulated time: a real clock would make runs differ.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dunlin_manifest::env::{Clock, Env};
use dunlin_sim::far::{Latency, Profile};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use crate::fleet::rates::{Partition, Rates, Split};
use crate::fleet::tally::{Asked, Op, Tally};
use dunlin_sim::clock::SimClock;

/// Entries of one LIST page.
const PAGE: usize = 1_000;
/// How the S3 client of `object_store` repeats what was answered with 503: its defaults, and the time limit that
/// `dunlin-plan` sets.
const RETRIES: u32 = 10;
const RETRY_TIME: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The store of a simulation, as one process sees it. Its clones are the same store.
#[derive(Clone, Debug)]
pub(super) struct FarStore {
    far: Arc<Far>,
    /// The process dies then: what it asks for is not answered any more.
    dies: Option<Duration>,
}

#[derive(Debug)]
struct Far {
    inner: InMemory,
    clock: SimClock,
    env: Env,
    latency: Latency,
    rates: Mutex<Rates>,
    tally: Mutex<Tally>,
    stamps: Mutex<HashMap<Path, Duration>>,
}

/// The way back of a request that was let in.
struct Trip {
    asked: Asked,
    back: Duration,
}

impl FarStore {
    /// An empty store. `env` is that of its clients, who choose their pauses by it.
    pub(super) fn new(clock: &SimClock, env: &Env, split: Split, seed: u64) -> Self {
        let far = Far {
            inner: InMemory::new(),
            clock: clock.clone(),
            env: env.clone(),
            latency: Latency::new(Profile::S3, seed),
            rates: Mutex::new(Rates::new(split)),
            tally: Mutex::default(),
            stamps: Mutex::default(),
        };
        Self { far: Arc::new(far), dies: None }
    }

    /// The same for a process that dies at this time.
    pub(super) fn until(&self, dies: Option<Duration>) -> Self {
        Self { far: Arc::clone(&self.far), dies }
    }

    /// The answer, unless the process is dead before it comes.
    async fn alive<T>(&self, answer: impl Future<Output = T>) -> T {
        let Some(dies) = self.dies else { return answer.await };
        let left = dies.saturating_sub(self.far.clock.now());
        let dead = async {
            if !left.is_zero() {
                self.far.clock.sleep(left).await;
            }
        };
        tokio::select! {
            biased;
            () = dead => std::future::pending().await,
            answer = answer => answer,
        }
    }

    /// What was asked so far.
    pub(super) fn tally(&self) -> Tally {
        self.far.tally.lock().clone()
    }

    /// Commits and requests so far.
    pub(super) fn progress(&self) -> (usize, u64) {
        let tally = self.far.tally.lock();
        let commits = tally.stages.values().map(|marks| marks.commits.len()).sum();
        (commits, tally.purposes.values().map(|count| count.requests).sum())
    }

    /// What each partition has taken so far.
    pub(super) fn partitions(&self) -> std::collections::BTreeMap<String, Partition> {
        self.far.rates.lock().partitions().clone()
    }

    /// The objects, for those who check what is there. They ask nobody.
    pub(super) fn objects(&self) -> &InMemory {
        &self.far.inner
    }
}

impl Far {
    /// A request travels to the store and is let in. `body` bytes go with it.
    async fn arrive(&self, op: Op, path: &Path, body: usize) -> Result<Trip> {
        let asked = Asked::new(op, path.as_ref());
        let began = self.clock.now();
        let (mut pause, mut retries) = (FIRST_PAUSE, 0);
        loop {
            let takes = self.latency.first_byte(matches!(op, Op::Get | Op::List));
            let sending = self.latency.body(u64::try_from(body).unwrap_or(u64::MAX));
            self.clock.sleep(sending + takes / 2).await;
            let now = self.clock.now();
            let is_in = self.rates.lock().take(now, path.as_ref(), op.is_get());
            self.tally.lock().ask(now, &asked, !is_in);
            let back = takes - takes / 2;
            if is_in {
                return Ok(Trip { asked, back });
            }
            self.clock.sleep(back).await;
            if retries == RETRIES || self.clock.now().saturating_sub(began) > RETRY_TIME {
                return Err(slow_down());
            }
            retries += 1;
            self.clock.sleep(pause).await;
            let more = (pause * 2).saturating_sub(FIRST_PAUSE);
            let more = self.env.below(u64::try_from(more.as_micros()).unwrap_or(u64::MAX));
            pause = (FIRST_PAUSE + Duration::from_micros(more)).min(LONGEST_PAUSE);
        }
    }

    /// The answer travels back, with `body` bytes.
    async fn leave(&self, trip: Trip, is_vain: bool, sent: usize, body: u64) {
        let sent = u64::try_from(sent).unwrap_or(u64::MAX);
        self.tally.lock().done(self.clock.now(), &trip.asked, is_vain, sent + body);
        self.clock.sleep(trip.back + self.latency.body(body)).await;
    }

    async fn put(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let op = if options.mode == PutMode::Create { Op::Create } else { Op::Put };
        let sent = payload.content_length();
        let trip = self.arrive(op, path, sent).await?;
        let result = self.inner.put_opts(path, payload, options).await;
        if result.is_ok() {
            self.stamps.lock().insert(path.clone(), self.clock.now());
        }
        self.leave(trip, result.is_err(), sent, 0).await;
        result
    }

    async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let trip = self.arrive(Op::Get, path, 0).await?;
        let mut result = self.inner.get_opts(path, options).await;
        if let Ok(got) = &mut result {
            self.stamp(&mut got.meta);
        }
        let bytes = result.as_ref().map_or(0, |got| got.range.end - got.range.start);
        self.leave(trip, result.is_err(), 0, bytes).await;
        result
    }

    async fn list(&self, prefix: Path) -> Result<Vec<ObjectMeta>> {
        let mut trip = self.arrive(Op::List, &prefix, 0).await?;
        let mut found: Vec<ObjectMeta> = self.inner.list(Some(&prefix)).try_collect().await?;
        found.iter_mut().for_each(|meta| self.stamp(meta));
        for _ in 0..found.len().saturating_sub(1) / PAGE {
            self.leave(trip, false, 0, 0).await;
            trip = self.arrive(Op::List, &prefix, 0).await?;
        }
        self.leave(trip, found.is_empty(), 0, 0).await;
        Ok(found)
    }

    async fn delete(&self, path: Path) -> Result<Path> {
        let trip = self.arrive(Op::Delete, &path, 0).await?;
        let gone = stream::once(async { Ok(path) }).boxed();
        let result = self.inner.delete_stream(gone).try_collect::<Vec<_>>().await;
        self.leave(trip, false, 0, 0).await;
        result?.pop().ok_or_else(unasked)
    }

    /// Simulated time since 1970, as the store's clock.
    fn stamp(&self, meta: &mut ObjectMeta) {
        let at = self.stamps.lock().get(&meta.location).copied().unwrap_or_default();
        meta.last_modified = Default::default();
        meta.last_modified += SimClock::since_1970(at);
    }
}

fn slow_down() -> Error {
    Error::Generic { store: "FarStore", source: "503 SlowDown".into() }
}

/// Neither the protocol nor the stand-in for the engine sends such a request.
fn unasked() -> Error {
    Error::Generic { store: "FarStore", source: "not simulated".into() }
}

impl fmt::Display for FarStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FarStore")
    }
}

#[async_trait]
impl ObjectStore for FarStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.alive(self.far.put(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(unasked())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.alive(self.far.get(location, options)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = locations.then(move |location| {
            let store = store.clone();
            async move { store.alive(store.far.delete(location?)).await }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let found = async move {
            let found = store.alive(store.far.list(prefix)).await;
            found.map(|found| stream::iter(found).map(Ok))
        };
        stream::once(found).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(unasked())
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(unasked())
    }
}
