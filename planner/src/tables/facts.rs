//! One version of a file, and what is known of it.

use std::sync::Arc;

use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::Statistics;
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
}

impl Facts {
    /// A file of which only the columns are known.
    pub(super) fn unknown(schema: SchemaRef) -> (SchemaRef, Arc<Self>) {
        let statistics = Arc::new(Statistics::new_unknown(&schema));
        (schema, Arc::new(Self { statistics, ordering: None }))
    }

    /// The facts of a file with the columns `own` by the columns of `wanted`. Of a column that the file does not have, or has
    /// with values of another kind, nothing is known.
    pub(super) fn by(self: &Arc<Self>, own: &SchemaRef, wanted: &SchemaRef) -> Arc<Self> {
        if own == wanted {
            return Arc::clone(self);
        }
        let Statistics { num_rows, total_byte_size, column_statistics } = self.statistics.as_ref();
        let column = |field: &FieldRef| {
            let known = own.index_of(field.name()).ok()?;
            let is_same = own.field(known).data_type() == field.data_type();
            is_same.then(|| column_statistics.get(known).cloned()).flatten()
        };
        let columns = wanted.fields().iter().map(|field| column(field).unwrap_or_default());
        let key = |key: &PhysicalSortExpr| {
            let name = key.expr.downcast_ref::<Column>()?.name();
            let at = wanted.index_of(name).ok()?;
            let is_same =
                own.field_with_name(name).ok()?.data_type() == wanted.field(at).data_type();
            let column = Arc::new(Column::new(name, at));
            is_same.then(|| PhysicalSortExpr::new(column, key.options))
        };
        let order = self.ordering.iter().flat_map(|order| order.iter()).map_while(key);
        Arc::new(Self {
            statistics: Arc::new(Statistics {
                num_rows: *num_rows,
                total_byte_size: *total_byte_size,
                column_statistics: columns.collect(),
            }),
            ordering: LexOrdering::new(order),
        })
    }
}
