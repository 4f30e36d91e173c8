//! From SQL text to a route, a stage graph and an explanation.

mod seen;
mod signature;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::catalog::MemoryCatalogProviderList;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::execution::context::SessionContext;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::displayable;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::pinned::InputWatch;
use dunlin_plan::config::EngineConfig;
use dunlin_plan::stores::Stores;
use dunlin_plan::{disk, functions, session};

use crate::complexity::{StatementLimits, check_constants};
use crate::config::{Config, RoutingConfig};
use crate::described::Described;
use crate::draft::{Draft, Unwritable};
use crate::encode::WindowFilters;
use crate::error::PlanError;
use crate::explain::{self, TableNames};
use crate::grants::Grants;
use crate::inline::InlinePlan;
use crate::mistakes::Scene;
use crate::planned::{Explain, Explanation, Planned, StageGraph};
use crate::route::{self, Decision, Route, RouteReason};
use crate::settings::{QuerySettings, RouteMode};
use crate::sight::Sight;
use crate::snapshots::newest;
use crate::stages::Stage;
use crate::statement::{ParsedStatement, StatementKind, analysed, is_repeatable};
use crate::tables::{self, Tables, because_unread};
use crate::too_complex::TooComplex;
use crate::writes::{Permission, Write, Writes};
use crate::{passes, physical, scans, sound};

pub use signature::{Signature, parameters, with_nulls};

/// Plans statements over the tables of the configuration. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Planner {
    inner: Arc<Inner>,
    /// What whoever plans with this clone can name.
    sight: Sight,
}

#[derive(Debug)]
struct Inner {
    engine: EngineConfig,
    routing: RoutingConfig,
    limits: StatementLimits,
    stores: Stores,
    tables: Tables,
    names: Arc<TableNames>,
    permission: Permission,
    base: SessionState,
    runtime: Arc<RuntimeEnv>,
}

/// A statement that is planned, with what the client asks for.
struct Asked<'a> {
    statement: &'a ParsedStatement,
    parameters: &'a [ScalarValue],
    settings: &'a QuerySettings,
    /// The tables that it names.
    named: &'a [TableReference],
}

/// The route of a query, with what that route needs.
struct Routed {
    route: Route,
    reason: RouteReason,
    graph: Option<StageGraph>,
    /// The stages on the fleet; none if the gateway runs the whole plan.
    stages: Vec<Stage>,
}

impl Planner {
    /// A planner over the tables of a configuration. It reads nothing yet: a table's footers are read when a query
    /// first names the table.
    ///
    /// # Errors
    /// A runtime that cannot be built.
    pub fn open(config: &Config, stores: &Stores) -> Result<Self, PlanError> {
        let worker = &config.worker;
        let folder = worker.spill_dir.as_ref().map(PathBuf::from);
        let spills = disk::spills(folder.as_ref(), worker.spill_bytes).map_err(|error| {
            let folder = worker.spill_dir.as_deref().unwrap_or_default();
            let message = format!(
                "the folder for spills, {folder:?} of [worker] spill_dir, cannot be made: {error}"
            );
            PlanError::Store { message, source: Some(error.into()) }
        })?;
        let runtime = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(spills)
            .with_object_store_registry(stores.registry())
            .with_memory_pool(pool(config.worker.memory_bytes))
            // A cached listing would hide files that arrived later.
            .with_object_list_cache_limit(0)
            .build_arc()
            .map_err(PlanError::from_planning)?;
        let config_of_base =
            session::config(&session::settings(&config.engine, config.engine.target_partitions))?;
        let base = functions::session_builder()
            .with_config(config_of_base)
            .with_runtime_env(Arc::clone(&runtime))
            .with_analyzer_rules(sound::analyzer_rules())
            .with_physical_optimizer_rules(passes::optimizer_rules())
            .build();
        Ok(Self {
            sight: Sight::default(),
            inner: Arc::new(Inner {
                engine: config.engine.clone(),
                routing: config.routing.clone(),
                limits: config.planning.statement(),
                stores: stores.clone(),
                tables: Tables::new(config, stores),
                names: Arc::new(TableNames::of(&config.tables)),
                permission: Permission::of(&config.writing, &config.files, stores),
                base,
                runtime,
            }),
        })
    }

    /// The stores that it plans over.
    #[must_use]
    pub fn stores(&self) -> &Stores {
        &self.inner.stores
    }

    /// Where queries run unless a request says otherwise.
    #[must_use]
    pub fn route_mode(&self) -> RouteMode {
        self.inner.routing.mode
    }

    /// The names of `[[routing.pools]]`.
    pub fn pools(&self) -> impl Iterator<Item = &str> {
        self.inner.routing.pools.iter().map(|pool| pool.name.as_str())
    }

    /// Parses one statement. Reads no table.
    ///
    /// # Errors
    /// [`PlanError::Syntax`] and [`PlanError::TooComplex`]; more or fewer statements than one.
    pub fn parse(&self, sql: &str) -> Result<ParsedStatement, PlanError> {
        let inner = &self.inner;
        ParsedStatement::parse(&inner.base, sql, &inner.limits).map_err(|error| {
            let tables = inner.tables.names(&self.sight.grants);
            let state = Some(&inner.base);
            error.in_statement(&Scene { sql, state, tables: &tables, ..Scene::default() })
        })
    }

    /// Plans one statement. Reads listings and footers of the tables that it names, but no data pages.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub async fn plan(
        &self,
        statement: &ParsedStatement,
        parameters: &[ScalarValue],
        settings: &QuerySettings,
    ) -> Result<Planned, PlanError> {
        let inner = &self.inner;
        let (session, state) = inner.session(settings)?;
        let named = statement.tables(&state)?;
        let asked = Asked { statement, parameters, settings, named: &named };
        let planned = inner.planned(&state, session, asked, &self.sight).await;
        planned.map_err(|error| self.in_scene(error, statement, &state, &named))
    }

    /// What a statement takes and what it answers, before its parameters are known. Reads listings and footers of the
    /// tables that it names.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub async fn describe(&self, statement: &ParsedStatement) -> Result<Described, PlanError> {
        let inner = &self.inner;
        let (_, state) = inner.session(&QuerySettings::default())?;
        let named = statement.tables(&state)?;
        let described = async {
            let logical = self.logical(&state, statement, &named).await?;
            Described::new(statement, logical, &state)
        };
        let described = described.await;
        described.map_err(|error| self.in_scene(error, statement, &state, &named))
    }

    /// The whole plan. It reads only the pinned versions of its inputs, and `meter` counts its requests. It may hold
    /// `memory_bytes` of memory, and spills the rest if the engine can.
    ///
    /// # Errors
    /// A runtime that cannot be built, or a store that the configuration does not know.
    pub fn inline_plan(
        &self,
        planned: &Planned,
        meter: &Arc<Meter>,
        memory_bytes: usize,
    ) -> Result<InlinePlan, PlanError> {
        let execution = PlanError::from_execution;
        let watch = InputWatch::default();
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.inner.runtime)
            .with_memory_pool(pool(memory_bytes))
            .with_object_store_registry(self.inner.stores.pinned_registry(
                &planned.pins,
                meter,
                &watch,
            ))
            .build_arc()
            .map_err(execution)?;
        let plan =
            scans::read_through(Arc::clone(&planned.physical), &runtime).map_err(execution)?;
        let context = TaskContext::new(
            Some("inline".to_owned()),
            planned.context.session_id(),
            planned.context.session_config().clone(),
            planned.context.scalar_functions().clone(),
            planned.context.higher_order_functions().clone(),
            planned.context.aggregate_functions().clone(),
            planned.context.window_functions().clone(),
            runtime,
        );
        let pins = Arc::clone(&planned.pins);
        Ok(InlinePlan::new(plan, Arc::new(context), pins, watch))
    }
}

impl Planner {
    /// The logical plan of a statement without its parameters.
    async fn logical(
        &self,
        state: &SessionState,
        statement: &ParsedStatement,
        named: &[TableReference],
    ) -> Result<LogicalPlan, PlanError> {
        self.inner.logical(state, statement, &[], named, &self.sight).await
    }

    /// An error of a statement, in words that know the statement and its tables.
    fn in_scene(
        &self,
        error: PlanError,
        statement: &ParsedStatement,
        state: &SessionState,
        named: &[TableReference],
    ) -> PlanError {
        error.in_statement(&Scene {
            sql: statement.sql(),
            state: Some(state),
            tables: &self.inner.tables.names(&self.sight.grants),
            named,
            snapshots: self.sight.snapshots.as_ref().map_or(&[], |snapshots| snapshots.tables()),
        })
    }
}

/// Number of columns of the widest of some tables. Tables that do not exist are ignored.
async fn widest(state: &SessionState, tables: &[TableReference]) -> usize {
    let mut widest = 1;
    for table in tables {
        if let Ok(schema) = state.schema_for_ref(table.clone())
            && let Ok(Some(table)) = schema.table(table.table()).await
        {
            widest = widest.max(table.schema().fields().len());
        }
    }
    widest
}

/// A memory pool whose errors name the operators that hold the most.
fn pool(bytes: usize) -> Arc<dyn MemoryPool> {
    let named = std::num::NonZeroUsize::new(5).unwrap_or(std::num::NonZeroUsize::MIN);
    Arc::new(TrackConsumersPool::new(FairSpillPool::new(bytes), named))
}

impl Inner {
    /// The settings of one statement's session, and the session.
    fn session(
        &self,
        settings: &QuerySettings,
    ) -> Result<(BTreeMap<String, String>, SessionState), PlanError> {
        let partitions = settings.target_partitions.unwrap_or(self.engine.target_partitions);
        if partitions == 0 || partitions > 4096 {
            return Err(PlanError::Setting(
                "target_partitions must be between 1 and 4096".to_owned(),
            ));
        }
        let session = session::settings(&self.engine, partitions);
        let mut config = session::config(&session)?;
        config.options_mut().sql_parser.collect_spans = true;
        let state = self.state(config)?;
        Ok((session, state))
    }

    /// The logical plan of a statement, with its tables as they are now.
    async fn logical(
        &self,
        state: &SessionState,
        statement: &ParsedStatement,
        parameters: &[ScalarValue],
        named: &[TableReference],
        sight: &Sight,
    ) -> Result<LogicalPlan, PlanError> {
        let (catalog, unread) = self.tables.load(named, state, sight).await?;
        let name = state.config_options().catalog.default_catalog.clone();
        state.catalog_list().register_catalog(name, catalog);
        statement.check_columns(widest(state, named).await, &self.limits)?;
        let logical = statement.logical_plan(state, parameters, &self.limits).await;
        logical.map_err(|error| because_unread(error, unread))
    }

    /// The session of one statement.
    fn state(
        &self,
        config: datafusion::execution::config::SessionConfig,
    ) -> Result<SessionState, PlanError> {
        let state = SessionStateBuilder::new_from_existing(self.base.clone())
            // Each statement has a catalog of its own, with its tables as they are at this moment.
            .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
            .with_config(config.with_create_default_catalog_and_schema(false))
            .build();
        // The context's copy holds the time at which the statement began.
        Ok(SessionContext::new_with_state(state).state())
    }

    /// Plans one statement in a session of its own.
    async fn planned(
        &self,
        state: &SessionState,
        session: BTreeMap<String, String>,
        asked: Asked<'_>,
        sight: &Sight,
    ) -> Result<Planned, PlanError> {
        let Asked { statement, parameters, settings, named } = asked;
        let planning = PlanError::from_planning;
        let logical = self.logical(state, statement, parameters, named, sight).await?;
        let (logical, write) = self.written(statement, logical, state, &sight.grants).await?;
        let logical = functions::within_constants(|| state.optimize(&logical))
            .ok_or(TooComplex::Constants { most: functions::MOST_CONSTANT_BYTES })?
            .map_err(planning)?;
        check_constants(&logical)?;
        let logical = newest(logical).map_err(planning)?;
        tables::list_filtered(&logical, state).await?;
        let physical = match physical::physical_plan(state, &logical).await {
            Ok(physical) => physical,
            Err(error) => return Err(tables::blamed(error)),
        };
        let target = write.as_ref().and_then(Write::target);
        let partitions = state.config_options().execution.target_partitions;
        let physical = match write {
            Some(write) => write.over(physical, partitions)?,
            None => physical,
        };
        let draft = Draft {
            write: target,
            pins: scans::pins(&physical).map_err(planning)?,
            scan_bytes: scans::scanned(&physical).map_err(planning)?,
            filters: WindowFilters::of(&logical).map_err(planning)?,
            context: state.task_ctx(),
            task_bytes: settings.task_bytes.unwrap_or(self.engine.task_bytes),
            session,
            tables: Arc::clone(&self.names),
            physical,
        };
        let explains = matches!(statement.kind(), StatementKind::Explain { .. });
        // What is written is written by workers, with all that makes it happen once.
        let writes = statement.write().is_some();
        let Routed { route, reason, graph, stages } =
            self.routed(&draft, settings, (settings.durable || writes) && !explains)?;
        let read_bytes = match &graph {
            Some(graph) => graph.read_bytes,
            None => scans::read(&draft.physical, &draft.context.runtime_env()).map_err(planning)?,
        };
        let explanation = (explains || settings.explain).then(|| {
            let stages = if stages.is_empty() { vec![draft.as_one()] } else { stages };
            let physical = displayable(draft.physical.as_ref()).indent(false).to_string();
            let distributed = explain::distributed(route, &reason, &stages, draft.task_bytes);
            Box::new(Explanation {
                stages: draft.explained(route, &reason, &stages),
                plans: Explain {
                    logical: logical.display_indent().to_string(),
                    physical,
                    distributed,
                },
            })
        });
        Ok(Planned {
            route,
            route_reason: reason,
            schema: draft.physical.schema(),
            scan_bytes: draft.scan_bytes,
            read_bytes,
            graph,
            explanation,
            statement: statement.kind(),
            is_repeatable: is_repeatable(&logical).map_err(planning)?,
            physical: draft.physical,
            context: draft.context,
            pins: draft.pins.into(),
        })
    }

    /// Where the rows of a plan are written, if the statement writes. Then the plan has the columns that are written.
    async fn written(
        &self,
        statement: &ParsedStatement,
        logical: LogicalPlan,
        state: &SessionState,
        grants: &Grants,
    ) -> Result<(LogicalPlan, Option<Write>), PlanError> {
        let Some(asked) = statement.write() else { return Ok((logical, None)) };
        let logical = analysed(logical, state)?.map_err(PlanError::from_planning)?;
        let Self { permission, tables, stores, .. } = self;
        let writes = Writes { permission, tables, stores, grants };
        let (logical, write) = writes.planned(asked, logical, state).await?;
        Ok((logical, Some(write)))
    }

    /// Decides the route, and cuts or encodes what that route needs.
    fn routed(
        &self,
        draft: &Draft,
        settings: &QuerySettings,
        durable: bool,
    ) -> Result<Routed, PlanError> {
        let rows = match self.routing.counts_rows() {
            true => scans::rows(&draft.physical).map_err(PlanError::from_planning)?,
            false => 0,
        };
        let size = route::Size { scan_bytes: draft.scan_bytes, rows };
        match route::decide(settings, size, &self.routing)? {
            Decision::Inline(reason) => self.inline(draft, reason, durable),
            Decision::FleetOnly(reason) => self.fleet(draft, reason).map_err(|unwritable| {
                unwritable.refused(|difference| format!("on the fleet route: {difference}"))
            }),
            Decision::FleetFirst(reason) => match self.fleet(draft, reason) {
                Ok(routed) => Ok(routed),
                Err(Unwritable::Engine(error)) => Err(PlanError::from_planning(error)),
                Err(Unwritable::Mangled(mangled)) => {
                    let reason = route::instead_of_fleet(mangled, draft.scan_bytes, &self.routing)?;
                    self.inline(draft, reason, durable)
                }
            },
        }
    }

    fn fleet(&self, draft: &Draft, reason: RouteReason) -> Result<Routed, Unwritable> {
        let (graph, stages) = draft.on_fleet(reason.clone(), &self.engine, self.compression())?;
        Ok(Routed { route: Route::Fleet, reason, graph: Some(graph), stages })
    }

    fn inline(
        &self,
        draft: &Draft,
        reason: RouteReason,
        durable: bool,
    ) -> Result<Routed, PlanError> {
        let mut graph = None;
        if durable {
            let whole = draft.whole(reason.clone(), &self.engine, self.compression());
            graph = Some(whole.map_err(|unwritable| {
                unwritable.refused(|difference| {
                    format!(
                        "it cannot be written down ({difference}), so the query cannot be made durable; send it as a plain POST /v1/sql without an Idempotency-Key"
                    )
                })
            })?);
        }
        Ok(Routed { route: Route::Inline, reason, graph, stages: Vec::new() })
    }

    /// Compression of exchange data for this state's store. LZ4 helps only on a network.
    fn compression(&self) -> &str {
        match self.engine.exchange_compression.as_str() {
            "auto" if self.stores.state.is_remote() => "lz4",
            "auto" => "none",
            chosen => chosen,
        }
    }
}
