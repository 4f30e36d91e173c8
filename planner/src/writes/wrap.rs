//! The plan of a query with the operators of a write on top.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use dunlin_plan::operators::partition_count;
use dunlin_plan::write::{CommitExec, WriteExec, WriteSpec};

/// `plan` whose rows are written as `spec` says. It has `partitions` partitions where rows are exchanged.
///
/// # Errors
/// The engine's.
pub(crate) fn wrap(
    plan: Arc<dyn ExecutionPlan>,
    spec: &Arc<WriteSpec>,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(scalars) = plan.downcast_ref::<ScalarSubqueryExec>() {
        // Its level stays at the root, where the cut expects it.
        let inner = wrap(Arc::clone(scalars.input()), spec, partitions)?;
        return Ok(Arc::new(ScalarSubqueryExec::new(
            inner,
            scalars.subqueries().to_vec(),
            scalars.results().clone(),
        )));
    }
    let rows = plan.schema();
    let body = if !spec.folders.is_empty() {
        by_folder(plan, spec, partitions)?
    } else if spec.commit.is_none() {
        gathered(plan)
    } else {
        plan
    };
    let written = gathered(Arc::new(WriteExec::new(body, Arc::clone(spec))));
    Ok(Arc::new(CommitExec::try_new(written, Arc::clone(spec), rows)?))
}

fn gathered(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    if partition_count(&plan) == 1 { plan } else { Arc::new(CoalescePartitionsExec::new(plan)) }
}

/// All rows of a folder in one partition, one folder after the other. So a task has one file open at a time, however many
/// folders there are. Within a folder, rows keep the order that the query asks for.
fn by_folder(
    plan: Arc<dyn ExecutionPlan>,
    spec: &WriteSpec,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    let keys: Vec<Arc<dyn PhysicalExpr>> = spec
        .folders
        .iter()
        .map(|at| Arc::new(Column::new(schema.field(*at).name(), *at)) as Arc<dyn PhysicalExpr>)
        .collect();
    let order = plan.output_ordering().cloned();
    let sort = keys
        .iter()
        .map(|key| PhysicalSortExpr::new(Arc::clone(key), SortOptions::default()))
        .chain(order.into_iter().flatten());
    let Some(sort) = LexOrdering::new(sort) else { return Ok(plan) };
    let placed: Arc<dyn ExecutionPlan> = if partitions == 1 {
        gathered(plan)
    } else {
        Arc::new(RepartitionExec::try_new(plan, Partitioning::Hash(keys, partitions))?)
    };
    Ok(Arc::new(SortExec::new(sort, placed).with_preserve_partitioning(true)))
}
