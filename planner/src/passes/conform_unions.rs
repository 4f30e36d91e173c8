//! Replaces the casts that a union puts on its branches by operators that can be encoded.
//!
//! ```text
//!  UnionExec                                        UnionExec
//!    ProjectionExec: CAST(a AS Int64 not null) ==>    ConformExec: [a]
//!      branch                                           branch
//! ```
//!
//! This applies only to casts that change fields (nullability, names) and no values: datafusion-proto encodes the
//! type of a cast but not its field (decision 0010).

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use dunlin_shuffle::ConformExec;

use crate::operators::rebuild;
use crate::passes::rewrite::{Rewrite, Rewritten, Rule};

/// The pass.
pub(super) fn rule() -> Rule {
    Rewrite::rule("conform_unions", conform_union)
}

/// Replaces by [`ConformExec`] the casts of branches whose fields differ from the union's fields in nullability or
/// name.
fn conform_union(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    if !node.is::<UnionExec>() && !node.is::<InterleaveExec>() {
        return Ok(Transformed::no(node));
    }
    let schema = node.schema();
    let mut changed = false;
    let branches = node
        .children()
        .into_iter()
        .map(|branch| {
            let Some(input) = coerced(branch) else { return Ok(Arc::clone(branch)) };
            changed = true;
            let conform = ConformExec::try_new(Arc::clone(input), Arc::clone(&schema))?;
            Ok(Arc::new(conform) as Arc<dyn ExecutionPlan>)
        })
        .collect::<Result<Vec<_>>>()?;
    if !changed {
        return Ok(Transformed::no(node));
    }
    Ok(Transformed::yes(rebuild(node, branches)?))
}

/// The input of a projection that changes only fields.
fn coerced(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    let projection = plan.downcast_ref::<ProjectionExec>()?;
    let input = projection.input();
    let fields = input.schema().fields().len();
    let same = projection.expr().len() == fields
        && projection.expr().iter().enumerate().all(|(at, column)| {
            let cast = column.expr.downcast_ref::<CastExpr>();
            let inner = cast.map_or(&column.expr, CastExpr::expr);
            let kept = inner.downcast_ref::<Column>().is_some_and(|inner| inner.index() == at);
            let same_type = cast.is_none_or(|cast| {
                inner.data_type(&input.schema()).is_ok_and(|own| own == *cast.cast_type())
            });
            kept && same_type
        });
    (same && input.schema() != plan.schema()).then_some(input)
}
