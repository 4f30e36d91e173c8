//! Rows of a table, as they are collected: those that are wanted, and not more than one statement may have.

use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use dunlin_planner::{SnapshotError, SnapshotSchema, Wanted};

use super::columns::ZONE;

/// Rows of one batch.
const BATCH: usize = 8_192;
/// The most rows of one scan, and the most bytes of their values: they are in memory, and travel in the plan.
const MOST_ROWS: usize = 500_000;
const MOST_BYTES: usize = 64 << 20;

/// The values of one row, in the order of the columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Row(Vec<ScalarValue>);

impl Row {
    pub(super) fn text(self, value: impl Into<String>) -> Self {
        self.some_text(Some(value))
    }

    pub(super) fn some_text(self, value: Option<impl Into<String>>) -> Self {
        self.value(ScalarValue::Utf8(value.map(Into::into)))
    }

    pub(super) fn int(self, value: u64) -> Self {
        self.some_int(Some(value))
    }

    pub(super) fn some_int(self, value: Option<u64>) -> Self {
        let value = value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        self.value(ScalarValue::Int64(value))
    }

    pub(super) fn some_real(self, value: Option<f64>) -> Self {
        self.value(ScalarValue::Float64(value))
    }

    pub(super) fn flag(self, value: bool) -> Self {
        self.some_flag(Some(value))
    }

    pub(super) fn some_flag(self, value: Option<bool>) -> Self {
        self.value(ScalarValue::Boolean(value))
    }

    /// Milliseconds after 1970; 0 is no time.
    pub(super) fn time(self, unix_ms: u64) -> Self {
        let micros = i64::try_from(unix_ms).ok().and_then(|ms| ms.checked_mul(1_000));
        let micros = micros.filter(|micros| *micros > 0);
        self.value(ScalarValue::TimestampMicrosecond(micros, Some(ZONE.into())))
    }

    /// Days after 1970.
    pub(super) fn day(self, day: u64) -> Self {
        self.value(ScalarValue::Date32(i32::try_from(day).ok()))
    }

    fn value(mut self, value: ScalarValue) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn bytes(&self) -> usize {
        let text = |value: &ScalarValue| match value {
            ScalarValue::Utf8(Some(text)) => text.len(),
            _ => 0,
        };
        self.0.iter().map(|value| size_of::<ScalarValue>() + text(value)).sum()
    }
}

/// The rows of one scan.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    table: &'a SnapshotSchema,
    wanted: &'a Wanted,
    rows: Vec<Row>,
    bytes: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn new(table: &'a SnapshotSchema, wanted: &'a Wanted) -> Self {
        Self { table, wanted, rows: Vec::new(), bytes: 0 }
    }

    /// True if no more rows are needed.
    pub(super) fn is_full(&self) -> bool {
        self.wanted.limit().is_some_and(|limit| self.rows.len() >= limit)
    }

    /// Adds a row, if it is wanted.
    pub(super) fn push(&mut self, row: Row) -> Result<(), SnapshotError> {
        let fields = self.table.columns.fields();
        debug_assert_eq!(fields.len(), row.0.len(), "{}", self.table.name);
        let passes =
            fields.iter().zip(&row.0).all(|(it, value)| self.wanted.admits(it.name(), value));
        if !passes || self.is_full() {
            return Ok(());
        }
        self.bytes += row.bytes();
        self.rows.push(row);
        if self.rows.len() > MOST_ROWS || self.bytes > MOST_BYTES {
            return Err(SnapshotError::TooMuch(format!(
                "the statement reads over {MOST_ROWS} rows or {} MB of system.{}, which is the most: add a condition on query_id or submitted_at, or a LIMIT",
                MOST_BYTES >> 20,
                self.table.name
            )));
        }
        Ok(())
    }

    /// The rows as batches.
    pub(super) fn batches(self) -> Result<Vec<RecordBatch>, SnapshotError> {
        let defect = |error: &dyn std::fmt::Display| {
            SnapshotError::Store(format!("system.{}: {error}", self.table.name))
        };
        let batch = |rows: &[Row]| {
            let column = |at: usize| {
                let values = rows.iter().map(|row| row.0[at].clone());
                ScalarValue::iter_to_array(values).map_err(|error| defect(&error))
            };
            let columns = (0..self.table.columns.fields().len())
                .map(column)
                .collect::<Result<Vec<_>, _>>()?;
            RecordBatch::try_new(self.table.columns.clone(), columns)
                .map_err(|error| defect(&error))
        };
        self.rows.chunks(BATCH).map(batch).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::columns::schemas;
    use super::*;

    fn table(name: &str) -> &'static SnapshotSchema {
        schemas().iter().find(|table| table.name == name).unwrap()
    }

    #[test]
    fn rows_become_batches_with_the_columns_of_the_table() {
        let wanted = Wanted::all(None);
        let mut rows = Rows::new(table("gateways"), &wanted);
        for number in 0..BATCH as u64 + 1 {
            rows.push(Row::default().text("a").text("http://a").time(number + 1)).unwrap();
        }
        let batches = rows.batches().unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [BATCH, 1]);
        assert_eq!(batches[0].schema(), table("gateways").columns);
        assert!(Rows::new(table("gateways"), &wanted).batches().unwrap().is_empty());
    }

    #[test]
    fn a_limit_ends_the_rows_and_too_many_bytes_are_refused() {
        let wanted = Wanted::all(Some(2));
        let row = || Row::default().text("t").text("csv");
        let mut rows = Rows::new(table("tables"), &wanted);
        for _ in 0..3 {
            rows.push(row()).unwrap();
        }
        assert!(rows.is_full());
        assert_eq!(rows.batches().unwrap()[0].num_rows(), 2);
        let all = Wanted::all(None);
        let mut rows = Rows::new(table("tables"), &all);
        let long = || Row::default().text("x".repeat(1 << 20)).text("csv");
        let error = (0..100).find_map(|_| rows.push(long()).err()).unwrap();
        assert!(matches!(&error, SnapshotError::TooMuch(text) if text.contains("system.tables")));
    }
}
