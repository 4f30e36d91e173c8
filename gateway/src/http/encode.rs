//! Encodes rows as bytes: one encoder for each format, one batch at a time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, JsonArray, LineDelimited, make_encoder};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use dunlin_plan::ParquetWriter;
use dunlin_shuffle::alone;
use futures::StreamExt;
use futures::stream::BoxStream;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::format::Format;
use super::problem::ApiError;
use super::table::Table;
use crate::query::cut::Cut;
use crate::query::error::CoreError;

/// Most rows encoded at once, so that one huge batch does not become one huge chunk.
const CHUNK_ROWS: usize = 8_192;
/// Rows encoded at once until the length of a row is known.
const FIRST_CHUNK_ROWS: usize = 64;
/// Target size of a chunk in bytes: few wide rows are encoded at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Encoded bytes of a row group of Parquet, about. A row group is held until it is complete.
const GROUP_BYTES: usize = 8 << 20;

/// Number of rows to encode next, after `rows` rows became `bytes` bytes.
fn next_rows(rows: usize, bytes: usize) -> usize {
    if bytes > CHUNK_BYTES {
        (rows / 2).max(1)
    } else if bytes <= CHUNK_BYTES / 2 {
        (rows * 2).min(CHUNK_ROWS)
    } else {
        rows
    }
}

/// Encoded rows.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) rows: u64,
}

/// Encodes batches as they arrive. A panic of an operator or an encoder becomes an error, because it must not look
/// like the end of the answer. `cut` knows at the end whether rows were left out.
pub(super) fn encode(
    format: Format,
    rows: SendableRecordBatchStream,
    cut: Option<Cut>,
) -> BoxStream<'static, Result<Chunk, ApiError>> {
    enum State {
        Start(SendableRecordBatchStream),
        Rows(SendableRecordBatchStream, Box<Encoder>, Option<(RecordBatch, usize)>, usize),
        End,
    }
    let steps = futures::stream::try_unfold(State::Start(rows), move |state| {
        let cut = cut.clone();
        async move {
            let (rows, mut encoder, mut batch, most) = match state {
                State::Start(rows) => {
                    let (encoder, bytes) = Encoder::start(format, &rows.schema())?;
                    let next = State::Rows(rows, Box::new(encoder), None, FIRST_CHUNK_ROWS);
                    return Ok(Some((Chunk { bytes, rows: 0 }, next)));
                }
                State::Rows(rows, encoder, batch, most) => (rows, encoder, batch, most),
                State::End => return Ok(None),
            };
            let mut rows = rows;
            let (current, from) = loop {
                if let Some((current, from)) = batch.take()
                    && from < current.num_rows()
                {
                    break (current, from);
                }
                match rows.next().await {
                    Some(Ok(next)) => batch = Some((next, 0)),
                    Some(Err(error)) => return Err(CoreError::rows(error).into()),
                    None => {
                        let is_cut = cut.and_then(|cut| cut.known()).unwrap_or(false);
                        let bytes = encoder.finish(is_cut).map_err(encoding)?;
                        return Ok(Some((Chunk { bytes, rows: 0 }, State::End)));
                    }
                }
            };
            let count = most.min(current.num_rows() - from);
            let bytes = encoder.push(&current.slice(from, count)).map_err(encoding)?;
            // The last rows of a batch may be few, so they do not show how many short rows fit.
            let whole = count == most || bytes.len() > CHUNK_BYTES;
            let most = if whole { next_rows(count, bytes.len()) } else { most };
            let chunk = Chunk { bytes, rows: count as u64 };
            let next = State::Rows(rows, encoder, Some((current, from + count)), most);
            Ok::<_, ApiError>(Some((chunk, next)))
        }
    });
    AssertUnwindSafe(steps)
        .catch_unwind()
        .map(|item| {
            item.unwrap_or_else(|_| Err(CoreError::internal("an operator panicked").into()))
        })
        .boxed()
}

fn encoding(error: ArrowError) -> ApiError {
    CoreError::rows(DataFusionError::ArrowError(Box::new(error), None)).into()
}

fn of_parquet(error: ParquetError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

/// A writer of Parquet whose row groups are small enough to be held.
fn parquet(schema: &SchemaRef) -> Result<ParquetWriter<Vec<u8>>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .build();
    ParquetWriter::try_new(Vec::new(), schema, properties)
}

/// The encoder of one answer. Its bytes are taken after every batch, so it never holds more than one, or one row group.
enum Encoder {
    Json(arrow::json::Writer<Vec<u8>, JsonArray>),
    JsonLines(arrow::json::Writer<Vec<u8>, LineDelimited>),
    Csv,
    Arrow(Box<StreamWriter<Vec<u8>>>),
    Parquet(Box<ParquetWriter<Vec<u8>>>),
    Text(Box<Table>),
}

impl Encoder {
    /// An encoder, and the bytes before the first row.
    fn start(format: Format, schema: &SchemaRef) -> Result<(Self, Bytes), ApiError> {
        let json = || arrow::json::WriterBuilder::new().with_explicit_nulls(true);
        let mut encoder = match format {
            Format::Json => Self::Json(json().build(Vec::new())),
            Format::JsonLines => Self::JsonLines(json().build(Vec::new())),
            Format::Csv => Self::Csv,
            Format::Arrow => {
                let writer = StreamWriter::try_new(Vec::new(), schema).map_err(encoding)?;
                Self::Arrow(Box::new(writer))
            }
            Format::Parquet => {
                let writer = parquet(schema).map_err(|error| {
                    ApiError::Unwritable(format!(
                        "the answer cannot be written as Parquet ({error}); ask for {}",
                        Format::Arrow.essence()
                    ))
                })?;
                Self::Parquet(Box::new(writer))
            }
            Format::Text => Self::Text(Box::new(Table::new(schema))),
        };
        let bytes = match &mut encoder {
            Self::Csv => {
                csv(&RecordBatch::new_empty(Arc::clone(schema)), true).map_err(encoding)?
            }
            Self::Arrow(writer) => std::mem::take(writer.get_mut()),
            Self::Parquet(writer) => std::mem::take(writer.inner_mut()),
            Self::Json(_) | Self::JsonLines(_) | Self::Text(_) => Vec::new(),
        };
        Ok((encoder, bytes.into()))
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<Bytes, ArrowError> {
        let bytes = match self {
            Self::Json(writer) => {
                writer.write(batch)?;
                std::mem::take(writer.get_mut())
            }
            Self::JsonLines(writer) => {
                writer.write(batch)?;
                std::mem::take(writer.get_mut())
            }
            Self::Csv => csv(batch, false)?,
            Self::Arrow(writer) => {
                writer.write(&alone(batch.clone())?)?;
                std::mem::take(writer.get_mut())
            }
            Self::Parquet(writer) => {
                writer.write(batch).map_err(of_parquet)?;
                std::mem::take(writer.inner_mut())
            }
            Self::Text(table) => table.push(batch)?,
        };
        Ok(bytes.into())
    }

    /// The bytes after the last row. `is_cut`: rows were left out.
    fn finish(&mut self, is_cut: bool) -> Result<Bytes, ArrowError> {
        let bytes = match self {
            Self::Json(writer) => {
                writer.finish()?;
                std::mem::take(writer.get_mut())
            }
            Self::JsonLines(writer) => {
                writer.finish()?;
                std::mem::take(writer.get_mut())
            }
            Self::Csv => Vec::new(),
            Self::Arrow(writer) => {
                writer.finish()?;
                std::mem::take(writer.get_mut())
            }
            Self::Parquet(writer) => {
                writer.finish().map_err(of_parquet)?;
                std::mem::take(writer.inner_mut())
            }
            Self::Text(table) => table.finish(is_cut),
        };
        Ok(bytes.into())
    }
}

fn csv(batch: &RecordBatch, header: bool) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = arrow::csv::WriterBuilder::new().with_header(header).build(&mut bytes);
    writer.write(&nested_as_json(batch)?)?;
    drop(writer);
    Ok(bytes)
}

/// CSV has no nested values, so lists, structs and maps become JSON text.
fn nested_as_json(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if !batch.schema_ref().fields().iter().any(|field| field.data_type().is_nested()) {
        return Ok(batch.clone());
    }
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        }
        let mut texts = StringBuilder::new();
        if !column.is_empty() {
            let mut encoder = make_encoder(field, column.as_ref(), &options)?;
            let mut text = Vec::new();
            for row in 0..column.len() {
                if encoder.is_null(row) {
                    texts.append_null();
                    continue;
                }
                text.clear();
                encoder.encode(row, &mut text);
                texts.append_value(String::from_utf8_lossy(&text));
            }
        }
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        columns.push(Arc::new(texts.finish()));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_rows_are_encoded_many_at_a_time_and_long_ones_few() {
        let mut rows = FIRST_CHUNK_ROWS;
        for _ in 0..20 {
            rows = next_rows(rows, rows * 10);
        }
        assert_eq!(rows, CHUNK_ROWS);
        for _ in 0..20 {
            rows = next_rows(rows, rows * CHUNK_BYTES * 2);
        }
        assert_eq!(rows, 1);
    }
}
