//! Flight SQL, with the client of `arrow-flight`.

mod bad;
mod catalogs;
mod client;
mod owners;
mod prepared;
mod statements;
