//! Values with commas or tabs between them.
//!
//! CSV is RFC 4180 with a header line. A null is nothing, and an empty text is `""`. In an answer of one column a null is
//! `""`, too, because many programs skip empty lines.
//! TSV has `\t`, `\n`, `\r` and `\\` for these characters, and `\N` for a null, as PostgreSQL and ClickHouse read it.

use std::io::Write;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cells::Cells;
use super::out::Out;
use super::sink::Sink;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Csv,
    Tsv,
}

/// Values with commas or tabs between them.
#[derive(Debug)]
pub(super) struct Separated {
    kind: Kind,
    /// Written with the first rows.
    head: String,
}

impl Separated {
    pub(super) fn new(schema: &SchemaRef, kind: Kind) -> Self {
        let mut head = String::new();
        for (column, field) in schema.fields().iter().enumerate() {
            kind.separate(&mut head, column);
            kind.value(&mut head, field.name());
        }
        head.push('\n');
        Self { kind, head }
    }
}

impl Kind {
    fn separate(self, text: &mut String, column: usize) {
        if column > 0 {
            text.push(if self == Self::Csv { ',' } else { '\t' });
        }
    }

    fn null(self, text: &mut String, columns: usize) {
        text.push_str(match self {
            Self::Csv if columns == 1 => "\"\"",
            Self::Csv => "",
            Self::Tsv => "\\N",
        });
    }

    fn value(self, text: &mut String, value: &str) {
        match self {
            Self::Csv if value.is_empty() || value.contains([',', '"', '\n', '\r']) => {
                text.push('"');
                text.push_str(&value.replace('"', "\"\""));
                text.push('"');
            }
            Self::Tsv if value.contains(['\t', '\n', '\r', '\\']) => {
                for letter in value.chars() {
                    match letter {
                        '\t' => text.push_str("\\t"),
                        '\n' => text.push_str("\\n"),
                        '\r' => text.push_str("\\r"),
                        '\\' => text.push_str("\\\\"),
                        other => text.push(other),
                    }
                }
            }
            _ => text.push_str(value),
        }
    }
}

impl Sink for Separated {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Out) -> Result<()> {
        let mut cells = Cells::new(batch, false)?;
        let mut text = std::mem::take(&mut self.head);
        let mut value = String::new();
        for row in 0..batch.num_rows() {
            for column in 0..batch.num_columns() {
                self.kind.separate(&mut text, column);
                if cells.write(row, column, &mut value)? {
                    self.kind.value(&mut text, &value);
                } else {
                    self.kind.null(&mut text, batch.num_columns());
                }
            }
            text.push('\n');
            out.write_all(text.as_bytes())?;
            text.clear();
        }
        // No row, and still the head.
        self.head = text;
        Ok(())
    }

    fn finish(&mut self, out: &mut Out) -> Result<()> {
        Ok(out.write_all(std::mem::take(&mut self.head).as_bytes())?)
    }
}
