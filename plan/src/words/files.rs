//! What is wrong with the files of a table, in words for people.

use super::clean::{between, plain};
use super::types::with_sql_types;

/// The most files that are named.
const NAMED: usize = 3;

/// The file that was being read, or those that were read until then.
#[must_use]
pub fn file_of(kind: &str, read: &[String]) -> String {
    match read {
        [] => format!("a {kind} file"),
        [file] => format!("the {kind} file {file}"),
        few if few.len() <= NAMED => format!("one of the {kind} files {}", few.join(", ")),
        many => {
            let (named, others) = many.split_at(NAMED);
            format!("one of the {kind} files {} and {} others", named.join(", "), others.len())
        }
    }
}

/// A file that is not, or not any more, what Parquet prescribes.
pub(super) fn parquet(text: &str, read: &[String]) -> String {
    let what = match plain(text) {
        magic
            if magic.contains("Invalid Parquet file") || magic.contains("invalid Parquet file") =>
        {
            "it does not begin and end as such a file does".to_owned()
        }
        other => other,
    };
    format!(
        "{} cannot be read: {what}; write it again, or take it out of the table",
        file_of("Parquet", read)
    )
}

/// A row of a CSV file that does not fit the table: its width, its letters.
pub(super) fn csv(text: &str, read: &[String]) -> String {
    let file = file_of("CSV", read);
    if let (Some(line), Some(expected)) =
        (between(text, "for line ", ","), between(text, "expected ", " got"))
    {
        let got = text.rsplit(" got ").next().unwrap_or_default();
        return format!(
            "line {line} of {file} has {got} values, and the table has {expected} columns; correct the line, or take the file out of the table"
        );
    }
    if let Some(line) = between(text, "invalid UTF-8 data for line ", " ") {
        return format!("line {line} of {file} is not UTF-8; write the file as UTF-8");
    }
    format!("{file} cannot be read: {}", plain(text))
}

/// A value of a CSV file that is not of its column's type; nothing if the text tells of something else.
pub(super) fn csv_value(text: &str, read: &[String]) -> Option<String> {
    let value = between(text, "while parsing value '", "' as type '")?;
    let type_of = with_sql_types(between(text, "' as type '", "' for column ")?);
    let column: usize = between(text, "' for column ", " at line ")?.parse().ok()?;
    let line = between(text, " at line ", ".").or_else(|| text.rsplit(" at line ").next())?;
    Some(format!(
        "record {line} after the header of {} has '{value}' in column {}, which is no {type_of}; correct the line, or declare the column as VARCHAR and convert it with TRY_CAST",
        file_of("CSV", read),
        column + 1
    ))
}

/// A record of a CSV file that is longer or shorter than the first, found where the columns are inferred; nothing if the
/// text tells of something else.
pub(super) fn csv_record(text: &str, read: &[String]) -> Option<String> {
    let told = |place: &str, got: &str, expected: &str| {
        format!(
            "{place} of {} has {got} values, and the first has {expected}; correct it, or take the file out of the table",
            file_of("CSV", read)
        )
    };
    // The engine counts in two ways, by who finds it.
    if let Some(rest) = text.split("unequal lengths between records on CSV file. Expected ").nth(1)
    {
        let expected = rest.split(' ').next()?;
        let (got, line) = (between(rest, "found ", " records at line ")?, rest.rsplit(' ').next()?);
        return Some(told(&format!("line {line}"), got, expected));
    }
    let expected = between(text, "unequal lengths between records on CSV file", " fields, found")?;
    let expected = expected.rsplit(' ').next()?;
    let got = between(text, "fields, found ", " fields")?;
    let record = text.rsplit("at record ").next()?;
    Some(told(&format!("record {record} after the header"), got, expected))
}

/// A line of a JSON file that does not fit the table.
pub(super) fn json(text: &str, read: &[String]) -> String {
    format!(
        "a line of {} cannot be read: {}; each line must be one object whose values have the types of the table's columns",
        file_of("JSON", read),
        plain(text)
    )
}
