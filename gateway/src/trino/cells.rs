//! Values as Trino's clients read them: each row a list in JSON.
//!
//! ```text
//!   any Arrow array ──Cells::of──> one of 17 forms ──write──> JSON
//! ```
//! An array is brought into its form once for each batch, so that writing a value is a look at a plain array. Whole and
//! floating point numbers are numbers; decimals, dates and times are texts; bytes are base64; a row is a list; a map is an
//! object whose keys are texts.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int32Array, Int64Array, LargeBinaryArray, LargeStringArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float32Type, Float64Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalUnit, IntervalYearMonthType, TimeUnit,
};

use super::failure::Failure;
use super::kind::Kind;
use super::times;

/// A column in the form in which its values are written.
#[derive(Debug)]
pub(super) enum Cells {
    /// Every value is NULL.
    Null,
    Boolean(BooleanArray),
    Whole(Int64Array),
    Real(Float32Array),
    Double(Float64Array),
    Decimal(Decimal128Array),
    Text(LargeStringArray),
    Bytes(LargeBinaryArray),
    Uuid(LargeBinaryArray),
    Date(Date32Array),
    /// Ticks of a day, with the digits of a second's fraction.
    Time(Int64Array, u8),
    /// Ticks after 1970.
    Timestamp(Int64Array, u8),
    /// The same in UTC.
    TimestampTz(Int64Array, u8),
    YearToMonth(Int32Array),
    /// Milliseconds.
    DayToSecond(Int64Array),
    Array(Places, Box<Cells>),
    Map(Places, Box<Cells>, Box<Cells>),
    Row(Option<NullBuffer>, Vec<Cells>),
}

/// Where the items of each list are.
#[derive(Debug)]
pub(super) struct Places {
    nulls: Option<NullBuffer>,
    rows: Vec<(usize, usize)>,
}

impl Cells {
    /// A column of a kind in the form in which its values are written.
    ///
    /// # Errors
    /// A value that Trino cannot have.
    pub(super) fn of(array: &ArrayRef, kind: &Kind) -> Result<Self, Failure> {
        let to = |kind: DataType| cast(array, &kind).map_err(Failure::unwritable);
        // Layouts that only say where the values are.
        match array.data_type() {
            DataType::Dictionary(_, values) => {
                return Self::of(&to(values.as_ref().clone())?, kind);
            }
            DataType::RunEndEncoded(_, values) => {
                return Self::of(&to(values.data_type().clone())?, kind);
            }
            _ => {}
        }
        Ok(match kind {
            Kind::Unknown => Self::Null,
            Kind::Boolean => Self::Boolean(array.as_boolean().clone()),
            Kind::Tinyint | Kind::Smallint | Kind::Integer | Kind::Bigint => {
                Self::Whole(to(DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            Kind::Real => Self::Real(to(DataType::Float32)?.as_primitive::<Float32Type>().clone()),
            Kind::Double => Self::Double(array.as_primitive::<Float64Type>().clone()),
            Kind::Decimal(precision, scale) => {
                let wide = DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(0));
                let wide = to(wide)?.as_primitive::<Decimal128Type>().clone();
                if wide.null_count() != array.null_count() {
                    return Err(Failure::unwritable("a decimal has more digits than its type"));
                }
                Self::Decimal(wide)
            }
            Kind::Varchar => Self::Text(to(DataType::LargeUtf8)?.as_string::<i64>().clone()),
            Kind::Varbinary => Self::Bytes(to(DataType::LargeBinary)?.as_binary::<i64>().clone()),
            Kind::Uuid => Self::Uuid(to(DataType::LargeBinary)?.as_binary::<i64>().clone()),
            Kind::Date => Self::Date(array.as_primitive::<Date32Type>().clone()),
            Kind::Time(digits) => Self::Time(ticks(array)?, *digits),
            Kind::Timestamp(digits) => Self::Timestamp(ticks(array)?, *digits),
            Kind::TimestampTz(digits) => Self::TimestampTz(ticks(array)?, *digits),
            Kind::YearToMonth => {
                let months = array.as_primitive::<IntervalYearMonthType>();
                Self::YearToMonth(months.reinterpret_cast::<Int32Type>())
            }
            Kind::DayToSecond => Self::DayToSecond(millis(array)?),
            Kind::Array(item) => {
                let (places, items) = lists(array)?;
                Self::Array(places, Box::new(Self::of(&items, item)?))
            }
            Kind::Map(key, value) => {
                let map = array.as_map();
                let rows = map.value_offsets().windows(2).map(|two| pair(two[0], two[1]));
                let rows: Vec<_> = rows.collect();
                let keys = Self::of(&of_part(rows.clone(), map.keys()).1, key)?;
                let (rows, values) = of_part(rows, map.values());
                let values = Self::of(&values, value)?;
                let places = Places { nulls: map.nulls().cloned(), rows };
                Self::Map(places, Box::new(keys), Box::new(values))
            }
            Kind::Row(kinds) => {
                let array = array.as_struct();
                let fields = array.columns().iter().zip(kinds);
                let fields = fields.map(|(array, (_, kind))| Self::of(array, kind));
                Self::Row(array.nulls().cloned(), fields.collect::<Result<_, _>>()?)
            }
        })
    }

    /// Whether a row has no value.
    fn is_null(&self, row: usize) -> bool {
        let of = |nulls: Option<&NullBuffer>| nulls.is_some_and(|nulls| nulls.is_null(row));
        match self {
            Self::Null => true,
            Self::Boolean(array) => of(array.nulls()),
            Self::Whole(array)
            | Self::Time(array, _)
            | Self::Timestamp(array, _)
            | Self::TimestampTz(array, _)
            | Self::DayToSecond(array) => of(array.nulls()),
            Self::Real(array) => of(array.nulls()),
            Self::Double(array) => of(array.nulls()),
            Self::Decimal(array) => of(array.nulls()),
            Self::Text(array) => of(array.nulls()),
            Self::Bytes(array) | Self::Uuid(array) => of(array.nulls()),
            Self::Date(array) => of(array.nulls()),
            Self::YearToMonth(array) => of(array.nulls()),
            Self::Array(places, _) | Self::Map(places, _, _) => of(places.nulls.as_ref()),
            Self::Row(nulls, _) => of(nulls.as_ref()),
        }
    }

    /// Writes the value of a row. `has_digits`: fractions of seconds have all digits; without, those of milliseconds.
    pub(super) fn write(&self, row: usize, has_digits: bool, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        let shown = |digits: u8| if has_digits { digits } else { 3 };
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Boolean(array) => {
                let word: &[u8] = if array.value(row) { b"true" } else { b"false" };
                out.extend_from_slice(word);
            }
            Self::Whole(array) => out.extend_from_slice(array.value(row).to_string().as_bytes()),
            Self::Real(array) => {
                let value = array.value(row);
                number(value.is_finite(), f64::from(value), &value, out);
            }
            Self::Double(array) => {
                let value = array.value(row);
                number(value.is_finite(), value, &value, out);
            }
            Self::Decimal(array) => quoted(&array.value_as_string(row), out),
            Self::Text(array) => text(array.value(row), out),
            Self::Bytes(array) => quoted(&STANDARD.encode(array.value(row)), out),
            Self::Uuid(array) => quoted(&uuid(array.value(row)), out),
            Self::Date(array) => quoted(&times::date(array.value(row).into()), out),
            Self::Time(array, digits) => {
                quoted(&times::time(array.value(row), *digits, shown(*digits)), out);
            }
            Self::Timestamp(array, digits) => {
                quoted(&times::timestamp(array.value(row), *digits, shown(*digits)), out);
            }
            Self::TimestampTz(array, digits) => {
                let time = times::timestamp(array.value(row), *digits, shown(*digits));
                quoted(&(time + " UTC"), out);
            }
            Self::YearToMonth(array) => quoted(&times::year_to_month(array.value(row)), out),
            Self::DayToSecond(array) => quoted(&times::day_to_second(array.value(row)), out),
            Self::Array(places, items) => {
                let (from, to) = places.rows[row];
                list(from..to, out, |item, out| items.write(item, has_digits, out));
            }
            Self::Map(places, keys, values) => {
                let (from, to) = places.rows[row];
                out.push(b'{');
                for item in from..to {
                    if item > from {
                        out.push(b',');
                    }
                    keys.write_key(item, has_digits, out);
                    out.push(b':');
                    values.write(item, has_digits, out);
                }
                out.push(b'}');
            }
            Self::Row(_, fields) => {
                list(0..fields.len(), out, |field, out| fields[field].write(row, has_digits, out));
            }
        }
    }

    /// Writes a value as the key of an object: its text.
    fn write_key(&self, row: usize, has_digits: bool, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        self.write(row, has_digits, &mut value);
        if value.first() == Some(&b'"') {
            out.extend_from_slice(&value);
        } else {
            text(&String::from_utf8_lossy(&value), out);
        }
    }
}

fn list(items: std::ops::Range<usize>, out: &mut Vec<u8>, write: impl Fn(usize, &mut Vec<u8>)) {
    let from = items.start;
    out.push(b'[');
    for item in items {
        if item > from {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// A text that has nothing to be escaped.
fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Any text.
fn text(text: &str, out: &mut Vec<u8>) {
    json(text, out);
}

/// Writing to memory does not fail, and these values have a form.
fn json(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, value);
}

/// A floating point number: the shortest digits that give the same number, or the name of one that JSON has not.
fn number(is_finite: bool, sign: f64, value: &impl serde::Serialize, out: &mut Vec<u8>) {
    match (is_finite, sign) {
        (true, _) => json(value, out),
        (false, value) if value.is_nan() => quoted("NaN", out),
        (false, value) if value > 0.0 => quoted("Infinity", out),
        (false, _) => quoted("-Infinity", out),
    }
}

fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match hex.len() {
        32 => format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        ),
        _ => hex,
    }
}

/// Times of any kind as plain numbers of their unit.
fn ticks(array: &ArrayRef) -> Result<Int64Array, Failure> {
    let narrow = matches!(array.data_type(), DataType::Time32(_));
    let array = if narrow { cast(array, &DataType::Int32) } else { Ok(Arc::clone(array)) };
    let wide = array.and_then(|array| cast(&array, &DataType::Int64));
    Ok(wide.map_err(Failure::unwritable)?.as_primitive::<Int64Type>().clone())
}

/// Intervals without months as milliseconds. What is finer is cut, towards zero.
fn millis(array: &ArrayRef) -> Result<Int64Array, Failure> {
    let too_large = |()| Failure::unwritable("an interval is too long");
    Ok(match array.data_type() {
        DataType::Interval(IntervalUnit::DayTime) => array
            .as_primitive::<IntervalDayTimeType>()
            .unary(|value| i64::from(value.days) * 86_400_000 + i64::from(value.milliseconds)),
        DataType::Duration(TimeUnit::Second) => array
            .as_primitive::<DurationSecondType>()
            .try_unary(|value| value.checked_mul(1_000).ok_or(()))
            .map_err(too_large)?,
        DataType::Duration(TimeUnit::Millisecond) => {
            array.as_primitive::<DurationMillisecondType>().unary(|value| value)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            array.as_primitive::<DurationMicrosecondType>().unary(|value| value / 1_000)
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            array.as_primitive::<DurationNanosecondType>().unary(|value| value / 1_000_000)
        }
        other => return Err(Failure::no_type(other)),
    })
}

fn pair(from: impl TryInto<usize>, to: impl TryInto<usize>) -> (usize, usize) {
    (from.try_into().unwrap_or(0), to.try_into().unwrap_or(0))
}

/// Lists of any layout.
fn lists(array: &ArrayRef) -> Result<(Places, ArrayRef), Failure> {
    let (rows, items): (Vec<_>, ArrayRef) = match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let rows = list.value_offsets().windows(2).map(|two| pair(two[0], two[1]));
            (rows.collect(), Arc::clone(list.values()))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let rows = list.value_offsets().windows(2).map(|two| pair(two[0], two[1]));
            (rows.collect(), Arc::clone(list.values()))
        }
        DataType::FixedSizeList(_, _) => {
            let list = array.as_fixed_size_list();
            let width = usize::try_from(list.value_length()).unwrap_or(0);
            let rows = (0..list.len()).map(|row| (row * width, (row + 1) * width));
            (rows.collect(), Arc::clone(list.values()))
        }
        DataType::ListView(item) | DataType::LargeListView(item) => {
            let plain = DataType::LargeList(Arc::clone(item));
            return lists(&cast(array, &plain).map_err(Failure::unwritable)?);
        }
        other => return Err(Failure::no_type(other)),
    };
    let (rows, items) = of_part(rows, &items);
    Ok((Places { nulls: array.nulls().cloned(), rows }, items))
}

/// The items of some of the rows only, and where they are among them.
fn of_part(rows: Vec<(usize, usize)>, items: &ArrayRef) -> (Vec<(usize, usize)>, ArrayRef) {
    let start = rows.first().map_or(0, |(from, _)| *from);
    let end = rows.last().map_or(start, |(_, to)| *to);
    let rows = rows.into_iter().map(|(from, to)| (from - start, to - start)).collect();
    (rows, items.slice(start, end - start))
}

#[cfg(test)]
#[path = "tests/cells.rs"]
mod tests;
