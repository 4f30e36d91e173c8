//! TPC-H: data that this process generates, and the 22 queries with the specification's validation parameters.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow,
    RecordBatchIterator, RegionArrow, SupplierArrow,
};

/// The eight tables.
pub const TABLES: [&str; 8] =
    ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];

/// Tables with too few rows for the generator's own parts. Their rows are divided between the files.
const TINY: [&str; 2] = ["nation", "region"];

/// Parameters of each query, as the specification's validation runs use them.
const PARAMETERS: [&[&str]; 22] = [
    &["90"],
    &["15", "BRASS", "EUROPE"],
    &["BUILDING", "1995-03-15"],
    &["1993-07-01"],
    &["ASIA", "1994-01-01"],
    &["1994-01-01", "0.06", "24"],
    &["FRANCE", "GERMANY"],
    &["BRAZIL", "AMERICA", "ECONOMY ANODIZED STEEL"],
    &["green"],
    &["1993-10-01"],
    &["GERMANY", "0.0001"],
    &["MAIL", "SHIP", "1994-01-01"],
    &["special", "requests"],
    &["1995-09-01"],
    &["1996-01-01"],
    &["Brand#45", "MEDIUM POLISHED", "49", "14", "23", "45", "19", "3", "36", "9"],
    &["Brand#23", "MED BOX"],
    &["300"],
    &["Brand#12", "Brand#23", "Brand#34", "1", "10", "20"],
    &["forest", "1994-01-01", "CANADA"],
    &["SAUDI ARABIA"],
    &["13", "31", "23", "29", "30", "18", "17"],
];

/// The text of query `number` (1 to 22), ready to run.
///
/// # Errors
/// A number outside 1 to 22.
pub fn query(number: usize) -> Result<String> {
    let template = i32::try_from(number)
        .ok()
        .and_then(tpchgen::q_and_a::queries::query)
        .ok_or_else(|| anyhow!("TPC-H has queries 1 to 22, not {number}"))?;
    let mut text = template.trim().to_owned();
    if number == 15 {
        text = view_as_cte(&text)?;
    }
    let parameters = PARAMETERS[number - 1];
    for (index, value) in parameters.iter().enumerate().rev() {
        text = text.replace(&format!(":{}", index + 1), value);
    }
    let text = text.trim_end_matches(';').replace("day (3)", "day");
    let limit = match number {
        2 | 18 | 21 => "\nlimit 100",
        3 => "\nlimit 10",
        10 => "\nlimit 20",
        _ => "",
    };
    Ok(format!("{text}{limit}"))
}

/// Query 15 is written as `create view …; select …; drop view …`. One statement with a `with` has the same meaning.
fn view_as_cte(text: &str) -> Result<String> {
    let text = text.replace("revenue:s", "revenue");
    let mut parts = text.split(';').map(str::trim);
    let view = parts.next().and_then(|view| view.strip_prefix("create view"));
    let (view, select) = view.zip(parts.next()).context("query 15 has another shape")?;
    let (head, body) = view.split_once(" as").context("query 15 has another shape")?;
    Ok(format!("with{head} as ({body})\n{select}"))
}

/// Writes all tables below `folder`, `files` Parquet files each, and returns the bytes written.
///
/// # Errors
/// A folder that cannot be written.
pub fn generate(folder: &Path, scale: f64, files: usize) -> Result<u64> {
    let jobs: Vec<(&str, usize)> =
        TABLES.iter().flat_map(|table| (0..files).map(move |file| (*table, file))).collect();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    for table in TABLES {
        std::fs::create_dir_all(folder.join(table))
            .with_context(|| format!("cannot make {}", folder.join(table).display()))?;
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut bytes = 0;
                    while let Some((table, file)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let path = folder.join(table).join(format!("part-{file:04}.parquet"));
                        bytes += write_file(&path, table, scale, *file, files)?;
                    }
                    Ok::<u64, anyhow::Error>(bytes)
                })
            })
            .collect();
        let mut total = 0;
        for worker in workers {
            total += worker.join().map_err(|_| anyhow!("a generator thread panicked"))??;
        }
        Ok(total)
    })
}

fn write_file(path: &Path, table: &str, scale: f64, file: usize, files: usize) -> Result<u64> {
    let (part, parts) = if TINY.contains(&table) {
        (1, 1)
    } else {
        (i32::try_from(file + 1)?, i32::try_from(files)?)
    };
    let batches = rows(table, scale, part, parts)?;
    let schema: SchemaRef = Arc::clone(batches.schema());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    let out = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut writer = ArrowWriter::try_new(out, schema, Some(properties))?;
    if TINY.contains(&table) {
        for batch in batches {
            writer.write(&deal(&batch, file, files))?;
        }
    } else {
        for batch in batches {
            writer.write(&batch)?;
        }
    }
    writer.close()?;
    Ok(std::fs::metadata(path)?.len())
}

/// The rows of a small table for file `file` of `files`. There may be none.
fn deal(batch: &RecordBatch, file: usize, files: usize) -> RecordBatch {
    let rows = batch.num_rows();
    let (first, last) = (rows * file / files, rows * (file + 1) / files);
    batch.slice(first, last - first)
}

fn rows(table: &str, scale: f64, part: i32, parts: i32) -> Result<Box<dyn RecordBatchIterator>> {
    Ok(match table {
        "customer" => Box::new(CustomerArrow::new(CustomerGenerator::new(scale, part, parts))),
        "lineitem" => Box::new(LineItemArrow::new(LineItemGenerator::new(scale, part, parts))),
        "nation" => Box::new(NationArrow::new(NationGenerator::new(scale, part, parts))),
        "orders" => Box::new(OrderArrow::new(OrderGenerator::new(scale, part, parts))),
        "part" => Box::new(PartArrow::new(PartGenerator::new(scale, part, parts))),
        "partsupp" => Box::new(PartSuppArrow::new(PartSuppGenerator::new(scale, part, parts))),
        "region" => Box::new(RegionArrow::new(RegionGenerator::new(scale, part, parts))),
        "supplier" => Box::new(SupplierArrow::new(SupplierGenerator::new(scale, part, parts))),
        other => return Err(anyhow!("TPC-H has no table {other}")),
    })
}

/// `[[tables]]` entries for the eight tables below a location that ends in `/`.
#[must_use]
pub fn tables_toml(location: &str) -> String {
    entries(&TABLES, location)
}

/// `[[tables]]` entries for some tables below a location that ends in `/`.
#[must_use]
pub fn entries(tables: &[&str], location: &str) -> String {
    tables
        .iter()
        .map(|table| {
            format!("[[tables]]\nname = \"{table}\"\nlocation = \"{location}{table}/\"\n\n")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_query_is_one_statement_without_placeholders() {
        for number in 1..=22 {
            let text = query(number).unwrap();
            assert!(!text.contains(':') && !text.contains(';'), "{number}: {text}");
        }
        assert!(query(0).is_err() && query(23).is_err());
    }

    #[test]
    fn dealing_a_tiny_table_loses_no_row() {
        let whole: usize = rows("nation", 1.0, 1, 1).unwrap().map(|batch| batch.num_rows()).sum();
        let dealt: usize = (0..7)
            .flat_map(|file| {
                rows("nation", 1.0, 1, 1)
                    .unwrap()
                    .map(move |batch| deal(&batch, file, 7).num_rows())
            })
            .sum();
        assert_eq!((whole, dealt), (25, 25));
    }
}
