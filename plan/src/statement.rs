//! Telling EXPLAIN ANALYZE from a query.
//!
//! It must be known in two places: after planning, where the plan below `Analyze` is what runs, and
//! before it, where an idempotency key stands for a query that is already there and will not be planned
//! again.

use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::logical_plan::{Analyze, ExplainFormat};
use datafusion::sql::parser::Statement;

use crate::PlanError;
use crate::planner::StatementKind;

/// The plan that an analysis runs.
///
/// # Errors
/// [`PlanError::Unsupported`] for options that the answer would silently ignore.
pub(crate) fn analyzed(analyze: &Analyze) -> Result<(LogicalPlan, StatementKind), PlanError> {
    let refused = |reason: &str| PlanError::Unsupported {
        operator: "EXPLAIN ANALYZE".to_owned(),
        reason: reason.to_owned(),
    };
    if analyze.format != ExplainFormat::Indent {
        return Err(refused("the analysis has one format; leave FORMAT out"));
    }
    if analyze.analyze_level.is_some() || analyze.analyze_categories.is_some() {
        return Err(refused("the analysis shows all it knows; leave LEVEL and METRICS out"));
    }
    if matches!(analyze.input.as_ref(), LogicalPlan::Analyze(_) | LogicalPlan::Explain(_)) {
        return Err(refused("it cannot be nested"));
    }
    let kind = StatementKind::Analyze { verbose: analyze.verbose };
    Ok((analyze.input.as_ref().clone(), kind))
}

/// What kind of statement a text is.
pub(crate) fn kind(state: &SessionState, sql: &str) -> StatementKind {
    let dialect = state.config_options().sql_parser.dialect;
    match state.sql_to_statement(sql, &dialect) {
        Ok(Statement::Explain(explain)) if explain.options.analyze => {
            StatementKind::Analyze { verbose: explain.options.verbose }
        }
        Ok(Statement::Explain(_)) => StatementKind::Explain,
        Ok(_) | Err(_) => StatementKind::Query,
    }
}
