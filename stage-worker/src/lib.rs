//! The stage worker: looks for queries in the store, claims tasks, runs them, and advances queries.
//!
//! ```text
//!   idle ──bell or pause──> look ─> advance ─> claim ─> run ─> commit ─┐
//!     ^                       ^                                        │ look again at once: the
//!     └── nothing to do ──────┴────────────────────────────────────────┘ worker that sealed continues
//! ```
//! A worker listens on no port, knows no other process, and keeps nothing that a query needs, so it may be killed at
//! any moment. One process runs `slots` of these loops. They share its memory pool, its caches, and one handle for
//! each query.
//!
//! ```text
//!   worker ──> slot ──> attempt ──> run         one file each; an arrow means "uses"
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
