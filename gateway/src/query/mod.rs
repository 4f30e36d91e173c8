//! The core: takes statements, follows queries, and returns answers as values.
//!
//! ```text
//!              ┌────────────────────── core ───────────────────────┐
//!  statement ──> intake: plan ─ inline ──> run here ──> Answer      │
//!              │            └ fleet ───> submit ──> query id        │
//!  query id ───> queries: wait, status, cancel, answer, analysis    │
//!              │ sweep: advances or ends queries of dead processes   │
//!              └─────────────────────────────────────────────────────┘
//! ```
//!
//! The core returns a schema, a stream of rows, a receipt and its own typed error. It knows no protocol and imports
//! none: HTTP and later protocols translate.

pub(crate) mod analyze;
pub(crate) mod answer;
mod counted;
pub(crate) mod error;
pub(crate) mod guests;
pub(crate) mod handles;
pub(crate) mod hub;
pub(crate) mod intake;
mod lasting;
pub(crate) mod links;
mod planning;
pub(crate) mod queries;
pub(crate) mod receipt;
mod results;
mod seats;
pub(crate) mod statement;
pub(crate) mod status;
pub(crate) mod sweep;
mod swept;
mod threads;
mod watch;
