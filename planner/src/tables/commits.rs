//! Files that Dunlin wrote: they count once their write is committed, and then all of them.
//!
//! ```text
//!  listing ─┬─ other files ───────────────────────────────────────────> the table's
//!           ├─ _dunlin/*.json ─read once─> names of committed files ──┐
//!           └─ dunlin-<query>-… ──────────────────────────────────────┴─ both ─> the table's
//! ```
//! A listing takes time, and a write may be committed in the middle of it: then the commit is seen, and some of its
//! files are not. So a listing that lacks a committed file is made again, after the commit was seen. What it lacks then
//! was deleted.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use dunlin_plan::write::{COMMITS, CommitRecord, State, below_raw, folder_of};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;

use super::error::TableError;
use super::walk::{Below, Choice, walk};

/// Commits that are read at the same time.
const COMMITS_AT_ONCE: usize = 32;
/// Commits that a process remembers. One that has seen more forgets all.
const MOST_REMEMBERED: usize = 100_000;

/// The commits that have been read.
#[derive(Debug, Default)]
pub(super) struct Commits {
    known: Mutex<HashMap<Key, Arc<CommitRecord>>>,
    /// Committed files that were deleted.
    gone: Mutex<HashSet<(String, Path)>>,
}

/// A commit: its store, its path, and its version, because a folder may be deleted and written again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    address: String,
    path: Path,
    e_tag: Option<String>,
    modified: i64,
}

impl Key {
    fn of(address: &str, object: &ObjectMeta) -> Self {
        Self {
            address: address.to_owned(),
            path: object.location.clone(),
            e_tag: object.e_tag.clone(),
            modified: object.last_modified.timestamp_millis(),
        }
    }
}

/// A listing of a folder of one store.
pub(super) struct Listing<'a> {
    pub(super) store: &'a Arc<dyn ObjectStore>,
    /// The store's address.
    pub(super) address: &'a str,
    /// The folder.
    pub(super) folder: &'a Path,
    /// Which of its folders are listed; all, if there is none.
    pub(super) choice: Option<Choice<'a>>,
}

impl Commits {
    /// All files of a folder, without those of writes that are not committed.
    pub(super) async fn files(&self, of: &Listing<'_>) -> Result<Vec<ObjectMeta>, TableError> {
        let listed = of.walk().await?;
        if !listed.iter().any(|file| is_ours(file) || committed_folder(&file.location).is_some()) {
            return Ok(listed);
        }
        let mut committed = self.committed(of, &listed).await?;
        // The folder may be a part of one that was written, whose commits are above.
        let above: BTreeSet<Path> = listed
            .iter()
            .filter_map(|file| folder_of(&file.location))
            .filter(|folder| !folder.prefix_matches(of.folder))
            .collect();
        for folder in above {
            let commits = folder.join(COMMITS);
            let listed = Listing { folder: &commits, choice: None, ..*of }.list().await?;
            committed.extend(self.committed(of, &listed).await?);
        }
        let here: HashSet<&Path> = listed.iter().map(|file| &file.location).collect();
        let missing: Vec<Path> = committed
            .iter()
            .filter(|path| path.prefix_matches(of.folder) && !here.contains(path))
            .filter(|path| of.lists(path))
            .filter(|path| !self.gone.lock().contains(&(of.address.to_owned(), (*path).clone())))
            .cloned()
            .collect();
        let mut files = if missing.is_empty() {
            listed
        } else {
            let again = of.walk().await?;
            let here: HashSet<&Path> = again.iter().map(|file| &file.location).collect();
            let gone = missing.into_iter().filter(|path| !here.contains(path));
            self.gone.lock().extend(gone.map(|path| (of.address.to_owned(), path)));
            again
        };
        files.retain(|file| !is_ours(file) || committed.contains(&file.location));
        Ok(files)
    }

    /// The files that the commits of a listing name.
    async fn committed(
        &self,
        of: &Listing<'_>,
        listed: &[ObjectMeta],
    ) -> Result<HashSet<Path>, TableError> {
        let commits: Vec<(Path, ObjectMeta)> = listed
            .iter()
            .filter_map(|file| Some((committed_folder(&file.location)?, file.clone())))
            .collect();
        let read = stream::iter(commits)
            .map(|(folder, object)| async move {
                let record = self.read(of, &object).await?;
                Ok::<_, TableError>((folder, record))
            })
            .buffer_unordered(COMMITS_AT_ONCE);
        let records: Vec<(Path, Arc<CommitRecord>)> = read.try_collect().await?;
        let mut files = HashSet::new();
        for (folder, record) in records {
            if record.state == State::Committed {
                files.extend(record.files.iter().map(|file| below_raw(&folder, &file.path)));
            }
        }
        Ok(files)
    }

    /// The record of a commit.
    pub(super) async fn read(
        &self,
        of: &Listing<'_>,
        object: &ObjectMeta,
    ) -> Result<Arc<CommitRecord>, TableError> {
        let (path, key) = (&object.location, Key::of(of.address, object));
        if let Some(known) = self.known.lock().get(&key) {
            return Ok(Arc::clone(known));
        }
        let bytes = async { of.store.get(path).await?.bytes().await };
        let bytes = bytes.await.map_err(TableError::listing)?;
        let record = CommitRecord::decode(path, &bytes)
            .map(Arc::new)
            .map_err(|error| TableError::Invalid(error.to_string()))?;
        let mut known = self.known.lock();
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(key, Arc::clone(&record));
        Ok(record)
    }
}

impl Listing<'_> {
    /// Everything below the folder.
    async fn walk(&self) -> Result<Vec<ObjectMeta>, TableError> {
        walk(self.store, self.address, self.folder, self.choice).await.map_err(TableError::listing)
    }

    /// False for a file below a folder that is not listed.
    fn lists(&self, path: &Path) -> bool {
        let Some(choice) = self.choice else { return true };
        let mut folder: Vec<_> = path.parts().collect();
        folder.pop();
        choice(&folder.into_iter().collect()) != Below::Nothing
    }

    /// The same, one page after the other.
    pub(super) async fn list(&self) -> Result<Vec<ObjectMeta>, TableError> {
        self.store.list(Some(self.folder)).try_collect().await.map_err(TableError::listing)
    }
}

/// True for a file that a query of Dunlin wrote.
fn is_ours(file: &ObjectMeta) -> bool {
    folder_of(&file.location).is_some()
}

/// The folder whose commit this object is, if it is one.
fn committed_folder(path: &Path) -> Option<Path> {
    let parts: Vec<_> = path.parts().collect();
    let [folder @ .., commits, name] = parts.as_slice() else { return None };
    let is_commit = commits.as_ref() == COMMITS && name.as_ref().ends_with(".json");
    is_commit.then(|| folder.iter().cloned().collect())
}
