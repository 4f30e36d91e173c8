//! Taking a statement: planned, then answered here or written down as a query.
//!
//! Everything that must not stop half way when a client hangs up (plan and submit) runs in a task of
//! its own: between `idem` and `root` lies a state that only a retry of the same client could leave.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::records::{Limits, Summary};
use dunlin_manifest::store::ObjectControlStore;
use dunlin_manifest::submit::{self, SubmitError, Submitted};
use dunlin_planner::{Planned, Route, StageGraph, StatementKind};
use tokio::runtime::Handle;

use super::analyze::{self, Detail};
use super::answer::{Answer, Receipt};
use super::error::CoreError;
use super::inline;
use super::lasting::{lasting, lasting_on};
use super::statement::Statement;
use crate::options::Gateway;

/// What became of a statement.
pub(crate) enum Taken {
    /// It is being answered here and now, without a trace.
    Answer(Box<Answer>),
    /// It is a query in the store; EXPLAIN ANALYZE asks for its analysis and not for its rows.
    Query { query: QueryId, replayed: bool, analysis: Option<Detail> },
}

/// Plans statements, and answers or submits them.
#[derive(Debug)]
pub(crate) struct Intake {
    gateway: Gateway,
    limits: Limits,
    /// Threads that plan and run inline queries.
    compute: Handle,
}

impl Intake {
    pub(crate) fn new(gateway: Gateway, limits: Limits, compute: Handle) -> Self {
        Self { gateway, limits, compute }
    }

    fn env(&self) -> &Env {
        &self.gateway.env
    }

    fn store(&self) -> &ObjectControlStore {
        &self.gateway.control
    }

    /// Plans a statement and either starts to answer it here or writes it down as a query. Runs to
    /// its end even if the caller goes away. `key` = the hash of the client's idempotency key;
    /// `durable` = the query must be written down wherever it runs.
    pub(crate) async fn take(
        self: Arc<Self>,
        statement: Statement,
        key: Option<String>,
        durable: bool,
    ) -> Result<Taken, CoreError> {
        lasting(async move { self.take_now(statement, key, durable).await }).await
    }

    async fn take_now(
        &self,
        mut statement: Statement,
        key: Option<String>,
        durable: bool,
    ) -> Result<Taken, CoreError> {
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
                Err(error) => return Err(error.into()),
            }
        }
        statement.settings.durable = durable || key.is_some();
        let sql = statement.sql.clone();
        let fingerprint = statement.fingerprint.clone();
        let planned = self.plan(statement).await.map_err(|error| error.about(&query))?;
        tracing::debug!(%query, route = planned.route.as_str(), reason = %planned.route_reason, "planned");
        if planned.statement == StatementKind::Explain {
            let rows = explain_rows(&planned)?;
            return Ok(Taken::Answer(Box::new(here(query, &planned, Arc::default(), rows))));
        }
        let analysis = detail(planned.statement);
        let Some(graph) = &planned.graph else {
            let answer = self.answer_here(query, &planned, analysis)?;
            return Ok(Taken::Answer(Box::new(answer)));
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

    /// Starts the uncut plan in this process.
    fn answer_here(
        &self,
        query: QueryId,
        planned: &Planned,
        analysis: Option<Detail>,
    ) -> Result<Answer, CoreError> {
        let meter = Arc::<Meter>::default();
        let plan = self.gateway.planner.inline_plan(planned, &meter)?;
        let mut rows = inline::run(&self.compute, plan.clone());
        if let Some(detail) = analysis {
            let ran = analyze::Ran {
                plan: Arc::clone(plan.plan()),
                route: format!("{}: {}", planned.route.as_str(), planned.route_reason),
                meter: Arc::clone(&meter),
            };
            rows = analyze::inline(rows, ran, self.env().clone(), detail)?;
        }
        Ok(here(query, planned, meter, rows))
    }

    /// Whether `sql` asks for an analysis, by its text alone.
    pub(crate) async fn analysis_asked(&self, sql: &str) -> Result<Option<Detail>, CoreError> {
        const WORD: &[u8] = b"analyze";
        // Parsing a long text takes milliseconds, and hardly any has the word.
        if !sql.as_bytes().windows(WORD.len()).any(|part| part.eq_ignore_ascii_case(WORD)) {
            return Ok(None);
        }
        let (planner, sql) = (self.gateway.planner.clone(), sql.to_owned());
        lasting_on(&self.compute, async move { Ok(detail(planner.kind(&sql))) }).await
    }

    async fn submit(
        &self,
        graph: &StageGraph,
        query: QueryId,
        sql: &str,
        idem: Option<(String, String)>,
    ) -> Result<(QueryId, bool), CoreError> {
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
            outcome.map_err(|error| CoreError::from(error).about(&query))?;
        tracing::info!(%query, replayed, "submitted");
        Ok((query, replayed))
    }

    /// Plans a statement, and that is all. Runs on the compute threads: optimising a wide plan takes
    /// many milliseconds.
    pub(crate) async fn plan(&self, statement: Statement) -> Result<Planned, CoreError> {
        let planner = self.gateway.planner.clone();
        let work = async move {
            let Statement { sql, parameters, settings, .. } = statement;
            let parsed = planner.parse(&sql)?;
            Ok(planner.plan(&parsed, &parameters, &settings).await?)
        };
        lasting_on(&self.compute, work).await
    }
}

fn here(
    query: QueryId,
    planned: &Planned,
    meter: Arc<Meter>,
    rows: SendableRecordBatchStream,
) -> Answer {
    let bytes_scanned = match planned.statement {
        StatementKind::Query | StatementKind::Analyze { .. } => planned.scan_bytes,
        StatementKind::Explain => 0,
    };
    let totals = Summary { bytes_scanned, ..Summary::default() };
    let receipt = Receipt::of(planned.route, &totals);
    Answer { query, rows, receipt, meter: Some(meter) }
}

fn detail(statement: StatementKind) -> Option<Detail> {
    match statement {
        StatementKind::Analyze { verbose } => Some(Detail::of(verbose)),
        StatementKind::Query | StatementKind::Explain => None,
    }
}

/// The answer to EXPLAIN: one row a view of the plan.
fn explain_rows(planned: &Planned) -> Result<SendableRecordBatchStream, CoreError> {
    let route = format!("{}: {}", planned.route.as_str(), planned.route_reason);
    let rows = [
        ("logical_plan", planned.explain.logical.as_str()),
        ("physical_plan", planned.explain.physical.as_str()),
        ("distributed_plan", planned.explain.distributed.as_str()),
        ("route", route.as_str()),
    ];
    analyze::plan_stream(&rows)
}
