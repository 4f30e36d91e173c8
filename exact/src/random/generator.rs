//! The state of one random query while it is made: numbers, names, tables in reach, and what an
//! expression at a place may refer to. How its parts are made is in the other files of this folder.

use crate::random::ast::{Expr, Key, Over, Type};
use crate::random::tables::Table;
use crate::rng::Rng;

/// Types that order, group and join.
pub(crate) const KEYS: [Type; 7] =
    [Type::Int, Type::Double, Type::Decimal, Type::Text, Type::Bool, Type::Date, Type::Timestamp];

/// Makes one query.
pub(crate) struct Generator<'a> {
    pub(crate) rng: Rng,
    pub(crate) tables: &'a [Table],
    pub(crate) ctes: Vec<Table>,
    pub(crate) names: usize,
    /// How the names of a query's columns begin.
    pub(crate) columns: String,
    /// A window that the next one may turn around, and the total order it was made for.
    pub(crate) opposite: Option<(Vec<Expr>, Over)>,
}

/// What surrounds a query.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Levels of nesting that are left.
    pub(crate) depth: usize,
    /// Relations of a FROM, at most.
    pub(crate) relations: usize,
    /// Columns of the surrounding query that a condition may refer to.
    pub(crate) outer: &'a [Expr],
}

/// What an expression may refer to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) columns: Vec<Expr>,
    /// After GROUP BY: the keys, which stand beside aggregates of `columns`.
    pub(crate) keys: Option<Vec<Expr>>,
    /// Columns that together order the rows totally, up to rows that are alike in everything.
    pub(crate) total: Vec<Expr>,
    /// Window functions may be used.
    pub(crate) windows: bool,
    /// How deep subqueries may nest; 0 for none.
    pub(crate) subqueries: usize,
    /// Subqueries may refer to the columns here.
    pub(crate) correlate: bool,
    /// The subqueries that stand as conditions.
    pub(crate) tests: Tests,
}

/// Which subqueries may stand as conditions.
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

    /// A name that nothing else in the query has.
    pub(crate) fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// A sort key in any direction.
    pub(crate) fn key(&mut self, expr: Expr) -> Key {
        Key { expr, descending: self.rng.one_in(2), nulls_first: self.rng.one_in(2) }
    }
}
