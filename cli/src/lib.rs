//! What the `dunlin` command is made of, as a library for the benchmark and the whole-system tests.

pub mod client;
pub mod demo;
pub mod fleet;
pub mod serve;
pub mod sql;
pub mod tpch;
