//! Prepares batches for the exchange: exactly the declared schema, and no bytes that no row uses.
//!
//! Operators may return batches whose fields differ from the declared ones in nullability or metadata, but a stream
//! has one schema. Also, `take` keeps whole buffers alive behind string views and dictionaries. If they were encoded
//! unchanged, each bucket would contain the data of all buckets.

use std::sync::Arc;

use arrow::array::{
    AnyDictionaryArray, Array, ArrayData, ArrayRef, AsArray, BinaryViewArray, RecordBatch,
    RecordBatchOptions, StringViewArray, UInt64Array, make_array,
};
use arrow::compute::{cast, take};
use arrow_schema::{ArrowError, DataType, SchemaRef};

use crate::{Result, ShuffleError};

/// `batch` under `schema`, which may differ from the batch's schema in names, nullability and metadata, but not in
/// types or number of columns. This costs nothing if the schemas are equal.
pub fn conform(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if Arc::ptr_eq(batch.schema_ref(), schema) || batch.schema_ref() == schema {
        return Ok(batch);
    }
    if batch.num_columns() != schema.fields().len() {
        return Err(ShuffleError::Schema(format!(
            "{} columns instead of {}",
            batch.num_columns(),
            schema.fields().len()
        )));
    }
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            retype(column, field.data_type())
                .map_err(|error| ShuffleError::Schema(format!("column {}: {error}", field.name())))
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| ShuffleError::Schema(error.to_string()))
}

fn retype(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    if !alike(array.data_type(), target) {
        return Err(ArrowError::SchemaError(format!("{} instead of {target}", array.data_type())));
    }
    Ok(make_array(retype_data(array.to_data(), target)?))
}

/// Whether two types differ at most in the names, nullability and metadata of nested fields.
fn alike(a: &DataType, b: &DataType) -> bool {
    let children = || {
        let (of_a, of_b) = (child_types(a), child_types(b));
        of_a.len() == of_b.len() && of_a.into_iter().zip(of_b).all(|(a, b)| alike(a, b))
    };
    match (a, b) {
        (DataType::List(_), DataType::List(_))
        | (DataType::LargeList(_), DataType::LargeList(_))
        | (DataType::ListView(_), DataType::ListView(_))
        | (DataType::LargeListView(_), DataType::LargeListView(_))
        | (DataType::Struct(_), DataType::Struct(_))
        | (DataType::RunEndEncoded(_, _), DataType::RunEndEncoded(_, _)) => children(),
        (DataType::FixedSizeList(_, x), DataType::FixedSizeList(_, y)) => x == y && children(),
        (DataType::Map(_, x), DataType::Map(_, y)) => x == y && children(),
        (DataType::Dictionary(x, _), DataType::Dictionary(y, _)) => x == y && children(),
        (DataType::Union(x, of_x), DataType::Union(y, of_y)) => {
            of_x == of_y && x.iter().map(|(id, _)| id).eq(y.iter().map(|(id, _)| id)) && children()
        }
        _ => a == b,
    }
}

fn retype_data(data: ArrayData, target: &DataType) -> Result<ArrayData, ArrowError> {
    let types = child_types(target);
    let children = if types.len() == data.child_data().len() {
        data.child_data()
            .iter()
            .zip(types)
            .map(|(child, child_type)| retype_data(child.clone(), child_type))
            .collect::<Result<Vec<_>, _>>()?
    } else {
        data.child_data().to_vec()
    };
    data.into_builder().data_type(target.clone()).child_data(children).build()
}

fn child_types(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => vec![field.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field.data_type()).collect(),
        DataType::Dictionary(_, values) => vec![values.as_ref()],
        DataType::RunEndEncoded(ends, values) => vec![ends.data_type(), values.data_type()],
        _ => Vec::new(),
    }
}

/// Whether values of this type use buffers that other rows may share.
pub(crate) fn shares_buffers(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8View | DataType::BinaryView | DataType::Dictionary(_, _))
        || child_types(data_type).into_iter().any(shares_buffers)
}

/// `batch` without data that its rows do not use. View columns at the top level stay unchanged, because the coalescer
/// that made the batch has already compacted them.
pub(crate) fn compact(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let worth = |column: &ArrayRef| {
        !matches!(column.data_type(), DataType::Utf8View | DataType::BinaryView)
            && shares_buffers(column.data_type())
    };
    compacted(batch, worth)
}

/// The same rows without data of other rows: as Arrow IPC writes whole buffers, a batch of some rows of a large one would be
/// written with all of it.
///
/// # Errors
/// The ones of arrow.
pub fn alone(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let worth = |column: &ArrayRef| match column.data_type() {
        // The data that the rows use, and that the buffers have.
        DataType::Utf8View => wasteful(column.as_string_view().total_buffer_bytes_used(), column),
        DataType::BinaryView => wasteful(column.as_binary_view().total_buffer_bytes_used(), column),
        other => shares_buffers(other),
    };
    compacted(batch, worth)
}

/// The batch with compact columns where it is worth it.
fn compacted(
    batch: RecordBatch,
    worth: impl Fn(&ArrayRef) -> bool,
) -> Result<RecordBatch, ArrowError> {
    if !batch.columns().iter().any(&worth) {
        return Ok(batch);
    }
    let (schema, columns, rows) = batch.into_parts();
    let columns = columns
        .into_iter()
        .map(|column| if worth(&column) { compact_array(column) } else { Ok(column) })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

fn wasteful(used: usize, column: &ArrayRef) -> bool {
    column.get_buffer_memory_size() > used.saturating_mul(2) + 16 * column.len() + (16 << 10)
}

fn compact_array(array: ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Utf8View => Ok(Arc::new(array.as_string_view().gc())),
        DataType::BinaryView => Ok(Arc::new(array.as_binary_view().gc())),
        // If a dictionary is no larger than the rows that use it, finding its unused values costs more than it saves.
        DataType::Dictionary(_, _) => match array.as_any_dictionary_opt() {
            Some(dictionary) if dictionary.values().len() > dictionary.len() => {
                compact_dictionary(dictionary)
            }
            _ => Ok(array),
        },
        _ => {
            // A slice of a nested array still holds all children, so the rows are copied first.
            let rows = UInt64Array::from_iter_values(0..array.len() as u64);
            Ok(make_array(compact_data(take(&array, &rows, None)?.to_data())?))
        }
    }
}

/// The same rows with a dictionary of only the values that they use, in the order of first use.
fn compact_dictionary(dictionary: &dyn AnyDictionaryArray) -> Result<ArrayRef, ArrowError> {
    let nulls = dictionary.nulls().cloned();
    let mut places: Vec<Option<u64>> = vec![None; dictionary.values().len()];
    let mut used: Vec<u64> = Vec::new();
    let keys: Vec<u64> = dictionary
        .normalized_keys()
        .into_iter()
        .enumerate()
        .map(|(row, key)| {
            if nulls.as_ref().is_some_and(|valid| valid.is_null(row)) {
                return 0;
            }
            *places[key].get_or_insert_with(|| {
                used.push(key as u64);
                used.len() as u64 - 1
            })
        })
        .collect();
    let values = take(dictionary.values(), &UInt64Array::from(used), None)?;
    let keys = cast(&UInt64Array::new(keys.into(), nulls), dictionary.keys().data_type())?;
    let data = keys
        .to_data()
        .into_builder()
        .data_type(dictionary.data_type().clone())
        .child_data(vec![values.to_data()])
        .build()?;
    Ok(make_array(data))
}

fn compact_data(data: ArrayData) -> Result<ArrayData, ArrowError> {
    if !shares_buffers(data.data_type()) {
        return Ok(data);
    }
    match data.data_type() {
        DataType::Utf8View => Ok(StringViewArray::from(data).gc().into_data()),
        DataType::BinaryView => Ok(BinaryViewArray::from(data).gc().into_data()),
        DataType::Dictionary(_, _) => Ok(compact_array(make_array(data))?.to_data()),
        _ => {
            let children = data
                .child_data()
                .iter()
                .map(|child| compact_data(child.clone()))
                .collect::<Result<Vec<_>, _>>()?;
            data.into_builder().child_data(children).build()
        }
    }
}

/// Approximate bytes of the rows of `batch`, without data that other rows share.
pub(crate) fn row_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(column_bytes).sum()
}

fn column_bytes(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::Utf8View => 16 * column.len() + column.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => {
            16 * column.len() + column.as_binary_view().total_buffer_bytes_used()
        }
        DataType::Dictionary(_, _) => {
            let dictionary = column.as_any_dictionary();
            let (rows, values) = (dictionary.len(), dictionary.values());
            let used = column_bytes(values).saturating_mul(rows.min(values.len()));
            8 * rows + used.checked_div(values.len()).unwrap_or(0)
        }
        _ => column
            .to_data()
            .get_slice_memory_size()
            .unwrap_or_else(|_| column.get_array_memory_size()),
    }
}
