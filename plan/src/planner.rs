//! From SQL text to a route, a stage graph and an explanation.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{ParamValues, ScalarValue, TableReference};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, displayable, execute_stream,
};
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::pinned::InputWatch;
use dunlin_manifest::records::{
    Broadcast, EngineFence, Limits, Output, Pin, RECORD_VERSION, ResultSpec, Root, Route, StageSpec,
};
use dunlin_manifest::submit::Submission;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::PlanError;
use crate::config::{Config, EngineConfig, RoutingConfig, TableConfig};
use crate::crossing::{across, keep};
use crate::split::{SplitOptions, Stage};
use crate::stores::{Location, Stores};
use crate::wire::WindowFilters;
use crate::{explain, fence, gate, normalise, scans, session, split, statement, task};

/// The most memory that the listings of one query's tables may take while it is planned.
const LISTING_BYTES: usize = 256 << 20;

/// Where a query may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteMode {
    /// Small scans in the gateway, the rest on the fleet.
    #[default]
    Auto,
    /// In the gateway.
    Inline,
    /// On the fleet, or not at all.
    Fleet,
}

/// What a request may choose. Unknown names are errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuerySettings {
    /// Where the query may run; the configuration's mode if not set.
    pub route: Option<RouteMode>,
    /// Partitions of wide stages; the configuration's number if not set. 1 to 4096.
    pub target_partitions: Option<usize>,
    /// A task is given partitions until its input reaches this many bytes; 0 = one partition a task.
    pub task_bytes: Option<u64>,
    /// The query must leave its objects even if it runs in the gateway. Set by the gateway only.
    #[serde(skip)]
    pub durable: bool,
}

/// What kind of statement was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Answered by rows of tables.
    Query,
    /// Answered by the texts of [`Explain`].
    Explain,
    /// Run like a query, and answered by what that took.
    Analyze {
        /// Task by task, not only stage by stage.
        verbose: bool,
    },
}

/// The three views of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explain {
    /// Optimised logical plan.
    pub logical: String,
    /// Physical plan, uncut.
    pub physical: String,
    /// Stages, tasks, partitions, exchange keys, broadcast sides, the route and why.
    pub distributed: String,
}

/// A planned statement.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Where it runs.
    pub route: Route,
    /// Why there.
    pub route_reason: String,
    /// Shape of the answer.
    pub schema: SchemaRef,
    /// Estimated bytes to be scanned.
    pub scan_bytes: u64,
    /// The stages, if the query is to be written down (fleet, or durable).
    pub graph: Option<StageGraph>,
    /// For people.
    pub explain: Explain,
    /// Query or EXPLAIN.
    pub statement: StatementKind,
    physical: Arc<dyn ExecutionPlan>,
    pub(crate) context: Arc<TaskContext>,
    pins: Vec<Pin>,
    pub(crate) filters: WindowFilters,
}

impl Planned {
    /// The uncut plan, for oracles and benchmarks.
    #[must_use]
    pub fn physical(&self) -> &Arc<dyn ExecutionPlan> {
        &self.physical
    }
}

/// A plan that runs in this process. Its operators keep the metrics of the run.
#[derive(Clone, Debug)]
pub struct InlinePlan {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    watch: InputWatch,
}

impl InlinePlan {
    /// The plan that runs.
    #[must_use]
    pub fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.plan
    }

    /// Runs it, once: operators keep state.
    ///
    /// # Errors
    /// What the plan's start says; later errors come through the stream.
    pub fn run(self) -> Result<SendableRecordBatchStream, PlanError> {
        let watch = self.watch;
        let rows = execute_stream(self.plan, self.context)
            .map_err(|error| PlanError::from_execution(&error))?;
        let schema = rows.schema();
        let rows = rows.map_err(move |error| match watch.changed() {
            Some(changed) => DataFusionError::External(Box::new(changed.clone())),
            None => error,
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// The stages of a query, encoded.
#[derive(Clone, Debug)]
pub struct StageGraph {
    /// Stages, producers first.
    pub stages: Vec<StageSpec>,
    /// Plan objects by name.
    pub plans: Vec<(String, Bytes)>,
    /// Input files.
    pub pins: Vec<Pin>,
    /// Settings of the session.
    pub session: BTreeMap<String, String>,
    route: Route,
    route_reason: String,
    result: ResultSpec,
    engine: EngineFence,
    explain: String,
}

impl StageGraph {
    /// Number of stages.
    #[must_use]
    pub fn stage_count(&self) -> usize {
        self.stages.len()
    }

    /// Everything that must be written for the query to exist.
    #[must_use]
    pub fn into_submission(
        self,
        query: &QueryId,
        env: &Env,
        sql: &str,
        limits: Limits,
        idem: Option<(String, String)>,
    ) -> Submission {
        let root = Root {
            v: RECORD_VERSION,
            nonce: env.nonce(),
            query: query.to_string(),
            sql: sql.to_owned(),
            session: self.session,
            engine: self.engine,
            route: self.route,
            route_reason: self.route_reason,
            stages: self.stages,
            result: self.result,
            pins: self.pins,
            limits,
            explain: self.explain,
        };
        Submission { query: query.clone(), root, plans: self.plans, idem }
    }
}

/// Plans statements over the configuration's tables. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Planner {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: EngineConfig,
    routing: RoutingConfig,
    tables: Vec<TableConfig>,
    stores: Stores,
    base: SessionState,
    runtime: Arc<RuntimeEnv>,
    loaded: parking_lot::Mutex<BTreeMap<String, Arc<ListingTable>>>,
}

impl Planner {
    /// A planner over the tables of a configuration. Reads nothing yet: a table's footers are read when
    /// a query first names it.
    ///
    /// # Errors
    /// A runtime that cannot be built.
    pub fn open(config: &Config, stores: &Stores) -> Result<Self, PlanError> {
        let pool = TrackConsumersPool::new(
            FairSpillPool::new(config.worker.memory_bytes),
            std::num::NonZeroUsize::new(5).unwrap_or(std::num::NonZeroUsize::MIN),
        );
        let runtime = RuntimeEnvBuilder::new()
            .with_object_store_registry(stores.registry())
            .with_memory_pool(Arc::new(pool))
            // A listing that is remembered hides files that arrived since.
            .with_object_list_cache_limit(0)
            .build_arc()
            .map_err(|error| PlanError::from_planning(&error))?;
        let config_of_base =
            session::config(&session::settings(&config.engine, config.engine.target_partitions))?;
        let base = SessionStateBuilder::new()
            .with_config(config_of_base)
            .with_runtime_env(Arc::clone(&runtime))
            .with_default_features()
            .with_physical_optimizer_rules(normalise::optimizer_rules())
            .build();
        Ok(Self {
            inner: Arc::new(Inner {
                engine: config.engine.clone(),
                routing: config.routing.clone(),
                tables: config.tables.clone(),
                stores: stores.clone(),
                base,
                runtime,
                loaded: parking_lot::Mutex::new(BTreeMap::new()),
            }),
        })
    }

    /// Plans one statement. Reads listings and footers, never data pages.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub async fn plan(
        &self,
        sql: &str,
        parameters: &[serde_json::Value],
        settings: &QuerySettings,
    ) -> Result<Planned, PlanError> {
        let inner = &self.inner;
        let partitions = settings.target_partitions.unwrap_or(inner.engine.target_partitions);
        if partitions == 0 || partitions > 4096 {
            return Err(PlanError::Setting(
                "target_partitions must be between 1 and 4096".to_owned(),
            ));
        }
        let task_bytes = settings.task_bytes.unwrap_or(inner.engine.task_bytes);
        let text = session::settings(&inner.engine, partitions);
        // The catalog is the base session's; a fresh default one would hide its tables.
        let mut config = session::config(&text)?.with_create_default_catalog_and_schema(false);
        config.options_mut().sql_parser.collect_spans = true;
        let unread = self.load_tables().await;
        // Listings are remembered for as long as this plan is made: two scans of one table see the same files.
        let runtime = RuntimeEnvBuilder::from_runtime_env(&inner.runtime)
            .with_object_list_cache_limit(LISTING_BYTES)
            .build_arc()
            .map_err(|error| PlanError::from_planning(&error))?;
        let state = SessionStateBuilder::new_from_existing(inner.base.clone())
            .with_config(config)
            .with_runtime_env(runtime)
            .build();
        let context = SessionContext::new_with_state(state);
        let (logical, statement) = match logical_plan(&context, sql, parameters).await {
            Ok(planned) => planned,
            Err(error) => return Err(because_unread(error, sql, unread)),
        };
        let planning = |error: DataFusionError| PlanError::from_planning(&error);
        let state = context.state();
        let logical = state.optimize(&logical).map_err(planning)?;
        let planner = state.query_planner();
        let physical = if wants_any_rows(&logical) {
            // Footers of files that nobody may open must not be read to plan this.
            let mut without = state.clone();
            let options = without.config_mut().options_mut();
            options.execution.collect_statistics = false;
            planner.create_physical_plan(&logical, &without).await
        } else {
            planner.create_physical_plan(&logical, &state).await
        };
        let physical = physical.map_err(planning)?;
        let physical = normalise::normalise(physical, state.config_options()).map_err(planning)?;
        let pins = scans::pins(&physical).map_err(planning)?;
        let scan_bytes = scans::scanned(&physical).map_err(planning)?;
        let text_of_physical = displayable(physical.as_ref()).indent(false).to_string();
        let mut planned = Planned {
            route: Route::Inline,
            route_reason: String::new(),
            schema: physical.schema(),
            scan_bytes,
            graph: None,
            explain: Explain {
                logical: logical.display_indent().to_string(),
                physical: text_of_physical,
                distributed: String::new(),
            },
            statement,
            context: state.task_ctx(),
            pins,
            filters: WindowFilters::of(&logical).map_err(planning)?,
            physical,
        };
        self.choose_route(&mut planned, settings, task_bytes, &text)?;
        Ok(planned)
    }

    /// What kind of statement `sql` is, as far as its text tells: nothing is planned. Text that cannot be
    /// parsed counts as a query; planning says what is wrong with it.
    #[must_use]
    pub fn kind(&self, sql: &str) -> StatementKind {
        statement::kind(&self.inner.base, sql)
    }

    fn choose_route(
        &self,
        planned: &mut Planned,
        settings: &QuerySettings,
        task_bytes: u64,
        session: &BTreeMap<String, String>,
    ) -> Result<(), PlanError> {
        let mode = settings.route.unwrap_or(self.inner.routing.mode);
        let threshold = self.inner.routing.inline_bytes;
        let small = planned.scan_bytes <= threshold;
        if mode != RouteMode::Inline && !(mode == RouteMode::Auto && small) {
            let reason = if mode == RouteMode::Fleet {
                "asked for".to_owned()
            } else {
                format!(
                    "the estimated scan of {} bytes is over the inline threshold of {threshold}",
                    planned.scan_bytes
                )
            };
            match self.cut(planned, &reason, task_bytes, session)? {
                Ok(graph) => {
                    planned.route = Route::Fleet;
                    planned.route_reason = reason;
                    planned.explain.distributed.clone_from(&graph.explain);
                    planned.graph = Some(graph);
                    return Ok(());
                }
                Err(refused) if mode == RouteMode::Fleet => {
                    return Err(PlanError::Unsupported {
                        operator: refused.operator,
                        reason: format!("on the fleet route: {}", refused.difference),
                    });
                }
                Err(refused) => {
                    let most = self.inner.routing.inline_most_bytes;
                    let reason =
                        format!("{} cannot travel: {}", refused.operator, refused.difference);
                    if planned.scan_bytes > most {
                        return Err(PlanError::Unsupported {
                            operator: refused.operator,
                            reason: format!(
                                "{reason}; and the estimated scan of {} bytes is more than the gateway may run itself ([routing] inline_most_bytes = {most})",
                                planned.scan_bytes
                            ),
                        });
                    }
                    planned.route_reason = reason;
                }
            }
        } else if mode == RouteMode::Inline {
            planned.route_reason = "asked for".to_owned();
        } else {
            planned.route_reason = format!(
                "the estimated scan of {} bytes is within the inline threshold of {threshold}",
                planned.scan_bytes
            );
        }
        let partitions = planned.physical.output_partitioning().partition_count();
        let whole = vec![Stage {
            id: 0,
            name: "the whole query".to_owned(),
            plan: Arc::clone(&planned.physical),
            partitions,
            inputs: Vec::new(),
            output: Output::Result,
            scan_bytes: Vec::new(),
            one_task: Some("the inline route".to_owned()),
            key_filter: false,
            leaves: Vec::new(),
            empty_with: Vec::new(),
            shares: None,
            broadcast: None,
            absorbed_by: None,
        }];
        let reason = planned.route_reason.clone();
        planned.explain.distributed =
            explain::distributed(Route::Inline, &reason, &whole, task_bytes);
        if settings.durable && planned.statement != StatementKind::Explain {
            match self.encode(planned, &whole, Route::Inline, &reason, task_bytes, session)? {
                Ok(graph) => planned.graph = Some(graph),
                Err(refused) => {
                    return Err(PlanError::Unsupported {
                        operator: refused.operator,
                        reason: format!(
                            "it cannot be written down ({}), so the query cannot be made durable; send it as a plain POST /v1/sql without an Idempotency-Key",
                            refused.difference
                        ),
                    });
                }
            }
        }
        Ok(())
    }

    /// Cuts the plan into stages for the fleet; `Err` names what cannot travel.
    fn cut(
        &self,
        planned: &Planned,
        reason: &str,
        task_bytes: u64,
        session: &BTreeMap<String, String>,
    ) -> Result<Result<StageGraph, gate::Mangled>, PlanError> {
        let planning = |error: DataFusionError| PlanError::from_planning(&error);
        if planned.physical.exists(|node| Ok(node.is::<RecursiveQueryExec>())).map_err(planning)? {
            return Ok(Err(gate::Mangled {
                operator: "RecursiveQueryExec".to_owned(),
                difference: "a recursive query keeps its rows in one process's memory".to_owned(),
            }));
        }
        let engine = &self.inner.engine;
        let options = SplitOptions {
            runtime_filters: engine.runtime_filters,
            sealed_broadcast: engine.sealed_broadcast_bytes > 0,
        };
        let stages = split::split(Arc::clone(&planned.physical), options).map_err(planning)?;
        self.encode(planned, &stages, Route::Fleet, reason, task_bytes, session)
    }

    /// Encodes the stages, decodes them again and compares; `Err` names what did not survive.
    fn encode(
        &self,
        planned: &Planned,
        stages: &[Stage],
        route: Route,
        reason: &str,
        task_bytes: u64,
        session: &BTreeMap<String, String>,
    ) -> Result<Result<StageGraph, gate::Mangled>, PlanError> {
        let planning = |error: DataFusionError| PlanError::from_planning(&error);
        let mut specs: Vec<StageSpec> = Vec::with_capacity(stages.len());
        let mut plans: Vec<(String, Bytes)> = Vec::new();
        for stage in stages {
            let plan = match across(planned, &stage.plan, &stage.leaves)? {
                Ok(encoded) => keep(&mut plans, encoded),
                Err(mangled) => return Ok(Err(mangled)),
            };
            let mut broadcast = None;
            if let Some(other) = &stage.broadcast {
                match across(planned, &other.plan, &other.leaves)? {
                    Ok(encoded) => {
                        broadcast = Some(Broadcast {
                            build: other.build,
                            probe: other.probe,
                            most_bytes: self.inner.engine.sealed_broadcast_bytes,
                            plan: keep(&mut plans, encoded),
                            partitions: u32::try_from(other.partitions).unwrap_or(u32::MAX),
                            inputs: other.inputs.clone(),
                            scan_bytes: other.scan_bytes.clone(),
                        });
                    }
                    // The stage has another way to run.
                    Err(mangled) => {
                        tracing::debug!(stage = stage.id, ?mangled, "no second way to run a join");
                    }
                }
            }
            specs.push(StageSpec {
                id: stage.id,
                name: stage.name.clone(),
                plan,
                partitions: u32::try_from(stage.partitions).unwrap_or(u32::MAX),
                inputs: stage.inputs.clone(),
                output: stage.output,
                scan_bytes: stage.scan_bytes.clone(),
                task_bytes,
                one_task: stage.one_task.is_some(),
                key_filter: stage.key_filter,
                empty_with: stage.empty_with.clone(),
                shares: stage.shares,
                broadcast,
                absorbed_by: stage.absorbed_by,
            });
        }
        let mut session = session.clone();
        session.insert("dunlin.exchange_compression".to_owned(), self.compression().to_owned());
        Ok(Ok(StageGraph {
            stages: specs,
            plans,
            pins: planned.pins.clone(),
            session,
            route,
            route_reason: reason.to_owned(),
            result: ResultSpec { schema: task::schema_to_text(&planned.schema).map_err(planning)? },
            engine: fence::current().map_err(planning)?,
            explain: explain::distributed(route, reason, stages, task_bytes),
        }))
    }

    /// Compression of exchange data for this state's medium: LZ4 pays on a network only.
    fn compression(&self) -> &str {
        match self.inner.engine.exchange_compression.as_str() {
            "auto" if self.inner.stores.state.is_remote() => "lz4",
            "auto" => "none",
            chosen => chosen,
        }
    }

    /// The uncut plan, made to read only the pinned versions of its inputs, and counted by `meter`.
    ///
    /// # Errors
    /// A runtime that cannot be built, or a store that the configuration does not know.
    pub fn inline_plan(
        &self,
        planned: &Planned,
        meter: &Arc<Meter>,
    ) -> Result<InlinePlan, PlanError> {
        let execution = |error: DataFusionError| PlanError::from_execution(&error);
        let watch = InputWatch::default();
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.inner.runtime)
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
        Ok(InlinePlan { plan, context: Arc::new(context), watch })
    }

    /// Registers the tables that are not registered yet, and says which could not be read and why: a table
    /// that is not there is an error of the queries that name it only.
    pub async fn load_tables(&self) -> Vec<(String, PlanError)> {
        let mut unread = Vec::new();
        for table in &self.inner.tables {
            let name = table.name.to_lowercase();
            if self.inner.loaded.lock().contains_key(&name) {
                continue;
            }
            let outcome = match self.load_table(table).await {
                Ok(loaded) => self.register(&name, loaded),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                let message =
                    format!("table {} cannot be read: {}", table.name, error.strip_backtrace());
                unread.push((name, PlanError::Store { message }));
            }
        }
        unread
    }

    fn register(&self, name: &str, table: Arc<ListingTable>) -> DfResult<()> {
        let context = SessionContext::new_with_state(self.inner.base.clone());
        let mut known = self.inner.loaded.lock();
        if let Entry::Vacant(entry) = known.entry(name.to_owned()) {
            let provider = Arc::clone(&table) as Arc<dyn datafusion::catalog::TableProvider>;
            context.register_table(TableReference::bare(name), provider)?;
            entry.insert(table);
        }
        Ok(())
    }

    async fn load_table(&self, table: &TableConfig) -> DfResult<Arc<ListingTable>> {
        let location = Location::parse(&table.location)
            .map_err(|error| DataFusionError::Plan(error.to_string()))?;
        let format: Arc<dyn FileFormat> = match table.format.as_str() {
            // A quoted value may hold a newline: such a file cannot be split at any newline.
            "csv" => {
                Arc::new(CsvFormat::default().with_has_header(true).with_newlines_in_values(true))
            }
            "json" => Arc::new(JsonFormat::default()),
            _ => Arc::new(ParquetFormat::default()),
        };
        let extension =
            if location.is_folder { format!(".{}", format.get_ext()) } else { String::new() };
        let options = ListingOptions::new(format).with_file_extension(extension);
        let options = match table.sort_order() {
            Ok(order) if order.is_empty() => options,
            Ok(order) => {
                let key = |(column, ascending, nulls_first): &(String, bool, bool)| {
                    datafusion::prelude::ident(column).sort(*ascending, *nulls_first)
                };
                options.with_file_sort_order(vec![order.iter().map(key).collect()])
            }
            Err(error) => return Err(DataFusionError::Plan(error.to_string())),
        };
        let url = ListingTableUrl::parse(location.table_url())?;
        let state = &self.inner.base;
        let schema = options.infer_schema(state, &url).await?;
        if schema.fields().is_empty() {
            return Err(DataFusionError::Plan(format!(
                "no {} file lies in {}",
                table.format, table.location
            )));
        }
        let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
        let cache = self.inner.runtime.cache_manager.get_file_statistic_cache();
        Ok(Arc::new(ListingTable::try_new(config)?.with_cache(cache)))
    }
}

/// The better of two errors: a table that could not be read explains why the planner does not know it.
fn because_unread(error: PlanError, sql: &str, unread: Vec<(String, PlanError)>) -> PlanError {
    if !matches!(error, PlanError::Planning { .. }) {
        return error;
    }
    let sql = sql.to_lowercase();
    let named = unread.into_iter().find(|(name, _)| sql.contains(name.as_str()));
    named.map_or(error, |(_, reason)| reason)
}

async fn logical_plan(
    context: &SessionContext,
    sql: &str,
    parameters: &[serde_json::Value],
) -> Result<(LogicalPlan, StatementKind), PlanError> {
    let planning = |error: DataFusionError| PlanError::from_planning(&error);
    let plan = context.state().create_logical_plan(sql).await.map_err(planning)?;
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)
        .map_err(|error| PlanError::Unsupported {
            operator: statement_name(&plan),
            reason: format!("only queries are answered ({})", error.strip_backtrace()),
        })?;
    let (plan, statement) = match plan {
        LogicalPlan::Explain(explain) => (explain.plan.as_ref().clone(), StatementKind::Explain),
        LogicalPlan::Analyze(analyze) => statement::analyzed(&analyze)?,
        other => (other, StatementKind::Query),
    };
    if parameters.is_empty() {
        return Ok((plan, statement));
    }
    let values = parameters.iter().map(scalar).collect::<Result<Vec<_>, _>>()?;
    let plan = plan.with_param_values(ParamValues::from(values)).map_err(planning)?;
    Ok((plan, statement))
}

/// True for some rows of one table that pass a filter, whichever: any file may have enough of them. Without a
/// filter the footers of the first files tell how many are needed.
fn wants_any_rows(plan: &LogicalPlan) -> bool {
    fn filtered_scan(plan: &LogicalPlan, filtered: bool) -> bool {
        match plan {
            LogicalPlan::Projection(node) => filtered_scan(&node.input, filtered),
            LogicalPlan::SubqueryAlias(node) => filtered_scan(&node.input, filtered),
            LogicalPlan::Filter(node) => filtered_scan(&node.input, true),
            LogicalPlan::TableScan(scan) => filtered || !scan.filters.is_empty(),
            _ => false,
        }
    }
    match plan {
        LogicalPlan::Projection(node) => wants_any_rows(&node.input),
        LogicalPlan::SubqueryAlias(node) => wants_any_rows(&node.input),
        LogicalPlan::Limit(limit) => limit.fetch.is_some() && filtered_scan(&limit.input, false),
        _ => false,
    }
}

fn statement_name(plan: &LogicalPlan) -> String {
    let text = plan.display().to_string();
    text.split([':', ' ', '(']).next().unwrap_or("this statement").to_owned()
}

/// A JSON parameter as a value: whole numbers are Int64, others Float64.
fn scalar(value: &serde_json::Value) -> Result<ScalarValue, PlanError> {
    use serde_json::Value;
    match value {
        Value::Null => Ok(ScalarValue::Null),
        Value::Bool(value) => Ok(ScalarValue::Boolean(Some(*value))),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(ScalarValue::Int64(Some(whole))),
            (None, Some(real)) => Ok(ScalarValue::Float64(Some(real))),
            _ => Err(PlanError::Setting(format!("parameter {number} is out of range"))),
        },
        Value::String(text) => Ok(ScalarValue::Utf8(Some(text.clone()))),
        Value::Array(_) | Value::Object(_) => Err(PlanError::Setting(
            "a parameter must be null, a boolean, a number or a string".to_owned(),
        )),
    }
}
