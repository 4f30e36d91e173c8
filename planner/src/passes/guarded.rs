//! Conditions that protect those beside them.
//!
//! ```text
//!  b <> 0 AND a / b > 1      the engine: both for every row, and a division by zero is an error
//!                            here:       b <> 0 AND CASE WHEN b <> 0 THEN a / b > 1 END
//!  b = 0 OR a / b > 1        here:       CASE WHEN b = 0 THEN true ELSE a / b > 1 END
//! ```
//! Filters of a statement and of what it selects from become one filter. A part that may fail is asked only for rows that
//! pass the parts that cannot fail, and the parts that may fail before it. A filter keeps what is true, so NULL in the place
//! of false is the same.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, CastExpr, Literal, case, lit};
use datafusion::physical_expr::utils::split_disjunction;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, conjunction, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use dunlin_plan::functions::is_checked;

use crate::passes::rewrite::{Rewrite, Rewritten, Rule};
use crate::tables::carries;

type Condition = Arc<dyn PhysicalExpr>;

/// Conditions that may fail and are asked one after the other.
const MOST_LINKED: usize = 8;

/// The pass.
pub(super) fn rule() -> Rule {
    Rewrite::rule("guarded", guard)
}

fn guard(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    let Some(filter) = node.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(node)) };
    let schema = filter.input().schema();
    if !may_fail(filter.predicate(), &schema)? {
        return Ok(Transformed::no(node));
    }
    let Some(predicate) = guarded(filter.predicate(), &schema)? else {
        return Ok(Transformed::no(node));
    };
    let filter = FilterExecBuilder::from(filter).with_predicate(predicate).build()?;
    Ok(Transformed::yes(Arc::new(filter)))
}

/// A condition of a filter that may fail, with the parts that may under the others; `None` if it has no parts.
fn guarded(condition: &Condition, schema: &Schema) -> Result<Option<Condition>> {
    let parts = split_conjunction(condition);
    if parts.len() > 1 {
        let (sure, risky) = divided(&parts, schema)?;
        let protected =
            chained(risky, Operator::And, |first, rest| case(None, vec![(first, rest)], None))?;
        let protected = match sure.is_empty() {
            true => protected,
            false => case(None, vec![(conjunction(sure.clone()), protected)], None)?,
        };
        return Ok(Some(conjunction(sure.into_iter().chain([protected]))));
    }
    let parts = split_disjunction(condition);
    if parts.len() > 1 {
        let (sure, risky) = divided(&parts, schema)?;
        let either = |first, rest| case(None, vec![(first, lit(true))], Some(rest));
        let risky = chained(risky, Operator::Or, either)?;
        return Ok(Some(match joined(sure, Operator::Or) {
            Some(sure) => either(sure, risky)?,
            None => risky,
        }));
    }
    Ok(None)
}

/// The parts that cannot fail, and those that may, which are guarded inside.
fn divided(parts: &[&Condition], schema: &Schema) -> Result<(Vec<Condition>, Vec<Condition>)> {
    let (mut sure, mut risky) = (Vec::new(), Vec::new());
    for part in parts {
        match may_fail(part, schema)? {
            true => risky.push(guarded(part, schema)?.unwrap_or_else(|| Arc::clone(part))),
            false => sure.push(Arc::clone(part)),
        }
    }
    Ok((sure, risky))
}

/// Each of the conditions, of which there is one or more, only where `link` with those before it asks for it. Many are
/// joined by `operator` instead: what is sent to workers may not be nested deeply.
fn chained(
    conditions: Vec<Condition>,
    operator: Operator,
    link: impl Fn(Condition, Condition) -> Result<Condition>,
) -> Result<Condition> {
    if conditions.len() > MOST_LINKED {
        return Ok(joined(conditions, operator).unwrap_or_else(|| lit(true)));
    }
    let mut backwards = conditions.into_iter().rev();
    let last = backwards.next().unwrap_or_else(|| lit(true));
    backwards.try_fold(last, |rest, first| link(first, rest))
}

fn joined(conditions: Vec<Condition>, by: Operator) -> Option<Condition> {
    let join = |left, right| Arc::new(BinaryExpr::new(left, by, right)) as Condition;
    conditions.into_iter().reduce(join)
}

/// Whether a condition may be an error for some row. CASE protects what is behind its first condition.
pub(super) fn may_fail(condition: &Condition, schema: &Schema) -> Result<bool> {
    let mut found = false;
    condition.apply(|expr| {
        if let Some(case) = expr.downcast_ref::<CaseExpr>() {
            let first = case.when_then_expr().first().map(|(when, _)| when);
            for asked in case.expr().into_iter().chain(first) {
                found |= may_fail(asked, schema)?;
            }
            return Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Jump });
        }
        found |= fails(expr, schema)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether this operator may be an error for values that its operands can have.
fn fails(expr: &Condition, schema: &Schema) -> Result<bool> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let divides = matches!(binary.op(), Operator::Divide | Operator::Modulo);
        let right = binary.right();
        return Ok(divides && !right.data_type(schema)?.is_floating() && !is_constant(right));
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let from = cast.expr().data_type(schema)?;
        return Ok(!is_constant(cast.expr()) && may_not_fit(&from, cast.cast_type()));
    }
    let function = expr.downcast_ref::<ScalarFunctionExpr>().map(|function| function.fun().name());
    Ok(function.is_some_and(|name| is_checked(name) || name.starts_with("to_")))
}

/// A constant that is an error is one for every row.
fn is_constant(expr: &Condition) -> bool {
    expr.is::<Literal>()
}

fn may_not_fit(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Dictionary(_, from), to) => may_not_fit(from, to),
        (from, DataType::Dictionary(_, to)) => may_not_fit(from, to),
        (from, to) if from.is_string() => !to.is_string() && !to.is_binary(),
        (from, to) if from.is_integer() && to.is_integer() => !carries(from, to),
        (from, to) => from.is_numeric() && to.is_integer(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::physical_plan::{collect, displayable};
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn context() -> SessionContext {
        let context = SessionContext::new_with_state(dunlin_plan::functions::session());
        context
            .sql(
                "create table t as select * from (values (1, 10, 0, '1'), (2, 10, 2, 'x'), (3, 10, 0, '3'), \
                 (4, null, 5, null), (5, 10, 5, '9'), (6, 10, null, '7')) as v (id, a, b, s)",
            )
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        context
    }

    #[tokio::test]
    async fn a_condition_protects_those_beside_it_and_below_it() {
        let context = context().await;
        for (condition, expected) in [
            ("b <> 0 and a / b > 1", vec![2, 5]),
            ("a / b > 1 and b <> 0", vec![2, 5]),
            ("a % b = 0 and b > 0 and id > 2", vec![5]),
            ("b = 0 or a / b > 2", vec![1, 2, 3]),
            ("a / b > 2 or b = 0", vec![1, 2, 3]),
            ("b is null or b = 0 or a / b > 2", vec![1, 2, 3, 6]),
            ("not (b = 0) and not (a / b > 2)", vec![5]),
            ("id <> 2 and cast(s as int) > 2", vec![3, 5, 6]),
            ("id <> 2 and (id = 1 or cast(s as int) > 5)", vec![1, 5, 6]),
            ("id <> 2 and b <> 0 and cast(s as int) > 2 and a / b > 1", vec![5]),
            ("id <> 2 and cast(s as int) <> 0 and 9 / cast(s as int) = 3", vec![3]),
            ("case when b <> 0 then a / b else 0 end > 1", vec![2, 5]),
            // Of this CASE the engine makes AND and OR.
            ("id > 0 and case when b <> 0 then a / b > 1 end", vec![2, 5]),
            ("id in (2, 3) or (b <> 0 and a / b = 2)", vec![2, 3, 5]),
        ] {
            let sql = format!("select id from t where {condition} order by id");
            let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
            let plan = rule().optimize(plan, &Default::default()).unwrap();
            let text = displayable(plan.as_ref()).indent(false).to_string();
            let rows = collect(plan, context.task_ctx()).await;
            let rows = rows.unwrap_or_else(|error| panic!("{condition}: {error}\n{text}"));
            let ids =
                rows.iter().flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().iter());
            assert_eq!(ids.flatten().collect::<Vec<_>>(), expected, "{condition}\n{text}");
        }
    }

    #[tokio::test]
    async fn many_conditions_are_not_nested() {
        let context = context().await;
        for (by, expected) in [(" and ", 0), (" or ", 3)] {
            let all: Vec<String> =
                (0..60).map(|number| format!("cast(s as int) + id = {}", number * 2)).collect();
            let sql = format!("select id from t where id <> 2 and ({})", all.join(by));
            let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
            let plan = rule().optimize(plan, &Default::default()).unwrap();
            let text = displayable(plan.as_ref()).indent(false).to_string();
            assert!(text.matches("CASE").count() <= 1, "{text}");
            let rows = collect(plan, context.task_ctx()).await.unwrap();
            assert_eq!(rows.iter().map(|rows| rows.num_rows()).sum::<usize>(), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn what_cannot_fail_and_what_is_protected_stays_as_it_is() {
        let context = context().await;
        for condition in [
            "b <> 0 and a / 2 > 1",
            "b <> 0 and a + b > 1",
            "b <> 0 and cast(a as double) / b > 1.0",
            "a / b > 1",
            "id > 1 and cast(b as varchar) = '2'",
        ] {
            let sql = format!("select id from t where {condition}");
            let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
            let before = displayable(plan.as_ref()).indent(false).to_string();
            let plan = rule().optimize(plan, &Default::default()).unwrap();
            assert_eq!(displayable(plan.as_ref()).indent(false).to_string(), before);
        }
        let sql = "select id from t where b <> 0 and a / b > 1";
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let once = rule().optimize(plan, &Default::default()).unwrap();
        let twice = rule().optimize(Arc::clone(&once), &Default::default()).unwrap();
        assert_eq!(
            displayable(once.as_ref()).indent(false).to_string(),
            displayable(twice.as_ref()).indent(false).to_string()
        );
    }
}
