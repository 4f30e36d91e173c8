//! Values as text, exactly as Postgres prints them.

use bytes::{BufMut, BytesMut};

use super::cells::{Cells, Lists};
use super::failure::{Failure, state};
use super::{number, time};

/// Writes the value of a row. It is not NULL.
///
/// # Errors
/// Lists of lists that are no rectangle.
pub(super) fn write(cells: &Cells, row: usize, out: &mut BytesMut) -> Result<(), Failure> {
    match cells {
        Cells::Null => {}
        Cells::Bool(array) => out.put_u8(if array.value(row) { b't' } else { b'f' }),
        Cells::Int2(array) => out.put_slice(array.value(row).to_string().as_bytes()),
        Cells::Int4(array) => out.put_slice(array.value(row).to_string().as_bytes()),
        Cells::Int8(array) => out.put_slice(array.value(row).to_string().as_bytes()),
        Cells::Float4(array) => {
            let value = array.value(row);
            if !special(f64::from(value), out) {
                number::float_text(&format!("{value:e}"), 6, out);
            }
        }
        Cells::Float8(array) => {
            let value = array.value(row);
            if !special(value, out) {
                number::float_text(&format!("{value:e}"), 15, out);
            }
        }
        Cells::Numeric(array, scale) => {
            number::decimal_text(&array.value(row).to_string(), *scale, out);
        }
        Cells::LongNumeric(array, scale) => {
            number::decimal_text(&array.value(row).to_string(), *scale, out);
        }
        Cells::Text(array) => out.put_slice(array.value(row).as_bytes()),
        Cells::Bytes(array) => {
            out.put_slice(b"\\x");
            for byte in array.value(row) {
                out.put_slice(format!("{byte:02x}").as_bytes());
            }
        }
        Cells::Date(array) => time::date(array.value(row).into(), out),
        Cells::Time(array) => time::time(array.value(row), out),
        Cells::Timestamp(array) => time::timestamp(array.value(row), "", out),
        Cells::TimestampTz(array) => time::timestamp(array.value(row), "+00", out),
        Cells::Interval(array) => time::interval(array.value(row), out),
        Cells::Array(lists) => return list(lists, row, out),
        Cells::Record(_, fields) => return record(fields, row, out),
    }
    Ok(())
}

/// Writes a number that is none, or has no end.
fn special(value: f64, out: &mut BytesMut) -> bool {
    let text = if value.is_nan() {
        "NaN"
    } else if value == f64::INFINITY {
        "Infinity"
    } else if value == f64::NEG_INFINITY {
        "-Infinity"
    } else {
        return false;
    };
    out.put_slice(text.as_bytes());
    true
}

/// The lengths of the dimensions of a row's list, from the outermost to the innermost; none if it has no item.
///
/// # Errors
/// Lists of lists that are no rectangle, or an inner list that is NULL: Postgres has no such arrays.
pub(super) fn dimensions(lists: &Lists, row: usize) -> Result<Vec<usize>, Failure> {
    let (from, to) = lists.row(row);
    let Cells::Array(inner) = lists.items.as_ref() else {
        return Ok(if from == to { Vec::new() } else { vec![to - from] });
    };
    let mut found: Option<Vec<usize>> = None;
    for item in from..to {
        let of_item = if lists.items.is_null(item) { None } else { Some(dimensions(inner, item)?) };
        let first = found.get_or_insert_with(|| of_item.clone().unwrap_or_default());
        if of_item.as_ref() != Some(first) {
            return Err(Failure::error(
                state::RAGGED,
                "lists in a list differ in their lengths, and arrays of Postgres do not",
            )
            .hint("Cast the column to text, or unnest it."));
        }
    }
    match found {
        Some(inner) if !inner.is_empty() => Ok([vec![to - from], inner].concat()),
        _ => Ok(Vec::new()),
    }
}

fn list(lists: &Lists, row: usize, out: &mut BytesMut) -> Result<(), Failure> {
    if dimensions(lists, row)?.is_empty() {
        out.put_slice(b"{}");
        return Ok(());
    }
    let (from, to) = lists.row(row);
    out.put_u8(b'{');
    for item in from..to {
        if item > from {
            out.put_u8(b',');
        }
        match lists.items.as_ref() {
            Cells::Array(inner) => list(inner, item, out)?,
            items if items.is_null(item) => out.put_slice(b"NULL"),
            items => quoted(items, item, needs_quotes_in_a_list, |letter| [b'\\', letter], out)?,
        }
    }
    out.put_u8(b'}');
    Ok(())
}

fn record(fields: &[Cells], row: usize, out: &mut BytesMut) -> Result<(), Failure> {
    out.put_u8(b'(');
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            out.put_u8(b',');
        }
        if !field.is_null(row) {
            quoted(field, row, needs_quotes_in_a_record, |letter| [letter; 2], out)?;
        }
    }
    out.put_u8(b')');
    Ok(())
}

/// Writes a value in quotes if it needs them.
fn quoted(
    cells: &Cells,
    row: usize,
    needs: impl Fn(&[u8]) -> bool,
    escaped: impl Fn(u8) -> [u8; 2],
    out: &mut BytesMut,
) -> Result<(), Failure> {
    let mut plain = BytesMut::new();
    write(cells, row, &mut plain)?;
    if !needs(&plain) {
        out.put_slice(&plain);
        return Ok(());
    }
    out.put_u8(b'"');
    for &letter in &plain {
        if matches!(letter, b'"' | b'\\') {
            out.put_slice(&escaped(letter));
        } else {
            out.put_u8(letter);
        }
    }
    out.put_u8(b'"');
    Ok(())
}

fn is_space(letter: u8) -> bool {
    matches!(letter, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn needs_quotes_in_a_list(text: &[u8]) -> bool {
    text.is_empty()
        || text.eq_ignore_ascii_case(b"null")
        || text
            .iter()
            .any(|letter| is_space(*letter) || matches!(letter, b'"' | b'\\' | b'{' | b'}' | b','))
}

fn needs_quotes_in_a_record(text: &[u8]) -> bool {
    text.is_empty()
        || text
            .iter()
            .any(|letter| is_space(*letter) || matches!(letter, b'"' | b'\\' | b'(' | b')' | b','))
}
