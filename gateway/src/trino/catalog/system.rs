//! The catalog `system`: what programs look for in `metadata` and `runtime`.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::Result;
use dunlin_planner::{DEFAULT_CATALOG, DEFAULT_SCHEMA};

use super::listing::{Described, Listing, batch, empty, none, same, table, texts};
use crate::catalog::Names;

/// The schemas of the catalog.
pub(super) const SYSTEM: &[&str] = &["information_schema", "jdbc", "metadata", "runtime"];

/// The schema `metadata`.
#[derive(Debug)]
pub(super) struct Metadata(pub(super) Arc<Names>);

fn comments(described: &[Described]) -> Result<RecordBatch> {
    let rows = described.len();
    batch(vec![
        ("catalog_name", same(DEFAULT_CATALOG, rows)),
        ("schema_name", same(DEFAULT_SCHEMA, rows)),
        ("table_name", texts(described.iter().map(|(name, _)| Some(name)))),
        ("comment", none(rows)),
    ])
}

const METADATA: [&str; 3] = ["catalogs", "table_comments", "materialized_views"];

#[async_trait]
impl SchemaProvider for Metadata {
    fn table_names(&self) -> Vec<String> {
        METADATA.map(str::to_owned).to_vec()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let text = |name| (name, DataType::Utf8);
        Ok(Some(match name {
            "catalogs" => {
                let names = || texts([DEFAULT_CATALOG, "system"].into_iter().map(Some));
                table(vec![
                    ("catalog_name", names()),
                    ("connector_id", names()),
                    ("connector_name", texts(["dunlin", "system"].into_iter().map(Some))),
                    ("state", same("OPERATIONAL", 2)),
                ])?
            }
            "table_comments" => Listing::provider(&self.0, "table_name", false, comments)?,
            "materialized_views" => empty(&[
                text("catalog_name"),
                text("schema_name"),
                text("name"),
                text("storage_catalog"),
                text("storage_schema"),
                text("storage_table"),
                text("freshness"),
                text("comment"),
                text("definition"),
            ])?,
            _ => return Ok(None),
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        METADATA.contains(&name)
    }
}

/// The schema `runtime`.
#[derive(Debug)]
pub(super) struct Runtime;

#[async_trait]
impl SchemaProvider for Runtime {
    fn table_names(&self) -> Vec<String> {
        vec!["nodes".to_owned()]
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if name != "nodes" {
            return Ok(None);
        }
        table(vec![
            ("node_id", same("gateway", 1)),
            ("http_uri", none(1)),
            ("node_version", same(crate::trino::VERSION, 1)),
            ("coordinator", Arc::new(BooleanArray::from(vec![true]))),
            ("state", same("active", 1)),
        ])
        .map(Some)
    }

    fn table_exist(&self, name: &str) -> bool {
        name == "nodes"
    }
}
