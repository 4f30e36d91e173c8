//! Trino's protocol: statements become queries, and answers become JSON, page by page, on the port of HTTP.
//!
//! ```text
//!   POST /v1/statement ──submit──> query in the store ──> nextUri ┐       nothing of it is kept here
//!   GET  nextUri ──any gateway: wait a moment──> progress, nextUri │
//!                └──────────── at the end: rows from row n on, nextUri … FINISHED
//!   DELETE nextUri ──> the query ends as cancelled
//!   GET  uri of a segment ──any gateway──> some of the rows, in a form that the client has asked for
//! ```
//! What it promises:
//! - **Any gateway gives any page.** A `nextUri` holds all that a gateway needs (`token`). The state of a session is in the
//!   headers of its client. A page that is asked for again has the same rows.
//! - A statement runs through the core as it does over HTTP: same keys, same limits, same routes, same errors in Trino's words.
//! - Memory is flat: a page has some megabytes, and reads no more than it has.
//! - Bad input is an error with Trino's name for it, or a refused request.
//!
//! [Decision 0031](../../../docs/decisions/0031-trino-protocol.md) has the reasons.

mod address;
mod asked;
mod body;
mod catalog;
mod cells;
mod command;
mod encode;
mod encoding;
mod face;
mod failure;
mod headers;
mod here;
mod kept;
mod kind;
mod pages;
mod parts;
mod segments;
mod session;
mod show;
mod statements;
mod times;
mod token;

pub(crate) use face::{open_routes, routes};
pub(crate) use parts::Trino;

/// The beginning of the paths whose clients show a key as a password, too.
pub(crate) const PATH: &str = "/v1/statement";
/// The version that clients are told.
const VERSION: &str = concat!("dunlin-", env!("CARGO_PKG_VERSION"));
