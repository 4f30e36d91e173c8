//! The store of a world: its objects are in memory, its answers take time, and some of them have no luck.
//!
//! ```text
//!   process ─ alive? ─ half of the way ─> fate ─> memory ─ alive? ─ the other half ─> answer
//!                                          └─> crash: everybody dies, before or after the store has done it
//! ```
//! Each process sees it through a [`View`] with its own life. Stamps are of simulated time. What must never happen to an
//! object (a record that is overwritten with another text) is written down when it happens.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dunlin_manifest::env::Clock;
use dunlin_sim::clock::SimClock;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::fate::{Fate, Odds, Op, Struck, way};
use crate::life::Life;
use crate::scenario::Crash;

/// The folder of the state.
pub(crate) const STATE: &str = "state";
/// The folder of the tables, which no run changes.
const TABLES: &str = "tables";
/// The folder in which statements write.
const MADE: &str = "made";
/// The longest time after which a request that was given up is done.
const LATEST: Duration = Duration::from_secs(20 * 60);

/// The store.
#[derive(Debug)]
pub(crate) struct Store {
    objects: InMemory,
    tables: Arc<dyn ObjectStore>,
    clock: SimClock,
    stamps: Mutex<HashMap<Path, Duration>>,
    written: Mutex<BTreeMap<Path, Bytes>>,
    seen: Mutex<Seen>,
    crash: Option<Crash>,
    /// Rung when the crash has happened.
    pub(crate) crashed: Notify,
}

#[derive(Debug)]
struct Seen {
    dice: Dice,
    odds: Odds,
    requests: u64,
    struck: Struck,
    wrong: Vec<String>,
    trace: u64,
    lives: Vec<Arc<Life>>,
    tells: bool,
}

impl Store {
    /// An empty state beside these tables.
    pub(crate) fn new(
        tables: Arc<dyn ObjectStore>,
        clock: &SimClock,
        (dice, odds): (Dice, Odds),
        crash: Option<Crash>,
    ) -> Arc<Self> {
        let seen = Seen {
            dice,
            odds,
            requests: 0,
            struck: Struck::new(),
            wrong: Vec::new(),
            trace: 0,
            lives: Vec::new(),
            tells: std::env::var_os("DUNLIN_WORLD_TRACE").is_some(),
        };
        Arc::new(Self {
            objects: InMemory::new(),
            tables,
            clock: clock.clone(),
            stamps: Mutex::default(),
            written: Mutex::default(),
            seen: Mutex::new(seen),
            crash,
            crashed: Notify::new(),
        })
    }

    /// The store as a process with this life sees it.
    pub(crate) fn view(self: &Arc<Self>, life: &Arc<Life>) -> Arc<View> {
        self.seen.lock().lives.push(Arc::clone(life));
        Arc::new(View { store: Arc::clone(self), life: Arc::clone(life), is_calm: false })
    }

    /// The store as those see it who check what is there: nothing goes wrong, and nothing is counted.
    pub(crate) fn calm(self: &Arc<Self>) -> Arc<View> {
        let life = Life::new(u32::MAX, &self.clock);
        Arc::new(View { store: Arc::clone(self), life, is_calm: true })
    }

    /// From now on nothing goes wrong.
    pub(crate) fn be_kind(&self) {
        self.seen.lock().odds = Odds::default();
    }

    /// Requests so far, what has struck, a number that differs if anything was asked or answered otherwise, and what must
    /// not happen and did.
    pub(crate) fn told(&self) -> (u64, Struck, u64, Vec<String>) {
        let seen = self.seen.lock();
        (seen.requests, seen.struck.clone(), seen.trace, seen.wrong.clone())
    }

    /// All objects that were ever written to the state, with what was written.
    pub(crate) fn written(&self) -> Vec<(String, Bytes)> {
        let written = self.written.lock();
        written.iter().map(|(path, bytes)| (path.to_string(), bytes.clone())).collect()
    }

    /// Damages an object of the state, if there is one.
    pub(crate) fn damage(&self) {
        let (path, bytes) = {
            let (written, mut seen) = (self.written.lock(), self.seen.lock());
            let Some(chosen) = seen.dice.choice(written.len()) else { return };
            let (path, bytes) = written.iter().nth(chosen).unwrap();
            let mut bytes = bytes.to_vec();
            let Some(at) = seen.dice.choice(bytes.len()) else { return };
            match seen.dice.below(4) {
                0 => bytes.truncate(at),
                _ => bytes[at] ^= 1 << seen.dice.below(8),
            }
            (path.clone(), bytes)
        };
        self.note(&format!("damaged {path}"));
        // A store in memory answers at once.
        let put = self.objects.put(&path, bytes.into()).now_or_never();
        put.unwrap().unwrap();
    }

    /// Writes down that something happened.
    pub(crate) fn note(&self, what: &str) {
        let now = self.clock.now();
        let mut seen = self.seen.lock();
        if seen.tells {
            eprintln!("{now:>12.6?} {what}");
        }
        let mut trace = seen.trace;
        for byte in what.bytes().chain(now.as_micros().to_le_bytes()) {
            trace = (trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        seen.trace = trace;
    }

    /// Paths of the files that were written outside of the state.
    pub(crate) fn files(&self) -> Vec<Path> {
        let stamps = self.stamps.lock();
        stamps.keys().filter(|path| path.as_ref().starts_with(MADE)).cloned().collect()
    }

    fn inner(&self, path: &Path) -> &dyn ObjectStore {
        let is_of_tables = path.as_ref().starts_with(TABLES);
        if is_of_tables { self.tables.as_ref() } else { &self.objects }
    }

    fn stamp(&self, meta: &mut ObjectMeta) {
        let stamps = self.stamps.lock();
        if let Some(at) = stamps.get(&meta.location) {
            meta.last_modified = Default::default();
            meta.last_modified += SimClock::since_1970(*at);
        }
    }

    async fn put(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let bytes = Bytes::from(payload.clone());
        if options.mode == PutMode::Overwrite
            && is_written_once(path)
            && let Ok(old) = self.objects.get(path).await
            && old.bytes().await? != bytes
        {
            self.seen.lock().wrong.push(format!("{path} was overwritten"));
        }
        let done = self.objects.put_opts(path, payload, options).await?;
        if path.as_ref().starts_with(STATE) {
            self.written.lock().insert(path.clone(), bytes);
        }
        self.stamps.lock().insert(path.clone(), self.clock.now());
        Ok(done)
    }
}

/// Whether an object has one text for ever.
fn is_written_once(path: &Path) -> bool {
    if path.as_ref().starts_with(MADE) {
        return true;
    }
    let key = path.as_ref().strip_prefix("state/").unwrap_or_default();
    ["q/", "g/", "end/", "idem/", "data/", "res/"].iter().any(|prefix| key.starts_with(prefix))
}

/// Whether what is read of an object is compared with its checksum.
fn is_checked(path: &Path) -> bool {
    ["state/data/", "state/res/"].iter().any(|prefix| path.as_ref().starts_with(prefix))
}

fn failed(what: &'static str) -> Error {
    Error::Generic { store: "World", source: what.into() }
}

/// The store as one process sees it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    store: Arc<Store>,
    life: Arc<Life>,
    is_calm: bool,
}

/// The way of one request.
struct Trip {
    fate: Fate,
    half: Duration,
    crash: Option<Crash>,
}

impl View {
    /// The request travels to the store.
    async fn go(&self, op: Op, path: &Path) -> Trip {
        if self.is_calm {
            return Trip { fate: Fate::Answered, half: Duration::ZERO, crash: None };
        }
        self.life.alive().await;
        let (fate, half, crash) = {
            let mut seen = self.store.seen.lock();
            seen.requests += 1;
            let odds = seen.odds;
            let fate = odds.draw(&mut seen.dice, op, is_checked(path));
            *seen.struck.entry(fate).or_default() += 1;
            let half = way(&mut seen.dice, fate) / 2;
            let crash = self.store.crash.filter(|crash| crash.at == seen.requests);
            (fate, half, crash)
        };
        self.store.note(&format!("p{} {op:?} {path} {fate:?}", self.life.number));
        self.store.clock.sleep(half).await;
        // What was sent arrives, also if the sender has died since.
        if let Some(crash) = crash
            && !crash.after
        {
            self.crash().await;
        }
        Trip { fate, half, crash }
    }

    /// The answer travels back.
    async fn come(&self, trip: &Trip) {
        if self.is_calm {
            return;
        }
        if trip.crash.is_some_and(|crash| crash.after) {
            self.crash().await;
        }
        self.store.clock.sleep(trip.half).await;
        self.life.alive().await;
    }

    /// Everybody dies.
    async fn crash(&self) {
        self.store.note("crash");
        let lives = std::mem::take(&mut self.store.seen.lock().lives);
        lives.iter().for_each(|life| life.kill());
        self.store.crashed.notify_one();
        std::future::pending().await
    }

    /// A request that changes something.
    async fn change<T: Send + 'static>(
        &self,
        op: Op,
        path: &Path,
        apply: impl Fn(Arc<Store>) -> futures::future::BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        let trip = self.go(op, path).await;
        let result = match trip.fate {
            Fate::LostBefore => Err(failed("the connection broke before the request was sent")),
            Fate::SlowDown => Err(failed("503 SlowDown")),
            Fate::Conflict => Err(Error::AlreadyExists {
                path: path.to_string(),
                source: "409 ConditionalRequestConflict".into(),
            }),
            Fate::LostAfter => {
                let _ = apply(Arc::clone(&self.store)).await;
                Err(failed("the answer was lost"))
            }
            Fate::Doubled => {
                let _ = apply(Arc::clone(&self.store)).await;
                apply(Arc::clone(&self.store)).await
            }
            Fate::Late => {
                let after = self.store.seen.lock().dice.below(LATEST.as_millis() as u64);
                let (clock, late) = (self.store.clock.clone(), apply(Arc::clone(&self.store)));
                let (store, path) = (Arc::clone(&self.store), path.clone());
                tokio::spawn(async move {
                    clock.sleep(Duration::from_millis(after)).await;
                    store.note(&format!("late {path}"));
                    let _ = late.await;
                });
                Err(failed("the request timed out"))
            }
            Fate::Answered | Fate::Slow | Fate::Truncated | Fate::Flipped => {
                apply(Arc::clone(&self.store)).await
            }
        };
        self.come(&trip).await;
        result
    }

    /// A request that reads something.
    async fn look<T>(
        &self,
        op: Op,
        path: &Path,
        read: impl Future<Output = Result<T>>,
    ) -> Result<(T, Fate)> {
        let trip = self.go(op, path).await;
        let result = match trip.fate {
            Fate::LostBefore | Fate::LostAfter => Err(failed("the connection broke")),
            Fate::SlowDown => Err(failed("503 SlowDown")),
            fate => read.await.map(|found| (found, fate)),
        };
        self.come(&trip).await;
        result
    }

    async fn entries(&self, prefix: Path) -> Result<Vec<ObjectMeta>> {
        let store = &self.store;
        let listing = async {
            let listed = store.inner(&prefix).list(Some(&prefix));
            let mut found: Vec<ObjectMeta> = listed.try_collect().await?;
            found.iter_mut().for_each(|meta| store.stamp(meta));
            Ok(found)
        };
        Ok(self.look(Op::List, &prefix, listing).await?.0)
    }

    async fn remove(&self, path: Path) -> Result<Path> {
        let gone = path.clone();
        let deleted = self.change(Op::Delete, &path, move |store| {
            let gone = gone.clone();
            async move {
                store.stamps.lock().remove(&gone);
                store.objects.delete(&gone).await
            }
            .boxed()
        });
        deleted.await?;
        Ok(path)
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({})", self.life.number)
    }
}

#[async_trait]
impl ObjectStore for View {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let op = if opts.mode == PutMode::Create { Op::Create } else { Op::Put };
        let path = location.clone();
        let apply = move |store: Arc<Store>| {
            let (path, payload, opts) = (path.clone(), payload.clone(), opts.clone());
            async move { store.put(&path, payload, opts).await }.boxed()
        };
        self.change(op, location, apply).await
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(failed("uploads in parts are not simulated: the rows of a world are few"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let store = &self.store;
        let reading = async {
            let got = store.inner(location).get_opts(location, options).await?;
            let (mut meta, range) = (got.meta.clone(), got.range.clone());
            let attributes = got.attributes.clone();
            store.stamp(&mut meta);
            Ok((meta, range, attributes, got.bytes().await?))
        };
        let ((meta, range, attributes, body), fate) = self.look(Op::Get, location, reading).await?;
        let mut body = body.to_vec();
        match fate {
            Fate::Truncated => body.truncate(body.len() / 2),
            Fate::Flipped if !body.is_empty() => {
                let at = store.seen.lock().dice.below(body.len() as u64 * 8);
                body[usize::try_from(at / 8).unwrap()] ^= 1 << (at % 8);
            }
            _ => {}
        }
        let body = stream::once(async move { Ok(Bytes::from(body)) }).boxed();
        Ok(GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let view = self.clone();
        let deleted = locations.then(move |location| {
            let view = view.clone();
            async move { view.remove(location?).await }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (view, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let found = async move { view.entries(prefix).await.map(|all| stream::iter(all).map(Ok)) };
        stream::once(found).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let store = &self.store;
        let listing = store.inner(&prefix).list_with_delimiter(Some(&prefix));
        let mut found = self.look(Op::List, &prefix, listing).await?.0;
        found.objects.iter_mut().for_each(|meta| store.stamp(meta));
        Ok(found)
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(failed("copies are not simulated"))
    }
}
