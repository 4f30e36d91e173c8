//! The figures of queries that have ended: added once, by the gateway that claims to do so.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{End, EndStatus, ErrorCode, Requests, Summary};
use dunlin_manifest::store::{ControlStore, Put};
use dunlin_planner::cost::{Bill, Cost, Tariff};
use parking_lot::Mutex;

use super::figures::{Figures, Outcome};
use super::spans::{SpanSink, Traced, spans};
use super::{Metrics, OPS};
use crate::query::answer::Receipt;
use crate::query::error::CoreError;
use crate::query::handles::Handles;
use crate::query::receipt::receipt;

/// The tasks of a larger query are not read one by one: its totals are told, and no times of its tasks.
const MOST_TASKS: u64 = 20_000;

/// The queries whose end this gateway waits for, to tell of them.
#[derive(Debug)]
pub(crate) struct Books {
    handles: Arc<Handles>,
    metrics: Arc<Metrics>,
    tariff: Arc<Tariff>,
    sink: Option<Arc<dyn SpanSink>>,
    open: Mutex<HashMap<QueryId, Arc<QueryHandle>>>,
}

/// An answer that this process computes, and that leaves no records.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(crate) query: QueryId,
    /// The trace of the client's request.
    pub(crate) context: Option<String>,
    /// Bytes that the plan reads of tables.
    pub(crate) scanned: u64,
    /// Requests for them.
    pub(crate) meter: Arc<Meter>,
    /// When the request came, by the monotonic clock.
    pub(crate) began: Duration,
    /// When the plan began to run.
    pub(crate) ran: Duration,
}

impl Books {
    pub(crate) fn new(
        handles: Arc<Handles>,
        metrics: Arc<Metrics>,
        tariff: Arc<Tariff>,
        sink: Option<Arc<dyn SpanSink>>,
    ) -> Self {
        Self { handles, metrics, tariff, sink, open: Mutex::default() }
    }

    /// Waits for the end of a query.
    pub(crate) fn follow(&self, handle: &Arc<QueryHandle>) {
        self.open.lock().insert(handle.query.clone(), Arc::clone(handle));
    }

    /// True if no query is waited for.
    pub(crate) fn is_closed(&self) -> bool {
        self.open.lock().is_empty()
    }

    /// Tells of the queries that have ended, `gone` among them. A sweep has looked at all of them just before.
    pub(crate) async fn close(&self, gone: Vec<Arc<QueryHandle>>) {
        let mut ended: HashMap<QueryId, Arc<QueryHandle>> =
            gone.into_iter().map(|handle| (handle.query.clone(), handle)).collect();
        ended.extend(self.open.lock().extract_if(|_, handle| handle.known_end().is_some()));
        for (query, handle) in ended {
            self.open.lock().remove(&query);
            if let Ok(Some(end)) = handle.ended().await
                && self.claim(&query).await
            {
                self.tell(&handle, &end).await;
            }
        }
    }

    /// True if this gateway is the one that tells of the query.
    async fn claim(&self, query: &QueryId) -> bool {
        let put = self.handles.store().put_if_absent(&keys::told(query), Bytes::new()).await;
        if let Err(error) = &put {
            tracing::debug!(%query, %error, "the figures of a query are not told");
        }
        matches!(put, Ok(Put::Created))
    }

    async fn tell(&self, handle: &QueryHandle, end: &End) {
        let route = handle.root.route.as_str();
        let metrics = &self.metrics;
        let status = status(end);
        if let Some(error) = &end.error {
            metrics.refused(error.code.as_str());
        }
        let receipt = receipt(&self.handles, &self.tariff, handle, end).await;
        metrics.add(&receipt);
        let summary = end.summary.unwrap_or_default();
        metrics.exchanged.get_or_create(&[("dir", "written")]).inc_by(summary.shuffle_bytes);
        let figures = match summary.tasks <= MOST_TASKS {
            true => Figures::read(handle, end).await,
            false => Ok(Figures::default()),
        };
        let figures = figures.unwrap_or_else(|error| {
            tracing::debug!(query = %handle.query, %error, "the tasks of a query are not told");
            Figures::default()
        });
        metrics.add_tasks(&figures, &summary);
        let began_ms = handle.query.unix_ms();
        let (first, last) = figures.span().unwrap_or((began_ms, began_ms));
        // By the store's stamps. The clocks of workers may be hours apart, so they only tell how long tasks ran.
        let ran = last.saturating_sub(first);
        let total = end.summary.map_or(ran, |summary| summary.wall_ms);
        if end.summary.is_some() {
            let run = ran.min(total);
            for (phase, ms) in [("total", total), ("queue", total - run), ("run", run)] {
                metrics.phase(phase, route, Duration::from_millis(ms));
            }
        }
        // Last: whoever sees that the query is counted sees all its figures.
        metrics.queries.get_or_create(&[("status", status), ("route", route)]).inc();
        if let Some(sink) = &self.sink {
            let error = end.error.as_ref().map(|error| error.message.clone());
            let traced = Traced {
                query: &handle.query,
                context: handle.root.trace.as_deref(),
                began_ms,
                ended_ms: began_ms + total,
                status: end.status,
                error,
                route,
            };
            sink.send(spans(&traced, &figures));
        }
    }

    /// Tells of an answer that leaves no records.
    pub(crate) fn pass(&self, passed: &Passing, status: EndStatus, error: Option<&CoreError>) {
        let (metrics, now) = (&self.metrics, self.handles.now());
        if let Some(error) = error {
            metrics.refused(error.code().as_str());
        }
        let error = error.map(ToString::to_string);
        let word = word(status);
        metrics.queries.get_or_create(&[("status", word), ("route", "inline")]).inc();
        metrics.scanned.inc_by(passed.scanned);
        let requests = passed.meter.snapshot().requests;
        metrics.add_requests("gateway", &requests);
        if let Some(cost) = self.tariff.cost(&Bill { requests, ..Bill::default() }) {
            metrics.add_cost(&cost);
        }
        let took = now.saturating_sub(passed.began);
        metrics.phase("total", "inline", took);
        metrics.phase("run", "inline", now.saturating_sub(passed.ran));
        if let Some(sink) = &self.sink {
            let ended_ms = self.handles.env().clock.wall_ms();
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let traced = Traced {
                query: &passed.query,
                context: passed.context.as_deref(),
                began_ms: ended_ms.saturating_sub(took_ms),
                ended_ms,
                status,
                error,
                route: "inline",
            };
            sink.send(traced.span().into_iter().collect());
        }
    }
}

fn word(status: EndStatus) -> &'static str {
    match status {
        EndStatus::Succeeded => "SUCCEEDED",
        EndStatus::Failed => "FAILED",
        EndStatus::Cancelled => "CANCELLED",
    }
}

fn status(end: &End) -> &'static str {
    let is_late = end.error.as_ref().is_some_and(|error| error.code == ErrorCode::Timeout);
    if is_late { "TIMEOUT" } else { word(end.status) }
}

impl Metrics {
    fn add_requests(&self, part: &'static str, requests: &Requests) {
        let Requests { put, get, list, head, delete, hedged: _ } = *requests;
        for (op, count) in OPS.into_iter().zip([get, put, list, head, delete]) {
            self.store_requests.get_or_create(&[("part", part), ("op", op)]).inc_by(count);
        }
    }

    fn add_cost(&self, cost: &Cost) {
        for (component, dollars) in
            [("compute", cost.compute), ("requests", cost.requests), ("storage", cost.storage)]
        {
            self.cost.get_or_create(&[("component", component)]).inc_by(dollars);
        }
    }

    fn add(&self, receipt: &Receipt) {
        self.add_requests("worker", &receipt.requests);
        self.scanned.inc_by(receipt.bytes_scanned);
        self.results.inc_by(receipt.result_bytes);
        self.cold_starts.inc_by(receipt.functions.cold);
        if let Some(cost) = &receipt.cost_usd {
            self.add_cost(cost);
        }
    }

    fn add_tasks(&self, figures: &Figures, summary: &Summary) {
        let tasks = |outcome| self.tasks.get_or_create(&[("outcome", outcome)]);
        if figures.attempts.is_empty() {
            tasks("committed").inc_by(summary.tasks);
        }
        for attempt in &figures.attempts {
            let metrics = match &attempt.outcome {
                Outcome::Committed { metrics, .. } => metrics,
                Outcome::Failed(_) => {
                    tasks("failed").inc();
                    continue;
                }
                Outcome::Lost => {
                    tasks("lost").inc();
                    continue;
                }
            };
            tasks("committed").inc();
            self.spilled.inc_by(metrics.spill_bytes);
            let read = self.exchanged.get_or_create(&[("dir", "read")]);
            read.inc_by(metrics.shuffle_read_bytes);
            let before_output = metrics.slot.wait + metrics.slot.compute + metrics.slot.claim;
            for (step, us) in [
                ("total", metrics.wall_us),
                ("input", metrics.slot.wait),
                ("compute", metrics.slot.compute),
                ("output", metrics.wall_us.saturating_sub(before_output)),
            ] {
                let step = self.task_durations.get_or_create(&[("step", step)]);
                step.observe(Duration::from_micros(us).as_secs_f64());
            }
        }
    }
}
