//! The HTTP interface as a client sees it: real sockets, a folder as the store, and workers that the test simulates
//! if a query needs any.

#![allow(clippy::unwrap_used)]

mod guests;
mod queries;
mod site;
mod statements;
mod told;
mod wake;
