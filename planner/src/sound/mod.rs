//! Where the engine's own rewriting of a statement would change its rows ([0037](../../../docs/decisions/0037-statements.md)).
//!
//! ```text
//!  text ─> syntax tree ─named_windows, distinct_from─> plan ─> the engine's analyser ─set_operations, subqueries,
//!      casts, overflow─> the engine's optimiser
//! ```

mod casts;
mod distinct_from;
mod named_windows;
mod overflow;
mod set_operations;
mod subqueries;

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::sql::parser::{ExplainStatement, Statement};

use self::distinct_from::regroup;
use self::named_windows::resolve;

/// Puts the syntax of a statement right.
///
/// # Errors
/// A window that cannot be what it says: what to tell the client.
pub(crate) fn put_right(statement: &mut Statement) -> Result<(), String> {
    match statement {
        Statement::Statement(statement) => {
            regroup(statement.as_mut());
            resolve(statement.as_mut())
        }
        Statement::Explain(ExplainStatement { statement, .. }) => put_right(statement),
        _ => Ok(()),
    }
}

/// The engine's analyser, and the rules around it.
pub fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = Analyzer::new().rules;
    // After it has made types equal.
    rules.push(set_operations::rule());
    rules.push(subqueries::rule());
    rules.push(casts::rule());
    rules.push(overflow::rule());
    rules
}

/// The plan with other expressions of its own, under the names that they had.
fn with_expressions(
    plan: LogicalPlan,
    mut other: impl FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    let plan = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(other(expr)?.update_data(|expr| name.restore(expr)))
    })?;
    if plan.transformed { plan.map_data(LogicalPlan::recompute_schema) } else { Ok(plan) }
}

/// Whether times without a zone are the same times in this one.
pub(crate) fn is_utc(zone: Option<&str>) -> bool {
    matches!(zone, None | Some("UTC" | "+00:00" | "Etc/UTC" | "Z"))
}

/// The least and the greatest whole number of a type, and its digits after the point.
fn whole(data_type: &DataType) -> Option<(i128, i128, i8)> {
    use DataType::{
        Decimal32, Decimal64, Decimal128, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64,
    };
    let signed = |bits: u32| (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1, 0);
    let unsigned = |bits: u32| (0, (1_i128 << bits) - 1, 0);
    Some(match data_type {
        Int8 => signed(8),
        Int16 => signed(16),
        Int32 => signed(32),
        Int64 => signed(64),
        UInt8 => unsigned(8),
        UInt16 => unsigned(16),
        UInt32 => unsigned(32),
        UInt64 => unsigned(64),
        Decimal32(precision, scale)
        | Decimal64(precision, scale)
        | Decimal128(precision, scale) => {
            let digits = u32::try_from(i16::from(*precision) - i16::from(*scale)).unwrap_or(0);
            let most = 10_i128.checked_pow(digits).map_or(i128::MAX, |end| end - 1);
            (-most, most, *scale)
        }
        _ => return None,
    })
}

/// A session with the engine's analyser and these rules, and the tables that these statements make.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
async fn context(
    own: Vec<Arc<dyn AnalyzerRule + Send + Sync>>,
    tables: &[&str],
) -> datafusion::prelude::SessionContext {
    let mut rules = Analyzer::new().rules;
    rules.extend(own);
    let state = datafusion::execution::SessionStateBuilder::new()
        .with_default_features()
        .with_analyzer_rules(rules)
        .build();
    let context = datafusion::prelude::SessionContext::new_with_state(state);
    for table in tables {
        context.sql(table).await.unwrap().collect().await.unwrap();
    }
    context
}
