//! The Postgres protocol (3.0 and 3.2) over the core.
//!
//! ```text
//!   server ──accept──> startup: TLS, SCRAM or password ──> session: one message after the other
//!                         │ CancelRequest                     │ simple     Query
//!                         v                                   │ extended   Parse, Bind, Describe, Execute, Sync
//!                      cancel                                 v
//!                                            command: what does the statement ask for?
//!                    BEGIN, SET, FETCH … <── commands ──┤
//!                    pg_catalog, version() <─ catalog ──┤
//!                                                       └── running ──> intake, queries (the core)
//!   rows: Arrow ──cells──> text, binary ──> DataRow or COPY, as fast as the client reads
//! ```
//! What it promises:
//! - A statement runs through the core as it does over HTTP: same client, same limits, same routes. A NOTICE tells its id.
//! - Rows are streamed. A portal that is suspended keeps its stream, and nothing is collected.
//! - Everything that a session keeps belongs to its connection. Any gateway cancels what any connection runs.
//! - Bad input is an error with an SQLSTATE, and ends at most its own connection.
//!
//! The messages are read and written here and not by a crate: those that exist read a message with a wrong length past its
//! end, which would end the task of the connection without a word to the client (see docs/decisions/0026).

mod answer;
mod binary;
mod bounds;
mod cancel;
mod catalog;
mod catalog_words;
mod cells;
mod command;
mod commands;
mod copy;
mod extended;
mod face;
mod failure;
mod frames;
mod kind;
mod link;
mod number;
mod out;
mod prepared;
mod rows;
mod running;
mod scram;
mod server;
mod session;
mod settings;
mod simple;
mod split;
mod startup;
mod text;
mod time;
mod values;

pub(crate) use face::Face;
pub(crate) use server::serve;
