//! `information_schema`: tables and columns in Trino's words, with the types that clients get.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::Result;
use dunlin_planner::{DEFAULT_CATALOG, DEFAULT_SCHEMA};

use super::listing::{Described, Listing, batch, empty, none, same, table, texts};
use super::system::SYSTEM;
use crate::catalog::Names;
use crate::trino::kind::Kind;

/// Tables that have columns here and no rows: Dunlin has no such things.
const EMPTY: &[(&str, &[&str])] = &[
    ("views", &["table_catalog", "table_schema", "table_name", "view_definition"]),
    (
        "table_privileges",
        &[
            "grantor",
            "grantor_type",
            "grantee",
            "grantee_type",
            "table_catalog",
            "table_schema",
            "table_name",
            "privilege_type",
            "is_grantable",
            "with_hierarchy",
        ],
    ),
    ("roles", &["role_name"]),
    ("enabled_roles", &["role_name"]),
    ("applicable_roles", &["grantee", "grantee_type", "role_name", "is_grantable"]),
];

/// The schema `information_schema` of a catalog.
#[derive(Debug)]
pub(super) struct Information {
    pub(super) catalog: &'static str,
    pub(super) names: Arc<Names>,
}

/// The name of a type; `unknown` for one that clients cannot read.
pub(super) fn type_name(kind: &DataType) -> String {
    Kind::of_type(kind).unwrap_or(Kind::Unknown).name(true)
}

fn tables(described: &[Described]) -> Result<RecordBatch> {
    let rows = described.len();
    batch(vec![
        ("table_catalog", same(DEFAULT_CATALOG, rows)),
        ("table_schema", same(DEFAULT_SCHEMA, rows)),
        ("table_name", texts(described.iter().map(|(name, _)| Some(name)))),
        ("table_type", same("BASE TABLE", rows)),
    ])
}

fn columns(described: &[Described]) -> Result<RecordBatch> {
    let all = || {
        described.iter().flat_map(|(table, columns)| {
            columns.fields().iter().zip(1_i64..).map(move |(field, at)| (table, field, at))
        })
    };
    let rows = all().count();
    let places: ArrayRef = Arc::new(all().map(|(_, _, at)| Some(at)).collect::<Int64Array>());
    let nullable = |is_nullable| if is_nullable { "YES" } else { "NO" };
    batch(vec![
        ("table_catalog", same(DEFAULT_CATALOG, rows)),
        ("table_schema", same(DEFAULT_SCHEMA, rows)),
        ("table_name", texts(all().map(|(table, _, _)| Some(table)))),
        ("column_name", texts(all().map(|(_, field, _)| Some(field.name())))),
        ("ordinal_position", places),
        ("column_default", none(rows)),
        ("is_nullable", texts(all().map(|(_, field, _)| Some(nullable(field.is_nullable()))))),
        ("data_type", texts(all().map(|(_, field, _)| Some(type_name(field.data_type()))))),
        ("comment", none(rows)),
    ])
}

impl Information {
    fn schemata(&self) -> Result<Arc<dyn TableProvider>> {
        let schemas: &[&str] = match self.catalog {
            DEFAULT_CATALOG => &["information_schema", DEFAULT_SCHEMA],
            _ => SYSTEM,
        };
        table(vec![
            ("catalog_name", same(self.catalog, schemas.len())),
            ("schema_name", texts(schemas.iter().map(Some))),
        ])
    }
}

#[async_trait]
impl SchemaProvider for Information {
    fn table_names(&self) -> Vec<String> {
        let own = ["schemata", "tables", "columns"];
        own.into_iter().chain(EMPTY.iter().map(|(name, _)| *name)).map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        // The catalog `system` lists no tables of its own: no program looks for them.
        let is_ours = self.catalog == DEFAULT_CATALOG;
        let none_of = |make: fn(&[Described]) -> Result<RecordBatch>| -> Result<_> {
            let batch = make(&[])?;
            let columns = batch.schema();
            let columns = columns.fields().iter();
            let columns: Vec<_> =
                columns.map(|field| (field.name().as_str(), field.data_type().clone())).collect();
            empty(&columns)
        };
        Ok(Some(match name {
            "schemata" => self.schemata()?,
            "tables" if is_ours => Listing::provider(&self.names, "table_name", false, tables)?,
            "columns" if is_ours => Listing::provider(&self.names, "table_name", true, columns)?,
            "tables" => none_of(tables)?,
            "columns" => none_of(columns)?,
            other => match EMPTY.iter().find(|(name, _)| *name == other) {
                Some((_, columns)) => {
                    let text = columns.iter().map(|name| (*name, DataType::Utf8));
                    empty(&text.collect::<Vec<_>>())?
                }
                None => return Ok(None),
            },
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}
