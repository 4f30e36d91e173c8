//! One table: its files are listed, those that are not known are looked into, and they have one schema.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::SortExpr;
use dunlin_plan::location::Location;
use object_store::path::{Path, PathPart};
use object_store::{ObjectMeta, ObjectStore};

use super::commits::Commits;
use super::config::{Format, Partitions, PartitionsWord, TableConfig};
use super::error::TableError;
use super::facts::Facts;
use super::files::{KnownFiles, Seen};
use super::later::{Found, Later, Listed, Lists};
use super::listing::Places;
use super::looking::Reading;
use super::provider::{Files, FilesTable};
use super::shape::Shape;
use super::shelf::{Inside, Looked, Shelf};
use super::sieve::Sieve;
use super::{folders, looking, made, merge, shelf, texts};
use crate::error::PlanError;

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
pub(super) struct Table {
    pub(super) config: TableConfig,
    /// Places whose files it does not have.
    without: Vec<Location>,
    /// Its columns, if CREATE TABLE AS made it.
    pub(super) made: Option<made::Columns>,
    known: Arc<KnownFiles>,
    shared: Shared,
}

/// What all tables share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) commits: Arc<Commits>,
    pub(super) shelf: Arc<Shelf>,
}

/// The files of a listing.
#[derive(Clone, Copy)]
struct Listing<'a> {
    places: &'a Places,
    files: &'a [ObjectMeta],
    /// False if a sieve left some out.
    is_all: bool,
}

#[async_trait]
impl Lists for Table {
    fn name(&self) -> &str {
        &self.config.name
    }

    async fn list(&self, sieve: Option<&Sieve>, state: &SessionState) -> Result<Found, TableError> {
        let places = Places::of(&self.config)?;
        let (shape, files) = self.listed(&places, sieve, state).await?;
        Ok(Found { files, reading: shape.reading.clone() })
    }
}

impl Table {
    pub(super) fn new(config: TableConfig, without: Vec<Location>, shared: &Shared) -> Self {
        Self { config, without, made: None, known: Arc::default(), shared: shared.clone() }
    }
}

impl Table {
    /// The same table, with the columns that CREATE TABLE AS gave it.
    pub(super) fn with_columns(self, made: made::Columns) -> Self {
        Self { made: Some(made), ..self }
    }

    /// The table as one statement sees it. Its files are listed, and those that are new are looked into. If its columns are
    /// declared, those of its folders too, this happens later ([`Later`]).
    pub(super) async fn open(
        self: &Arc<Self>,
        state: &SessionState,
    ) -> Result<Arc<dyn TableProvider>, TableError> {
        let places = Places::of(&self.config)?;
        let declared = self.declared(state)?;
        let of_folders = self.declared_folders(state)?.filter(|folders| !folders.is_empty());
        let (shape, files) = match (declared, of_folders) {
            (Some(inside), Some(folders)) => {
                self.known.declare(&folders);
                let reading = Reading::of(&self.config, &[])?;
                let later = Later::new(Arc::clone(self) as Arc<dyn Lists>, folders.clone());
                let shape = Shape::new(reading, inside, folders);
                (Arc::new(shape), Files::Later(Arc::new(later)))
            }
            _ => {
                let (shape, files) = self.listed(&places, None, state).await?;
                (shape, Files::Listed(files))
            }
        };
        let order = self.config.sort_order()?;
        let key = |(column, ascending, nulls_first): &(String, bool, bool)| -> SortExpr {
            datafusion::prelude::ident(column).sort(*ascending, *nulls_first)
        };
        let order: Vec<SortExpr> = order.iter().map(key).collect();
        let table = FilesTable {
            store: places.store.clone(),
            files,
            shape,
            known: Arc::clone(&self.known),
            order: if order.is_empty() { Vec::new() } else { vec![order] },
        };
        match &self.made {
            Some(made) => texts::in_order(table, &made.all),
            None => texts::read(&self.config, table),
        }
    }

    /// The files that the sieve does not leave out, and the columns of the table.
    async fn listed(
        &self,
        places: &Places,
        sieve: Option<&Sieve>,
        state: &SessionState,
    ) -> Result<(Arc<Shape>, Vec<Listed>), TableError> {
        let config = &self.config;
        let store = state.runtime_env().object_store(&places.store)?;
        let choice = sieve.map(|sieve| |folders: &[PathPart<'_>]| sieve.below(folders));
        let choice = choice.as_ref().map(|choice| choice as _);
        let mut files = places.list(&store, &self.shared.commits, choice).await?;
        let here = self.without.iter().filter(|it| places.address == it.address());
        let hidden: Vec<&Path> = here.map(|it| &it.path).collect();
        files.retain(|file| !hidden.iter().any(|path| file.location.prefix_matches(path)));
        let declared = self.declared(state)?;
        if files.is_empty() && declared.is_none() {
            return Err(TableError::Empty {
                format: config.format().name(),
                location: config.location.to_string(),
            });
        }
        let of = Listing { places, files: &files, is_all: sieve.is_none() };
        let shape = self.shape(&of, declared.as_ref(), state, &store).await?;
        let listed = |meta: ObjectMeta| {
            let values = folders::values(places, &meta.location, &shape.folders)?;
            Ok(Listed { meta, values })
        };
        let files = files.into_iter().map(listed).collect::<Result<_, TableError>>()?;
        Ok((shape, files))
    }

    /// The columns inside of its files, if they are declared.
    fn declared(&self, state: &SessionState) -> Result<Option<SchemaRef>, TableError> {
        match &self.made {
            Some(made) => Ok(Some(Arc::clone(&made.inside))),
            None => texts::declared(&self.config, state),
        }
    }

    /// The columns of its folders, if they are declared.
    fn declared_folders(&self, state: &SessionState) -> Result<Option<Vec<FieldRef>>, TableError> {
        match &self.config.partitions {
            _ if let Some(made) = &self.made => Ok(Some(made.folders.clone())),
            Partitions::Word(PartitionsWord::None) => Ok(Some(Vec::new())),
            Partitions::Word(PartitionsWord::Auto) => Ok(None),
            Partitions::Columns(columns) => {
                texts::columns(&self.config.name, columns, state).map(Some)
            }
        }
    }

    /// Where INSERT puts its rows.
    pub(super) fn written(&self) -> Result<Written, PlanError> {
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
        of: &Listing<'_>,
        declared: Option<&SchemaRef>,
        state: &SessionState,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<Arc<Shape>, TableError> {
        let Listing { places, files, is_all } = *of;
        let reading = Reading::of(&self.config, files)?;
        let sampled = reading.sampled();
        let known = match self.known.look(files, sampled) {
            Seen::All(shape) => return Ok(shape),
            Seen::Some(known) => known,
        };
        let has_facts = reading.has_footers();
        let least = if has_facts { shelf::LEAST_FILES } else { shelf::LEAST_OTHERS };
        let is_kept = files.len() >= least;
        let way = reading.way();
        let looked = Looked { address: &places.address, way: &way, files, sampled };
        let of_others = match is_kept {
            true => self.of_others(&looked, &known).await,
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
                    None => of_others.get(&file.location).map(|(schema, facts)| {
                        (Arc::clone(schema), has_facts.then(|| Arc::clone(facts)))
                    }),
                }
            })
            .collect();
        drop(of_others);
        let new: Vec<(usize, ObjectMeta)> = files
            .iter()
            .enumerate()
            .zip(&inside)
            .filter(|(_, inside)| inside.is_none())
            .map(|((at, file), _)| (at, file.clone()))
            .collect();
        let facts = is_kept && has_facts;
        let mut found = reading.inside(&new, facts, state, store).await?.into_iter();
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
        self.known.remember(files, &all, shape.as_ref().ok(), (is_all, sampled));
        if is_kept && !new.is_empty() {
            let new: HashSet<&Path> = new.iter().map(|(_, file)| &file.location).collect();
            let own = |path: &Path| match has_facts {
                true => self.known.own(path),
                false => self.known.schema(path).map(Facts::unknown),
            };
            self.shared.shelf.write(&looked, |path| new.contains(path), own).await;
        }
        shape
    }

    /// What other processes have found in files that are not known here.
    async fn of_others(
        &self,
        looked: &Looked<'_>,
        known: &[Option<SchemaRef>],
    ) -> HashMap<Path, Inside> {
        let known: HashSet<&Path> = looked
            .files
            .iter()
            .zip(known)
            .filter(|(_, known)| known.is_some())
            .map(|(file, _)| &file.location)
            .collect();
        self.shared.shelf.read(looked, |path| known.contains(path)).await
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
        reading.check_places(&pairs, &inside)?;
        if inside.fields().is_empty() {
            return Err(TableError::Empty {
                format: self.config.format().name(),
                location: self.config.location.to_string(),
            });
        }
        let paths = files.iter().map(|file| &file.location);
        let declared = self.declared_folders(state)?;
        let folders = declared.unwrap_or_else(|| folders::found(places, paths));
        Ok(Shape::new(reading, inside, folders))
    }
}
