//! Declared columns, and columns of text files that are read as text first: where a word means NULL, where dates are
//! written in a form of their own, and where dates were only found in the first rows: the engine would drop the time of
//! day of a later one.
//!
//! ```text
//!  day DATE, date_format '%d/%m/%Y'      file: day Utf8      table: to_date(day, '%d/%m/%Y')
//!  day, found to be a DATE               file: day Utf8      table: to_date(day, '%Y-%m-%d')
//!  n BIGINT, null ['NA']                 file: n Utf8        table: CAST(nullif(n, 'NA') AS BIGINT)
//! ```

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::functions::expr_fn;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::prelude::{cast, ident, lit};

use super::config::{Format, TableConfig};
use super::error::TableError;
use super::provider::FilesTable;

/// The columns that the configuration declares, if it declares any.
pub(super) fn declared(
    config: &TableConfig,
    state: &SessionState,
) -> Result<Option<SchemaRef>, TableError> {
    if config.columns.is_empty() {
        return Ok(None);
    }
    let columns = columns(&config.name, &config.columns, state)?;
    Ok(Some(Arc::new(Schema::new(columns))))
}

/// Reads `name TYPE` and `"name" TYPE NOT NULL`. Types are those of SQL.
pub(super) fn columns(
    table: &str,
    texts: &[String],
    state: &SessionState,
) -> Result<Vec<FieldRef>, TableError> {
    let column = |text: &String| {
        let wrong = |what: &str| {
            TableError::Invalid(format!(
                "{text:?} of table {table} is not a column: {what}; write a name and a type of SQL, as \"day DATE\""
            ))
        };
        let text = text.trim();
        let (name, rest) = match text.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(|| wrong("a quote is not closed"))?,
            None => text.split_once(char::is_whitespace).ok_or_else(|| wrong("it has no type"))?,
        };
        let (rest, nullable) = match strip_not_null(rest.trim()) {
            Some(rest) => (rest, false),
            None => (rest.trim(), true),
        };
        if name.is_empty() || rest.is_empty() {
            return Err(wrong("it has no name or no type"));
        }
        let expr = state.create_logical_expr(&format!("CAST(NULL AS {rest})"), &DFSchema::empty());
        match expr {
            Ok(Expr::Cast(cast)) => {
                Ok(Arc::new(Field::new(name, cast.field.data_type().clone(), nullable)))
            }
            Ok(_) => Err(wrong("its type is not known")),
            Err(error) => Err(wrong(&dunlin_plan::words::sentence(&error))),
        }
    };
    texts.iter().map(column).collect()
}

fn strip_not_null(text: &str) -> Option<&str> {
    let at = text.len().checked_sub("NOT NULL".len())?;
    text.get(at..)?.eq_ignore_ascii_case("NOT NULL").then(|| text[..at].trim_end())
}

/// The form of dates that are found. Nothing else is taken for one.
const FOUND_DATE: &str = "%Y-%m-%d";

/// The form in which a date or time is written in the files, if it has one of its own.
fn form<'a>(config: &'a TableConfig, data_type: &DataType) -> Option<&'a str> {
    match data_type {
        DataType::Date32 if config.columns.is_empty() => Some(FOUND_DATE),
        DataType::Date32 => config.csv.date_format.as_deref(),
        DataType::Timestamp(_, _) => config.csv.timestamp_format.as_deref(),
        _ => None,
    }
}

/// True for a column that is read as text first.
fn as_text(config: &TableConfig, data_type: &DataType) -> bool {
    config.format() == Format::Csv
        && (!config.csv.null.is_empty() || form(config, data_type).is_some())
}

/// The columns as they are read from the files.
fn stored(config: &TableConfig, wanted: &SchemaRef) -> SchemaRef {
    let stored = |field: &FieldRef| -> FieldRef {
        if as_text(config, field.data_type()) {
            Arc::new(Field::new(field.name(), DataType::Utf8, true))
        } else {
            Arc::clone(field)
        }
    };
    Arc::new(Schema::new(wanted.fields().iter().map(stored).collect::<Vec<_>>()))
}

/// The columns that were found in text files. A column of which no row of the sample has a value may hold anything.
pub(super) fn found(schema: &SchemaRef) -> SchemaRef {
    let known = |field: &FieldRef| -> FieldRef {
        match field.data_type() {
            DataType::Null => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
            _ => Arc::clone(field),
        }
    };
    Arc::new(Schema::new(schema.fields().iter().map(known).collect::<Vec<_>>()))
}

/// The table as statements see it.
pub(super) fn read(
    config: &TableConfig,
    table: FilesTable,
) -> Result<Arc<dyn TableProvider>, TableError> {
    let shape = Arc::clone(&table.shape);
    let wanted = shape.inside.fields();
    if !wanted.iter().any(|field| as_text(config, field.data_type())) {
        return Ok(Arc::new(table));
    }
    let texts = table.read_as(stored(config, &shape.inside));
    let folders = shape.folders.iter().map(|field| ident(field.name().clone()));
    let columns: Vec<Expr> =
        wanted.iter().map(|field| column(config, field)).chain(folders).collect();
    let source = provider_as_source(Arc::new(texts));
    let name = TableReference::bare(config.name.clone());
    let plan = LogicalPlanBuilder::scan(name, source, None)?.project(columns)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// The table with its columns in another order.
pub(super) fn in_order(
    table: FilesTable,
    wanted: &SchemaRef,
) -> Result<Arc<dyn TableProvider>, TableError> {
    let columns: Vec<Expr> =
        wanted.fields().iter().map(|field| ident(field.name().clone())).collect();
    if table
        .shape
        .schema
        .fields()
        .iter()
        .map(|it| it.name())
        .eq(wanted.fields().iter().map(|it| it.name()))
    {
        return Ok(Arc::new(table));
    }
    let source = provider_as_source(Arc::new(table));
    let plan = LogicalPlanBuilder::scan("made", source, None)?.project(columns)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// The value of a column from its text.
fn column(config: &TableConfig, field: &FieldRef) -> Expr {
    let name = field.name();
    if !as_text(config, field.data_type()) {
        return ident(name.clone());
    }
    let nulls = &config.csv.null;
    let text = nulls
        .iter()
        .fold(ident(name.clone()), |text, null| expr_fn::nullif(text, lit(null.as_str())));
    let value = match (form(config, field.data_type()), field.data_type()) {
        (Some(form), DataType::Date32) => expr_fn::to_date(vec![text, lit(form)]),
        (Some(form), wanted) => {
            cast(expr_fn::to_timestamp_micros(vec![text, lit(form)]), wanted.clone())
        }
        (None, DataType::Utf8) => text,
        (None, wanted) => cast(text, wanted.clone()),
    };
    value.alias(name.clone())
}
