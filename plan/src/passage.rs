//! Which inputs of an operator the columns of its rows come from.
//!
//! A condition on some columns of an operator's rows may be asked of the rows of its input instead, if the operator works
//! row by row: a row of the input without the condition gives no row with it.

use std::sync::Arc;

use datafusion::common::{JoinSide, JoinType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use dunlin_shuffle::KeyFilterExec;

/// The columns that expressions are; `None` if one is computed.
#[must_use]
pub fn columns(exprs: &[Arc<dyn PhysicalExpr>]) -> Option<Vec<usize>> {
    exprs.iter().map(|expr| Some(expr.downcast_ref::<Column>()?.index())).collect()
}

/// The inputs of an operator that works row by row, each with the columns there that are these columns of its rows. `None`
/// if it does not, or if the columns are computed or come from several inputs.
#[must_use]
pub fn row_by_row(
    plan: &Arc<dyn ExecutionPlan>,
    columns: &[usize],
) -> Option<Vec<(usize, Vec<usize>)>> {
    if plan.fetch().is_some() {
        return None;
    }
    let into = if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let chosen = filter.projection().as_ref();
        let place = |column: &usize| chosen.map_or(*column, |chosen| chosen[*column]);
        vec![(0, columns.iter().map(place).collect())]
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let place = |column: &usize| {
            Some(projection.expr()[*column].expr.downcast_ref::<Column>()?.index())
        };
        vec![(0, columns.iter().map(place).collect::<Option<_>>()?)]
    } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        vec![of_one_side(join, columns)?]
    } else if plan.is::<UnionExec>() {
        (0..plan.children().len()).map(|number| (number, columns.to_vec())).collect()
    } else if plan.is::<KeyFilterExec>() {
        vec![(0, columns.to_vec())]
    } else {
        return None;
    };
    let children = plan.children();
    let same = into.iter().all(|(number, keys)| same_types(plan, columns, children[*number], keys));
    same.then_some(into)
}

/// Whether columns have the types below an operator that they have above it.
#[must_use]
pub fn same_types(
    above: &Arc<dyn ExecutionPlan>,
    columns: &[usize],
    below: &Arc<dyn ExecutionPlan>,
    others: &[usize],
) -> bool {
    let (above, below) = (above.schema(), below.schema());
    let mut pairs = columns.iter().zip(others);
    pairs.all(|(column, other)| above.field(*column).data_type() == below.field(*other).data_type())
}

/// The input of a join that all these columns of its rows come from, and the columns there.
fn of_one_side(join: &HashJoinExec, columns: &[usize]) -> Option<(usize, Vec<usize>)> {
    if join.null_aware {
        return None;
    }
    let side = match join.join_type() {
        JoinType::Inner => None,
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
            Some(JoinSide::Left)
        }
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
            Some(JoinSide::Right)
        }
        JoinType::Full => return None,
    };
    let mut places = columns.iter().map(|column| {
        place(join, join.projection.as_ref().map_or(*column, |chosen| chosen[*column]))
    });
    let (first, place) = places.next()??;
    let mut found = vec![place];
    for place in places {
        let (other, column) = place?;
        if other != first {
            return None;
        }
        found.push(column);
    }
    if side.is_some_and(|side| side != first) {
        return None;
    }
    Some((usize::from(first == JoinSide::Right), found))
}

/// Where a column of a join's rows comes from, before its projection.
fn place(join: &HashJoinExec, column: usize) -> Option<(JoinSide, usize)> {
    let left = join.left().schema().fields().len();
    let right = join.right().schema().fields().len();
    match join.join_type() {
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
            (column < right).then_some((JoinSide::Right, column))
        }
        _ if column < left => Some((JoinSide::Left, column)),
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => None,
        _ => Some((JoinSide::Right, column - left)),
    }
}
