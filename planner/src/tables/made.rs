//! Tables that CREATE TABLE AS has made: folders below a place of the configuration, found by their names.

use std::sync::Arc;

use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use dunlin_plan::location::Location;
use dunlin_plan::stores::Stores;
use dunlin_plan::wire;
use dunlin_plan::write::{COMMITS, State, first_of};
use futures::{StreamExt, stream};
use object_store::ObjectStore;
use object_store::path::Path;

use super::commits::{Commits, Listing};
use super::config::{Format, TableConfig};
use super::error::TableError;
use crate::config::WritingConfig;

/// Folders that are looked into at the same time.
const AT_ONCE: usize = 16;

/// The columns of a table that was made, as its statement gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// All, in the order of the statement.
    pub(super) all: SchemaRef,
    /// Those inside of its files.
    pub(super) inside: SchemaRef,
    /// Those of its folders.
    pub(super) folders: Vec<FieldRef>,
}

/// The places below which tables are made.
#[derive(Debug)]
pub(super) struct MadeTables {
    places: Vec<(Location, TableConfig)>,
    stores: Stores,
}

impl MadeTables {
    pub(super) fn new(writing: &[WritingConfig], stores: &Stores) -> Self {
        let place = |entry: &WritingConfig| {
            let location = Location::parse(&entry.location).ok()?;
            let template = TableConfig {
                format: Some(Format::Parquet),
                params: entry.params.clone(),
                ..TableConfig::at("", entry.location.trim_end_matches('/'))
            };
            Some((location, template))
        };
        let places = writing.iter().filter(|entry| entry.tables).filter_map(place).collect();
        Self { places, stores: stores.clone() }
    }

    /// The table of this name, if one was made.
    pub(super) async fn find(
        &self,
        name: &str,
        commits: &Commits,
    ) -> Result<Option<(TableConfig, Columns)>, TableError> {
        // A name that could not be a folder's was never made.
        if name.contains('/') {
            return Ok(None);
        }
        for (place, template) in &self.places {
            let Some(store) = self.stores.get(&place.address()) else { continue };
            let folder = place.path.clone().join(name);
            let address = place.address();
            let at = folder.clone().join(COMMITS);
            let listing = Listing { store: &store, address: &address, folder: &at, choice: None };
            for object in listing.list().await? {
                if first_of(&object.location).is_none() {
                    continue;
                }
                let record = commits.read(&listing, &object).await?;
                let (State::Committed, Some(made)) = (record.state, &record.table) else {
                    continue;
                };
                if made.table != name {
                    continue;
                }
                let all = wire::schema_from_text(&made.schema)?;
                let folder = |name: &String| all.field_with_name(name).cloned().map(Arc::new);
                let is_inside = |field: &&FieldRef| !record.folders.contains(field.name());
                let inside = all.fields().iter().filter(is_inside).cloned();
                let columns = Columns {
                    inside: Arc::new(Schema::new(inside.collect::<Vec<_>>())),
                    folders: record
                        .folders
                        .iter()
                        .map(folder)
                        .collect::<Result<_, _>>()
                        .map_err(DataFusionError::from)?,
                    all,
                };
                let config = TableConfig {
                    name: name.to_owned(),
                    location: format!("{}/{name}/", template.location).as_str().into(),
                    ..template.clone()
                };
                return Ok(Some((config, columns)));
            }
        }
        Ok(None)
    }

    /// The names of all of them, in order.
    pub(super) async fn names(&self, commits: &Commits) -> Result<Vec<String>, TableError> {
        let mut names = Vec::new();
        for (place, _) in &self.places {
            let Some(store) = self.stores.get(&place.address()) else { continue };
            let folders = store.list_with_delimiter(Some(&place.path)).await;
            let folders = folders.map_err(TableError::listing)?.common_prefixes;
            let name = |folder: &Path| folder.filename().map(str::to_owned);
            let found: Vec<Option<String>> = stream::iter(folders.iter().filter_map(name))
                .map(|name| async move {
                    match self.find(&name, commits).await {
                        Ok(found) => found.map(|_| name),
                        Err(error) => {
                            tracing::warn!(%error, folder = name, "a table cannot be read");
                            None
                        }
                    }
                })
                .buffered(AT_ONCE)
                .collect()
                .await;
            names.extend(found.into_iter().flatten());
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}
