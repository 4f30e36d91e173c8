//! SHOW and DESCRIBE: what they list, as a query over the catalog, or as rows that are known.

use arrow_schema::{Schema, SchemaRef};
use dunlin_planner::{DEFAULT_CATALOG, DEFAULT_SCHEMA};

use super::catalog::Look;
use super::command::{Show, known};
use super::encode::{Rows, at_hand, whole};
use super::failure::{Failure, Name, Refused};
use super::kind::Kind;
use super::parts::Trino;
use super::session::texts;

/// Where a list is taken from.
enum Source {
    Query(String),
    Rows(arrow::array::RecordBatch),
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A condition on a column, if there is a pattern.
fn like(column: &str, pattern: Option<&String>, before: &str) -> String {
    pattern.map_or(String::new(), |pattern| format!(" {before} {column} like {pattern}"))
}

impl Trino {
    /// The rows of a list.
    pub(super) async fn shown(
        &self,
        show: Show,
        look: Look,
        has_digits: bool,
    ) -> Result<Rows, Refused> {
        let source = match show {
            Show::Catalogs(pattern) => Source::Query(format!(
                "select catalog_name as \"Catalog\" from system.metadata.catalogs{} order by 1",
                like("catalog_name", pattern.as_ref(), "where")
            )),
            Show::Schemas(catalog, pattern) => {
                let catalog = catalog.or(look.catalog.clone());
                known(catalog.as_deref(), None)?;
                let catalog = catalog.as_deref().unwrap_or(DEFAULT_CATALOG);
                Source::Query(format!(
                    "select schema_name as \"Schema\" from {catalog}.information_schema.schemata{} order by 1",
                    like("schema_name", pattern.as_ref(), "where")
                ))
            }
            Show::Tables(path, pattern) => {
                let (catalog, schema) = schema_of(&path, &look)?;
                Source::Query(format!(
                    "select table_name as \"Table\" from {catalog}.information_schema.tables where table_schema = {}{} order by 1",
                    text(&schema),
                    like("table_name", pattern.as_ref(), "and")
                ))
            }
            Show::Columns(path, Some(pattern)) => {
                let (table, _) = self.table(&path, &look).await?;
                Source::Query(format!(
                    "select column_name as \"Column\", data_type as \"Type\", '' as \"Extra\", '' as \"Comment\" from {DEFAULT_CATALOG}.information_schema.columns where table_name = {} and column_name like {pattern} order by ordinal_position",
                    text(&table)
                ))
            }
            Show::Columns(path, None) => {
                let (_, columns) = self.table(&path, &look).await?;
                Source::Rows(described(&columns)?)
            }
            Show::CreateTable(path) => {
                let (table, columns) = self.table(&path, &look).await?;
                let made = format!("CREATE TABLE {}", made(&table, &columns)?);
                Source::Rows(texts(&[("Create Table", vec![made])])?)
            }
            Show::Session(_) | Show::Functions(_) => {
                let what = "SHOW SESSION has no LIKE, and cannot be prepared";
                return Err(Failure::new(Name::NOT_SUPPORTED, what).into());
            }
        };
        match source {
            Source::Rows(batch) => Ok(at_hand(&batch, has_digits)?),
            Source::Query(sql) => {
                let found = self.desk.run(sql, Vec::new(), look).await?;
                whole(found.rows, Some(found.labels), has_digits).await
            }
        }
    }

    /// The name and the columns of a table that exists.
    async fn table(&self, path: &[String], look: &Look) -> Result<(String, SchemaRef), Refused> {
        let Some((table, schema)) = path.split_last() else {
            return Err(Failure::new(Name::SYNTAX, "a table is expected").into());
        };
        let (catalog, schema) = schema_of(schema, look)?;
        if (catalog.as_str(), schema.as_str()) == (DEFAULT_CATALOG, DEFAULT_SCHEMA) {
            let tables = self.intake.tables(&look.grants).await?;
            if tables.iter().any(|known| known.name == *table) {
                return Ok((table.clone(), self.intake.columns(table, &look.grants).await?));
            }
        } else if let Some(columns) =
            self.desk.columns((&catalog, &schema, table), &look.grants).await?
        {
            return Ok((table.clone(), columns));
        }
        let table: String = table.chars().take(64).collect();
        let what = format!("Table '{catalog}.{schema}.{table}' does not exist");
        Err(Failure::new(Name::NO_TABLE, what).into())
    }
}

/// The catalog and the schema of a path, or those of the session.
fn schema_of(path: &[String], look: &Look) -> Result<(String, String), Failure> {
    let (catalog, schema) = match path {
        [] => (look.catalog.clone(), look.schema.clone()),
        [schema] => (look.catalog.clone(), Some(schema.clone())),
        [catalog, schema] => (Some(catalog.clone()), Some(schema.clone())),
        _ => return Err(Failure::new(Name::SYNTAX, "a name has at most three parts")),
    };
    known(catalog.as_deref(), schema.as_deref())?;
    let catalog = catalog.unwrap_or_else(|| DEFAULT_CATALOG.to_owned());
    Ok((catalog, schema.unwrap_or_else(|| DEFAULT_SCHEMA.to_owned())))
}

/// The name of a column's type.
fn type_of(field: &arrow_schema::Field) -> Result<String, Failure> {
    Ok(Kind::of(field)?.name(true))
}

fn described(columns: &Schema) -> Result<arrow::array::RecordBatch, Failure> {
    let fields = columns.fields();
    let nothing = vec![String::new(); fields.len()];
    texts(&[
        ("Column", fields.iter().map(|field| field.name().clone()).collect()),
        ("Type", fields.iter().map(|field| type_of(field)).collect::<Result<_, _>>()?),
        ("Extra", nothing.clone()),
        ("Comment", nothing),
    ])
}

/// A table with its columns, as SQL.
fn made(table: &str, columns: &Schema) -> Result<String, Failure> {
    let name = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns = columns.fields().iter().map(|field| {
        let rest = if field.is_nullable() { "" } else { " NOT NULL" };
        Ok(format!("   {} {}{rest}", name(field.name()), type_of(field)?))
    });
    let columns = columns.collect::<Result<Vec<_>, Failure>>()?.join(",\n");
    Ok(format!("{DEFAULT_CATALOG}.{DEFAULT_SCHEMA}.{} (\n{columns}\n)", name(table)))
}
