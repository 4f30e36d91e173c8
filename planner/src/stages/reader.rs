//! The reader that replaces the part of a plan that was cut off.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use dunlin_manifest::records::StageId;
use dunlin_shuffle::ExchangeReaderExec;

use crate::operators::holds_subquery;

/// A reader that replaces `original`, with everything that the plan above may depend on. Properties that contain the
/// row of a scalar subquery are left out, because they have no meaning where that row is not available.
pub(super) fn reader(
    stage: StageId,
    original: &Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let partitioning = match original.output_partitioning() {
        Partitioning::Hash(exprs, count) => Partitioning::Hash(exprs.clone(), *count),
        other => Partitioning::UnknownPartitioning(other.partition_count()),
    };
    let properties = declarable(original.equivalence_properties())?;
    Ok(Arc::new(ExchangeReaderExec::new(stage, original.schema(), partitioning, properties)?))
}

/// Orderings, constants and equal expressions without those that hold a scalar subquery.
fn declarable(properties: &EquivalenceProperties) -> Result<EquivalenceProperties> {
    let clean = |expr: &Arc<dyn PhysicalExpr>| !holds_subquery(expr);
    let orders = properties.oeq_class();
    let constants = properties.constants();
    let all_clean = orders.iter().flatten().all(|key| clean(&key.expr))
        && constants.iter().all(|constant| clean(&constant.expr))
        && properties.eq_group().iter().all(|class| class.iter().all(clean));
    if all_clean {
        return Ok(properties.clone());
    }
    let mut kept = EquivalenceProperties::new(Arc::clone(properties.schema()));
    for class in properties.eq_group().iter() {
        let members: Vec<_> = class.iter().filter(|member| clean(member)).collect();
        for pair in members.windows(2) {
            kept.add_equal_conditions(Arc::clone(pair[0]), Arc::clone(pair[1]))?;
        }
    }
    kept.add_constants(constants.into_iter().filter(|constant| clean(&constant.expr)))?;
    kept.add_orderings(
        orders.iter().map(|order| {
            order.iter().take_while(|key| clean(&key.expr)).cloned().collect::<Vec<_>>()
        }),
    );
    Ok(kept)
}
