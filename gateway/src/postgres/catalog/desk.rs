//! Answers statements about the catalog and the session.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::CatalogProvider;
use datafusion::catalog::memory::MemoryCatalogProvider;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion_pg_catalog::pg_catalog::context::{PgCatalogContextProvider, Role};
use datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use dunlin_manifest::env::Env;
use dunlin_planner::{PlanError, SYSTEM_SCHEMA, Signature, parameters, with_nulls};
use tokio::sync::OnceCell;

use super::functions;
use super::information::Information;
use super::rewritten;
use super::who::{DATABASE, Who};
use crate::catalog::{Names, SystemNames};
use crate::query::error::CoreError;
use crate::query::intake::Intake;

/// The longest wait for a place to run.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most memory that one look into the catalog may have.
const MEMORY: usize = 256 << 20;

/// Answers statements about the catalog and the session.
#[derive(Debug)]
pub(in crate::postgres) struct Desk {
    intake: Arc<Intake>,
    names: Arc<Names>,
    opened: OnceCell<Arc<Opened>>,
}

/// What all statements share. It is made when the first client asks.
struct Opened {
    base: SessionState,
    parser: PostgresCompatibilityParser,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

/// The one role that owns everything.
#[derive(Clone, Debug)]
struct Roles;

#[async_trait]
impl PgCatalogContextProvider for Roles {
    async fn roles(&self) -> Vec<String> {
        vec![DATABASE.to_owned()]
    }

    async fn role(&self, name: &str) -> Option<Role> {
        (name == DATABASE).then(|| Role {
            name: name.to_owned(),
            is_superuser: false,
            can_login: true,
            can_create_db: false,
            can_create_role: false,
            can_create_user: false,
            can_replication: false,
            grants: Vec::new(),
            inherited_roles: Vec::new(),
        })
    }
}

impl Desk {
    pub(in crate::postgres) fn new(intake: Arc<Intake>, env: &Env) -> Self {
        let clock = Arc::clone(&env.clock);
        let names = Names::new(Arc::clone(&intake), Box::new(move || clock.monotonic()));
        Self { intake, names: Arc::new(names), opened: OnceCell::new() }
    }

    /// What a statement takes and returns.
    pub(in crate::postgres) async fn signature(
        &self,
        sql: String,
        declared: Vec<Option<DataType>>,
        who: Who,
    ) -> Result<Signature, CoreError> {
        let opened = self.open().await?;
        let planner = self.intake.live().planner.clone();
        self.intake
            .think(move || async move {
                planner.measure(&sql)?;
                let (state, plan) = opened.plan(&sql, &who).await?;
                let parameters = parameters(&plan, &declared)?;
                let plan = with_nulls(plan, &parameters)?;
                let plan = state
                    .analyzer()
                    .execute_and_check(plan, state.config_options(), |_, _| {})
                    .map_err(PlanError::from_planning)?;
                let columns = Arc::clone(plan.schema().inner());
                Ok(Signature { parameters, columns })
            })
            .await
    }

    /// The rows of a statement.
    pub(in crate::postgres) async fn run(
        &self,
        sql: String,
        values: Vec<ScalarValue>,
        who: Who,
    ) -> Result<SendableRecordBatchStream, CoreError> {
        let opened = self.open().await?;
        let planner = self.intake.live().planner.clone();
        let (plan, context) = self
            .intake
            .think(move || async move {
                planner.measure(&sql)?;
                let (state, plan) = opened.plan(&sql, &who).await?;
                let plan = if values.is_empty() {
                    plan
                } else {
                    plan.with_param_values(ParamValues::from(values))
                        .map_err(PlanError::from_planning)?
                };
                let plan = state.optimize(&plan).map_err(PlanError::from_planning)?;
                let planned = state.query_planner().create_physical_plan(&plan, &state).await;
                Ok((planned.map_err(refused)?, state.task_ctx()))
            })
            .await?;
        self.intake.run_beside(plan, context, PATIENCE).await
    }

    /// What all statements share, with the tables of this moment.
    async fn open(&self) -> Result<Arc<Opened>, CoreError> {
        self.names.refresh().await?;
        let opened = self.opened.get_or_try_init(|| async {
            let (names, memory) = (Arc::clone(&self.names), self.intake.memory().min(MEMORY));
            // Decoding the fixed tables takes a moment.
            self.intake.think(move || async move { Opened::new(names, memory) }).await.map(Arc::new)
        });
        opened.await.cloned()
    }
}

/// A plan that cannot be made because the statement reads what this session does not have.
fn refused(error: DataFusionError) -> PlanError {
    match error.find_root() {
        DataFusionError::NotImplemented(reason) => PlanError::Unsupported {
            operator: "a statement over tables and the catalog".to_owned(),
            reason: reason.clone(),
        },
        _ => PlanError::from_planning(error),
    }
}

impl Opened {
    fn new(names: Arc<Names>, memory: usize) -> Result<Self, PlanError> {
        let planning = PlanError::from_planning;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory)))
            .build_arc()
            .map_err(planning)?;
        let config = SessionConfig::new()
            .with_default_catalog_and_schema(DATABASE, "public")
            .with_create_default_catalog_and_schema(false)
            // The engine's own has other types.
            .with_information_schema(false)
            .with_target_partitions(1);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .build();
        let context = SessionContext::new_with_state(state);
        let catalog = Arc::new(MemoryCatalogProvider::new());
        let information = Arc::new(Information { names: Arc::clone(&names) });
        catalog.register_schema("public", names).map_err(planning)?;
        catalog.register_schema("information_schema", information).map_err(planning)?;
        catalog.register_schema(SYSTEM_SCHEMA, Arc::new(SystemNames)).map_err(planning)?;
        context.register_catalog(DATABASE, catalog);
        setup_pg_catalog(&context, DATABASE, Roles).map_err(|error| planning(*error))?;
        Ok(Self { base: context.state(), parser: PostgresCompatibilityParser::new() })
    }

    /// The session of one statement, and its plan.
    async fn plan(&self, sql: &str, who: &Who) -> Result<(SessionState, LogicalPlan), PlanError> {
        let planning = PlanError::from_planning;
        let mut state = SessionStateBuilder::new_from_existing(self.base.clone()).build();
        functions::add(&mut state, who).map_err(planning)?;
        let parsed = self.parser.parse(&rewritten::text(sql));
        let mut parsed =
            parsed.map_err(|error| planning(DataFusionError::SQL(Box::new(error), None)))?;
        let (Some(mut statement), true) = (parsed.pop(), parsed.is_empty()) else {
            return Err(PlanError::Setting("one statement is expected".to_owned()));
        };
        rewritten::statement(&mut statement);
        let statement = Statement::Statement(Box::new(statement));
        let plan = state.statement_to_plan(statement).await.map_err(planning)?;
        let queries = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        queries.verify_plan(&plan).map_err(|_| PlanError::Unsupported {
            operator: "a change of the catalog".to_owned(),
            reason: "only queries are answered".to_owned(),
        })?;
        Ok((state, plan))
    }
}
