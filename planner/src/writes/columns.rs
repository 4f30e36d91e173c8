//! The columns that are written.

use std::collections::HashSet;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::scalar::ScalarValue;
use dunlin_plan::words::sql_type as type_name;
use dunlin_plan::write::is_folder_type;

use super::error::refused;
use crate::error::PlanError;
use crate::mistakes::{Mistake, did_you_mean, nearest};

/// Refuses columns that a reader could not tell apart, or could not name.
pub(super) fn check_names(logical: &LogicalPlan) -> Result<(), PlanError> {
    let mut seen = HashSet::new();
    for field in logical.schema().fields() {
        let name = field.name();
        if name.is_empty() {
            return Err(refused("a column has no name; give it one with AS".to_owned()));
        }
        // Readers do not tell A from a.
        if !seen.insert(name.to_lowercase()) {
            return Err(refused(format!(
                "two columns are named {name}; give one of them another name with AS"
            )));
        }
    }
    Ok(())
}

/// The places of the columns that are folders.
pub(super) fn folders(names: &[String], logical: &LogicalPlan) -> Result<Vec<usize>, PlanError> {
    let fields = logical.schema().fields();
    let mut places = Vec::new();
    for name in names {
        let exact = fields.iter().position(|field| field.name() == name);
        let near = || fields.iter().position(|field| field.name().eq_ignore_ascii_case(name));
        let Some(at) = exact.or_else(near) else {
            let known = fields.iter().map(|field| field.name().as_str());
            let hint = did_you_mean(&nearest(name, known)).map(|hint| format!("; {hint}"));
            return Err(wrong(format!(
                "partition_by names {name}, and the query has no such column{}",
                hint.unwrap_or_default()
            )));
        };
        if places.contains(&at) {
            return Err(wrong(format!("partition_by names {name} twice")));
        }
        if name.contains('=') {
            return Err(wrong(format!(
                "partition_by names {name}, and a folder's name is column=value; give the column another name"
            )));
        }
        let data_type = fields[at].data_type();
        if !is_folder_type(data_type) {
            return Err(wrong(format!(
                "partition_by names {name}, which is {}; folders are named by whole numbers, texts, dates and booleans, so cast it",
                type_name(data_type)
            )));
        }
        places.push(at);
    }
    if !places.is_empty() && places.len() == fields.len() {
        return Err(wrong("partition_by names all columns, and files would have none".to_owned()));
    }
    Ok(places)
}

/// The rows of a query as rows of a table: columns by their place, or in the order of `columns`; those that are missing
/// are NULL.
pub(super) fn conformed(
    logical: LogicalPlan,
    table: &str,
    all: &SchemaRef,
    columns: Option<&[String]>,
) -> Result<LogicalPlan, PlanError> {
    let given = logical.schema().clone();
    let names: Vec<&str> = all.fields().iter().map(|field| field.name().as_str()).collect();
    let wanted: Vec<usize> = match columns {
        None => (0..names.len()).collect(),
        Some(columns) => {
            let mut wanted = Vec::new();
            for column in columns {
                let exact = names.iter().position(|name| name == column);
                let near = || names.iter().position(|name| name.eq_ignore_ascii_case(column));
                let Some(at) = exact.or_else(near) else {
                    let hint = did_you_mean(&nearest(column, names.iter().copied()));
                    return Err(wrong(format!(
                        "table {table} has no column {column}{}",
                        hint.map(|hint| format!("; {hint}")).unwrap_or_default()
                    )));
                };
                if wanted.contains(&at) {
                    return Err(wrong(format!("column {column} is named twice")));
                }
                wanted.push(at);
            }
            wanted
        }
    };
    let count = given.fields().len();
    if count != wanted.len() {
        let of = if columns.is_some() { "the list has" } else { "the table has" };
        return Err(PlanError::Planning {
            mistake: Mistake::Width,
            message: format!(
                "INSERT INTO {table}: the query has {count} columns, and {of} {}: {}",
                wanted.len(),
                wanted.iter().map(|at| names[*at]).collect::<Vec<_>>().join(", ")
            ),
            position: None,
            source: None,
        });
    }
    let mut values = Vec::with_capacity(all.fields().len());
    for (at, field) in all.fields().iter().enumerate() {
        let value = match wanted.iter().position(|wanted| *wanted == at) {
            None => {
                lit(ScalarValue::try_from(field.data_type()).map_err(PlanError::from_planning)?)
            }
            Some(from) => {
                let (relation, own) = given.qualified_field(from);
                if !may_become(own.data_type(), field.data_type()) {
                    return Err(PlanError::Planning {
                        mistake: Mistake::Types,
                        message: format!(
                            "INSERT INTO {table}: column {} is {}, and the query gives {}; cast it",
                            field.name(),
                            type_name(field.data_type()),
                            type_name(own.data_type())
                        ),
                        position: None,
                        source: None,
                    });
                }
                Expr::Column(Column::from((relation, own.as_ref())))
                    .cast_to(field.data_type(), given.as_ref())
                    .map_err(PlanError::from_planning)?
            }
        };
        values.push(value.alias(field.name()));
    }
    LogicalPlanBuilder::from(logical)
        .project(values)
        .and_then(LogicalPlanBuilder::build)
        .map_err(PlanError::from_planning)
}

/// Whether values become a column's without a CAST: where each value stays what it is, or is an error when the statement
/// runs. Decimals get the digits of their column, as in SQL.
fn may_become(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Date64, Decimal32, Decimal64, Decimal128, Decimal256,
        Dictionary, LargeBinary, LargeUtf8, Null, Time32, Time64, Timestamp, Utf8, Utf8View,
    };
    let is_text = |it: &DataType| matches!(it, Utf8 | LargeUtf8 | Utf8View);
    let is_bytes = |it: &DataType| matches!(it, Binary | LargeBinary | BinaryView);
    let is_decimal = |it: &DataType| {
        matches!(it, Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..))
    };
    let width = |it: &DataType| it.primitive_width().unwrap_or(0);
    match (from, to) {
        _ if from == to => true,
        (Null, _) => true,
        (Dictionary(_, values), _) => may_become(values, to),
        (_, Dictionary(_, values)) => may_become(from, values),
        (Timestamp(from, _), Timestamp(to, _)) => to >= from,
        (Date32 | Date64, Timestamp(..)) | (Date32, Date64) => true,
        (Time32(from) | Time64(from), Time32(to) | Time64(to)) => to >= from,
        _ if from.is_integer() => to.is_numeric(),
        _ if is_decimal(from) => is_decimal(to) || to.is_floating(),
        _ if from.is_floating() => is_decimal(to) || (to.is_floating() && width(to) >= width(from)),
        _ if is_text(from) => is_text(to) || matches!(to, Date32 | Date64 | Timestamp(..)),
        _ if is_bytes(from) => is_bytes(to),
        _ => from.is_nested() && to.is_nested(),
    }
}

fn wrong(message: String) -> PlanError {
    PlanError::Planning { mistake: Mistake::Column, message, position: None, source: None }
}
