//! The stage worker: looks for queries in the store, claims tasks, runs them, and moves queries on.
//!
//! ```text
//!   idle ──bell or pause──> look ─> advance ─> claim ─> run ─> commit ─┐
//!     ^                       ^                                        │ look again at once: the
//!     └── nothing to do ──────┴────────────────────────────────────────┘ worker that sealed goes on
//! ```
//! A worker listens on nothing, knows no other process, and keeps nothing that a query needs: it may be
//! killed at any instruction. `slots` of these loops share one process: its memory pool, its caches, and
//! one handle a query.
//!
//! ```text
//!   worker ──> slot ──> attempt ──> run         one file each; arrows say what uses what
//!     └──> bell   │        ├──> pulse
//!            └────┴────────┴──> shared ──> known, options
//! ```

mod attempt;
mod bell;
mod compute;
mod known;
mod options;
mod pulse;
mod run;
mod shared;
mod slot;
mod worker;

pub use attempt::AttemptOutcome;
pub use options::WorkerOptions;
pub use run::AttemptError;
pub use worker::{StartError, Worker};
