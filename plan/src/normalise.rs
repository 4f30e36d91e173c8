//! Joins that could not be split are turned into joins that can.
//!
//! ```text
//!  HashJoin CollectLeft, type Left            HashJoin Partitioned, type Left
//!    Coalesce                          ==>      Repartition(hash left keys, N)
//!      left                                       left
//!    right (N partitions)                       Repartition(hash right keys, N)
//!                                                 right
//! ```
//!
//! A collect-left join keeps one hash table for all its partitions, and types that emit build rows
//! decide which rows were never matched by counting partitions: that count lives in one process. The
//! types Inner, Right, RightSemi, RightAnti and RightMark emit probe rows only, so their build side may
//! be sent whole to every task. Nested-loop joins of the other types get one probe partition. Where this
//! pass cannot help (null-aware anti joins), [`crate::split`] gives the stage one task.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    ReplaceChildrenOptions,
};
use dunlin_shuffle::ConformExec;

use crate::scans::file_scan;

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;
type Rewritten = Result<Transformed<Arc<dyn ExecutionPlan>>>;

/// The rules of the physical optimiser: DataFusion's own, and those of ours that keep them exact.
pub(crate) fn optimizer_rules() -> Vec<Rule> {
    // The first, before any other rule moves the casts of unions about.
    let mut rules = vec![
        Rewrite::rule("conform_unions", conform_union),
        Rewrite::rule("honest_orders", honest_orders),
    ];
    for rule in PhysicalOptimizer::new().rules {
        let pushes = rule.name().starts_with("FilterPushdown");
        if pushes {
            rules.push(Rewrite::rule("raise_barriers", raise_barrier));
        }
        rules.push(rule);
        if pushes {
            rules.push(Rewrite::rule("remove_barriers", remove_barrier));
        }
    }
    rules
}

/// A rule that rewrites a plan node by node, from the leaves up, and keeps its schema.
#[derive(Debug)]
struct Rewrite {
    name: &'static str,
    node: fn(Arc<dyn ExecutionPlan>) -> Rewritten,
}

impl Rewrite {
    fn rule(name: &'static str, node: fn(Arc<dyn ExecutionPlan>) -> Rewritten) -> Rule {
        Arc::new(Self { name, node })
    }
}

impl PhysicalOptimizerRule for Rewrite {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(self.node).data()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Keeps filters above projections that give two columns one name.
///
/// DataFusion 55 maps a filter through a projection by the *names* of columns. Above a join whose sides were
/// swapped stands a projection that may hold two columns `m`, and `l.m IS NULL OR r.m = 1` became
/// `r.m IS NULL OR r.m = 1`; on the side of `r`, where nothing is null, its statistics then pruned files and
/// row groups that had rows of the answer (decision 0010). While filters are pushed, such a projection stands
/// under a [`ConformExec`] that changes nothing and lets no filter through.
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

/// Scans of several files a partition claim an order only where it is sure.
///
/// That one file's rows come before the next one's is read from their least and greatest values, which know
/// nothing of nulls: files `1, 2, null` and `3, 4` looked ordered one after the other, and a sort above them
/// was left out (decision 0010). An order of several files holds here only if no key of theirs is null.
fn honest_orders(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    let Some(config) = file_scan(&node) else { return Ok(Transformed::no(node)) };
    let sure: Vec<LexOrdering> = config
        .output_ordering
        .iter()
        .filter(|order| config.file_groups.iter().all(|group| is_sure(group, order)))
        .cloned()
        .collect();
    if sure.len() == config.output_ordering.len() {
        return Ok(Transformed::no(node));
    }
    let config = FileScanConfigBuilder::from(config.clone()).with_output_ordering(sure).build();
    Ok(Transformed::yes(DataSourceExec::from_data_source(config)))
}

fn is_sure(group: &FileGroup, order: &LexOrdering) -> bool {
    let no_nulls = |file: &PartitionedFile| {
        order.iter().all(|key| {
            let column = key.expr.downcast_ref::<Column>();
            let known =
                file.statistics.as_ref().zip(column).and_then(|(statistics, column)| {
                    statistics.column_statistics.get(column.index())
                });
            known.is_some_and(|column| column.null_count == Precision::Exact(0))
        })
    };
    group.len() < 2 || group.iter().all(no_nulls)
}

/// The casts that a union puts on branches whose fields differ in nullability or name from its own become
/// [`ConformExec`]s.
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
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(Transformed::yes(node.replace_children(branches, options)?))
}

/// The input of a projection that changes nothing but fields.
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

/// True if the build side of a collect-left join of this type may be sent whole to every task.
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

/// Rewrites the plan; gives the plan back unchanged where the rewrite would not pass the engine's own
/// sanity check (a parent may rest on the ordering or partitioning that the old join had).
pub(crate) fn normalise(
    plan: Arc<dyn ExecutionPlan>,
    options: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions = options.execution.target_partitions;
    let rewritten = Arc::clone(&plan).transform_up(|node| {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            return gathered(&node, join);
        }
        let Some(join) = node.downcast_ref::<HashJoinExec>() else {
            return Ok(Transformed::no(node));
        };
        let splits = *join.partition_mode() == PartitionMode::CollectLeft
            && !broadcast_is_sound(*join.join_type())
            && !join.null_aware
            && join.right().output_partitioning().partition_count() > 1
            && partitions > 1;
        if splits { repartitioned(join, partitions) } else { Ok(Transformed::no(node)) }
    })?;
    if !rewritten.transformed {
        return Ok(plan);
    }
    match SanityCheckPlan::new().optimize(Arc::clone(&rewritten.data), options) {
        Ok(_) => Ok(rewritten.data),
        Err(_) => Ok(plan),
    }
}

/// A nested-loop join that emits build rows gets one probe partition. With several it counts matches in one
/// process; and when memory is short it falls back to a pass over its inputs that forgets, by its own
/// comment, what other partitions matched.
fn gathered(
    node: &Arc<dyn ExecutionPlan>,
    join: &NestedLoopJoinExec,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let several = join.right().output_partitioning().partition_count() > 1;
    if !several || broadcast_is_sound(*join.join_type()) {
        return Ok(Transformed::no(Arc::clone(node)));
    }
    let right = Arc::new(CoalescePartitionsExec::new(Arc::clone(join.right())));
    let children: Vec<Arc<dyn ExecutionPlan>> = vec![Arc::clone(join.left()), right];
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(Transformed::yes(Arc::clone(node).replace_children(children, options)?))
}

fn repartitioned(
    join: &HashJoinExec,
    partitions: usize,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let (left_keys, right_keys): (Vec<_>, Vec<_>) = join.on().iter().cloned().unzip();
    let left = match join.left().downcast_ref::<CoalescePartitionsExec>() {
        Some(coalesce) if coalesce.fetch().is_none() => Arc::clone(coalesce.input()),
        _ => Arc::clone(join.left()),
    };
    let left = RepartitionExec::try_new(left, Partitioning::Hash(left_keys, partitions))?;
    let right = RepartitionExec::try_new(
        Arc::clone(join.right()),
        Partitioning::Hash(right_keys, partitions),
    )?;
    let join = join
        .builder()
        .with_partition_mode(PartitionMode::Partitioned)
        .with_new_children(vec![Arc::new(left), Arc::new(right)])?
        .recompute_properties()
        .build_exec()?;
    Ok(Transformed::yes(join))
}
