//! The tables of the library: small tables with difficult contents.
//!
//! Every table has several files. One is empty, one has a single row and, where it says so, one has only nulls. So
//! partitions are uneven, and statistics are missing where a plan would use them. Rows come from SQL over
//! `generate_series` on one partition, so they are the same on every machine.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::prelude::{SessionConfig, SessionContext};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;

use crate::parquet_files::write_file;
use crate::place::TableOf;

/// A table: its name, the query of its rows, and how many rows each file gets. The last file gets the rest.
struct Recipe {
    name: &'static str,
    rows: String,
    files: &'static [usize],
    /// True if the files declare that they are sorted by their first two columns.
    sorted: bool,
}

const fn recipe(name: &'static str, rows: String, files: &'static [usize]) -> Recipe {
    Recipe { name, rows, files, sorted: false }
}

/// Floats that can be compared, hashed and printed in more than one way, one for each remainder of `i`.
const FLOATS: &str = "case i % 11 when 1 then cast('NaN' as double) when 2 then cast('-0.0' as double) \
    when 3 then 0.0 when 4 then cast('inf' as double) when 5 then cast('-inf' as double) \
    when 6 then null else (i - 30) / 4.0 end";

// Long, because it is a list: one table after the other.
/// Long because it is one table of columns.
fn recipes() -> Vec<Recipe> {
    let t = format!(
        "select cast(i as int) as id,
          case when i % 5 <> 3 then cast(i * 7 % 8 as int) end as k,
          case i % 6 when 0 then 'a' when 1 then 'b' when 2 then '' when 3 then 'ä' when 5 then 'A' end as g,
          cast({FLOATS} as double) as v,
          cast((i * 37 % 23 - 11) * 1.25 as decimal(12, 2)) as d,
          arrow_cast(arrow_cast(19780 + i % 9, 'Int32'), 'Date32') as dt,
          arrow_cast(1709000000000000 + (i * 13 % 10) * 1800000000, 'Timestamp(Microsecond, None)') as ts,
          arrow_cast(1709000000000000 + (i * 17 % 12) * 3600000000, 'Timestamp(Microsecond, Some(\"+02:00\"))') as tz,
          case i % 3 when 0 then true when 1 then false end as b,
          case when i % 7 <> 6 then arrow_cast(concat('b', i % 4), 'Binary') end as bin
        from (select value as i from generate_series(0, 63))"
    );
    // Rows 40 to 45 are a separate file, and only their id is set.
    let t = format!(
        "select id, {} from ({t})",
        ["k", "g", "v", "d", "dt", "ts", "tz", "b", "bin"]
            .map(|c| format!("case when id not between 40 and 45 then {c} end as {c}"))
            .join(", ")
    );
    let u = format!(
        "select cast(i as int) as n,
          case when i % 9 <> 4 then cast(30 + i * 5 % 40 as int) end as id,
          case when i % 6 <> 5 then 4 + i % 8 end as k,
          case i % 5 when 0 then 'a' when 1 then 'z' when 2 then '' when 3 then 'A' end as g,
          arrow_cast(i % 7, 'Int16') as w,
          cast({FLOATS} as double) as v
        from (select value as i from generate_series(0, 43))"
    );
    // Rows 30 to 34 are a file of nulls, and rows 35 to 37 occur twice.
    let u = format!(
        "select {} from ({u}) cross join (values (0), (1)) as twice(c)
         where c = 0 or n between 35 and 37 order by n",
        ["n", "id", "k", "g", "w", "v"]
            .map(|c| format!("case when n not between 30 and 34 then {c} end as {c}"))
            .join(", ")
    );
    let wide: Vec<String> = (0..200).map(|c| format!("i * {} % 97 as c{c}", c * c + 3)).collect();
    let sorted = "select cast(i / 30 as int) as a, cast(i % 30 as int) as b,
        case when i % 4 <> 1 then concat('c', i % 5) end as c, cast(i * 11 % 17 as double) as v
        from (select value as i from generate_series(0, 209)) order by i";
    vec![
        recipe("empty", format!("{t} where id < 0"), &[0; 6]),
        recipe("one", format!("{t} where id = 1"), &[0, 0, 0, 1, 0, 0]),
        recipe("t", t, &[10, 0, 1, 12, 17, 6, 3]),
        recipe("u", u, &[8, 0, 1, 13, 8, 5, 4]),
        recipe(
            "nulls",
            "select cast(null as int) as id, cast(null as int) as k, cast(null as varchar) as g,
             cast(null as double) as v from generate_series(1, 14)"
                .to_owned(),
            &[2, 0, 1, 3, 4, 3],
        ),
        recipe(
            "wide",
            format!(
                "select cast(i as int) as id, {} from (select value as i from generate_series(0, 39))",
                wide.join(", ")
            ),
            &[9, 0, 1, 10, 8, 7],
        ),
        recipe(
            "nested",
            "select cast(i as int) as id, cast(i % 4 as int) as k,
              case i % 5 when 0 then make_array(i, i + 1, null) when 1 then make_array(i)
                when 2 then arrow_cast(make_array(), 'List(Int64)') when 3 then null
                else make_array(3, 2, 1) end as l,
              case when i % 4 <> 2 then named_struct('a', i % 3, 'b', concat('s', i % 2)) end as s,
              map(make_array('x', concat('y', i % 3)), make_array(i, i % 2)) as m,
              case i % 3 when 0 then make_array(named_struct('a', i, 'b', 'p'), named_struct('a', i % 2, 'b', null))
                when 1 then make_array(named_struct('a', 7, 'b', 'q')) end as ls
            from (select value as i from generate_series(0, 35))"
                .to_owned(),
            &[5, 0, 1, 9, 7, 6],
        ),
        recipe(
            "dict",
            "select cast(i as int) as id,
              arrow_cast(case when i % 7 <> 2 then concat('d', i % 5) end, 'Dictionary(Int32, Utf8)') as dk,
              arrow_cast(case when i % 6 <> 1 then concat('l', i % 4) end, 'LargeUtf8') as lk,
              arrow_cast(case when i % 5 <> 4 then concat('a rather long view value ', i % 3) end, 'Utf8View') as vk,
              arrow_cast(arrow_cast(case when i % 8 <> 3 then concat('binary view value ', i % 6) end, 'Binary'), 'BinaryView') as bv,
              arrow_cast(concat('d', i % 3), 'Utf8') as plain
            from (select value as i from generate_series(0, 44))"
                .to_owned(),
            &[6, 0, 1, 11, 9, 8],
        ),
        recipe(
            "big",
            "select cast(i as int) as id, cast(i % 2 as int) as k,
              case when i = 4 then null when i = 5 then ''
                else repeat(chr(97 + i % 3), 1000000 + 500000 * (i % 5)) end as s
            from (select value as i from generate_series(0, 7))"
                .to_owned(),
            &[1, 0, 2, 1, 2, 1],
        ),
        recipe(
            "many",
            "select i as id, cast(i * 7919 % 1000 as int) as k, concat('g', i % 37) as g,
              cast(i % 100 as double) as v from (select value as i from generate_series(0, 99999))"
                .to_owned(),
            &[9000, 0, 1, 25000, 20000, 17000],
        ),
        Recipe {
            sorted: true,
            ..recipe("sorted", sorted.to_owned(), &[25, 35, 1, 40, 29, 50])
        },
        // Each file is sorted and holds one remainder of `b`, so the files overlap.
        Recipe {
            sorted: true,
            ..recipe(
                "overlap",
                format!("select a, b, c, v from ({sorted}) order by b % 7, a, b"),
                &[35, 35, 28, 28, 28, 28],
            )
        },
        // Names that SQL must quote, and that must not be confused in the text of a plan.
        recipe(
            "names",
            "select cast(i as int) as \"Id\", i % 3 as \"a b\", i % 4 as \"a.b\", i % 5 as \"select\",
              case when i % 2 = 0 then 'x' end as \"ä\", i * 2 as \"id\", i % 2 as \"count(*)\"
            from (select value as i from generate_series(0, 29))"
                .to_owned(),
            &[4, 0, 1, 8, 7, 6],
        ),
        recipe(
            "lone",
            "select cast(value as int) as id, cast(value % 3 as int) as k, concat('x', value % 4) as g
             from generate_series(0, 11)"
                .to_owned(),
            &[],
        ),
    ]
}

/// A table whose files were written by different versions of a program: columns in another order, not added yet, or
/// removed.
const VERSIONS: [&str; 7] = [
    "select cast(value as int) as id, concat('a', value % 3) as name from generate_series(0, 9)",
    "select concat('b', value % 2) as name, cast(value as int) as id from generate_series(10, 14)",
    "select cast(value as int) as id, concat('a', value % 2) as name, nullif(value * 0.5, -1) as score from generate_series(15, 24)",
    "select nullif(value * 0.5, -1) as score, cast(value as int) as id from generate_series(25, 29)",
    "select cast(value as int) as id, concat('a', value) as name from generate_series(1, 0)",
    "select nullif(value % 2, 0) = 1 as fresh, concat('a', value % 3) as name, cast(value as int) as id from generate_series(30, 37)",
    "select cast(38 as int) as id",
];

const CSV: [&str; 4] = [
    "id,name,amount\n1,\"two\nlines\",1.5\n2,plain,2.25\n",
    "id,name,amount\n3,\"comma, quote \"\" and\n\nnewlines\",-3.5\n",
    "id,name,amount\n4,,0\n5,\"\",7.75\n6,last,\n7,\"two\nlines\",4\n",
    "id,name,amount\n8,plain,2.25\n9,\"ü\n\",1\n",
];

const JSON: [&str; 4] = [
    "{\"id\":1,\"kind\":\"a\",\"at\":{\"x\":1,\"y\":[1,2]}}\n{\"id\":2,\"kind\":null,\"at\":{\"x\":2,\"y\":[]}}\n",
    "{\"id\":3,\"kind\":\"two\\nlines\",\"at\":{\"x\":null,\"y\":[3]}}\n",
    "{\"id\":4,\"at\":{\"x\":4,\"y\":null}}\n{\"id\":5,\"kind\":\"a\",\"at\":null}\n",
    "{\"id\":6,\"kind\":\"b\",\"at\":{\"x\":1,\"y\":[1,null]}}\n",
];

/// The tables, written once for all tests that use them.
///
/// # Panics
/// They cannot be written below `scratch`.
pub async fn tables(scratch: &Path) -> Vec<TableOf> {
    // Tables of another version of the generator must not be used here.
    let mut hasher = DefaultHasher::new();
    include_str!("hard_tables.rs").hash(&mut hasher);
    let folder = scratch.join(format!("exact-{:016x}", hasher.finish()));
    if !folder.exists() {
        let fresh = tempfile::tempdir_in(scratch).unwrap();
        for recipe in recipes() {
            let rows = rows(&recipe.rows).await;
            write(&fresh.path().join(recipe.name), &rows, recipe.files, recipe.sorted);
        }
        let evolved = fresh.path().join("evolved");
        std::fs::create_dir_all(&evolved).unwrap();
        for (number, version) in VERSIONS.iter().enumerate() {
            file(&evolved.join(format!("{number}.parquet")), &rows(version).await, false);
        }
        texts(&fresh.path().join("texts"), "csv", &CSV);
        texts(&fresh.path().join("events"), "json", &JSON);
        // Renamed when complete, so a second process uses what the first one wrote.
        if std::fs::rename(fresh.path(), &folder).is_ok() {
            let _ = fresh.keep();
        }
    }
    let mut tables: Vec<TableOf> = recipes()
        .iter()
        .map(|recipe| TableOf::parquet(recipe.name, &folder.join(recipe.name)))
        .collect();
    tables.push(TableOf::parquet("evolved", &folder.join("evolved")));
    tables.push(TableOf::of("texts", &folder.join("texts"), "csv"));
    tables.push(TableOf::of("events", &folder.join("events"), "json"));
    tables
}

/// The rows of a query on one partition.
///
/// # Panics
/// The engine cannot answer it.
pub async fn rows(sql: &str) -> RecordBatch {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let frame = context.sql(sql).await.unwrap();
    let schema = Arc::new(frame.schema().as_arrow().clone());
    concat_batches(&schema, &frame.collect().await.unwrap()).unwrap()
}

/// Writes `rows` as files with the given numbers of rows, and one file with the rest.
///
/// # Panics
/// They cannot be written.
pub fn write(folder: &Path, rows: &RecordBatch, files: &[usize], sorted: bool) {
    std::fs::create_dir_all(folder).unwrap();
    let mut from = 0;
    for number in 0..=files.len() {
        let count = files.get(number).copied().unwrap_or(rows.num_rows() - from);
        file(&folder.join(format!("{number}.parquet")), &rows.slice(from, count), sorted);
        from += count;
    }
}

fn file(path: &Path, rows: &RecordBatch, sorted: bool) {
    let column = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // Several row groups, so that files are split between partitions.
        .set_max_row_group_row_count(Some(6000))
        .set_sorting_columns(sorted.then(|| vec![column(0), column(1)]))
        .build();
    write_file(path, rows, Some(properties)).unwrap();
}

fn texts(folder: &PathBuf, ending: &str, files: &[&str]) {
    std::fs::create_dir_all(folder).unwrap();
    for (number, text) in files.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.{ending}")), text).unwrap();
    }
}
