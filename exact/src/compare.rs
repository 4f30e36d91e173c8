//! Compares two answers: the same rows, each the same number of times, and floats within a tolerance.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Largest relative difference between two floats. Sums may be computed in another order.
const TOLERANCE: f64 = 1e-9;

/// A value: floats are compared within a tolerance, everything else by its exact text.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Text(String),
    Float(f64),
}

/// An answer as rows.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, DataType)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// The rows of an answer.
    ///
    /// # Panics
    /// There is no batch. An answer without rows has one batch, for its columns.
    #[must_use]
    pub fn new(batches: &[RecordBatch]) -> Self {
        let schema = batches.first().expect("an answer has a schema").schema();
        let columns = schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), plain(field.data_type())))
            .collect();
        let rows = batches.iter().flat_map(rows).collect();
        Self { columns, rows }
    }

    /// Number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// `None` if `got` holds the same rows, each the same number of times, and in the same order if `ordered`.
    /// Otherwise a short text about the first difference.
    #[must_use]
    pub fn difference(&self, got: &Self, ordered: bool) -> Option<String> {
        if self.columns != got.columns {
            return Some(format!("columns {:?}, not {:?}", got.columns, self.columns));
        }
        let same = |one: &[Cell], two: &[Cell]| one.iter().zip(two).all(|(a, b)| close(a, b));
        if self.row_count() == got.row_count() && ordered {
            let mut pairs = self.rows.iter().zip(&got.rows).enumerate();
            let (at, (one, two)) = pairs.find(|(_, (one, two))| !same(one, two))?;
            return Some(format!("row {at} is {}, not {}", brief(two), brief(one)));
        }
        // Rows that differ only in floats are matched one by one. A sort by floats that are only close could pair the
        // wrong rows.
        let mut left: BTreeMap<Vec<Option<&str>>, Vec<&Vec<Cell>>> = BTreeMap::new();
        for row in &got.rows {
            left.entry(exact(row)).or_default().push(row);
        }
        let mut missing = None;
        for row in &self.rows {
            let found = left.get_mut(&exact(row)).and_then(|rows| {
                let at = rows.iter().position(|other| same(row, other))?;
                Some(rows.swap_remove(at))
            });
            if found.is_none() {
                missing = missing.or(Some(row));
            }
        }
        let extra = left.into_values().flatten().next();
        let counts = match (self.row_count(), got.row_count()) {
            (want, got) if want == got => String::new(),
            (want, got) => format!("{got} rows, not {want}; "),
        };
        match (missing, extra) {
            (None, None) => None,
            (Some(row), None) => Some(format!("{counts}no row {}", brief(row))),
            (None, Some(row)) => Some(format!("{counts}too much: {}", brief(row))),
            (Some(one), Some(two)) => {
                Some(format!("{counts}no row {}, but {}", brief(one), brief(two)))
            }
        }
    }

    fn keys(&self, names: &[&str]) -> Vec<Vec<Cell>> {
        let at: Vec<usize> = names
            .iter()
            .map(|name| {
                let found = self.columns.iter().position(|(column, _)| column == name);
                found.unwrap_or_else(|| panic!("no column {name} in {:?}", self.columns))
            })
            .collect();
        let key = |row: &Vec<Cell>| at.iter().map(|&index| row[index].clone()).collect();
        self.rows.iter().map(key).collect()
    }
}

/// The values that must be exactly the same. Floats are left out, and nulls are not texts.
fn exact(row: &[Cell]) -> Vec<Option<&str>> {
    row.iter()
        .map(|cell| match cell {
            Cell::Null => None,
            Cell::Float(_) => Some("a float"),
            Cell::Text(text) => Some(text.as_str()),
        })
        .collect()
}

/// A row for a message, with large values shortened.
fn brief(row: &[Cell]) -> String {
    let cell = |cell: &Cell| match cell {
        Cell::Null => "null".to_owned(),
        Cell::Float(value) => format!("{value:?}"),
        Cell::Text(text) if text.chars().count() > 60 => {
            format!("{}… ({} bytes)", text.chars().take(60).collect::<String>(), text.len())
        }
        Cell::Text(text) => text.clone(),
    };
    let cells: Vec<String> = row.iter().take(40).map(cell).collect();
    format!("({})", cells.join(" | "))
}

/// Texts are one type and binaries are one type, in any layout. Nullability and the names of a list's elements do not
/// count as parts of a type.
fn plain(kind: &DataType) -> DataType {
    let field = |field: &FieldRef, name: &str| {
        Arc::new(Field::new(name, plain(field.data_type()), true)) as FieldRef
    };
    match kind {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        DataType::List(element) | DataType::ListView(element) => {
            DataType::List(field(element, "item"))
        }
        DataType::LargeList(element) => DataType::LargeList(field(element, "item")),
        DataType::FixedSizeList(element, size) => {
            DataType::FixedSizeList(field(element, "item"), *size)
        }
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|one| field(one, one.name())).collect())
        }
        DataType::Map(entries, sorted) => DataType::Map(field(entries, "entries"), *sorted),
        other => other.clone(),
    }
}

fn rows(batch: &RecordBatch) -> Vec<Vec<Cell>> {
    // An empty text inside a list must not look the same as a null.
    let options = FormatOptions::default().with_null("∅");
    let mut rows = vec![Vec::with_capacity(batch.num_columns()); batch.num_rows()];
    for column in batch.columns() {
        let formatter = ArrayFormatter::try_new(column, &options).unwrap();
        let floats =
            column.data_type().is_floating().then(|| cast(column, &DataType::Float64).unwrap());
        for (index, row) in rows.iter_mut().enumerate() {
            row.push(match &floats {
                _ if column.is_null(index) => Cell::Null,
                Some(floats) => Cell::Float(floats.as_primitive::<Float64Type>().value(index)),
                None => Cell::Text(formatter.value(index).to_string()),
            });
        }
    }
    rows
}

fn close(one: &Cell, two: &Cell) -> bool {
    match (one, two) {
        // Only infinity itself is within the tolerance of an infinity.
        (Cell::Float(one), Cell::Float(two)) if one.is_finite() && two.is_finite() => {
            (one - two).abs() <= TOLERANCE * one.abs().max(two.abs())
        }
        (Cell::Float(one), Cell::Float(two)) => one == two || (one.is_nan() && two.is_nan()),
        (one, two) => one == two,
    }
}

/// Exact values come first, so that floats that differ in their last digits do not separate equal rows.
fn order(one: &[Cell], two: &[Cell]) -> Ordering {
    let exact = |cell: &Cell| match cell {
        Cell::Null => (0, String::new()),
        Cell::Text(text) => (1, text.clone()),
        Cell::Float(_) => (2, String::new()),
    };
    let float = |cell: &Cell| if let Cell::Float(value) = cell { *value } else { 0.0 };
    one.iter().map(exact).cmp(two.iter().map(exact)).then_with(|| {
        let pairs = one.iter().map(float).zip(two.iter().map(float));
        pairs
            .map(|(one, two)| one.total_cmp(&two))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    })
}

/// Panics unless `got` holds the rows of `want`, each the same number of times, in the order of `keys`.
///
/// # Panics
/// The answers differ. The message starts with `label`.
pub fn assert_same(label: &str, want: &Table, got: &Table, keys: &[&str]) {
    assert_eq!(want.columns, got.columns, "{label}: columns");
    assert_eq!(want.row_count(), got.row_count(), "{label}: rows");
    for (at, (one, two)) in want.keys(keys).iter().zip(got.keys(keys)).enumerate() {
        let same = one.iter().zip(&two).all(|(one, two)| close(one, two));
        assert!(same, "{label}: row {at} has the sort key {two:?}, not {one:?}");
    }
    let sorted = |table: &Table| {
        let mut rows = table.rows.clone();
        rows.sort_by(|one, two| order(one, two));
        rows
    };
    for (one, two) in sorted(want).iter().zip(sorted(got)) {
        let same = one.iter().zip(&two).all(|(one, two)| close(one, two));
        assert!(same, "{label}: got {two:?}, not {one:?}");
    }
}

/// `None` if `got` holds the rows of `want`, each the same number of times (and, if `ordered`, in the same order).
/// Otherwise a short text: columns differ, row counts, first differing row.
#[must_use]
pub fn difference(want: &[RecordBatch], got: &[RecordBatch], ordered: bool) -> Option<String> {
    Table::new(want).difference(&Table::new(got), ordered)
}
