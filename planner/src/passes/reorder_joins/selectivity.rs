//! Which part of the rows a condition keeps, by rules of thumb.
//!
//! | condition | part that stays |
//! |---|---|
//! | `column = value` | one of its different values; of a text, one in 20 |
//! | `column < value` | by its range; a third, if that is not known |
//! | two bounds of one column | by its range; one in eight, if that is not known |
//! | a bound of a sum, a count … | one in ten |
//! | `column IN (…)` | as many values |
//! | `LIKE` | one in ten; with a start that is known, one in twenty |
//! | `IS NULL` | as many as there are |
//! | `a AND b` | both, as if they did not depend on each other |
//! | `a OR b`, `NOT a` | as of chances that do not depend on each other |

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};

use super::facts::{Facts, float, number};

const TEXT_IS: f64 = 1.0 / 20.0;
const BELOW: f64 = 1.0 / 3.0;
const BETWEEN: f64 = 1.0 / 8.0;
const HAVING: f64 = 1.0 / 10.0;
const LIKE: f64 = 1.0 / 10.0;
const STARTS: f64 = 1.0 / 20.0;
/// What nothing is known of.
const OTHER: f64 = 1.0 / 4.0;

/// The part of the rows that `condition` keeps, whose columns are those of `columns`.
pub(super) fn of(condition: &Arc<dyn PhysicalExpr>, columns: &[Facts]) -> f64 {
    let mut kept = 1.0;
    let mut bounds: Vec<(usize, Bound)> = Vec::new();
    for part in split_conjunction(condition) {
        match bound(part) {
            Some(bound) => bounds.push(bound),
            None => kept *= of_one(part, columns),
        }
    }
    while let Some((column, first)) = bounds.pop() {
        let others = bounds.extract_if(.., |(of, _)| *of == column).map(|(_, bound)| bound);
        let all: Vec<Bound> = std::iter::once(first).chain(others).collect();
        kept *= within(&all, columns.get(column));
    }
    kept.clamp(1e-9, 1.0)
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Least(Option<f64>),
    Most(Option<f64>),
}

/// A comparison of a column with a value, as a bound.
fn bound(part: &Arc<dyn PhysicalExpr>) -> Option<(usize, Bound)> {
    let binary = part.downcast_ref::<BinaryExpr>()?;
    let (column, value, turned) = match (value_of(binary.right()), value_of(binary.left())) {
        (Some(value), None) => (column_of(binary.left())?, value, false),
        (None, Some(value)) => (column_of(binary.right())?, value, true),
        _ => return None,
    };
    let is_least = match binary.op() {
        Operator::Gt | Operator::GtEq => !turned,
        Operator::Lt | Operator::LtEq => turned,
        _ => return None,
    };
    let value = number(value);
    Some((column, if is_least { Bound::Least(value) } else { Bound::Most(value) }))
}

fn within(bounds: &[Bound], facts: Option<&Facts>) -> f64 {
    let unknown = match facts {
        Some(facts) if facts.of_group => HAVING,
        _ if bounds.len() > 1 => BETWEEN,
        _ => BELOW,
    };
    let Some((min, max)) = facts.and_then(|facts| facts.range).filter(|(min, max)| min < max)
    else {
        return unknown;
    };
    let (mut low, mut high) = (min, max);
    for bound in bounds {
        match bound {
            Bound::Least(Some(value)) => low = low.max(*value),
            Bound::Most(Some(value)) => high = high.min(*value),
            Bound::Least(None) | Bound::Most(None) => return unknown,
        }
    }
    ((high - low) / (max - min)).clamp(1e-4, 1.0)
}

fn of_one(part: &Arc<dyn PhysicalExpr>, columns: &[Facts]) -> f64 {
    if let Some(binary) = part.downcast_ref::<BinaryExpr>() {
        let (left, right) = (binary.left(), binary.right());
        return match binary.op() {
            Operator::Or => {
                let (one, other) = (of(left, columns), of(right, columns));
                one + other - one * other
            }
            Operator::Eq => equal(left, right, columns),
            Operator::NotEq => 1.0 - equal(left, right, columns),
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => BELOW,
            _ => OTHER,
        };
    }
    if let Some(list) = part.downcast_ref::<InListExpr>() {
        let one = equal_to_value(list.expr(), columns);
        let some = (one * float(list.list().len())).min(1.0);
        return if list.negated() { 1.0 - some } else { some };
    }
    if let Some(like) = part.downcast_ref::<LikeExpr>() {
        let some = match like.pattern().downcast_ref::<Literal>().map(Literal::value) {
            Some(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)))
                if !text.starts_with('%') =>
            {
                STARTS
            }
            _ => LIKE,
        };
        return if like.negated() { 1.0 - some } else { some };
    }
    if let Some(not) = part.downcast_ref::<NotExpr>() {
        return 1.0 - of(not.arg(), columns);
    }
    let nulls = |of: &Arc<dyn PhysicalExpr>| {
        column_of(of).and_then(|column| columns.get(column)).map_or(0.0, |facts| facts.nulls)
    };
    if let Some(is) = part.downcast_ref::<IsNullExpr>() {
        return nulls(is.arg()).max(0.001);
    }
    if let Some(is) = part.downcast_ref::<IsNotNullExpr>() {
        return 1.0 - nulls(is.arg());
    }
    match value_of(part) {
        Some(ScalarValue::Boolean(Some(true))) => 1.0,
        Some(_) => 0.0,
        None if column_of(part).is_some() => 0.5,
        None => OTHER,
    }
}

fn equal(left: &Arc<dyn PhysicalExpr>, right: &Arc<dyn PhysicalExpr>, columns: &[Facts]) -> f64 {
    match (value_of(left), value_of(right)) {
        (None, Some(_)) => equal_to_value(left, columns),
        (Some(_), None) => equal_to_value(right, columns),
        _ => {
            let of = |expr| column_of(expr).and_then(|column| columns.get(column));
            let distinct = [of(left), of(right)].into_iter().flatten().map(|facts| facts.distinct);
            1.0 / distinct.fold(1.0 / OTHER, f64::max)
        }
    }
}

fn equal_to_value(expr: &Arc<dyn PhysicalExpr>, columns: &[Facts]) -> f64 {
    let Some(facts) = column_of(expr).and_then(|column| columns.get(column)) else {
        return TEXT_IS;
    };
    let one = 1.0 / facts.distinct.max(1.0);
    // Without a range, no more is known than that there are not more values than rows.
    if facts.range.is_some() { one } else { one.max(TEXT_IS) }
}

/// The column of an expression, whatever its type becomes.
fn column_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    match expr.downcast_ref::<CastExpr>() {
        Some(cast) => column_of(cast.expr()),
        None => expr.downcast_ref::<Column>().map(Column::index),
    }
}

fn value_of(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expr.downcast_ref::<Literal>().map(Literal::value)
}
