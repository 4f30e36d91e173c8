//! Where a filter of keys stands: as deep as it saves work.
//!
//! ```text
//!   HashJoin p_partkey = l_partkey            the filter stands here without this module: nothing is saved
//!     reader: part and lineitem
//!     Aggregate final, by l_partkey           a group has one key: it is dropped whole, or kept whole
//!       exchange by l_partkey                 rows are dropped before they are written
//!         Aggregate partial, by l_partkey
//!           KeyFilterExec  <──────────────    here nothing is done for rows that no part matches
//!             scan lineitem
//! ```
//! A filter goes below an operator if the operator's rows with certain keys depend only on the input rows with the same
//! keys. The list of such operators is short; a filter stops at any other. It stays above operators that cost about as
//! much as itself, unless it goes below one that costs more.
//!
//! A part of the plan that is used several times becomes one stage. A filter does not go into it, because the other
//! users need its other rows.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use dunlin_manifest::records::StageId;
use dunlin_plan::operators::partition_count;
use dunlin_plan::passage::{columns, row_by_row, same_types};
use dunlin_shuffle::KeyFilterExec;

use crate::operators::{exchange, rebuild};
use crate::stages::filtered::promises_to_pay;
use crate::stages::prove::identity;

/// Plans with more operators are not searched for parts that are used several times, and filters stay where they are.
const MOST_OPERATORS: usize = 400;

/// The parts of a plan that will become stages, and how often each is used.
#[derive(Debug)]
pub(super) struct Uses {
    plan: Arc<dyn ExecutionPlan>,
    /// By their identity, counted when a filter asks for them: most plans have none. `None`: the plan is too large.
    counts: OnceCell<Option<HashMap<String, usize>>>,
}

impl Uses {
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        Self { plan: Arc::clone(plan), counts: OnceCell::new() }
    }

    fn counted(&self) -> Result<Option<HashMap<String, usize>>> {
        let (mut operators, mut cut) = (0, Vec::new());
        self.plan.apply(|node| {
            operators += 1;
            if is_cut(node) {
                cut.push(Arc::clone(node));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if operators > MOST_OPERATORS {
            return Ok(None);
        }
        let mut counts = HashMap::new();
        for node in cut {
            if let Some(identity) = identity(&node)? {
                *counts.entry(identity).or_insert(0) += 1;
            }
        }
        Ok(Some(counts))
    }

    /// Whether nothing else of the plan uses what is below this cut.
    fn is_only_one(&self, cut: &Arc<dyn ExecutionPlan>) -> Result<bool> {
        let counts = match self.counts.get() {
            Some(counts) => counts,
            None => {
                let counted = self.counted()?;
                self.counts.get_or_init(|| counted)
            }
        };
        let Some(counts) = counts else { return Ok(false) };
        let identity = identity(cut)?;
        Ok(identity.is_none_or(|identity| counts.get(&identity).is_none_or(|uses| *uses < 2)))
    }
}

/// Whether rows move between stages here.
fn is_cut(node: &Arc<dyn ExecutionPlan>) -> bool {
    let gathers = node.is::<CoalescePartitionsExec>() || node.is::<SortPreservingMergeExec>();
    exchange(node).is_some()
        || (gathers && node.children().iter().any(|input| partition_count(input) > 1))
}

/// A filter by the keys of a stage.
#[derive(Debug)]
pub(super) struct Sinking<'a> {
    pub(super) stage: StageId,
    pub(super) bucket: u32,
    /// What the stage does, before it is cut.
    pub(super) source: &'a Arc<dyn ExecutionPlan>,
    pub(super) uses: &'a Uses,
}

impl Sinking<'_> {
    /// The plan with the filter somewhere below `plan`; `None` if it would save nothing there. `keys` are columns of the
    /// rows of `plan`.
    pub(super) fn below(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        keys: &[Arc<dyn PhysicalExpr>],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(columns) = columns(keys) else { return Ok(None) };
        let schema = plan.schema();
        if !columns.iter().all(|column| is_exact(schema.field(*column).data_type())) {
            return Ok(None);
        }
        self.sunk(plan, &columns)
    }

    fn sunk(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        above: &[usize],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if is_cut(plan) && !self.uses.is_only_one(plan)? {
            return Ok(None);
        }
        let Some(crossing) = crossing(plan, above) else { return Ok(None) };
        let mut children: Vec<_> = plan.children().into_iter().cloned().collect();
        let mut sunk = Vec::with_capacity(crossing.into.len());
        for (number, keys) in &crossing.into {
            if !same_types(plan, above, &children[*number], keys) {
                return Ok(None);
            }
            sunk.push(self.sunk(&children[*number], keys)?);
        }
        // Of several inputs, those without a better place get it here.
        let is_deeper = sunk.iter().any(Option::is_some);
        for ((number, keys), sunk) in crossing.into.iter().zip(sunk) {
            let input = &children[*number];
            children[*number] = match sunk {
                Some(sunk) => sunk,
                None if is_deeper || (crossing.pays && promises_to_pay(self.source, input)?) => {
                    self.filter(input, keys)
                }
                None => return Ok(None),
            };
        }
        rebuild(Arc::clone(plan), children).map(Some)
    }

    fn filter(&self, input: &Arc<dyn ExecutionPlan>, keys: &[usize]) -> Arc<dyn ExecutionPlan> {
        let schema = input.schema();
        let keys = keys.iter().map(|key| {
            Arc::new(Column::new(schema.field(*key).name(), *key)) as Arc<dyn PhysicalExpr>
        });
        let keys = keys.collect();
        Arc::new(KeyFilterExec::new(Arc::clone(input), self.stage, self.bucket, keys))
    }
}

/// Types whose values are equal exactly if their hashes come from equal bits: an operator that takes two values for one
/// group takes them for one key, too. Not so -0.0 and 0.0.
fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_temporal()
        || data_type.is_string()
        || data_type.is_binary()
        || data_type.is_decimal()
        || *data_type == DataType::Boolean
}

/// How a filter goes below an operator.
struct Crossing {
    /// The inputs that it goes into, each with the keys there.
    into: Vec<(usize, Vec<usize>)>,
    /// Whether the operator costs more than a filter.
    pays: bool,
}

fn crossing(plan: &Arc<dyn ExecutionPlan>, keys: &[usize]) -> Option<Crossing> {
    if plan.fetch().is_some() {
        return None;
    }
    let crossing = |keys: Vec<usize>, pays| Some(Crossing { into: vec![(0, keys)], pays });
    if let Some(into) = row_by_row(plan, keys) {
        Some(Crossing { into, pays: false })
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        crossing(groups(aggregate, keys)?, true)
    } else if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        crossing(partitions(&window.partition_keys(), window.input(), keys)?, true)
    } else if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
        crossing(partitions(&window.partition_keys(), window.input(), keys)?, true)
    } else if is_cut(plan) || plan.is::<SortExec>() {
        crossing(keys.to_vec(), true)
    } else {
        None
    }
}

/// The columns of an aggregate's input by which it groups, for these of its output. All rows of a group have them.
fn groups(aggregate: &AggregateExec, keys: &[usize]) -> Option<Vec<usize>> {
    let by = aggregate.group_expr();
    if !by.is_single() || aggregate.limit_options().is_some() {
        return None;
    }
    let place = |key: &usize| Some(by.expr().get(*key)?.0.downcast_ref::<Column>()?.index());
    keys.iter().map(place).collect()
}

/// The same columns of a window's input, if it looks only at rows that have the same values in them.
fn partitions(
    by: &[Arc<dyn PhysicalExpr>],
    input: &Arc<dyn ExecutionPlan>,
    keys: &[usize],
) -> Option<Vec<usize>> {
    let own = input.schema().fields().len();
    let is_by = |key: &usize| {
        let mut columns = by.iter().filter_map(|expr| expr.downcast_ref::<Column>());
        *key < own && columns.any(|column| column.index() == *key)
    };
    keys.iter().all(is_by).then(|| keys.to_vec())
}

#[cfg(test)]
mod tests;
