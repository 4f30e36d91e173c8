//! Makes the physical plan that is cut or run from a logical plan.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

use crate::passes;

/// The physical plan of an optimised logical plan.
///
/// # Errors
/// The error of the engine's planner.
pub(crate) async fn physical_plan(
    state: &SessionState,
    logical: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let planner = state.query_planner();
    let plan = if wants_any_rows(logical) {
        // Planning must not read the footers of files that the query may never open.
        let mut without = state.clone();
        let options = without.config_mut().options_mut();
        options.execution.collect_statistics = false;
        planner.create_physical_plan(logical, &without).await?
    } else {
        planner.create_physical_plan(logical, state).await?
    };
    passes::together(passes::split_joins(plan, state.config_options())?)
}

/// True for a query that wants any rows of one table that pass a filter: any file may have enough of them. Without a
/// filter the footers of the first files show how many are needed.
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
