//! Keeps filters where DataFusion would take another column for the one that they name.
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
//! DataFusion 55 moves a filter from an operator to its input by the *names* of columns, and takes the first column of that
//! name. Where two columns of the input have one name, or a key has the name of another column of the input, the filter
//! then speaks of another column. A scan leaves out files, row groups and rows by it, and so rows of the answer
//! (decision 0010). A filter may pass only an operator of which [`finds_columns_by_name`] can tell that every name leads to
//! its own column. Above the others there is a barrier: a [`ConformExec`] that changes nothing. It is removed after filters
//! were pushed down.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::JoinType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use dunlin_shuffle::ConformExec;

use crate::operators::rebuild;
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
    let mut node = node;
    let mut changed = false;
    if let Some(filter) = node.downcast_ref::<FilterExec>()
        && !names_are_right(filter.predicate(), &filter.input().schema())
    {
        let input = barrier(Arc::clone(filter.input()))?;
        node = rebuild(node, vec![input])?;
        changed = true;
    }
    if !finds_columns_by_name(&node) {
        node = barrier(node)?;
        changed = true;
    }
    Ok(if changed { Transformed::yes(node) } else { Transformed::no(node) })
}

fn barrier(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    Ok(Arc::new(ConformExec::try_new(plan, schema)?))
}

/// Removes the barrier that [`raise_barrier`] added.
fn remove_barrier(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    match node.downcast_ref::<ConformExec>().map(ConformExec::input) {
        Some(input) if input.schema() == node.schema() => Ok(Transformed::yes(Arc::clone(input))),
        _ => Ok(Transformed::no(node)),
    }
}

/// Whether every column of an expression has the name of the field that it stands for.
fn names_are_right(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let is_wrong = expr.exists(|inner| {
        let Some(column) = inner.downcast_ref::<Column>() else { return Ok(false) };
        let field = schema.fields().get(column.index());
        Ok(field.is_none_or(|field| field.name() != column.name()))
    });
    !is_wrong.unwrap_or(true)
}

/// Whether a filter on columns of `plan` speaks of the same columns below it, if each is looked for by its name there.
fn finds_columns_by_name(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let own = plan.schema();
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        // It looks a name up among its own columns, and puts their expressions in their place.
        let input = projection.input().schema();
        let mut expressions = projection.expr().iter().map(|column| &column.expr);
        return !names_twice(&own) && expressions.all(|expr| names_are_right(expr, &input));
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return joins_by_name(join);
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let input = aggregate.input().schema();
        let mut keys = aggregate.group_expr().expr().iter().zip(own.fields());
        return keys.all(|((key, _), field)| leads_to(&input, field.name(), place(key)));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>()
        && let Some(chosen) = filter.projection().as_deref()
    {
        let input = filter.input().schema();
        let mut names = own.fields().iter().zip(chosen);
        return names.all(|(field, at)| leads_to(&input, field.name(), Some(*at)));
    }
    // All others that let filters through have the columns of their inputs.
    plan.children().into_iter().all(|input| {
        let input = input.schema();
        let mut names = own.fields().iter().take(input.fields().len()).enumerate();
        names.all(|(at, field)| leads_to(&input, field.name(), Some(at)))
    })
}

/// A filter goes to the side whose columns it has, and where it has only keys of a semi join, to both.
fn joins_by_name(join: &HashJoinExec) -> bool {
    let (left, right) = (join.left().schema(), join.right().schema());
    if names_twice(&left) || names_twice(&right) {
        return false;
    }
    // A key of the one side, and the column that it is compared with.
    let leads = |(own, key): (&Schema, &Arc<dyn PhysicalExpr>), (others, other): (&Schema, _)| {
        place(key).is_none_or(|at| leads_to(others, own.field(at).name(), place(other)))
    };
    let mut keys = join.on().iter();
    match join.join_type() {
        JoinType::LeftSemi => keys.all(|(own, other)| leads((&left, own), (&right, other))),
        JoinType::RightSemi => keys.all(|(other, own)| leads((&right, own), (&left, other))),
        _ => true,
    }
}

/// Whether a name is that of no column, or of this one.
fn leads_to(schema: &Schema, name: &str, place: Option<usize>) -> bool {
    schema.index_of(name).ok().is_none_or(|found| Some(found) == place)
}

/// The place of a column, if the expression is one.
fn place(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

fn names_twice(schema: &Schema) -> bool {
    let mut seen = HashSet::new();
    !schema.fields().iter().all(|field| seen.insert(field.name()))
}
