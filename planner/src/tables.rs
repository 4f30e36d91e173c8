//! The tables of the configuration. Each is read when a statement first names it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::context::SessionContext;
use dunlin_plan::StoreError;
use dunlin_plan::location::Location;

use crate::catalog::TableName;
use crate::config::{ConfigError, TableConfig};
use crate::error::PlanError;

/// The schema that lists all tables.
const INFORMATION_SCHEMA: &str = "information_schema";

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
enum TableError {
    /// Its entry in the configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its location is wrong.
    #[error(transparent)]
    Location(#[from] StoreError),
    /// The location has no files.
    #[error("no {format} file lies in {location}")]
    Empty { format: String, location: String },
    /// Its files cannot be listed or opened.
    #[error("{}", .0.strip_backtrace())]
    Engine(#[from] DataFusionError),
}

/// A table that a statement names and that could not be read.
#[derive(Debug)]
pub(crate) struct Unread {
    table: String,
    error: TableError,
}

impl From<Unread> for PlanError {
    fn from(unread: Unread) -> Self {
        let message = format!("table {} cannot be read: {}", unread.table, unread.error);
        Self::Store { message, source: Some(Box::new(unread.error)) }
    }
}

/// The tables of the configuration.
#[derive(Debug)]
pub(crate) struct Tables {
    configured: Vec<TableConfig>,
    /// Holds the catalog.
    base: SessionState,
    /// The tables that have been read, by name.
    loaded: parking_lot::Mutex<BTreeMap<String, Arc<ListingTable>>>,
}

impl Tables {
    /// Tables that will be registered in the catalog of `base`. Reads nothing yet.
    pub(crate) fn new(configured: Vec<TableConfig>, base: SessionState) -> Self {
        Self { configured, base, loaded: parking_lot::Mutex::new(BTreeMap::new()) }
    }

    /// The tables, as SQL names them.
    pub(crate) fn names(&self) -> Vec<TableName> {
        let name = |table: &TableConfig| TableName {
            name: table.name.to_lowercase(),
            format: table.format.clone(),
        };
        let mut names: Vec<TableName> = self.configured.iter().map(name).collect();
        names.sort();
        names
    }

    /// Registers the named tables that are not registered yet. Returns those that cannot be read, with the reasons. A
    /// statement about the catalog itself names all tables.
    pub(crate) async fn load(&self, named: &[TableReference]) -> Vec<Unread> {
        let all = named.iter().any(|name| name.schema() == Some(INFORMATION_SCHEMA));
        let mut unread = Vec::new();
        for table in &self.configured {
            let name = table.name.to_lowercase();
            let wanted = all || named.iter().any(|reference| reference.table() == name);
            if !wanted || self.loaded.lock().contains_key(&name) {
                continue;
            }
            let outcome = match self.open(table).await {
                Ok(opened) => self.register(&name, opened),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                unread.push(Unread { table: table.name.clone(), error });
            }
        }
        unread
    }

    fn register(&self, name: &str, table: Arc<ListingTable>) -> Result<(), TableError> {
        let context = SessionContext::new_with_state(self.base.clone());
        let mut known = self.loaded.lock();
        if let Entry::Vacant(entry) = known.entry(name.to_owned()) {
            let provider = Arc::clone(&table) as Arc<dyn datafusion::catalog::TableProvider>;
            context.register_table(TableReference::bare(name), provider)?;
            entry.insert(table);
        }
        Ok(())
    }

    /// Lists a table's files and reads the footers that its schema needs.
    async fn open(&self, table: &TableConfig) -> Result<Arc<ListingTable>, TableError> {
        let location = Location::parse(&table.location)?;
        let format: Arc<dyn FileFormat> = match table.format.as_str() {
            // A quoted value may contain a newline, so such a file cannot be split at newlines.
            "csv" => {
                Arc::new(CsvFormat::default().with_has_header(true).with_newlines_in_values(true))
            }
            "json" => Arc::new(JsonFormat::default()),
            _ => Arc::new(ParquetFormat::default()),
        };
        let extension =
            if location.is_folder { format!(".{}", format.get_ext()) } else { String::new() };
        let mut options = ListingOptions::new(format).with_file_extension(extension);
        let order = table.sort_order()?;
        if !order.is_empty() {
            let key = |(column, ascending, nulls_first): &(String, bool, bool)| {
                datafusion::prelude::ident(column).sort(*ascending, *nulls_first)
            };
            options = options.with_file_sort_order(vec![order.iter().map(key).collect()]);
        }
        let url = ListingTableUrl::parse(location.table_url())?;
        let schema = options.infer_schema(&self.base, &url).await?;
        if schema.fields().is_empty() {
            return Err(TableError::Empty {
                format: table.format.clone(),
                location: table.location.clone(),
            });
        }
        let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
        let cache = self.base.runtime_env().cache_manager.get_file_statistic_cache();
        Ok(Arc::new(ListingTable::try_new(config)?.with_cache(cache)))
    }
}

/// The better of two errors: a table that could not be read explains why the planner does not know it.
pub(crate) fn because_unread(error: PlanError, unread: Vec<Unread>) -> PlanError {
    if !matches!(error, PlanError::Planning { .. }) {
        return error;
    }
    unread.into_iter().next().map_or(error, PlanError::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::execution::session_state::SessionStateBuilder;

    use super::*;

    fn table(name: &str, location: &std::path::Path) -> TableConfig {
        TableConfig {
            name: name.to_owned(),
            location: format!("{}/", location.display()),
            format: "csv".to_owned(),
            order: Vec::new(),
            params: dunlin_plan::config::StoreParams::default(),
        }
    }

    #[tokio::test]
    async fn only_tables_that_a_statement_names_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rows.csv"), "a,b\n1,2\n").unwrap();
        let nowhere = folder.path().join("nowhere");
        std::fs::create_dir(&nowhere).unwrap();
        let base = SessionStateBuilder::new().with_default_features().build();
        let tables = Tables::new(vec![table("Here", folder.path()), table("gone", &nowhere)], base);
        assert!(tables.load(&[]).await.is_empty());
        assert!(tables.loaded.lock().is_empty());
        assert!(tables.load(&[TableReference::bare("here")]).await.is_empty());
        assert_eq!(tables.loaded.lock().len(), 1);
        let unread = tables.load(&[TableReference::bare("gone")]).await;
        assert_eq!(unread.len(), 1);
        assert_eq!(unread[0].table, "gone");
        let catalog = TableReference::partial("information_schema", "tables");
        assert_eq!(tables.load(&[catalog]).await.len(), 1, "a catalog lists what can be read");
    }
}
