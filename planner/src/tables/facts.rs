//! One version of a file, and what is known of it.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use object_store::ObjectMeta;

/// One version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) size: u64,
    pub(super) e_tag: Option<String>,
    pub(super) modified: i64,
}

impl From<&ObjectMeta> for Version {
    fn from(file: &ObjectMeta) -> Self {
        Self {
            size: file.size,
            e_tag: file.e_tag.clone(),
            modified: file.last_modified.timestamp_millis(),
        }
    }
}

/// Rows, sizes and ranges of a file, by the columns of a schema, and the order of its rows.
#[derive(Debug, PartialEq)]
pub(super) struct Facts {
    pub(super) statistics: Arc<Statistics>,
    pub(super) ordering: Option<LexOrdering>,
    /// The columns whose values the scan makes of others.
    pub(super) cast: Cast,
}

/// Columns, by their places in the table, whose values the scan of a file makes of values of another kind: the ranges that
/// the file tells are not theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cast(pub(crate) Vec<usize>);

impl Facts {
    /// A file of which only the columns are known.
    pub(super) fn unknown(schema: SchemaRef) -> (SchemaRef, Arc<Self>) {
        let statistics = Arc::new(Statistics::new_unknown(&schema));
        (schema, Arc::new(Self { statistics, ordering: None, cast: Cast::default() }))
    }

    /// The facts of a file with the columns `own` by the columns of `wanted`. Of a column that the file does not have, or has
    /// with values of another kind, nothing is known. A narrower type of the same kind has the same values in the same order.
    pub(super) fn by(self: &Arc<Self>, own: &SchemaRef, wanted: &SchemaRef) -> Arc<Self> {
        if own == wanted {
            return Arc::clone(self);
        }
        let Statistics { num_rows, total_byte_size, column_statistics } = self.statistics.as_ref();
        let column = |field: &FieldRef| {
            let known = own.index_of(field.name()).ok()?;
            let (from, to) = (own.field(known).data_type(), field.data_type());
            let found = column_statistics.get(known)?;
            if from == to {
                return Some(found.clone());
            }
            widens(from, to).then(|| widened(found, to))
        };
        let columns = wanted.fields().iter().map(|field| column(field).unwrap_or_default());
        let key = |key: &PhysicalSortExpr| {
            let name = key.expr.downcast_ref::<Column>()?.name();
            let at = wanted.index_of(name).ok()?;
            let (from, to) =
                (own.field_with_name(name).ok()?.data_type(), wanted.field(at).data_type());
            let column = Arc::new(Column::new(name, at));
            carries(from, to).then(|| PhysicalSortExpr::new(column, key.options))
        };
        let is_cast = |(_, field): &(usize, &FieldRef)| {
            own.field_with_name(field.name())
                .is_ok_and(|from| !carries(from.data_type(), field.data_type()))
        };
        let cast = wanted.fields().iter().enumerate().filter(is_cast).map(|(at, _)| at).collect();
        let order = self.ordering.iter().flat_map(|order| order.iter()).map_while(key);
        Arc::new(Self {
            statistics: Arc::new(Statistics {
                num_rows: *num_rows,
                total_byte_size: *total_byte_size,
                column_statistics: columns.collect(),
            }),
            ordering: LexOrdering::new(order),
            cast: Cast(cast),
        })
    }
}

/// Whether the ends and the order of a type's values are those of the values that another type has for them.
pub(crate) fn carries(from: &DataType, to: &DataType) -> bool {
    from == to || widens(from, to)
}

/// Whether every value of a type is one of another type, and values of both have one order.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    let bits = |kind: &DataType| kind.primitive_width().unwrap_or_default();
    match (from, to) {
        (
            Decimal32(less, scale) | Decimal64(less, scale) | Decimal128(less, scale),
            Decimal64(more, same) | Decimal128(more, same) | Decimal256(more, same),
        ) => scale == same && less <= more,
        _ if from.is_string() && to.is_string() => true,
        _ if from.is_signed_integer() && to.is_signed_integer() => bits(from) <= bits(to),
        _ if from.is_unsigned_integer() && to.is_unsigned_integer() => bits(from) <= bits(to),
        _ if from.is_unsigned_integer() && to.is_signed_integer() => bits(from) < bits(to),
        _ => false,
    }
}

/// What is known of a column, with its ends as values of a wider type.
fn widened(known: &ColumnStatistics, to: &DataType) -> ColumnStatistics {
    let end = |end: &Precision<ScalarValue>| {
        let cast = |value: &ScalarValue| value.cast_to(to).ok();
        match end {
            Precision::Exact(value) => cast(value).map(Precision::Exact),
            Precision::Inexact(value) => cast(value).map(Precision::Inexact),
            Precision::Absent => None,
        }
        .unwrap_or(Precision::Absent)
    };
    ColumnStatistics {
        null_count: known.null_count,
        distinct_count: known.distinct_count,
        min_value: end(&known.min_value),
        max_value: end(&known.max_value),
        ..ColumnStatistics::default()
    }
}
