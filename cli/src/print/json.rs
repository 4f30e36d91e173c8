//! JSON: an array with one object in each line, or one object in each line and nothing around them. Columns are in the
//! query's order.

use std::io::Write;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::writer::{JsonFormat, LineDelimited, Writer, WriterBuilder};

use super::out::Out;
use super::sink::Sink;

/// Rows encoded at a time.
const ROWS: usize = 1_024;

/// An array with one object in each line.
#[derive(Debug, Default)]
pub(super) struct Lines {}

impl JsonFormat for Lines {
    fn start_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"[")?)
    }

    fn start_row<W: Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        Ok(writer.write_all(if is_first_row { b"\n" } else { b",\n" })?)
    }

    fn end_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"\n]\n")?)
    }
}

/// An array of objects.
pub(super) type Array = Json<Lines>;
/// Objects in lines.
pub(super) type Objects = Json<LineDelimited>;

/// JSON.
#[derive(Debug)]
pub(super) struct Json<F: JsonFormat> {
    writer: Writer<Vec<u8>, F>,
}

impl<F: JsonFormat> Json<F> {
    pub(super) fn new() -> Self {
        Self { writer: WriterBuilder::new().with_explicit_nulls(true).build(Vec::new()) }
    }

    fn drain(&mut self, out: &mut Out) -> Result<()> {
        let bytes = self.writer.get_mut();
        out.write_all(bytes)?;
        bytes.clear();
        Ok(())
    }
}

impl<F: JsonFormat> Sink for Json<F> {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Out) -> Result<()> {
        for from in (0..batch.num_rows()).step_by(ROWS) {
            let rows = batch.slice(from, ROWS.min(batch.num_rows() - from));
            self.writer.write(&rows)?;
            self.drain(out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Out) -> Result<()> {
        self.writer.finish()?;
        self.drain(out)
    }
}
