//! Answers as people and programs read them: one sink for each format, one batch at a time.
//!
//! ```text
//!   batches ──> Printer ──> Sink (table, csv, …, parquet) ──> Out: the terminal, its pager, a pipe, a file
//! ```
//!
//! No sink holds an answer. A table is printed in chunks, a Parquet file in row groups.

mod binary;
mod cells;
mod format;
mod grid;
mod json;
mod markdown;
mod out;
mod plans;
mod printer;
mod records;
mod screen;
mod separated;
mod sink;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use cells::Cells;
pub use format::Format;
pub(crate) use out::Out;
pub(crate) use printer::Printer;
pub(crate) use screen::Screen;
pub(crate) use table::Expanded;
