//! Why a table cannot be read.

use std::io::ErrorKind;

use datafusion::arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use dunlin_plan::{StoreError, words};
use object_store::path::Path;

use crate::config::error::ConfigError;
use crate::error::{Cause, PlanError};
use crate::mistakes::Mistake;

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    /// Its entry in the configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its location is wrong.
    #[error(transparent)]
    Location(#[from] StoreError),
    /// Its files and its entry do not fit together.
    #[error("{0}")]
    Invalid(String),
    /// The location has no files.
    #[error("no {format} file is at {location}")]
    Empty { format: &'static str, location: String },
    /// Its files cannot be listed.
    #[error("{}", words::of_store(.source))]
    Listing { source: Box<object_store::Error> },
    /// A file is not what it should be, or cannot be reached.
    #[error("{}", words::sentence_in(&.0.error, std::slice::from_ref(&.0.file)))]
    File(Box<FileTrouble>),
    /// Two files have a column of types that no type holds.
    #[error(
        "column {column} is {} in {}, and {} in {}; no type holds the values of both, so make two tables of them",
        .types.0, .files[0], .types.1, .files[1]
    )]
    Conflict { column: String, types: Box<(DataType, DataType)>, files: Box<[String; 2]> },
    /// The engine refused it.
    #[error("{}", words::sentence(.0))]
    Engine(#[from] DataFusionError),
}

impl TableError {
    /// A store that does not list or give what it has.
    pub(super) fn listing(source: object_store::Error) -> Self {
        Self::Listing { source: Box::new(source) }
    }

    /// Whether the store did not answer as it should. Otherwise the files or the configuration are wrong.
    fn is_of_store(&self) -> bool {
        match self {
            Self::Listing { .. } => true,
            Self::Location(error) => !matches!(error, StoreError::Invalid(_)),
            Self::File(trouble) => is_of_store(&trouble.error),
            Self::Engine(error) => is_of_store(error),
            _ => false,
        }
    }
}

fn is_of_store(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ObjectStore(_) => true,
        // What is no gzip, say, is an error of reading, too.
        DataFusionError::IoError(error) => !matches!(
            error.kind(),
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof
        ),
        _ => false,
    }
}

/// An error about one file.
#[derive(Debug, thiserror::Error)]
#[error("file {file}: {error}")]
pub(crate) struct FileTrouble {
    file: String,
    #[source]
    error: DataFusionError,
}

impl FileTrouble {
    pub(super) fn of(file: &Path, error: DataFusionError) -> Box<Self> {
        Box::new(Self { file: file.to_string(), error })
    }
}

/// An error of planning. If one file is to blame, it is named.
pub(crate) fn blamed(error: DataFusionError) -> PlanError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(at) = cause {
        if let Some(FileTrouble { file, error: of }) = at.downcast_ref()
            && !is_of_store(of)
        {
            let message = words::sentence_in(of, std::slice::from_ref(file));
            return mistake(message, Box::new(error));
        }
        cause = at.source();
    }
    PlanError::from_planning(error)
}

/// Files or their table's entry are wrong.
fn mistake(message: String, source: Cause) -> PlanError {
    PlanError::Planning { mistake: Mistake::File, message, position: None, source: Some(source) }
}

/// A table that a statement names and that could not be read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(super) table: String,
    pub(super) error: TableError,
}

impl From<Unread> for PlanError {
    fn from(unread: Unread) -> Self {
        let message = format!("table {} cannot be read: {}", unread.table, unread.error);
        if unread.error.is_of_store() {
            return Self::Store { message, source: Some(Box::new(unread.error)) };
        }
        mistake(message, Box::new(unread.error))
    }
}

/// The better of two errors: a table that could not be read explains why the planner does not know it.
pub(crate) fn because_unread(error: PlanError, unread: Vec<Unread>) -> PlanError {
    if !matches!(error, PlanError::Planning { .. }) {
        return error;
    }
    unread.into_iter().next().map_or(error, PlanError::from)
}
