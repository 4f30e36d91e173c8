//! Trino's protocol through a real listener.

mod bad;
mod catalogs;
mod client;
mod owners;
mod pages;
mod segments;
mod sessions;
mod statements;
mod types;
