//! Which limit a statement exceeds: the message for the user, and what to do about it.

use std::time::Duration;

/// How many levels of nested expressions the parser reads: the engine's default.
pub(crate) const PARSER_NESTING: usize = 50;

/// Which limit a statement exceeds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooComplex {
    /// Deeper than allowed.
    #[error(
        "the statement is nested {found} levels deep, at most {most} are allowed ([planning] max_depth); a chain of operators or UNIONs counts a level a link: put long lists in a table or in IN (…)"
    )]
    Depth {
        /// Levels of the statement.
        found: usize,
        /// `max_depth`.
        most: usize,
    },
    /// Deeper than the parser reads.
    #[error(
        "the statement has expressions or subqueries nested over {most} deep; name inner parts by WITH"
    )]
    Nesting {
        /// Nested expressions that the parser reads.
        most: usize,
    },
    /// Too many nested calls that the parser may read twice.
    #[error(
        "the statement has over {most} calls of words with a grammar of their own (CAST, POSITION, SUBSTRING, TRIM, NOT (…), …) in one another; name inner parts by WITH"
    )]
    Calls {
        /// The most that are read.
        most: usize,
    },
    /// A name of too many parts.
    #[error(
        "the statement has a name of over {most} parts (a.b.c has three); name the inner fields in a subquery"
    )]
    Parts {
        /// The most that are read.
        most: usize,
    },
    /// Too many WITH in WITH.
    #[error(
        "the statement has over {most} WITH in one another; write their parts one after the other"
    )]
    Withs {
        /// The most that are planned.
        most: usize,
    },
    /// Too many grouping sets.
    #[error(
        "a GROUP BY of the statement has over {most} grouping sets, or too many columns in them, once CUBE and ROLLUP are written out; name the sets that you need"
    )]
    GroupingSets {
        /// The most that are planned.
        most: usize,
    },
    /// The plan is deeper than allowed.
    #[error(
        "the plan is {found} levels deep, at most {most} are allowed ([planning] max_plan_depth); a common table expression that names the one before it counts its operators and expressions on top of that one's"
    )]
    PlanDepth {
        /// Levels of the plan.
        found: usize,
        /// `max_plan_depth`.
        most: usize,
    },
    /// Too many columns.
    #[error(
        "a query of the statement has over {most} columns once every * is written out ([planning] max_columns); name the columns that you need"
    )]
    Columns {
        /// `max_columns`.
        most: usize,
    },
    /// Too many operators.
    #[error(
        "the plan has over {most} operators once every common table expression is written out where it is named ([planning] max_operators); split the statement, or store what is named often"
    )]
    Operators {
        /// `max_operators`.
        most: usize,
    },
    /// Too many expressions.
    #[error(
        "the plan has over {most} expressions once everything is written out ([planning] max_expressions); put long lists in a table, and name fewer columns"
    )]
    Expressions {
        /// `max_expressions`.
        most: usize,
    },
    /// Constants that are too large.
    #[error(
        "the constants of the statement have over {most} bytes once they are computed; put long texts and lists in a table"
    )]
    Constants {
        /// [`dunlin_plan::functions::MOST_CONSTANT_BYTES`].
        most: u64,
    },
    /// A type of too many fields.
    #[error(
        "a column of the statement has a type of over {most} fields once it is written out; struct(x, x) of itself doubles"
    )]
    Type {
        /// The most that are planned.
        most: usize,
    },
    /// Rows that are read when the statement is planned are too many.
    #[error("{0}")]
    Snapshot(String),
    /// Planning took too long.
    #[error(
        "planning took over {} s ([planning] time_limit_ms); name fewer files, tables and columns",
        .most.as_secs()
    )]
    PlanningTime {
        /// `time_limit_ms`.
        most: Duration,
    },
}
