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
