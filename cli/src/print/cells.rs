//! The values of a batch as text.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use arrow::array::{Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef};
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Of values inside lists, structs and maps.
static NESTED: LazyLock<EncoderOptions> =
    LazyLock::new(|| EncoderOptions::default().with_explicit_nulls(true));

/// The values of a batch as text. Lists, structs and maps are JSON.
pub(crate) struct Cells<'a> {
    columns: Vec<Column<'a>>,
    lenient: bool,
}

struct Column<'a> {
    name: &'a str,
    /// Where the values are null, whatever the array's layout.
    nulls: Option<NullBuffer>,
    text: Text<'a>,
}

enum Text<'a> {
    Plain(ArrayFormatter<'a>),
    Json(NullableEncoder<'a>, Vec<u8>),
}

impl<'a> Cells<'a> {
    /// The values of `batch`. A value that cannot be written (a date in the year 300,000) is an error, or its text says
    /// so if `lenient`.
    ///
    /// # Errors
    /// A type that has no text.
    pub(crate) fn new(batch: &'a RecordBatch, lenient: bool) -> Result<Self> {
        let fields = batch.schema_ref().fields();
        let columns = fields.iter().zip(batch.columns());
        let columns = columns.map(|(field, array)| Column::new(field, array.as_ref()));
        Ok(Self { columns: columns.collect::<Result<_>>()?, lenient })
    }

    /// Writes a value to `text`, which is emptied before. False if it is null.
    ///
    /// # Errors
    /// A value that cannot be written.
    pub(crate) fn write(&mut self, row: usize, column: usize, text: &mut String) -> Result<bool> {
        text.clear();
        let Column { name, nulls, text: from } = &mut self.columns[column];
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(false);
        }
        match from {
            Text::Plain(formatter) => match formatter.value(row).write(text) {
                Ok(()) => {}
                Err(error) if self.lenient => *text = format!("ERROR: {error}"),
                Err(error) => {
                    return Err(error).with_context(|| format!("a value of column {name}"));
                }
            },
            Text::Json(encoder, bytes) => {
                bytes.clear();
                encoder.encode(row, bytes);
                text.push_str(&String::from_utf8_lossy(bytes));
            }
        }
        Ok(true)
    }

    /// The text of a value; none if it is null.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn text(&mut self, row: usize, column: usize) -> Result<Option<String>> {
        let mut text = String::new();
        Ok(self.write(row, column, &mut text)?.then_some(text))
    }
}

impl<'a> Column<'a> {
    fn new(field: &'a FieldRef, array: &'a dyn Array) -> Result<Self> {
        let nested = field.data_type().is_nested() && !array.is_empty();
        // What JSON does not know (keys of a map that are no text) is written as the engine does.
        let json = nested.then(|| make_encoder(field, array, &NESTED).ok()).flatten();
        let text = match json {
            Some(encoder) => Text::Json(encoder, Vec::new()),
            None => {
                let formatter = ArrayFormatter::try_new(array, &FormatOptions::new());
                Text::Plain(formatter.with_context(|| format!("column {}", field.name()))?)
            }
        };
        Ok(Self { name: field.name(), nulls: array.logical_nulls(), text })
    }
}

/// Whether values of this type are numbers, which are aligned to the right.
pub(super) fn is_number(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, value) => is_number(value),
        kind => kind.is_numeric(),
    }
}
