//! The tables of the configuration. Each is read when a statement names it, as it is at that moment.
//!
//! ```text
//!  statement names t ──> list its files ──> look into those that are not known ──> one schema ──> scan
//!                        (listing)          (looking, files)                       (merge)        (provider)
//! ```

mod commits;
pub(crate) mod config;
mod error;
mod facts;
mod files;
mod folders;
mod listing;
mod looking;
mod made;
mod merge;
mod named;
mod provider;
mod shape;
mod shelf;
mod texts;
mod walk;

use std::collections::{BTreeMap, HashMap, HashSet};
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

use self::commits::Commits;
use self::config::{Format, Partitions, PartitionsWord, TableConfig};
pub(crate) use self::error::{TableError, Unread, because_unread, blamed};
use self::facts::Facts;
use self::files::{KnownFiles, Seen};
use self::listing::Places;
use self::looking::Reading;
use self::made::MadeTables;
use self::provider::{FilesTable, Listed};
use self::shape::Shape;
use self::shelf::Shelf;
use crate::catalog::TableName;
use crate::config::{Config, FilesConfig};
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
    made: MadeTables,
    /// The tables of `made` that have been found.
    found: parking_lot::Mutex<BTreeMap<String, Arc<Table>>>,
    shared: Shared,
}

/// A table that INSERT writes to.
#[derive(Debug)]
pub(crate) struct Written {
    /// Its folder.
    pub(crate) location: String,
    /// Columns of its folders.
    pub(crate) folders: Vec<String>,
}

/// One table, and what is known of its files.
#[derive(Debug)]
struct Table {
    config: TableConfig,
    /// Places whose files it does not have.
    without: Vec<Location>,
    /// Its columns, if CREATE TABLE AS made it.
    made: Option<made::Columns>,
    known: Arc<KnownFiles>,
    shared: Shared,
}

/// What all tables share.
#[derive(Clone, Debug)]
struct Shared {
    commits: Arc<Commits>,
    shelf: Arc<Shelf>,
}

impl Table {
    fn new(config: TableConfig, without: Vec<Location>, shared: &Shared) -> Self {
        Self { config, without, made: None, known: Arc::default(), shared: shared.clone() }
    }
}

impl Tables {
    /// Reads nothing yet.
    pub(crate) fn new(config: &Config, stores: &Stores) -> Self {
        let shared = Shared { commits: Arc::default(), shelf: Arc::new(Shelf::new(stores)) };
        let table = |config: &TableConfig| {
            let table = Table::new(config.clone(), Vec::new(), &shared);
            (config.name.to_lowercase(), Arc::new(table))
        };
        Self {
            tables: config.tables.iter().map(table).collect(),
            files: config.files.clone(),
            state: vec![stores.state.clone(), stores.control_location().clone()],
            named: parking_lot::Mutex::default(),
            made: MadeTables::new(&config.writing, stores),
            found: parking_lot::Mutex::default(),
            shared,
        }
    }

    /// All tables, as clients list them, also those that CREATE TABLE AS has made.
    pub(crate) async fn all(&self) -> Result<Vec<TableName>, PlanError> {
        let made =
            self.made.names(&self.shared.commits).await.map_err(|error| {
                PlanError::from(Unread { table: "[[writing]]".to_owned(), error })
            })?;
        let format = Format::Parquet.name();
        let mut all = self.listed();
        let made = made.into_iter().filter(|name| !self.tables.contains_key(name));
        all.extend(made.map(|name| TableName { name, format: format.to_owned() }));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// True if there is a table of this name.
    pub(crate) async fn exists(&self, name: &str) -> Result<bool, PlanError> {
        if self.tables.contains_key(name) {
            return Ok(true);
        }
        let made = self.made(name).await;
        let unread = |error| PlanError::from(Unread { table: name.to_owned(), error });
        made.map(|made| made.is_some()).map_err(unread)
    }

    /// Where INSERT puts the rows of a table; nothing if there is no such table.
    ///
    /// # Errors
    /// A table that is no folder of Parquet files.
    pub(crate) async fn written(&self, name: &str) -> Result<Option<Written>, PlanError> {
        let unread = |error| PlanError::from(Unread { table: name.to_owned(), error });
        let table = match self.tables.get(name) {
            Some(table) => Arc::clone(table),
            None => match self.made(name).await.map_err(unread)? {
                Some(table) => table,
                None => return Ok(None),
            },
        };
        table.written().map(Some)
    }

    /// The table of this name that CREATE TABLE AS has made.
    async fn made(&self, name: &str) -> Result<Option<Arc<Table>>, TableError> {
        let Some((config, columns)) = self.made.find(name, &self.shared.commits).await? else {
            return Ok(None);
        };
        let mut found = self.found.lock();
        if let Some(known) = found.get(name).filter(|known| known.made.as_ref() == Some(&columns)) {
            return Ok(Some(Arc::clone(known)));
        }
        let table = Table::new(config, Vec::new(), &self.shared);
        let table = Arc::new(Table { made: Some(columns), ..table });
        found.insert(name.to_owned(), Arc::clone(&table));
        Ok(Some(table))
    }

    /// The tables of the configuration, as clients list them.
    fn listed(&self) -> Vec<TableName> {
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
        let mut wanted: BTreeMap<String, Arc<Table>> = BTreeMap::new();
        let names: HashSet<&str> = named.iter().map(TableReference::table).collect();
        for (name, table) in &self.tables {
            if all || names.contains(name.as_str()) {
                wanted.insert(name.clone(), Arc::clone(table));
            }
        }
        let mut unread = Vec::new();
        if all {
            match self.made.names(&self.shared.commits).await {
                Ok(made) => {
                    let found = stream::iter(made).map(|name| async move {
                        let table = self.made(&name).await.ok().flatten()?;
                        Some((name, table))
                    });
                    let found: Vec<_> = found.buffered(TABLES_AT_ONCE).collect().await;
                    for (name, table) in found.into_iter().flatten() {
                        wanted.entry(name).or_insert(table);
                    }
                }
                Err(error) => unread.push(Unread { table: "[[writing]]".to_owned(), error }),
            }
        }
        for reference in named.iter().filter(|reference| reference.schema().is_none()) {
            let name = reference.table();
            if wanted.contains_key(name) {
                continue;
            }
            let table = match self.named_file(name) {
                Ok(None) => self.made(name).await,
                named => named,
            };
            match table {
                Ok(Some(table)) => {
                    wanted.insert(name.to_owned(), table);
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
                opened.and_then(|table| Ok(schema.register_table(name.clone(), table)?));
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
            .or_insert_with(|| Arc::new(Table::new(config, self.state.clone(), &self.shared)));
        Ok(Some(Arc::clone(table)))
    }
}

impl Table {
    /// Lists the table's files, and looks into those that are new.
    async fn open(&self, state: &SessionState) -> Result<Arc<dyn TableProvider>, TableError> {
        let config = &self.config;
        let places = Places::of(config)?;
        let store = state.runtime_env().object_store(&places.store)?;
        let mut files = places.list(&store, &self.shared.commits).await?;
        let here = self.without.iter().filter(|it| places.address == it.address());
        let hidden: Vec<&Path> = here.map(|it| &it.path).collect();
        files.retain(|file| !hidden.iter().any(|path| file.location.prefix_matches(path)));
        let declared = match &self.made {
            Some(made) => Some(Arc::clone(&made.inside)),
            None => texts::declared(config, state)?,
        };
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
        match &self.made {
            Some(made) => texts::in_order(table, &made.all),
            None => texts::read(config, table),
        }
    }

    /// Where INSERT puts its rows.
    fn written(&self) -> Result<Written, PlanError> {
        let Self { config, made, .. } = self;
        let refused = |reason: &str| {
            Err(PlanError::Unsupported {
                operator: format!("INSERT INTO {}", config.name),
                reason: reason.to_owned(),
            })
        };
        if config.format() != Format::Parquet {
            return refused("rows are added to tables of Parquet files only");
        }
        let mut locations = config.location.iter();
        let (Some(location), None) = (locations.next(), locations.next()) else {
            return refused("it has several locations, and rows are added to tables of one folder");
        };
        if location.contains(['*', '?', '[']) || Format::of(location).is_some() {
            return refused("its location is a pattern or a file, and rows are added to folders");
        }
        if !config.order.is_empty() {
            return refused(
                "its files are declared to be in an order, which a new file may not have",
            );
        }
        // The statement has opened it.
        let found = made.as_ref().map(|made| made.folders.clone()).or_else(|| self.known.folders());
        let Some(folders) = found else { return refused("its columns are not known") };
        let folders = folders.iter().map(|field| field.name().clone()).collect();
        Ok(Written { location: location.to_owned(), folders })
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
        let is_kept = reading.has_footers() && files.len() >= shelf::LEAST_FILES;
        let of_others = match is_kept {
            true => {
                let known: HashSet<&Path> = files
                    .iter()
                    .zip(&known)
                    .filter(|(_, known)| known.is_some())
                    .map(|(file, _)| &file.location)
                    .collect();
                self.shared.shelf.read(&places.address, files, |path| known.contains(path)).await
            }
            false => HashMap::new(),
        };
        // What CREATE TABLE AS and INSERT wrote has the table's columns.
        let written = declared.filter(|_| self.made.is_some() && !is_kept);
        let is_written =
            |file: &ObjectMeta| dunlin_plan::write::folder_of(&file.location).is_some();
        let mut inside: Vec<Option<(SchemaRef, Option<Arc<Facts>>)>> = files
            .iter()
            .zip(known)
            .map(|(file, known)| {
                match known.or_else(|| written.filter(|_| is_written(file)).cloned()) {
                    Some(schema) => Some((schema, None)),
                    None => of_others
                        .get(&file.location)
                        .map(|(schema, facts)| (Arc::clone(schema), Some(Arc::clone(facts)))),
                }
            })
            .collect();
        drop(of_others);
        let new: Vec<ObjectMeta> = files
            .iter()
            .zip(&inside)
            .filter(|(_, inside)| inside.is_none())
            .map(|(file, _)| file.clone())
            .collect();
        let mut found = reading.inside(&new, is_kept, state, store).await?.into_iter();
        let mut distinct: HashSet<SchemaRef> = HashSet::new();
        let mut all = Vec::with_capacity(files.len());
        for known in &mut inside {
            let Some((schema, facts)) = known.take().or_else(|| found.next()) else { break };
            // One schema for all files that have it: 100,000 copies would fill the memory.
            let schema = match distinct.get(&schema) {
                Some(same) => Arc::clone(same),
                None => {
                    distinct.insert(Arc::clone(&schema));
                    schema
                }
            };
            all.push((schema, facts));
        }
        let schemas: Vec<SchemaRef> = all.iter().map(|(schema, _)| Arc::clone(schema)).collect();
        let shape = self.built(reading, places, files, &schemas, declared, state).map(Arc::new);
        self.known.remember(files, &all, shape.as_ref().ok());
        if is_kept && !new.is_empty() {
            let new: HashSet<&Path> = new.iter().map(|file| &file.location).collect();
            let own = |path: &Path| self.known.own(path);
            self.shared.shelf.write(&places.address, files, |path| new.contains(path), own).await;
        }
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
            _ if let Some(made) = &self.made => made.folders.clone(),
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
