//! Random queries, the fleet against a single process, in the spirit of SQLsmith and SQLancer.
//!
//! `DUNLIN_RANDOM_SEED` and `DUNLIN_RANDOM_QUERIES` choose the run; query `n` of a seed is always the same.
//! `DUNLIN_RANDOM_ONLY=n` runs that one; `DUNLIN_RANDOM_SQL=…` with `DUNLIN_RANDOM_SET=s` shows what every
//! form says to a statement over the tables of set `s`; `DUNLIN_RANDOM_ENGINE=1` also looks for wrong answers
//! of DataFusion itself, makes those queries smaller, and lists why queries are invalid or refused.

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
