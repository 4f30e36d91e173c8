//! The sweeper: advances or ends queries whose processes died.
//!
//! Every gateway lists `live/` from time to time and advances the queries in it. Any number of gateways may do so
//! at once, because each step is a create that one of them wins. Advancing does not help two kinds of query. They are
//! ended, so that no client waits forever:
//!
//! - one whose tasks no living worker takes: `NO_COMPATIBLE_WORKER`;
//! - one that was announced and whose `root` was never written: `SUBMISSION_FAILED`;
//! - one whose `root` this build cannot read, after the longest time that a query may take: `TIMEOUT`.
//!
//! Of another build's query a gateway derives nothing. It ends the query when its time is over, or when nothing of it
//! has moved for long.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dunlin_manifest::decide::end;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::model::view::QueryView;
use dunlin_manifest::query::{
    AdvanceError, PATIENCE, QueryHandle, active, create_end, retire, ring,
};
use dunlin_manifest::records::{
    Attempt, End, EndStatus, ErrorCode, QueryError, Route, StageId, TaskId,
};
use dunlin_manifest::store::create::load;
use dunlin_manifest::store::{ControlStore, StoreError};
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::error::ErrorKind;
use super::handles::Handles;
use crate::options::{LocalRunner, SweepPeriods};

/// Queries advanced at the same time.
const AT_ONCE: usize = 8;
/// Refusals read for the message of `NO_COMPATIBLE_WORKER`.
const REFUSALS_SHOWN: usize = 5;
/// Refusals are listed when a query has made no progress for this long.
const LOOK_FOR_REFUSALS: Duration = Duration::from_secs(3);

/// A query of another build may stand still for so many times its `no_worker_ms`.
const FOREIGN_PATIENCE: u32 = 5;
const ORPHANED: &str = "the gateway that took the query died before it was written down; submit it again under a new Idempotency-Key";
const UNREADABLE: &str = "the query was written by a version of Dunlin that this gateway cannot read, and did not end in time; submit it again";

/// Sweeps until the gateway stops.
pub(crate) async fn run(
    handles: Arc<Handles>,
    local: Option<Arc<dyn LocalRunner>>,
    periods: SweepPeriods,
    stop: CancellationToken,
) {
    let env = handles.env().clone();
    let mut sweeper = Sweeper::new(Site { handles, local }, periods);
    let mut pause = periods.busy;
    loop {
        tokio::select! {
            () = env.clock.sleep(env.jitter(pause)) => {}
            () = stop.cancelled() => return,
        }
        let sweep = AssertUnwindSafe(sweeper.sweep()).catch_unwind();
        let found = tokio::select! {
            found = sweep => found,
            () = stop.cancelled() => return,
        };
        pause = match found {
            Ok(Ok(0)) => (pause * 3 / 2).min(periods.idle),
            Ok(Ok(_)) => periods.busy,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a sweep failed");
                periods.idle
            }
            Err(_) => {
                tracing::error!("a sweep panicked");
                periods.idle
            }
        };
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
}

/// The store that the sweeper reads, and the workers of this process.
#[derive(Clone, Debug)]
struct Site {
    handles: Arc<Handles>,
    local: Option<Arc<dyn LocalRunner>>,
}

#[derive(Debug)]
struct Sweeper {
    site: Site,
    periods: SweepPeriods,
    cares: HashMap<QueryId, Care>,
    /// Announced queries without a root, with the time when each was first seen.
    rootless: HashMap<QueryId, Duration>,
    /// Queries whose root cannot be read by this build, with the time when each was first seen.
    unreadable: HashMap<QueryId, Duration>,
    /// When a worker was last seen at any fleet query.
    fleet_seen: Option<Duration>,
}

/// The result of one look at an active query.
#[derive(Debug)]
enum Found {
    /// It has ended. True if it has an answer.
    Ended(bool),
    /// It has no root.
    Rootless,
    /// It is still running.
    Going { handle: Arc<QueryHandle>, view: Box<QueryView>, idle: bool },
    /// Its root is of another version.
    Unreadable,
    /// The store did not tell.
    Unknown,
}

impl Sweeper {
    fn new(site: Site, periods: SweepPeriods) -> Self {
        Self {
            site,
            periods,
            cares: HashMap::new(),
            rootless: HashMap::new(),
            unreadable: HashMap::new(),
            fleet_seen: None,
        }
    }

    /// One sweep. Returns the number of active queries.
    async fn sweep(&mut self) -> Result<usize, StoreError> {
        let queries = active(self.site.handles.store()).await?;
        let known: HashSet<&QueryId> = queries.iter().collect();
        self.cares.retain(|query, _| known.contains(query));
        self.rootless.retain(|query, _| known.contains(query));
        self.unreadable.retain(|query, _| known.contains(query));
        self.put_back(&known).await;
        let looks: Vec<(QueryId, Found)> = futures::stream::iter(queries)
            .map(|query| {
                let site = self.site.clone();
                let since = self.cares.get(&query).map(|care| care.since);
                async move {
                    let still = since.map(|since| site.handles.now().saturating_sub(since));
                    let found = look(&site, &query, still).await;
                    (query, found)
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let count = looks.len();
        let now = self.site.handles.now();
        let mut standing = Vec::new();
        for (query, found) in looks {
            if let Some(idle) = self.note(now, &query, found).await {
                standing.push(idle);
            }
        }
        // Judged only after all queries were looked at: a worker that is busy with another query is alive.
        for (handle, view) in standing {
            self.judge(now, &handle, &view).await;
        }
        Ok(count)
    }

    /// Puts hints back that are gone although somebody still waits for the query.
    async fn put_back(&self, listed: &HashSet<&QueryId>) {
        for handle in self.site.handles.in_use() {
            if listed.contains(&handle.query) || handle.known_end().is_some() {
                continue;
            }
            if let Ok(None) = handle.ended().await {
                let hint = keys::active(&handle.query);
                if let Err(error) = self.site.handles.store().put(&hint, Bytes::new()).await {
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
            Found::Ended(answered) => {
                if let Some(care) = self.cares.remove(query)
                    && answered
                    && care.handle.root.route == Route::Fleet
                {
                    self.fleet_seen = Some(now);
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
            Found::Going { handle, view, idle } => {
                self.rootless.remove(query);
                let known = self.cares.contains_key(query);
                let care = self.cares.entry(query.clone()).or_insert_with(|| Care {
                    handle: Arc::clone(&handle),
                    traces: Traces::default(),
                    since: now,
                });
                // Objects from before this gateway's first look do not show that a worker is alive.
                if care.traces.take(&view) && known {
                    care.since = now;
                    if handle.root.route == Route::Fleet {
                        self.fleet_seen = Some(now);
                    }
                }
                idle.then_some((handle, view))
            }
        }
    }

    /// Ends a query that no worker takes.
    async fn judge(&self, now: Duration, handle: &QueryHandle, view: &QueryView) {
        let Some(care) = self.cares.get(&handle.query) else { return };
        let mut since = care.since;
        if let Some(seen) = self.fleet_seen
            && handle.root.route == Route::Fleet
        {
            since = since.max(seen);
        }
        // This process runs it when one of its own slots is free, so it has a worker and waits for it.
        if handle.root.route == Route::Inline
            && self.site.local.is_some()
            && view.refusals.is_empty()
        {
            return;
        }
        let patience = Duration::from_millis(handle.root.limits.no_worker_ms);
        // A worker that is busy shows a heartbeat within the lease at the latest.
        let lease = Duration::from_millis(handle.root.limits.lease_ms);
        let refused = self.periods.refused.max(lease);
        let patience = match handle.is_own() {
            true if view.refusals.is_empty() => patience,
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
            message: self.nobody(handle, view, still).await,
            retryable: true,
        };
        tracing::warn!(query = %handle.query, message = error.message, "no worker takes the query");
        if let Err(error) = handle.fail(error).await {
            tracing::warn!(query = %handle.query, %error, "the query could not be ended");
        }
    }

    async fn nobody(&self, handle: &QueryHandle, view: &QueryView, still: Duration) -> String {
        let waited = still.as_secs();
        if view.refusals.is_empty() {
            return format!(
                "no worker is running: tasks were open for {waited} s and nobody claimed one; start a worker on the same state location and submit the query again"
            );
        }
        let mut workers = Vec::new();
        for worker in view.refusals.iter().take(REFUSALS_SHOWN) {
            let body = self.site.handles.store().get(&keys::refusal(&handle.query, worker)).await;
            let why = body.ok().flatten().map(|got| reason(&got.body)).unwrap_or_default();
            workers.push(if why.is_empty() { worker.clone() } else { format!("{worker} ({why})") });
        }
        let more = view.refusals.len().saturating_sub(workers.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!(
            "no running worker can compute for this query, which needs engine {}: refused by {}{more}; tasks were open for {waited} s",
            handle.root.engine.engine,
            workers.join(", "),
        )
    }

    /// Ends a query that has no root, or none that can be read.
    async fn end(&self, query: &QueryId, code: ErrorCode, message: &str) {
        let env = self.site.handles.env();
        let error = QueryError { code, message: message.to_owned(), retryable: true };
        let end = end::failed(env.nonce(), error);
        match create_end(self.site.handles.store(), env, query, end).await {
            Ok(_) => tracing::warn!(%query, message, "a query was ended"),
            Err(error) => tracing::warn!(%query, %error, "a query could not be ended"),
        }
    }
}

/// Looks at a query and writes what is due. `still`: how long no worker was seen at it.
async fn look(site: &Site, query: &QueryId, still: Option<Duration>) -> Found {
    match try_look(site, query, still).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%query, %error, "a query could not be advanced");
            Found::Unknown
        }
    }
}

async fn try_look(
    site: &Site,
    query: &QueryId,
    still: Option<Duration>,
) -> Result<Found, AdvanceError> {
    let store = site.handles.store();
    let handle = match site.handles.open(query).await {
        Ok(handle) => handle,
        Err(error) if matches!(error.kind, ErrorKind::NoSuchQuery(_)) => {
            let end: Option<End> = load(store, &keys::end(query)).await?;
            if end.is_none() {
                return Ok(Found::Rootless);
            }
            retire(store, query).await;
            return Ok(Found::Ended(false));
        }
        Err(error) => {
            tracing::warn!(%query, %error, "a query could not be read");
            let of_another_version = matches!(error.kind, ErrorKind::Internal(_));
            return Ok(if of_another_version { Found::Unreadable } else { Found::Unknown });
        }
    };
    if let Some(end) = handle.ended().await? {
        retire(store, query).await;
        return Ok(Found::Ended(end.status == EndStatus::Succeeded));
    }
    let with_beats = still.is_some_and(|still| still >= LOOK_FOR_REFUSALS);
    handle.look(with_beats).await?;
    // What is due is left to those who are at work on the query until the next sweep.
    let advanced = handle.advance_patiently(PATIENCE).await?;
    if let Some(end) = advanced.ended {
        return Ok(Found::Ended(end.status == EndStatus::Succeeded));
    }
    if advanced.moved && !advanced.open.is_empty() {
        ring(store, site.handles.env()).await;
    }
    if !advanced.open.is_empty()
        && handle.root.route == Route::Inline
        && let Some(local) = &site.local
    {
        local.run(query.clone()).await;
    }
    let idle = (!advanced.open.is_empty() && advanced.running == 0) || !handle.is_own();
    let view = Box::new(handle.view());
    Ok(Found::Going { handle, view, idle })
}

/// The text of a refusal, which is a JSON object with an `engine` or plain text.
fn reason(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let engine = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|value| value.get("engine")?.as_str().map(ToOwned::to_owned));
    engine.unwrap_or_else(|| text.trim().to_owned()).chars().take(200).collect()
}
