//! Keeps filters above projections that give two columns the same name.
//!
//! ```text
//!  while filters are pushed down:
//!
//!  FilterExec: l.m IS NULL OR r.m = 1            FilterExec: …
//!    ProjectionExec: [m, m]              ==>       ConformExec: [m, m]      lets no filter through
//!      HashJoinExec                                  ProjectionExec: [m, m]
//!                                                      HashJoinExec
//! ```
//!
//! DataFusion 55 moves a filter through a projection by the *names* of columns. A join whose sides were swapped has a
//! projection above it, which may hold two columns `m`. So `l.m IS NULL OR r.m = 1` became `r.m IS NULL OR r.m = 1`.
//! On the side of `r`, where nothing is null, its statistics then pruned files and row groups with rows of the answer
//! (decision 0010). The barrier is a [`ConformExec`] that changes nothing. It is removed after filters were pushed
//! down.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use dunlin_shuffle::ConformExec;

use crate::passes::rewrite::{Rewrite, Rewritten, Rule};

/// Adds the barriers.
pub(super) fn raise() -> Rule {
    Rewrite::rule("raise_barriers", raise_barrier)
}

/// Removes the barriers.
pub(super) fn remove() -> Rule {
    Rewrite::rule("remove_barriers", remove_barrier)
}

fn raise_barrier(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    if !node.is::<ProjectionExec>() || !names_twice(&node) {
        return Ok(Transformed::no(node));
    }
    let schema = node.schema();
    Ok(Transformed::yes(Arc::new(ConformExec::try_new(node, schema)?)))
}

/// Removes the barrier that [`raise_barrier`] added.
fn remove_barrier(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    match node.downcast_ref::<ConformExec>().map(ConformExec::input) {
        Some(input) if input.schema() == node.schema() => Ok(Transformed::yes(Arc::clone(input))),
        _ => Ok(Transformed::no(node)),
    }
}

fn names_twice(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = plan.schema();
    let mut seen = HashSet::new();
    !schema.fields().iter().all(|field| seen.insert(field.name()))
}
