//! `[[tables]]`: where a table's files are, and how they are read.

use dunlin_plan::config::StoreParams;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::error::ConfigError;

use dunlin_plan::config::Locations;

/// `[[tables]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableConfig {
    /// Name in SQL.
    pub name: String,
    /// A file, a folder if it ends in `/`, a pattern as `s3://bucket/2024/*.parquet`, or a list of these in one store.
    pub location: Locations,
    /// The format of its files. If it is not set, the ending of the location says it, or else it is Parquet.
    #[serde(default)]
    pub format: Option<Format>,
    /// How its files are compressed as a whole. If it is not set, their endings say it.
    #[serde(default)]
    pub compression: Option<Compression>,
    /// The columns and types of its files, as `["id BIGINT", "day DATE"]`. If there are none, the files are looked at.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Columns from names of folders such as `year=2024`.
    #[serde(default)]
    pub partitions: Partitions,
    /// The order of the rows in every file, as `["day", "amount DESC NULLS LAST"]`. A query that asks for this order
    /// needs no sort. The order is not checked: files in another order give wrong answers. Parquet files that declare
    /// their own order do not need this list.
    #[serde(default)]
    pub order: Vec<String>,
    /// How CSV files are read.
    #[serde(default)]
    pub csv: CsvConfig,
    /// How JSON files are read.
    #[serde(default)]
    pub json: JsonConfig,
    /// How to reach its store.
    #[serde(default)]
    pub params: StoreParams,
}

/// A format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Text with separators.
    Csv,
    /// JSON, one object on each line; or one array of objects.
    Json,
    /// Arrow IPC files and streams.
    Arrow,
    /// Apache Avro.
    Avro,
}

impl Format {
    /// The endings of its files, without a dot.
    #[must_use]
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Parquet => &["parquet"],
            Self::Csv => &["csv", "tsv"],
            Self::Json => &["json", "jsonl", "ndjson"],
            Self::Arrow => &["arrow", "arrows", "ipc", "feather"],
            Self::Avro => &["avro"],
        }
    }

    /// The format that a file's name says, if it says one. A compressed file has one ending more.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let (_, ending) = Compression::without(name).rsplit_once('.')?;
        let ending = ending.to_ascii_lowercase();
        [Self::Parquet, Self::Csv, Self::Json, Self::Arrow, Self::Avro]
            .into_iter()
            .find(|format| format.endings().contains(&ending.as_str()))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Arrow => "arrow",
            Self::Avro => "avro",
        }
    }

    /// True for text, which may be compressed as a whole.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Json)
    }
}

/// Compression of a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

impl Compression {
    /// The compression that a file's name says, and the name without its ending.
    #[must_use]
    pub fn of(name: &str) -> Option<(Self, &str)> {
        let (rest, ending) = name.rsplit_once('.')?;
        let compression = match ending.to_ascii_lowercase().as_str() {
            "gz" | "gzip" => Self::Gzip,
            "zst" | "zstd" => Self::Zstd,
            "bz2" => Self::Bzip2,
            "xz" => Self::Xz,
            _ => return None,
        };
        Some((compression, rest))
    }

    /// The name without the ending of a compression.
    #[must_use]
    pub fn without(name: &str) -> &str {
        Self::of(name).map_or(name, |(_, rest)| rest)
    }
}

/// Columns from names of folders.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "\"auto\", \"none\", or a list of columns with their types")]
pub enum Partitions {
    /// `auto` or `none`.
    Word(PartitionsWord),
    /// Columns and types, as `["year INT", "month INT"]`.
    Columns(Vec<String>),
}

/// Words for [`Partitions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartitionsWord {
    /// Those that all files have. Numbers and dates are seen as such.
    Auto,
    /// None.
    None,
}

impl Default for Partitions {
    fn default() -> Self {
        Self::Word(PartitionsWord::Auto)
    }
}

/// `[tables.csv]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvConfig {
    /// The first line names the columns.
    pub header: bool,
    /// Between two values. `,` if it is not set, and a tab in files that end in `.tsv`.
    pub delimiter: Option<char>,
    /// Around values.
    pub quote: char,
    /// Before a quote inside of a value. If it is not set, such a quote is doubled.
    pub escape: Option<char>,
    /// At the start of a line that is no row.
    pub comment: Option<char>,
    /// Texts that mean NULL, besides the empty text.
    pub null: Vec<String>,
    /// Quoted values may hold a newline. `false` lets several tasks read one file.
    pub newlines: bool,
    /// Lines may end early: the missing values are NULL.
    pub short_lines: bool,
    /// The format of dates, as `%d/%m/%Y`, in declared columns of type DATE.
    pub date_format: Option<String>,
    /// The format of times, as `%d/%m/%Y %H:%M`, in declared columns of type TIMESTAMP.
    pub timestamp_format: Option<String>,
    /// Rows that are looked at to find types.
    pub sample_rows: usize,
}

impl Default for CsvConfig {
    fn default() -> Self {
        Self {
            header: true,
            delimiter: None,
            quote: '"',
            escape: None,
            comment: None,
            null: Vec::new(),
            newlines: true,
            short_lines: false,
            date_format: None,
            timestamp_format: None,
            sample_rows: SAMPLE_ROWS,
        }
    }
}

/// As DataFusion's own default.
const SAMPLE_ROWS: usize = 1_000;

/// `[tables.json]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonConfig {
    /// Each file is one array of objects. If it is not set, each line is an object.
    pub array: bool,
    /// Rows that are looked at to find types.
    pub sample_rows: usize,
}

impl Default for JsonConfig {
    fn default() -> Self {
        Self { array: false, sample_rows: SAMPLE_ROWS }
    }
}

impl TableConfig {
    /// A table of files at `location`, of which nothing else is said.
    #[must_use]
    pub fn at(name: &str, location: &str) -> Self {
        Self {
            name: name.to_owned(),
            location: location.into(),
            format: None,
            compression: None,
            columns: Vec::new(),
            partitions: Partitions::default(),
            order: Vec::new(),
            csv: CsvConfig::default(),
            json: JsonConfig::default(),
            params: StoreParams::default(),
        }
    }

    /// The format of its files.
    #[must_use]
    pub fn format(&self) -> Format {
        let said = || self.location.iter().find_map(Format::of);
        self.format.or_else(said).unwrap_or(Format::Parquet)
    }

    /// What is wrong with the entry, as far as it can be seen without its files.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong =
            |what: String| Err(ConfigError::Invalid(format!("table {}: {what}", self.name)));
        if self.name.is_empty() {
            return Err(ConfigError::Invalid("a [[tables]] entry has an empty name".to_owned()));
        }
        if self.location.iter().next().is_none() {
            return wrong("location is an empty list".to_owned());
        }
        let format = self.format();
        if self.compression.is_some_and(|it| it != Compression::None) && !format.is_text() {
            return wrong(format!(
                "{} files are not compressed as a whole; remove compression",
                format.name()
            ));
        }
        if self.csv != CsvConfig::default() && format != Format::Csv {
            return wrong(format!(
                "[tables.csv] is for csv files, and its format is {}",
                format.name()
            ));
        }
        if self.json != JsonConfig::default() && format != Format::Json {
            return wrong(format!(
                "[tables.json] is for json files, and its format is {}",
                format.name()
            ));
        }
        let csv = &self.csv;
        let bytes = [
            ("delimiter", csv.delimiter),
            ("quote", Some(csv.quote)),
            ("escape", csv.escape),
            ("comment", csv.comment),
        ];
        for (key, char) in bytes {
            if char.is_some_and(|char| !char.is_ascii()) {
                return wrong(format!("csv.{key} must be one ASCII character"));
            }
        }
        if csv.sample_rows == 0 || self.json.sample_rows == 0 {
            return wrong("sample_rows must be at least 1".to_owned());
        }
        if (csv.date_format.is_some() || csv.timestamp_format.is_some()) && self.columns.is_empty()
        {
            return wrong(
                "date_format and timestamp_format need columns with declared types".to_owned(),
            );
        }
        self.sort_order().map(|_| ())
    }

    /// The declared order: column, ascending, nulls first.
    ///
    /// # Errors
    /// A key that cannot be read.
    pub fn sort_order(&self) -> Result<Vec<(String, bool, bool)>, ConfigError> {
        self.order.iter().map(|key| self.sort_key(key)).collect()
    }

    fn sort_key(&self, key: &str) -> Result<(String, bool, bool), ConfigError> {
        let refused = || {
            ConfigError::Invalid(format!(
                "table {}: {key:?} is not a sort key; write a column, then ASC or DESC, then NULLS FIRST or NULLS LAST",
                self.name
            ))
        };
        let mut words = key.split_whitespace();
        let column = words.next().ok_or_else(refused)?.to_owned();
        let rest: Vec<String> = words.map(str::to_ascii_uppercase).collect();
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        let (ascending, rest) = match rest.as_slice() {
            ["ASC", rest @ ..] => (true, rest),
            ["DESC", rest @ ..] => (false, rest),
            rest => (true, rest),
        };
        // As in SQL, nulls are larger than all other values.
        let nulls_first = match rest {
            [] => !ascending,
            ["NULLS", "FIRST"] => true,
            ["NULLS", "LAST"] => false,
            _ => return Err(refused()),
        };
        Ok((column, ascending, nulls_first))
    }
}
