//! How many bytes list functions produce.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNanoType, TimeUnit};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl};

use super::sizes::{Column, average, rows};

type Function = Arc<dyn ScalarUDFImpl>;

/// Nanoseconds of a day.
const DAY: i128 = 86_400_000_000_000;

/// `range([start,] stop[, step])` and `generate_series`.
pub(super) fn range(_: &Function, args: &ScalarFunctionArgs) -> Result<Option<u64>> {
    let null = |value: &ColumnarValue| value.data_type().is_null();
    if args.args.iter().any(null) {
        return Ok(None);
    }
    match args.args.as_slice() {
        [start, stop, step] if matches!(step.data_type(), DataType::Interval(_)) => {
            moments(start, stop, step, args)
        }
        [stop] => numbers(None, stop, None, args),
        [start, stop] => numbers(Some(start), stop, None, args),
        [start, stop, step] => numbers(Some(start), stop, Some(step), args),
        _ => Ok(None),
    }
}

fn numbers(
    start: Option<&ColumnarValue>,
    stop: &ColumnarValue,
    step: Option<&ColumnarValue>,
    args: &ScalarFunctionArgs,
) -> Result<Option<u64>> {
    let column = |value: &ColumnarValue| Column::of(value)?.numbers();
    let (start, step) = (start.map(column).transpose()?, step.map(column).transpose()?);
    let stop = column(stop)?;
    let mut bytes = 0_u64;
    for row in 0..rows(args) {
        let at = |numbers: &Option<super::sizes::Numbers>, missing| match numbers {
            None => Some(missing),
            Some(numbers) => numbers.at(row),
        };
        let (Some(start), Some(stop), Some(step)) = (at(&start, 0), stop.at(row), at(&step, 1))
        else {
            continue;
        };
        let (way, step) = (i128::from(stop) - i128::from(start), i128::from(step));
        bytes = bytes.saturating_add(elements(way, step).saturating_mul(8));
    }
    Ok(Some(bytes))
}

/// Number of steps of size `step` in the distance `way`; zero if the step goes in the other direction.
fn elements(way: i128, step: i128) -> u64 {
    // The function itself reports that a step must not be zero.
    if step == 0 || (way < 0) != (step < 0) {
        return 1;
    }
    u64::try_from(way / step).unwrap_or(u64::MAX)
}

/// A range of dates or of timestamps.
fn moments(
    start: &ColumnarValue,
    stop: &ColumnarValue,
    step: &ColumnarValue,
    args: &ScalarFunctionArgs,
) -> Result<Option<u64>> {
    let (unit, held) = match start.data_type() {
        DataType::Date32 | DataType::Date64 => (DataType::Date32, 4),
        DataType::Timestamp(..) => (DataType::Timestamp(TimeUnit::Nanosecond, None), 8),
        _ => return Ok(None),
    };
    let scale = if held == 4 { DAY } else { 1 };
    let column = |value: &ColumnarValue| {
        let array = cast(Column::of(value)?.array(), &unit)?;
        let array = if held == 4 { cast(&array, &DataType::Int32)? } else { array };
        let value = match value {
            ColumnarValue::Array(_) => ColumnarValue::Array(array),
            ColumnarValue::Scalar(_) => {
                ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&array, 0)?)
            }
        };
        Column::of(&value)?.numbers()
    };
    let (start, stop) = (column(start)?, column(stop)?);
    let constant = matches!(step, ColumnarValue::Scalar(_));
    let steps = Column::of(step)?;
    let Some(steps) = steps.array().as_primitive_opt::<IntervalMonthDayNanoType>() else {
        return Ok(None);
    };
    let mut bytes = 0_u64;
    for row in 0..rows(args) {
        let step = if constant { 0 } else { row };
        let (Some(start), Some(stop), true) =
            (start.at(row), stop.at(row), step < steps.len() && steps.is_valid(step))
        else {
            continue;
        };
        let way = (i128::from(stop) - i128::from(start)) * scale;
        let step = steps.value(step);
        let months = i128::from(step.months);
        let rest = i128::from(step.days) * DAY + i128::from(step.nanoseconds);
        let (one, other) = (months * 28 * DAY + rest, months * 31 * DAY + rest);
        // A step that goes forward in one month and back in another never reaches the end.
        let count = if one == 0 && other == 0 {
            1
        } else if one.signum() != other.signum() {
            u64::MAX
        } else {
            elements(way, if one.abs() > other.abs() { one } else { other })
        };
        bytes = bytes.saturating_add(count.saturating_mul(held));
    }
    Ok(Some(bytes))
}

/// `array_repeat(element, times)`.
pub(super) fn array_repeat(_: &Function, args: &ScalarFunctionArgs) -> Result<Option<u64>> {
    let [element, times] = args.args.as_slice() else { return Ok(None) };
    let (element, times) = (Column::of(element)?, Column::of(times)?.numbers()?);
    // Each element costs some bytes even if it is empty or null.
    let each = average(element.array())?.max(4);
    let count = (0..rows(args)).map(|row| times.count(row)).fold(0, u64::saturating_add);
    Ok(Some(count.saturating_mul(each)))
}

/// `array_resize(list, size[, value])`.
pub(super) fn array_resize(_: &Function, args: &ScalarFunctionArgs) -> Result<Option<u64>> {
    let [list, size, value @ ..] = args.args.as_slice() else { return Ok(None) };
    let sizes = Column::of(size)?.numbers()?;
    let list = Column::of(list)?;
    let of_list = match list.array().data_type() {
        DataType::List(_) => average(list.array().as_list::<i32>().values())?,
        DataType::LargeList(_) => average(list.array().as_list::<i64>().values())?,
        _ => 0,
    };
    let of_value = value.first().map(|value| average(Column::of(value)?.array())).transpose()?;
    let each = of_list.max(of_value.unwrap_or(0)).max(4);
    let mut count = 0_u64;
    for row in 0..rows(args) {
        // The engine's own function panics.
        if let Some(size @ ..0) = sizes.at(row) {
            return exec_err!("array_resize cannot make a list of {size} elements");
        }
        count = count.saturating_add(sizes.count(row));
    }
    Ok(Some(count.saturating_mul(each)))
}

/// `array_concat(list, …)`.
pub(super) fn array_concat(_: &Function, args: &ScalarFunctionArgs) -> Result<Option<u64>> {
    let mut bytes = 0_u64;
    for list in &args.args {
        let list = Column::of(list)?;
        bytes = bytes.saturating_add(average(list.array())?.saturating_mul(rows(args) as u64));
    }
    Ok(Some(bytes))
}
