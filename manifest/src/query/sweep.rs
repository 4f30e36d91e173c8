//! The sweeper: advances or ends queries whose processes died, and tells of work that nobody takes.
//!
//! Every gateway lists `live/` from time to time and advances the queries in it, and so may a scheduled function. Any
//! number of processes may do so at once, because each step is a create that one of them wins. Advancing does not help
//! some queries. They are ended, so that no client waits forever:
//!
//! - one whose tasks no living worker takes: `NO_COMPATIBLE_WORKER`;
//! - one that was announced and whose `root` was never written: `SUBMISSION_FAILED`;
//! - one whose `root` this build cannot read, after the longest time that a query may take: `TIMEOUT`.
//!
//! A query that writes files and did not succeed stays in `live/` until a sweeper has looked after its files
//! ([`Site::settle`]), so this happens also if whoever ended the query died, and nobody ever asks for it.
//!
//! Of another build's query a process derives nothing. It ends the query when its time is over, or when nothing of it
//! has moved for long.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use crate::decide::end;
use crate::model::ids::{Attempt, QueryId, StageId, TaskId};
use crate::model::keys;
use crate::model::records::{ErrorCode, QueryError, Route};
use crate::model::view::QueryView;
use crate::query::finish::create_end;
use crate::query::glance::{Found, Seen, look};
use crate::query::handle::QueryHandle;
use crate::query::hints::active;
use crate::query::news::Reminder;
use crate::store::control::{ControlStore, StoreError};

pub use crate::query::site::{Opened, Site};

/// Queries advanced at the same time.
const AT_ONCE: usize = 8;
/// A worker that has repeated its refusal is alive for so long. The longest pause of an idle one is 23 s.
const REFUSES_FOR: Duration = Duration::from_secs(60);
/// Refusals read for the message of `NO_COMPATIBLE_WORKER`.
const REFUSALS_SHOWN: usize = 5;
/// A query of another build may stand still for so many times its `no_worker_ms`.
const FOREIGN_PATIENCE: u32 = 5;
const ORPHANED: &str = "the gateway that took the query died before it was written down; submit it again under a new Idempotency-Key";
const UNREADABLE: &str = "the query was written by a version of Dunlin that this gateway cannot read, and did not end in time; submit it again";

/// How often and how patiently a process sweeps.
#[derive(Clone, Copy, Debug)]
pub struct SweepPeriods {
    /// Pause while there are active queries.
    pub busy: Duration,
    /// Longest pause while there are none.
    pub idle: Duration,
    /// How long a query with refusals may make no progress. Refusals that are repeated show that workers are alive and none
    /// of them fits, so waiting longer would not help.
    pub refused: Duration,
    /// How long an announced query may have no `root` before it is ended as never submitted. This is long, because a
    /// client's retry may still write the root.
    pub orphan: Duration,
    /// How long a query whose root this build cannot read may stay before it is ended.
    pub unreadable: Duration,
    /// How long the files of a query that has ended are looked after. Then they stay as they are, because this process
    /// may not reach them.
    pub unsettled: Duration,
}

impl Default for SweepPeriods {
    fn default() -> Self {
        Self {
            busy: Duration::from_secs(2),
            idle: Duration::from_secs(10),
            refused: Duration::from_secs(10),
            orphan: Duration::from_secs(15 * 60),
            unreadable: Duration::from_secs(12 * 3600),
            unsettled: Duration::from_secs(3600),
        }
    }
}

/// What workers have done for a query, as its keys show. If it changes, a worker is alive.
#[derive(Debug, Default)]
struct Traces {
    facts: u64,
    /// Every heartbeat ever seen, so that it does not count as new after a view without heartbeats.
    beats: BTreeMap<(StageId, TaskId, Attempt), (i64, u64)>,
}

impl Traces {
    /// Adds a view. Returns true if it shows something new.
    fn take(&mut self, view: &QueryView) -> bool {
        let facts = view.facts();
        let mut new = facts != self.facts;
        self.facts = facts;
        for (&claim, &beat) in &view.beats {
            new |= self.beats.insert(claim, beat) != Some(beat);
        }
        new
    }
}

/// What this gateway remembers of an active query between sweeps.
#[derive(Debug)]
struct Care {
    handle: Arc<QueryHandle>,
    traces: Traces,
    /// When a worker was last seen at the query, or when the query was first seen.
    since: Duration,
    reminder: Reminder,
    refusals: BTreeMap<String, Refused>,
}

/// A refusal: its stamp, and when this process has seen another stamp than before.
#[derive(Clone, Copy, Debug)]
struct Refused {
    stamp_ms: i64,
    repeated: Option<Duration>,
}

impl Care {
    fn note_refusals(&mut self, now: Duration, view: &QueryView) {
        for (worker, &stamp_ms) in &view.refusals {
            let first = Refused { stamp_ms, repeated: None };
            let refused = self.refusals.entry(worker.clone()).or_insert(first);
            if refused.stamp_ms != stamp_ms {
                *refused = Refused { stamp_ms, repeated: Some(now) };
            }
        }
    }

    /// The workers that refuse the query and are alive. One that has refused it once may be gone, and a fleet that can run
    /// it may be starting.
    fn refusing(&self, now: Duration) -> Vec<&str> {
        let lately = |refused: &Refused| {
            refused.repeated.is_some_and(|at| now.saturating_sub(at) < REFUSES_FOR)
        };
        let refusals = self.refusals.iter().filter(|(_, refused)| lately(refused));
        refusals.map(|(worker, _)| worker.as_str()).collect()
    }
}

/// What a sweep has found.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// Active queries.
    pub queries: usize,
    /// Queries that have ended, and whose files are not settled yet.
    pub unsettled: usize,
    /// Their tasks that may be claimed and are not.
    pub open: usize,
    /// Their tasks that are claimed and run.
    pub running: usize,
    /// Of both, those of each pool; those of no pool by the empty name.
    pub pools: BTreeMap<String, usize>,
    /// For how long nothing has moved of the query that has stood still longest.
    pub still: Duration,
    /// Queries that were active at a former sweep and are not any more.
    pub gone: Vec<Arc<QueryHandle>>,
}

/// Sweeps, and remembers what it has seen before.
#[derive(Debug)]
pub struct Sweeper {
    site: Arc<dyn Site>,
    periods: SweepPeriods,
    cares: HashMap<QueryId, Care>,
    /// Announced queries without a root, with the time when each was first seen.
    rootless: HashMap<QueryId, Duration>,
    /// Queries whose root cannot be read by this build, with the time when each was first seen.
    unreadable: HashMap<QueryId, Duration>,
    /// Queries that have ended and whose files are not settled yet, with the time when each was first seen.
    unsettled: HashMap<QueryId, Duration>,
    /// When a worker was last seen at any fleet query of a pool, or of none.
    fleet_seen: HashMap<Option<String>, Duration>,
}

impl Sweeper {
    /// A sweeper that has seen nothing yet.
    #[must_use]
    pub fn new(site: Arc<dyn Site>, periods: SweepPeriods) -> Self {
        Self {
            site,
            periods,
            cares: HashMap::new(),
            rootless: HashMap::new(),
            unreadable: HashMap::new(),
            unsettled: HashMap::new(),
            fleet_seen: HashMap::new(),
        }
    }

    /// One sweep.
    ///
    /// # Errors
    /// The active queries could not be listed.
    pub async fn sweep(&mut self) -> Result<Swept, StoreError> {
        let queries = active(self.site.store()).await?;
        let known: HashSet<&QueryId> = queries.iter().collect();
        let gone = self.cares.extract_if(|query, _| !known.contains(query));
        let gone: Vec<_> = gone.map(|(_, care)| care.handle).collect();
        self.rootless.retain(|query, _| known.contains(query));
        self.unreadable.retain(|query, _| known.contains(query));
        self.unsettled.retain(|query, _| known.contains(query));
        self.put_back(&known).await;
        let looks: Vec<(QueryId, Found)> = futures::stream::iter(queries)
            .map(|query| {
                let site = Arc::clone(&self.site);
                let since = self.cares.get(&query).map(|care| care.since);
                let ended = self.unsettled.get(&query).copied();
                let longest = self.periods.unsettled;
                async move {
                    let until_now = |since: Duration| now(site.as_ref()).saturating_sub(since);
                    let seen = Seen {
                        still: since.map(until_now),
                        ended: ended.map(until_now).unwrap_or_default(),
                        longest,
                    };
                    let found = look(site.as_ref(), &query, seen).await;
                    (query, found)
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut swept = Swept { gone, ..Swept::default() };
        let now = now(self.site.as_ref());
        let mut standing = Vec::new();
        for (query, found) in looks {
            match &found {
                Found::Going { news, .. } => {
                    swept.queries += 1;
                    let open = news.open.iter().map(|open| *open as usize).sum::<usize>();
                    swept.open += open;
                    let pool = news.pool.clone().unwrap_or_default();
                    *swept.pools.entry(pool).or_default() += open + news.running as usize;
                    swept.running += news.running as usize;
                }
                Found::Ended { unsettled, .. } => {
                    swept.unsettled += usize::from(*unsettled);
                    swept.gone.extend(self.cares.get(&query).map(|care| Arc::clone(&care.handle)));
                }
                Found::Rootless | Found::Unreadable | Found::Unknown => swept.queries += 1,
            }
            if let Some(idle) = self.note(now, &query, found).await {
                standing.push(idle);
            }
        }
        // Judged only after all queries were looked at: a worker that is busy with another query is alive.
        for (handle, view) in standing {
            self.judge(now, &handle, &view).await;
        }
        let still = self.cares.values().map(|care| now.saturating_sub(care.since));
        swept.still = still.max().unwrap_or_default();
        Ok(swept)
    }

    /// Puts hints back that are gone although somebody still waits for the query.
    async fn put_back(&self, listed: &HashSet<&QueryId>) {
        for handle in self.site.in_use() {
            if listed.contains(&handle.query) || handle.known_end().is_some() {
                continue;
            }
            // Without its root nothing of it is left, its end neither: whoever still waits has slept for longer than that is
            // kept.
            if let Ok(None) = handle.ended().await
                && let Ok(Some(_)) = self.site.store().get(&keys::root(&handle.query)).await
            {
                let hint = keys::active(&handle.query);
                if let Err(error) = self.site.store().put(&hint, Bytes::new()).await {
                    tracing::debug!(query = %handle.query, %error, "a hint could not be put back");
                }
            }
        }
    }

    /// Records a look. Returns the query if its tasks are open and no worker runs any.
    async fn note(
        &mut self,
        now: Duration,
        query: &QueryId,
        found: Found,
    ) -> Option<(Arc<QueryHandle>, Box<QueryView>)> {
        match found {
            Found::Unknown => None,
            Found::Ended { answered, unsettled } => {
                if unsettled {
                    self.unsettled.entry(query.clone()).or_insert(now);
                } else {
                    self.unsettled.remove(query);
                }
                if let Some(care) = self.cares.remove(query)
                    && answered
                    && care.handle.root.route == Route::Fleet
                {
                    self.fleet_seen.insert(care.handle.root.pool.clone(), now);
                }
                self.rootless.remove(query);
                None
            }
            Found::Rootless => {
                let first = *self.rootless.entry(query.clone()).or_insert(now);
                if now.saturating_sub(first) >= self.periods.orphan {
                    self.end(query, ErrorCode::SubmissionFailed, ORPHANED).await;
                }
                None
            }
            Found::Unreadable => {
                let first = *self.unreadable.entry(query.clone()).or_insert(now);
                if now.saturating_sub(first) >= self.periods.unreadable {
                    self.end(query, ErrorCode::Timeout, UNREADABLE).await;
                }
                None
            }
            Found::Going { handle, view, news, idle } => {
                self.rootless.remove(query);
                let known = self.cares.contains_key(query);
                let care = self.cares.entry(query.clone()).or_insert_with(|| Care {
                    handle: Arc::clone(&handle),
                    traces: Traces::default(),
                    since: now,
                    reminder: Reminder::default(),
                    refusals: BTreeMap::new(),
                });
                care.note_refusals(now, &view);
                // Objects from before this gateway's first look do not show that a worker is alive.
                if care.traces.take(&view) && known {
                    care.since = now;
                    if handle.root.route == Route::Fleet {
                        self.fleet_seen.insert(handle.root.pool.clone(), now);
                    }
                }
                if let Some(news) = care.reminder.remind(now, view.facts(), news) {
                    self.site.tell(news).await;
                }
                idle.then_some((handle, view))
            }
        }
    }

    /// Ends a query that no worker takes.
    async fn judge(&self, now: Duration, handle: &QueryHandle, view: &QueryView) {
        let Some(care) = self.cares.get(&handle.query) else { return };
        let refusing = care.refusing(now);
        let mut since = care.since;
        if let Some(seen) = self.fleet_seen.get(&handle.root.pool)
            && handle.root.route == Route::Fleet
        {
            since = since.max(*seen);
        }
        // This process runs it when one of its own slots is free, so it has a worker and waits for it.
        if handle.root.route == Route::Inline
            && refusing.is_empty()
            && self.site.run_here(&handle.query).await
        {
            return;
        }
        let patience = Duration::from_millis(handle.root.limits.no_worker_ms);
        // A worker that is busy shows a heartbeat within the lease at the latest.
        let lease = Duration::from_millis(handle.root.limits.lease_ms);
        let refused = self.periods.refused.max(lease);
        let patience = match handle.is_own() {
            true if refusing.is_empty() => patience,
            true => patience.min(refused),
            // Its tasks are not listed, so less is seen of it.
            false => patience.saturating_mul(FOREIGN_PATIENCE),
        };
        let still = now.saturating_sub(since);
        if still < patience {
            return;
        }
        // The view is older. Anything that happened since then shows that a worker is alive.
        match handle.look(true).await {
            Ok(()) if handle.view().facts() == view.facts() => {}
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(query = %handle.query, %error, "the query could not be looked at");
                return;
            }
        }
        let error = QueryError {
            code: ErrorCode::NoCompatibleWorker,
            message: self.nobody(handle, &refusing, still).await,
            retryable: true,
        };
        tracing::warn!(query = %handle.query, message = error.message, "no worker takes the query");
        if let Err(error) = handle.fail(error).await {
            tracing::warn!(query = %handle.query, %error, "the query could not be ended");
        }
    }

    async fn nobody(&self, handle: &QueryHandle, refusing: &[&str], still: Duration) -> String {
        let waited = still.as_secs();
        if let Some(trouble) = self.site.trouble().filter(|_| refusing.is_empty()) {
            return format!(
                "no worker is running: tasks were open for {waited} s and nobody claimed one; {trouble}"
            );
        }
        if refusing.is_empty() {
            if let Some(pool) = &handle.root.pool {
                return format!(
                    "no worker of pool {pool} is running: tasks were open for {waited} s and nobody claimed one; start one with --pool {pool} on the same state location and submit the query again"
                );
            }
            return format!(
                "no worker is running: tasks were open for {waited} s and nobody claimed one; start a worker on the same state location and submit the query again"
            );
        }
        let mut workers = Vec::new();
        for &worker in refusing.iter().take(REFUSALS_SHOWN) {
            let body = self.site.store().get(&keys::refusal(&handle.query, worker)).await;
            let why = body.ok().flatten().map(|got| reason(&got.body)).unwrap_or_default();
            workers.push(if why.is_empty() {
                worker.to_owned()
            } else {
                format!("{worker} ({why})")
            });
        }
        let more = refusing.len().saturating_sub(workers.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!(
            "no running worker can compute for this query, which needs {} (build {}): refused by {}{more}; tasks were open for {waited} s; start workers of this build, and submit the query again",
            handle.root.engine.engine,
            handle.root.engine.build,
            workers.join(", "),
        )
    }

    /// Ends a query that has no root, or none that can be read.
    async fn end(&self, query: &QueryId, code: ErrorCode, message: &str) {
        let env = self.site.store().env();
        let error = QueryError { code, message: message.to_owned(), retryable: true };
        let end = end::failed(env.nonce(), error);
        match create_end(self.site.store(), env, query, end).await {
            Ok(_) => tracing::warn!(%query, message, "a query was ended"),
            Err(error) => tracing::warn!(%query, %error, "a query could not be ended"),
        }
    }
}

/// The text of a refusal, which is a JSON object with an `engine` or plain text.
fn reason(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let engine = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|value| value.get("engine")?.as_str().map(ToOwned::to_owned));
    engine.unwrap_or_else(|| text.trim().to_owned()).chars().take(200).collect()
}

/// Time by this process's clock.
fn now(site: &dyn Site) -> Duration {
    site.store().env().clock.monotonic()
}
