//! One schema for files whose schemas differ, where that is sound.
//!
//! A column that some files lack is NULL in their rows. A column of several types gets the narrowest type that holds
//! every value of each exactly. Where there is none, the table is refused, and both files are named.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use object_store::path::Path;

use super::error::TableError;

/// The schema of all files, in the order of the files. In text, whole and other numbers may be in one column, because
/// each is read as what the column is.
///
/// # Errors
/// [`TableError::Conflict`].
pub(crate) fn merged<'a>(
    files: impl IntoIterator<Item = (&'a Path, &'a SchemaRef)>,
    is_text: bool,
) -> Result<SchemaRef, TableError> {
    let mut columns: Vec<(FieldRef, &Path)> = Vec::new();
    let mut at: HashMap<String, usize> = HashMap::new();
    let mut last: Option<&SchemaRef> = None;
    let mut count = 0_usize;
    let mut seen: Vec<usize> = Vec::new();
    for (path, schema) in files {
        count += 1;
        // Most files of a table share one schema.
        if last.is_some_and(|last| Arc::ptr_eq(last, schema)) {
            last.into_iter().flat_map(|last| last.fields()).for_each(|field| {
                seen[at[field.name()]] += 1;
            });
            continue;
        }
        last = Some(schema);
        for field in schema.fields() {
            match at.get(field.name()) {
                None => {
                    at.insert(field.name().clone(), columns.len());
                    columns.push((Arc::clone(field), path));
                    seen.push(1);
                }
                Some(&number) => {
                    let (known, first) = &columns[number];
                    seen[number] += 1;
                    let both = one(known, field, is_text).ok_or_else(|| TableError::Conflict {
                        column: field.name().clone(),
                        types: Box::new((known.data_type().clone(), field.data_type().clone())),
                        files: Box::new([first.to_string(), path.to_string()]),
                    })?;
                    columns[number].0 = both;
                }
            }
        }
    }
    let columns = columns.into_iter().zip(seen).map(|((field, _), seen)| {
        if seen < count && !field.is_nullable() {
            Arc::new(field.as_ref().clone().with_nullable(true))
        } else {
            field
        }
    });
    Ok(Arc::new(Schema::new(columns.collect::<Vec<_>>())))
}

/// One column for the values of two.
fn one(a: &FieldRef, b: &FieldRef, is_text: bool) -> Option<FieldRef> {
    if a == b {
        return Some(Arc::clone(a));
    }
    let data_type = match (a.data_type(), b.data_type()) {
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) if is_text => {
            DataType::Float64
        }
        (a, b) => common(a, b)?,
    };
    let field = Field::new(a.name(), data_type, a.is_nullable() || b.is_nullable());
    Some(Arc::new(field.with_metadata(a.metadata().clone())))
}

/// The narrowest type that holds every value of both exactly.
fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{
        Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Null, Timestamp, UInt8,
        UInt16, UInt32,
    };
    if a == b {
        return Some(a.clone());
    }
    let ordered = [(a, b), (b, a)];
    ordered.into_iter().find_map(|(a, b)| match (a, b) {
        (Null, other) => Some(other.clone()),
        (Int8, Int16 | Int32 | Int64 | Float32 | Float64)
        | (Int16, Int32 | Int64 | Float32 | Float64)
        | (Int32, Int64 | Float64)
        | (UInt8, UInt16 | UInt32 | DataType::UInt64 | Int16 | Int32 | Int64 | Float32 | Float64)
        | (UInt16, UInt32 | DataType::UInt64 | Int32 | Int64 | Float32 | Float64)
        | (UInt32, DataType::UInt64 | Int64 | Float64)
        | (Float32, Float64) => Some(b.clone()),
        (UInt8, Int8) => Some(Int16),
        (UInt16, Int8 | Int16) => Some(Int32),
        (UInt32, Int8 | Int16 | Int32) => Some(Int64),
        // A float of 32 bits does not hold every 32-bit integer.
        (Int32 | UInt32, Float32) => Some(Float64),
        (Decimal128(p, s), Decimal128(q, t)) if s == t => Some(Decimal128(*p.max(q), *s)),
        (
            Timestamp(TimeUnit::Second, z),
            Timestamp(unit @ (TimeUnit::Millisecond | TimeUnit::Microsecond), w),
        )
        | (Timestamp(TimeUnit::Millisecond, z), Timestamp(unit @ TimeUnit::Microsecond, w))
            if z == w =>
        {
            Some(Timestamp(*unit, z.clone()))
        }
        (Date32, Timestamp(_, _)) => None,
        (DataType::Struct(_), DataType::Struct(_)) | (DataType::List(_), DataType::List(_)) => {
            let mut field = Field::new("x", a.clone(), true);
            field.try_merge(&Field::new("x", b.clone(), true)).ok()?;
            Some(field.data_type().clone())
        }
        (DataType::Utf8, wide @ (DataType::LargeUtf8 | DataType::Utf8View))
        | (DataType::LargeUtf8, wide @ DataType::Utf8View)
        | (DataType::Binary, wide @ (DataType::LargeBinary | DataType::BinaryView))
        | (DataType::LargeBinary, wide @ DataType::BinaryView) => Some(wide.clone()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn schema(columns: &[(&str, DataType, bool)]) -> SchemaRef {
        let field = |(name, data_type, nullable): &(&str, DataType, bool)| {
            Field::new(*name, data_type.clone(), *nullable)
        };
        Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
    }

    fn merge(schemas: &[SchemaRef]) -> Result<SchemaRef, TableError> {
        let paths: Vec<Path> = (0..schemas.len()).map(|n| Path::from(format!("f{n}"))).collect();
        merged(paths.iter().zip(schemas), false)
    }

    #[test]
    fn types_become_the_narrowest_that_holds_both_and_missing_columns_become_null() {
        let a = schema(&[("i", DataType::Int32, false), ("only_a", DataType::Utf8, false)]);
        let b = schema(&[("i", DataType::Int64, false), ("f", DataType::Float32, false)]);
        let same = [Arc::clone(&a), Arc::clone(&a)];
        assert_eq!(merge(&same).unwrap(), a);
        let both = merge(&[a, b]).unwrap();
        let wanted = [
            ("i", DataType::Int64, false),
            ("only_a", DataType::Utf8, true),
            ("f", DataType::Float32, true),
        ];
        assert_eq!(both, schema(&wanted));
    }

    #[test]
    fn no_type_that_would_change_a_value_is_chosen() {
        for (a, b) in [
            (DataType::Int64, DataType::Float64),
            (DataType::UInt64, DataType::Int64),
            (DataType::Utf8, DataType::Int64),
            (DataType::Decimal128(10, 2), DataType::Decimal128(10, 3)),
            (DataType::Date32, DataType::Timestamp(TimeUnit::Second, None)),
        ] {
            let error = merge(&[schema(&[("x", a, true)]), schema(&[("x", b, true)])]).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("column x") && text.contains("f0") && text.contains("f1"),
                "{text}"
            );
        }
        let float = merge(&[
            schema(&[("x", DataType::Float32, true)]),
            schema(&[("x", DataType::Int32, true)]),
        ]);
        assert_eq!(float.unwrap().field(0).data_type(), &DataType::Float64);
    }
}
