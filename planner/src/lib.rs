//! Planning: SQL → logical plan → physical plan → stages → records. What the gateway and the command know, and
//! no worker.
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
//! | `statement` | parses a statement once: its kind, the tables it names |
//! | `complexity` | bounds on what a statement may be |
//! | `tables` | reads the tables that a statement names |
//! | `passes` | what is changed about a plan before the cut, one pass a file |
//! | [`stages`] | the cut, and what is proved about each piece |
//! | `encode` | stages as records and objects, behind a gate that decodes and compares |
//! | `describe` | plans as text, complete |
//! | `route` | where a query runs, and why |
//! | `explain` | the stages as people read them |
//!
//! What this crate promises: the stages, run anywhere in any order their inputs allow, give the rows that the
//! uncut plan gives in one process. What cannot be cut soundly runs as one task, or is refused by the name of
//! the operator ([`PlanError::Unsupported`]).

mod complexity;
pub mod config;
mod describe;
mod draft;
mod encode;
mod error;
mod explain;
pub mod gateway_config;
mod inline;
mod operators;
mod passes;
mod physical;
mod planned;
mod planner;
mod route;
mod scans;
mod settings;
pub mod stages;
mod statement;
mod tables;
mod too_complex;

pub use complexity::StatementLimits;
pub use error::{Cause, PlanError};
pub use inline::InlinePlan;
pub use planned::{Explain, Planned, StageGraph};
pub use planner::Planner;
pub use route::{Route, RouteReason};
pub use settings::{QuerySettings, RouteMode};
pub use statement::{ParsedStatement, StatementKind};
pub use too_complex::TooComplex;

#[cfg(test)]
mod tests;
