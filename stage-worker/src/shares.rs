//! Which query a slot works on next: one of the owner who has had the least of this process lately. A workgroup is one owner.
//!
//! ```text
//!   owner A: 40 queries, 3 slots now            owner B: 1 query, no slot now
//!   first B's query; then those of A: the new ones before those that have had 1 s, 4 s, 16 s, … of slots, each oldest first
//!   one look in four: the oldest query of all first
//! ```
//! Workers ask nobody for this. If each divides its own time fairly, the fleet does, too. A small query is done while a
//! large one waits, and the look in four sees to it that many small ones do not keep a large one from its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::env::Clock;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::Root;

/// The time after which what somebody has had counts half.
const HALF: Duration = Duration::from_secs(10);
/// What counts less than this many seconds is forgotten.
const LEAST: f64 = 0.001;
/// One look in so many is for the oldest query.
const OLDEST_FIRST: u64 = 4;

/// What owners and queries have had of the slots of this process.
#[derive(Debug)]
pub(crate) struct Shares {
    clock: Arc<dyn Clock>,
    books: parking_lot::Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    looks: u64,
    owners: HashMap<Option<String>, Had>,
    queries: HashMap<QueryId, Had>,
}

/// What one of them has now, and has had.
#[derive(Clone, Copy, Debug, Default)]
struct Had {
    slots: u32,
    /// Seconds of slots, at the time `at`. They count less as time goes by.
    seconds: f64,
    at: Duration,
}

/// One slot that is at work, until this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    query: QueryId,
    owner: Option<String>,
    began: Duration,
}

/// Who has its part of the slots: the workgroup of a query, or else its owner. None where gateways ask for no keys.
pub(crate) fn sharer(root: &Root) -> Option<String> {
    let group = root.workgroup.as_ref().map(|group| format!("workgroup {group}"));
    group.or_else(|| root.owner.clone())
}

/// A query that a slot may work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) query: QueryId,
    /// Its [`sharer`]. None of a query that is not read yet.
    pub(crate) owner: Option<String>,
    /// It is known. One that is not may be of anybody, and goes first.
    pub(crate) is_read: bool,
}

impl Shares {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, books: parking_lot::Mutex::default() }
    }

    /// Whether this look is one for the oldest query.
    pub(crate) fn is_for_the_oldest(&self) -> bool {
        let mut books = self.books.lock();
        books.looks += 1;
        books.looks.is_multiple_of(OLDEST_FIRST)
    }

    /// The one that a slot tries first.
    pub(crate) fn first<'a>(
        &self,
        candidates: &'a [Candidate],
        is_for_the_oldest: bool,
    ) -> Option<&'a Candidate> {
        // Ids sort by the time of submission.
        if is_for_the_oldest {
            return candidates.iter().min_by_key(|candidate| &candidate.query);
        }
        let now = self.clock.monotonic();
        let books = self.books.lock();
        candidates.iter().min_by_key(|candidate| {
            let owner = books.owners.get(&candidate.owner).filter(|_| candidate.is_read);
            let (slots, seconds) = owner.map_or((0, 0.0), |had| (had.slots, had.lately(now)));
            let query = books.queries.get(&candidate.query).map_or(0.0, |had| had.lately(now));
            (slots, thousandths(seconds), class(query), &candidate.query)
        })
    }

    /// A slot begins to work on a query.
    pub(crate) fn begin(self: &Arc<Self>, query: &QueryId, owner: Option<&String>) -> Share {
        let share = Share {
            shares: Arc::clone(self),
            query: query.clone(),
            owner: owner.cloned(),
            began: self.clock.monotonic(),
        };
        let mut books = self.books.lock();
        books.owners.entry(share.owner.clone()).or_default().slots += 1;
        books.queries.entry(share.query.clone()).or_default().slots += 1;
        drop(books);
        share
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let now = self.shares.clock.monotonic();
        let seconds = now.saturating_sub(self.began).as_secs_f64();
        let mut books = self.shares.books.lock();
        if let Some(had) = books.owners.get_mut(&self.owner) {
            had.end(seconds, now);
        }
        if let Some(had) = books.queries.get_mut(&self.query) {
            had.end(seconds, now);
        }
        let stays = |had: &Had| had.slots > 0 || had.lately(now) >= LEAST;
        books.owners.retain(|_, had| stays(had));
        books.queries.retain(|_, had| stays(had));
    }
}

impl Had {
    /// The seconds of slots, of which old ones count less.
    fn lately(&self, now: Duration) -> f64 {
        let halves = now.saturating_sub(self.at).as_secs_f64() / HALF.as_secs_f64();
        self.seconds * (-halves).exp2()
    }

    fn end(&mut self, seconds: f64, now: Duration) {
        let seconds = self.lately(now) + seconds;
        *self = Self { slots: self.slots.saturating_sub(1), seconds, at: now };
    }
}

fn thousandths(seconds: f64) -> u128 {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).as_millis()
}

/// 0 below one second, 1 below four, 2 below sixteen, …: queries that have had about the same go one after the other, because
/// all would end late if they took turns.
fn class(seconds: f64) -> u32 {
    let mut class = 0;
    let mut most = 1.0;
    while seconds >= most && class < 16 {
        class += 1;
        most *= 4.0;
    }
    class
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;

    /// A clock that is put by hand.
    #[derive(Debug, Default)]
    struct Hand(parking_lot::Mutex<Duration>);

    impl Clock for Hand {
        fn monotonic(&self) -> Duration {
            *self.0.lock()
        }

        fn wall_ms(&self) -> u64 {
            0
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(async {})
        }
    }

    struct Scene {
        hand: Arc<Hand>,
        shares: Arc<Shares>,
    }

    impl Scene {
        fn new() -> Self {
            let hand = Arc::new(Hand::default());
            let shares = Arc::new(Shares::new(Arc::clone(&hand) as Arc<dyn Clock>));
            Self { hand, shares }
        }

        /// A slot works for so long.
        fn work(&self, candidate: &Candidate, seconds: u64) {
            let share = self.shares.begin(&candidate.query, candidate.owner.as_ref());
            *self.hand.0.lock() += Duration::from_secs(seconds);
            drop(share);
        }

        fn first(&self, candidates: &[Candidate]) -> Candidate {
            self.shares.first(candidates, false).unwrap().clone()
        }
    }

    fn candidate(number: u64, owner: &str) -> Candidate {
        let query = QueryId::at(1_700_000_000_000 + number, &[0; 10]);
        Candidate { query, owner: Some(owner.to_owned()), is_read: true }
    }

    #[test]
    fn the_owner_with_the_least_goes_first_however_many_queries_the_other_has() {
        let scene = Scene::new();
        let mut all: Vec<Candidate> = (0..40).map(|number| candidate(number, "a")).collect();
        scene.work(&all[0], 1);
        all.push(candidate(40, "b"));
        assert_eq!(scene.first(&all), all[40]);
        // Who has a slot now waits for who has none, whatever they had before.
        scene.work(&all[40], 5);
        let _held = scene.shares.begin(&all[3].query, all[3].owner.as_ref());
        assert_eq!(scene.first(&all), all[40]);
    }

    #[test]
    fn two_owners_have_the_same_in_the_long_run() {
        let scene = Scene::new();
        let all = [candidate(0, "a"), candidate(1, "a"), candidate(2, "b")];
        let mut of_b = 0;
        for _ in 0..100 {
            let first = scene.first(&all);
            of_b += u32::from(first.owner.as_deref() == Some("b"));
            scene.work(&first, 1);
        }
        assert!((45..=55).contains(&of_b), "{of_b} of 100 turns");
    }

    #[test]
    fn of_one_owner_a_new_query_goes_before_a_large_one_and_equals_go_by_age() {
        let scene = Scene::new();
        let all = [candidate(0, "a"), candidate(1, "a"), candidate(2, "a")];
        assert_eq!(scene.first(&all), all[0]);
        scene.work(&all[0], 2);
        assert_eq!(scene.first(&all), all[1]);
        scene.work(&all[1], 2);
        scene.work(&all[2], 2);
        assert_eq!(scene.first(&all), all[0]);
        assert_eq!(scene.shares.first(&all[1..], true), Some(&all[1]));
    }

    #[test]
    fn what_somebody_has_had_is_forgotten() {
        let scene = Scene::new();
        let all = [candidate(0, "a"), candidate(1, "b")];
        scene.work(&all[0], 1);
        *scene.hand.0.lock() += HALF * 20;
        scene.work(&all[1], 0);
        assert!(scene.shares.books.lock().owners.is_empty());
        assert_eq!(scene.first(&all), all[0]);
    }

    #[test]
    fn an_unread_query_goes_first() {
        let scene = Scene::new();
        let read = candidate(0, "a");
        scene.work(&read, 1);
        let unread = Candidate { owner: None, is_read: false, ..candidate(1, "a") };
        assert_eq!(scene.first(&[read, unread.clone()]), unread);
    }

    #[test]
    fn one_look_in_four_is_for_the_oldest() {
        let scene = Scene::new();
        let looks: Vec<bool> = (0..8).map(|_| scene.shares.is_for_the_oldest()).collect();
        assert_eq!(looks.iter().filter(|oldest| **oldest).count(), 2);
    }
}
