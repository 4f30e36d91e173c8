//! What the engine and the stores report, in words for people.
//!
//! ```text
//!  DataFusionError ─root─> DivideByZero, CastError, CsvError, ParquetError, ObjectStore, … ─> a sentence: what, where,
//!                                                                                            what to do
//! ```
//! The type of an error decides. Only where the engine has no type for a mistake, or keeps the facts in a text, the text
//! is read. What is left of a text of the engine has no prefix of the engine, no backtrace and no debug form of Rust.

mod clean;
mod engine;
mod files;
mod numbers;
mod stores;
mod types;

pub use clean::{between, lowered, plain};
pub use engine::{sentence, sentence_in};
pub use files::file_of;
pub use numbers::{bytes, count, grouped};
pub use stores::{explained, meaning, of_store, said, whole, with_cause};
pub use types::{sql_type, with_sql_types};

#[cfg(test)]
mod tests;
