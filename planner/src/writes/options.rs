//! How rows are written: the options of COPY and CREATE TABLE AS.

use datafusion::sql::sqlparser::tokenizer::Location;
use dunlin_plan::write::{CsvStyle, WriteCompression, WriteFormat};

use crate::error::PlanError;
use crate::mistakes::{did_you_mean, nearest};
use crate::tables::config::{Compression, Format};

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A name alone.
    None,
    /// A word, number or text.
    One(String),
    /// A list of names.
    List(Vec<String>),
}

/// How rows are written, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) format: Option<WriteFormat>,
    pub(crate) compression: Option<WriteCompression>,
    pub(crate) partition_by: Vec<String>,
    pub(crate) file_bytes: Option<u64>,
    pub(crate) group_rows: Option<u64>,
    pub(crate) csv: CsvStyle,
    /// An option of CSV, if one is said.
    pub(crate) of_csv: Option<&'static str>,
    /// Files that are there stay.
    pub(crate) append: bool,
    /// A file that is there is replaced.
    pub(crate) overwrite: bool,
    /// Where a table's files go.
    pub(crate) location: Option<String>,
}

/// Every option, under the name that this page uses, and other words for it.
const NAMES: &[(&str, &[&str])] = &[
    ("format", &["file_format", "stored_as"]),
    ("compression", &["codec", "compress"]),
    ("partition_by", &["partitioned_by", "partitioning"]),
    ("file_size", &["file_size_bytes", "max_file_size", "target_file_size"]),
    ("row_group_size", &["max_row_group_size"]),
    ("header", &["has_header"]),
    ("delimiter", &["sep", "delim"]),
    ("null", &["nullstr", "null_value"]),
    ("append", &[]),
    ("overwrite", &["overwrite_or_ignore"]),
    ("location", &["external_location"]),
];

/// Files of at least this size, so that a slip of a unit makes no million of files.
const LEAST_FILE: u64 = 64 << 10;
/// The most of one file: a PUT in parts has at most 10,000 of 16 MiB.
const MOST_FILE: u64 = 128 << 30;

impl Options {
    /// Reads options.
    ///
    /// # Errors
    /// An option that there is not, or one with a wrong value.
    pub(crate) fn read(said: Vec<(String, Value, Location)>) -> Result<Self, PlanError> {
        let mut options = Self::default();
        for (name, value, at) in said {
            options.set(&name, value).map_err(|what| PlanError::Syntax {
                message: format!("{what} (line {}, column {})", at.line, at.column),
                position: Some((at.line, at.column)),
                source: None,
            })?;
        }
        Ok(options)
    }

    fn set(&mut self, said: &str, value: Value) -> Result<(), String> {
        let short = said.strip_prefix("format.").unwrap_or(said);
        let known = NAMES.iter().find(|(name, others)| *name == short || others.contains(&short));
        let Some((name, _)) = known else {
            let names = NAMES.iter().map(|(name, _)| *name);
            let near = did_you_mean(&nearest(short, names.clone()));
            let all = || format!("the options are {}", names.collect::<Vec<_>>().join(", "));
            return Err(format!("there is no option {said}; {}", near.unwrap_or_else(all)));
        };
        match *name {
            "format" => self.format = Some(format(&one(name, value)?)?),
            "compression" => self.compression = Some(compression(&one(name, value)?)?),
            "partition_by" => {
                self.partition_by = match value {
                    Value::List(columns) => columns,
                    Value::One(text) => {
                        text.split(',').map(|name| name.trim().to_lowercase()).collect()
                    }
                    Value::None => return Err("partition_by needs columns".to_owned()),
                };
            }
            "file_size" => {
                let text = one(name, value)?;
                let bytes = size(&text)
                    .filter(|bytes| (LEAST_FILE..=MOST_FILE).contains(bytes))
                    .ok_or_else(|| {
                        format!("file_size {text} is not a size from 64 KiB to 128 GiB, as '256MB'")
                    })?;
                self.file_bytes = Some(bytes);
            }
            "row_group_size" => {
                let text = one(name, value)?;
                let rows = text.parse().ok().filter(|rows| (1..=1 << 30).contains(rows));
                self.group_rows = Some(
                    rows.ok_or_else(|| format!("row_group_size {text} is not a number of rows"))?,
                );
            }
            "header" => (self.csv.header, self.of_csv) = (truth(name, value)?, Some("header")),
            "delimiter" => {
                let text = one(name, value)?;
                let text = if text == "\\t" { "\t".to_owned() } else { text };
                let byte = match text.as_bytes() {
                    &[byte] if byte != b'"' && (byte == b'\t' || !byte.is_ascii_control()) => byte,
                    _ => return Err(format!("delimiter {text:?} is not one ASCII character")),
                };
                (self.csv.delimiter, self.of_csv) = (byte, Some("delimiter"));
            }
            "null" => (self.csv.null, self.of_csv) = (one(name, value)?, Some("null")),
            "append" => self.append = truth(name, value)?,
            "overwrite" => self.overwrite = truth(name, value)?,
            _ => self.location = Some(one(name, value)?),
        }
        Ok(())
    }

    /// The format: the one that is said, or the one that the target's name says, or Parquet.
    pub(crate) fn format_of(&self, target: &str) -> Result<WriteFormat, PlanError> {
        let Some(said) = self.format else {
            return match Format::of(target) {
                None | Some(Format::Parquet) => Ok(WriteFormat::Parquet),
                Some(Format::Csv) => Ok(WriteFormat::Csv),
                Some(Format::Json) => Ok(WriteFormat::Json),
                Some(Format::Arrow) => Ok(WriteFormat::Arrow),
                Some(Format::Avro) => Err(no_avro()),
            };
        };
        Ok(said)
    }

    /// The compression, and what does not fit the format.
    pub(crate) fn compression_of(
        &self,
        format: WriteFormat,
        target: &str,
    ) -> Result<WriteCompression, PlanError> {
        if let Some(name) = self.of_csv
            && format != WriteFormat::Csv
        {
            return Err(refused(format!("{name} is for CSV, and the format is {format:?}")));
        }
        if self.group_rows.is_some() && format != WriteFormat::Parquet {
            return Err(refused(format!(
                "row_group_size is for Parquet, and the format is {format:?}"
            )));
        }
        let by_name = Compression::of(target).map(|(compression, _)| compression);
        let Some(compression) = self.compression else {
            return match (format, by_name) {
                (WriteFormat::Parquet, _) => Ok(WriteCompression::Zstd),
                (_, Some(Compression::Gzip)) => Ok(WriteCompression::Gzip),
                (_, Some(Compression::Zstd)) => Ok(WriteCompression::Zstd),
                (_, None | Some(Compression::None)) => Ok(WriteCompression::None),
                (_, Some(other)) => {
                    Err(refused(format!("{other:?} is read and not written; use gzip or zstd")))
                }
            };
        };
        let fits = match format {
            WriteFormat::Parquet => true,
            WriteFormat::Csv | WriteFormat::Json => {
                matches!(
                    compression,
                    WriteCompression::None | WriteCompression::Gzip | WriteCompression::Zstd
                )
            }
            WriteFormat::Arrow => {
                matches!(
                    compression,
                    WriteCompression::None | WriteCompression::Lz4 | WriteCompression::Zstd
                )
            }
        };
        let says = match by_name {
            Some(Compression::Gzip) => Some(WriteCompression::Gzip),
            Some(Compression::Zstd) => Some(WriteCompression::Zstd),
            Some(_) => None,
            None => Some(WriteCompression::None),
        };
        let is_text = matches!(format, WriteFormat::Csv | WriteFormat::Json);
        if fits && is_text && Format::of(target).is_some() && says != Some(compression) {
            return Err(refused(format!(
                "the name {target} and the compression {compression:?} do not fit; readers go by the name"
            )));
        }
        if fits {
            return Ok(compression);
        }
        Err(refused(format!("{format:?} files are not compressed with {compression:?}")))
    }
}

fn refused(what: String) -> PlanError {
    PlanError::Unsupported { operator: "a write with these options".to_owned(), reason: what }
}

fn no_avro() -> PlanError {
    refused("Avro is read and not written; choose parquet, csv, json or arrow".to_owned())
}

fn one(name: &str, value: Value) -> Result<String, String> {
    match value {
        Value::One(text) => Ok(text),
        Value::None => Err(format!("{name} needs a value")),
        Value::List(_) => Err(format!("{name} needs one value, and a list is given")),
    }
}

fn truth(name: &str, value: Value) -> Result<bool, String> {
    let text = match value {
        Value::None => return Ok(true),
        value => one(name, value)?,
    };
    match text.to_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(format!("{name} {text} is neither true nor false")),
    }
}

fn format(text: &str) -> Result<WriteFormat, String> {
    match text.to_lowercase().as_str() {
        "parquet" => Ok(WriteFormat::Parquet),
        "csv" => Ok(WriteFormat::Csv),
        "json" | "jsonl" | "ndjson" => Ok(WriteFormat::Json),
        "arrow" | "ipc" | "feather" => Ok(WriteFormat::Arrow),
        _ => Err(format!(
            "format {text} is not written; the formats are parquet, csv, json and arrow"
        )),
    }
}

fn compression(text: &str) -> Result<WriteCompression, String> {
    // `zstd(3)` is how the engine writes it; the level is Dunlin's.
    let lower = text.to_lowercase();
    match lower.split('(').next().unwrap_or_default() {
        "none" | "uncompressed" => Ok(WriteCompression::None),
        "snappy" => Ok(WriteCompression::Snappy),
        "lz4" | "lz4_raw" => Ok(WriteCompression::Lz4),
        "gzip" | "gz" => Ok(WriteCompression::Gzip),
        "zstd" | "zst" => Ok(WriteCompression::Zstd),
        _ => Err(format!("compression {text} is not written; use none, snappy, lz4, gzip or zstd")),
    }
}

/// `268435456`, `256MB`, `256 MiB`, `1gb`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "b" => 1,
        "kb" => 1_000,
        "kib" => 1 << 10,
        "mb" => 1_000_000,
        "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn options(said: &[(&str, &str)]) -> Result<Options, PlanError> {
        let at = Location { line: 1, column: 1 };
        let option = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), Value::One((*value).to_owned()), at)
        };
        Options::read(said.iter().map(option).collect())
    }

    #[test]
    fn options_are_read_under_the_names_that_other_tools_use() {
        let read = options(&[
            ("format.compression", "ZSTD(3)"),
            ("partitioned_by", "a, B"),
            ("file_size", "1 MiB"),
            ("delimiter", "\\t"),
        ]);
        let read = read.unwrap();
        assert_eq!(read.compression, Some(WriteCompression::Zstd));
        assert_eq!(read.partition_by, ["a", "b"]);
        assert_eq!((read.file_bytes, read.csv.delimiter), (Some(1 << 20), b'\t'));
    }

    #[test]
    fn wrong_options_are_told_with_what_would_be_right() {
        for (name, value, told) in [
            ("compresion", "zstd", "did you mean compression?"),
            ("colour", "red", "the options are format, compression"),
            ("format", "orc", "the formats are parquet"),
            ("compression", "br", "use none, snappy"),
            ("file_size", "12", "64 KiB"),
            ("header", "maybe", "neither true nor false"),
            ("delimiter", "ab", "one ASCII character"),
        ] {
            let error = options(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(told), "{name}: {error}");
        }
    }

    #[test]
    fn the_name_of_the_target_says_format_and_compression() {
        let none = Options::default();
        let of = |target: &str| {
            let format = none.format_of(target).unwrap();
            (format, none.compression_of(format, target).unwrap())
        };
        assert_eq!(of("s3://b/x/"), (WriteFormat::Parquet, WriteCompression::Zstd));
        assert_eq!(of("x.csv.gz"), (WriteFormat::Csv, WriteCompression::Gzip));
        assert_eq!(of("x.jsonl"), (WriteFormat::Json, WriteCompression::None));
        assert!(none.format_of("x.avro").is_err());
        let lz4 = options(&[("compression", "lz4")]).unwrap();
        assert!(lz4.compression_of(WriteFormat::Csv, "x").is_err());
    }
}
