//! Where the engine's own rewriting of a statement would change its rows ([0037](../../../docs/decisions/0037-statements.md)).
//!
//! ```text
//!  text ─> syntax tree ─named_windows, distinct_from─> plan ─> the engine's analyser ─set_operations, subqueries,
//!      casts─> the engine's optimiser
//! ```

mod casts;
mod distinct_from;
mod named_windows;
mod set_operations;
mod subqueries;

use std::sync::Arc;

use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::Analyzer;

pub(crate) use distinct_from::regroup;
pub(crate) use named_windows::resolve;

/// The engine's analyser, and the rules around it.
pub fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = Analyzer::new().rules;
    // After it has made types equal.
    rules.push(set_operations::rule());
    rules.push(subqueries::rule());
    rules.push(casts::rule());
    rules
}
