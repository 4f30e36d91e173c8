//! Random queries that compare the fleet with a single process, similar to SQLsmith and SQLancer.
//!
//! `DUNLIN_RANDOM_SEED` and `DUNLIN_RANDOM_QUERIES` choose the run; query `n` of a seed is always the same.
//! `DUNLIN_RANDOM_ONLY=n` runs only that query. `DUNLIN_RANDOM_SQL=…` with `DUNLIN_RANDOM_SET=s` shows the answer of
//! every form to a statement over the tables of set `s`. `DUNLIN_RANDOM_ENGINE=1` also looks for wrong answers of
//! DataFusion itself, makes those queries smaller, and lists why queries are invalid or refused.

mod ast;
mod evaluate;
mod expressions;
mod from;
mod functions;
mod generate;
mod generator;
mod metamorphic;
mod run;
mod shrink;
mod subqueries;
mod tables;

pub use run::{SEED, run, smaller, text};
