//! Properties of an operator that both the planner and the workers need.

use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// How many partitions an operator has.
#[must_use]
pub fn partition_count(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.output_partitioning().partition_count()
}

/// The column of the table that a scan gives as `column`; `None` if it computes it.
#[must_use]
pub fn column_of_table(scan: &FileScanConfig, column: usize) -> Option<usize> {
    match scan.file_source.projection() {
        Some(chosen) => Some(chosen.as_ref().get(column)?.expr.downcast_ref::<Column>()?.index()),
        None => Some(column),
    }
}

/// The configuration of a scan of files, if `node` is one.
#[must_use]
pub fn file_scan(node: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    node.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref()
}
