//! The values of parameters, from their text or binary form.
//!
//! A value is read by the type that its client gave it, or else by the type that the plan gives it. It keeps its own
//! digits: `0.055` for a column of two digits behind the point is not rounded before it is compared.

use bytes::{Buf, Bytes};
use datafusion::arrow::datatypes::{
    DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, i256,
};
use datafusion::common::ScalarValue;

use super::failure::{Failure, state};
use super::kind::Kind;
use super::time::{DAY, EPOCH_DAYS};

/// Most digits of a number.
const MOST_DIGITS: usize = 76;
/// Most digits of a number that is not wide.
const NARROW_DIGITS: usize = 38;

/// The value of a parameter.
///
/// # Errors
/// Bytes that are no value of the type.
pub(super) fn read(
    number: usize,
    kind: &Kind,
    binary: bool,
    value: Option<&Bytes>,
) -> Result<ScalarValue, Failure> {
    let Some(bytes) = value else {
        return ScalarValue::try_from(&kind.arrow())
            .map_err(|error| Failure::error(state::INTERNAL, error.to_string()));
    };
    let read = if binary { of_binary(kind, bytes.clone()) } else { of_text(kind, bytes) };
    read.map_err(|wrong| {
        let (state, form) =
            if binary { (state::BAD_BINARY, "binary") } else { (state::BAD_TEXT, "text") };
        let state = wrong.state.unwrap_or(state);
        let name = kind.name();
        Failure::error(
            state,
            format!("the {form} of parameter ${number} is no {name}{}", wrong.why),
        )
    })
}

/// Why bytes are no value.
#[derive(Debug, Default)]
struct Wrong {
    state: Option<&'static str>,
    why: String,
}

fn wrong() -> Wrong {
    Wrong::default()
}

fn because(state: &'static str, why: &str) -> Wrong {
    Wrong { state: Some(state), why: format!(": {why}") }
}

fn of_text(kind: &Kind, bytes: &[u8]) -> Result<ScalarValue, Wrong> {
    let text = std::str::from_utf8(bytes).map_err(|_| because(state::NOT_UTF8, "not UTF-8"))?;
    let plain = text.trim();
    Ok(match kind {
        Kind::Text | Kind::Uuid | Kind::Jsonb | Kind::Record(_) => {
            ScalarValue::Utf8(Some(text.to_owned()))
        }
        Kind::Bool => ScalarValue::Boolean(Some(boolean(plain).ok_or_else(wrong)?)),
        Kind::Int2 => ScalarValue::Int16(Some(plain.parse().map_err(|_| wrong())?)),
        Kind::Int4 => ScalarValue::Int32(Some(plain.parse().map_err(|_| wrong())?)),
        Kind::Int8 | Kind::Oid => ScalarValue::Int64(Some(plain.parse().map_err(|_| wrong())?)),
        Kind::Float4 => ScalarValue::Float32(Some(plain.parse().map_err(|_| wrong())?)),
        Kind::Float8 => ScalarValue::Float64(Some(plain.parse().map_err(|_| wrong())?)),
        Kind::Numeric => decimal(plain)?,
        Kind::Bytea => ScalarValue::Binary(Some(bytea(plain)?)),
        Kind::Date | Kind::Time | Kind::Timestamp | Kind::TimestampTz | Kind::Interval => {
            let text = ScalarValue::Utf8(Some(without_zone(kind, plain).to_owned()));
            text.cast_to(&kind.arrow()).map_err(|_| wrong())?
        }
        Kind::Array(item) => {
            let items = items(plain)?;
            let read = |item_text: Option<String>| match item_text {
                None => ScalarValue::try_from(&item.arrow()).map_err(|_| wrong()),
                Some(text) => of_text(item, text.as_bytes()),
            };
            list(item, items.into_iter().map(read).collect::<Result<_, _>>()?)?
        }
    })
}

/// The text of a time without its zone, where the type has none: Postgres reads it so, and JDBC sends one with every time
/// and date.
fn without_zone<'a>(kind: &Kind, text: &'a str) -> &'a str {
    // A year before the first one is no part of a time that could be left out.
    if text.get(text.len().saturating_sub(2)..).is_some_and(|end| end.eq_ignore_ascii_case("bc")) {
        return text;
    }
    let head = match kind {
        Kind::Date => return text.split([' ', 'T']).next().unwrap_or(text),
        Kind::Timestamp => "2000-01-01".len(),
        Kind::Time => 0,
        _ => return text,
    };
    let zone = text.get(head..).and_then(|time| time.find(['+', '-', 'Z', 'z']));
    zone.map_or(text, |zone| text[..head + zone].trim_end())
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn bytea(text: &str) -> Result<Vec<u8>, Wrong> {
    let Some(digits) = text.strip_prefix("\\x") else {
        if text.contains('\\') {
            return Err(because(state::BAD_TEXT, "write it as \\x and hex digits"));
        }
        return Ok(text.as_bytes().to_vec());
    };
    if digits.len() % 2 != 0 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let pairs = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16));
    pairs.collect::<Result<_, _>>().map_err(|_| wrong())
}

/// A decimal with exactly the digits of its text.
fn decimal(text: &str) -> Result<ScalarValue, Wrong> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| wrong())?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(because(state::BAD_TEXT, "numbers without an end have no exact form"));
    }
    let too_long = || because(state::OUT_OF_RANGE, "it has more than 76 digits");
    let scale = i32::try_from(fraction.len()).ok().and_then(|scale| scale.checked_sub(exponent));
    let scale = scale.ok_or_else(too_long)?;
    let mut all = all.trim_start_matches('0').to_owned();
    if scale < 0 {
        let zeros = usize::try_from(-scale).unwrap_or(usize::MAX);
        if zeros > MOST_DIGITS {
            return Err(too_long());
        }
        all.push_str(&"0".repeat(zeros));
    }
    let scale = usize::try_from(scale).unwrap_or(0);
    let precision = all.len().max(scale).max(1);
    if precision > MOST_DIGITS {
        return Err(too_long());
    }
    let signed =
        format!("{}{}", if negative { "-" } else { "" }, if all.is_empty() { "0" } else { &all });
    let (digits, behind) = (precision as u8, scale as i8);
    Ok(if precision <= NARROW_DIGITS {
        let value: i128 = signed.parse().map_err(|_| wrong())?;
        ScalarValue::Decimal128(Some(value), digits, behind)
    } else {
        let value = i256::from_string(&signed).ok_or_else(wrong)?;
        ScalarValue::Decimal256(Some(value), digits, behind)
    })
}

fn of_binary(kind: &Kind, mut bytes: Bytes) -> Result<ScalarValue, Wrong> {
    let fits = |size: usize| if bytes.len() == size { Ok(()) } else { Err(wrong()) };
    Ok(match kind {
        Kind::Uuid => {
            fits(16)?;
            let mut digits = format!("{:032x}", bytes.get_u128());
            [20, 16, 12, 8].into_iter().for_each(|at| digits.insert(at, '-'));
            ScalarValue::Utf8(Some(digits))
        }
        // The version of the form, and then the text.
        Kind::Jsonb if bytes.first() == Some(&1) => return of_text(&Kind::Text, &bytes[1..]),
        Kind::Jsonb => return Err(wrong()),
        Kind::Text | Kind::Record(_) => return of_text(&Kind::Text, &bytes),
        Kind::Bytea => ScalarValue::Binary(Some(bytes.to_vec())),
        Kind::Bool => {
            fits(1)?;
            ScalarValue::Boolean(Some(bytes[0] != 0))
        }
        Kind::Int2 => {
            fits(2)?;
            ScalarValue::Int16(Some(bytes.get_i16()))
        }
        Kind::Int4 => {
            fits(4)?;
            ScalarValue::Int32(Some(bytes.get_i32()))
        }
        Kind::Int8 => {
            fits(8)?;
            ScalarValue::Int64(Some(bytes.get_i64()))
        }
        Kind::Oid => {
            fits(4)?;
            ScalarValue::Int64(Some(bytes.get_u32().into()))
        }
        Kind::Float4 => {
            fits(4)?;
            ScalarValue::Float32(Some(bytes.get_f32()))
        }
        Kind::Float8 => {
            fits(8)?;
            ScalarValue::Float64(Some(bytes.get_f64()))
        }
        Kind::Numeric => decimal(&numeric_text(bytes)?)?,
        Kind::Date => {
            fits(4)?;
            let days = i64::from(bytes.get_i32()) + EPOCH_DAYS;
            let days = i32::try_from(days).map_err(|_| because(state::BAD_TIME, "out of range"))?;
            ScalarValue::Date32(Some(days))
        }
        Kind::Time => {
            fits(8)?;
            let micros = bytes.get_i64();
            if !(0..=DAY).contains(&micros) {
                return Err(because(state::BAD_TIME, "out of range"));
            }
            ScalarValue::Time64Microsecond(Some(micros))
        }
        Kind::Timestamp | Kind::TimestampTz => {
            fits(8)?;
            let micros = bytes.get_i64().checked_add(EPOCH_DAYS * DAY);
            let micros = micros.ok_or_else(|| because(state::BAD_TIME, "out of range"))?;
            let zone = (*kind == Kind::TimestampTz).then(|| "+00:00".into());
            ScalarValue::TimestampMicrosecond(Some(micros), zone)
        }
        Kind::Interval => {
            fits(16)?;
            let (micros, days, months) = (bytes.get_i64(), bytes.get_i32(), bytes.get_i32());
            let nanos = micros.checked_mul(1_000);
            let nanos = nanos.ok_or_else(|| because(state::BAD_TIME, "out of range"))?;
            let value = IntervalMonthDayNano::new(months, days, nanos);
            ScalarValue::new_primitive::<IntervalMonthDayNanoType>(Some(value), &kind.arrow())
                .map_err(|_| wrong())?
        }
        Kind::Array(item) => return array(item, bytes),
    })
}

/// The digits of the binary form of a numeric.
fn numeric_text(mut bytes: Bytes) -> Result<String, Wrong> {
    if bytes.len() < 8 {
        return Err(wrong());
    }
    let (count, weight) = (usize::from(bytes.get_u16()), i32::from(bytes.get_i16()));
    let (sign, behind) = (bytes.get_u16(), usize::from(bytes.get_u16()));
    if !matches!(sign, 0 | 0x4000) {
        return Err(because(state::OUT_OF_RANGE, "NaN and Infinity have no exact form"));
    }
    // More than any number that is read, and little enough to be written out.
    if bytes.len() != 2 * count || count > 64 || !(-64..64).contains(&weight) || behind > 256 {
        return Err(because(state::OUT_OF_RANGE, "it has more than 76 digits"));
    }
    let groups: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    if groups.iter().any(|group| *group > 9_999) {
        return Err(wrong());
    }
    let group = |place: i32| {
        let found = usize::try_from(weight - place).ok().and_then(|index| groups.get(index));
        found.copied().unwrap_or(0)
    };
    let mut text = if sign == 0 { String::new() } else { "-".to_owned() };
    for place in (0..=weight.max(0)).rev() {
        text.push_str(&format!("{:04}", group(place)));
    }
    let mut fraction = String::new();
    let least = weight - i32::try_from(count).unwrap_or(0) + 1;
    for place in 1..=(-least).max(0) {
        fraction.push_str(&format!("{:04}", group(-place)));
    }
    // Digits that the sender does not show are zeros that fill a group.
    if fraction.len() > behind && fraction.as_bytes()[behind..].iter().all(|digit| *digit == b'0') {
        fraction.truncate(behind);
    }
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(&fraction);
    }
    Ok(text)
}

/// An array of one dimension in its binary form.
fn array(item: &Kind, mut bytes: Bytes) -> Result<ScalarValue, Wrong> {
    if bytes.len() < 12 {
        return Err(wrong());
    }
    let (dimensions, _, kind) = (bytes.get_i32(), bytes.get_i32(), bytes.get_u32());
    if Kind::of_oid(kind).ok().flatten().as_ref() != Some(item) {
        return Err(because(state::BAD_BINARY, "its items have another type"));
    }
    if dimensions == 0 {
        return list(item, Vec::new());
    }
    if dimensions != 1 || bytes.len() < 8 {
        return Err(because(state::FEATURE_NOT_SUPPORTED, "only one dimension is read"));
    }
    let (count, _) = (bytes.get_i32(), bytes.get_i32());
    let mut items = Vec::new();
    for _ in 0..count.max(0) {
        if bytes.remaining() < 4 {
            return Err(wrong());
        }
        items.push(match usize::try_from(bytes.get_i32()) {
            Err(_) => ScalarValue::try_from(&item.arrow()).map_err(|_| wrong())?,
            Ok(length) if length > bytes.remaining() => return Err(wrong()),
            Ok(length) => of_binary(item, bytes.split_to(length))?,
        });
    }
    if bytes.has_remaining() { Err(wrong()) } else { list(item, items) }
}

/// A list of values that have one type. Decimals are brought to the widest of them.
fn list(item: &Kind, items: Vec<ScalarValue>) -> Result<ScalarValue, Wrong> {
    let mut kind = item.arrow();
    let mut values = items;
    if *item == Kind::Numeric {
        let scale = values.iter().map(|value| match value.data_type() {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) if !value.is_null() => {
                scale
            }
            _ => 0,
        });
        kind = DataType::Decimal256(MOST_DIGITS as u8, scale.max().unwrap_or(0));
        let cast = values.into_iter().map(|value| value.cast_to(&kind));
        values = cast.collect::<Result<_, _>>().map_err(|_| wrong())?;
    }
    Ok(ScalarValue::List(ScalarValue::new_list(&values, &kind, true)))
}

/// The items of the text of an array of one dimension.
fn items(text: &str) -> Result<Vec<Option<String>>, Wrong> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or_else(wrong)?;
    let (mut items, mut item) = (Vec::new(), String::new());
    let (mut quoted, mut was_quoted) = (false, false);
    let mut letters = inner.chars();
    if inner.trim().is_empty() {
        return Ok(items);
    }
    let mut push = |item: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(item);
        let text = if *was_quoted { text } else { text.trim().to_owned() };
        let is_null = !*was_quoted && text.eq_ignore_ascii_case("null");
        let is_missing = !*was_quoted && text.is_empty();
        *was_quoted = false;
        items.push((!is_null).then_some(text));
        if is_missing { Err(wrong()) } else { Ok(()) }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => item.push(letters.next().ok_or_else(wrong)?),
            '"' => {
                // Spaces around quotes belong to nothing.
                if !quoted && item.trim().is_empty() {
                    item.clear();
                }
                (quoted, was_quoted) = (!quoted, true);
            }
            space if space.is_whitespace() && was_quoted && !quoted => {}
            ',' if !quoted => push(&mut item, &mut was_quoted)?,
            '{' | '}' if !quoted => {
                return Err(because(state::FEATURE_NOT_SUPPORTED, "only one dimension is read"));
            }
            other => item.push(other),
        }
    }
    if quoted {
        return Err(wrong());
    }
    push(&mut item, &mut was_quoted)?;
    Ok(items)
}

#[cfg(test)]
mod tests;
