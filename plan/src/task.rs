//! Opens a plan object on a worker, so that a task can run it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use dunlin_manifest::records::{InputMode, Output, StageId, StageSpec};
use dunlin_shuffle::{ExchangeReaderExec, KeyFilterExec};

use crate::operators::partition_count;
use crate::wire;

/// A stage's plan, ready to run once.
#[derive(Debug)]
pub struct TaskPlan {
    /// Run `execute(p)` for the task's own partitions.
    pub plan: Arc<dyn ExecutionPlan>,
    /// The expressions whose hash places a row, and the number of buckets; `None`: rows are placed by partition.
    pub hash: Option<(Vec<Arc<dyn PhysicalExpr>>, usize)>,
    /// The filter that the last operator asked for, by stage and bucket. Whoever places the rows asks it instead, because it
    /// has the hashes.
    pub filter: Option<(StageId, u32)>,
}

/// Decodes the plan object of a stage for a task that runs the partitions `own`. Only those may be run, because the
/// scans of the other partitions are empty.
///
/// # Errors
/// The bytes are damaged, or the plan does not fit its stage.
pub fn open(packed: &[u8], spec: &StageSpec, own: &[u32], ctx: &TaskContext) -> Result<TaskPlan> {
    let plan = wire::decode(packed, Some(own), ctx)?;
    let opened = unwrap(plan, spec.output)?;
    let partitions = partition_count(&opened.plan);
    if partitions != spec.partitions as usize {
        return internal_err!(
            "stage {} was planned with {} partitions and decodes with {partitions}",
            spec.id,
            spec.partitions
        );
    }
    Ok(opened)
}

/// The buckets that a task of these partitions reads, each with its stage: first those that every task reads, then the
/// others partition by partition, as the plan will ask for them.
#[must_use]
pub fn buckets_read(
    plan: &Arc<dyn ExecutionPlan>,
    spec: &StageSpec,
    own: &[u32],
) -> Vec<(StageId, u32)> {
    let mut read = BTreeMap::new();
    readers(plan, &mut read);
    let of = |mode| spec.inputs.iter().filter(move |input| input.mode == mode);
    // A stage may be an input only because its filter is read. Then the plan has no reader of it.
    let whole = of(InputMode::Whole).flat_map(|input| {
        let count = read.get(&input.stage).copied().unwrap_or(0);
        (0..count).map(|bucket| (input.stage, bucket))
    });
    let partitioned = own.iter().flat_map(|partition| {
        of(InputMode::Partitioned).filter_map(|input| {
            let bucket = partition.checked_sub(input.offset)?;
            (bucket < read.get(&input.stage).copied()?).then_some((input.stage, bucket))
        })
    });
    whole.chain(partitioned).collect()
}

/// The filters that operators of a plan ask for, each by the stage and the bucket where it is.
#[must_use]
pub fn filters(plan: &Arc<dyn ExecutionPlan>) -> BTreeSet<(StageId, u32)> {
    let own = plan.downcast_ref::<KeyFilterExec>().map(|it| (it.stage(), it.bucket()));
    let below = plan.children().into_iter().flat_map(filters);
    own.into_iter().chain(below).collect()
}

/// The stages that a plan reads, with their number of buckets.
fn readers(plan: &Arc<dyn ExecutionPlan>, found: &mut BTreeMap<StageId, u32>) {
    if let Some(reader) = plan.downcast_ref::<ExchangeReaderExec>() {
        let buckets = u32::try_from(partition_count(plan)).unwrap_or(u32::MAX);
        found.insert(reader.stage(), buckets);
    }
    plan.children().into_iter().for_each(|child| readers(child, found));
}

/// Removes from the root of a stage's plan what places its rows, and returns both.
fn unwrap(plan: Arc<dyn ExecutionPlan>, output: Output) -> Result<TaskPlan> {
    let Output::Hash { buckets } = output else {
        return Ok(TaskPlan { plan, hash: None, filter: None });
    };
    let (root, scalars) = match plan.downcast_ref::<ScalarSubqueryExec>() {
        Some(scalars) => (Arc::clone(scalars.input()), Some(scalars)),
        None => (Arc::clone(&plan), None),
    };
    let Some(repartition) = root.downcast_ref::<RepartitionExec>() else {
        return internal_err!("a stage with hash output has no repartition at its root");
    };
    let Partitioning::Hash(exprs, count) = repartition.partitioning() else {
        return internal_err!("a stage with hash output is not repartitioned by hash");
    };
    if *count != buckets as usize {
        return internal_err!("a stage with {buckets} buckets is repartitioned into {count}");
    }
    let mut body = Arc::clone(repartition.input());
    let mut asked = None;
    if let Some(filter) = body.downcast_ref::<KeyFilterExec>()
        && filter.keys() == exprs
    {
        asked = Some((filter.stage(), filter.bucket()));
        body = Arc::clone(filter.input());
    }
    let plan = match scalars {
        // The rows of the subqueries are read before the first batch leaves the body, so the bucket expressions may
        // refer to them, too.
        Some(scalars) => Arc::new(ScalarSubqueryExec::new(
            body,
            scalars.subqueries().to_vec(),
            scalars.results().clone(),
        )) as Arc<dyn ExecutionPlan>,
        None => body,
    };
    Ok(TaskPlan { plan, hash: Some((exprs.clone(), *count)), filter: asked })
}
