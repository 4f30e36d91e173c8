//! Columns whose values are names of folders, as `year=2024`.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use object_store::path::{Path, PathPart};

use super::error::WriteError;

/// The name of a folder whose rows have NULL in the column: Hive's word.
pub const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// Longest name of a folder, which file systems have.
const LONGEST: usize = 255;

/// True for types whose values can be names of folders, and come back from them unchanged.
#[must_use]
pub fn is_folder_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_folder_type(values),
        other => {
            other.is_integer()
                || matches!(
                    other,
                    DataType::Utf8
                        | DataType::LargeUtf8
                        | DataType::Utf8View
                        | DataType::Date32
                        | DataType::Boolean
                )
        }
    }
}

/// The rows of a batch that belong to one folder: they follow one another, because rows are sorted by folder.
#[derive(Debug)]
pub(super) struct Run {
    /// The folder, below the target's.
    pub(super) folder: Path,
    pub(super) from: usize,
    pub(super) rows: usize,
}

/// Cuts a batch where the folder changes.
pub(super) fn runs(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<Run>> {
    let schema = batch.schema();
    let texts: Vec<(&str, ArrayRef)> = columns
        .iter()
        .map(|at| {
            Ok((schema.field(*at).name().as_str(), cast(batch.column(*at), &DataType::Utf8)?))
        })
        .collect::<Result<_>>()?;
    let value = |text: &ArrayRef, row: usize| -> Option<String> {
        text.is_valid(row).then(|| text.as_string::<i32>().value(row).to_owned())
    };
    let mut runs: Vec<(Vec<Option<String>>, usize, usize)> = Vec::new();
    for row in 0..batch.num_rows() {
        let same = runs.last().is_some_and(|(values, ..)| {
            texts.iter().zip(values).all(|((_, text), value)| match value {
                None => text.is_null(row),
                Some(value) => text.is_valid(row) && text.as_string::<i32>().value(row) == value,
            })
        });
        match runs.last_mut() {
            Some((_, _, rows)) if same => *rows += 1,
            _ => runs.push((texts.iter().map(|(_, text)| value(text, row)).collect(), row, 1)),
        }
    }
    runs.into_iter()
        .map(|(values, from, rows)| {
            let names = texts.iter().map(|(column, _)| *column);
            let parts = names.zip(&values).map(|(column, value)| name(column, value.as_deref()));
            let folder = parts.collect::<Result<Vec<_>, _>>()?.into_iter().collect();
            Ok(Run { folder, from, rows })
        })
        .collect()
}

/// The folder's name for a value.
fn name<'a>(column: &str, value: Option<&str>) -> Result<PathPart<'a>, WriteError> {
    let Some(text) = value else { return Ok(PathPart::from(format!("{column}={NULL_FOLDER}"))) };
    let no =
        |why| Err(WriteError::Folder { column: column.to_owned(), value: text.to_owned(), why });
    if text.is_empty() {
        return no("it is empty");
    }
    if text == NULL_FOLDER {
        return no("this name means NULL");
    }
    let part = PathPart::from(format!("{column}={text}"));
    if part.as_ref().len() > LONGEST {
        return no("it is too long");
    }
    Ok(part)
}
