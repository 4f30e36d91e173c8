//! The children of an operator: as many as it has, and others in their place; and its expressions.

use std::sync::Arc;

use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

/// Exactly `N` values, one for each child.
///
/// # Errors
/// There are more or fewer than `N`.
pub fn only<const N: usize, T>(operator: &str, given: Vec<T>) -> Result<[T; N]> {
    let count = given.len();
    given
        .try_into()
        .map_err(|_| internal_datafusion_err!("{operator} has {N} children and is given {count}"))
}

/// Visits expressions until `visit` stops.
///
/// # Errors
/// The first of `visit`.
pub fn visit_each(
    exprs: &[Arc<dyn PhysicalExpr>],
    visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
) -> Result<TreeNodeRecursion> {
    for expr in exprs {
        if visit(expr)? == TreeNodeRecursion::Stop {
            return Ok(TreeNodeRecursion::Stop);
        }
    }
    Ok(TreeNodeRecursion::Continue)
}

/// The operator with other children.
///
/// # Errors
/// The operator does not take them.
pub fn rebuild(
    plan: Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}
