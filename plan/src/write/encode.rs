//! Rows as bytes of a file, in each format that is written.

use std::io::{self, Write};
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, new_null_array};
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::ipc::CompressionType;
use datafusion::arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use datafusion::arrow::json::writer::LineDelimited;
use datafusion::arrow::json::{Writer as JsonWriter, WriterBuilder as JsonBuilder};
use datafusion::error::{DataFusionError, Result};
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use dunlin_shuffle::alone;
use flate2::write::GzEncoder;

use super::spec::{CsvStyle, WriteCompression, WriteFormat, WriteSpec};
use crate::parquet_writer::ParquetWriter;
use crate::{retyped, words};

/// Bytes of a row group of Parquet, after which it is written, however few rows it has.
const GROUP_BYTES: usize = 64 << 20;
/// Level of Zstandard: its own default costs three times the time for a tenth of the bytes.
const ZSTD: i32 = 1;

/// Rows on their way to the bytes of one file.
pub(super) enum Encoder {
    /// Parquet.
    Parquet(Box<ParquetWriter<Vec<u8>>>),
    /// CSV.
    Csv(Box<(Text, CsvStyle)>),
    /// JSON lines.
    Json(Box<JsonWriter<Text, LineDelimited>>),
    /// Arrow IPC.
    Arrow(Box<FileWriter<Vec<u8>>>),
}

/// Text on its way to a compressed file.
pub(super) enum Text {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Text {
    fn new(compression: WriteCompression) -> io::Result<Self> {
        Ok(match compression {
            WriteCompression::Gzip => {
                Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(4)))
            }
            WriteCompression::Zstd => {
                Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD)?)
            }
            WriteCompression::None | WriteCompression::Snappy | WriteCompression::Lz4 => {
                Self::Plain(Vec::new())
            }
        })
    }

    /// The bytes that are ready.
    fn ready(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(bytes) => Ok(bytes),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(to) => to.write(bytes),
            Self::Gzip(to) => to.write(bytes),
            Self::Zstd(to) => to.write(bytes),
        }
    }

    /// Writers of text flush after each batch. A compressor that did so would compress little.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Encoder {
    /// For rows of `schema`.
    pub(super) fn new(spec: &WriteSpec, schema: &SchemaRef) -> Result<Self> {
        Ok(match spec.format {
            WriteFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(parquet_compression(spec.compression)?)
                    .set_max_row_group_row_count(Some(
                        usize::try_from(spec.group_rows).unwrap_or(usize::MAX),
                    ))
                    .set_created_by(concat!("dunlin ", env!("CARGO_PKG_VERSION")).to_owned())
                    .build();
                let writer = ParquetWriter::try_new(Vec::new(), schema, properties)?;
                Self::Parquet(Box::new(writer))
            }
            WriteFormat::Csv => {
                let mut text = Text::new(spec.compression)?;
                if spec.csv.header {
                    // A file without rows has a header, too.
                    let none = RecordBatch::new_empty(Arc::clone(schema));
                    csv_writer(&mut text, &spec.csv, true).write(&none)?;
                }
                Self::Csv(Box::new((text, spec.csv.clone())))
            }
            WriteFormat::Json => {
                let text = Text::new(spec.compression)?;
                let writer = JsonBuilder::new().with_explicit_nulls(true).build(text);
                Self::Json(Box::new(writer))
            }
            WriteFormat::Arrow => {
                let compression = match spec.compression {
                    WriteCompression::Lz4 => Some(CompressionType::LZ4_FRAME),
                    WriteCompression::Zstd => Some(CompressionType::ZSTD),
                    _ => None,
                };
                let options = IpcWriteOptions::default().try_with_compression(compression)?;
                let writer = FileWriter::try_new_with_options(Vec::new(), schema, options)?;
                Self::Arrow(Box::new(writer))
            }
        })
    }

    /// Adds rows.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Parquet(writer) => {
                writer.write(batch)?;
                if writer.in_progress_size() >= GROUP_BYTES
                    || writer.memory_size() >= 2 * GROUP_BYTES
                {
                    writer.flush()?;
                }
            }
            Self::Csv(csv) => csv_writer(&mut csv.0, &csv.1, false).write(batch)?,
            Self::Json(writer) => writer.write(batch)?,
            Self::Arrow(writer) => writer.write(&alone(batch.clone())?)?,
        }
        Ok(())
    }

    /// Ends the row group, so that it needs no more memory.
    pub(super) fn relieve(&mut self) -> Result<()> {
        if let Self::Parquet(writer) = self {
            writer.flush()?;
        }
        Ok(())
    }

    /// Bytes of memory that rows hold which are no bytes of the file yet.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Parquet(writer) => writer.memory_size(),
            Self::Csv(_) | Self::Json(_) | Self::Arrow(_) => 0,
        }
    }

    /// Bytes of rows that are encoded and not ready.
    pub(super) fn coming(&self) -> usize {
        match self {
            Self::Parquet(writer) => writer.in_progress_size(),
            Self::Csv(_) | Self::Json(_) | Self::Arrow(_) => 0,
        }
    }

    /// The bytes that are ready. The caller takes them out.
    pub(super) fn ready(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Parquet(writer) => writer.inner_mut(),
            Self::Csv(csv) => csv.0.ready(),
            Self::Json(writer) => writer.get_mut().ready(),
            Self::Arrow(writer) => writer.get_mut(),
        }
    }

    /// Ends the file, and returns the bytes that were not taken.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Parquet(writer) => Ok(writer.into_inner()?),
            Self::Csv(csv) => Ok(csv.0.finish()?),
            Self::Json(mut writer) => {
                writer.finish()?;
                Ok(writer.into_inner().finish()?)
            }
            Self::Arrow(writer) => Ok(writer.into_inner()?),
        }
    }
}

/// The columns as they are in the file. An Arrow file has one dictionary for each column, and batches have others.
pub(super) fn plain_schema(spec: &WriteSpec, schema: &SchemaRef) -> SchemaRef {
    if spec.format != WriteFormat::Arrow {
        return Arc::clone(schema);
    }
    let values = |kind: &DataType| match kind {
        DataType::Dictionary(_, values) => Some(values.as_ref().clone()),
        _ => None,
    };
    let plain = retyped::fields(schema.fields(), &values);
    Arc::new(Schema::new(plain.unwrap_or_else(|| schema.fields().to_vec())))
}

/// The rows as they are in the file.
pub(super) fn plain(spec: &WriteSpec, batch: &RecordBatch) -> Result<RecordBatch> {
    if spec.format != WriteFormat::Arrow {
        return Ok(batch.clone());
    }
    Ok(retyped::rows(batch, &plain_schema(spec, &batch.schema()))?)
}

fn parquet_compression(compression: WriteCompression) -> Result<Compression> {
    Ok(match compression {
        WriteCompression::None => Compression::UNCOMPRESSED,
        WriteCompression::Snappy => Compression::SNAPPY,
        WriteCompression::Lz4 => Compression::LZ4_RAW,
        WriteCompression::Gzip => Compression::GZIP(Default::default()),
        WriteCompression::Zstd => Compression::ZSTD(ZstdLevel::try_new(ZSTD)?),
    })
}

fn csv_writer<'a>(text: &'a mut Text, style: &CsvStyle, names: bool) -> csv::Writer<&'a mut Text> {
    csv::WriterBuilder::new()
        .with_header(names)
        .with_delimiter(style.delimiter)
        .with_null(style.null.clone())
        .build(text)
}

/// Refuses columns that the format cannot hold.
///
/// # Errors
/// The first such column, and why.
pub fn check_schema(spec: &WriteSpec, schema: &Schema) -> Result<(), String> {
    for (at, field) in schema.fields().iter().enumerate() {
        if spec.folders.contains(&at) {
            continue;
        }
        let told = |why: String| {
            Err(format!("column {} cannot be written as {:?}: {why}", field.name(), spec.format))
        };
        if spec.format == WriteFormat::Csv && field.data_type().is_nested() {
            return told("a list or struct is no text; write Parquet or JSON".to_owned());
        }
        // What the writer says of one row of NULL.
        let one: SchemaRef =
            Arc::new(Schema::new(vec![field.as_ref().clone().with_nullable(true)]));
        let row = new_null_array(field.data_type(), 1);
        let tried = RecordBatch::try_new(Arc::clone(&one), vec![row])
            .map_err(DataFusionError::from)
            .and_then(|batch| {
                let mut encoder = Encoder::new(spec, &one)?;
                encoder.add(&batch)?;
                encoder.finish().map(drop)
            });
        if let Err(error) = tried {
            // The engine's sentence for Parquet is about reading.
            return told(words::plain(&error.find_root().message()));
        }
    }
    Ok(())
}
