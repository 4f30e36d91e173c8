//! Looking into files to find the columns of a table.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::Session;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::avro::AvroFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, JsonSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use dunlin_plan::arrays::JsonArrays;
use dunlin_plan::operators::file_scan;
use dunlin_plan::retyped;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::bounds;
use super::config::{Compression, Format, TableConfig};
use super::error::{FileTrouble, TableError};
use super::facts::Facts;

/// Files that are looked into at the same time.
pub(super) const FILES_AT_ONCE: usize = 64;
/// Text files of a table whose rows are looked at. Of the others, only the header is.
const SAMPLED_FILES: usize = 16;
/// The part of a JSON file that is looked at.
const HEAD_BYTES: u64 = 16 << 20;

/// How a table's files are read.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) format: Arc<dyn FileFormat>,
    kind: Format,
    /// As `format`, and looks only at the first row.
    header: Option<Arc<dyn FileFormat>>,
    /// Each JSON file is one array.
    is_array: bool,
    is_compressed: bool,
}

impl Reading {
    /// How the files of a table are read; their names say how they are compressed.
    pub(super) fn of(config: &TableConfig, files: &[ObjectMeta]) -> Result<Self, TableError> {
        let kind = config.format();
        let compression = compression(config, files)?;
        let mut header = None;
        let format: Arc<dyn FileFormat> = match kind {
            Format::Parquet => Arc::new(ParquetFormat::default()),
            Format::Arrow => Arc::new(ArrowFormat),
            Format::Avro => Arc::new(AvroFormat),
            Format::Json => Arc::new(
                JsonFormat::default()
                    .with_newline_delimited(!config.json.array)
                    .with_schema_infer_max_rec(config.json.sample_rows)
                    .with_file_compression_type(compression),
            ),
            Format::Csv => {
                if config.csv.header {
                    header = Some(Arc::new(csv_format(config, files, compression, 1)?) as _);
                }
                Arc::new(csv_format(config, files, compression, config.csv.sample_rows)?)
            }
        };
        let is_compressed = compression != FileCompressionType::UNCOMPRESSED;
        let is_array = kind == Format::Json && config.json.array;
        Ok(Self { format, kind, header, is_array, is_compressed })
    }

    /// The plan of a scan.
    pub(super) async fn plan(
        &self,
        state: &dyn Session,
        scan: FileScanConfig,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let plan = self.format.create_physical_plan(state, scan).await?;
        let arrays = file_scan(&plan).and_then(|scan| {
            let json = scan.file_source.downcast_ref::<JsonSource>().filter(|_| self.is_array)?;
            let arrays = Arc::new(JsonArrays::of(json.clone()));
            Some(FileScanConfigBuilder::from(scan.clone()).with_source(arrays).build())
        });
        Ok(match arrays {
            Some(arrays) => DataSourceExec::from_data_source(arrays),
            None => plan,
        })
    }

    /// True if the footers of the files say more than their columns.
    pub(super) fn has_footers(&self) -> bool {
        self.kind == Format::Parquet
    }

    /// All that decides what is found in a file, besides the file.
    pub(super) fn way(&self) -> String {
        // With the number of what this file has changed of it.
        format!("{self:?} 2")
    }

    /// Of how many files of a table, the first ones, more is looked at than the header.
    pub(super) fn sampled(&self) -> usize {
        if self.header.is_some() { SAMPLED_FILES } else { usize::MAX }
    }

    /// The schema of each file, and, if `facts` are wanted, what else its footer says. Each file comes with its place in the
    /// table.
    pub(super) async fn inside(
        &self,
        files: &[(usize, ObjectMeta)],
        facts: bool,
        state: &SessionState,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<Vec<(SchemaRef, Option<Arc<Facts>>)>, TableError> {
        if !facts {
            let schemas = self.schemas(files, state, store).await?;
            return Ok(schemas.into_iter().map(|schema| (schema, None)).collect());
        }
        let look = |(_, file): &(usize, ObjectMeta)| {
            let file = file.clone();
            async move {
                let found = bounds::inside(self.format.as_ref(), state, store, &file).await;
                found
                    .map(|(schema, facts)| (schema, Some(facts)))
                    .map_err(|error| TableError::File(FileTrouble::of(&file.location, error)))
            }
        };
        stream::iter(files).map(look).buffered(FILES_AT_ONCE).try_collect().await
    }

    /// The schema of each file.
    async fn schemas(
        &self,
        files: &[(usize, ObjectMeta)],
        state: &SessionState,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<Vec<SchemaRef>, TableError> {
        let look = |(number, file): &(usize, ObjectMeta)| {
            let (number, file) = (*number, file.clone());
            async move {
                let found = match (&self.header, self.kind) {
                    (Some(header), Format::Csv) if number >= self.sampled() => {
                        header.infer_schema(state, store, std::slice::from_ref(&file)).await
                    }
                    (_, Format::Json) if !self.is_array && !self.is_compressed => {
                        self.look_at_head(&file, state, store).await
                    }
                    (_, Format::Json) if self.is_array && !self.is_compressed => {
                        self.look_at_array(&file, state, store).await
                    }
                    _ => self.format.infer_schema(state, store, std::slice::from_ref(&file)).await,
                };
                let found = found.map(|schema| match self.kind {
                    Format::Csv => with_fine_times(schema),
                    _ => schema,
                });
                found.map_err(|error| TableError::File(FileTrouble::of(&file.location, error)))
            }
        };
        let found: Vec<SchemaRef> =
            stream::iter(files).map(look).buffered(FILES_AT_ONCE).try_collect().await?;
        Ok(found)
    }

    /// The schema of the first lines of a JSON file. Looking at the whole file would read all of it into memory.
    async fn look_at_head(
        &self,
        file: &ObjectMeta,
        state: &SessionState,
        store: &Arc<dyn ObjectStore>,
    ) -> datafusion::error::Result<SchemaRef> {
        let head = if file.size <= HEAD_BYTES {
            store.get(&file.location).await?.bytes().await?
        } else {
            let bytes = store.get_range(&file.location, 0..HEAD_BYTES).await?;
            let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            bytes.slice(..end)
        };
        self.look_at_bytes(head, file, state).await
    }

    /// The schema of a JSON file that is an array. The engine takes a line for an element, and an element may have many. No
    /// text of JSON has a line's end in it.
    async fn look_at_array(
        &self,
        file: &ObjectMeta,
        state: &SessionState,
        store: &Arc<dyn ObjectStore>,
    ) -> datafusion::error::Result<SchemaRef> {
        let bytes = store.get(&file.location).await?.bytes().await?;
        let on_one_line = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
        let bytes: Vec<u8> = bytes.iter().map(on_one_line).collect();
        self.look_at_bytes(bytes.into(), file, state).await
    }

    /// The schema of a file, by these bytes in its place.
    async fn look_at_bytes(
        &self,
        bytes: Bytes,
        file: &ObjectMeta,
        state: &SessionState,
    ) -> datafusion::error::Result<SchemaRef> {
        let beside: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        beside.put(&file.location, bytes.into()).await?;
        self.format.infer_schema(state, &beside, std::slice::from_ref(file)).await
    }

    /// Text files give values by place, and not by name: all must have the same columns in the same order.
    ///
    /// # Errors
    /// A file with other columns than the first.
    pub(super) fn check_headers(
        &self,
        files: &[(&Path, &SchemaRef)],
        declared: Option<&SchemaRef>,
        short_lines: bool,
    ) -> Result<(), TableError> {
        if self.header.is_none() {
            return Ok(());
        }
        let names = |schema: &SchemaRef| -> Vec<String> {
            schema.fields().iter().map(|field| field.name().to_lowercase()).collect()
        };
        // The first of those with the most columns.
        let longest = files.iter().rev().max_by_key(|(_, schema)| schema.fields().len());
        let (wanted, whose) = match (declared, longest) {
            (Some(declared), _) => (names(declared), "the list of declared columns".to_owned()),
            (None, Some((path, longest))) => (names(longest), format!("that of {path}")),
            (None, None) => return Ok(()),
        };
        for (path, schema) in files {
            let found = names(schema);
            let fits = if short_lines { wanted.starts_with(&found) } else { wanted == found };
            if !fits {
                return Err(TableError::Invalid(format!(
                    "the header of {path} is {}, and {whose} is {}; CSV files give values by place, so all must have the same columns in the same order",
                    found.join(", "),
                    wanted.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// The engine reads the columns of Arrow files by place, whatever they are called: all must have those of the table, in
    /// its order and with its types.
    ///
    /// # Errors
    /// A file with other columns than the table.
    pub(super) fn check_places(
        &self,
        files: &[(&Path, &SchemaRef)],
        inside: &SchemaRef,
    ) -> Result<(), TableError> {
        if self.kind != Format::Arrow {
            return Ok(());
        }
        let told = |schema: &SchemaRef| -> Vec<String> {
            let fields = schema.fields().iter();
            fields.map(|field| format!("{} {}", field.name(), field.data_type())).collect()
        };
        let wanted = told(inside);
        match files.iter().find(|(_, schema)| told(schema) != wanted) {
            None => Ok(()),
            Some((path, schema)) => Err(TableError::Invalid(format!(
                "the columns of {path} are {}, and those of the table are {}; Arrow files are read by place, so all must have the same columns, types and order, or be Parquet",
                told(schema).join(", "),
                wanted.join(", ")
            ))),
        }
    }

    /// True for text with separators, whose types come from a sample of rows.
    pub(super) fn is_csv(&self) -> bool {
        self.kind == Format::Csv
    }
}

/// The schema of CSV files: a column whose values are whole numbers in one file and other numbers in another has
/// other numbers, because each is read from its text. A column of other types is text.
pub(super) fn relaxed(files: &[(&Path, &SchemaRef)]) -> SchemaRef {
    let mut fields: Vec<Field> = Vec::new();
    for (_, schema) in files.iter().take(SAMPLED_FILES) {
        for (at, field) in schema.fields().iter().enumerate() {
            match fields.get_mut(at) {
                None => fields.push(field.as_ref().clone().with_nullable(true)),
                Some(known) => {
                    let both = match (known.data_type(), field.data_type()) {
                        (a, b) if a == b => a.clone(),
                        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
                        (DataType::Int64, DataType::Float64)
                        | (DataType::Float64, DataType::Int64) => DataType::Float64,
                        _ => DataType::Utf8,
                    };
                    *known = known.clone().with_data_type(both);
                }
            }
        }
    }
    Arc::new(Schema::new(fields))
}

fn csv_format(
    config: &TableConfig,
    files: &[ObjectMeta],
    compression: FileCompressionType,
    sample_rows: usize,
) -> Result<CsvFormat, TableError> {
    let csv = &config.csv;
    let byte = |char: char| {
        u8::try_from(char).map_err(|_| TableError::Invalid(format!("{char:?} is not one byte")))
    };
    let is_tsv = |name: &str| Compression::without(name).to_ascii_lowercase().ends_with(".tsv");
    // A folder does not tell, but what is in it does.
    let tabs = config.location.iter().all(is_tsv)
        || (!files.is_empty() && files.iter().all(|file| is_tsv(file.location.as_ref())));
    let delimiter = csv.delimiter.unwrap_or(if tabs { '\t' } else { ',' });
    let nulls = (!csv.null.is_empty()).then(|| {
        let texts: Vec<String> = csv.null.iter().map(|text| regex::escape(text)).collect();
        format!("^(|{})$", texts.join("|"))
    });
    Ok(CsvFormat::default()
        .with_has_header(csv.header)
        .with_delimiter(byte(delimiter)?)
        .with_quote(byte(csv.quote)?)
        .with_escape(csv.escape.map(byte).transpose()?)
        .with_comment(csv.comment.map(byte).transpose()?)
        .with_null_regex(nulls)
        // A quoted value may contain a newline. Such a file cannot be split at newlines.
        .with_newlines_in_values(csv.newlines)
        .with_truncated_rows(csv.short_lines)
        .with_schema_infer_max_rec(sample_rows)
        .with_file_compression_type(compression))
}

/// The compression of all files of a table.
fn compression(
    config: &TableConfig,
    files: &[ObjectMeta],
) -> Result<FileCompressionType, TableError> {
    if !config.format().is_text() {
        return Ok(FileCompressionType::UNCOMPRESSED);
    }
    let said = |file: &ObjectMeta| {
        let name = file.location.filename().unwrap_or_default();
        Compression::of(name).map_or(Compression::None, |(compression, _)| compression)
    };
    let chosen = match config.compression {
        Some(chosen) => chosen,
        None => {
            let all: BTreeSet<Compression> = files.iter().map(said).collect();
            if all.len() > 1 {
                return Err(TableError::Invalid(
                    "its files are compressed in different ways; make one table of each, and join them by UNION ALL"
                        .to_owned(),
                ));
            }
            all.first().copied().unwrap_or(Compression::None)
        }
    };
    Ok(match chosen {
        Compression::None => FileCompressionType::UNCOMPRESSED,
        Compression::Gzip => FileCompressionType::GZIP,
        Compression::Zstd => FileCompressionType::ZSTD,
        Compression::Bzip2 => FileCompressionType::BZIP2,
        Compression::Xz => FileCompressionType::XZ,
    })
}

/// Times of a text file in microseconds, if its first rows have none that are finer: a later row may have a part of a second,
/// which the engine would cut without a word. In nanoseconds there would be no year 9999.
fn with_fine_times(schema: SchemaRef) -> SchemaRef {
    let fine = |kind: &DataType| match kind {
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        _ => None,
    };
    retyped::schema(&schema, &fine).unwrap_or(schema)
}
