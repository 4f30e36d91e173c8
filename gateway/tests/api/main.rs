//! The HTTP interface as a client meets it: real sockets, a folder as the store, and workers that are
//! played by the test where a query needs any.

#![allow(clippy::unwrap_used)]

mod guests;
mod queries;
mod site;
mod statements;
