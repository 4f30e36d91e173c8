//! SQL → physical plan → stages → tasks, and the codec that both ends share.
//!
//! A query is planned once, at the gateway, by plain DataFusion. The optimised physical plan is then
//! cut wherever rows must change hands, and each piece becomes a **stage** whose plan is an object:
//!
//! ```text
//!   SQL ─DataFusion─> physical plan ─normalise─> ─split─> stages ─encode─> plan objects
//!                                                             └─gate─ decode and compare
//!   SortPreservingMerge                     stage 2: SortPreservingMerge ← reader(1)      1 partition
//!     Sort                                  stage 1: Sort, AggregateFinal ← reader(0)     N partitions
//!       AggregateFinal            ==>       stage 0: Repartition(hash) AggregatePartial, scan
//!         Repartition(hash)
//!           AggregatePartial
//!             scan
//! ```
//!
//! What this crate promises: the stages, run anywhere in any order their inputs allow, give the rows
//! that the uncut plan gives in one process. What cannot be cut soundly runs as one task
//! ([`split`]), or is refused by the name of the operator ([`PlanError::Unsupported`]).

pub mod codec;
pub mod config;
mod crossing;
mod describe;
mod encode;
mod error;
mod explain;
pub mod fence;
mod filtered;
mod gate;
mod normalise;
mod planner;
pub mod prove;
mod scans;
pub mod session;
pub mod split;
mod statement;
pub mod stores;
pub mod task;
mod walk;
mod wire;

pub use dunlin_manifest::records::Route;
pub use error::PlanError;
pub use planner::{
    Explain, InlinePlan, Planned, Planner, QuerySettings, RouteMode, StageGraph, StatementKind,
};
