//! Values in the binary form of Postgres.

use bytes::{BufMut, BytesMut};

use super::cells::{Cells, Lists};
use super::failure::{Failure, state};
use super::kind::Kind;
use super::number;
use super::text::dimensions;
use super::time::{DAY, EPOCH_DAYS};

/// Writes the value of a row. It is not NULL.
///
/// # Errors
/// A time that Postgres cannot have, or lists of lists that are no rectangle.
pub(super) fn write(cells: &Cells, row: usize, out: &mut BytesMut) -> Result<(), Failure> {
    match cells {
        Cells::Null => {}
        Cells::Bool(array) => out.put_u8(array.value(row).into()),
        Cells::Int2(array) => out.put_i16(array.value(row)),
        Cells::Int4(array) => out.put_i32(array.value(row)),
        Cells::Int8(array) => out.put_i64(array.value(row)),
        Cells::Float4(array) => out.put_f32(array.value(row)),
        Cells::Float8(array) => out.put_f64(array.value(row)),
        Cells::Numeric(array, scale) => {
            number::decimal_binary(&array.value(row).to_string(), *scale, out);
        }
        Cells::LongNumeric(array, scale) => {
            number::decimal_binary(&array.value(row).to_string(), *scale, out);
        }
        Cells::Text(array) => out.put_slice(array.value(row).as_bytes()),
        Cells::Bytes(array) => out.put_slice(array.value(row)),
        Cells::Date(array) => {
            let days = i64::from(array.value(row)) - EPOCH_DAYS;
            // The least and the greatest number stand for the ends of time.
            let days = i32::try_from(days).ok().filter(|days| *days != i32::MIN);
            out.put_i32(days.ok_or_else(out_of_range)?);
        }
        Cells::Time(array) => out.put_i64(array.value(row)),
        Cells::Timestamp(array) | Cells::TimestampTz(array) => {
            let micros = array.value(row).checked_sub(EPOCH_DAYS * DAY);
            out.put_i64(micros.filter(|micros| *micros != i64::MIN).ok_or_else(out_of_range)?);
        }
        Cells::Interval(array) => {
            let value = array.value(row);
            out.put_i64(value.nanoseconds.div_euclid(1_000));
            out.put_i32(value.days);
            out.put_i32(value.months);
        }
        Cells::Array(lists) => return list(lists, row, out),
        Cells::Record(_, fields) => {
            out.put_i32(count(fields.len())?);
            for field in fields {
                out.put_u32(kind_of(field).oid());
                sized(field, row, out)?;
            }
        }
    }
    Ok(())
}

/// Writes a value with its length before it; -1 for NULL.
///
/// # Errors
/// As [`write`], or a value that is longer than a message may be.
pub(super) fn sized(cells: &Cells, row: usize, out: &mut BytesMut) -> Result<(), Failure> {
    with_length(cells, row, write, out)
}

/// Writes a value by `write` with its length before it; -1 for NULL.
pub(super) fn with_length(
    cells: &Cells,
    row: usize,
    write: impl Fn(&Cells, usize, &mut BytesMut) -> Result<(), Failure>,
    out: &mut BytesMut,
) -> Result<(), Failure> {
    if cells.is_null(row) {
        out.put_i32(-1);
        return Ok(());
    }
    let start = out.len();
    out.put_i32(0);
    write(cells, row, out)?;
    let length = count(out.len() - start - 4)?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn count(number: usize) -> Result<i32, Failure> {
    i32::try_from(number)
        .map_err(|_| Failure::error(state::TOO_LARGE, "a value is longer than a message may be"))
}

fn out_of_range() -> Failure {
    Failure::error(state::BAD_TIME, "a time is out of the range of Postgres")
        .hint("Cast the column to text to see its values.")
}

fn list(lists: &Lists, row: usize, out: &mut BytesMut) -> Result<(), Failure> {
    let dimensions = dimensions(lists, row)?;
    let (innermost, items) = innermost(lists, row);
    out.put_i32(count(dimensions.len())?);
    out.put_i32(items.clone().any(|item| innermost.items.is_null(item)).into());
    out.put_u32(lists_kind(innermost).oid());
    for length in &dimensions {
        out.put_i32(count(*length)?);
        // Arrays of Postgres begin at 1.
        out.put_i32(1);
    }
    if dimensions.is_empty() {
        return Ok(());
    }
    for item in items {
        sized(&innermost.items, item, out)?;
    }
    Ok(())
}

/// The innermost lists of a row, and the items of all of them. A rectangle without gaps lies in one piece.
fn innermost(lists: &Lists, row: usize) -> (&Lists, std::ops::Range<usize>) {
    let (mut lists, (mut from, mut to)) = (lists, lists.row(row));
    while let Cells::Array(inner) = lists.items.as_ref() {
        (from, to) = if from == to { (0, 0) } else { (inner.row(from).0, inner.row(to - 1).1) };
        lists = inner;
    }
    (lists, from..to)
}

fn lists_kind(lists: &Lists) -> &Kind {
    &lists.kind
}

/// The type of the values of a column.
fn kind_of(cells: &Cells) -> Kind {
    match cells {
        Cells::Null | Cells::Text(_) => Kind::Text,
        Cells::Bool(_) => Kind::Bool,
        Cells::Int2(_) => Kind::Int2,
        Cells::Int4(_) => Kind::Int4,
        Cells::Int8(_) => Kind::Int8,
        Cells::Float4(_) => Kind::Float4,
        Cells::Float8(_) => Kind::Float8,
        Cells::Numeric(_, _) | Cells::LongNumeric(_, _) => Kind::Numeric,
        Cells::Bytes(_) => Kind::Bytea,
        Cells::Date(_) => Kind::Date,
        Cells::Time(_) => Kind::Time,
        Cells::Timestamp(_) => Kind::Timestamp,
        Cells::TimestampTz(_) => Kind::TimestampTz,
        Cells::Interval(_) => Kind::Interval,
        Cells::Array(lists) => Kind::Array(Box::new(lists.kind.clone())),
        Cells::Record(_, fields) => Kind::Record(fields.iter().map(kind_of).collect()),
    }
}
