//! The bytes of a slice: one complete Arrow IPC stream (schema, dictionaries, batches, end mark).
//!
//! A reader needs only the byte range of a slice, because each slice is complete. Each batch is decoded in bytes of its
//! own: DataFusion takes a batch for as large as the buffers that it lies in, and one that lies in its whole slice would
//! count as the slice. `arrow-ipc` panics on some malformed inputs. Such a panic becomes an error here, because it must not stop a worker.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_ipc::{CompressionType, Message, root_as_message};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use bytes::Bytes;

/// Slices start at multiples of this many bytes in their object.
pub const SLICE_ALIGN: usize = 64;

/// How buffers are stored. LZ4 helps with a network store, but not always with a local disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are in memory.
    #[default]
    None,
    /// LZ4 frames, one for each buffer.
    Lz4,
}

/// Writes the batches of one slice.
pub struct StreamEncoder {
    writer: StreamWriter<Vec<u8>>,
    rows: u64,
}

impl fmt::Debug for StreamEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEncoder").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl StreamEncoder {
    /// Starts a slice.
    pub fn try_new(schema: &Schema, compression: Compression) -> Result<Self, ArrowError> {
        let codec = match compression {
            Compression::None => None,
            Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
        };
        let options = IpcWriteOptions::default().try_with_compression(codec)?;
        let writer = StreamWriter::try_new_with_options(Vec::new(), schema, options)?;
        Ok(Self { writer, rows: 0 })
    }

    /// Appends a batch, which must have the slice's schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.writer.write(batch)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Rows written so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes encoded so far.
    #[must_use]
    pub fn encoded(&self) -> usize {
        self.writer.get_ref().len()
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.writer.get_ref().capacity()
    }

    /// Ends the slice.
    pub fn finish(self) -> Result<Bytes, ArrowError> {
        // `into_inner` writes the end mark.
        Ok(Bytes::from(self.writer.into_inner()?))
    }
}

/// Reads the batches of one slice, one at a time.
#[derive(Debug)]
pub struct SliceDecoder {
    decoder: StreamDecoder,
    buffer: Buffer,
    rows_left: u64,
    done: bool,
    /// The schema was looked at.
    is_sound: bool,
}

impl SliceDecoder {
    /// Reads `bytes`, which must hold a complete stream of exactly `rows` rows.
    #[must_use]
    pub fn new(bytes: Bytes, rows: u64) -> Self {
        Self {
            decoder: StreamDecoder::new(),
            buffer: Buffer::from(bytes),
            rows_left: rows,
            done: false,
            is_sound: false,
        }
    }

    /// The schema, once the first batch was read (`None` before).
    #[must_use]
    pub fn schema(&self) -> Option<SchemaRef> {
        self.decoder.schema()
    }

    /// The next batch, or `None` after the last. After an error there is none.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.done {
            return Ok(None);
        }
        // The decoder is never used again after a panic, so its incomplete state cannot be seen.
        let step = catch_unwind(AssertUnwindSafe(|| decode(&mut self.decoder, &mut self.buffer)))
            .unwrap_or_else(|panic| Err(ArrowError::IpcError(panic_text(panic.as_ref()))));
        // The decoder knows the schema only when it sees what follows it.
        let step = step.and_then(|batch| match batch {
            Some(batch) if !self.is_sound => {
                check_decimals(batch.schema_ref())?;
                self.is_sound = true;
                Ok(Some(batch))
            }
            batch => Ok(batch),
        });
        match step {
            Ok(Some(batch)) => {
                let rows = batch.num_rows() as u64;
                if rows > self.rows_left {
                    self.done = true;
                    return Err(ArrowError::IpcError("more rows than recorded".to_string()));
                }
                self.rows_left -= rows;
                Ok(Some(batch))
            }
            Ok(None) => {
                self.done = true;
                self.decoder.finish()?;
                if self.rows_left > 0 {
                    return Err(ArrowError::IpcError(format!("{} rows missing", self.rows_left)));
                }
                Ok(None)
            }
            Err(error) => {
                self.done = true;
                Err(error)
            }
        }
    }
}

/// Decodes up to the next batch.
fn decode(
    decoder: &mut StreamDecoder,
    buffer: &mut Buffer,
) -> Result<Option<RecordBatch>, ArrowError> {
    loop {
        // The form of old writers, which is not ours, could hide a message from the look at it.
        if buffer.get(..4).is_some_and(|mark| mark != CONTINUES) {
            return Err(ArrowError::IpcError("no message where one should be".to_owned()));
        }
        let Some(len) = message_len(buffer)? else { return decoder.decode(buffer) };
        let mut message = Buffer::from(&buffer[..len]);
        let decoded = decoder.decode(&mut message)?;
        // A batch without columns has no body. The decoder gives it when it sees what follows, and leaves that.
        buffer.advance(len - message.len());
        if decoded.is_some() {
            return Ok(decoded);
        }
    }
}

/// Refuses decimals with more digits behind the point than in all: whoever makes texts of them panics.
fn check_decimals(schema: &Schema) -> Result<(), ArrowError> {
    let is_one = |kind: &DataType| match kind {
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => i16::from(*scale) <= i16::from(*digits),
        _ => true,
    };
    let are_sound = schema.flattened_fields().into_iter().all(|field| match field.data_type() {
        DataType::Dictionary(_, values) => is_one(values),
        other => is_one(other),
    });
    match are_sound {
        true => Ok(()),
        false => Err(ArrowError::IpcError("a column has a type that cannot be".to_owned())),
    }
}

/// What a message begins with.
const CONTINUES: [u8; 4] = [0xff; 4];
/// Bytes before the header of a message.
const PREFIX: usize = 8;

/// Refuses a message that says to have more bytes than LZ4 can make of its own: the decoder would allocate them, and the
/// process ends where there is not so much memory.
fn check_claims(told: Message<'_>, body: &[u8]) -> Result<(), ArrowError> {
    /// LZ4 makes at most 255 bytes of one.
    const MOST: u64 = 256;
    let damaged = |what: &str| ArrowError::IpcError(format!("a message {what}"));
    let of_dictionary = || told.header_as_dictionary_batch()?.data();
    let Some(batch) = told.header_as_record_batch().or_else(of_dictionary) else { return Ok(()) };
    let Some(compression) = batch.compression() else { return Ok(()) };
    if compression.codec() != CompressionType::LZ4_FRAME {
        return Err(damaged("is compressed in another way than LZ4"));
    }
    for buffer in batch.buffers().into_iter().flatten() {
        let at = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let bytes = at.and_then(|(start, len)| body.get(start..start.checked_add(len)?));
        let Some(bytes) = bytes else { return Err(damaged("has bytes outside of it")) };
        let Some(claim) = bytes.first_chunk().copied().map(i64::from_le_bytes) else { continue };
        let most = (bytes.len() as u64).saturating_mul(MOST);
        if u64::try_from(claim).is_ok_and(|claim| claim > most) {
            return Err(damaged("says to have more bytes than it can have"));
        }
    }
    Ok(())
}

/// Bytes of the next message, if there is a whole one and the stream does not end with it.
fn message_len(buffer: &[u8]) -> Result<Option<usize>, ArrowError> {
    let Some((told, body)) = whole_message(buffer) else { return Ok(None) };
    check_claims(told, &buffer[body.clone()])?;
    Ok(Some(body.end))
}

/// The next message, and where its body is, if there is a whole one and the stream does not end with it.
fn whole_message(buffer: &[u8]) -> Option<(Message<'_>, Range<usize>)> {
    let number = |at: usize| buffer.get(at..at + 4)?.first_chunk().copied();
    let header = usize::try_from(u32::from_le_bytes(number(4)?)).ok()?;
    if number(0)? != CONTINUES || header == 0 {
        return None;
    }
    let start = PREFIX.checked_add(header)?;
    let message = root_as_message(buffer.get(PREFIX..start)?).ok()?;
    let end = start.checked_add(usize::try_from(message.bodyLength()).ok()?)?;
    (end <= buffer.len()).then_some((message, start..end))
}

/// Reads all batches of a slice of `rows` rows.
pub fn decode_slice(bytes: Bytes, rows: u64) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut decoder = SliceDecoder::new(bytes, rows);
    let mut batches = Vec::new();
    while let Some(batch) = decoder.next_batch()? {
        batches.push(batch);
    }
    Ok(batches)
}

/// XXH3-64 of `bytes` in the form of the records: 16 hex digits.
#[must_use]
pub fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(bytes))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    format!("malformed stream: {text}")
}
