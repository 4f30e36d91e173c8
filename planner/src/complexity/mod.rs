//! Limits on statements, so that no text crashes or blocks a process.
//!
//! ```text
//!  text ──tokens──> how deep will the tree be?   before anything is built: a tree that is too deep cannot even
//!                                                be dropped without a deep stack
//!  syntax tree ──> how many relations and columns will it have?
//!                                                before anything is planned: `a.*, b.*` doubles at every step
//!  logical plan ──> how large is it, written out? thirty WITH that each name the one before twice
//!                                                are a short text and 2^30 scans
//! ```
//!
//! A chain (`a OR b OR …`, `SELECT … UNION ALL SELECT …`) is as deep as its number of links, because parsers and
//! planners nest it. The limits are in the configuration. Threads that plan have the stack that the limits need.

mod cases;
mod columns;
mod named;
mod plan;
mod text;
mod texts;
mod types;

pub(crate) use cases::check_cases;
pub(crate) use columns::check_columns;
pub(crate) use named::check_named;
pub(crate) use plan::{check_constants, check_plan};
pub(crate) use text::check_text;
pub(crate) use texts::check_texts;
pub(crate) use types::check_types;

use crate::too_complex::TooComplex;

/// The limits on a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementLimits {
    /// Levels of a statement's syntax tree. A level is a parenthesis, a CASE, or a link of a chain of operators, of
    /// UNIONs or of joins.
    pub max_depth: usize,
    /// Levels of the logical plan: operators on the way to its deepest leaf, with the expressions in them.
    pub max_plan_depth: usize,
    /// Columns of any query of the statement, also of inner ones, with every `*` written out.
    pub max_columns: usize,
    /// Operators of the logical plan, written out: a common table expression counts each time it is named.
    pub max_operators: usize,
    /// Expressions of the logical plan, written out.
    pub max_expressions: usize,
}

impl Default for StatementLimits {
    fn default() -> Self {
        Self {
            max_depth: 1_000,
            max_plan_depth: 2_000,
            max_columns: 5_000,
            max_operators: 10_000,
            max_expressions: 500_000,
        }
    }
}
