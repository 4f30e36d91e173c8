//! The gateway of Dunlin: takes SQL, answers rows, and keeps nothing that a query needs.
//!
//! ```text
//!               ┌──────────────── gateway ─────────────────┐
//!  POST /v1/sql │ request → plan ─ inline ─> run here ──┐   │
//!  ─────────────>                └ fleet ─> submit       ├──> answer (JSON, JSONL, CSV, Arrow)
//!               │                            │   watch ──┘   │
//!               └────────────────────────────┼─────▲─────────┘
//!                                            v     │ end, seal
//!                                      object store: root … claims … seal, end
//! ```
//!
//! What this crate promises:
//! - **Any gateway answers for any query.** Everything about a query is rebuilt from the store's
//!   objects: a gateway that was started after the one that took the query died watches it, repairs
//!   what was left half done ([`serve`] runs a sweeper), ends it, and serves its rows.
//! - **A lost connection loses nothing.** A submit, once begun, runs to its end whoever hangs up; a
//!   retry with the same `Idempotency-Key` finds the same query on any gateway.
//! - **Answers stream.** No answer is collected; see `http/answer.rs` for how errors stay typed anyway.
//! - **The door has locks** ([`auth`], [`DoorOptions`]): keys, TLS, and limits for every client, slow or greedy.
//!   Queries belong to the keys that submitted them.
//! - **Bad input is an answer, not a crash**: every refusal is `application/problem+json`.
//!
//! A bare `POST /v1/sql` that the planner runs inline leaves no trace in the store: it has a
//! `Dunlin-Query-Id` for the logs, and asking for that id later is a 404.

pub mod auth;
mod door;
mod http;
mod options;
mod query;
mod serve;
mod tls;

pub use crate::http::{ApiError, Format, MAX_WAIT, Position, Problem, Refusal};
pub use door::{DoorError, DoorLimits, DoorOptions, Exposed};
pub use options::{
    Gateway, GatewayOptions, InlineLimits, LocalRunner, MAX_BODY_BYTES, MAX_SQL_BYTES,
    PlanningLimits, SweepPeriods, WatchPeriods,
};
pub use query::answer::Receipt;
pub use query::error::{CoreError, ErrorKind, GuestError};
pub use serve::{ServeError, serve};
pub use tls::{ClientCertificates, TlsError, TlsOptions};
