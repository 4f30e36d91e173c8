//! Properties of operators that several parts of the planner need.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::tree_node::TreeNode;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode,
};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
pub(crate) use dunlin_shuffle::children::rebuild;

/// True if the build side of a collect-left join of this type may be read whole by every task.
pub(crate) fn broadcast_is_sound(join_type: JoinType) -> bool {
    matches!(
        join_type,
        JoinType::Inner
            | JoinType::Right
            | JoinType::RightSemi
            | JoinType::RightAnti
            | JoinType::RightMark
    )
}

/// The inputs of a join whose left side is collected whole.
pub(crate) fn collected_join(
    plan: &Arc<dyn ExecutionPlan>,
) -> Option<[&Arc<dyn ExecutionPlan>; 2]> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return (*join.partition_mode() == PartitionMode::CollectLeft)
            .then(|| [join.left(), join.right()]);
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        return Some([join.left(), join.right()]);
    }
    let join = plan.downcast_ref::<CrossJoinExec>()?;
    Some([join.left(), join.right()])
}

/// Keys, buckets and input of an exchange by hash.
#[allow(clippy::type_complexity)] // taken apart where it is called
pub(crate) fn exchange(
    plan: &Arc<dyn ExecutionPlan>,
) -> Option<(&[Arc<dyn PhysicalExpr>], usize, &Arc<dyn ExecutionPlan>)> {
    let repartition = plan.downcast_ref::<RepartitionExec>()?;
    match repartition.partitioning() {
        Partitioning::Hash(keys, buckets) if !repartition.preserve_order() => {
            Some((keys, *buckets, repartition.input()))
        }
        _ => None,
    }
}

/// True if the expression holds a scalar subquery.
pub(crate) fn holds_subquery(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.exists(|inner| Ok(inner.is::<ScalarSubqueryExpr>())).unwrap_or(true)
}
