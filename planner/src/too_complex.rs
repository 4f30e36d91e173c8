//! Which limit a statement is over: what a user is told, and what to do about it.

use std::time::Duration;

/// Which limit a statement is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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
