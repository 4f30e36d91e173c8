//! Prints answers: chooses the sink, counts rows.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::binary::{Arrow, Parquet};
use super::format::Format;
use super::json::{Array, Objects};
use super::markdown::Markdown;
use super::out::Out;
use super::plans::{Plans, is_plan};
use super::screen::Screen;
use super::separated::{Kind, Separated};
use super::sink::Sink;
use super::table::{Expanded, Table};
use crate::failure::Failure;

/// Prints answers.
#[derive(Debug)]
pub(crate) struct Printer {
    /// Where they go.
    pub(crate) out: Out,
    /// The format that the user has asked for.
    pub(crate) asked: Option<Format>,
    /// What standard output is connected to.
    pub(crate) screen: Screen,
    /// Whether rows are printed as records.
    pub(crate) expanded: Expanded,
}

/// One answer that is being printed.
pub(crate) struct Showing<'a> {
    sink: Box<dyn Sink>,
    out: &'a mut Out,
    /// Rows so far.
    pub(crate) rows: u64,
}

impl Printer {
    /// The format of answers: the one that was asked for, or a table on a terminal, and JSON lines elsewhere.
    pub(crate) fn format(&self) -> Format {
        let usual = if self.is_shown() { Format::Table } else { Format::Jsonl };
        self.asked.unwrap_or(usual)
    }

    /// Whether answers go to a terminal.
    pub(crate) fn is_shown(&self) -> bool {
        self.screen.is_terminal && !self.out.is_file()
    }

    /// Begins an answer. Plans are text for people, unless a format for programs was asked for.
    ///
    /// # Errors
    /// Columns that the format does not know, or a terminal that would be sent bytes.
    pub(crate) fn begin(&mut self, schema: &SchemaRef) -> Result<Showing<'_>, Failure> {
        let format = self.format();
        if format.is_binary() && self.is_shown() {
            return Err(Failure::Usage(format!(
                "{} is not for a terminal: use --output FILE, or a pipe",
                format.name()
            )));
        }
        let for_people = self.asked.is_none_or(|asked| asked == Format::Table);
        let sink: Box<dyn Sink> = match format {
            _ if for_people && is_plan(schema) => Box::new(Plans),
            Format::Table => Box::new(Table::new(schema, self.screen.clone(), self.expanded)),
            Format::Csv => Box::new(Separated::new(schema, Kind::Csv)),
            Format::Tsv => Box::new(Separated::new(schema, Kind::Tsv)),
            Format::Json => Box::new(Array::new()),
            Format::Jsonl => Box::new(Objects::new()),
            Format::Markdown => Box::new(Markdown::new(schema)),
            Format::Arrow => Box::new(Arrow::new(schema)?),
            Format::Parquet => Box::new(Parquet::new(schema)?),
        };
        Ok(Showing { sink, out: &mut self.out, rows: 0 })
    }
}

impl Showing<'_> {
    /// Prints rows.
    ///
    /// # Errors
    /// A value that the format cannot write; output that is closed or full.
    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        self.rows += batch.num_rows() as u64;
        self.sink.batch(batch, self.out)?;
        Ok(self.out.flush()?)
    }

    /// Prints what comes after the last row, and waits for the pager.
    ///
    /// # Errors
    /// As [`Self::batch`].
    pub(crate) fn end(mut self) -> Result<u64, Failure> {
        self.sink.finish(self.out)?;
        self.out.flush()?;
        self.out.leave_pager();
        Ok(self.rows)
    }
}
