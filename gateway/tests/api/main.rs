//! The interfaces as a client sees them: real sockets, a folder as the store, and workers that the test simulates
//! if a query needs any.

#![allow(clippy::unwrap_used)]

mod accounts;
mod audit;
mod cached;
mod flight;
mod formats;
mod guests;
mod history;
mod mistakes;
mod news;
mod oidc;
mod page;
mod pages;
mod parts;
mod postgres;
mod queries;
mod site;
mod statements;
mod system;
mod told;
mod trino;
mod waits;
mod wake;
mod workgroups;
