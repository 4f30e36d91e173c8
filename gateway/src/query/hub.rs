//! News between processes: which queries have new work, and which have ended.
//!
//! ```text
//!   worker that sealed a stage ──POST /v1/wake──> Hub ──GET /v1/wake, held open──> workers that wait
//!   this gateway, after a submit ───────────────> Hub ──> watchers of this gateway, when a query has ended
//!                                                 Hub ──> functions, which are called
//! ```
//! News is a hint. It saves the polls of a store that answers in 27 ms. Nothing depends on it: a gateway that is gone,
//! slow or wrong costs time only, because every process also looks at the store by itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::env::Clock;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::{Heard, News, Place, Wake};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// The most news that is kept for listeners that are late. A listener that is later looks at the store anyway.
const KEPT: usize = 1024;

/// A listener that has not asked for so long is gone. A request is held open for less.
const PRESENT: Duration = Duration::from_secs(40);
/// The most listeners that are given a place.
const PLACES: usize = 1 << 16;
/// The most listeners that are named to people.
const NAMED: usize = 1_000;
/// The longest name of a listener.
pub(crate) const NAME: usize = 64;

/// The news of one gateway. Its clones of an `Arc` are shared by the gateway and by workers of the same process.
#[derive(Debug)]
pub struct Hub {
    clock: Arc<dyn Clock>,
    /// Who listens, and when each asked last: by pool and name.
    present: Mutex<BTreeMap<Listener, Duration>>,
    kept: Mutex<Kept>,
    latest: watch::Sender<u64>,
    ended: tokio::sync::broadcast::Sender<QueryId>,
    /// Who does not listen, and must be called.
    called: Option<Arc<dyn Wake>>,
    beside: TaskTracker,
}

/// A worker that listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Its pool, if it has one. Workers of one pool share out its tasks.
    pub pool: Option<String>,
    /// Its name.
    pub name: String,
}

#[derive(Debug, Default)]
struct Kept {
    /// Number of the newest news. The first one is 1.
    latest: u64,
    news: VecDeque<News>,
}

impl Hub {
    /// Without news.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            present: Mutex::default(),
            kept: Mutex::default(),
            latest: watch::Sender::new(0),
            ended: tokio::sync::broadcast::Sender::new(KEPT),
            called: None,
            beside: TaskTracker::new(),
        }
    }

    /// Also tells workers that do not listen.
    #[must_use]
    pub fn calling(self, called: Arc<dyn Wake>) -> Self {
        Self { called: Some(called), ..self }
    }

    /// Why workers that do not listen cannot be called, if they cannot.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.called.as_ref().and_then(|called| called.trouble())
    }

    /// Runs something that no answer waits for: hints, and queries that this process runs itself.
    pub fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.beside.spawn(work);
    }

    /// Waits until all of that is done. A process that is frozen after its answers would not do it.
    pub async fn settled(&self) {
        self.beside.close();
        self.beside.wait().await;
        self.beside.reopen();
    }

    /// Tells everybody who listens.
    pub fn tell(&self, news: News) {
        if news.ended {
            // Nobody may be watching.
            let _ = self.ended.send(news.query.clone());
        } else if let Some(called) = self.called.clone() {
            let news = news.clone();
            self.beside(async move { called.tell(news).await });
        }
        let mut kept = self.kept.lock();
        kept.latest += 1;
        if kept.news.len() == KEPT {
            kept.news.pop_front();
        }
        kept.news.push_back(news);
        self.latest.send_replace(kept.latest);
    }

    /// True if workers are called that do not listen.
    pub(crate) fn is_calling(&self) -> bool {
        self.called.is_some()
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        let now = self.clock.monotonic();
        let mut present = self.present.lock();
        present.retain(|_, asked| now.saturating_sub(*asked) < PRESENT);
        present.len()
    }

    /// The names of those that listen, in order; of very many, the first ones.
    pub(crate) fn names(&self) -> Vec<String> {
        let now = self.clock.monotonic();
        let present = self.present.lock();
        let there = present.iter().filter(|(_, asked)| now.saturating_sub(**asked) < PRESENT);
        let mut names: Vec<String> = there.map(|(listener, _)| listener.name.clone()).collect();
        names.sort();
        names.truncate(NAMED);
        names
    }

    /// The place of a listener among those of its pool that are present. It is present from now on.
    fn place(&self, listener: &Listener) -> Option<Place> {
        let now = self.clock.monotonic();
        let mut present = self.present.lock();
        present.retain(|_, asked| now.saturating_sub(*asked) < PRESENT);
        if present.len() < PLACES || present.contains_key(listener) {
            present.insert(listener.clone(), now);
        }
        let mut pool = present.keys().filter(|other| other.pool == listener.pool);
        let index = pool.clone().position(|present| present == listener)?;
        Some(Place {
            index: u32::try_from(index).unwrap_or(0),
            of: u32::try_from(pool.by_ref().count()).unwrap_or(u32::MAX),
        })
    }

    /// Waits until there is news after number `after`, and returns it with the listener's place. A listener without a
    /// name has no place.
    pub async fn listen(&self, listener: Option<&Listener>, after: Option<u64>) -> Heard {
        if let Some(listener) = listener {
            self.place(listener);
        }
        let heard = self.after(after).await;
        Heard { place: listener.and_then(|listener| self.place(listener)), ..heard }
    }

    /// Waits until there is news after number `after`. Without a number, or with one that this hub has not given, it
    /// returns at once, with the number to begin from.
    async fn after(&self, after: Option<u64>) -> Heard {
        let mut latest = self.latest.subscribe();
        let Some(after) = after.filter(|after| *after <= *latest.borrow()) else {
            return Heard { at: *latest.borrow(), ..Heard::default() };
        };
        // It fails only if the hub is gone.
        let _ = latest.wait_for(|latest| *latest > after).await;
        let kept = self.kept.lock();
        let new = usize::try_from(kept.latest - after).unwrap_or(KEPT).min(kept.news.len());
        Heard {
            at: kept.latest,
            news: kept.news.iter().skip(kept.news.len() - new).cloned().collect(),
            place: None,
        }
    }

    /// No news, for a listener whose time is over.
    #[must_use]
    pub fn nothing(&self, listener: Option<&Listener>, after: Option<u64>) -> Heard {
        Heard {
            at: after.unwrap_or(*self.latest.borrow()),
            news: Vec::new(),
            place: listener.and_then(|listener| self.place(listener)),
        }
    }

    /// The queries that end from now on.
    pub(crate) fn endings(&self) -> tokio::sync::broadcast::Receiver<QueryId> {
        self.ended.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use dunlin_manifest::env::Env;

    use super::*;

    fn hub() -> Hub {
        Hub::new(Env::system().clock)
    }

    fn told(at: u64, news: Vec<News>) -> Heard {
        Heard { at, news, place: None }
    }

    fn news(millis: u64) -> News {
        News::ended(QueryId::at(millis, &[0; 10]))
    }

    #[tokio::test]
    async fn who_listens_hears_everything_once_and_in_order() {
        let hub = Arc::new(hub());
        assert_eq!(hub.after(None).await, told(0, vec![]));
        let listener = tokio::spawn({
            let hub = Arc::clone(&hub);
            async move { hub.after(Some(0)).await }
        });
        hub.tell(news(1));
        let heard = listener.await.unwrap_or_default();
        assert_eq!(heard, told(1, vec![news(1)]));
        hub.tell(news(2));
        hub.tell(news(3));
        assert_eq!(hub.after(Some(1)).await.news, [news(2), news(3)]);
        // A number of another gateway, or of one that was started again.
        assert_eq!(hub.after(Some(99)).await, told(3, vec![]));
    }

    #[tokio::test]
    async fn each_who_listens_has_a_place_of_its_own() {
        let hub = hub();
        let mut places = Vec::new();
        let named = |name: &str| Listener { pool: None, name: name.to_owned() };
        for name in ["b", "a", "c", "a"] {
            let place = hub.nothing(Some(&named(name)), None).place;
            places.push(place.map(|place| (place.index, place.of)));
        }
        assert_eq!(places, [Some((0, 1)), Some((0, 2)), Some((2, 3)), Some((0, 3))]);
        let heard = hub.listen(Some(&named("b")), None).await;
        assert_eq!(heard.place, Some(Place { index: 1, of: 3 }));
        assert_eq!(hub.listen(None, None).await.place, None);
        assert_eq!(hub.names(), ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn the_workers_of_a_pool_share_it_among_themselves() {
        let hub = hub();
        let of = |pool: &str, name: &str| Listener {
            pool: Some(pool.to_owned()),
            name: name.to_owned(),
        };
        let place = |listener: &Listener| hub.nothing(Some(listener), None).place;
        place(&Listener { pool: None, name: "a".to_owned() });
        place(&of("big", "c"));
        assert_eq!(place(&of("big", "b")), Some(Place { index: 0, of: 2 }));
        assert_eq!(place(&of("small", "d")), Some(Place { index: 0, of: 1 }));
        assert_eq!(hub.names(), ["a", "b", "c", "d"]);
    }

    #[tokio::test]
    async fn who_is_very_late_hears_the_newest() {
        let hub = hub();
        for number in 0..2 * KEPT as u64 {
            hub.tell(news(number));
        }
        let heard = hub.after(Some(1)).await;
        assert_eq!((heard.at, heard.news.len()), (2 * KEPT as u64, KEPT));
        assert_eq!(heard.news.last(), Some(&news(2 * KEPT as u64 - 1)));
    }
}
