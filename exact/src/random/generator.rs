//! The state of one random query while it is generated: random numbers, names, available tables, and what an
//! expression at a place may refer to. The other files of this folder generate its parts.

use crate::random::ast::{Expr, Key, Over, Type};
use crate::random::tables::Table;
use crate::rng::Rng;

/// Types that can be ordered, grouped and joined by.
pub(crate) const KEYS: [Type; 7] =
    [Type::Int, Type::Double, Type::Decimal, Type::Text, Type::Bool, Type::Date, Type::Timestamp];

/// Generates one query.
pub(crate) struct Generator<'a> {
    pub(crate) rng: Rng,
    pub(crate) tables: &'a [Table],
    pub(crate) ctes: Vec<Table>,
    pub(crate) names: usize,
    /// The prefix of the names of a query's columns.
    pub(crate) columns: String,
    /// A window that the next one may reverse, and the total order for which it was made.
    pub(crate) opposite: Option<(Vec<Expr>, Over)>,
}

/// The surroundings of a query.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Levels of nesting that are left.
    pub(crate) depth: usize,
    /// Maximum number of relations of a FROM.
    pub(crate) relations: usize,
    /// Columns of the surrounding query that a condition may refer to.
    pub(crate) outer: &'a [Expr],
}

/// What an expression may refer to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) columns: Vec<Expr>,
    /// After GROUP BY: the keys, which may be used together with aggregates of `columns`.
    pub(crate) keys: Option<Vec<Expr>>,
    /// Columns that together order the rows totally, except for rows that are equal in everything.
    pub(crate) total: Vec<Expr>,
    /// Window functions may be used.
    pub(crate) windows: bool,
    /// How deep subqueries may nest; 0 for none.
    pub(crate) subqueries: usize,
    /// Subqueries may refer to the columns here.
    pub(crate) correlate: bool,
    /// The subqueries that may be used as conditions.
    pub(crate) tests: Tests,
}

/// Which subqueries may be used as conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tests {
    #[default]
    None,
    Exists,
    /// EXISTS and IN.
    All,
}

impl Scope {
    /// The same without windows and subqueries: for arguments.
    pub(crate) fn plain(&self) -> Self {
        Self { windows: false, subqueries: 0, ..self.clone() }
    }

    /// The rows below the grouping.
    pub(crate) fn ungrouped(&self) -> Self {
        Self { keys: None, ..self.plain() }
    }
}

impl<'a> Generator<'a> {
    pub(crate) fn new(rng: Rng, tables: &'a [Table]) -> Self {
        Self { rng, tables, ctes: Vec::new(), names: 0, columns: "c".to_owned(), opposite: None }
    }

    /// A name that is unique in the query.
    pub(crate) fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// A sort key in any direction.
    pub(crate) fn key(&mut self, expr: Expr) -> Key {
        Key { expr, descending: self.rng.one_in(2), nulls_first: self.rng.one_in(2) }
    }
}
