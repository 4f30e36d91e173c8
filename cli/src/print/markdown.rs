//! A table in Markdown.

use std::io::Write;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cells::{Cells, is_number};
use super::grid::NULL;
use super::out::Out;
use super::sink::Sink;

/// A table in Markdown.
#[derive(Debug)]
pub(super) struct Markdown {
    /// Written before the first row.
    head: String,
}

impl Markdown {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let mut head = String::from("|");
        for field in schema.fields() {
            head.push_str(&format!(" {} |", escaped(field.name())));
        }
        head.push_str("\n|");
        for field in schema.fields() {
            head.push_str(if is_number(field.data_type()) { " ---: |" } else { " --- |" });
        }
        head.push('\n');
        Self { head }
    }
}

/// A text inside a cell.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace("\r\n", "<br>")
        .replace(['\n', '\r'], "<br>")
}

impl Sink for Markdown {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Out) -> Result<()> {
        let mut cells = Cells::new(batch, true)?;
        let mut value = String::new();
        for row in 0..batch.num_rows() {
            let mut line = std::mem::take(&mut self.head);
            line.push('|');
            for column in 0..batch.num_columns() {
                let there = cells.write(row, column, &mut value)?;
                line.push(' ');
                line.push_str(&if there { escaped(&value) } else { NULL.to_owned() });
                line.push_str(" |");
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Out) -> Result<()> {
        Ok(out.write_all(std::mem::take(&mut self.head).as_bytes())?)
    }
}
