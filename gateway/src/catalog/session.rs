//! Sessions in which statements about a catalog are planned: in this process, with little memory, and only to read.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as Parsed;
use dunlin_planner::{PlanError, Signature, parameters, with_nulls};

/// The longest wait for a place to run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The most memory that one look into the catalog may have.
const MEMORY: usize = 256 << 20;

/// A plan that can run.
pub(crate) struct Ready {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) context: Arc<TaskContext>,
    /// Its columns, by the names that the statement gives them.
    pub(crate) columns: SchemaRef,
}

/// A session without tables, in which names are looked up in `schema` of `catalog`. `memory`: the most that it may have.
pub(crate) fn context(
    memory: usize,
    catalog: &str,
    schema: &str,
) -> Result<SessionContext, PlanError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory.min(MEMORY))))
        .build_arc()
        .map_err(PlanError::from_planning)?;
    let config = SessionConfig::new()
        .with_default_catalog_and_schema(catalog, schema)
        .with_create_default_catalog_and_schema(false)
        // The engine's own has other types.
        .with_information_schema(false)
        .with_target_partitions(1);
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .build();
    Ok(SessionContext::new_with_state(state))
}

/// The plan of a statement that changes nothing.
pub(crate) async fn query(
    state: &SessionState,
    statement: Parsed,
) -> Result<LogicalPlan, PlanError> {
    let statement = Statement::Statement(Box::new(statement));
    let plan = state.statement_to_plan(statement).await.map_err(PlanError::from_planning)?;
    let queries =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    queries.verify_plan(&plan).map_err(|_| PlanError::Unsupported {
        operator: "a change of the catalog".to_owned(),
        reason: "only queries are answered".to_owned(),
    })?;
    Ok(plan)
}

/// What a plan takes and returns. `declared`: the types that its client gives its parameters, where it does.
pub(crate) fn signature(
    state: &SessionState,
    plan: LogicalPlan,
    declared: &[Option<DataType>],
) -> Result<Signature, PlanError> {
    let parameters = parameters(&plan, declared)?;
    let plan = with_nulls(plan, &parameters)?;
    let analysed = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {});
    let columns = Arc::clone(analysed.map_err(PlanError::from_planning)?.schema().inner());
    Ok(Signature { parameters, columns })
}

/// The plan with the values of its parameters, ready to run.
pub(crate) async fn ready(
    state: &SessionState,
    plan: LogicalPlan,
    values: Vec<ScalarValue>,
) -> Result<Ready, PlanError> {
    let plan = if values.is_empty() {
        plan
    } else {
        plan.with_param_values(ParamValues::from(values)).map_err(PlanError::from_planning)?
    };
    let plan = state.optimize(&plan).map_err(PlanError::from_planning)?;
    let columns = Arc::clone(plan.schema().inner());
    let planned = state.query_planner().create_physical_plan(&plan, state).await;
    Ok(Ready { plan: planned.map_err(refused)?, context: state.task_ctx(), columns })
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
