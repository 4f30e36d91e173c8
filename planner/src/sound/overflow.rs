//! Arithmetic of whole numbers whose result may not fit into its type.
//!
//! ```text
//!  a + b, both BIGINT            the engine: wraps around          here: checked_add(a, b), an error where it does not fit
//!  year + 1, INT and BIGINT      BIGINT, which always fits         stays as it is
//!  a - b, both unsigned          the engine: 3 - 5 = 4294967294    here: checked_subtract(a, b)
//! ```
//! Operators whose result always fits stay, because the engine knows them: it moves them out of sums, and reads ranges
//! through them.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF,
};
use datafusion::optimizer::AnalyzerRule;
use dunlin_plan::functions::checked;

use super::{whole, with_expressions};

/// The rule.
pub(super) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(Overflow)
}

#[derive(Debug)]
struct Overflow;

impl AnalyzerRule for Overflow {
    fn name(&self) -> &'static str {
        "sound_overflow"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let done = plan.transform_up_with_subqueries(|plan| {
            // Numbers of rows are computed while the statement is planned.
            if matches!(plan, LogicalPlan::Limit(_)) {
                return Ok(Transformed::no(plan));
            }
            let schema = merge_schema(&plan.inputs());
            with_expressions(plan, |expr| expr.transform_up(|expr| fitting(expr, &schema)))
        })?;
        Ok(done.data)
    }
}

/// An operator that cannot give a wrong number.
fn fitting(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Some(function) = may_not_fit(&expr, schema) else { return Ok(Transformed::no(expr)) };
    let Expr::BinaryExpr(BinaryExpr { left, right, .. }) = expr else {
        return Ok(Transformed::no(expr));
    };
    // A chain is one call.
    let mut operands = match *left {
        Expr::ScalarFunction(chain) if chain.func == function => chain.args,
        other => vec![other],
    };
    operands.push(*right);
    Ok(Transformed::yes(function.call(operands)))
}

/// The function to be put in the place of an operator, if its result may not fit.
fn may_not_fit(expr: &Expr, schema: &DFSchema) -> Option<Arc<ScalarUDF>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let function = checked(*op)?;
    // The right side of a long chain is the short one.
    let others = Ends::of(right, schema)?;
    let ends = Ends::of(left, schema)?;
    (ends.of == others.of && ends.after(*op, &others).is_none()).then_some(function)
}

/// Between which numbers the values of an expression are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ends {
    least: i128,
    most: i128,
    of: DataType,
}

impl Ends {
    /// Those of an expression of whole numbers.
    fn of(expr: &Expr, schema: &DFSchema) -> Option<Self> {
        // An operator that fits has the type of its operands. To ask for the type of each would look through all below it.
        match expr {
            Expr::Alias(alias) => Self::of(&alias.expr, schema),
            Expr::Literal(value, _) => {
                let own = Self::of_type(value.data_type())?;
                Some(match value.cast_to(&DataType::Decimal128(38, 0)).ok()? {
                    ScalarValue::Decimal128(Some(value), _, _) => {
                        Self { least: value, most: value, of: own.of }
                    }
                    _ => own,
                })
            }
            Expr::Cast(Cast { expr, field }) => {
                let own = Self::of_type(field.data_type().clone())?;
                Some(match Self::of(expr, schema) {
                    Some(closer) if own.has(&closer) => Self { of: own.of, ..closer },
                    _ => own,
                })
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if checked(*op).is_some() => {
                let Some(others) = Self::of(right, schema) else {
                    // A difference of dates is a whole number.
                    let is_time = right.get_type(schema).ok()?.is_temporal();
                    return is_time.then(|| Self::of_its_type(expr, schema))?;
                };
                let ends = Self::of(left, schema)?;
                let fits = ends.of == others.of;
                fits.then(|| ends.after(*op, &others))
                    .flatten()
                    .or_else(|| Self::of_its_type(expr, schema))
            }
            _ => Self::of_its_type(expr, schema),
        }
    }

    fn of_its_type(expr: &Expr, schema: &DFSchema) -> Option<Self> {
        Self::of_type(expr.get_type(schema).ok()?)
    }

    fn of_type(of: DataType) -> Option<Self> {
        let (least, most, _) = whole(&of).filter(|_| of.is_integer())?;
        Some(Self { least, most, of })
    }

    fn has(&self, other: &Self) -> bool {
        self.least <= other.least && other.most <= self.most
    }

    /// Those of a result; `None` if it may not fit into the type, or is that of another operator.
    fn after(&self, op: Operator, other: &Self) -> Option<Self> {
        let ends = |of: fn(i128, i128) -> Option<i128>| {
            let pairs = [
                (self.least, other.least),
                (self.least, other.most),
                (self.most, other.least),
                (self.most, other.most),
            ];
            let all = pairs.map(|(left, right)| of(left, right));
            let all = all.into_iter().collect::<Option<Vec<_>>>()?;
            Some(Self { least: *all.iter().min()?, most: *all.iter().max()?, of: self.of.clone() })
        };
        let result = match op {
            Operator::Plus => ends(i128::checked_add),
            Operator::Minus => ends(i128::checked_sub),
            Operator::Multiply => ends(i128::checked_mul),
            _ => None,
        }?;
        Self::of_type(self.of.clone())?.has(&result).then_some(result)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::compute::{cast, concat_batches};
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::arrow::util::pretty::pretty_format_batches;

    use super::super::context;
    use super::*;

    const TABLES: &[&str] = &[
        "create table t as select arrow_cast(a, 'Int64') as a, arrow_cast(b, 'Int32') as b, \
         arrow_cast(c, 'Int8') as c, arrow_cast(d, 'UInt32') as d \
         from (values (9223372036854775807, 2147483647, 127, 3), (1, -2147483648, -128, 5)) as v (a, b, c, d)",
    ];

    #[tokio::test]
    async fn what_does_not_fit_is_an_error_and_no_other_number() {
        let context = context(vec![rule()], TABLES).await;
        for sql in [
            "select a + 1 from t",
            "select -2 - a from t",
            "select a * 2 from t",
            "select b + b from t",
            "select b * b from t",
            "select c + c from t",
            "select c - arrow_cast(1, 'Int8') from t",
            "select d - d * arrow_cast(2, 'UInt32') from t",
            "select 9223372036854775807 + 1",
            "select * from t where a + 1 < 0",
            "select count(*) from t group by a + 1",
            "select sum(a + 1) from t",
            "select (date '2024-02-01' - date '2024-01-01') * a from t",
            "select sum(b) over (order by a + 1) from t",
            "select (select max(a) from t) + 1",
            "select 1 from t order by a * a",
            "select t.a from t join t as u on t.a + 1 = u.a - 1",
        ] {
            let error = match context.sql(sql).await {
                Ok(plan) => plan.collect().await.map(|rows| pretty_format_batches(&rows).unwrap()),
                Err(error) => Err(error),
            };
            let error = error.map(|rows| panic!("{sql}\n{rows}")).unwrap_err().to_string();
            assert!(error.contains("verflow"), "{sql}: {error}");
        }
    }

    #[tokio::test]
    async fn what_fits_is_what_it_was_and_keeps_its_name() {
        let context = context(vec![rule()], TABLES).await;
        for (sql, name, want) in [
            ("select a - 1 from t order by 1", "t.a - Int64(1)", "0 9223372036854775806"),
            ("select b + 1 from t order by 1", "t.b + Int64(1)", "-2147483647 2147483648"),
            ("select sum(d - arrow_cast(3, 'UInt32')) as s from t", "s", "2"),
            (
                "select a - 1 as n from t group by a - 1 order by a - 1",
                "n",
                "0 9223372036854775806",
            ),
            (
                "select a - 1, count(*) from t group by grouping sets ((a - 1)) order by a - 1",
                "t.a - Int64(1)",
                "0 9223372036854775806",
            ),
            ("select distinct a * 1 as m from t where d - d = 0 order by m limit 1 + 0", "m", "1"),
            ("select null + a from t", "NULL + t.a", " "),
            (
                "select b - 1 as n from t order by abs(d - d), ln(d * d)",
                "n",
                "2147483646 -2147483649",
            ),
        ] {
            let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
            let rows = concat_batches(&rows[0].schema(), &rows).unwrap();
            assert_eq!(rows.schema().field(0).name(), name, "{sql}");
            let texts = cast(rows.column(0), &DataType::Utf8).unwrap();
            let texts: Vec<&str> =
                texts.as_string::<i32>().iter().map(Option::unwrap_or_default).collect();
            assert_eq!(texts.join(" "), want, "{sql}");
        }
    }

    #[tokio::test]
    async fn a_chain_is_one_call_from_left_to_right() {
        let context = context(vec![rule()], TABLES).await;
        let sql = format!("select a{} - 1 - a as n from t where a < 5", " + a".repeat(150));
        let frame = context.sql(&sql).await.unwrap();
        let plan = frame.clone().into_optimized_plan().unwrap().display_indent().to_string();
        assert_eq!(plan.matches("checked_").count(), 2, "{plan}");
        let rows = frame.collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 149);
        // In between it does not fit.
        let sql = "select a + 1 - 1 from t where a > 5";
        assert!(context.sql(sql).await.unwrap().collect().await.is_err());
    }

    #[tokio::test]
    async fn what_always_fits_stays_an_operator() {
        let context = context(vec![rule()], TABLES).await;
        for (sql, stays) in [
            ("select b + 1 from t", true),
            ("select b * 3 - 7 from t", true),
            ("select (b + 1) * (b - 1) from t", true),
            ("select b + c from t", false),
            ("select a + 1 from t", false),
            ("select a / 2 from t", true),
        ] {
            let plan = context.sql(sql).await.unwrap().into_optimized_plan().unwrap();
            let plan = plan.display_indent().to_string();
            assert_eq!(!plan.contains("checked_"), stays, "{sql}\n{plan}");
        }
    }
}
