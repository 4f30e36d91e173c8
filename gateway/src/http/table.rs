//! Rows as a table for people.
//!
//! ```text
//! +----+-------+
//! | id | name  |
//! +----+-------+
//! |  1 | a     |
//! |  2 | NULL  |
//! +----+-------+
//! (2 rows)
//! ```
//! The first rows decide how wide the columns are, so that an answer of any length is written as it comes. A later value
//! that is wider moves the rest of its line.

use std::fmt::Write as _;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_schema::SchemaRef;
use unicode_width::UnicodeWidthStr;

/// Rows that decide the widths, at most.
const MEASURED_ROWS: usize = 1_000;
/// Bytes of these rows, at most.
const MEASURED_BYTES: usize = 1 << 20;
/// The most that a value widens its column.
const WIDEST: usize = 80;

/// A table that is written row by row.
#[derive(Debug)]
pub(super) struct Table {
    names: Vec<String>,
    /// Columns of numbers, which are written to the right.
    is_number: Vec<bool>,
    widths: Vec<usize>,
    /// Rows that are measured; none once the head is written.
    held: Option<Vec<Vec<String>>>,
    held_bytes: usize,
    rows: u64,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let fields = schema.fields();
        let names: Vec<String> = fields.iter().map(|field| printable(field.name())).collect();
        Self {
            is_number: fields.iter().map(|field| field.data_type().is_numeric()).collect(),
            widths: names.iter().map(|name| name.width()).collect(),
            names,
            held: Some(Vec::new()),
            held_bytes: 0,
            rows: 0,
        }
    }

    /// What can be written now.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let options = FormatOptions::default().with_null("NULL").with_display_error(false);
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<_, _>>()?;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            let value = |column: &ArrayFormatter<'_>| {
                column.value(row).try_to_string().map(|text| printable(&text))
            };
            let values: Vec<String> = columns.iter().map(value).collect::<Result<_, _>>()?;
            self.rows += 1;
            let Some(held) = &mut self.held else {
                self.line(&values, &mut text);
                continue;
            };
            self.held_bytes += values.iter().map(String::len).sum::<usize>();
            held.push(values);
            if held.len() >= MEASURED_ROWS || self.held_bytes >= MEASURED_BYTES {
                self.release(&mut text);
            }
        }
        Ok(text.into_bytes())
    }

    /// The end of the table.
    pub(super) fn finish(&mut self, is_cut: bool) -> Vec<u8> {
        let mut text = String::new();
        self.release(&mut text);
        if !self.names.is_empty() {
            self.rule(&mut text);
        }
        let rows = if self.rows == 1 { "row" } else { "rows" };
        let more = if is_cut { "; the answer has more, which a limit left out" } else { "" };
        let _ = writeln!(text, "({} {rows}{more})", self.rows);
        text.into_bytes()
    }

    /// Writes the head and the rows that were measured.
    fn release(&mut self, text: &mut String) {
        let Some(held) = self.held.take() else { return };
        for values in &held {
            for (width, value) in self.widths.iter_mut().zip(values) {
                *width = (*width).max(value.width().min(WIDEST));
            }
        }
        if self.names.is_empty() {
            return;
        }
        self.rule(text);
        let names = self.names.clone();
        self.line(&names, text);
        self.rule(text);
        held.iter().for_each(|values| self.line(values, text));
    }

    fn rule(&self, text: &mut String) {
        for width in &self.widths {
            text.push('+');
            text.extend(std::iter::repeat_n('-', width + 2));
        }
        text.push_str("+\n");
    }

    fn line(&self, values: &[String], text: &mut String) {
        if values.is_empty() {
            return;
        }
        for ((value, width), is_number) in values.iter().zip(&self.widths).zip(&self.is_number) {
            let space = width.saturating_sub(value.width());
            let (before, after) = if *is_number { (space, 0) } else { (0, space) };
            text.push_str("| ");
            text.extend(std::iter::repeat_n(' ', before));
            text.push_str(value);
            text.extend(std::iter::repeat_n(' ', after + 1));
        }
        text.push_str("|\n");
    }
}

/// Text without characters that would break the lines of a table or steer a terminal.
fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(numbers: Vec<Option<i64>>, texts: Vec<Option<&str>>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(vec![
            ("id", Arc::new(Int64Array::from(numbers)) as ArrayRef, true),
            ("name", Arc::new(StringArray::from(texts)) as ArrayRef, true),
        ])
        .unwrap()
    }

    fn text(batches: &[RecordBatch], is_cut: bool) -> String {
        let mut table = Table::new(&batches[0].schema());
        let mut bytes = Vec::new();
        for batch in batches {
            bytes.extend(table.push(batch).unwrap());
        }
        bytes.extend(table.finish(is_cut));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_nothing_breaks_a_line() {
        let rows = batch(vec![Some(1), None, Some(-30)], vec![Some("a\nb"), Some("日本"), None]);
        assert_eq!(
            text(&[rows.slice(0, 1), rows.slice(1, 2)], false),
            "+------+------+\n\
             | id   | name |\n\
             +------+------+\n\
             |    1 | a\\nb |\n\
             | NULL | 日本 |\n\
             |  -30 | NULL |\n\
             +------+------+\n\
             (3 rows)\n"
                .replace("| id   |", "|   id |")
        );
    }

    #[test]
    fn an_empty_answer_shows_its_columns_and_a_cut_one_says_so() {
        let one = batch(vec![Some(1)], vec![Some("x")]);
        assert_eq!(
            text(&[one.slice(0, 0)], false),
            "+----+------+\n| id | name |\n+----+------+\n+----+------+\n(0 rows)\n"
        );
        let cut = text(&[one], true);
        assert!(cut.ends_with("\n(1 row; the answer has more, which a limit left out)\n"), "{cut}");
    }

    #[test]
    fn a_long_table_is_written_as_it_comes() {
        let many = batch(vec![Some(7); MEASURED_ROWS + 1], vec![Some("x"); MEASURED_ROWS + 1]);
        let mut table = Table::new(&many.schema());
        assert!(table.push(&many.slice(0, MEASURED_ROWS - 1)).unwrap().is_empty());
        let lines = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().lines().count();
        assert_eq!(lines(table.push(&many.slice(0, 2)).unwrap()), 3 + MEASURED_ROWS + 1);
        let wide = "y".repeat(500);
        let late = table.push(&batch(vec![Some(1)], vec![Some(&wide)])).unwrap();
        assert_eq!(lines(late), 1);
    }
}
