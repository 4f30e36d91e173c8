//! The rows of an answer: their description, and each batch as messages.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;

use super::cells::Cells;
use super::failure::{Failure, state};
use super::frames::format_of;
use super::kind::Kind;
use super::out::{Column, Out};
use super::{binary, text};

/// Most columns of an answer: as many as a message can count.
const MOST_COLUMNS: usize = 32_767;

/// The columns of an answer. `formats`: which of them are wanted in the binary form.
///
/// # Errors
/// A type that Postgres has not, or formats that do not fit the columns.
pub(super) fn columns(schema: &Schema, formats: &[bool]) -> Result<Vec<Column>, Failure> {
    let count = schema.fields().len();
    if count > MOST_COLUMNS {
        return Err(Failure::error(state::TOO_LARGE, format!("the answer has {count} columns")));
    }
    if formats.len() > 1 && formats.len() != count {
        return Err(Failure::error(
            state::PROTOCOL,
            format!("{} formats are given for {count} columns", formats.len()),
        ));
    }
    let fields = schema.fields().iter().enumerate();
    fields
        .map(|(place, field)| {
            Ok(Column {
                name: field.name().clone(),
                kind: Kind::of(field)?,
                modifier: Kind::modifier(field.data_type()),
                binary: format_of(formats, place),
            })
        })
        .collect()
}

/// A batch whose columns are in the forms in which their values are written.
#[derive(Debug)]
pub(super) struct Prepared {
    cells: Vec<Cells>,
    pub(super) rows: usize,
}

impl Prepared {
    /// Brings the columns of a batch into their forms.
    ///
    /// # Errors
    /// A value that Postgres cannot have.
    pub(super) fn new(batch: &RecordBatch) -> Result<Self, Failure> {
        let cells = batch.columns().iter().map(Cells::of).collect::<Result<_, _>>()?;
        Ok(Self { cells, rows: batch.num_rows() })
    }

    /// Writes a row as a message. If it fails, nothing is written.
    pub(super) fn row(&self, row: usize, columns: &[Column], out: &mut Out) -> Result<(), Failure> {
        let start = out.begin(b'D');
        let written = self.values(row, columns, &mut out.bytes);
        match written {
            Ok(()) => out.finish(start),
            Err(_) => out.give_up(start),
        }
        written
    }

    fn values(&self, row: usize, columns: &[Column], out: &mut BytesMut) -> Result<(), Failure> {
        out.put_u16(u16::try_from(self.cells.len()).unwrap_or(u16::MAX));
        let start = out.len();
        for (cells, column) in self.cells.iter().zip(columns) {
            let write = if column.binary { binary::write } else { text::write };
            binary::with_length(cells, row, write, out)?;
        }
        if i32::try_from(out.len() - start).is_err() {
            return Err(Failure::error(state::TOO_LARGE, "a row is longer than a message may be"));
        }
        Ok(())
    }

    /// The texts of a row, one after the other; none for NULL.
    pub(super) fn texts(&self, row: usize) -> Result<Vec<Option<BytesMut>>, Failure> {
        let text = |cells: &Cells| {
            if cells.is_null(row) {
                return Ok(None);
            }
            let mut out = BytesMut::new();
            text::write(cells, row, &mut out)?;
            Ok(Some(out))
        };
        self.cells.iter().map(text).collect()
    }
}
