//! EXISTS and IN in a list of values, by counting.
//!
//! ```text
//!  EXISTS (S)      (SELECT count(*) FROM S) > 0
//!  k IN (S)        (SELECT count(*) FROM S WHERE its column = k) > 0
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, Result};
use datafusion::functions_aggregate::count::count_all;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, binary_expr, lit,
};

/// The same value without EXISTS and IN, for which the engine has no join in a list of values: by counting.
pub(super) fn counted(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let done = expr.transform_down(|expr| {
        let counted = match expr {
            Expr::Exists(Exists { subquery, negated }) => {
                let op = if negated { Operator::Eq } else { Operator::Gt };
                binary_expr(count(&subquery)?, op, lit(0_i64))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let op = if negated { Operator::Eq } else { Operator::Gt };
                let equal = equal_to(&subquery, *expr, schema)?;
                binary_expr(count(&equal)?, op, lit(0_i64))
            }
            other => return Ok(Transformed::no(other)),
        };
        Ok(Transformed::new(counted, true, TreeNodeRecursion::Jump))
    })?;
    Ok(done.data)
}

/// The number of a subquery's rows.
fn count(subquery: &Subquery) -> Result<Expr> {
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
        .aggregate(Vec::<Expr>::new(), vec![count_all()])?
        .build()?;
    Ok(Expr::ScalarSubquery(subquery.with_plan(Arc::new(plan))))
}

/// The rows of a subquery whose only column has the value of an expression over the row around it.
fn equal_to(subquery: &Subquery, key: Expr, schema: &DFSchema) -> Result<Subquery> {
    let outer = key.transform_up(|part| {
        Ok(match part {
            Expr::Column(column) => {
                let field = Arc::clone(schema.field_from_column(&column)?);
                Transformed::yes(Expr::OuterReferenceColumn(field, column))
            }
            other => Transformed::no(other),
        })
    })?;
    let column = Expr::Column(Column::from(subquery.subquery.schema().qualified_field(0)));
    let filter = Filter::try_new(column.eq(outer.data), Arc::clone(&subquery.subquery))?;
    let plan = Arc::new(LogicalPlan::Filter(filter));
    let outer_ref_columns = plan.all_out_ref_exprs();
    Ok(Subquery { outer_ref_columns, ..subquery.with_plan(plan) })
}
