//! The files of a table, as they are now.
//!
//! ```text
//!  s3://b/t/                 a folder:  every file below it with an ending of the format
//!  s3://b/t/x*/part-?.csv    a pattern: every file below `t/` whose path matches; `**` crosses folders
//!  s3://b/t/a.csv            a file, or else a folder of that name
//! ```
//! Files that are empty are left out, and so are files and folders below the table's own folder whose names begin with
//! `_` or `.`, as other tools do: they hold what a writer has not finished, or says of its files. Of files that Dunlin
//! wrote, those count whose write was committed ([`Commits`]).

use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use dunlin_plan::location::Location;
use futures::future::try_join_all;
use glob::{MatchOptions, Pattern};
use object_store::path::{Path, PathPart};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::commits::{Commits, Listing};
use super::config::{Compression, TableConfig};
use super::error::TableError;
use super::walk::{Below, Choice};

/// What is wanted of a folder, by the parts of its path below its place.
pub(super) type Parts<'a> = &'a (dyn Fn(&[PathPart<'_>]) -> Below + Sync);

/// Where a table's files are: places in one store.
#[derive(Debug)]
pub(crate) struct Places {
    /// The store.
    pub(crate) store: ObjectStoreUrl,
    /// The store's address, as locations name it.
    pub(crate) address: String,
    places: Vec<Place>,
    /// Endings of the format's files, each with its dot.
    endings: Vec<String>,
}

#[derive(Debug)]
struct Place {
    path: Path,
    is_folder: bool,
    pattern: Option<Pattern>,
}

impl Places {
    /// The places that a table's configuration names.
    pub(crate) fn of(config: &TableConfig) -> Result<Self, TableError> {
        let mut store: Option<String> = None;
        let mut places = Vec::new();
        for text in config.location.iter() {
            let location = Location::parse(text)?;
            let address = location.address();
            if *store.get_or_insert_with(|| address.clone()) != address {
                return Err(TableError::Invalid(
                    "its locations are in several stores; make one table of each, and join them by UNION ALL"
                        .to_owned(),
                ));
            }
            let pattern = location.pattern.as_deref().map(Pattern::new).transpose();
            let pattern = pattern.map_err(|error| {
                TableError::Invalid(format!("{text:?} is not a pattern: {}", error.msg))
            })?;
            let Location { path, is_folder, .. } = location;
            places.push(Place { path, is_folder, pattern });
        }
        let address = store.unwrap_or_default();
        let store = ObjectStoreUrl::parse(&address)?;
        let endings = config.format().endings().iter().map(|ending| format!(".{ending}")).collect();
        Ok(Self { store, address, places, endings })
    }

    /// Lists all files, each once, by path; without those below folders of which `choice` wants nothing.
    pub(super) async fn list(
        &self,
        store: &Arc<dyn ObjectStore>,
        commits: &Commits,
        choice: Option<Parts<'_>>,
    ) -> Result<Vec<ObjectMeta>, TableError> {
        let choice = choice.map(|choice| {
            // The folders of a file in this folder.
            move |folder: &Path| choice(&self.folders(&folder.clone().join("file")))
        });
        let choice = choice.as_ref().map(|choice| choice as Choice<'_>);
        let lists = self.places.iter().map(|place| self.list_place(place, store, commits, choice));
        let mut files: Vec<ObjectMeta> = try_join_all(lists).await?.into_iter().flatten().collect();
        files.retain(|file| file.size > 0);
        files.sort_by(|a, b| a.location.cmp(&b.location));
        files.dedup_by(|a, b| a.location == b.location);
        Ok(files)
    }

    async fn list_place(
        &self,
        place: &Place,
        store: &Arc<dyn ObjectStore>,
        commits: &Commits,
        choice: Option<Choice<'_>>,
    ) -> Result<Vec<ObjectMeta>, TableError> {
        if !place.is_folder {
            match store.head(&place.path).await {
                Ok(file) => return Ok(vec![file]),
                // A folder whose name was written without its slash.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(TableError::listing(error)),
            }
        }
        let of = Listing { store, address: &self.address, folder: &place.path, choice };
        let mut files = commits.files(&of).await?;
        files.retain(|file| self.holds(place, &file.location));
        Ok(files)
    }

    fn holds(&self, place: &Place, path: &Path) -> bool {
        let Some(parts) = path.prefix_match(&place.path) else { return false };
        let parts: Vec<_> = parts.collect();
        // A folder such as `_day=1` is a column's name.
        let hidden = |part: &str| part.starts_with(['_', '.']) && !part.contains('=');
        if parts.is_empty() || parts.iter().any(|part| hidden(part.as_ref())) {
            return false;
        }
        match &place.pattern {
            Some(pattern) => {
                let rest: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
                let options =
                    MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
                pattern.matches_with(&rest.join("/"), options)
            }
            None => {
                let name = path.filename().unwrap_or_default();
                let name = Compression::without(name);
                self.endings.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending))
            }
        }
    }

    /// The parts of a file's path below the place that holds it, without its name.
    pub(crate) fn folders<'a>(&self, path: &'a Path) -> Vec<PathPart<'a>> {
        let below = self.places.iter().filter(|place| place.is_folder || place.path != *path);
        let mut parts: Vec<_> = below
            .filter_map(|place| path.prefix_match(&place.path))
            .map(Iterator::collect::<Vec<_>>)
            .max_by_key(Vec::len)
            .unwrap_or_default();
        parts.pop();
        parts
    }
}
