//! Columns whose types are replaced, at any depth.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;

/// What a type becomes; `None` if it stays. What it becomes is asked again.
pub type Replace<'a> = &'a dyn Fn(&DataType) -> Option<DataType>;

/// The columns with other types; `None` if none is replaced.
#[must_use]
pub fn schema(schema: &Schema, replace: Replace<'_>) -> Option<SchemaRef> {
    let fields = fields(schema.fields(), replace)?;
    Some(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

/// The rows as those of a schema with other types.
///
/// # Errors
/// A value that the other type does not have.
pub fn rows(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns.collect::<Result<_, _>>()?,
        &options,
    )
}

/// The fields with other types; `None` if none is replaced.
pub(crate) fn fields<'a>(
    fields: impl IntoIterator<Item = &'a FieldRef>,
    replace: Replace<'_>,
) -> Option<Vec<FieldRef>> {
    let mut is_new = false;
    let new = fields.into_iter().map(|field| match inside(field, replace) {
        Some(new) => {
            is_new = true;
            new
        }
        None => Arc::clone(field),
    });
    let new = new.collect();
    is_new.then_some(new)
}

fn inside(field: &FieldRef, replace: Replace<'_>) -> Option<FieldRef> {
    let kind = retyped(field.data_type(), replace)?;
    Some(Arc::new(field.as_ref().clone().with_data_type(kind)))
}

/// The type with what is in it; `None` if nothing is replaced.
pub(crate) fn retyped(kind: &DataType, replace: Replace<'_>) -> Option<DataType> {
    if let Some(new) = replace(kind) {
        return Some(retyped(&new, replace).unwrap_or(new));
    }
    Some(match kind {
        DataType::Dictionary(key, values) => {
            DataType::Dictionary(key.clone(), Box::new(retyped(values, replace)?))
        }
        DataType::List(field) => DataType::List(inside(field, replace)?),
        DataType::LargeList(field) => DataType::LargeList(inside(field, replace)?),
        DataType::FixedSizeList(field, size) => {
            DataType::FixedSizeList(inside(field, replace)?, *size)
        }
        DataType::Map(field, is_sorted) => DataType::Map(inside(field, replace)?, *is_sorted),
        DataType::Struct(all) => DataType::Struct(fields(all, replace)?.into()),
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::arrow::datatypes::Field;

    use super::*;

    #[test]
    fn types_are_replaced_at_any_depth_and_all_else_stays() {
        let words = || {
            let values = Box::new(DataType::Utf8);
            DataType::Dictionary(Box::new(DataType::Int8), values)
        };
        let values = |kind: &DataType| match kind {
            DataType::Dictionary(_, values) => Some(values.as_ref().clone()),
            _ => None,
        };
        let list = |kind| DataType::new_list(kind, true);
        let one = |kind| DataType::Struct(vec![Arc::new(Field::new("w", kind, false))].into());
        assert_eq!(retyped(&words(), &values), Some(DataType::Utf8));
        assert_eq!(retyped(&list(one(words())), &values), Some(list(one(DataType::Utf8))));
        assert_eq!(retyped(&list(one(DataType::Utf8)), &values), None);
        let columns = [DataType::Int8, words()].map(|kind| Arc::new(Field::new("c", kind, true)));
        let new = fields(&columns, &values).unwrap();
        assert!(Arc::ptr_eq(&new[0], &columns[0]));
        assert_eq!(new[1].data_type(), &DataType::Utf8);
    }
}
