//! An error of a plan that runs, in words for people.

use std::error::Error;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::object_store;
use datafusion::parquet::errors::ParquetError;

use super::clean::{between, plain};
use super::types::with_sql_types;
use super::{files, of_store};

/// What went wrong, and what to do about it.
#[must_use]
pub fn sentence(error: &DataFusionError) -> String {
    sentence_in(error, &[])
}

/// What went wrong, and what to do about it. `read` are the files that were read at that time, for errors of files.
#[must_use]
pub fn sentence_in(error: &DataFusionError, read: &[String]) -> String {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => of_arrow(error, read),
        DataFusionError::ParquetError(error) => of_parquet(error, read),
        DataFusionError::ObjectStore(error) => of_store(error),
        DataFusionError::IoError(error) => of_io(error),
        DataFusionError::ResourcesExhausted(text) => of_memory(text),
        DataFusionError::External(error) => of_cause(error.as_ref(), read),
        DataFusionError::Internal(text) => {
            format!("the engine met a defect: {}; please report it with the statement", plain(text))
        }
        DataFusionError::NotImplemented(text) => {
            format!("the engine cannot do this: {}", plain(text))
        }
        DataFusionError::ExecutionJoin(error) => {
            format!("a thread of the query ended early: {}", plain(&error.to_string()))
        }
        DataFusionError::Execution(text) => {
            files::csv_record(text, read).unwrap_or_else(|| of_text(text))
        }
        other => plain(&other.message()),
    }
}

fn of_arrow(error: &ArrowError, read: &[String]) -> String {
    match error {
        ArrowError::DivideByZero => {
            "division by zero; write x / NULLIF(y, 0), which gives NULL where y is 0".to_owned()
        }
        ArrowError::ArithmeticOverflow(text) => overflow(text),
        ArrowError::CastError(text) => cast(text),
        ArrowError::ParseError(text) => files::csv_value(text, read).unwrap_or_else(|| parse(text)),
        ArrowError::CsvError(text) => {
            files::csv_record(text, read).unwrap_or_else(|| files::csv(text, read))
        }
        ArrowError::JsonError(text) => files::json(text, read),
        ArrowError::ParquetError(text) => files::parquet(text, read),
        ArrowError::AvroError(text) => {
            format!("{} cannot be read: {}", files::file_of("Avro", read), plain(text))
        }
        ArrowError::IoError(_, error) => of_io(error),
        ArrowError::ExternalError(error) => of_cause(error.as_ref(), read),
        ArrowError::OffsetOverflowError(_) => too_large(),
        other => of_text(&other.to_string()),
    }
}

fn of_parquet(error: &ParquetError, read: &[String]) -> String {
    match error {
        ParquetError::External(cause) => {
            let store = cause.downcast_ref::<object_store::Error>().map(of_store);
            store.unwrap_or_else(|| files::parquet(&cause.to_string(), read))
        }
        other => files::parquet(&other.to_string(), read),
    }
}

/// An error that is not the engine's. Dunlin's own are already in words.
fn of_cause(error: &(dyn Error + Send + Sync + 'static), read: &[String]) -> String {
    if let Some(store) = error.downcast_ref::<object_store::Error>() {
        return of_store(store);
    }
    if let Some(arrow) = error.downcast_ref::<ArrowError>() {
        return of_arrow(arrow, read);
    }
    if let Some(parquet) = error.downcast_ref::<ParquetError>() {
        return of_parquet(parquet, read);
    }
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        return of_io(io);
    }
    let text = error.to_string();
    match text.contains(DataFusionError::BACK_TRACE_SEP) {
        true => plain(&text),
        false => text,
    }
}

fn of_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    // The engine writes no other files than spills: those of stores have errors of their own.
    if crate::disk::is_full_io(error) {
        return format!(
            "the local disk for spills is full: give the folder of [worker] spill_dir more room, or the process more memory_bytes ({})",
            plain(&text)
        );
    }
    match super::stores::cause(&text) {
        Some(meaning) => format!("{meaning} ({})", plain(&text)),
        None => format!("a file or a connection failed: {}", plain(&text)),
    }
}

/// `Failed to allocate additional 5.0 MB for HashJoinInput[2] with 10.0 MB already allocated …`.
fn of_memory(text: &str) -> String {
    if text.contains("used disk space") {
        return format!("the query spilled more to the local disk than it may: {}", plain(text));
    }
    let wanted = between(text, "allocate additional ", " for ");
    let rest = wanted.and_then(|_| text.rsplit("allocate additional ").next()?.split_once(" for "));
    let who = rest.and_then(|(_, rest)| rest.split_once(" with "));
    let told =
        match (wanted, who.and_then(|(who, rest)| Some((who, rest.split_once(" already")?.0)))) {
            (Some(wanted), Some((who, held))) => {
                format!("{who} has {held}, and wanted {wanted} more")
            }
            _ => plain(text),
        };
    format!("the query needs more memory than it may have: {told}")
}

fn too_large() -> String {
    "a column of one batch would have more than 2 GiB of texts or list elements".to_owned()
}

/// `Overflow happened on: 9223372036854775807 + 1`.
fn overflow(text: &str) -> String {
    let on = text.strip_prefix("Overflow happened on: ").map(|on| format!(": {on}"));
    format!(
        "a result is too large for its type{}; convert to DECIMAL(38, 0) or DOUBLE before computing",
        on.unwrap_or_else(|| format!(" ({})", plain(text)))
    )
}

/// `Cannot cast string 'x' to value of Int32 type`, `Can't cast value 300 to type Int8`.
fn cast(text: &str) -> String {
    const DO: &str = "correct the value, or use TRY_CAST, which gives NULL for it";
    let text = with_sql_types(text);
    let quoted = between(&text, "' to value of ", " type").and_then(|to| {
        let value = between(&text, " '", "' to value of ")?;
        Some(format!("the text '{value}' cannot be converted to {to}; {DO}"))
    });
    let plain_value = || {
        let value = between(&text, "cast value ", " to type ")?;
        let to = text.rsplit(" to type ").next()?;
        Some(format!("the value {value} does not fit into {to}; {DO}"))
    };
    let overflowing = || {
        let to = between(&text, "Cannot cast to ", ". Overflowing on ")?;
        let value = text.rsplit("Overflowing on ").next()?;
        Some(format!("the value {value} does not fit into {to}; {DO}"))
    };
    let out_of_range = || {
        let value = between(&text, "value of ", " is out of range ")?;
        let to = text.rsplit(" is out of range ").next()?;
        Some(format!("the value {value} does not fit into {to}; {DO}"))
    };
    quoted
        .or_else(plain_value)
        .or_else(overflowing)
        .or_else(out_of_range)
        .unwrap_or_else(|| format!("a value cannot be converted: {}; {DO}", plain(&text)))
}

/// `Error parsing timestamp from 'x': error parsing date`.
fn parse(text: &str) -> String {
    if let (Some(of), Some(value)) =
        (between(text, "rror parsing ", " from '"), between(text, " from '", "'"))
    {
        return format!(
            "the text '{value}' is no {of}; correct the value, or use TRY_CAST, which gives NULL for it"
        );
    }
    format!("a text cannot be read: {}", plain(text))
}

/// A text that the engine has no type for.
fn of_text(text: &str) -> String {
    let text = plain(text);
    if text.contains("divide by zero") || text.contains("ivision by zero") {
        return of_arrow(&ArrowError::DivideByZero, &[]);
    }
    if text.contains("ffset overflow") {
        return too_large();
    }
    text
}
