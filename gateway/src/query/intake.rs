//! Taking a statement: it is planned, and then answered here or stored as a query.
//!
//! Planning and submitting must not stop half-way when a client disconnects, so they run in a task of their own.
//! Between `idem` and `root` there is a state that only a retry of the same client could complete.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::records::{Limits, Summary};
use dunlin_manifest::store::ObjectControlStore;
use dunlin_manifest::submit::{self, SubmitError};
use dunlin_planner::cost::{Estimate, Tariff};
use dunlin_planner::{
    Described, Grants, ParsedStatement, Planned, Planner, StatementKind, TableName,
};
use tokio_util::sync::CancellationToken;

use super::analyze::{self, Detail};
use super::answer::{Answer, Receipt};
use super::audit::Audit;
use super::cached::{Cached, Source};
use super::catalog::{TableBody, whole_table};
use super::counted::Counted;
use super::cut::AnswerLimits;
use super::error::{CoreError, ErrorKind};
use super::guests::Guests;
use super::handles::Handles;
use super::lasting::lasting;
use super::origin::Origin;
use super::planning::Planning;
use super::statement::Statement;
pub(crate) use super::submitting::Held;
use super::submitting::{Submitter, Wanted, Written};
use super::system::{OnlyColumns, System};
pub(crate) use super::wish::Wish;
use super::workgroups::{Here, Workgroups, ttl_ms};
use crate::auth::{Principal, Workgroup};
use crate::metrics::{Passing, Told};
use crate::options::{Current, Gateway, GatewayOptions, Live, Most};

/// The result of taking a statement.
pub(crate) enum Taken {
    /// It is being answered now, and nothing is stored.
    Answer(Box<Answer>),
    /// It is a query in the store; EXPLAIN ANALYZE asks for its analysis and not for its rows.
    Query { query: QueryId, source: Source, analysis: Option<Detail>, held: Held },
}

/// A statement that was parsed.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    statement: Statement,
    pub(super) parsed: ParsedStatement,
    /// What was in force when it came. A reload between two steps does not mix two configurations.
    live: Arc<Live>,
    /// Plans it over the tables that its client may name.
    pub(super) planner: Planner,
}

impl Parsed {
    /// The same statement with the values of its parameters.
    pub(crate) fn with_values(mut self, values: Vec<ScalarValue>) -> Self {
        self.statement.parameters = values;
        self
    }

    /// The same statement, whose query shows in its id that it came from a connection.
    pub(crate) fn of_connection(mut self, origin: Origin) -> Self {
        self.statement.origin = Some(origin);
        self
    }

    /// Query, EXPLAIN or EXPLAIN ANALYZE.
    pub(crate) fn kind(&self) -> StatementKind {
        self.parsed.kind()
    }
}

/// Plans statements, and answers or submits them.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(super) current: Current,
    tariff: Arc<Tariff>,
    pub(super) planning: Planning,
    pub(super) guests: Guests,
    submitter: Submitter,
    audit: Arc<Audit>,
    system: Arc<System>,
}

impl Intake {
    pub(crate) fn new(
        gateway: Gateway,
        current: Current,
        handles: Arc<Handles>,
        options: &GatewayOptions,
        (told, audit): (Told, Arc<Audit>),
        (system, workgroups): (Arc<System>, Arc<Workgroups>),
    ) -> Self {
        let cached = Arc::new(Cached::new(Arc::clone(&handles), options.results_cache));
        Self {
            current,
            planning: Planning::new(gateway.env.clone(), options.planning),
            guests: Guests::new(gateway.env.clone(), options.inline),
            tariff: Arc::clone(&options.tariff),
            submitter: Submitter { gateway, handles, cached, workgroups, told },
            audit,
            system,
        }
    }

    /// Ends inline queries before the process has more memory than it may. Never resolves.
    pub(crate) fn watch_memory(&self) -> impl Future<Output = ()> + Send + 'static {
        self.guests.watch_memory()
    }

    /// Where it is written down what clients do.
    pub(crate) fn audit(&self) -> &Arc<Audit> {
        &self.audit
    }

    /// Statements that are planned now, and those that wait for it.
    pub(crate) fn planning(&self) -> (usize, usize) {
        self.planning.counts()
    }

    fn env(&self) -> &Env {
        &self.submitter.gateway.env
    }

    fn store(&self) -> &ObjectControlStore {
        &self.submitter.gateway.control
    }

    /// All tables that the client may name.
    pub(crate) async fn tables(&self, grants: &Grants) -> Result<Vec<TableName>, CoreError> {
        Ok(self.current.now().planner.granting(grants.clone()).tables().await?)
    }

    /// What is known of a table, or nothing if there is none of this name.
    pub(crate) async fn table(
        &self,
        name: &str,
        grants: &Grants,
    ) -> Result<Option<TableBody>, CoreError> {
        let name = name.to_lowercase();
        let tables = self.tables(grants).await?;
        let Some(known) = tables.into_iter().find(|table| table.name == name) else {
            return Ok(None);
        };
        let statement = Statement::new(whole_table(&name), Vec::new(), serde_json::Map::new())?;
        let parsed = self.parse(statement, grants).await?;
        let planned = self.planning.plan(&parsed.planner, parsed.parsed, parsed.statement).await?;
        Ok(Some(TableBody::new(known, &planned)?))
    }

    /// Parses a statement of a client that may name these tables. Its kind decides what may be done with it.
    pub(crate) async fn parse(
        &self,
        statement: Statement,
        grants: &Grants,
    ) -> Result<Parsed, CoreError> {
        let live = self.current.now();
        let planner = live.planner.granting(grants.clone());
        let parsed = self.planning.parse(&planner, statement.sql.clone()).await?;
        Ok(Parsed { statement, parsed, live, planner })
    }

    /// The same statement by what is in force now.
    pub(crate) async fn renewed(
        &self,
        parsed: Parsed,
        grants: &Grants,
    ) -> Result<Parsed, CoreError> {
        match Arc::ptr_eq(&parsed.live, &self.current.now()) {
            true => Ok(parsed),
            false => self.parse(parsed.statement, grants).await,
        }
    }

    /// What a statement takes and what it answers, before its parameters are known.
    pub(crate) async fn describe(&self, parsed: &Parsed) -> Result<Described, CoreError> {
        let planner = parsed.planner.seeing(Arc::new(OnlyColumns));
        self.planning.describe(&planner, parsed.parsed.clone()).await
    }

    /// The columns of a table with this name, if the client may name it.
    pub(crate) async fn columns(
        &self,
        table: &str,
        grants: &Grants,
    ) -> Result<SchemaRef, CoreError> {
        let statement = Statement::new(whole_table(table), Vec::new(), serde_json::Map::new())?;
        Ok(self.describe(&self.parse(statement, grants).await?).await?.schema)
    }

    /// Plans a statement, explains the plan, and does nothing else.
    pub(crate) async fn explain(
        &self,
        mut parsed: Parsed,
        caller: &Principal,
    ) -> Result<(Planned, Estimate), CoreError> {
        parsed.statement.settings.explain = true;
        let Parsed { statement, parsed, planner, .. } = parsed;
        let planner = planner.seeing(self.system.of(caller));
        let planned = self.planning.plan(&planner, parsed, statement).await?;
        let estimate = self.estimate(&planned);
        Ok((planned, estimate))
    }

    /// What a planned statement is expected to use.
    fn estimate(&self, planned: &Planned) -> Estimate {
        let stages = planned.graph.as_ref().map_or(&[][..], |graph| &graph.stages);
        Estimate::of(stages, planned.read_bytes, &self.tariff)
    }

    /// Bytes and dollars that a planned statement is likely to use: the middle of the estimate.
    fn expected(&self, planned: &Planned) -> (u64, Option<f64>) {
        let cost = self.estimate(planned).cost_usd;
        (planned.read_bytes, cost.map(|cost| (cost.low * cost.high).sqrt()))
    }

    /// The limits of a statement that asks for no more than `most`.
    ///
    /// # Errors
    /// It is expected to use more, or its cost cannot be told.
    fn limits(
        &self,
        live: &Live,
        planned: &Planned,
        most: Most,
        group: Option<&Arc<Workgroup>>,
    ) -> Result<Limits, CoreError> {
        let most = live.most.and(most).and(group.map(|group| group.most).unwrap_or_default());
        let mut limits = live.limits;
        limits.ttl_ms = ttl_ms(group, limits.ttl_ms);
        if let Some(dollars) = group.and_then(|group| group.day.cost_usd)
            && self.tariff.spend(dollars).is_none()
        {
            return Err(CoreError::invalid_request(format!(
                "cost_per_day_usd of the workgroup cannot be kept: {}",
                self.tariff.note()
            )));
        }
        if let Some(bytes) = most.max_bytes_scanned {
            limits.max_scan_bytes = Some(bytes);
            if planned.read_bytes > bytes {
                return Err(ErrorKind::OverLimit(format!(
                    "the query would scan {} bytes, and limits.max_bytes_scanned is {bytes}; ask for less, or raise the limit",
                    planned.read_bytes
                ))
                .into());
            }
        }
        if let Some(dollars) = most.max_cost_usd {
            let Some(spend) = self.tariff.spend(dollars) else {
                return Err(CoreError::invalid_request(format!(
                    "limits.max_cost_usd cannot be kept: {}",
                    self.tariff.note()
                )));
            };
            limits.spend = Some(spend);
            let least = self.estimate(planned).cost_usd.map_or(0.0, |cost| cost.low);
            if least > dollars {
                return Err(ErrorKind::OverLimit(format!(
                    "the query is expected to cost at least ${least:.8}, and limits.max_cost_usd is ${dollars:.8}; ask for less, or raise the limit"
                ))
                .into());
            }
        }
        Ok(limits)
    }

    /// Plans a statement, and either starts to answer it here or stores it as a query. Storing a query is completed
    /// even if the client leaves. A statement that is not stored is given up when its client leaves.
    pub(crate) async fn take(
        self: Arc<Self>,
        parsed: Parsed,
        wish: Wish,
    ) -> Result<Taken, CoreError> {
        if !self.audit.is_on() {
            return self.taken(parsed, wish).await;
        }
        let (audit, caller) = (Arc::clone(&self.audit), wish.caller.clone());
        let sql = parsed.statement.sql.clone();
        let taken = self.taken(parsed, wish).await;
        let (query, refused) = match &taken {
            Ok(Taken::Answer(answer)) => (Some(answer.query.to_string()), None),
            Ok(Taken::Query { query, .. }) => (Some(query.to_string()), None),
            Err(error) => (error.query.clone(), Some(error.code())),
        };
        audit.statement(&caller, &sql, query, refused);
        taken
    }

    async fn taken(self: Arc<Self>, parsed: Parsed, wish: Wish) -> Result<Taken, CoreError> {
        // Dropped with this future, when the client leaves.
        let _left = wish.gone.clone().drop_guard();
        if wish.durable || wish.key.is_some() || parsed.kind() == StatementKind::Write {
            return lasting(async move { self.take_now(parsed, wish).await }).await;
        }
        self.take_now(parsed, wish).await
    }

    async fn take_now(self: &Arc<Self>, parsed: Parsed, wish: Wish) -> Result<Taken, CoreError> {
        let Parsed { mut statement, parsed, live, planner } = parsed;
        let Wish { caller, key, durable, fresh, patience, gone } = wish;
        // A client with a key comes back for its query.
        let gone = if key.is_some() { CancellationToken::new() } else { gone };
        let analysis = detail(parsed.kind());
        let mut query = match statement.origin {
            Some(origin) => origin.query(self.env()),
            None => QueryId::new(self.env()),
        };
        let key = key.map(|key| caller.idempotency_scope(key));
        if let Some(key) = &key {
            // Done before planning, so that a retry finds its query even if the tables were deleted since.
            match self.earlier(key, &statement.fingerprint).await? {
                Earlier::None => {}
                Earlier::Query(query) => {
                    return Ok(Taken::Query {
                        query,
                        source: Source::Replayed,
                        analysis,
                        held: None,
                    });
                }
                Earlier::Announced(announced) => query = announced,
            }
        }
        let writes = parsed.kind() == StatementKind::Write;
        statement.settings.group_pool = caller.pool();
        statement.settings.durable = durable || key.is_some() || writes;
        let (most, remarks) = (statement.most, statement.remarks.clone());
        let (sql, trace) = (statement.sql.clone(), statement.trace.clone());
        let idem = key.map(|key| (key, statement.fingerprint.clone()));
        let durable = statement.settings.durable;
        let began = self.env().clock.monotonic();
        let planner = planner.seeing(self.system.of(&caller));
        let planned = tokio::select! {
            planned = self.planning.plan(&planner, parsed, statement) => planned,
            // Planning of a query that will be stored is completed.
            () = self.env().clock.sleep(patience), if !durable => {
                Err(ErrorKind::WaitOver(patience).into())
            }
            () = gone.cancelled(), if !durable => Err(ErrorKind::Cancelled.into()),
        };
        let planned = planned.map_err(|error| error.about(&query))?;
        self.was_planned(&query, &planned, began);
        if let StatementKind::Explain { format } = planned.statement {
            let rows = analyze::explained(&planned, format, &self.estimate(&planned))?;
            return Ok(Taken::Answer(Box::new(here(query, &planned, Arc::default(), rows))));
        }
        let limits = self.limits(&live, &planned, most, caller.workgroup.as_ref());
        let limits = limits.map_err(|error| error.about(&query))?;
        if planned.graph.is_none() {
            let here = (&caller, &query, analysis);
            let answer = tokio::select! {
                answer = self.answer_here((&live, &planned), here, patience) => answer,
                () = gone.cancelled() => Err(ErrorKind::Cancelled.into()),
            };
            let answer = answer.map_err(|error| error.about(&query))?;
            // An analysis is no answer of the query.
            let limits = analysis.map_or(remarks.limits, |_| AnswerLimits::default());
            return Ok(Taken::Answer(Box::new(self.counted(answer, trace, began).limited(limits))));
        }
        let is_query = matches!(planned.statement, StatementKind::Query);
        // A repeated request must find its own query, and the limits of an answer are kept with its query.
        let is_plain = idem.is_none() && remarks.limits == AnswerLimits::default();
        let is_cacheable = is_query
            && is_plain
            && planned.is_repeatable
            && !fresh
            && self.submitter.cached.is_on();
        let intake = Arc::clone(self);
        let expected = self.expected(&planned);
        let written = async move {
            let (sql, caller, remarks) = (&*sql, &caller, &remarks);
            let wanted = Wanted { sql, trace, idem, caller, remarks, is_cacheable, expected, gone };
            intake.submitter.write_down(&planned, limits, query, wanted).await
        };
        let Written { query, source, held } = lasting(written).await?;
        Ok(Taken::Query { query, source, analysis, held })
    }

    fn was_planned(&self, query: &QueryId, planned: &Planned, began: Duration) {
        let route = planned.route.as_str();
        tracing::debug!(%query, route, reason = %planned.route_reason, "planned");
        let took = self.env().clock.monotonic().saturating_sub(began);
        self.submitter.told.metrics.planned(route, took);
    }

    /// What an earlier request with this key has left.
    async fn earlier(&self, key: &str, fingerprint: &str) -> Result<Earlier, CoreError> {
        match submit::find(self.store(), key, fingerprint).await {
            Ok(found) => Ok(found.map_or(Earlier::None, Earlier::Query)),
            Err(SubmitError::Orphaned { query }) => Ok(Earlier::Announced(query)),
            Err(error) => Err(error.into()),
        }
    }

    /// Starts the whole plan, without stages, in this process.
    async fn answer_here(
        &self,
        (live, planned): (&Live, &Planned),
        (caller, query, analysis): (&Principal, &QueryId, Option<Detail>),
        patience: Duration,
    ) -> Result<Answer, CoreError> {
        let groups = &self.submitter.workgroups;
        let here_of_group = groups.admit_here(caller, query, planned.read_bytes).await?;
        let meter = Arc::<Meter>::default();
        let memory = self.guests.memory();
        let plan = live.planner.inline_plan(planned, &meter, memory)?;
        let (plan, mut rows) = self.guests.run(plan, patience).await?;
        if let Some(detail) = analysis {
            let ran = analyze::Ran {
                plan,
                route: format!("{}: {}", planned.route.as_str(), planned.route_reason),
                meter: Arc::clone(&meter),
            };
            rows = analyze::inline(rows, ran, self.env().clone(), detail)?;
        }
        Ok(here(query.clone(), planned, meter, rows).holding(here_of_group.map(Here::running)))
    }

    /// Tells of an answer when its rows have ended.
    fn counted(&self, answer: Answer, trace: Option<String>, began: Duration) -> Answer {
        let (Some(books), Some(meter)) = (&self.submitter.told.books, &answer.meter) else {
            return answer;
        };
        let passing = Passing {
            query: answer.query.clone(),
            context: trace,
            scanned: answer.receipt.bytes_scanned,
            meter: Arc::clone(meter),
            began,
            ran: self.env().clock.monotonic(),
        };
        Answer { rows: Counted::rows(answer.rows, Arc::clone(books), passing), ..answer }
    }
}

/// What an earlier request with an idempotency key has left.
enum Earlier {
    None,
    /// Its query.
    Query(QueryId),
    /// The key and no root: the query is stored under this id.
    Announced(QueryId),
}

fn here(
    query: QueryId,
    planned: &Planned,
    meter: Arc<Meter>,
    rows: SendableRecordBatchStream,
) -> Answer {
    let bytes_scanned = match planned.statement {
        StatementKind::Query | StatementKind::Write | StatementKind::Analyze { .. } => {
            planned.scan_bytes
        }
        StatementKind::Explain { .. } => 0,
    };
    let totals = Summary { bytes_scanned, ..Summary::default() };
    let receipt = Receipt::of(planned.route, &totals);
    Answer { query, rows, receipt, meter: Some(meter), cut: None, parts: None }
}

fn detail(statement: StatementKind) -> Option<Detail> {
    match statement {
        StatementKind::Analyze { verbose } => Some(Detail::of(verbose)),
        StatementKind::Query | StatementKind::Write | StatementKind::Explain { .. } => None,
    }
}
