//! The tables of the configuration. Each is read when a statement names it, as it is at that moment.
//!
//! ```text
//!  statement names t ──> list its files ──> look into those that are not known ──> one schema ──> scan
//!                        (listing)          (looking, files)                       (merge)        (provider)
//! ```

mod bounds;
mod commits;
pub(crate) mod config;
mod error;
mod facts;
mod files;
mod folders;
mod later;
mod listing;
mod looking;
mod made;
mod merge;
mod named;
mod provider;
mod ranges;
#[cfg(test)]
mod recorded;
mod shape;
mod shelf;
mod sieve;
mod splits;
mod table;
mod texts;
mod walk;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use datafusion::catalog::memory::{MemoryCatalogProvider, MemorySchemaProvider};
use datafusion::catalog::{CatalogProvider, SchemaProvider};
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{Expr, LogicalPlan};
use dunlin_plan::location::Location;
use dunlin_plan::stores::Stores;
use futures::{StreamExt, stream};

use self::config::{Format, TableConfig};
pub(crate) use self::error::{TableError, Unread, because_unread, blamed};
pub(crate) use self::facts::{Cast, carries};
use self::later::Later;
use self::made::MadeTables;
use self::provider::{Files, FilesTable};
use self::shelf::Shelf;
use self::table::Shared;
use self::table::Table;
pub(crate) use self::table::Written;
use crate::catalog::TableName;
use crate::config::{Config, FilesConfig};
use crate::error::PlanError;
use crate::grants::Grants;
use crate::sight::Sight;
use crate::snapshots::{self, SYSTEM_SCHEMA};

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
        let table = Arc::new(table.with_columns(columns));
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

    /// The names of all tables that may be named, in order.
    pub(crate) fn names(&self, grants: &Grants) -> Vec<String> {
        self.tables.keys().filter(|name| grants.allow(name)).cloned().collect()
    }

    /// Opens the tables that a statement names. Returns the catalog of this statement, and the tables that cannot be
    /// read, with the reasons. A statement about the catalog itself names all tables. What is not granted is not there.
    pub(crate) async fn load(
        &self,
        named: &[TableReference],
        state: &SessionState,
        Sight { snapshots, grants }: &Sight,
    ) -> Result<(Arc<dyn CatalogProvider>, Vec<Unread>), PlanError> {
        let snapshots = snapshots.as_ref();
        let all = named.iter().any(|name| name.schema() == Some(INFORMATION_SCHEMA));
        let mut wanted: BTreeMap<String, Arc<Table>> = BTreeMap::new();
        let is_of_system =
            |name: &&TableReference| snapshots.is_some() && name.schema() == Some(SYSTEM_SCHEMA);
        let own = named.iter().filter(|name| !is_of_system(name));
        let names: HashSet<&str> = own.map(TableReference::table).collect();
        for (name, table) in &self.tables {
            if (all || names.contains(name.as_str())) && grants.allow(name) {
                wanted.insert(name.clone(), Arc::clone(table));
            }
        }
        let mut unread = Vec::new();
        if all {
            match self.made.names(&self.shared.commits).await {
                Ok(mut made) => {
                    made.retain(|name| grants.allow(name));
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
            let table = match self.named_file(name, grants) {
                Ok(None) if grants.allow(name) => self.made(name).await,
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
        let planning = PlanError::from_planning;
        catalog.register_schema(default, Arc::new(schema)).map_err(planning)?;
        if let Some(snapshots) =
            snapshots.filter(|_| all || named.iter().any(|it| is_of_system(&it)))
        {
            let schema = snapshots::schema(snapshots).map_err(planning)?;
            catalog.register_schema(SYSTEM_SCHEMA, schema).map_err(planning)?;
        }
        Ok((Arc::new(catalog), unread))
    }

    /// The table of a file that a statement names itself.
    fn named_file(&self, name: &str, grants: &Grants) -> Result<Option<Arc<Table>>, TableError> {
        let Some(config) = named::table(name, &self.files)? else { return Ok(None) };
        if !grants.are_all() {
            return Err(TableError::Invalid(
                "statements of this workgroup may not name files; it may read the tables that its `tables` names"
                    .to_owned(),
            ));
        }
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

/// Lists the tables of a plan whose files its filters choose, each once.
///
/// # Errors
/// A table that cannot be read.
pub(crate) async fn list_filtered(
    plan: &LogicalPlan,
    state: &SessionState,
) -> Result<(), PlanError> {
    let mut wanted: Vec<(Arc<Later>, Vec<Vec<Expr>>)> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(table) = provider.downcast_ref::<FilesTable>()
            && let Files::Later(later) = &table.files
        {
            // As the engine gives them to the table.
            let filters = unnormalize_cols(scan.filters.iter().cloned());
            let decided = filters.into_iter().filter(|filter| table.is_decided(filter)).collect();
            match wanted.iter_mut().find(|(known, _)| Arc::ptr_eq(known, later)) {
                Some((_, scans)) => scans.push(decided),
                None => wanted.push((Arc::clone(later), vec![decided])),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(PlanError::from_planning)?;
    let list = |(later, scans): (Arc<Later>, Vec<Vec<Expr>>)| async move {
        let listed = later.list(scans, state).await;
        listed.map_err(|error| Unread { table: later.name().to_owned(), error })
    };
    let listed: Vec<_> = stream::iter(wanted).map(list).buffered(TABLES_AT_ONCE).collect().await;
    for table in listed {
        table?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
