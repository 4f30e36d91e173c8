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
use dunlin_plan::location::Location;
use dunlin_plan::{StoreError, words};
use futures::StreamExt;

use crate::config::{ConfigError, TableConfig};
use crate::error::PlanError;
use crate::mistakes::Mistake;

/// The most files that are read again, to find the one that is wrong.
const MOST_BLAMED: usize = 10_000;

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
    /// One of its files is not what it should be.
    #[error("{}", words::sentence_in(.error, std::slice::from_ref(.file)))]
    File { file: String, error: DataFusionError },
    /// Its files cannot be listed or opened.
    #[error("{}", words::sentence(.0))]
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

    /// The names of all tables, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.configured.iter().map(|table| table.name.to_lowercase()).collect();
        names.sort_unstable();
        names
    }

    /// An error of planning, with the file of a named table that is to blame, if one is.
    pub(crate) async fn blamed(
        &self,
        error: DataFusionError,
        named: &[TableReference],
    ) -> PlanError {
        let tables: Vec<Arc<ListingTable>> = {
            let loaded = self.loaded.lock();
            named.iter().filter_map(|name| loaded.get(name.table()).cloned()).collect()
        };
        for table in tables {
            for url in table.table_paths() {
                let file = first_unreadable(&self.base, table.options(), url, &error).await;
                if let Some(file) = file {
                    let message = words::sentence_in(&error, &[file]);
                    let source = Some(Box::new(error) as _);
                    return PlanError::Planning {
                        mistake: Mistake::File,
                        message,
                        position: None,
                        source,
                    };
                }
            }
        }
        PlanError::from_planning(error)
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
        let schema = match options.infer_schema(&self.base, &url).await {
            Ok(schema) => schema,
            Err(error) => {
                return Err(match first_unreadable(&self.base, &options, &url, &error).await {
                    Some(file) => TableError::File { file, error },
                    None => error.into(),
                });
            }
        };
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

/// The first file at `url` that cannot be read as what it should be, if `error` says that one is wrong.
async fn first_unreadable(
    state: &SessionState,
    options: &ListingOptions,
    url: &ListingTableUrl,
    error: &DataFusionError,
) -> Option<String> {
    if !matches!(
        error.find_root(),
        DataFusionError::ParquetError(_)
            | DataFusionError::ArrowError(..)
            | DataFusionError::Execution(_)
    ) {
        return None;
    }
    let store = state.runtime_env().object_store(url).ok()?;
    let files = url.list_all_files(state, store.as_ref(), &options.file_extension).await.ok()?;
    let mut files = files.take(MOST_BLAMED);
    while let Some(file) = files.next().await {
        let file = file.ok()?;
        let read = options.format.infer_schema(state, &store, std::slice::from_ref(&file)).await;
        if read.is_err() {
            return Some(file.location.to_string());
        }
    }
    None
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
