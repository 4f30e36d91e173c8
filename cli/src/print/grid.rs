//! A part of an answer as cells, and how wide they are.

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::cells::{Cells, is_number};

/// How a null is shown to people.
pub(super) const NULL: &str = "NULL";
/// Rows of a part.
const ROWS: usize = 1_000;
/// Bytes of a part.
const BYTES: usize = 1 << 20;

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) is_number: bool,
}

/// The columns of an answer.
pub(super) fn heads(schema: &SchemaRef) -> Vec<Head> {
    let fields = schema.fields().iter();
    let head = |field: &arrow::datatypes::FieldRef| Head {
        name: visible(field.name()),
        is_number: is_number(field.data_type()),
    };
    fields.map(head).collect()
}

/// Rows that wait to be shown. A null is none.
#[derive(Debug, Default)]
pub(super) struct Grid {
    pub(super) rows: Vec<Vec<Option<String>>>,
    bytes: usize,
}

impl Grid {
    /// Adds rows from `from` on until this part is full. Returns the first row that has no place.
    pub(super) fn fill(&mut self, batch: &RecordBatch, from: usize) -> Result<usize> {
        let mut cells = Cells::new(batch, true)?;
        for row in from..batch.num_rows() {
            if self.is_full() {
                return Ok(row);
            }
            let mut texts = Vec::with_capacity(batch.num_columns());
            for column in 0..batch.num_columns() {
                let text = cells.text(row, column)?.map(|text| visible(&text));
                self.bytes += text.as_ref().map_or(0, String::len);
                texts.push(text);
            }
            self.rows.push(texts);
        }
        Ok(batch.num_rows())
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= ROWS || self.bytes >= BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes the rows, and is empty.
    pub(super) fn take(&mut self) -> Vec<Vec<Option<String>>> {
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }
}

/// Columns of a terminal that a text needs.
pub(super) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// A text in one line, without characters that a terminal would obey.
pub(super) fn visible(text: &str) -> String {
    if !text.chars().any(is_hidden) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            letter if is_hidden(letter) => shown.extend(letter.escape_unicode()),
            letter => shown.push(letter),
        }
    }
    shown
}

/// Control characters, and those that turn the direction of the text around them.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        || (letter != '\0' && UnicodeWidthChar::width(letter).is_none())
}

/// Writes a text in a field of this width.
pub(super) fn pad(line: &mut String, text: &str, to: usize, right: bool) {
    let gap = to.saturating_sub(width(text));
    if right {
        line.extend(std::iter::repeat_n(' ', gap));
    }
    line.push_str(text);
    if !right {
        line.extend(std::iter::repeat_n(' ', gap));
    }
}

/// A null, dimmed where colours are.
pub(super) fn null(colours: bool) -> &'static str {
    if colours { "\u{1b}[2mNULL\u{1b}[0m" } else { NULL }
}
