//! Statements that write: COPY, INSERT and CREATE TABLE AS.
//!
//! ```text
//!  text ─asked─> a query, a target, options
//!                   │       └─place─> may it be written to? is something there?
//!                   v
//!        plan ─columns (INSERT)─> plan ─wrap─> WriteExec in each partition ─> CommitExec
//! ```
//! What the operators do, and why nothing is written twice, is in [`dunlin_plan::write`].

mod asked;
mod columns;
mod error;
mod options;
mod place;
mod plan;
mod reader;
mod wrap;

pub(crate) use self::asked::{Asked, Target, asked};
pub(crate) use self::place::Permission;
pub(crate) use self::plan::{Write, Writes};
