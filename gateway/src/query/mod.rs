//! The core: takes statements, follows queries, and returns answers as values.
//!
//! ```text
//!              ┌────────────────────── core ───────────────────────┐
//!  statement ──> intake: plan ─ inline ──> run here ──> Answer      │
//!              │            └ fleet ───> submit ──> query id        │
//!  query id ───> queries: wait, status, cancel, answer, analysis    │
//!              │ follow: what is new of it; history: the newest      │
//!              │ system: all of it as tables of SQL                  │
//!              │ sweep: advances or ends queries of dead processes   │
//!              └─────────────────────────────────────────────────────┘
//! ```
//!
//! The core returns a schema, a stream of rows, a receipt and its own typed error. It knows no protocol and imports
//! none: HTTP and later protocols translate.

pub(crate) mod analyze;
pub(crate) mod answer;
pub(crate) mod asked;
pub(crate) mod audit;
mod beside;
mod brief;
pub(crate) mod cached;
pub(crate) mod catalog;
mod counted;
pub(crate) mod cut;
mod day;
pub(crate) mod error;
pub(crate) mod follow;
pub(crate) mod guests;
pub(crate) mod handles;
pub(crate) mod history;
pub(crate) mod hub;
pub(crate) mod intake;
mod lasting;
pub(crate) mod links;
pub(crate) mod origin;
pub(crate) mod parts;
mod planning;
pub(crate) mod queries;
pub(crate) mod receipt;
mod results;
mod seats;
pub(crate) mod statement;
pub(crate) mod status;
mod submitting;
pub(crate) mod sweep;
mod swept;
pub(crate) mod system;
mod threads;
pub(crate) mod version;
mod watch;
pub(crate) mod window;
mod wish;
pub(crate) mod workgroups;
mod write_error;
pub(crate) mod writes;
