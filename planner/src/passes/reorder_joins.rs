//! Inner joins run in the order that is expected to move the fewest rows, instead of the order of FROM.
//!
//! ```text
//!  FROM customer, orders, lineitem, nation        Join
//!  Join ─┬─ Join ─┬─ Join ─┬─ customer              ├─ lineitem
//!        │        │        └─ orders          ==>   └─ Join ─┬─ orders
//!        │        └─ lineitem                                └─ Join ─┬─ customer
//!        └─ nation                                                    └─ nation
//!
//!   graph: relations, equal columns, conditions ──> estimate: rows of each ──> search: the cheapest tree ──> build
//! ```
//!
//! The rows are the same, because an inner join keeps a pair of rows if all conditions hold, whatever is tried first. A
//! semi or an anti join is a condition on a row of its left side, so it may come before or after other joins, too. Outer
//! joins, and inputs that compute something, are relations of the graph as they are.
//!
//! A condition that can fail (a division, a cast) must see no row that it would not have seen. Joins with such conditions
//! stay where they are.
//!
//! A tree that is not expected to be clearly better than the one of the statement is not built.

mod build;
mod estimate;
mod facts;
mod graph;
mod search;
mod selectivity;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use self::graph::Graph;
use self::search::{Limits, Search};
use crate::operators::rebuild;
use crate::passes::rewrite::Rule;

/// A tree is built if it costs at most this part of the statement's own.
const CLEARLY_BETTER: f64 = 0.9;

/// The pass.
pub(super) fn rule() -> Rule {
    Arc::new(ReorderJoins)
}

/// The rows that a plan is expected to give. `None` if nothing says how many.
pub(crate) fn expected_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<f64> {
    estimate::estimate(plan).map(|expected| expected.rows)
}

#[derive(Debug)]
struct ReorderJoins;

impl PhysicalOptimizerRule for ReorderJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        options: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        reordered(plan, &Limits::of(options))
    }

    fn name(&self) -> &str {
        "reorder_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan with all its trees of joins in a good order.
fn reordered(plan: Arc<dyn ExecutionPlan>, limits: &Limits) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some((narrow, above)) = graph::narrowed(&plan)? {
        let input = reordered(Arc::clone(&narrow), limits)?;
        if !Arc::ptr_eq(&input, &narrow) {
            return above(input);
        }
        return Ok(plan);
    }
    let Some(mut graph) = Graph::of(&plan) else {
        return with_children(plan, |child| reordered(child, limits));
    };
    let mut changed = false;
    for relation in &mut graph.relations {
        let inner = reordered(Arc::clone(&relation.plan), limits)?;
        changed |= !Arc::ptr_eq(&inner, &relation.plan);
        relation.plan = inner;
    }
    if let Some(search) = Search::new(&graph, limits)
        && let Some(best) = search.best()
        && search.cost(&best) < CLEARLY_BETTER * search.cost(&graph.shape)
        && let Some(built) = build::tree(&graph, &best, &plan)?
    {
        return Ok(built);
    }
    if !changed {
        return Ok(plan);
    }
    let mut relations = graph.relations.into_iter().map(|relation| relation.plan);
    graph::with_relations(&plan, &mut relations)
}

fn with_children(
    plan: Arc<dyn ExecutionPlan>,
    change: impl Fn(Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let old: Vec<_> = plan.children().into_iter().cloned().collect();
    let new = old.iter().cloned().map(change).collect::<Result<Vec<_>>>()?;
    let same = old.iter().zip(&new).all(|(old, new)| Arc::ptr_eq(old, new));
    if same { Ok(plan) } else { rebuild(plan, new) }
}

#[cfg(test)]
mod tests;
