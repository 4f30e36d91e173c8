//! The trace of a query: spans of the query, its stages and its attempts, made from the records once it has ended.
//!
//! Their ids follow from what they name ([`dunlin_manifest::model::trace`]), so no process has to live for a trace to be
//! whole, and a log line of a worker has the same trace id.

use std::collections::BTreeMap;
use std::fmt::Debug;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::model::trace::{SpanOf, TraceContext, span_id, trace_id};
use dunlin_manifest::records::{EndStatus, StageId};

use super::figures::{Figures, Outcome};

/// The most spans of attempts of one query.
const MOST_ATTEMPTS: usize = 2_000;

/// Where spans go.
pub trait SpanSink: Send + Sync + Debug {
    /// Takes spans, and returns at once. Spans that cannot be sent are lost.
    fn send(&self, spans: Vec<Span>);
}

/// How what a span describes has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanStatus {
    /// Well.
    Ok,
    /// With an error.
    Error(String),
}

/// A span that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace.
    pub trace: u128,
    /// Its own id.
    pub id: u64,
    /// The span around it, if there is one.
    pub parent: Option<u64>,
    /// True for the span of a query: what is around it is the client's.
    pub is_outermost: bool,
    /// What it is of.
    pub name: String,
    /// Begin, Unix milliseconds.
    pub began_ms: u64,
    /// End, Unix milliseconds.
    pub ended_ms: u64,
    /// How it has ended.
    pub status: SpanStatus,
    /// More about it.
    pub attributes: Vec<(&'static str, String)>,
}

/// What a trace needs to know of a query beside its figures.
#[derive(Clone, Debug)]
pub(super) struct Traced<'a> {
    pub(super) query: &'a QueryId,
    /// What `root` holds.
    pub(super) context: Option<&'a str>,
    pub(super) began_ms: u64,
    pub(super) ended_ms: u64,
    pub(super) status: EndStatus,
    pub(super) error: Option<String>,
    pub(super) route: &'static str,
}

impl Traced<'_> {
    /// The span of the query; `None` if whoever began the trace does not want it to be recorded.
    pub(super) fn span(&self) -> Option<Span> {
        let context = self.context.and_then(TraceContext::parse);
        if context.is_some_and(|context| !context.is_sampled) {
            return None;
        }
        let status = match self.status {
            EndStatus::Succeeded => SpanStatus::Ok,
            EndStatus::Cancelled => SpanStatus::Error("cancelled".to_owned()),
            EndStatus::Failed => SpanStatus::Error(self.error.clone().unwrap_or_default()),
        };
        Some(Span {
            trace: trace_id(self.query, self.context),
            id: span_id(self.query, SpanOf::Query),
            parent: context.map(|context| context.parent),
            is_outermost: true,
            name: "query".to_owned(),
            began_ms: self.began_ms,
            ended_ms: self.ended_ms.max(self.began_ms),
            status,
            attributes: vec![
                ("db.system.name", "dunlin".to_owned()),
                ("dunlin.query", self.query.to_string()),
                ("dunlin.route", self.route.to_owned()),
            ],
        })
    }
}

/// The spans of a query that has ended.
pub(super) fn spans(traced: &Traced<'_>, figures: &Figures) -> Vec<Span> {
    let Some(of_query) = traced.span() else { return Vec::new() };
    let (trace, root) = (of_query.trace, of_query.id);
    let mut times: BTreeMap<StageId, (u64, u64)> = BTreeMap::new();
    for attempt in &figures.attempts {
        let (began, ended) = attempt.times().unwrap_or_default();
        if began > 0 {
            let stage = times.entry(attempt.stage).or_insert((began, ended));
            *stage = (stage.0.min(began), stage.1.max(ended));
        }
    }
    let mut spans = vec![of_query];
    for (stage, name) in &figures.stages {
        let Some((began_ms, ended_ms)) = times.get(stage).copied() else { continue };
        spans.push(Span {
            trace,
            id: span_id(traced.query, SpanOf::Stage(*stage)),
            parent: Some(root),
            is_outermost: false,
            name: format!("stage {stage}"),
            began_ms,
            ended_ms,
            status: SpanStatus::Ok,
            attributes: vec![("dunlin.stage", stage.to_string()), ("dunlin.plan", name.clone())],
        });
    }
    let timed = figures.attempts.iter().filter_map(|attempt| Some((attempt, attempt.times()?)));
    for (attempt, (began_ms, ended_ms)) in timed.take(MOST_ATTEMPTS) {
        let mut attributes = vec![
            ("dunlin.stage", attempt.stage.to_string()),
            ("dunlin.task", attempt.task.to_string()),
            ("dunlin.attempt", attempt.attempt.to_string()),
        ];
        let status = match &attempt.outcome {
            Outcome::Committed { worker, metrics } => {
                attributes.push(("dunlin.worker", worker.clone()));
                attributes.push(("dunlin.scan_bytes", metrics.scan_bytes.to_string()));
                attributes.push(("dunlin.cpu_us", metrics.cpu_us.to_string()));
                SpanStatus::Ok
            }
            Outcome::Failed(fail) => SpanStatus::Error(format!("{}: {}", fail.code, fail.message)),
            Outcome::Lost => continue,
        };
        let of = SpanOf::Attempt(attempt.stage, attempt.task, attempt.attempt);
        spans.push(Span {
            trace,
            id: span_id(traced.query, of),
            parent: Some(span_id(traced.query, SpanOf::Stage(attempt.stage))),
            is_outermost: false,
            name: format!("task {}", attempt.task),
            began_ms,
            ended_ms,
            status,
            attributes,
        });
    }
    spans
}
