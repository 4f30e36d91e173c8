//! Small tables with many nulls and few distinct values, in several files each.
//!
//! Keys have few possible values, so that joins match and groups have several members. Every table has a unique `id`,
//! on which total orders depend. Doubles are halves of small whole numbers, so their sums are exact in any order.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use crate::parquet_files::write_file;
use crate::place::TableOf;
use crate::random::ast::Type;
use crate::rng::Rng;

/// A table as the generator sees it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// `id` first.
    pub(crate) columns: Vec<(String, Type)>,
    pub(crate) rows: usize,
}

/// Names and storage of the columns that a table may have.
const COLUMNS: [(&str, Type, Storage); 12] = [
    ("i", Type::Int, Storage::Int),
    ("k", Type::Int, Storage::Int),
    ("b", Type::Int, Storage::Big),
    ("x", Type::Double, Storage::Double),
    ("y", Type::Double, Storage::Double),
    ("m", Type::Decimal, Storage::Decimal),
    ("s", Type::Text, Storage::Text),
    ("g", Type::Text, Storage::Text),
    ("f", Type::Bool, Storage::Bool),
    ("d", Type::Date, Storage::Date),
    ("ts", Type::Timestamp, Storage::Timestamp),
    ("l", Type::List, Storage::List),
];

#[derive(Clone, Copy)]
enum Storage {
    Int,
    Big,
    Double,
    Decimal,
    Text,
    Bool,
    Date,
    Timestamp,
    List,
}

/// 2024-01-01 in days and microseconds.
const DAY: i32 = 19_723;
const MICROSECONDS: i64 = DAY as i64 * 86_400_000_000;
const TEXTS: [&str; 7] = ["", "a", "b", "ab", "Ba", "ä", "x%y"];

/// Writes a set of tables below `folder`.
pub(crate) fn write(folder: &Path, rng: &mut Rng) -> (Vec<Table>, Vec<TableOf>) {
    let count = 5 + rng.below(4);
    let mut known = Vec::new();
    let mut places = Vec::new();
    for number in 0..count {
        let rows = match number {
            // First enough rows for several row groups in all partitions, then few, then none.
            0 => 90 + rng.below(60),
            1 => 1 + rng.below(3),
            2 if rng.one_in(2) => 0,
            _ => 12 + rng.below(28),
        };
        let name = format!("t{number}");
        let path = folder.join(&name);
        std::fs::create_dir_all(&path).unwrap();
        // The first table has every column, the others have most of them.
        let columns: Vec<_> =
            COLUMNS.into_iter().filter(|_| number == 0 || !rng.one_in(3)).collect();
        let nulls = [2, 4, 10][rng.below(3)];
        write_table(&path, &columns, rows, nulls, rng);
        let mut named = vec![("id".to_owned(), Type::Int)];
        named.extend(columns.iter().map(|(name, kind, _)| ((*name).to_owned(), *kind)));
        places.push(TableOf::parquet(&name, &path));
        known.push(Table { name, columns: named, rows });
    }
    (known, places)
}

/// Seven to nine files: one empty, one with one row, one with only nulls, and the others random.
fn write_table(
    folder: &Path,
    columns: &[(&str, Type, Storage)],
    rows: usize,
    nulls: usize,
    rng: &mut Rng,
) {
    let files = 7 + rng.below(3);
    let mut sizes = vec![0; files];
    let mut left = rows;
    for size in sizes.iter_mut().take(files - 1).skip(1) {
        *size = if left > 0 { 1 + rng.below(left.min(2 * rows / files + 1)) } else { 0 };
        left -= *size;
    }
    sizes[files - 1] = left;
    let strict = rng.one_in(2);
    let mut fields = vec![Field::new("id", DataType::Int32, !strict)];
    fields.extend(columns.iter().map(|(name, _, storage)| Field::new(*name, kind(*storage), true)));
    let schema = Arc::new(Schema::new(fields));
    let mut id = 0;
    for (file, &size) in sizes.iter().enumerate() {
        // The second file that may hold rows holds only nulls.
        let nulls = if file == 2 { 1 } else { nulls };
        let size = if file == 1 { size.min(1) } else { size };
        let ids = Int32Array::from_iter_values(id..id + size as i32);
        id += size as i32;
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(ids)];
        arrays.extend(columns.iter().map(|(_, _, storage)| array(*storage, size, nulls, rng)));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
        let path = folder.join(format!("part-{file}.parquet"));
        write_file(&path, &batch, None).unwrap();
    }
}

fn kind(storage: Storage) -> DataType {
    array(storage, 0, 1, &mut Rng::new(0)).data_type().clone()
}

/// `size` values, one in `nulls` of them null.
fn array(storage: Storage, size: usize, nulls: usize, rng: &mut Rng) -> ArrayRef {
    fn some<T>(
        size: usize,
        nulls: usize,
        rng: &mut Rng,
        mut value: impl FnMut(&mut Rng) -> T,
    ) -> Vec<Option<T>> {
        (0..size).map(|_| if rng.one_in(nulls) { None } else { Some(value(rng)) }).collect()
    }
    match storage {
        Storage::Int => {
            let values = some(size, nulls, rng, |rng| rng.below(8) as i32 - 1);
            Arc::new(Int32Array::from(values))
        }
        Storage::Big => {
            let values = some(size, nulls, rng, |rng| rng.below(12) as i64 - 3);
            Arc::new(Int64Array::from(values))
        }
        Storage::Double => {
            let values = some(size, nulls, rng, |rng| (rng.below(14) as f64 - 4.0) / 2.0);
            Arc::new(Float64Array::from(values))
        }
        Storage::Decimal => {
            let values = some(size, nulls, rng, |rng| (rng.below(10) as i128 - 2) * 25);
            let array = Decimal128Array::from(values).with_precision_and_scale(10, 2).unwrap();
            Arc::new(array)
        }
        Storage::Text => {
            Arc::new(StringArray::from(some(size, nulls, rng, |rng| TEXTS[rng.below(7)])))
        }
        Storage::Bool => Arc::new(BooleanArray::from(some(size, nulls, rng, |rng| rng.one_in(2)))),
        Storage::Date => {
            let values = some(size, nulls, rng, |rng| DAY + rng.below(6) as i32 * 9);
            Arc::new(Date32Array::from(values))
        }
        Storage::Timestamp => {
            let step = 11 * 3_600_000_000;
            let values = some(size, nulls, rng, |rng| MICROSECONDS + rng.below(6) as i64 * step);
            Arc::new(TimestampMicrosecondArray::from(values))
        }
        Storage::List => {
            let values = some(size, nulls, rng, |rng| {
                let length = rng.below(4);
                some(length, 5, rng, |rng| rng.below(6) as i64)
            });
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(values))
        }
    }
}
