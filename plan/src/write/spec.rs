//! Where rows are written, and how: what the planner decides, and a task is given.

use datafusion::error::{DataFusionError, Result};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::location::named;

/// Where rows are written, and how. It travels in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteSpec {
    /// Address of the store, as `s3://bucket`.
    pub store: String,
    /// The folder that gets the files; or the one file.
    pub path: String,
    /// How the files are committed; `None` for one file, which is there or is not.
    pub commit: Option<CommitName>,
    /// One file that is there is replaced.
    pub replaces: bool,
    /// The format of the files.
    pub format: WriteFormat,
    /// How they are compressed.
    pub compression: WriteCompression,
    /// Columns whose values are names of folders, by their places among the columns of the rows.
    pub folders: Vec<usize>,
    /// A file that has reached this many bytes is closed, and another one is begun.
    pub file_bytes: u64,
    /// Most rows of a row group of Parquet.
    pub group_rows: u64,
    /// How CSV is written.
    pub csv: CsvStyle,
    /// The table that is made, with its columns as text of [`schema_to_text`](crate::wire::schema_to_text).
    pub makes: Option<Made>,
}

/// The name of the object that commits a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitName {
    /// A name of its own: the files are added to those that are there.
    OfQuery,
    /// The nth name for the beginning of a folder. Earlier ones were cancelled. Of two queries that begin the same
    /// folder, one finds that the name is taken.
    First(u32),
}

/// A table that a write makes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// Its name.
    pub table: String,
    /// All its columns, in the order of its statement.
    pub schema: String,
}

/// A format that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteFormat {
    /// Apache Parquet.
    Parquet,
    /// Text with separators.
    Csv,
    /// JSON, one object on each line.
    Json,
    /// Arrow IPC file.
    Arrow,
}

/// How files are compressed: Parquet and Arrow inside, text as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteCompression {
    /// Not.
    None,
    /// Snappy, of Parquet.
    Snappy,
    /// LZ4, of Parquet and Arrow.
    Lz4,
    /// gzip, of Parquet and text.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// How CSV is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvStyle {
    /// The first line names the columns.
    pub header: bool,
    /// Between two values.
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: String,
}

impl Default for CsvStyle {
    fn default() -> Self {
        Self { header: true, delimiter: b',', null: String::new() }
    }
}

impl WriteFormat {
    /// Its name, which is the ending of its files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Arrow => "arrow",
        }
    }
}

impl WriteSpec {
    /// The ending of its files, with the one of their compression.
    pub(super) fn ending(&self) -> String {
        let ending = self.format.name();
        match (self.format, self.compression) {
            (WriteFormat::Csv | WriteFormat::Json, WriteCompression::Gzip) => {
                format!("{ending}.gz")
            }
            (WriteFormat::Csv | WriteFormat::Json, WriteCompression::Zstd) => {
                format!("{ending}.zst")
            }
            _ => ending.to_owned(),
        }
    }

    /// The folder, or the file.
    pub(super) fn at(&self) -> Result<Path> {
        Path::parse(&self.path).map_err(|error| DataFusionError::External(Box::new(error)))
    }

    /// What the plan writes: for people, without the form of the files.
    #[must_use]
    pub fn target(&self) -> String {
        let Self { store, path, commit, .. } = self;
        let end = if commit.is_some() { "/" } else { "" };
        format!("{}{end}", named(store, path))
    }
}
