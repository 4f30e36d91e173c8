//! How many bytes text functions produce.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl};

use super::budget::MOST_BYTES;
use super::sizes::{Column, average, rows};

type Function = Arc<dyn ScalarUDFImpl>;

/// The sum of `bytes` over all rows.
fn total(args: &ScalarFunctionArgs, bytes: impl Fn(usize) -> u64) -> u64 {
    (0..rows(args)).map(bytes).fold(0, u64::saturating_add)
}

/// `repeat(text, times)`.
pub(super) fn repeat(_: &Function, args: &ScalarFunctionArgs) -> Result<Option<u64>> {
    let [text, times] = args.args.as_slice() else { return Ok(None) };
    let (text, times) = (Column::of(text)?.lengths()?, Column::of(times)?.numbers()?);
    Ok(Some(total(args, |row| text.count(row).saturating_mul(times.count(row)))))
}

/// `lpad(text, characters[, fill])` and `rpad`.
pub(super) fn pad(_: &Function, args: &ScalarFunctionArgs) -> Result<Option<u64>> {
    let (text, characters, fill) = match args.args.as_slice() {
        [text, characters] => (text, characters, None),
        [text, characters, fill] => (text, characters, Some(fill)),
        _ => return Ok(None),
    };
    let characters = Column::of(characters)?.numbers()?;
    // A character has at most four bytes. Most calls are far below the limit and need no exact count.
    let most = total(args, |row| characters.count(row).saturating_mul(4));
    if most <= MOST_BYTES {
        return Ok(Some(most));
    }
    let text = Column::of(text)?.texts()?;
    let fill = fill.map(|fill| Column::of(fill)?.texts()).transpose()?;
    Ok(Some(total(args, |row| {
        let Some(text) = text.at(row) else { return 0 };
        let fill = match &fill {
            None => " ",
            Some(fill) => fill.at(row).unwrap_or(""),
        };
        let held = text.chars().count() as u64;
        let missing = characters.count(row).saturating_sub(held);
        let each = fill.chars().count().max(1) as u64;
        let padding = u128::from(missing) * fill.len() as u128 / u128::from(each);
        u64::try_from(padding).unwrap_or(u64::MAX).saturating_add(text.len() as u64)
    })))
}

/// Lengths below zero become zero, as the engine reads them. It adds them all up first, and would ask for a negative
/// amount of memory.
pub(super) fn without_negatives(args: &mut ScalarFunctionArgs) {
    if let Some(ColumnarValue::Array(lengths)) = args.args.get_mut(1)
        && let Some(numbers) = lengths.as_primitive_opt::<Int64Type>()
    {
        let counts: Int64Array = numbers.unary(|length| length.max(0));
        *lengths = Arc::new(counts);
    }
}

/// `replace(text, from, to)`.
pub(super) fn replace(_: &Function, args: &ScalarFunctionArgs) -> Result<Option<u64>> {
    let [text, from, to] = args.args.as_slice() else { return Ok(None) };
    let (text, from, to) = (Column::of(text)?, Column::of(from)?, Column::of(to)?);
    let (held, each, new) = (text.lengths()?, from.lengths()?, to.lengths()?);
    let made = |row: usize, times: u64| {
        held.count(row).saturating_add(times.saturating_mul(new.count(row)))
    };
    let most = total(args, |row| match each.count(row) {
        0 => made(row, held.count(row).saturating_add(1)),
        each => made(row, held.count(row) / each),
    });
    if most <= MOST_BYTES {
        return Ok(Some(most));
    }
    let (text, from) = (text.texts()?, from.texts()?);
    Ok(Some(total(args, |row| match (text.at(row), from.at(row)) {
        (Some(text), Some(from)) => made(row, text.matches(from).count() as u64),
        _ => 0,
    })))
}

/// `regexp_replace(text, pattern, to[, flags])`. If the text could grow beyond the limit, the matches are counted:
/// the function itself replaces them by nothing, and by one letter.
pub(super) fn regexp_replace(
    function: &Function,
    args: &ScalarFunctionArgs,
) -> Result<Option<u64>> {
    let (Some(text), Some(to)) = (args.args.first(), args.args.get(2)) else { return Ok(None) };
    let held = Column::of(text)?.lengths()?;
    let to = Column::of(to)?;
    let (new, to) = (to.lengths()?, to.texts()?);
    // `\1` and `$1` stand for the text that the pattern matched.
    let named = |row: usize| {
        to.at(row)
            .map_or(0, |to| to.bytes().filter(|byte| matches!(byte, b'\\' | b'$')).count() as u64)
    };
    let most = total(args, |row| {
        let places = held.count(row).saturating_add(1);
        let named = named(row).saturating_mul(held.count(row));
        places.saturating_mul(new.count(row)).saturating_add(held.count(row)).saturating_add(named)
    });
    if most <= MOST_BYTES {
        return Ok(Some(most));
    }
    let lengths_with = |letter: &str| {
        let mut args = args.clone();
        if let Some(to) = args.args.get_mut(2) {
            let letter = ScalarValue::Utf8(Some(letter.to_owned())).cast_to(&to.data_type())?;
            *to = ColumnarValue::Scalar(letter);
        }
        Column::of(&function.invoke_with_args(args)?)?.lengths()
    };
    let (without, with) = (lengths_with("")?, lengths_with("x")?);
    Ok(Some(total(args, |row| {
        let places = with.count(row).saturating_sub(without.count(row));
        let found = held.count(row).saturating_sub(without.count(row));
        without
            .count(row)
            .saturating_add(places.saturating_mul(new.count(row)))
            .saturating_add(found.saturating_mul(named(row)))
    })))
}

/// `concat(text, …)` and `concat_ws(separator, text, …)`.
pub(super) fn concat(function: &Function, args: &ScalarFunctionArgs) -> Result<Option<u64>> {
    let mut bytes = 0_u64;
    let mut texts = 0;
    for value in &args.args {
        bytes = bytes.saturating_add(held(value, args)?);
        texts += 1;
    }
    // A separator is placed between all other texts.
    if let (Some(separator), "concat_ws") = (args.args.first(), function.name()) {
        bytes = bytes.saturating_add(held(separator, args)?.saturating_mul(texts));
    }
    Ok(Some(bytes))
}

/// Bytes of one argument over all rows. An argument that is not text counts as zero.
fn held(value: &ColumnarValue, args: &ScalarFunctionArgs) -> Result<u64> {
    let text = matches!(
        value.data_type(),
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    );
    if !text {
        return Ok(0);
    }
    let lengths = Column::of(value)?.lengths()?;
    Ok(total(args, |row| lengths.count(row)))
}

/// `encode(bytes, how)`: hexadecimal digits are twice the bytes.
pub(super) fn encode(_: &Function, args: &ScalarFunctionArgs) -> Result<Option<u64>> {
    let Some(bytes) = args.args.first() else { return Ok(None) };
    Ok(Some(held(bytes, args)?.saturating_mul(2)))
}

/// `array_to_string(list, separator[, null])`.
pub(super) fn array_to_string(_: &Function, args: &ScalarFunctionArgs) -> Result<Option<u64>> {
    let [list, texts @ ..] = args.args.as_slice() else { return Ok(None) };
    let list = Column::of(list)?;
    if !matches!(
        list.array().data_type(),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)
    ) {
        return Ok(None);
    }
    let elements = list.lengths()?;
    let of_list = average(list.array())?;
    let separator = texts.first().map(|text| Column::of(text)?.lengths()).transpose()?;
    let null = texts.get(1).map(|text| Column::of(text)?.lengths()).transpose()?;
    Ok(Some(total(args, |row| {
        let each =
            |text: &Option<super::sizes::Numbers>| text.as_ref().map_or(0, |text| text.count(row));
        let between =
            elements.count(row).saturating_mul(each(&separator).saturating_add(each(&null)));
        between.saturating_add(of_list)
    })))
}
