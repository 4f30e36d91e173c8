//! One run: processes start, things happen to them, and a client wants its answer.
//!
//! ```text
//!   events ──kill, freeze, stop, start──> Cast <── client picks a gateway
//!   the end ─> some time for whoever still runs ─> all are dead ─> 41 days ─> collect ─> nothing is left
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dunlin_manifest::env::Clock;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::{EndStatus, ErrorCode};
use dunlin_manifest::store::ObjectControlStore;
use dunlin_sim::clock::SimClock;
use object_store::path::Path;
use tokio::sync::watch;

use crate::cast::{Cast, Known};
use crate::check;
use crate::dice::Dice;
use crate::fate::Struck;
use crate::gateway::Gateway;
use crate::prepared::{Prepared, Query};
use crate::scenario::Scenario;
use crate::store::{STATE, Store};

/// The processes run for so long before the query comes.
const BEFORE: Duration = Duration::from_secs(1);
/// A query that takes longer after the last event hangs.
const LIMIT: Duration = Duration::from_secs(3 * 3_600);
/// Records that are damaged are waited for until the query's time is over.
const DAMAGED: Duration = Duration::from_secs(13 * 3_600);
/// After the last event the store is bad for so long.
const BAD: Duration = Duration::from_secs(30);
/// A client gives a gateway up that does not answer for so long.
const SILENT: Duration = Duration::from_secs(90);

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How the query ended.
    pub status: EndStatus,
    /// Why it failed, if it did.
    pub code: Option<ErrorCode>,
    /// Simulated time from the start to the end.
    pub took: Duration,
    /// Requests of all processes up to the end.
    pub requests: u64,
    /// Attempts beyond the first ones of the tasks, as far as the end tells.
    pub repeated: u64,
    /// Processes that were killed before the end.
    pub killed: u32,
    /// How often each fate has struck.
    pub struck: Struck,
    /// Differs if anything was asked or answered otherwise.
    pub trace: u64,
}

/// Runs a scenario.
///
/// # Errors
/// What is wrong, in words.
pub fn run(prepared: &Prepared, scenario: &Scenario) -> Result<Outcome, String> {
    let (store, outcome) = play(prepared, scenario)?;
    let query = &prepared.queries[scenario.query];
    if query.writes && !scenario.is_damaged() {
        check::written(prepared, &store, query, outcome.status)?;
    }
    Ok(outcome)
}

/// All objects of the state that a query writes if nothing goes wrong, by their keys.
///
/// # Errors
/// As [`run`].
pub fn objects(prepared: &Prepared, scenario: &Scenario) -> Result<Vec<(String, Bytes)>, String> {
    let (store, _) = play(prepared, scenario)?;
    let prefix = format!("{STATE}/");
    let written = store.written().into_iter();
    Ok(written.map(|(path, bytes)| (path.replacen(&prefix, "", 1), bytes)).collect())
}

/// Plays a scenario in a store of its own.
fn play(prepared: &Prepared, scenario: &Scenario) -> Result<(Arc<Store>, Outcome), String> {
    let clock = SimClock::default();
    let luck = (Dice::new(scenario.seed, 2), scenario.odds);
    let store = Store::new(Arc::clone(&prepared.tables), &clock, luck, scenario.crash);
    let cast = Cast::new(scenario, &clock, Arc::clone(&store));
    let play = Play { cast, query: &prepared.queries[scenario.query] };
    let outcome = clock.run(scenario.seed, play.run()).map_err(|error| error.to_string())??;
    Ok((store, outcome))
}

struct Play<'a> {
    cast: Cast,
    query: &'a Query,
}

impl Play<'_> {
    async fn run(self) -> Result<Outcome, String> {
        let Cast { clock, store, scenario, .. } = &self.cast;
        self.cast.start_all();
        clock.sleep(BEFORE).await;
        let known: Known = watch::Sender::new(None);
        let last = scenario.events.last().map_or(Duration::ZERO, |(at, _)| *at);
        let limit = if scenario.is_damaged() { DAMAGED } else { LIMIT };
        let id = tokio::select! {
            id = self.clients(&known) => id?,
            never = self.happen(&known) => match never {},
            () = clock.sleep(last + limit) => {
                return Err(format!("the query hangs: {:?}", *known.borrow()));
            }
        };
        let (took, killed, (requests, ..)) = (clock.now(), self.cast.killed(), store.told());
        // Those who still run may write, and must do no harm.
        clock.sleep(Duration::from_millis(self.cast.between(0, 90_000))).await;
        let env = clock.env(scenario.seed);
        let control = ObjectControlStore::new(store.calm(), Path::from(STATE), env);
        if scenario.is_damaged() {
            let (status, code) = check::damaged(&control, &id, self.query).await?;
            let (_, struck, trace, _) = store.told();
            return Ok(Outcome {
                status,
                code,
                took,
                requests,
                repeated: 0,
                killed,
                struck,
                trace,
            });
        }
        let end = check::ended(&control, &id, self.query, scenario).await?;
        clock.sleep(Duration::from_secs(60)).await;
        self.cast.kill_all();
        clock.sleep(check::AGES).await;
        check::left(&control).await?;
        let (_, struck, trace, wrong) = store.told();
        if let Some(wrong) = wrong.first() {
            return Err(wrong.clone());
        }
        let summary = end.summary.unwrap_or_default();
        let repeated = summary.attempts.saturating_sub(summary.tasks);
        let code = end.error.as_ref().map(|error| error.code.clone());
        let status = end.status;
        Ok(Outcome { status, code, took, requests, repeated, killed, struck, trace })
    }

    /// The client's request, once or twice at the same time.
    async fn clients(&self, known: &Known) -> Result<QueryId, String> {
        if !self.cast.scenario.is_sent_twice {
            return self.client(known).await;
        }
        let (one, two) = tokio::try_join!(self.client(known), self.client(known))?;
        match one == two {
            true => Ok(one),
            false => Err(format!("one key has two queries: {one} and {two}")),
        }
    }

    async fn client(&self, known: &Known) -> Result<QueryId, String> {
        let adaptive = self.cast.scenario.adaptive();
        let id = loop {
            let submit = async |gateway: Gateway| Some(gateway.submit(self.query, &adaptive).await);
            match self.ask(submit).await {
                Some(Ok(id)) => break id,
                Some(Err(error)) if !error.is_retryable() => return Err(error.to_string()),
                Some(Err(_)) | None => {}
            }
            self.pause(3_000).await;
        };
        known.send_replace(Some(id.clone()));
        loop {
            match self.ask(async |gateway| gateway.wait(&id).await).await {
                Some(Err(_)) if self.cast.scenario.is_damaged() => return Ok(id),
                Some(Err(error)) => return Err(error),
                Some(Ok(_)) => return Ok(id),
                None => self.pause(1_000).await,
            }
        }
    }

    /// Asks a gateway. `None` if it says nothing, died, or there is none.
    async fn ask<T>(&self, what: impl AsyncFn(Gateway) -> Option<T>) -> Option<T> {
        let gateway = self.cast.any_gateway()?;
        let life = Arc::clone(&gateway.life);
        tokio::select! {
            answer = what(gateway) => answer,
            () = life.died() => None,
            () = self.cast.clock.sleep(SILENT) => None,
        }
    }

    async fn pause(&self, most_ms: u64) {
        let pause = Duration::from_millis(self.cast.between(10, most_ms));
        self.cast.clock.sleep(pause).await;
    }

    /// What happens to the processes.
    async fn happen(&self, known: &Known) -> std::convert::Infallible {
        let Cast { clock, store, scenario, .. } = &self.cast;
        let events = async {
            let mut before = Duration::ZERO;
            for (at, event) in &scenario.events {
                clock.sleep(at.saturating_sub(before)).await;
                before = *at;
                store.note(&format!("{event:?}"));
                self.cast.event(*event, known);
            }
            clock.sleep(BAD).await;
            store.be_kind();
        };
        let crash = async {
            store.crashed.notified().await;
            self.cast.kill_all();
            self.cast.soon(Cast::start_all);
        };
        tokio::join!(events, crash);
        std::future::pending().await
    }
}
