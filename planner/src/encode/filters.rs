//! The filters of a query's window functions. A physical function has its own filter, but does not expose it.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

/// The filters of a query's window functions, over the rows that they read. The physical functions have them, too,
/// but do not expose them.
#[derive(Clone, Debug, Default)]
pub(crate) struct WindowFilters(Vec<Arc<dyn PhysicalExpr>>);

impl WindowFilters {
    /// Collects the filters of an optimised plan.
    pub(crate) fn of(plan: &LogicalPlan) -> Result<Self> {
        let mut found: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        plan.apply_with_subqueries(|node| {
            let LogicalPlan::Window(window) = node else {
                return Ok(TreeNodeRecursion::Continue);
            };
            for expr in &window.window_expr {
                expr.apply(|inner| {
                    if let Expr::WindowFunction(function) = inner
                        && let Some(filter) = &function.params.filter
                        // A filter that holds a scalar subquery stays unknown. The wire gate will then name the
                        // operator.
                        && let Ok(filter) = datafusion::physical_expr::create_physical_expr(
                            filter,
                            window.input.schema(),
                            &ExecutionProps::new(),
                            &PhysicalPlanningContext::default(),
                        )
                    {
                        found.push(filter);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Self(found))
    }

    /// The filters as they may be above `schema`: as planned, and with each column at the place of its name in
    /// `schema`.
    pub(crate) fn above(&self, schema: &Schema) -> Vec<Arc<dyn PhysicalExpr>> {
        let moved = |filter: &Arc<dyn PhysicalExpr>| {
            Arc::clone(filter)
                .transform(|node| {
                    let Some(column) = node.downcast_ref::<Column>() else {
                        return Ok(Transformed::no(node));
                    };
                    let (at, _) = schema
                        .column_with_name(column.name())
                        .ok_or_else(|| datafusion::common::plan_datafusion_err!("gone"))?;
                    Ok(Transformed::yes(Arc::new(Column::new(column.name(), at)) as _))
                })
                .data()
                .ok()
        };
        self.0.iter().cloned().chain(self.0.iter().filter_map(moved)).collect()
    }
}
