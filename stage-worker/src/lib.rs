//! The stage worker: looks for queries in the store, claims tasks, runs them, and advances queries.
//!
//! ```text
//!   idle ──bell or pause──> look ─> advance ─> claim, and run ─> commit, beside the next task
//!     ^                       ^                  │         ^                  │
//!     └── nothing to do ──────┴── nothing known ─┘         └── what is known ─┘
//! ```
//! A worker listens on no port, knows no other process, and keeps nothing that a query needs, so it may be killed at
//! any moment. One process runs `slots` of these loops. They share its memory pool, its caches, and one handle for
//! each query.
//!
//! ```text
//!   worker ──> slot ──> attempt, ahead ──> run         one file each; an arrow means "uses"
//!     │   ^  │    │        ├──> commit, claiming, pulse, failure
//!     │   └ bell  ├──> settling ──> commit, duty
//!     │           ├──> choice, looks, ledger
//!     └── replay ─┴────────┴──> shared ──> known, crowd ──> options      replay: a past task again, to look at it
//! ```

mod ahead;
mod attempt;
mod bell;
mod choice;
mod claiming;
mod commit;
mod compute;
mod counted;
mod crowd;
mod duty;
mod failure;
mod finding;
#[cfg(test)]
mod fleet;
mod known;
mod ledger;
mod looks;
mod news;
mod options;
mod pulse;
mod replay;
mod rest;
mod run;
mod settling;
mod shared;
mod shares;
mod slot;
mod streak;
mod turn;
mod worker;

pub use dunlin_manifest::query::Wake;
pub use failure::AttemptError;
pub use ledger::Paid;
pub use options::{Pool, WorkerOptions};
pub use replay::{
    Done, Operator, Outline, ReplayError, Replayed, StageOutline, TaskOutline, Verdict, Winner,
};
pub use worker::{StartError, Visit, Visited, Worker, new_name};
