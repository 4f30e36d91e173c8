//! The gateway of Dunlin: it takes SQL, returns rows, and keeps nothing that a query needs.
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
//! - **Any gateway answers for any query.** Everything about a query is read from the store's objects. When the gateway
//!   that took a query dies, another gateway can watch the query, repair what was left incomplete ([`serve`] runs a
//!   sweeper), end it, and return its rows.
//! - **A lost connection loses nothing.** A submit that has begun runs to its end even if the client disconnects. A
//!   retry with the same `Idempotency-Key` finds the same query on any gateway.
//! - **Answers are streamed.** No answer is collected in memory; `http/answer.rs` explains how errors still have types.
//! - **Access is controlled** ([`auth`], [`DoorOptions`]): keys, TLS, and limits for every client, for slow ones and
//!   for those that ask for much. A query belongs to the key that submitted it.
//! - **Bad input gets an answer and causes no crash**: every refusal is `application/problem+json`, or a status of gRPC.
//!
//! A plain `POST /v1/sql` that the planner runs inline stores nothing. Its `Dunlin-Query-Id` is for the logs, and
//! asking for that id later returns 404.

pub mod auth;
mod catalog;
mod door;
mod flight;
mod http;
mod metrics;
mod options;
mod page;
mod postgres;
mod query;
mod serve;
mod text;
mod tls;
mod trino;

pub use crate::http::{ApiError, Format, MAX_WAIT, Position, Problem, Refusal};
pub use door::{DoorError, DoorLimits, DoorOptions, Exposed};
pub use dunlin_manifest::query::sweep::SweepPeriods;
pub use metrics::{Metrics, Span, SpanSink, SpanStatus, serve_metrics};
pub use options::{
    Current, Gateway, GatewayOptions, InlineLimits, LinkMaker, Live, LocalRunner, MAX_BODY_BYTES,
    MAX_SQL_BYTES, Most, PlanningLimits, WatchPeriods,
};
pub use query::answer::Receipt;
pub use query::error::{CoreError, ErrorKind, GuestError};
pub use query::hub::{Hub, Listener};
pub use serve::{Guest, Listeners, ServeError, serve};
pub use tls::{ClientCertificates, TlsError, TlsOptions};
