//! How long constant texts become by `||`, from the logical plan.
//!
//! `x || x` of a query that is `x || x` of another one, forty times, is a text of 2^40 letters, and the optimizer
//! computes it. Functions have a bound of their own; an operator has none.

use std::collections::HashMap;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use super::TooComplex;
use crate::error::PlanError;

/// Refuses a plan with constant texts of more than `most` bytes.
pub(crate) fn check_texts(plan: &LogicalPlan, most: u64) -> Result<(), PlanError> {
    let mut known = HashMap::new();
    let mut longest = 0;
    let _ = plan.apply_with_subqueries(|operator| {
        let columns = lengths(operator, &mut known);
        longest = longest.max(columns.iter().copied().max().unwrap_or(0));
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    if longest > most { Err(TooComplex::Constants { most }.into()) } else { Ok(()) }
}

/// Bytes of the constant text in each column; 0 for what is no constant, or not known to be one.
fn lengths(plan: &LogicalPlan, known: &mut HashMap<usize, Vec<u64>>) -> Vec<u64> {
    let at = std::ptr::from_ref(plan) as usize;
    if let Some(lengths) = known.get(&at) {
        return lengths.clone();
    }
    let columns = plan.schema().fields().len();
    let of = match plan {
        LogicalPlan::Projection(projection) => {
            let input = lengths(&projection.input, known);
            let schema = projection.input.schema();
            let length = |column: &datafusion::common::Column| {
                let index = schema.index_of_column(column).ok()?;
                input.get(index).copied()
            };
            projection.expr.iter().map(|expr| of_expr(expr, &length)).collect()
        }
        LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_) => match plan.inputs().first() {
            Some(input) => lengths(input, known),
            None => Vec::new(),
        },
        _ => vec![0; columns],
    };
    known.insert(at, of.clone());
    of
}

fn of_expr(expr: &Expr, column: &impl Fn(&datafusion::common::Column) -> Option<u64>) -> u64 {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::LargeUtf8(Some(text))
            | ScalarValue::Utf8View(Some(text)),
            _,
        ) => text.len() as u64,
        Expr::Column(name) => column(name).unwrap_or(0),
        Expr::Alias(alias) => of_expr(&alias.expr, column),
        Expr::Cast(cast) => of_expr(&cast.expr, column),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            of_expr(left, column).saturating_add(of_expr(right, column))
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn passes(sql: &str) -> bool {
        let state = SessionContext::new().state();
        check_texts(&state.create_logical_plan(sql).await.unwrap(), 1_000).is_ok()
    }

    #[tokio::test]
    async fn texts_that_double_are_measured_before_they_are_made() {
        let chain = |steps: usize| {
            let steps: Vec<_> = (0..steps)
                .map(|n| format!("c{} AS (SELECT x || x AS x FROM c{n} WHERE x > '')", n + 1))
                .collect();
            format!(
                "WITH c0 AS (SELECT 'x' AS x), {} SELECT * FROM c{}",
                steps.join(", "),
                steps.len()
            )
        };
        assert!(passes(&chain(9)).await);
        assert!(!passes(&chain(10)).await);
        assert!(!passes(&chain(90)).await);
        let inner = chain(90);
        assert!(!passes(&format!("SELECT 1 WHERE EXISTS ({inner})")).await);
    }
}
