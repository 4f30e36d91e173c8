//! What the handlers do, without HTTP: take a statement, find a query, read where it stands.
//!
//! Everything that must not stop half way when a client hangs up (plan and submit) runs in a task of
//! its own: between `idem` and `root` lies a state that only a retry of the same client could leave.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::response::Response;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use dunlin_manifest::advance::{AdvanceError, QueryHandle};
use dunlin_manifest::create::load;
use dunlin_manifest::decide::digest;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::records::{End, EndStatus, Limits, QueryError, Requests, Summary};
use dunlin_manifest::store::{ControlStore, ObjectControlStore};
use dunlin_manifest::submit::{self, SubmitError, Submitted};
use dunlin_manifest::view::QueryView;
use dunlin_plan::{Planned, Route, StageGraph, StatementKind};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::analyze::{self, Analysis, Detail};
use crate::answer::{AnswerSummary, Envelope, answer};
use crate::inline;
use crate::problem::{ApiError, ErrorKind};
use crate::request::{Format, Statement};
use crate::results::ResultReader;
use crate::status::{Progress, QueryStatus};
use crate::watch::{Snapshot, Watchers};
use crate::{Gateway, GatewayOptions};

/// A gateway at work.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) gateway: Gateway,
    pub(crate) stop: CancellationToken,
    watchers: Watchers,
    results: ResultReader,
    limits: Limits,
    compute: Handle,
    /// Handles somebody holds: a query that is swept and watched is read once.
    handles: Mutex<HashMap<QueryId, Weak<QueryHandle>>>,
}

/// What became of a statement.
pub(crate) enum Taken {
    /// It is being answered here and now, without a trace.
    Rows(Box<Here>),
    /// It is a query in the store; EXPLAIN ANALYZE asks for its analysis and not for its rows.
    Query { query: QueryId, replayed: bool, analysis: Option<Detail> },
}

/// Where a query stands after a wait.
pub(crate) enum Waited {
    /// It has ended.
    Ended(Arc<QueryHandle>, Arc<End>),
    /// It goes on.
    Running(Box<QueryStatus>),
}

/// An answer that is given here and now.
pub(crate) struct Here {
    query: QueryId,
    route: &'static str,
    scan_bytes: u64,
    meter: Arc<Meter>,
    rows: SendableRecordBatchStream,
}

impl App {
    pub(crate) fn new(
        gateway: Gateway,
        options: &GatewayOptions,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let env = gateway.env.clone();
        Arc::new(Self {
            watchers: Watchers::new(env.clone(), options.watch, stop.clone()),
            results: ResultReader::new(Arc::clone(&gateway.control), env),
            limits: options.limits,
            compute: options.compute.clone().unwrap_or_else(Handle::current),
            handles: Mutex::default(),
            gateway,
            stop,
        })
    }

    pub(crate) fn env(&self) -> &Env {
        &self.gateway.env
    }

    pub(crate) fn store(&self) -> &ObjectControlStore {
        &self.gateway.control
    }

    /// Time by this gateway's clock.
    pub(crate) fn now(&self) -> Duration {
        self.env().clock.monotonic()
    }

    /// Plans a statement and either starts to answer it here or writes it down as a query. Runs to
    /// its end even if the caller goes away.
    pub(crate) async fn take(
        self: Arc<Self>,
        statement: Statement,
        key: Option<String>,
        durable: bool,
    ) -> Result<Taken, ApiError> {
        lasting(async move { self.take_now(statement, key, durable).await }).await
    }

    async fn take_now(
        &self,
        mut statement: Statement,
        key: Option<String>,
        durable: bool,
    ) -> Result<Taken, ApiError> {
        let mut query = QueryId::new(self.env());
        if let Some(key) = &key {
            // Before planning, so that a retry finds its query even if the tables have gone since.
            match submit::find(self.store(), key, &statement.fingerprint).await {
                Ok(None) => {}
                Ok(Some(query)) => {
                    let analysis = self.analysis_asked(&statement.sql).await?;
                    return Ok(Taken::Query { query, replayed: true, analysis });
                }
                // An earlier try left the key and no root: the plan goes down under its id.
                Err(SubmitError::Orphaned { query: announced }) => query = announced,
                Err(error) => return Err(submit_error(error)),
            }
        }
        statement.settings.durable = durable || key.is_some();
        let sql = statement.sql.clone();
        let fingerprint = statement.fingerprint.clone();
        let planned = self.plan(statement).await.map_err(|error| error.about(&query))?;
        tracing::debug!(%query, route = planned.route.as_str(), reason = planned.route_reason, "planned");
        if planned.statement == StatementKind::Explain {
            let rows = explain_rows(&planned)?;
            return Ok(Taken::Rows(Box::new(self.here(query, &planned, Arc::default(), rows))));
        }
        let analysis = detail(planned.statement);
        let Some(graph) = &planned.graph else {
            let meter = Arc::<Meter>::default();
            let plan = self.gateway.planner.inline_plan(&planned, &meter)?;
            let mut rows = inline::run(&self.compute, plan.clone());
            if let Some(detail) = analysis {
                let ran = analyze::Ran {
                    plan: Arc::clone(plan.plan()),
                    route: format!("{}: {}", planned.route.as_str(), planned.route_reason),
                    meter: Arc::clone(&meter),
                };
                rows = analyze::inline(rows, ran, self.env().clone(), detail)?;
            }
            return Ok(Taken::Rows(Box::new(self.here(query, &planned, meter, rows))));
        };
        let idem = key.map(|key| (key, fingerprint));
        let (query, replayed) = self.submit(graph, query, &sql, idem).await?;
        if planned.route == Route::Inline
            && let Some(local) = &self.gateway.local
        {
            local.run(query.clone()).await;
        }
        Ok(Taken::Query { query, replayed, analysis })
    }

    /// Whether `sql` asks for an analysis, by its text alone.
    pub(crate) async fn analysis_asked(&self, sql: &str) -> Result<Option<Detail>, ApiError> {
        const WORD: &[u8] = b"analyze";
        // Parsing a long text takes milliseconds, and hardly any has the word.
        if !sql.as_bytes().windows(WORD.len()).any(|part| part.eq_ignore_ascii_case(WORD)) {
            return Ok(None);
        }
        let (planner, sql) = (self.gateway.planner.clone(), sql.to_owned());
        lasting_on(&self.compute, async move { Ok(detail(planner.kind(&sql))) }).await
    }

    fn here(
        &self,
        query: QueryId,
        planned: &Planned,
        meter: Arc<Meter>,
        rows: SendableRecordBatchStream,
    ) -> Here {
        let scan_bytes = match planned.statement {
            StatementKind::Query | StatementKind::Analyze { .. } => planned.scan_bytes,
            StatementKind::Explain => 0,
        };
        Here { query, route: planned.route.as_str(), scan_bytes, meter, rows }
    }

    async fn submit(
        &self,
        graph: &StageGraph,
        query: QueryId,
        sql: &str,
        idem: Option<(String, String)>,
    ) -> Result<(QueryId, bool), ApiError> {
        let under = |query: &QueryId| {
            graph.clone().into_submission(query, self.env(), sql, self.limits, idem.clone())
        };
        let outcome = match submit::submit(self.store(), under(&query)).await {
            // Another request with the same key announced its id meanwhile, and has no root yet.
            // Whichever root lands, the two requests are the same.
            Err(SubmitError::Orphaned { query }) => {
                submit::submit(self.store(), under(&query)).await
            }
            other => other,
        };
        let Submitted { query, replayed } =
            outcome.map_err(|error| submit_error(error).about(&query))?;
        tracing::info!(%query, replayed, "submitted");
        Ok((query, replayed))
    }

    /// Plans a statement, and that is all. Runs on the compute threads: optimising a wide plan takes
    /// many milliseconds.
    pub(crate) async fn plan(&self, statement: Statement) -> Result<Planned, ApiError> {
        let planner = self.gateway.planner.clone();
        let work = async move {
            let Statement { sql, parameters, settings, .. } = statement;
            Ok(planner.plan(&sql, &parameters, &settings).await?)
        };
        lasting_on(&self.compute, work).await
    }

    /// What this process knows about a query, read from `root` if nobody holds it.
    pub(crate) async fn handle(&self, query: &QueryId) -> Result<Arc<QueryHandle>, ApiError> {
        if let Some(handle) = self.handles.lock().get(query).and_then(Weak::upgrade) {
            return Ok(handle);
        }
        let handle = QueryHandle::open(self.store().clone(), query)
            .await
            .map_err(|error| ApiError::from_store(error).about(query))?
            .ok_or_else(|| ApiError::no_such_query(query.as_str()))?;
        let handle = Arc::new(handle);
        let mut handles = self.handles.lock();
        handles.retain(|_, handle| handle.strong_count() > 0);
        // Of two that read at the same time, the first stays: its caches may be warm.
        if let Some(first) = handles.get(query).and_then(Weak::upgrade) {
            return Ok(first);
        }
        handles.insert(query.clone(), Arc::downgrade(&handle));
        Ok(handle)
    }

    /// Waits until the query has ended or `wait` has passed.
    pub(crate) async fn wait(&self, query: &QueryId, wait: Duration) -> Result<Waited, ApiError> {
        let handle = self.handle(query).await?;
        let watch = self.watchers.watch(query, &handle);
        let Snapshot { end, progress, trouble } = watch.end(self.env(), wait, &self.stop).await;
        match (end, trouble) {
            (Some(end), _) => Ok(Waited::Ended(handle, end)),
            (None, Some(trouble)) => Err(ApiError::store(trouble).about(query)),
            (None, None) => {
                let status = QueryStatus::new(query.as_str(), Some(&*handle.root), progress, None);
                Ok(Waited::Running(Box::new(status)))
            }
        }
    }

    /// Where a query stands, after waiting at most `wait` for its end.
    pub(crate) async fn status(
        &self,
        query: &QueryId,
        wait: Duration,
    ) -> Result<QueryStatus, ApiError> {
        let store_error = |error| ApiError::from_store(error).about(query);
        let handle = match self.handle(query).await {
            Ok(handle) => handle,
            Err(error) => return self.status_without_root(query, error).await,
        };
        let mut end = handle.ended().await.map_err(store_error)?;
        if end.is_none() && !wait.is_zero() {
            let watch = self.watchers.watch(query, &handle);
            end = watch.end(self.env(), wait, &self.stop).await.end;
        }
        if let Some(end) = end {
            return Ok(self.ended_status(query, &handle, &end));
        }
        let view = handle.look(false).await.map_err(store_error)?;
        let progress = progress_of(&handle, &view);
        Ok(QueryStatus::new(query.as_str(), Some(&*handle.root), progress, None))
    }

    /// A submit that never completed may have been ended.
    async fn status_without_root(
        &self,
        query: &QueryId,
        error: ApiError,
    ) -> Result<QueryStatus, ApiError> {
        if !matches!(error.kind, ErrorKind::NotFound(_)) {
            return Err(error);
        }
        let end: Option<End> = load(self.store(), &keys::end(query))
            .await
            .map_err(|error| ApiError::from_store(error).about(query))?;
        match end {
            Some(end) => {
                Ok(QueryStatus::new(query.as_str(), None, Progress::default(), Some(&end)))
            }
            None => Err(error),
        }
    }

    /// The end of a query that has one.
    pub(crate) async fn ended(
        &self,
        query: &QueryId,
    ) -> Result<(Option<Arc<QueryHandle>>, End), ApiError> {
        let handle = self.handle(query).await;
        let end: Option<End> = load(self.store(), &keys::end(query))
            .await
            .map_err(|error| ApiError::from_store(error).about(query))?;
        match (end, handle) {
            (Some(end), handle) => Ok((handle.ok(), end)),
            (None, Ok(_)) => Err(ApiError::from(ErrorKind::NotReady).about(query)),
            (None, Err(error)) => Err(error),
        }
    }

    /// The status of a query that has ended.
    pub(crate) fn ended_status(
        &self,
        query: &QueryId,
        handle: &QueryHandle,
        end: &End,
    ) -> QueryStatus {
        QueryStatus::new(query.as_str(), Some(&*handle.root), Progress::default(), Some(end))
    }

    /// Sees to it that the query has an end, and says which.
    pub(crate) async fn cancel(self: Arc<Self>, query: QueryId) -> Result<QueryStatus, ApiError> {
        lasting(async move {
            let handle = self.handle(&query).await?;
            let end = handle.cancel().await.map_err(|error| advance_error(error).about(&query))?;
            tracing::info!(%query, status = ?end.status, "asked to cancel");
            Ok(self.ended_status(&query, &handle, &end))
        })
        .await
    }

    /// Whether this gateway can take queries.
    pub(crate) async fn ready(&self) -> Result<(), ApiError> {
        if self.stop.is_cancelled() {
            return Err(ApiError::store("the gateway is stopping"));
        }
        self.store().get(keys::BELL).await.map(|_| ()).map_err(ApiError::from_store)
    }

    /// Answers with rows that this process computes.
    pub(crate) async fn answer_here(
        &self,
        format: Format,
        here: Here,
        received: Duration,
    ) -> Result<Response, ApiError> {
        let summary = AnswerSummary {
            route: here.route.to_owned(),
            rows: None,
            stages: 0,
            tasks: 0,
            attempts: 0,
            bytes_scanned: here.scan_bytes,
            shuffle_bytes: 0,
            requests: Requests::default(),
            wall_ms: 0,
        };
        let envelope = Envelope {
            query: here.query.to_string(),
            replayed: false,
            summary,
            meter: Some(here.meter),
            received,
        };
        answer(self.env(), format, here.rows, envelope).await
    }

    /// Answers with the rows of a query that has ended, or with why there are none.
    pub(crate) async fn answer_ended(
        &self,
        format: Format,
        query: &QueryId,
        handle: Option<&QueryHandle>,
        end: &End,
        replayed: bool,
        received: Duration,
    ) -> Result<Response, ApiError> {
        match end.status {
            EndStatus::Succeeded => {}
            EndStatus::Cancelled => return Err(ApiError::from(ErrorKind::Cancelled).about(query)),
            EndStatus::Failed => {
                let error = end.error.clone().unwrap_or_else(|| QueryError {
                    code: "INTERNAL".to_owned(),
                    message: "the query failed without saying why".to_owned(),
                    retryable: false,
                });
                return Err(ApiError::from(ErrorKind::Query(error)).about(query));
            }
        }
        // Records may be collected before `end` is.
        let expired = || ApiError::from(ErrorKind::Expired).about(query);
        let handle = handle.ok_or_else(expired)?;
        let root = &handle.root;
        let Some(last) = root.stages.last() else {
            return Err(ApiError::internal("the query has no stages").about(query));
        };
        let seal = handle
            .seal(last.id)
            .await
            .map_err(|error| ApiError::from_store(error).about(query))?
            .ok_or_else(expired)?;
        if end.seal.as_ref().is_some_and(|named| *named != digest(seal.as_ref())) {
            return Err(ApiError::internal("the result's seal is not the one that the end names")
                .about(query));
        }
        let rows = self.results.open(root, &seal).map_err(|error| error.about(query))?;
        let summary = summary_of(root.route.clone(), &end.summary.unwrap_or_default());
        let envelope = Envelope {
            query: query.to_string(),
            replayed,
            summary: AnswerSummary { rows: Some(seal.rows), ..summary },
            meter: None,
            received,
        };
        answer(self.env(), format, rows, envelope).await
    }

    /// What a query took, by its records; of one that has not succeeded, as far as its seals go.
    pub(crate) async fn analysis(
        &self,
        query: &QueryId,
        detail: Detail,
    ) -> Result<(Arc<QueryHandle>, Analysis), ApiError> {
        let handle = match self.handle(query).await {
            Ok(handle) => handle,
            // Records may be collected before `end` is.
            Err(error) => {
                self.status_without_root(query, error).await?;
                return Err(ApiError::from(ErrorKind::Expired).about(query));
            }
        };
        let end = handle.ended().await.map_err(|error| ApiError::from_store(error).about(query))?;
        let analysis = analyze::of_records(&handle, end.as_deref(), detail).await?;
        Ok((handle, analysis))
    }

    /// Answers with the analysis of a query as rows.
    pub(crate) async fn answer_analysis(
        &self,
        format: Format,
        query: &QueryId,
        detail: Detail,
        replayed: bool,
        received: Duration,
    ) -> Result<Response, ApiError> {
        let (handle, analysis) = self.analysis(query, detail).await?;
        let envelope = Envelope {
            query: query.to_string(),
            replayed,
            summary: summary_of(handle.root.route.clone(), &analysis.totals),
            meter: None,
            received,
        };
        answer(self.env(), format, analysis.rows()?, envelope).await
    }
}

fn detail(statement: StatementKind) -> Option<Detail> {
    match statement {
        StatementKind::Analyze { verbose } => Some(Detail::of(verbose)),
        StatementKind::Query | StatementKind::Explain => None,
    }
}

/// What a query took, for an answer whose rows are not counted yet.
fn summary_of(route: String, totals: &Summary) -> AnswerSummary {
    AnswerSummary {
        route,
        rows: None,
        stages: totals.stages,
        tasks: totals.tasks,
        attempts: totals.attempts,
        bytes_scanned: totals.bytes_scanned,
        shuffle_bytes: totals.shuffle_bytes,
        requests: totals.requests,
        wall_ms: totals.wall_ms,
    }
}

/// Runs `work` in a task of its own, so that it runs to its end even if nobody waits any more, and
/// a panic in it (planners meet unforeseen SQL) is an error of this request alone.
async fn lasting<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    lasting_on(&Handle::current(), work).await
}

async fn lasting_on<T: Send + 'static>(
    threads: &Handle,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    match threads.spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, "a request panicked");
            Err(ApiError::internal("the request met a defect; it was logged"))
        }
    }
}

fn submit_error(error: SubmitError) -> ApiError {
    match error {
        SubmitError::IdemMismatch { .. } => ErrorKind::IdempotencyMismatch.into(),
        SubmitError::Store(error) => ApiError::from_store(error),
        other => ApiError::store(other),
    }
}

fn advance_error(error: AdvanceError) -> ApiError {
    match error {
        AdvanceError::Store(error) => ApiError::from_store(error),
        error if error.is_retryable() => ApiError::store(error),
        other => ApiError::internal(other),
    }
}

/// How far a query is, by a view of it.
pub(crate) fn progress_of(handle: &QueryHandle, view: &QueryView) -> Progress {
    let progress = handle.progress(view);
    Progress {
        stages_done: progress.stages_done as u64,
        stages: progress.stages as u64,
        tasks_done: progress.tasks_done as u64,
        tasks: progress.tasks as u64,
        claimed: progress.attempts > 0,
    }
}

/// The answer to EXPLAIN: one row a view of the plan.
fn explain_rows(planned: &Planned) -> Result<SendableRecordBatchStream, ApiError> {
    let route = format!("{}: {}", planned.route.as_str(), planned.route_reason);
    let rows = [
        ("logical_plan", planned.explain.logical.as_str()),
        ("physical_plan", planned.explain.physical.as_str()),
        ("distributed_plan", planned.explain.distributed.as_str()),
        ("route", route.as_str()),
    ];
    analyze::plan_stream(&rows)
}
