//! The Flight SQL interface: statements become queries, and answers become Arrow over gRPC.
//!
//! ```text
//!   GetFlightInfo(SQL) ──submit──> query in the store ──> schema, ticket ┐      nothing of it is kept here
//!   PollFlightInfo     ──wait────> progress … one ticket for each part   │
//!   DoGet(ticket)      <─────────── any gateway: wait for the end, rows ─┘
//!   prepare ──> a handle that holds the SQL ──DoPut──> a handle that holds its parameters, too
//! ```
//! The face keeps nothing between two calls: each ticket and handle holds what a gateway needs to redeem it (`token`). So
//! a client may send every call to another gateway, and a gateway that dies takes nothing along. [Decision
//! 0027](../../../docs/decisions/0027-flight-sql.md) has the reasons.

mod actions;
mod asked;
mod binding;
mod body;
mod catalog;
mod command;
mod error;
mod face;
mod guard;
mod health;
mod info;
mod keys;
mod life;
mod parts;
mod rows;
mod server;
mod sql_info;
mod statements;
mod token;
mod types;

pub(crate) use parts::Flight;
pub(crate) use server::FlightServer;
