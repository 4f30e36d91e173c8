//! The tables of the configuration. Each is read when a statement names it, as it is at that moment.
//!
//! ```text
//!  statement names t ──> list its files ──> look into those that are not known ──> one schema ──> scan
//!                        (listing)          (looking, files)                       (merge)        (provider)
//! ```

pub(crate) mod config;
mod error;
mod files;
mod folders;
mod listing;
mod looking;
mod merge;
mod named;
mod provider;
mod shape;
mod texts;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::{MemoryCatalogProvider, MemorySchemaProvider};
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::execution::SessionState;
use datafusion::logical_expr::SortExpr;
use dunlin_plan::location::Location;
use dunlin_plan::stores::Stores;
use futures::{StreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;

use self::config::{Partitions, PartitionsWord, TableConfig};
pub(crate) use self::error::{TableError, Unread, because_unread, blamed};
use self::files::{KnownFiles, Seen};
use self::listing::Places;
use self::looking::Reading;
use self::provider::{FilesTable, Listed};
use self::shape::Shape;
use crate::catalog::TableName;
use crate::config::FilesConfig;
use crate::error::PlanError;

/// Tables that are opened at the same time.
const TABLES_AT_ONCE: usize = 16;

/// The schema that lists all tables.
const INFORMATION_SCHEMA: &str = "information_schema";

/// The tables of the configuration.
#[derive(Debug)]
pub(crate) struct Tables {
    tables: BTreeMap<String, Arc<Table>>,
    files: FilesConfig,
    /// Where the state is. Statements that name files do not see it.
    state: Vec<Location>,
    /// Files that statements have named themselves.
    named: parking_lot::Mutex<BTreeMap<String, Arc<Table>>>,
}

/// One table, and what is known of its files.
#[derive(Debug)]
struct Table {
    config: TableConfig,
    /// Places whose files it does not have.
    without: Vec<Location>,
    known: Arc<KnownFiles>,
}

impl Table {
    fn new(config: TableConfig, without: Vec<Location>) -> Self {
        Self { config, without, known: Arc::default() }
    }
}

impl Tables {
    /// Reads nothing yet.
    pub(crate) fn new(configured: Vec<TableConfig>, files: FilesConfig, stores: &Stores) -> Self {
        let table = |config: TableConfig| {
            (config.name.to_lowercase(), Arc::new(Table::new(config, Vec::new())))
        };
        let tables = configured.into_iter().map(table).collect();
        let state = vec![stores.state.clone(), stores.control_location().clone()];
        Self { tables, files, state, named: parking_lot::Mutex::default() }
    }

    /// The tables, as clients list them.
    pub(crate) fn listed(&self) -> Vec<TableName> {
        let listed = |(name, table): (&String, &Arc<Table>)| TableName {
            name: name.clone(),
            format: table.config.format().name().to_owned(),
        };
        self.tables.iter().map(listed).collect()
    }

    /// The names of all tables, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    /// Opens the tables that a statement names. Returns the catalog of this statement, and the tables that cannot be
    /// read, with the reasons. A statement about the catalog itself names all tables.
    pub(crate) async fn load(
        &self,
        named: &[TableReference],
        state: &SessionState,
    ) -> Result<(Arc<dyn CatalogProvider>, Vec<Unread>), PlanError> {
        let all = named.iter().any(|name| name.schema() == Some(INFORMATION_SCHEMA));
        let mut wanted: BTreeMap<&str, Arc<Table>> = BTreeMap::new();
        let names: HashSet<&str> = named.iter().map(TableReference::table).collect();
        for (name, table) in &self.tables {
            if all || names.contains(name.as_str()) {
                wanted.insert(name, Arc::clone(table));
            }
        }
        let mut unread = Vec::new();
        for reference in named.iter().filter(|reference| reference.schema().is_none()) {
            let name = reference.table();
            if wanted.contains_key(name) {
                continue;
            }
            match self.named_file(name) {
                Ok(Some(table)) => {
                    wanted.insert(name, table);
                }
                Ok(None) => {}
                Err(error) => unread.push(Unread { table: format!("{name:?}"), error }),
            }
        }
        // A statement about the catalog may name a thousand tables.
        let tables: Vec<Arc<Table>> = wanted.values().cloned().collect();
        let opened: Vec<_> = stream::iter(tables)
            .map(|table| async move { table.open(state).await })
            .buffered(TABLES_AT_ONCE)
            .collect()
            .await;
        let schema = MemorySchemaProvider::new();
        for ((name, table), opened) in wanted.iter().zip(opened) {
            let registered =
                opened.and_then(|table| Ok(schema.register_table((*name).to_owned(), table)?));
            if let Err(error) = registered {
                unread.push(Unread { table: table.config.name.clone(), error });
            }
        }
        let catalog = MemoryCatalogProvider::new();
        let default = &state.config_options().catalog.default_schema;
        catalog.register_schema(default, Arc::new(schema)).map_err(PlanError::from_planning)?;
        Ok((Arc::new(catalog), unread))
    }

    /// The table of a file that a statement names itself.
    fn named_file(&self, name: &str) -> Result<Option<Arc<Table>>, TableError> {
        let Some(config) = named::table(name, &self.files)? else { return Ok(None) };
        let mut named = self.named.lock();
        if named.len() >= named::MOST_REMEMBERED {
            named.clear();
        }
        let table = named
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Table::new(config, self.state.clone())));
        Ok(Some(Arc::clone(table)))
    }
}

impl Table {
    /// Lists the table's files, and looks into those that are new.
    async fn open(&self, state: &SessionState) -> Result<Arc<dyn TableProvider>, TableError> {
        let config = &self.config;
        let places = Places::of(config)?;
        let store = state.runtime_env().object_store(&places.store)?;
        let mut files = places.list(&store).await?;
        let here = self.without.iter().filter(|it| places.address == it.address());
        let hidden: Vec<&Path> = here.map(|it| &it.path).collect();
        files.retain(|file| !hidden.iter().any(|path| file.location.prefix_matches(path)));
        let declared = texts::declared(config, state)?;
        if files.is_empty() && declared.is_none() {
            return Err(TableError::Empty {
                format: config.format().name(),
                location: config.location.to_string(),
            });
        }
        let shape = self.shape(&places, &files, declared.as_ref(), state, &store).await?;
        let listed = |meta: ObjectMeta| {
            let values = folders::values(&places, &meta.location, &shape.folders)?;
            Ok(Listed { meta, values })
        };
        let order = config.sort_order()?;
        let key = |(column, ascending, nulls_first): &(String, bool, bool)| -> SortExpr {
            datafusion::prelude::ident(column).sort(*ascending, *nulls_first)
        };
        let order: Vec<SortExpr> = order.iter().map(key).collect();
        let table = FilesTable {
            store: places.store.clone(),
            files: files.into_iter().map(listed).collect::<Result<_, TableError>>()?,
            shape,
            known: Arc::clone(&self.known),
            order: if order.is_empty() { Vec::new() } else { vec![order] },
        };
        texts::read(config, table)
    }

    /// The columns of the table with these files.
    async fn shape(
        &self,
        places: &Places,
        files: &[ObjectMeta],
        declared: Option<&SchemaRef>,
        state: &SessionState,
        store: &Arc<dyn object_store::ObjectStore>,
    ) -> Result<Arc<Shape>, TableError> {
        let known = match self.known.look(files) {
            Seen::All(shape) => return Ok(shape),
            Seen::Some(known) => known,
        };
        let reading = Reading::of(&self.config, files)?;
        let new: Vec<ObjectMeta> = files
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(file, _)| file.clone())
            .collect();
        let mut found = reading.schemas(&new, state, store).await?.into_iter();
        let mut distinct: HashSet<SchemaRef> = known.iter().flatten().cloned().collect();
        let mut schemas = Vec::with_capacity(files.len());
        for known in known {
            let Some(schema) = known.or_else(|| found.next()) else { break };
            // One schema for all files that have it: 100,000 copies would fill the memory.
            match distinct.get(&schema) {
                Some(same) => schemas.push(Arc::clone(same)),
                None => {
                    distinct.insert(Arc::clone(&schema));
                    schemas.push(schema);
                }
            }
        }
        let shape = self.built(reading, places, files, &schemas, declared, state).map(Arc::new);
        self.known.remember(files, &schemas, shape.as_ref().ok());
        shape
    }

    /// The shape that files of these schemas have together.
    fn built(
        &self,
        reading: Reading,
        places: &Places,
        files: &[ObjectMeta],
        schemas: &[SchemaRef],
        declared: Option<&SchemaRef>,
        state: &SessionState,
    ) -> Result<Shape, TableError> {
        let pairs: Vec<(&Path, &SchemaRef)> =
            files.iter().map(|file| &file.location).zip(schemas).collect();
        reading.check_headers(&pairs, declared, self.config.csv.short_lines)?;
        let inside = match declared {
            Some(declared) => Arc::clone(declared),
            None if reading.is_csv() => texts::found(&looking::relaxed(&pairs)),
            None => merge::merged(pairs.iter().copied(), self.config.format().is_text())?,
        };
        if inside.fields().is_empty() {
            return Err(TableError::Empty {
                format: self.config.format().name(),
                location: self.config.location.to_string(),
            });
        }
        let folders = match &self.config.partitions {
            Partitions::Word(PartitionsWord::None) => Vec::new(),
            Partitions::Word(PartitionsWord::Auto) => {
                folders::found(places, files.iter().map(|file| &file.location))
            }
            Partitions::Columns(columns) => texts::columns(&self.config.name, columns, state)?,
        };
        Ok(Shape::new(reading, inside, folders))
    }
}

#[cfg(test)]
mod tests;
