//! The columns of a batch in the few forms that have a text and a binary form in Postgres.
//!
//! ```text
//!   any Arrow array ──Cells::of──> one of 15 forms ──> text::write, binary::write
//! ```
//! An array is brought into its form once for each batch, so that writing a value is a look at a plain array.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    LargeBinaryArray, LargeStringArray, PrimitiveArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type,
    Float64Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit,
};
use datafusion::arrow::error::ArrowError;

use super::failure::{Failure, state};
use super::kind::Kind;

/// A column in the form in which its values are written.
#[derive(Debug)]
pub(super) enum Cells {
    /// Every value is NULL.
    Null,
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Float4(Float32Array),
    Float8(Float64Array),
    /// With the digits behind the point.
    Numeric(Decimal128Array, i8),
    /// The same with up to 76 digits.
    LongNumeric(Decimal256Array, i8),
    Text(LargeStringArray),
    Bytes(LargeBinaryArray),
    Date(Date32Array),
    /// Microseconds of a day.
    Time(Int64Array),
    /// Microseconds after 1970.
    Timestamp(Int64Array),
    /// Microseconds after 1970 in UTC.
    TimestampTz(Int64Array),
    Interval(IntervalMonthDayNanoArray),
    Array(Lists),
    Record(Option<NullBuffer>, Vec<Cells>),
}

/// A column of lists.
#[derive(Debug)]
pub(super) struct Lists {
    nulls: Option<NullBuffer>,
    /// The items of a row are those from its number to the next.
    offsets: Vec<(usize, usize)>,
    pub(super) items: Box<Cells>,
    /// The type of the innermost items.
    pub(super) kind: Kind,
}

impl Lists {
    /// The items of a row.
    pub(super) fn row(&self, row: usize) -> (usize, usize) {
        self.offsets[row]
    }
}

impl Cells {
    /// A column in the form in which its values are written.
    ///
    /// # Errors
    /// A type without a form, or a time that Postgres cannot have.
    pub(super) fn of(array: &ArrayRef) -> Result<Self, Failure> {
        let to = |kind: DataType| cast(array, &kind).map_err(unwritable);
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => {
                Self::Int2(to(DataType::Int16)?.as_primitive::<Int16Type>().clone())
            }
            DataType::UInt16 | DataType::Int32 => {
                Self::Int4(to(DataType::Int32)?.as_primitive::<Int32Type>().clone())
            }
            DataType::UInt32 | DataType::Int64 => {
                Self::Int8(to(DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            DataType::UInt64 => {
                let wide = to(DataType::Decimal128(20, 0))?;
                Self::Numeric(wide.as_primitive::<Decimal128Type>().clone(), 0)
            }
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                let wide = to(DataType::Decimal128(*precision, *scale))?;
                Self::Numeric(wide.as_primitive::<Decimal128Type>().clone(), *scale)
            }
            DataType::Decimal128(_, scale) => {
                Self::Numeric(array.as_primitive::<Decimal128Type>().clone(), *scale)
            }
            DataType::Decimal256(_, scale) => {
                Self::LongNumeric(array.as_primitive::<Decimal256Type>().clone(), *scale)
            }
            DataType::Float16 | DataType::Float32 => {
                Self::Float4(to(DataType::Float32)?.as_primitive::<Float32Type>().clone())
            }
            DataType::Float64 => Self::Float8(array.as_primitive::<Float64Type>().clone()),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Self::Text(to(DataType::LargeUtf8)?.as_string::<i64>().clone())
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => {
                Self::Bytes(to(DataType::LargeBinary)?.as_binary::<i64>().clone())
            }
            DataType::Date32 => Self::Date(array.as_primitive::<Date32Type>().clone()),
            DataType::Dictionary(_, values) => return Self::of(&to(values.as_ref().clone())?),
            DataType::RunEndEncoded(_, values) => {
                return Self::of(&to(values.data_type().clone())?);
            }
            DataType::Date64
            | DataType::Timestamp(_, _)
            | DataType::Time32(_)
            | DataType::Time64(_) => times(array)?,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval(intervals(array)?),
            DataType::Struct(_) => {
                let array = array.as_struct();
                let fields = array.columns().iter().map(Self::of).collect::<Result<_, _>>()?;
                Self::Record(array.nulls().cloned(), fields)
            }
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
            | DataType::FixedSizeList(_, _)
            | DataType::Map(_, _) => Self::Array(lists(array)?),
            DataType::Union(_, _) => {
                return Err(Kind::of_type(array.data_type()).err().unwrap_or_else(|| {
                    unwritable(ArrowError::NotYetImplemented("union".to_owned()))
                }));
            }
        })
    }

    /// Whether a row has no value.
    pub(super) fn is_null(&self, row: usize) -> bool {
        let of = |nulls: Option<&NullBuffer>| nulls.is_some_and(|nulls| nulls.is_null(row));
        match self {
            Self::Null => true,
            Self::Bool(array) => of(array.nulls()),
            Self::Int2(array) => of(array.nulls()),
            Self::Int4(array) => of(array.nulls()),
            Self::Int8(array)
            | Self::Time(array)
            | Self::Timestamp(array)
            | Self::TimestampTz(array) => of(array.nulls()),
            Self::Float4(array) => of(array.nulls()),
            Self::Float8(array) => of(array.nulls()),
            Self::Numeric(array, _) => of(array.nulls()),
            Self::LongNumeric(array, _) => of(array.nulls()),
            Self::Text(array) => of(array.nulls()),
            Self::Bytes(array) => of(array.nulls()),
            Self::Date(array) => of(array.nulls()),
            Self::Interval(array) => of(array.nulls()),
            Self::Array(lists) => of(lists.nulls.as_ref()),
            Self::Record(nulls, _) => of(nulls.as_ref()),
        }
    }
}

fn unwritable(error: ArrowError) -> Failure {
    Failure::error(state::DATA, format!("a value cannot be written: {error}"))
}

fn out_of_range(what: &str) -> Failure {
    Failure::error(state::BAD_TIME, format!("{what} is out of the range of Postgres"))
        .hint("Cast the column to text to see its values.")
}

/// Times as microseconds. What is finer is cut, towards the past.
fn times(array: &ArrayRef) -> Result<Cells, Failure> {
    let raw = |kind: DataType| -> Result<Int64Array, Failure> {
        Ok(cast(array, &kind).map_err(unwritable)?.as_primitive::<Int64Type>().clone())
    };
    Ok(match array.data_type() {
        DataType::Time32(unit) => {
            let whole = cast(array, &DataType::Int32).map_err(unwritable)?;
            let whole = cast(&whole, &DataType::Int64).map_err(unwritable)?;
            Cells::Time(micros(whole.as_primitive(), *unit)?)
        }
        DataType::Time64(unit) => Cells::Time(micros(&raw(DataType::Int64)?, *unit)?),
        DataType::Timestamp(unit, None) => Cells::Timestamp(micros(&raw(DataType::Int64)?, *unit)?),
        DataType::Timestamp(unit, Some(_)) => {
            Cells::TimestampTz(micros(&raw(DataType::Int64)?, *unit)?)
        }
        _ => Cells::Timestamp(micros(&raw(DataType::Int64)?, TimeUnit::Millisecond)?),
    })
}

fn micros(array: &Int64Array, unit: TimeUnit) -> Result<Int64Array, Failure> {
    let factor = match unit {
        TimeUnit::Second => 1_000_000,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => return Ok(array.clone()),
        TimeUnit::Nanosecond => return Ok(array.unary(|value| value.div_euclid(1_000))),
    };
    array
        .try_unary(|value| value.checked_mul(factor).ok_or(()))
        .map_err(|()| out_of_range("a time"))
}

/// Intervals of any kind as months, days and nanoseconds.
fn intervals(array: &ArrayRef) -> Result<IntervalMonthDayNanoArray, Failure> {
    fn each<T: ArrowPrimitiveType>(
        array: &PrimitiveArray<T>,
        of: impl Fn(T::Native) -> Option<IntervalMonthDayNano>,
    ) -> Result<IntervalMonthDayNanoArray, Failure> {
        array.try_unary(|value| of(value).ok_or(())).map_err(|()| out_of_range("an interval"))
    }
    match array.data_type() {
        DataType::Interval(IntervalUnit::YearMonth) => {
            each(array.as_primitive::<IntervalYearMonthType>(), |months| {
                Some(IntervalMonthDayNano::new(months, 0, 0))
            })
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            each(array.as_primitive::<IntervalDayTimeType>(), |value| {
                let nanos = i64::from(value.milliseconds) * 1_000_000;
                Some(IntervalMonthDayNano::new(0, value.days, nanos))
            })
        }
        DataType::Duration(unit) => {
            let factor = match unit {
                TimeUnit::Second => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Nanosecond => 1,
            };
            let whole = cast(array, &DataType::Int64).map_err(unwritable)?;
            each(whole.as_primitive::<Int64Type>(), |value| {
                Some(IntervalMonthDayNano::new(0, 0, value.checked_mul(factor)?))
            })
        }
        _ => Ok(array.as_primitive::<IntervalMonthDayNanoType>().clone()),
    }
}

/// Lists of any layout.
fn lists(array: &ArrayRef) -> Result<Lists, Failure> {
    let pair =
        |from: i64, to: i64| (usize::try_from(from).unwrap_or(0), usize::try_from(to).unwrap_or(0));
    let narrow = |offsets: &[i32]| -> Vec<(usize, usize)> {
        offsets.windows(2).map(|two| pair(two[0].into(), two[1].into())).collect()
    };
    let (offsets, items): (Vec<_>, ArrayRef) = match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            (narrow(list.value_offsets()), Arc::clone(list.values()))
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            (narrow(map.value_offsets()), Arc::new(map.entries().clone()))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let offsets = list.value_offsets().windows(2).map(|two| pair(two[0], two[1]));
            (offsets.collect(), Arc::clone(list.values()))
        }
        DataType::FixedSizeList(_, _) => {
            let list = array.as_fixed_size_list();
            let width = usize::try_from(list.value_length()).unwrap_or(0);
            let offsets = (0..list.len()).map(|row| (row * width, (row + 1) * width));
            (offsets.collect(), Arc::clone(list.values()))
        }
        DataType::ListView(item) | DataType::LargeListView(item) => {
            let list = cast(array, &DataType::LargeList(Arc::clone(item))).map_err(unwritable)?;
            return lists(&list);
        }
        other => {
            let text = format!("values of type {other} are no lists");
            return Err(Failure::error(state::INTERNAL, text));
        }
    };
    let kind = match Kind::of_type(items.data_type())? {
        Kind::Array(kind) => *kind,
        kind => kind,
    };
    Ok(Lists { nulls: array.nulls().cloned(), offsets, items: Box::new(Cells::of(&items)?), kind })
}
