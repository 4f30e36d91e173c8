//! Casts that a comparison must not lose.
//!
//! ```text
//!  cast(price as bigint) = 1      the engine: price = 1.000                 here: as_is(cast(price as bigint)) = 1
//!  at < now(), at in milliseconds the engine: at < now(), cut to ms         here: at <= now(), cut to ms
//!  at = '… 00.000001', in ms      the engine: at = '… 00.000'               here: as_is(cast(at as …)) = '… 00.000001'
//! ```
//! The engine takes the cast from a column and puts it on the constant that the column is compared with, because then it can
//! leave out files and groups of rows by their ranges. That gives other rows where several values of the column become one
//! value by the cast, where TRY_CAST makes NULL of a value, and where the constant is finer than the column. Such a cast gets
//! a function around it that gives what it gets, and the engine does not look into it.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{InList, TryCast};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use dunlin_plan::functions::as_is;

use super::{is_utc, whole, with_expressions};

/// The rule.
pub(super) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(Casts)
}

#[derive(Debug)]
struct Casts;

impl AnalyzerRule for Casts {
    fn name(&self) -> &'static str {
        "sound_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let done = plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            with_expressions(plan, |expr| expr.transform_up(|expr| kept(expr, &schema)))
        })?;
        Ok(done.data)
    }
}

/// A comparison whose casts stay what they are.
fn kept(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
            if let Some(exact) = in_units(&left, op, &right, schema) {
                return Ok(Transformed::yes(exact));
            }
            if let Some(exact) = op.swap().and_then(|op| in_units(&right, op, &left, schema)) {
                return Ok(Transformed::yes(exact));
            }
            let (left_is, right_is) =
                (must_stay(&left, &[&right], schema), must_stay(&right, &[&left], schema));
            let both = Expr::BinaryExpr(BinaryExpr {
                left: Box::new(around(*left, left_is)),
                op,
                right: Box::new(around(*right, right_is)),
            });
            Ok(if left_is || right_is { Transformed::yes(both) } else { Transformed::no(both) })
        }
        Expr::InList(InList { expr, mut list, negated }) => {
            let stays = must_stay(&expr, &list.iter().collect::<Vec<_>>(), schema);
            let expr = Box::new(around(*expr, stays));
            let zeros = other_zeros(&list);
            let is_new = stays || !zeros.is_empty();
            list.extend(zeros);
            let list = Expr::InList(InList { expr, list, negated });
            Ok(if is_new { Transformed::yes(list) } else { Transformed::no(list) })
        }
        // It becomes two comparisons.
        Expr::Between(Between { expr, negated, low, high }) => {
            let stays = must_stay(&expr, &[&low, &high], schema);
            let expr = Box::new(around(*expr, stays));
            let between = Expr::Between(Between { expr, negated, low, high });
            Ok(if stays { Transformed::yes(between) } else { Transformed::no(between) })
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The zeros of the other sign, where a list has one of them: the engine looks for the same bits.
fn other_zeros(list: &[Expr]) -> Vec<Expr> {
    let other = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Float64(Some(zero)), _) if *zero == 0.0 => {
            Some(ScalarValue::Float64(Some(-zero)))
        }
        Expr::Literal(ScalarValue::Float32(Some(zero)), _) if *zero == 0.0 => {
            Some(ScalarValue::Float32(Some(-zero)))
        }
        _ => None,
    };
    let zeros = list.iter().filter_map(other).map(|zero| Expr::Literal(zero, None));
    let mut new: Vec<Expr> = Vec::new();
    for zero in zeros.filter(|zero| !list.contains(zero)) {
        if !new.contains(&zero) {
            new.push(zero);
        }
    }
    new
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn around(expr: Expr, stays: bool) -> Expr {
    if stays { as_is().call(vec![expr]) } else { expr }
}

/// The value under a cast, the type that it gets, and whether the cast gives NULL where it cannot be done.
fn cast(expr: &Expr) -> Option<(&Expr, &DataType, bool)> {
    match expr {
        Expr::Cast(Cast { expr, field }) => Some((expr, field.data_type(), false)),
        Expr::TryCast(TryCast { expr, field }) => Some((expr, field.data_type(), true)),
        Expr::Alias(alias) => cast(&alias.expr),
        _ => None,
    }
}

/// Whether a cast must not move to the values that it is compared with.
fn must_stay(expr: &Expr, others: &[&Expr], schema: &DFSchema) -> bool {
    let Some((inner, to, tries)) = cast(expr) else { return false };
    let Ok(from) = inner.get_type(schema) else { return true };
    // The engine moves one cast after the other.
    if changes(&from, to, tries) || must_stay(inner, others, schema) {
        return true;
    }
    let DataType::Timestamp(unit, _) = value_type(&from) else { return false };
    let is_exact = |other: &Expr| {
        constant(other, None).and_then(|value| floor(&value, *unit)).is_none_or(|it| it.is_exact)
    };
    value_type(to).is_temporal() && !others.iter().all(|other| is_exact(other))
}

/// The same comparison of a column of times in its own units, if a constant is finer or too large for the type that the
/// engine compares in.
fn in_units(expr: &Expr, op: Operator, other: &Expr, schema: &DFSchema) -> Option<Expr> {
    let (inner, to, _) = cast(expr)?;
    let from = inner.get_type(schema).ok()?;
    let DataType::Timestamp(unit, _) = &from else { return None };
    if !matches!(to, DataType::Timestamp(_, _)) || changes(&from, to, false) {
        return None;
    }
    let value = constant(other, Some(&from))?;
    let floor = floor(&value, *unit)?;
    let op = match op {
        _ if floor.is_exact && value.data_type() == from => op,
        // It would not fit, or is moved by the engine.
        _ if floor.is_exact => return None,
        Operator::Lt | Operator::LtEq => Operator::LtEq,
        Operator::Gt | Operator::GtEq => Operator::Gt,
        _ => return None,
    };
    let value = ScalarValue::Int64(Some(floor.value)).cast_to(&from).ok()?;
    Some(Expr::BinaryExpr(BinaryExpr {
        left: Box::new(inner.clone()),
        op,
        right: Box::new(Expr::Literal(value, None)),
    }))
}

/// A time in other units, cut.
struct Floor {
    value: i64,
    is_exact: bool,
}

fn floor(value: &ScalarValue, unit: TimeUnit) -> Option<Floor> {
    let (value, own) = match value {
        ScalarValue::TimestampSecond(Some(value), _) => (*value, TimeUnit::Second),
        ScalarValue::TimestampMillisecond(Some(value), _) => (*value, TimeUnit::Millisecond),
        ScalarValue::TimestampMicrosecond(Some(value), _) => (*value, TimeUnit::Microsecond),
        ScalarValue::TimestampNanosecond(Some(value), _) => (*value, TimeUnit::Nanosecond),
        _ => return None,
    };
    let (own, unit) = (of_a_second(own), of_a_second(unit));
    if own <= unit {
        return Some(Floor { value: value.checked_mul(unit / own)?, is_exact: true });
    }
    let part = own / unit;
    Some(Floor { value: value.div_euclid(part), is_exact: value.rem_euclid(part) == 0 })
}

fn of_a_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// The value of an expression without columns, and without the time of the statement: that has no units to speak of. A text
/// that is too late or too early for a time of its cast is read as `or` instead.
fn constant(expr: &Expr, or: Option<&DataType>) -> Option<ScalarValue> {
    if expr.any_column_refs() || has_now(expr) {
        return None;
    }
    if let Expr::Literal(value, _) = expr {
        return Some(value.clone());
    }
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    match simplifier.simplify(expr.clone()) {
        Ok(Expr::Literal(value, _)) => Some(value),
        _ => match cast(expr)? {
            (Expr::Literal(text, _), DataType::Timestamp(_, _), _)
                if text.data_type().is_string() =>
            {
                text.cast_to(or?).ok()
            }
            _ => None,
        },
    }
}

/// Whether an expression has a function that is not the same at all times, or something else that is no constant.
fn has_now(expr: &Expr) -> bool {
    expr.exists(|expr| {
        Ok(match expr {
            Expr::ScalarFunction(function) => {
                function.func.signature().volatility != Volatility::Immutable
            }
            Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::ScalarSubquery(_)
            | Expr::SetComparison(_)
            | Expr::Placeholder(_)
            | Expr::OuterReferenceColumn(_, _)
            | Expr::ScalarVariable(_, _)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_) => true,
            _ => false,
        })
    })
    .unwrap_or(true)
}

/// The type of the values of a dictionary, or the type itself.
fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value_type(value),
        other => other,
    }
}

/// Whether a cast makes one value of several, or NULL of a value.
fn changes(from: &DataType, to: &DataType, tries: bool) -> bool {
    let (from, to) = (value_type(from), value_type(to));
    if from == to {
        return false;
    }
    if let (DataType::Timestamp(_, from), DataType::Timestamp(_, to)) = (from, to) {
        // The value is that of another zone: the engine forgets the difference.
        return from != to && !(is_utc(from.as_deref()) && is_utc(to.as_deref()));
    }
    match (whole(from), whole(to)) {
        (Some((least, most, scale)), Some((to_least, to_most, to_scale))) => {
            let fits = to_least <= least && most <= to_most;
            scale > to_scale || scale < 0 || to_scale < 0 || (tries && !fits)
        }
        // Of what the engine moves, only numbers and times are left.
        _ => tries && (from.is_temporal() || to.is_temporal()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    /// The first column of the rows of a statement, one after the other.
    async fn rows(sql: &str) -> String {
        let context = crate::sound::context(vec![super::rule()], &[]).await;
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        let cells = text.lines().skip(3).filter_map(|line| line.split('|').nth(1));
        cells.map(str::trim).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn a_comparison_is_made_with_what_the_cast_gives() {
        let d = "(select arrow_cast(x, 'Decimal128(10, 3)') as d, i from (values ('1.000', 1), ('1.500', 300), ('1.005', -5), (null, 2)) t (x, i))";
        let at = |unit: &str| {
            format!(
                "(select arrow_cast(x, 'Timestamp({unit}, None)') as at from (values (timestamp '2024-01-01 00:00:00'), (timestamp '1969-12-31 23:59:59')) t (x))"
            )
        };
        let (ms, s) = (at("ms"), at("s"));
        for (sql, expected) in [
            (format!("select count(*) from {d} where cast(d as bigint) = 1"), "3"),
            (format!("select count(*) from {d} where cast(d as decimal(10, 2)) = 1.01"), "1"),
            (format!("select count(*) from {d} where cast(d as bigint) in (1, 7)"), "3"),
            (format!("select count(*) from {d} where cast(d as bigint) between 2 and 3"), "0"),
            (format!("select count(*) from {d} where try_cast(i as tinyint) >= 1"), "2"),
            (format!("select count(*) from {d} where not try_cast(i as tinyint) < 100"), "0"),
            (format!("select count(*) from {d} where try_cast(i as decimal(2, 0)) > 1"), "1"),
            ("select count(*) from (select arrow_cast(x, 'UInt8') as u from (values (200), (7)) t (x)) where try_cast(u as tinyint) >= 1".to_owned(), "1"),
            (format!("select count(*) from {d} where cast(i as bigint) = 300"), "1"),
            (
                format!(
                    "select count(*) from {ms} where at = timestamp '2024-01-01 00:00:00.000001'"
                ),
                "0",
            ),
            (
                format!(
                    "select count(*) from {ms} where at < timestamp '2024-01-01 00:00:00.000001'"
                ),
                "2",
            ),
            (
                format!(
                    "select count(*) from {ms} where at >= timestamp '2024-01-01 00:00:00.000001'"
                ),
                "0",
            ),
            (
                format!(
                    "select count(*) from {ms} where timestamp '2024-01-01 00:00:00.000001' > at"
                ),
                "2",
            ),
            (
                format!(
                    "select count(*) from {ms} where at <> timestamp '2024-01-01 00:00:00.000001'"
                ),
                "2",
            ),
            (
                format!(
                    "select count(*) from {ms} where at in (timestamp '2024-01-01 00:00:00.000001', timestamp '2024-01-01')"
                ),
                "1",
            ),
            (
                format!("select count(*) from {s} where at <= timestamp '1969-12-31 23:59:59.5'"),
                "1",
            ),
            (format!("select count(*) from {s} where at > timestamp '1969-12-31 23:59:58.5'"), "2"),
            (format!("select count(*) from {ms} where at = timestamp '2024-01-01'"), "1"),
            (format!("select count(*) from {ms} where at < timestamp '3000-01-01'"), "2"),
            (format!("select count(*) from {ms} where at < '9999-12-31'"), "2"),
        ] {
            assert_eq!(rows(&sql).await, expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn the_name_of_a_column_stays() {
        let context = crate::sound::context(vec![super::rule()], &[]).await;
        let plan =
            context.sql("select cast(1.5 as bigint) = x from (values (1)) t (x)").await.unwrap();
        let plain = SessionContext::new();
        let same =
            plain.sql("select cast(1.5 as bigint) = x from (values (1)) t (x)").await.unwrap();
        assert_eq!(
            plan.into_optimized_plan().unwrap().schema(),
            same.into_optimized_plan().unwrap().schema()
        );
    }
}
