//! A store that fails on request, with the faults of real stores, at the moment that a test needs.
//!
//! ```text
//!   FailBefore   nothing written, an error          the connection broke before the store got the request
//!   FailAfter    written, an error                  the connection broke before the client got the response
//!   Conflict     nothing written, "already exists"  S3's 409 ConditionalRequestConflict
//!   Late         an error, written afterwards       a request that ends after its client gave up
//! ```

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;

use dunlin_manifest::env::{Clock, Env};
use dunlin_manifest::store::REQUEST_BUDGET;

/// What goes wrong with a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error, and nothing is written.
    FailBefore,
    /// The object is written, and the response is lost.
    FailAfter,
    /// `AlreadyExists`, and nothing is written.
    Conflict,
    /// An error at once. The object is written when [`FaultStore::release`] is called.
    Late,
}

/// The keys that a fault applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Those that end with this text.
    EndingWith(String),
    /// Those that contain this text.
    Containing(String),
}

impl Keys {
    fn matches(&self, location: &Path) -> bool {
        match self {
            Self::EndingWith(text) => location.as_ref().ends_with(text),
            Self::Containing(text) => location.as_ref().contains(text),
        }
    }
}

#[derive(Debug)]
struct Rule {
    keys: Keys,
    fault: Fault,
    times: usize,
}

#[derive(Debug, Default)]
struct Script {
    rules: Vec<Rule>,
    late: Vec<(Path, PutPayload, PutOptions)>,
    unreachable: bool,
    struck: usize,
}

/// A store whose puts fail as scripted.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    script: Mutex<Script>,
}

impl FaultStore {
    /// Passes everything on to `inner` until something is scripted.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self { inner, script: Mutex::new(Script::default()) })
    }

    /// The next `times` puts of such a key get `fault`. If several rules match a key, the first one that is not used
    /// up applies.
    pub fn script(&self, keys: Keys, fault: Fault, times: usize) {
        self.script.lock().rules.push(Rule { keys, fault, times });
    }

    /// Sets whether every request fails, in addition to any script.
    pub fn unreachable(&self, unreachable: bool) {
        self.script.lock().unreachable = unreachable;
    }

    /// Puts that got a scripted fault so far.
    #[must_use]
    pub fn struck(&self) -> usize {
        self.script.lock().struck
    }

    /// Writes the held puts in the order in which they came. Returns how many the store accepted.
    pub async fn release(&self) -> usize {
        let held = std::mem::take(&mut self.script.lock().late);
        let mut landed = 0;
        for (location, payload, options) in held {
            // A late conditional put may be refused. Its client has given up already.
            if self.inner.put_opts(&location, payload, options).await.is_ok() {
                landed += 1;
            }
        }
        landed
    }

    fn fault(&self, location: &Path) -> Option<Fault> {
        let mut script = self.script.lock();
        let rule =
            script.rules.iter_mut().find(|rule| rule.times > 0 && rule.keys.matches(location))?;
        rule.times -= 1;
        let fault = rule.fault;
        script.struck += 1;
        Some(fault)
    }

    fn reach(&self) -> Result<()> {
        if self.script.lock().unreachable { Err(broken("unreachable")) } else { Ok(()) }
    }
}

fn broken(what: &'static str) -> Error {
    Error::Generic { store: "FaultStore", source: format!("scripted fault: {what}").into() }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({})", self.inner)
    }
}

// A method that is left to the trait's default could bypass the faults, or a wrapper below.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.reach()?;
        match self.fault(location) {
            None => self.inner.put_opts(location, payload, opts).await,
            Some(Fault::FailBefore) => Err(broken("nothing was sent")),
            Some(Fault::FailAfter) => {
                // The result of the store is ignored, because the response is lost.
                let _ = self.inner.put_opts(location, payload, opts).await;
                Err(broken("the response was lost"))
            }
            Some(Fault::Conflict) => Err(Error::AlreadyExists {
                path: location.to_string(),
                source: "scripted fault: 409 though nobody won".into(),
            }),
            Some(Fault::Late) => {
                self.script.lock().late.push((location.clone(), payload, opts));
                Err(broken("still under way"))
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.reach()?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reach()?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reach()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.reach() {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.reach() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.reach() {
            Ok(()) => self.inner.list_with_offset(prefix, offset),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reach()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.reach()?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.reach()?;
        self.inner.rename_opts(from, to, options).await
    }
}

/// A clock that stands still until it is moved. A sleep of less than [`REQUEST_BUDGET`] moves the clock by its length
/// and returns at once. A longer sleep is the timeout of a request and takes real time, because it must not end the
/// request too early.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Arc<Mutex<Duration>>,
}

impl ManualClock {
    /// An environment with this clock, and with the system's values for everything else.
    #[must_use]
    pub fn env() -> (Arc<Self>, Env) {
        let clock = Arc::new(Self::default());
        let env = Env { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Env::system() };
        (clock, env)
    }

    /// Moves the clock by `duration`.
    pub fn advance(&self, duration: Duration) {
        *self.now.lock() += duration;
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        *self.now.lock()
    }

    fn wall_ms(&self) -> u64 {
        u64::try_from(self.now.lock().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration >= REQUEST_BUDGET {
            return Box::pin(tokio::time::sleep(duration));
        }
        let now = Arc::clone(&self.now);
        Box::pin(async move { *now.lock() += duration })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutMode};

    use super::*;

    #[tokio::test]
    async fn each_fault_writes_and_answers_as_its_name_says() {
        let inner = Arc::new(InMemory::new());
        let store = FaultStore::new(Arc::clone(&inner) as Arc<dyn ObjectStore>);
        store.script(Keys::EndingWith("before".to_owned()), Fault::FailBefore, 1);
        store.script(Keys::EndingWith("after".to_owned()), Fault::FailAfter, 1);
        store.script(Keys::Containing("/con".to_owned()), Fault::Conflict, 1);
        store.script(Keys::EndingWith("late".to_owned()), Fault::Late, 2);
        let create = || PutOptions::from(PutMode::Create);
        let cases =
            [("a/before", false), ("a/after", true), ("a/conflict", false), ("a/late", false)];
        for (key, written) in cases {
            let path = Path::from(key);
            assert!(store.put_opts(&path, "1".into(), create()).await.is_err(), "{key}");
            assert_eq!(inner.head(&path).await.is_ok(), written, "{key}");
        }
        // All rules but one are used up, and a held put keeps its condition.
        store.put_opts(&Path::from("a/conflict"), "2".into(), create()).await.unwrap();
        assert!(store.put_opts(&Path::from("a/late"), "2".into(), create()).await.is_err());
        assert_eq!(store.release().await, 1);
        let late = inner.get(&Path::from("a/late")).await.unwrap().bytes().await.unwrap();
        assert_eq!((late.as_ref(), store.struck()), (b"1".as_slice(), 5));
    }

    #[tokio::test]
    async fn an_unreachable_store_answers_nothing_until_it_is_back() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        let path = Path::from("k");
        store.unreachable(true);
        assert!(matches!(store.put(&path, "1".into()).await, Err(Error::Generic { .. })));
        assert!(matches!(store.get(&path).await, Err(Error::Generic { .. })));
        assert!(store.list(None).next().await.unwrap().is_err());
        assert!(store.delete(&path).await.is_err());
        store.unreachable(false);
        store.put(&path, "1".into()).await.unwrap();
    }
}
