//! The sizes of arguments, row by row.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::length::length;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

/// The rows that a call computes: one, if all of its arguments are constants.
pub(super) fn rows(args: &ScalarFunctionArgs) -> usize {
    let constant = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
    if args.args.iter().all(constant) { 1 } else { args.number_rows }
}

/// An argument: one value for each row, or one value for all rows.
pub(super) struct Column {
    array: ArrayRef,
    constant: bool,
}

impl Column {
    pub(super) fn of(value: &ColumnarValue) -> Result<Self> {
        Ok(match value {
            ColumnarValue::Array(array) => Self { array: Arc::clone(array), constant: false },
            ColumnarValue::Scalar(scalar) => Self { array: scalar.to_array()?, constant: true },
        })
    }

    pub(super) fn array(&self) -> &ArrayRef {
        &self.array
    }

    /// Whole numbers. A value that is not one counts as null.
    pub(super) fn numbers(&self) -> Result<Numbers> {
        let array = cast(&self.array, &DataType::Int64)?;
        Ok(Numbers { array: array.as_primitive::<Int64Type>().clone(), constant: self.constant })
    }

    /// Texts.
    pub(super) fn texts(&self) -> Result<Texts> {
        let array = cast(&self.array, &DataType::Utf8View)?;
        Ok(Texts { array: array.as_string_view().clone(), constant: self.constant })
    }

    /// Bytes of each text, elements of each list.
    pub(super) fn lengths(&self) -> Result<Numbers> {
        let array = match self.array.data_type() {
            DataType::Null => cast(&self.array, &DataType::Int64)?,
            _ => cast(&length(&self.array)?, &DataType::Int64)?,
        };
        Ok(Numbers { array: array.as_primitive::<Int64Type>().clone(), constant: self.constant })
    }
}

/// Numbers by row.
pub(super) struct Numbers {
    array: Int64Array,
    constant: bool,
}

impl Numbers {
    pub(super) fn at(&self, row: usize) -> Option<i64> {
        let row = if self.constant { 0 } else { row };
        (row < self.array.len() && self.array.is_valid(row)).then(|| self.array.value(row))
    }

    /// The number as a count: a negative number is zero.
    pub(super) fn count(&self, row: usize) -> u64 {
        self.at(row).map_or(0, |number| u64::try_from(number).unwrap_or(0))
    }
}

/// Texts by row.
pub(super) struct Texts {
    array: StringViewArray,
    constant: bool,
}

impl Texts {
    pub(super) fn at(&self, row: usize) -> Option<&str> {
        let row = if self.constant { 0 } else { row };
        (row < self.array.len() && self.array.is_valid(row)).then(|| self.array.value(row))
    }
}

/// Bytes of one value, on the average of an array.
pub(crate) fn average(array: &dyn Array) -> Result<u64> {
    let of_list = |values: &ArrayRef, lists: usize| -> Result<u64> {
        let each = (values.len() / lists.max(1)) as u64;
        Ok(each.saturating_mul(average(values)?).saturating_add(4))
    };
    Ok(match array.data_type() {
        DataType::Null => 0,
        DataType::Boolean => 1,
        DataType::List(_) => of_list(array.as_list::<i32>().values(), array.len())?,
        DataType::LargeList(_) => of_list(array.as_list::<i64>().values(), array.len())?,
        DataType::FixedSizeList(..) => of_list(array.as_fixed_size_list().values(), array.len())?,
        DataType::Struct(_) => {
            let fields = array.as_struct().columns().iter();
            fields.map(|field| average(field)).sum::<Result<u64>>()?
        }
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => {
            let lengths = cast(&length(array)?, &DataType::Int64)?;
            let total: i64 = lengths.as_primitive::<Int64Type>().iter().flatten().sum();
            u64::try_from(total).unwrap_or(0) / (array.len().max(1) as u64)
        }
        other => other.primitive_width().unwrap_or(8) as u64,
    })
}
