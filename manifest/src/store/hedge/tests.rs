//! The race against a store whose delays are scripted, on a clock that moves only when everything waits for it.

#![allow(clippy::unwrap_used)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, UpdateVersion};
use tokio::sync::oneshot;

use super::*;
use crate::env::Clock;
use crate::store::meter::MeteredStore;

#[derive(Debug, Default)]
struct Times {
    now: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

/// A clock that [`Rig::run`] moves to the next sleep that ends.
#[derive(Debug, Default)]
struct StepClock(Mutex<Times>);

impl StepClock {
    fn step(&self) {
        let mut times = self.0.lock();
        times.sleepers.retain(|(_, sleeper)| !sleeper.is_closed());
        let dues = times.sleepers.iter().enumerate().map(|(at, (due, _))| (*due, at));
        let (due, at) = dues.min().expect("the future waits for no sleep");
        times.now = due;
        times.sleepers.swap_remove(at).1.send(()).unwrap();
    }
}

impl Clock for StepClock {
    fn monotonic(&self) -> Duration {
        self.0.lock().now
    }

    fn wall_ms(&self) -> u64 {
        0
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (sender, receiver) = oneshot::channel();
        let mut times = self.0.lock();
        let due = times.now + duration;
        times.sleepers.push((due, sender));
        Box::pin(async move {
            let _ = receiver.await;
        })
    }
}

/// What one request meets: its milliseconds, and the error it ends with after them.
type Turn = (u64, Option<&'static str>);
/// The turn of a request that is not scripted.
const USUAL: Turn = (5, None);

#[derive(Debug)]
struct ScriptedStore {
    inner: InMemory,
    clock: Arc<StepClock>,
    script: Mutex<VecDeque<Turn>>,
}

impl ScriptedStore {
    async fn turn(&self) -> Result<()> {
        let (millis, error) = self.script.lock().pop_front().unwrap_or(USUAL);
        self.clock.sleep(Duration::from_millis(millis)).await;
        match error {
            Some(error) => Err(Error::Generic { store: "Scripted", source: error.into() }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ScriptedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait]
impl ObjectStore for ScriptedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.turn().await?;
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
        self.turn().await?;
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

/// A hedged store over a metered one over a scripted one, and one object.
struct Rig {
    clock: Arc<StepClock>,
    scripted: Arc<ScriptedStore>,
    meter: Arc<Meter>,
    store: HedgedStore,
    path: Path,
}

impl Rig {
    fn new() -> Self {
        let clock = Arc::new(StepClock::default());
        let scripted = Arc::new(ScriptedStore {
            inner: InMemory::new(),
            clock: Arc::clone(&clock),
            script: Mutex::default(),
        });
        let meter = Arc::new(Meter::default());
        let inner = Arc::clone(&scripted) as Arc<dyn ObjectStore>;
        let metered = Arc::new(MeteredStore::new(inner, Arc::clone(&meter)));
        let env = Env { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Env::system() };
        let store =
            HedgedStore::new(metered, Arc::new(Hedger::new()), env).counted_in(Arc::clone(&meter));
        let path = Path::from("a/b");
        let rig = Self { clock, scripted, meter, store, path };
        rig.run(rig.scripted.inner.put(&rig.path, vec![7u8; 4 << 20].into())).0.unwrap();
        rig
    }

    /// The value of `future`, and the milliseconds that it took.
    fn run<T>(&self, future: impl Future<Output = T>) -> (T, u128) {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        let began = self.clock.monotonic();
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return (value, (self.clock.monotonic() - began).as_millis());
            }
            self.clock.step();
        }
    }

    fn script(&self, turns: impl IntoIterator<Item = Turn>) {
        self.scripted.script.lock().extend(turns);
    }

    /// One GET of the object: what came of it, and its milliseconds.
    fn get(&self) -> (std::result::Result<(), String>, u128) {
        let (result, millis) = self.run(self.store.get(&self.path));
        (result.map(|_| ()).map_err(|error| error.to_string()), millis)
    }

    /// One PUT of another object: whether it was written, and its milliseconds.
    fn put(&self, bytes: usize, mode: PutMode) -> (bool, u128) {
        let payload = vec![7u8; bytes].into();
        let options = PutOptions::from(mode);
        let path = Path::from("a/put");
        let (result, millis) = self.run(self.store.put_opts(&path, payload, options));
        (result.is_ok(), millis)
    }

    /// Enough usual requests for both models of small requests, so that answers are late after 20 ms, and enough for
    /// two second requests of each kind.
    fn learn(&self) {
        for _ in 0..2 * FEWEST {
            assert_eq!(self.get(), (Ok(()), 5));
            assert_eq!(self.put(10, PutMode::Overwrite), (true, 5));
        }
        self.meter.take();
    }

    /// GETs, PUTs, and how many of them were second requests.
    fn sent(&self) -> (u64, u64, u64) {
        let reading = self.meter.take();
        (reading.requests.get, reading.requests.put, reading.requests.hedged)
    }
}

#[test]
fn the_second_request_answers_for_a_slow_first() {
    let rig = Rig::new();
    rig.learn();
    rig.script([(1000, None), USUAL]);
    assert_eq!(rig.get(), (Ok(()), 25));
    assert_eq!(rig.sent(), (2, 0, 1));
    rig.script([(1000, None), USUAL]);
    assert_eq!(rig.put(10, PutMode::Overwrite), (true, 25));
    assert_eq!(rig.sent(), (0, 2, 1));
}

#[test]
fn the_first_request_answers_if_the_second_is_slower() {
    let rig = Rig::new();
    rig.learn();
    rig.script([(30, None), (1000, None)]);
    assert_eq!(rig.get(), (Ok(()), 30));
    assert_eq!(rig.sent(), (2, 0, 1));
}

#[test]
fn no_request_is_sent_twice_before_enough_latencies_are_known() {
    let rig = Rig::new();
    for _ in 1..FEWEST {
        rig.get().0.unwrap();
    }
    rig.script([(1000, None)]);
    assert_eq!(rig.get(), (Ok(()), 1000));
    assert_eq!(rig.sent(), (20, 0, 0));
}

#[test]
fn each_kind_and_each_class_of_sizes_learns_for_itself() {
    let rig = Rig::new();
    rig.learn();
    let ranged = |bytes| rig.run(rig.store.get_range(&rig.path, 0..bytes)).0.map(|_| ());
    let large = usize::try_from(SMALL).unwrap() + 1;
    rig.script([(1000, None)]);
    assert_eq!(rig.put(large, PutMode::Overwrite), (true, 1000));
    rig.script([(1000, None)]);
    ranged(SMALL + 1).unwrap();
    assert_eq!(rig.sent(), (1, 1, 0));
    rig.script([(1000, None)]);
    ranged(SMALL).unwrap();
    assert_eq!(rig.sent(), (2, 0, 1));
}

#[test]
fn a_request_is_late_after_the_95th_percentile_of_the_latest() {
    let mut model = Model::default();
    for millis in 1..=100 {
        model.learn(Duration::from_millis(millis));
    }
    // 20 were known first, then 36, 52, 68, 84 and 100.
    assert_eq!(model.p95, Some(Duration::from_millis(95)));
    for _ in 0..REMEMBERED {
        model.learn(Duration::from_millis(3));
    }
    assert_eq!(model.p95, Some(Duration::from_millis(3)));
    assert_eq!(model.latencies.len(), REMEMBERED);
}

#[test]
fn a_twentieth_of_all_requests_are_sent_twice_however_slow_the_store_is() {
    let rig = Rig::new();
    // Each request is slower than all before it, so each is late.
    rig.script((0..1100).map(|at| (30 + 10 * at, None)));
    for _ in 0..1000 {
        rig.get().0.unwrap();
    }
    assert_eq!(rig.sent(), (1050, 0, 50));
}

#[test]
fn at_most_ten_second_requests_are_saved() {
    let rig = Rig::new();
    for _ in 0..1000 {
        rig.get().0.unwrap();
    }
    rig.script((0..200).map(|at| (30 + 10 * at, None)));
    rig.meter.take();
    for _ in 0..100 {
        rig.get().0.unwrap();
    }
    // Ten were saved. The first of the hundred finds the budget full, so the others bring less than five.
    assert_eq!(rig.sent(), (114, 0, 14));
}

#[test]
fn a_conditional_put_is_never_sent_twice() {
    let rig = Rig::new();
    rig.learn();
    rig.script([(1000, None), (1000, None)]);
    let version = UpdateVersion { e_tag: None, version: None };
    for mode in [PutMode::Create, PutMode::Update(version)] {
        // The object exists, so the condition does not hold.
        assert_eq!(rig.put(10, mode), (false, 1000));
        assert_eq!(rig.sent(), (0, 1, 0));
    }
}

#[test]
fn a_failure_of_one_request_leaves_the_answer_to_the_other() {
    let rig = Rig::new();
    rig.learn();
    // The first fails while the second is under way, then the other way round.
    rig.script([(30, Some("first")), (40, None), (50, None), (10, Some("second"))]);
    assert_eq!(rig.get(), (Ok(()), 60));
    assert_eq!(rig.get(), (Ok(()), 50));
    assert_eq!(rig.sent(), (4, 0, 2));
}

#[test]
fn the_first_error_is_told_if_both_requests_fail() {
    for second in [5, 40] {
        let rig = Rig::new();
        rig.learn();
        rig.script([(30, Some("first")), (second, Some("second"))]);
        let (result, millis) = rig.get();
        assert!(result.unwrap_err().contains("first"));
        assert_eq!(millis, std::cmp::max(30, 20 + u128::from(second)));
    }
}

#[test]
fn an_early_failure_is_told_at_once() {
    let rig = Rig::new();
    rig.learn();
    rig.script([(10, Some("first"))]);
    assert_eq!(rig.get().1, 10);
    assert_eq!(rig.sent(), (1, 0, 0));
}

#[test]
fn a_missing_object_is_an_answer_from_either_request() {
    for (first, second, answered) in [(1000, 5, 25), (30, 1000, 30)] {
        let rig = Rig::new();
        rig.learn();
        rig.script([(first, None), (second, None)]);
        let missing = Path::from("missing");
        let (result, millis) = rig.run(rig.store.get(&missing));
        assert!(matches!(result, Err(Error::NotFound { .. })));
        assert_eq!((millis, rig.sent()), (answered, (2, 0, 1)));
    }
}

#[test]
fn an_object_that_is_not_modified_is_an_answer() {
    let rig = Rig::new();
    rig.learn();
    let e_tag = rig.run(rig.store.head(&rig.path)).0.unwrap().e_tag;
    rig.script([(1000, None)]);
    let options = GetOptions { if_none_match: e_tag, ..GetOptions::default() };
    let (result, millis) = rig.run(rig.store.get_opts(&rig.path, options));
    assert!(matches!(result, Err(Error::NotModified { .. })));
    assert_eq!(millis, 25);
}

#[test]
fn each_range_is_a_request_that_can_be_sent_twice() {
    let rig = Rig::new();
    rig.learn();
    rig.script([USUAL, (1000, None), USUAL]);
    // They are too far apart for one request.
    let ranges = [0..2, 3 << 20..(3 << 20) + 4];
    let (ranges, millis) = rig.run(rig.store.get_ranges(&rig.path, &ranges));
    assert_eq!(ranges.unwrap().iter().map(Bytes::len).collect::<Vec<_>>(), [2, 4]);
    assert_eq!((millis, rig.sent()), (25, (3, 0, 1)));
}

#[test]
fn a_slow_head_is_neither_sent_twice_nor_learned_from() {
    let rig = Rig::new();
    for _ in 0..2 * FEWEST {
        rig.run(rig.store.head(&rig.path)).0.unwrap();
    }
    rig.script([(1000, None), (1000, None)]);
    assert_eq!(rig.run(rig.store.head(&rig.path)).1, 1000);
    assert_eq!(rig.get(), (Ok(()), 1000));
    assert_eq!(rig.sent(), (1, 0, 0));
}
