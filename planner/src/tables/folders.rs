//! Columns whose values are in the names of folders, as `year=2024/month=01/part.parquet`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use dunlin_plan::write::NULL_FOLDER;
use object_store::path::{Path, PathPart};

use super::error::TableError;
use super::listing::Places;

/// Finds the columns that all files have, in the same order. Values that are all whole numbers or all dates are seen
/// as such; other values are text.
pub(crate) fn found<'a>(
    places: &Places,
    files: impl Iterator<Item = &'a Path> + Clone,
) -> Vec<FieldRef> {
    let keys =
        |path: &Path| -> Vec<String> { pairs(&places.folders(path)).map(|(key, _)| key).collect() };
    let mut all = files.clone();
    let Some(first) = all.next().map(keys) else { return Vec::new() };
    let once = first.iter().enumerate().all(|(at, key)| !first[..at].contains(key));
    if first.is_empty() || !once || !all.all(|path| keys(path) == first) {
        return Vec::new();
    }
    let mut types: Vec<Seen> = first.iter().map(|_| Seen::default()).collect();
    for path in files {
        for ((_, value), seen) in pairs(&places.folders(path)).zip(&mut types) {
            seen.add(&value);
        }
    }
    let column = |(name, seen): (String, Seen)| Arc::new(Field::new(name, seen.data_type(), true));
    first.into_iter().zip(types).map(column).collect()
}

/// What the values of a column have been so far.
#[derive(Default)]
struct Seen {
    any: bool,
    is_text: bool,
    is_no_number: bool,
    is_no_date: bool,
}

impl Seen {
    fn add(&mut self, value: &str) {
        if value == NULL_FOLDER {
            return;
        }
        self.any = true;
        self.is_no_number |= value.parse::<i64>().is_err() || value.starts_with('+');
        self.is_no_date |=
            value.len() != "2024-01-31".len() || parse(value, &DataType::Date32).is_none();
        self.is_text = self.is_no_number && self.is_no_date;
    }

    fn data_type(&self) -> DataType {
        match self {
            Self { any: false, .. } | Self { is_text: true, .. } => DataType::Utf8,
            Self { is_no_number: false, .. } => DataType::Int64,
            Self { .. } => DataType::Date32,
        }
    }
}

/// The values of the columns for one file.
///
/// # Errors
/// A file outside of such folders, or a value of another type.
pub(crate) fn values(
    places: &Places,
    path: &Path,
    columns: &[FieldRef],
) -> Result<Vec<ScalarValue>, TableError> {
    let folders = places.folders(path);
    let wrong = |what: String| TableError::Invalid(format!("file {path}: {what}"));
    columns
        .iter()
        .map(|column| {
            let name = column.name();
            let found = pairs(&folders).find(|(key, _)| key.eq_ignore_ascii_case(name));
            let Some((_, value)) = found else {
                return Err(wrong(format!("no folder above it is named {name}=…")));
            };
            if value == NULL_FOLDER {
                return Ok(ScalarValue::try_from(column.data_type())?);
            }
            parse(&value, column.data_type())
                .ok_or_else(|| wrong(format!("folder {name}={value} is no {}", column.data_type())))
        })
        .collect()
}

/// The values of the columns that the names of some folders say already. Nothing of a column that they do not name, or
/// whose value is of another type.
pub(super) fn known(folders: &[PathPart<'_>], columns: &[FieldRef]) -> Vec<Option<ScalarValue>> {
    let value = |column: &FieldRef| {
        let (_, value) = pairs(folders).find(|(key, _)| key.eq_ignore_ascii_case(column.name()))?;
        if value == NULL_FOLDER {
            return ScalarValue::try_from(column.data_type()).ok();
        }
        parse(&value, column.data_type())
    };
    columns.iter().map(value).collect()
}

/// True if one of the folders is that of a column.
pub(super) fn names(folders: &[PathPart<'_>], column: &FieldRef) -> bool {
    pairs(folders).any(|(key, _)| key.eq_ignore_ascii_case(column.name()))
}

fn parse(value: &str, data_type: &DataType) -> Option<ScalarValue> {
    let parsed = ScalarValue::try_from_string(value.to_owned(), data_type).ok()?;
    // A cast gives NULL for a text that it cannot read.
    (!parsed.is_null()).then_some(parsed)
}

/// `key=value` parts, with percent-encoded characters decoded, as Hive and Spark write them.
fn pairs<'a>(folders: &'a [PathPart<'a>]) -> impl Iterator<Item = (String, String)> + 'a {
    let decoded =
        |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    folders.iter().filter_map(move |part| {
        let (key, value) = part.as_ref().split_once('=')?;
        (!key.is_empty()).then(|| (decoded(key), decoded(value)))
    })
}
