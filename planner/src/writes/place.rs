//! Where rows may be written, and what is there already.

use std::sync::Arc;

use dunlin_plan::location::{Location, named};
use dunlin_plan::stores::Stores;
use dunlin_plan::words;
use dunlin_plan::write::{COMMITS, CommitName, CommitRecord, State, first_of};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::error::{exists, refused};
use crate::config::{FilesConfig, WritingConfig};
use crate::error::PlanError;
use crate::tables::config::Format;

/// Where statements may write.
#[derive(Debug, Default)]
pub(crate) struct Permission {
    places: Vec<(Location, WritingConfig)>,
    /// Whether, and where, statements may write anywhere.
    files: FilesConfig,
    /// Where the state is. Nobody writes there.
    state: Vec<Location>,
}

impl Permission {
    /// What the configuration permits.
    pub(crate) fn of(writing: &[WritingConfig], files: &FilesConfig, stores: &Stores) -> Self {
        let place = |entry: &WritingConfig| {
            Location::parse(&entry.location).ok().map(|at| (at, entry.clone()))
        };
        Self {
            places: writing.iter().filter_map(place).collect(),
            files: files.clone(),
            state: vec![stores.state.clone(), stores.control_location().clone()],
        }
    }

    fn permits(&self, at: &Location) -> bool {
        let is_anywhere = self.files.enabled && self.files.write && self.files.reaches(at);
        is_anywhere || self.places.iter().any(|(place, _)| lies_in(at, place))
    }

    /// True if tables below a place are found by their names.
    pub(super) fn has_tables(&self, place: &Place) -> bool {
        self.places.iter().any(|(at, entry)| {
            let depth = place.location.path.parts().count();
            entry.tables && lies_in(&place.location, at) && depth == at.path.parts().count() + 1
        })
    }

    /// The places that have tables.
    pub(crate) fn table_places(&self) -> impl Iterator<Item = &str> {
        let tables = self.places.iter().filter(|(_, entry)| entry.tables);
        tables.map(|(_, entry)| entry.location.trim_end_matches('/'))
    }
}

/// True for a location at or below another one.
fn lies_in(at: &Location, place: &Location) -> bool {
    at.address() == place.address() && at.path.prefix_matches(&place.path)
}

/// A place that may be written to.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) location: Location,
    pub(super) is_folder: bool,
}

impl Place {
    /// The place that a statement names.
    ///
    /// # Errors
    /// It is none, or nobody may write there.
    pub(super) fn of(text: &str, permission: &Permission) -> Result<Self, PlanError> {
        let location = Location::parse(text).map_err(|error| refused(error.to_string()))?;
        if location.pattern.is_some() {
            return Err(refused(format!("{text:?} is a pattern; name one folder or file")));
        }
        if matches!(location.store.scheme(), "http" | "https") {
            return Err(refused(
                "web servers are read and not written; use a folder, s3, gs or az".to_owned(),
            ));
        }
        if location.path.parts().next().is_none() {
            return Err(refused(format!("{text:?} is a whole store; name a folder in it")));
        }
        if location.path.parts().any(|part| part.as_ref() == COMMITS) {
            return Err(refused(format!(
                "{COMMITS} is where Dunlin keeps its commits; choose another folder"
            )));
        }
        let is_state = permission
            .state
            .iter()
            .any(|state| lies_in(&location, state) || lies_in(state, &location));
        if is_state {
            return Err(refused("the state of Dunlin is there; choose another place".to_owned()));
        }
        if !permission.permits(&location) {
            let places = permission.places.iter().map(|(_, entry)| entry.location.as_str());
            let places: Vec<&str> = places.collect();
            return Err(refused(if places.is_empty() {
                "no place may be written to; add a [[writing]] entry to the configuration"
                    .to_owned()
            } else {
                format!("statements may write below {}, and not to {text}", places.join(", "))
            }));
        }
        let is_folder = location.is_folder;
        Ok(Self { location, is_folder })
    }

    /// The folder of a new table.
    pub(super) fn of_new_table(name: &str, permission: &Permission) -> Result<Self, PlanError> {
        let Some(place) = permission.table_places().next() else {
            return Err(refused(
                "CREATE TABLE needs a place for its files: add a [[writing]] entry with tables = true to the configuration, or write files with COPY"
                    .to_owned(),
            ));
        };
        check_table_name(name)?;
        Self::of(&format!("{place}/{name}/"), permission)
    }

    /// The same place as a folder.
    pub(super) fn folder(self) -> Self {
        Self { is_folder: true, ..self }
    }

    /// True if the name ends like a file of a known format.
    pub(super) fn names_a_file(&self) -> bool {
        self.location.path.filename().is_some_and(|name| Format::of(name).is_some())
    }

    fn store(&self, stores: &Stores) -> Result<Arc<dyn ObjectStore>, PlanError> {
        stores.get(&self.location.address()).ok_or_else(|| {
            refused(format!("no configuration says how to reach {}", self.location.address()))
        })
    }

    /// Refuses a file that is there.
    pub(super) async fn has_no_file(&self, stores: &Stores) -> Result<(), PlanError> {
        match self.store(stores)?.head(&self.location.path).await {
            Ok(_) => Err(exists(format!(
                "{} is there already; choose another name, or replace it with (OVERWRITE)",
                self.name()
            ))),
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(of_store(&error)),
        }
    }

    /// The name of the commit that begins this folder, in which nothing is yet.
    pub(super) async fn first_commit(&self, stores: &Stores) -> Result<CommitName, PlanError> {
        let (store, folder) = (self.store(stores)?, &self.location.path);
        let mut listing = store.list(Some(folder));
        let mut number = 0;
        while let Some(file) = listing.try_next().await.map_err(|error| of_store(&error))? {
            if let Some(free) = after_cancelled(&store, folder, &file.location).await? {
                number = number.max(free);
                continue;
            }
            // A marker that some tools make for a folder is no file in it.
            if is_leftover(&file.location, folder) || file.location == *folder {
                continue;
            }
            return Err(exists(format!(
                "{}/ is not empty: it has {}; choose another folder, or add to it with (APPEND)",
                self.name(),
                file.location.filename().unwrap_or_default()
            )));
        }
        Ok(CommitName::First(number))
    }

    fn name(&self) -> String {
        named(&self.location.address(), self.location.path.as_ref())
    }
}

/// Refuses a name that could not be the name of a folder everywhere.
pub(super) fn check_table_name(name: &str) -> Result<(), PlanError> {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if is_plain && !name.is_empty() && !name.starts_with(['_', '-']) && name.len() <= 128 {
        return Ok(());
    }
    Err(refused(format!(
        "the table's name {name:?} names its folder; use letters of ASCII, digits, _ and -"
    )))
}

/// True for a file of a write into this folder, or a folder below, that has not been committed, or was cancelled. If it was
/// committed, its commit is in the listing. Of a write into a folder above it is not known.
fn is_leftover(path: &Path, folder: &Path) -> bool {
    dunlin_plan::write::folder_of(path).is_some_and(|of| of.prefix_matches(folder))
}

/// The number of a first commit that is free beside this object, if it is a commit that was cancelled.
async fn after_cancelled(
    store: &Arc<dyn ObjectStore>,
    folder: &Path,
    path: &Path,
) -> Result<Option<u32>, PlanError> {
    let mut below = match path.prefix_match(folder) {
        Some(below) => below,
        None => return Ok(None),
    };
    if below.next().is_none_or(|part| part.as_ref() != COMMITS) {
        return Ok(None);
    }
    let bytes = async { store.get(path).await?.bytes().await };
    let bytes = bytes.await.map_err(|error| of_store(&error))?;
    let record = CommitRecord::decode(path, &bytes).map_err(|error| refused(error.to_string()))?;
    Ok((record.state == State::Cancelled).then_some(first_of(path).map_or(0, |number| number + 1)))
}

pub(super) fn of_store(error: &object_store::Error) -> PlanError {
    PlanError::Store { message: words::of_store(error), source: None }
}
