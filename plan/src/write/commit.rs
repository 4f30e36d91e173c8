//! The object that says which files of a write count, or that none does.
//!
//! Its form is a promise to later versions and to other programs, so it has a version of its own (`docs/writing.md`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datafusion::error::{DataFusionError, Result};
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::store::create::{self, Decision};
use dunlin_manifest::store::{MAX_RECORD, ObjectControlStore, below};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};

use super::error::WriteError;
use super::spec::{CommitName, Made, WriteFormat};

/// The folder of commits, below the folder of the files.
pub const COMMITS: &str = "_dunlin";
/// The names of commits that begin a folder begin with this, and go on with their number.
const FIRST: &str = "first-";
/// The object that other programs look for.
const SUCCESS: &str = "_SUCCESS";
/// The files of a write begin with this, and go on with the id of their query.
const PREFIX: &str = "dunlin-";
/// Characters of a query's id.
const ID: usize = 36;
const VERSION: u32 = 1;
/// How long a task that finds its write cancelled waits for the end of its query.
const END_COMES: Duration = Duration::from_secs(1);

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its files count.
    Committed,
    /// It will never have files that count.
    Cancelled,
}

/// A file of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// Its path below the folder.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
}

/// `_dunlin/<name>.json`: what became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// Version of this form.
    pub v: u32,
    /// Told apart from an equal object of another writer.
    pub nonce: String,
    /// The query that wrote.
    pub query: String,
    /// What became of it.
    pub state: State,
    /// The format of the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<WriteFormat>,
    /// The table that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Made>,
    /// Names of the columns that are folders.
    #[serde(default)]
    pub folders: Vec<String>,
    /// The files, by path.
    #[serde(default)]
    pub files: Vec<WrittenFile>,
}

impl CommitRecord {
    /// The record of a write that will not be.
    fn cancelled(query: &str, env: &Env) -> Self {
        Self {
            v: VERSION,
            nonce: env.nonce(),
            query: query.to_owned(),
            state: State::Cancelled,
            format: None,
            table: None,
            folders: Vec::new(),
            files: Vec::new(),
        }
    }

    /// The record of a write whose files count.
    pub(super) fn committed(query: &str, env: &Env, files: Vec<WrittenFile>) -> Self {
        Self { state: State::Committed, files, ..Self::cancelled(query, env) }
    }

    /// Reads a commit.
    ///
    /// # Errors
    /// The bytes are no commit of a version that is known.
    pub fn decode(path: &Path, bytes: &[u8]) -> Result<Self, WriteError> {
        let no = |why: String| WriteError::NoCommit { path: path.to_string(), why };
        let record: Self = serde_json::from_slice(bytes).map_err(|error| no(error.to_string()))?;
        if record.v == VERSION {
            return Ok(record);
        }
        Err(no(format!("its version is {}, and this build knows {VERSION}", record.v)))
    }

    /// Rows and bytes of all its files.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let files = self.files.iter();
        files.fold((0, 0), |(rows, bytes), file| (rows + file.rows, bytes + file.bytes))
    }
}

fn key(name: &CommitName, query: &str) -> String {
    match name {
        CommitName::OfQuery => format!("{COMMITS}/{query}.json"),
        CommitName::First(number) => format!("{COMMITS}/{FIRST}{number}.json"),
    }
}

/// The number of a commit that begins a folder, by the path of its object; `None` for any other object.
#[must_use]
pub fn first_of(path: &Path) -> Option<u32> {
    path.filename()?.strip_prefix(FIRST)?.strip_suffix(".json")?.parse().ok()
}

/// The name of a file that one attempt writes, `depth` folders below the folder of its write.
pub(super) fn file_name(
    query: &str,
    depth: usize,
    attempt: &str,
    number: u32,
    ending: &str,
) -> String {
    format!("{PREFIX}{query}-{depth}-{attempt}-{number:04}.{ending}")
}

/// The folder of the write that wrote a file; `None` for a file that no query of Dunlin wrote.
#[must_use]
pub fn folder_of(path: &Path) -> Option<Path> {
    let name = path.filename()?;
    query_of(name)?;
    let depth: usize = name.get(PREFIX.len() + ID + 1..)?.split('-').next()?.parse().ok()?;
    let parts: Vec<_> = path.parts().collect();
    let above = parts.len().checked_sub(depth + 1)?;
    Some(parts.into_iter().take(above).collect())
}

/// The query that wrote a file of this name; `None` for a file that no query of Dunlin wrote.
#[must_use]
pub fn query_of(name: &str) -> Option<QueryId> {
    QueryId::parse(name.strip_prefix(PREFIX)?.get(..ID)?)
}

/// Commits a write, or finds what has become of it.
pub(super) async fn commit(
    store: Arc<dyn ObjectStore>,
    env: &Env,
    (folder, name): (&Path, &CommitName),
    record: CommitRecord,
) -> Result<CommitRecord> {
    let query = record.query.clone();
    let record = settle(&store, env, (folder, name), record).await?;
    match record.state {
        State::Committed if record.query == query => {
            store.put(&below(folder, SUCCESS), PutPayload::new()).await?;
            Ok(record)
        }
        State::Committed => {
            let target = folder.to_string();
            Err(WriteError::Exists { target, query: record.query }.into())
        }
        State::Cancelled => {
            // Who has cancelled it ends the query in a moment. Until then there is nothing to try again.
            env.clock.sleep(END_COMES).await;
            Err(WriteError::Cancelled.into())
        }
    }
}

/// Makes sure that a write which has not been committed never is. Returns what has become of it.
///
/// # Errors
/// The store's.
pub(super) async fn cancel(
    store: &Arc<dyn ObjectStore>,
    env: &Env,
    at: (&Path, &CommitName),
    query: &str,
) -> Result<State> {
    let record = settle(store, env, at, CommitRecord::cancelled(query, env)).await?;
    // If another query has begun the folder, this one cannot any more.
    Ok(if record.query == query { record.state } else { State::Cancelled })
}

/// The commit of a query that was committed.
///
/// # Errors
/// The store's, or there is none.
pub(super) async fn committed(
    store: &Arc<dyn ObjectStore>,
    env: &Env,
    at: (&Path, &CommitName),
    query: &str,
) -> Result<Option<CommitRecord>> {
    let record = settle(store, env, at, CommitRecord::cancelled(query, env)).await?;
    let is_it = record.query == query && record.state == State::Committed;
    Ok(is_it.then_some(record))
}

/// Creates the record, or returns the one that decides about its query: its own, or the one of the query that has begun
/// the folder. Beginnings that others have cancelled are passed over, by whoever comes, in the same order.
async fn settle(
    store: &Arc<dyn ObjectStore>,
    env: &Env,
    (folder, name): (&Path, &CommitName),
    record: CommitRecord,
) -> Result<CommitRecord> {
    let mut name = name.clone();
    loop {
        let found = create_or_read(store, env, (folder, &name), &record).await?;
        match &mut name {
            CommitName::First(number)
                if found.query != record.query && found.state == State::Cancelled =>
            {
                *number += 1;
            }
            _ => return Ok(found),
        }
    }
}

/// Creates the record, or returns the one that is there.
async fn create_or_read(
    store: &Arc<dyn ObjectStore>,
    env: &Env,
    (folder, name): (&Path, &CommitName),
    record: &CommitRecord,
) -> Result<CommitRecord> {
    let external = |error| DataFusionError::External(error);
    let control = ObjectControlStore::new(Arc::clone(store), folder.clone(), env.clone());
    let key = key(name, &record.query);
    let body = Bytes::from(serde_json::to_vec(record).map_err(|error| external(error.into()))?);
    if body.len() as u64 > MAX_RECORD {
        return Err(WriteError::TooMany { files: record.files.len() }.into());
    }
    match create::decide(&control, env, &key, body, &record.nonce).await {
        Ok(Decision::Won) => Ok(record.clone()),
        Ok(Decision::Lost(found)) => {
            Ok(CommitRecord::decode(&below(folder, key.as_str()), &found)?)
        }
        // It may be there, or come: another attempt sees.
        Err(error) => Err(DataFusionError::ObjectStore(Box::new(object_store::Error::Generic {
            store: "commit",
            source: Box::new(error),
        }))),
    }
}

/// Deletes the files of a query that its commit does not name: those of attempts that lost. Returns their number.
///
/// # Errors
/// The store's.
pub(super) async fn leftovers(
    store: &Arc<dyn ObjectStore>,
    folder: &Path,
    query: &str,
    record: Option<&CommitRecord>,
) -> object_store::Result<usize> {
    let kept: HashSet<Path> = record
        .into_iter()
        .flat_map(|record| &record.files)
        .map(|file| below_raw(folder, &file.path))
        .collect();
    let is_left = |path: &Path| {
        let name = path.filename().unwrap_or_default();
        query_of(name).is_some_and(|of| of.as_str() == query) && !kept.contains(path)
    };
    let mut files = store.list(Some(folder));
    let mut found = Vec::new();
    while let Some(file) = files.try_next().await? {
        if is_left(&file.location) {
            found.push(file.location);
        }
    }
    for path in &found {
        match store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found.len())
}

/// A path below a folder whose text is already a path's.
#[must_use]
pub fn below_raw(folder: &Path, rest: &str) -> Path {
    let rest = Path::parse(rest).unwrap_or_else(|_| Path::from(rest));
    below(folder, rest)
}
