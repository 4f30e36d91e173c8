//! What is known of a table: its columns, and what its files say about them.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use dunlin_planner::{Planned, TableName};
use serde::Serialize;

use super::error::CoreError;

/// A figure. It may be an estimate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Figure<T> {
    value: T,
    exact: bool,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ColumnBody {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    nullable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nulls: Option<Figure<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    distinct: Option<Figure<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<Figure<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<Figure<String>>,
}

/// A table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TableBody {
    #[serde(flatten)]
    table: TableName,
    columns: Vec<ColumnBody>,
    /// Bytes that reading all of it would read.
    scan_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Figure<u64>>,
}

/// A statement that reads the whole table. Its plan has the columns and the statistics.
pub(crate) fn whole_table(name: &str) -> String {
    format!("select * from \"{}\"", name.replace('"', "\"\""))
}

impl TableBody {
    /// From the plan of [`whole_table`].
    pub(crate) fn new(table: TableName, planned: &Planned) -> Result<Self, CoreError> {
        let context = StatisticsContext::new();
        let statistics = context
            .compute(planned.physical().as_ref(), &StatisticsArgs::new())
            .map_err(CoreError::internal)?;
        Ok(Self {
            table,
            columns: columns(&planned.schema, &statistics.column_statistics),
            scan_bytes: planned.scan_bytes,
            rows: figure(&statistics.num_rows, |rows| Some(*rows as u64)),
        })
    }
}

/// The columns of a schema, with what is known of each.
pub(crate) fn columns(schema: &SchemaRef, statistics: &[ColumnStatistics]) -> Vec<ColumnBody> {
    let count = |count: &usize| Some(*count as u64);
    let text = |value: &ScalarValue| (!value.is_null()).then(|| value.to_string());
    let fields = schema.fields().iter().enumerate();
    fields
        .map(|(at, field)| {
            let known = statistics.get(at);
            ColumnBody {
                name: field.name().clone(),
                kind: field.data_type().to_string(),
                nullable: field.is_nullable(),
                nulls: known.and_then(|known| figure(&known.null_count, count)),
                distinct: known.and_then(|known| figure(&known.distinct_count, count)),
                min: known.and_then(|known| figure(&known.min_value, text)),
                max: known.and_then(|known| figure(&known.max_value, text)),
            }
        })
        .collect()
}

fn figure<T, U>(known: &Precision<T>, read: impl Fn(&T) -> Option<U>) -> Option<Figure<U>>
where
    T: Clone + std::fmt::Debug + PartialEq + Eq + PartialOrd,
{
    match known {
        Precision::Exact(value) => read(value).map(|value| Figure { value, exact: true }),
        Precision::Inexact(value) => read(value).map(|value| Figure { value, exact: false }),
        Precision::Absent => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_whatever_is_in_it() {
        assert_eq!(whole_table("orders"), "select * from \"orders\"");
        assert_eq!(whole_table("a\"; drop"), "select * from \"a\"\"; drop\"");
    }

    #[test]
    fn a_figure_says_whether_it_is_exact() {
        let read = |value: &usize| Some(*value as u64);
        assert_eq!(figure(&Precision::Exact(3), read), Some(Figure { value: 3, exact: true }));
        assert_eq!(figure(&Precision::Inexact(3), read), Some(Figure { value: 3, exact: false }));
        assert_eq!(figure(&Precision::<usize>::Absent, read), None);
    }
}
