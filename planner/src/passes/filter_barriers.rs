//! Filters are kept above projections that give two columns one name.
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
//! DataFusion 55 maps a filter through a projection by the *names* of columns. Above a join whose sides were
//! swapped stands a projection that may hold two columns `m`, and `l.m IS NULL OR r.m = 1` became
//! `r.m IS NULL OR r.m = 1`; on the side of `r`, where nothing is null, its statistics then pruned files and
//! row groups that had rows of the answer (decision 0010). The barrier, a [`ConformExec`] that changes nothing,
//! is taken away once filters were pushed.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use dunlin_shuffle::ConformExec;

use crate::passes::rewrite::{Rewrite, Rewritten, Rule};

/// Puts the barriers up.
pub(super) fn raise() -> Rule {
    Rewrite::rule("raise_barriers", raise_barrier)
}

/// Takes them away.
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

/// Takes away what [`raise_barrier`] put there.
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
