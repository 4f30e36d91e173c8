//! The last check of a stage's body: what it reads, and which scalar subqueries are put on top of it.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::{ScalarSubqueryExec, ScalarSubqueryLink};
use dunlin_manifest::records::{InputMode, Output};
use dunlin_plan::operators::partition_count;
use dunlin_shuffle::ExchangeReaderExec;

use crate::operators::holds_subquery;
use crate::stages::inputs::Walk;

/// The scalar subqueries that the expressions of a plan may refer to.
#[derive(Clone)]
pub(super) struct Level {
    pub(super) template: Arc<ScalarSubqueryExec>,
    pub(super) links: Vec<ScalarSubqueryLink>,
}

/// A checked body of a stage.
pub(super) struct Finished {
    /// The plan with the scalar subqueries that it uses.
    pub(super) plan: Arc<dyn ExecutionPlan>,
    /// The plan below the exchange at the root.
    pub(super) inner: Arc<dyn ExecutionPlan>,
    /// Partitions of `inner`.
    pub(super) partitions: usize,
    /// What it reads.
    pub(super) walk: Walk,
    /// True if it reads the row of a scalar subquery.
    pub(super) subqueries: bool,
}

/// Checks the body of a stage, and puts the scalar subqueries that it uses on top.
pub(super) fn finish(
    body: &Arc<dyn ExecutionPlan>,
    output: Output,
    level: Option<&Level>,
) -> Result<Finished> {
    let inner = match body.downcast_ref::<RepartitionExec>() {
        Some(root) if matches!(output, Output::Hash { .. }) => Arc::clone(root.input()),
        _ => Arc::clone(body),
    };
    let partitions = partition_count(&inner);
    let mut walk = Walk { scan_bytes: vec![0; partitions], ..Walk::default() };
    walk.visit(&inner, Some(0));
    let mut plan = Arc::clone(body);
    let mut subqueries = false;
    if let Some(level) = level
        && uses_subqueries(&plan)?
    {
        subqueries = true;
        for link in &level.links {
            if let Some(reader) = link.plan.downcast_ref::<ExchangeReaderExec>() {
                walk.input(reader.stage(), InputMode::Whole, 0);
            }
        }
        plan = Arc::new(ScalarSubqueryExec::new(
            plan,
            level.links.clone(),
            level.template.results().clone(),
        ));
    }
    walk.inputs.sort_by_key(|input| (input.stage, input.offset));
    Ok(Finished { plan, inner, partitions, walk, subqueries })
}

/// True if an expression of the stage reads the row of a scalar subquery of the current level.
fn uses_subqueries(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        node.apply_expressions(&mut |expr| {
            found |= holds_subquery(expr);
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
