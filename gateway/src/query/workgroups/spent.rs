//! What the queries of a workgroup use on a day, and what is left of what they may use.
//!
//! ```text
//!   plan ──> reserve: what it is expected to use    write, then LIST, so that two gateways do not both take the last of it
//!              │  more than is left: deleted again, and refused until midnight (UTC)
//!              └─> ended: what it has used           written by the gateway that sees it first
//! ```
//! The numbers are in the names of empty objects, so one LIST reads a day, and later ones only what is new. A query that the
//! gateway runs itself is written when it has ended, and counts at its own gateway before that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys::{self, Spent};
use dunlin_manifest::records::{End, Root};
use dunlin_manifest::store::create::load;
use dunlin_manifest::store::{ControlStore, ObjectControlStore, StoreError};
use dunlin_planner::cost::Tariff;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;

use crate::auth::Workgroup;
use crate::query::answer::Receipt;
use crate::query::day::{DAY_MS, day_of};
use crate::query::error::{CoreError, ErrorKind};
use crate::query::handles::Handles;
use crate::query::hub::Hub;

/// A name may appear so long after the time in its id: planning, and clocks of gateways that differ.
const LATE: Duration = Duration::from_secs(15 * 60);
/// An inline query is taken by what was known so long ago.
const FRESH: Duration = Duration::from_secs(5);
/// A query that still ran is asked about again after this time.
const AGAIN: Duration = Duration::from_secs(10);
/// Queries that are asked about at once, and those of one look.
const READS: (usize, usize) = (16, 128);
/// Names of one LIST. More of one day are more requests.
const PAGE: usize = 100_000;

/// The books of all workgroups that have quotas.
#[derive(Debug)]
pub(super) struct Books {
    handles: Arc<Handles>,
    hub: Arc<Hub>,
    tariff: Arc<Tariff>,
    days: Mutex<HashMap<Arc<str>, Arc<tokio::sync::Mutex<Day>>>>,
}

/// What is known of a group's day.
#[derive(Debug, Default)]
struct Day {
    number: u64,
    queries: BTreeMap<QueryId, Entry>,
    /// When the names were listed.
    listed: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    spent: Spent,
    /// This gateway runs it, and writes it when it has ended.
    is_here: bool,
    /// When it was asked whether the query has ended.
    asked: Option<Duration>,
}

/// What all queries of a day have used, or are expected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) queries: u64,
    pub(crate) bytes: u64,
    pub(crate) micro_usd: u64,
}

impl Total {
    /// Dollars.
    pub(crate) fn cost_usd(self) -> f64 {
        dollars(self.micro_usd)
    }
}

impl Day {
    /// Forgets another day.
    fn turn_over(&mut self, number: u64) {
        if self.number != number {
            *self = Self { number, ..Self::default() };
        }
    }

    fn total(&self) -> Total {
        let add = |sum: Total, entry: &Entry| Total {
            queries: sum.queries + 1,
            bytes: sum.bytes.saturating_add(entry.spent.bytes),
            micro_usd: sum.micro_usd.saturating_add(entry.spent.micro_usd),
        };
        self.queries.values().fold(Total::default(), add)
    }

    /// Takes in a name. What a query has used is known better than what it was expected to use.
    fn take(&mut self, query: QueryId, spent: Spent) {
        let entry =
            self.queries.entry(query).or_insert(Entry { spent, is_here: false, asked: None });
        if spent.is_settled {
            entry.spent = spent;
        }
    }
}

/// What a query has reserved.
#[derive(Clone, Debug)]
pub(super) struct Reserved {
    group: Arc<str>,
    day: u64,
    query: QueryId,
    spent: Spent,
}

impl Reserved {
    fn key(&self) -> String {
        keys::spent(&self.group, self.day, &self.query, &self.spent)
    }
}

impl Books {
    pub(super) fn new(handles: Arc<Handles>, hub: Arc<Hub>, tariff: Arc<Tariff>) -> Self {
        Self { handles, hub, tariff, days: Mutex::default() }
    }

    fn today(&self) -> u64 {
        day_of(self.handles.env().clock.wall_ms())
    }

    fn day(&self, group: &Arc<str>) -> Arc<tokio::sync::Mutex<Day>> {
        Arc::clone(self.days.lock().entry(Arc::clone(group)).or_default())
    }

    /// What a query is expected to use today.
    fn expected(&self, group: &Workgroup, query: &QueryId, bytes: u64, micro_usd: u64) -> Reserved {
        let spent = Spent { is_settled: false, bytes, micro_usd };
        let (group, query) = (Arc::clone(&group.name), query.clone());
        Reserved { group, day: self.today(), query, spent }
    }

    /// Reserves what a query is expected to use. None: its group has no quota.
    ///
    /// # Errors
    /// It is more than is left of the day.
    pub(super) async fn reserve(
        &self,
        store: &ObjectControlStore,
        group: &Workgroup,
        query: &QueryId,
        (bytes, dollars): (u64, Option<f64>),
    ) -> Result<Option<Reserved>, CoreError> {
        if group.day.is_none() {
            return Ok(None);
        }
        let reserved = self.expected(group, query, bytes, dollars.map_or(0, micros));
        store.put(&reserved.key(), Bytes::new()).await?;
        let day = self.day(&group.name);
        let mut day = day.lock().await;
        let checked = self.check(store, group, &mut day, (reserved.day, None)).await;
        drop(day);
        match checked {
            Ok(()) => Ok(Some(reserved)),
            Err(error) => {
                self.cancel(reserved).await;
                Err(error)
            }
        }
    }

    /// Gives back what a query has reserved that does not come to be.
    pub(super) async fn cancel(&self, reserved: Reserved) {
        if let Err(error) = self.handles.store().delete(&reserved.key()).await {
            tracing::debug!(query = %reserved.query, %error, "a reservation stays until midnight");
        }
        self.day(&reserved.group).lock().await.queries.remove(&reserved.query);
    }

    /// Counts a query that this gateway runs itself, as it is expected to use so many bytes. None: its group has no quota.
    ///
    /// # Errors
    /// It is more than is left of the day, by what was known a few seconds ago.
    pub(super) async fn begin_here(
        self: &Arc<Self>,
        group: &Workgroup,
        query: &QueryId,
        bytes: u64,
    ) -> Result<Option<Here>, CoreError> {
        if group.day.is_none() || bytes == 0 {
            return Ok(None);
        }
        let reserved = self.expected(group, query, bytes, 0);
        let day = self.day(&group.name);
        let mut day = day.lock().await;
        day.turn_over(reserved.day);
        let entry = Entry { spent: reserved.spent, is_here: true, asked: None };
        day.queries.insert(query.clone(), entry);
        let (number, store) = (reserved.day, self.handles.store());
        // A client may leave while this waits.
        let here = Here { books: Arc::clone(self), reserved, runs: false };
        self.check(store, group, &mut day, (number, Some(FRESH))).await?;
        Ok(Some(here))
    }

    /// What the queries of a group have used today, as far as it is written.
    pub(crate) async fn today_of(&self, group: &Workgroup) -> Result<Total, CoreError> {
        let (today, day) = (self.today(), self.day(&group.name));
        let mut day = day.lock().await;
        day.turn_over(today);
        self.refresh(self.handles.store(), &group.name, &mut day, Some(FRESH), false).await?;
        Ok(day.total())
    }

    /// Whether what is known of a day is within the quota. `age`: names that were listed so lately need not be listed again.
    async fn check(
        &self,
        store: &ObjectControlStore,
        group: &Workgroup,
        day: &mut Day,
        (number, age): (u64, Option<Duration>),
    ) -> Result<(), CoreError> {
        day.turn_over(number);
        self.refresh(store, &group.name, day, age, false).await?;
        if self.over(group, day.total()).is_none() {
            return Ok(());
        }
        // Queries have ended meanwhile, and used less.
        self.refresh(store, &group.name, day, None, true).await?;
        match self.over(group, day.total()) {
            None => Ok(()),
            Some(error) => Err(error.into()),
        }
    }

    fn over(&self, group: &Workgroup, total: Total) -> Option<ErrorKind> {
        let left = DAY_MS - self.handles.env().clock.wall_ms() % DAY_MS;
        let of = |message: String| ErrorKind::QuotaExceeded {
            message: format!(
                "workgroup {:?} {message}, with this query; the next day (UTC) begins in {} minutes",
                group.name,
                left.div_ceil(60_000)
            ),
            after: Duration::from_millis(left),
        };
        if let Some(most) = group.day.bytes.filter(|most| total.bytes > *most) {
            return Some(of(format!(
                "may scan {most} bytes a day, and its queries of today take {}",
                total.bytes
            )));
        }
        let most = group.day.cost_usd.filter(|most| total.micro_usd > micros(*most))?;
        Some(of(format!(
            "may spend ${most} a day, and its queries of today take ${:.6}",
            dollars(total.micro_usd)
        )))
    }

    /// Takes in what is new: names, unless they were listed within `age`, and ends, also of queries that were asked about a
    /// moment ago if `all`.
    async fn refresh(
        &self,
        store: &ObjectControlStore,
        group: &str,
        day: &mut Day,
        age: Option<Duration>,
        all: bool,
    ) -> Result<(), StoreError> {
        self.list(store, group, day, age).await?;
        self.settle(store, group, day, all).await;
        Ok(())
    }

    /// Takes in the names that are new since the last time.
    async fn list(
        &self,
        store: &ObjectControlStore,
        group: &str,
        day: &mut Day,
        age: Option<Duration>,
    ) -> Result<(), StoreError> {
        let now = self.handles.now();
        let is_fresh = |age| day.listed.is_some_and(|at| now.saturating_sub(at) < age);
        if age.is_some_and(is_fresh) {
            return Ok(());
        }
        let prefix = keys::spent_on(group, day.number);
        let since = day.listed.map(|_| {
            let late = u64::try_from(LATE.as_millis()).unwrap_or(u64::MAX);
            QueryId::at(self.handles.env().clock.wall_ms().saturating_sub(late), &[0; 10])
        });
        let mut after = since.as_ref().map(|since| format!("{prefix}{since}"));
        let mut seen = HashSet::new();
        loop {
            let (names, all) = store.list_between(&prefix, after.as_deref(), None, PAGE).await?;
            for name in &names {
                if let Some((query, spent)) = keys::parse_spent(name) {
                    seen.insert(query.clone());
                    day.take(query, spent);
                }
            }
            after = names.last().cloned();
            if all || after.is_none() || !store.is_sorted() {
                break;
            }
        }
        // What is no longer there was given back, by whichever gateway had reserved it.
        day.queries.retain(|query, entry| {
            let is_listed = since.as_ref().is_none_or(|since| query >= since);
            !is_listed || entry.spent.is_settled || entry.is_here || seen.contains(query)
        });
        day.listed = Some(now);
        Ok(())
    }

    /// Asks whether queries have ended that had not. `all`: also such that were asked about a moment ago.
    async fn settle(&self, store: &ObjectControlStore, group: &str, day: &mut Day, all: bool) {
        let now = self.handles.now();
        let is_due = |entry: &Entry| {
            let is_old = entry.asked.is_none_or(|at| now.saturating_sub(at) >= AGAIN);
            !entry.spent.is_settled && !entry.is_here && (all || is_old)
        };
        let due = day.queries.iter_mut().filter(|(_, entry)| is_due(entry)).take(READS.1);
        let due: Vec<(QueryId, Spent)> = due
            .map(|(query, entry)| {
                entry.asked = Some(now);
                (query.clone(), entry.spent)
            })
            .collect();
        let settled: Vec<_> = stream::iter(due)
            .map(|(query, expected)| async move {
                let used = self.used(store, &query, expected).await;
                (query, used)
            })
            .buffer_unordered(READS.0)
            .collect()
            .await;
        for (query, used) in settled {
            let Some(spent) = used else { continue };
            day.take(query.clone(), spent);
            self.write(keys::spent(group, day.number, &query, &spent), query);
        }
    }

    /// What a query has used, if it has ended.
    async fn used(
        &self,
        store: &ObjectControlStore,
        query: &QueryId,
        expected: Spent,
    ) -> Option<Spent> {
        let end = load::<End>(store, &keys::end(query)).await.ok()??;
        // What a query has used that was cancelled is not known. It does not become free by that.
        let Some(summary) = end.summary else {
            return Some(Spent { is_settled: true, ..expected });
        };
        let root = load::<Root>(store, &keys::root(query)).await.ok()??;
        let mut receipt = Receipt::of(root.route, &summary);
        receipt.price(&self.tariff);
        let micro_usd = receipt.cost_usd.map_or(0, |cost| micros(cost.total));
        Some(Spent { is_settled: true, bytes: summary.bytes_scanned, micro_usd })
    }

    fn write(&self, key: String, query: QueryId) {
        let store = self.handles.store().clone();
        self.hub.beside(async move {
            if let Err(error) = store.put(&key, Bytes::new()).await {
                tracing::warn!(%query, %error, "what a query has used is not written");
            }
        });
    }
}

/// A query that this gateway runs, or is about to run. When it is dropped, the query has ended.
#[derive(Debug)]
pub(crate) struct Here {
    books: Arc<Books>,
    reserved: Reserved,
    runs: bool,
}

impl Here {
    /// The query begins. One that never does has used nothing.
    pub(crate) fn running(mut self) -> Self {
        self.runs = true;
        self
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        if !self.runs {
            let Reserved { group, query, .. } = self.reserved.clone();
            let day = self.books.day(&group);
            self.books.hub.beside(async move {
                day.lock().await.queries.remove(&query);
            });
            return;
        }
        self.reserved.spent.is_settled = true;
        let Reserved { group, query, spent, .. } = self.reserved.clone();
        self.books.write(self.reserved.key(), query.clone());
        let day = self.books.day(&group);
        self.books.hub.beside(async move {
            if let Some(entry) = day.lock().await.queries.get_mut(&query) {
                *entry = Entry { spent, is_here: false, asked: None };
            }
        });
    }
}

/// Millionths of a dollar, rounded up.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and nothing is negative
fn micros(dollars: f64) -> u64 {
    // What is a whole number but for the last bits is that number.
    (dollars * 1_000_000.0 - 1e-6).ceil().max(0.0) as u64
}

#[allow(clippy::cast_precision_loss)] // for people
fn dollars(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}
