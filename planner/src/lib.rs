//! Planning: SQL → logical plan → physical plan → stages → records. The gateway and the command use this crate, and
//! no worker does.
//!
//! ```text
//!  text ─statement─> parsed ─tables─> logical plan ─DataFusion, passes─> physical plan (a draft)
//!                                                                             │ route
//!                                     ┌── inline ─────────────────────────────┤
//!                                     v                                       v fleet
//!                                a plan that runs here        stages ─encode─> records and plan objects
//!                                                             (each decoded again and compared)
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`config`], [`gateway_config`] | `dunlin.toml` |
//! | [`cost`] | prices, and what a query costs or is expected to cost |
//! | `statement` | parses a statement once: its kind, the tables it names |
//! | `complexity` | limits on statements |
//! | `mistakes` | wrong statements: what, where, and what to do |
//! | `tables` | reads the tables that a statement names |
//! | `passes` | changes to a plan before the cut, one pass in each file |
//! | [`stages`] | the cut, and what is proved about each stage |
//! | `encode` | encodes stages as records and objects; a gate decodes and compares them |
//! | `describe` | describes plans as text, completely |
//! | `route` | where a query runs, and why |
//! | `explain` | how a query would run: text, JSON, drawings |
//!
//! What this crate promises: the stages give the rows that the whole plan gives in one process, on any workers and in
//! any order that their inputs allow. A part that cannot be cut correctly runs as one task, or is refused with the
//! name of the operator ([`PlanError::Unsupported`]).

mod catalog;
mod complexity;
pub mod config;
pub mod cost;
mod describe;
mod described;
mod draft;
mod encode;
mod error;
mod explain;
pub mod gateway_config;
mod grants;
mod inline;
mod mistakes;
mod operators;
mod passes;
mod physical;
mod place;
mod planned;
mod planner;
mod route;
mod scans;
mod settings;
mod sight;
mod snapshots;
mod sound;
pub mod stages;
mod statement;
mod tables;
mod tokens;
mod too_complex;
mod writes;

pub use catalog::TableName;
pub use complexity::StatementLimits;
pub use described::{Described, plan_schema};
pub use error::{Cause, PlanError};
pub use explain::{ExplainFormat, Explained, Moved, Reads, StageView, Step, TasksView};
pub use grants::Grants;
pub use inline::InlinePlan;
pub use mistakes::Mistake;
pub use place::{DEFAULT_CATALOG, DEFAULT_SCHEMA};
pub use planned::{Explain, Explanation, Planned, StageGraph};
pub use planner::{Planner, Signature, parameters, with_nulls};
pub use route::{Route, RouteReason};
pub use settings::{QuerySettings, RouteMode};
pub use snapshots::{SYSTEM_SCHEMA, SnapshotError, SnapshotSchema, Snapshots, Wanted};
pub use sound::analyzer_rules;
pub use statement::{MOST_PARAMETERS, ParsedStatement, StatementKind, parameter_of_json};
pub use too_complex::TooComplex;

#[cfg(test)]
mod tests;
