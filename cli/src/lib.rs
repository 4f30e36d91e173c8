//! The parts of the `dunlin` command, as a library for the benchmark and the whole-system tests.

pub mod clicks;
pub mod client;
mod collecting;
pub mod config;
pub mod demo;
pub mod doctor;
mod door;
mod failure;
pub mod fleet;
pub mod gc;
pub mod health;
pub mod help;
mod in_process;
pub mod init;
pub mod key;
mod lex;
mod link;
mod otlp;
pub mod own;
pub mod pki;
mod print;
pub mod query;
pub mod record;
mod reload;
pub mod replay;
mod script;
pub mod serve;
mod session;
mod shell;
pub mod sql;
mod stdout;
pub mod sweep;
pub mod tpch;
pub mod validate;

pub use dunlin_process::credentials;
