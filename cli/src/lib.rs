//! The parts of the `dunlin` command, as a library for the benchmark and the whole-system tests.

pub mod client;
pub mod config;
pub mod demo;
mod door;
pub mod fleet;
pub mod health;
mod in_process;
pub mod key;
mod otlp;
pub mod pki;
pub mod record;
mod reload;
pub mod serve;
pub mod sql;
pub mod tpch;
pub mod validate;

pub use dunlin_process::credentials;
