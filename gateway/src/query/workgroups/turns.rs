//! When a query of a workgroup may run: as many at a time as the group allows, at all gateways together.
//!
//! ```text
//!   place 0:  0.1 query A (over) ── 0.2 query C (over) ── 0.3 query F        a turn is created once, by one gateway,
//!   place 1:  1.1 query B (over) ── 1.2 query D                             after the query of the turn before is over
//! ```
//! A query that has a turn is over when it has an end, so nobody gives a place back, and none is lost with its process. At
//! each gateway the first in line looks for all. A line has a limit, and so has the wait.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::model::encoding::{RECORD_VERSION, encode};
use dunlin_manifest::query::active;
use dunlin_manifest::records::End;
use dunlin_manifest::store::create::{Decision, decide, load};
use dunlin_manifest::store::{ControlStore, ObjectControlStore, StoreError};
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::try_join;

use crate::auth::Workgroup;
use crate::query::error::{CoreError, ErrorKind};
use crate::query::handles::Handles;
use crate::query::hub::Hub;

/// Pauses between two looks for a free place: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// A query that has a turn and was never written: its gateway has died, or could not write it.
const UNWRITTEN: Duration = Duration::from_secs(60);
/// So many turns of a place are kept. A look that is so old that they have all been taken since is made again.
const KEPT: u32 = 32;
/// A look that took its turn after so long is checked.
const OLD_LOOK: Duration = Duration::from_secs(1);
/// Records that are read at the same time.
const READS: usize = 16;

/// A turn of a place.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    v: u32,
    nonce: String,
    query: QueryId,
}

/// The turns of all workgroups.
#[derive(Debug)]
pub(super) struct Turns {
    handles: Arc<Handles>,
    hub: Arc<Hub>,
    lines: Mutex<HashMap<Arc<str>, Arc<Line>>>,
}

/// Who waits for a group's places, and what this process knows of them.
#[derive(Debug, Default)]
struct Line {
    /// Held by the first in line.
    first: tokio::sync::Mutex<Known>,
    /// All that are in line, the first among them.
    length: AtomicUsize,
    /// The latest look has found no place.
    is_full: AtomicBool,
}

/// What this process knows of a group's turns.
#[derive(Debug, Default)]
struct Known {
    /// The queries of turns, by place and number.
    queries: HashMap<(u32, u32), QueryId>,
    over: HashSet<QueryId>,
    /// Queries without a record, and since when.
    unwritten: HashMap<QueryId, Duration>,
}

/// One who is in line, until this is dropped.
struct InLine<'a>(&'a AtomicUsize);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turns {
    pub(super) fn new(handles: Arc<Handles>, hub: Arc<Hub>) -> Self {
        Self { handles, hub, lines: Mutex::default() }
    }

    /// Waits for the turn of `query`, and takes it. `is_wanted`: whether its client still waits.
    ///
    /// # Errors
    /// The line is full, the wait is over, or the client has left.
    pub(super) async fn take(
        &self,
        store: &ObjectControlStore,
        group: &Workgroup,
        query: &QueryId,
        is_wanted: impl Fn() -> bool + Send,
    ) -> Result<(), CoreError> {
        let Some(most) = group.running else { return Ok(()) };
        let line = Arc::clone(self.lines.lock().entry(Arc::clone(&group.name)).or_default());
        let in_line = line.length.fetch_add(1, Ordering::Relaxed) + 1;
        let _in_line = InLine(&line.length);
        // The first in line always looks. Otherwise a line in which nobody may wait would stay full.
        if line.is_full.load(Ordering::Relaxed) && in_line > group.queued.max(1) {
            return Err(crowded(group, most, "that is all"));
        }
        let clock = &self.handles.env().clock;
        let over = clock.monotonic() + group.wait;
        let mut known = tokio::select! {
            known = line.first.lock() => known,
            () = clock.sleep(group.wait) => return Err(crowded(group, most, "the wait is over")),
        };
        let mut pause = PAUSES.0;
        loop {
            if !is_wanted() {
                return Err(ErrorKind::Cancelled.into());
            }
            // It is not broken off: a turn that was taken and not used is lost for a minute.
            let is_taken = self.look(store, (group, most), query, &mut known).await?;
            line.is_full.store(!is_taken, Ordering::Relaxed);
            if is_taken {
                return Ok(());
            }
            if line.length.load(Ordering::Relaxed) > group.queued {
                return Err(crowded(group, most, "no more may wait"));
            }
            let left = over.saturating_sub(clock.monotonic());
            if left.is_zero() {
                return Err(crowded(group, most, "the wait is over"));
            }
            clock.sleep(pause.min(left)).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Takes a place if one is free.
    async fn look(
        &self,
        store: &ObjectControlStore,
        (group, most): (&Workgroup, usize),
        query: &QueryId,
        known: &mut Known,
    ) -> Result<bool, CoreError> {
        let env = self.handles.env();
        loop {
            let began = env.clock.monotonic();
            let (latest, live) = try_join!(latest_turns(store, &group.name), active(store))?;
            self.learn(store, &group.name, (&latest, &live), known).await?;
            let is_busy = |(place, number): (&u32, &u32)| {
                let query = known.queries.get(&(*place, *number));
                query.is_some_and(|query| !known.over.contains(query))
            };
            // Places above a limit that was lowered count until their queries are over.
            if latest.iter().filter(|turn| is_busy(*turn)).count() >= most {
                return Ok(false);
            }
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            let free = (0..most).find(|place| !latest.get_key_value(place).is_some_and(is_busy));
            let Some(place) = free else { return Ok(false) };
            let number = latest.get(&place).map_or(1, |number| number.saturating_add(1));
            let key = keys::turn(&group.name, place, number);
            let nonce = env.nonce();
            let turn = Turn { v: RECORD_VERSION, nonce: nonce.clone(), query: query.clone() };
            match decide(store, env, &key, encode(&turn), &nonce).await {
                Ok(Decision::Won) => {}
                // Another gateway has it.
                Ok(Decision::Lost(_)) => continue,
                Err(error) => return Err(CoreError::store(error)),
            }
            known.queries.insert((place, number), query.clone());
            let age = env.clock.monotonic().saturating_sub(began);
            if age >= OLD_LOOK
                && latest_turns(store, &group.name).await?.get(&place) != Some(&number)
            {
                // The turns after the one that was seen had been taken and deleted.
                continue;
            }
            if let Some(old) = number.checked_sub(KEPT).filter(|old| *old > 0) {
                let (store, old) = (store.clone(), keys::turn(&group.name, place, old));
                known.queries.remove(&(place, number - KEPT));
                self.hub.beside(async move {
                    if let Err(error) = store.delete(&old).await {
                        tracing::debug!(%error, "an old turn of a workgroup stays");
                    }
                });
            }
            return Ok(true);
        }
    }

    /// Reads whose turns these are, and which of the queries are over.
    async fn learn(
        &self,
        store: &ObjectControlStore,
        group: &str,
        (latest, live): (&BTreeMap<u32, u32>, &[QueryId]),
        known: &mut Known,
    ) -> Result<(), StoreError> {
        let unread = latest.iter().map(|(place, number)| (*place, *number));
        let unread: Vec<(u32, u32)> =
            unread.filter(|turn| !known.queries.contains_key(turn)).collect();
        let read: Vec<_> = stream::iter(unread)
            .map(|(place, number)| async move {
                let turn = load::<Turn>(store, &keys::turn(group, place, number)).await?;
                Ok::<_, StoreError>(((place, number), turn))
            })
            .buffered(READS)
            .try_collect()
            .await?;
        let read = read.into_iter().filter_map(|(at, turn)| Some((at, turn?.query)));
        known.queries.extend(read);
        let now = self.handles.now();
        let is_latest = |(place, number): &(u32, u32)| latest.get(place) == Some(number);
        known.queries.retain(|at, _| is_latest(at));
        let all: HashSet<QueryId> = known.queries.values().cloned().collect();
        known.over.retain(|query| all.contains(query));
        known.unwritten.retain(|query, _| all.contains(query) && !live.contains(query));
        let gone = all.into_iter().filter(|it| !known.over.contains(it) && !live.contains(it));
        let gone: Vec<QueryId> = gone.collect();
        let asked: Vec<(QueryId, Fate)> = stream::iter(gone)
            .map(|query| async move {
                let fate = fate(store, &query).await?;
                Ok::<_, StoreError>((query, fate))
            })
            .buffered(READS)
            .try_collect()
            .await?;
        for (query, fate) in asked {
            let is_over = match fate {
                Fate::Over => true,
                Fate::Open => false,
                Fate::Unwritten => {
                    let since = *known.unwritten.entry(query.clone()).or_insert(now);
                    now.saturating_sub(since) >= UNWRITTEN
                }
            };
            if is_over {
                known.over.insert(query);
            }
        }
        Ok(())
    }
}

/// The latest turn of each place.
async fn latest_turns(
    store: &ObjectControlStore,
    group: &str,
) -> Result<BTreeMap<u32, u32>, StoreError> {
    let mut latest = BTreeMap::new();
    for listed in store.list(&keys::turns(group)).await? {
        if let Some((place, number)) = keys::parse_turn(&listed.key) {
            let newest = latest.entry(place).or_insert(number);
            *newest = number.max(*newest);
        }
    }
    Ok(latest)
}

/// What became of a query that no hint names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Over,
    Open,
    Unwritten,
}

async fn fate(store: &ObjectControlStore, query: &QueryId) -> Result<Fate, StoreError> {
    if load::<End>(store, &keys::end(query)).await?.is_some() {
        return Ok(Fate::Over);
    }
    let root = store.get(&keys::root(query)).await?;
    Ok(if root.is_some() { Fate::Open } else { Fate::Unwritten })
}

fn crowded(group: &Workgroup, most: usize, why: &str) -> CoreError {
    ErrorKind::Crowded(format!(
        "workgroup {:?} runs {most} queries at a time and up to {} more wait at this gateway, and {why}; try again later",
        group.name, group.queued
    ))
    .into()
}
