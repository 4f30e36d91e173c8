//! What the answer must be: single-process DataFusion with its own defaults, and the comparison.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use dunlin_cli::tpch;

/// Columns that each query's ORDER BY names, in its order.
const SORT_KEYS: [&[&str]; 22] = [
    &["l_returnflag", "l_linestatus"],
    &["s_acctbal", "n_name", "s_name", "p_partkey"],
    &["revenue", "o_orderdate"],
    &["o_orderpriority"],
    &["revenue"],
    &[],
    &["supp_nation", "cust_nation", "l_year"],
    &["o_year"],
    &["nation", "o_year"],
    &["revenue"],
    &["value"],
    &["l_shipmode"],
    &["custdist", "c_count"],
    &[],
    &["s_suppkey"],
    &["supplier_cnt", "p_brand", "p_type", "p_size"],
    &[],
    &["o_totalprice", "o_orderdate"],
    &[],
    &["s_name"],
    &["numwait", "s_name"],
    &["cntrycode"],
];

/// Relative difference that two floats may have: sums are made in another order.
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

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// `None` if `got` holds the same rows, each as often, and in the same order if that is asked for; else a
    /// few words about the first difference.
    pub fn difference(&self, got: &Self, ordered: bool) -> Option<String> {
        if self.columns != got.columns {
            return Some(format!("columns {:?}, not {:?}", got.columns, self.columns));
        }
        let same = |one: &[Cell], two: &[Cell]| one.iter().zip(two).all(|(a, b)| close(a, b));
        if self.len() == got.len() && ordered {
            let mut pairs = self.rows.iter().zip(&got.rows).enumerate();
            let (at, (one, two)) = pairs.find(|(_, (one, two))| !same(one, two))?;
            return Some(format!("row {at} is {}, not {}", brief(two), brief(one)));
        }
        // Rows that differ in floats only are matched one by one: a sort by floats that are merely close
        // may pair the wrong ones.
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
        let counts = match (self.len(), got.len()) {
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

    /// One number of a one-row answer.
    pub fn number(&self) -> i64 {
        match self.rows.as_slice() {
            [row] => match row.as_slice() {
                [Cell::Text(text)] => text.parse().unwrap(),
                other => panic!("not one number: {other:?}"),
            },
            other => panic!("not one row: {} rows", other.len()),
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

/// What must be the same to the letter; floats are left out, nulls are not texts.
fn exact(row: &[Cell]) -> Vec<Option<&str>> {
    row.iter()
        .map(|cell| match cell {
            Cell::Null => None,
            Cell::Float(_) => Some("a float"),
            Cell::Text(text) => Some(text.as_str()),
        })
        .collect()
}

/// A row for a message: big values shortened.
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

/// Texts and binaries are one type each, however they are laid out; whether a part may be null, and what
/// the elements of a list are called, is no part of a type.
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
    // An empty text inside a list must not look like a null.
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
        // Nothing but itself is within a tolerance of an infinity.
        (Cell::Float(one), Cell::Float(two)) if one.is_finite() && two.is_finite() => {
            (one - two).abs() <= TOLERANCE * one.abs().max(two.abs())
        }
        (Cell::Float(one), Cell::Float(two)) => one == two || (one.is_nan() && two.is_nan()),
        (one, two) => one == two,
    }
}

/// Exact values first, so that floats that differ in their last digits do not part equal rows.
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

/// Panics unless `got` holds the rows of `want`, each as often, in the order of `keys`.
pub fn assert_same(label: &str, want: &Table, got: &Table, keys: &[&str]) {
    assert_eq!(want.columns, got.columns, "{label}: columns");
    assert_eq!(want.len(), got.len(), "{label}: rows");
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

/// The reference answers over one folder.
#[derive(Debug)]
pub struct Reference {
    data: PathBuf,
    known: Mutex<BTreeMap<String, Arc<Table>>>,
}

impl Reference {
    /// The reference over `data`, shared by the tests of a process.
    pub fn over(data: &Path) -> Arc<Self> {
        static ALL: OnceLock<Mutex<BTreeMap<PathBuf, Arc<Reference>>>> = OnceLock::new();
        let mut all = ALL.get_or_init(Mutex::default).lock().unwrap();
        let fresh = || Arc::new(Self { data: data.to_owned(), known: Mutex::default() });
        Arc::clone(all.entry(data.to_owned()).or_insert_with(fresh))
    }

    /// What a single DataFusion process answers.
    pub fn answer(&self, sql: &str) -> Arc<Table> {
        // Not held while the engine runs: a panic there would poison it for every other test.
        if let Some(known) = self.known.lock().unwrap().get(sql) {
            return Arc::clone(known);
        }
        let (data, text) = (self.data.clone(), sql.to_owned());
        // A thread of its own, because the caller may be inside a runtime.
        let table = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(single(&data, &text))
        });
        let table = Arc::new(table.join().unwrap());
        self.known.lock().unwrap().insert(sql.to_owned(), Arc::clone(&table));
        table
    }

    /// Panics unless `got` is the answer to TPC-H query `number`.
    pub fn check_tpch(&self, label: &str, number: usize, got: &[RecordBatch]) {
        let want = self.answer(&tpch::query(number).unwrap());
        assert_same(&format!("{label}, Q{number}"), &want, &Table::new(got), SORT_KEYS[number - 1]);
    }

    /// Panics unless `got` is the answer to `sql`, in any order.
    pub fn check(&self, label: &str, sql: &str, got: &[RecordBatch]) {
        assert_same(label, &self.answer(sql), &Table::new(got), &[]);
    }
}

async fn single(data: &Path, sql: &str) -> Table {
    let context = SessionContext::new();
    for table in tpch::TABLES {
        let folder = format!("{}/", data.join(table).display());
        context.register_parquet(table, folder, ParquetReadOptions::default()).await.unwrap();
    }
    let frame = context.sql(sql).await.unwrap();
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let mut batches = frame.collect().await.unwrap();
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Table::new(&batches)
}
