//! The rows of an answer as they arrive: an Arrow IPC stream, one batch at a time.

use anyhow::{Context, anyhow};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow_ipc::reader::StreamDecoder;
use bytes::Bytes;
use reqwest::Response;

use crate::failure::Failure;

/// The last bytes of every complete stream.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// The rows of an answer.
#[derive(Debug)]
pub(crate) struct Rows {
    response: Response,
    decoder: Decoder,
    schema: SchemaRef,
    /// A batch that came with the schema.
    first: Option<RecordBatch>,
}

impl Rows {
    /// Reads until the schema is known.
    ///
    /// # Errors
    /// The answer is no Arrow stream, or ends before its schema.
    pub(crate) async fn open(mut response: Response) -> Result<Self, Failure> {
        let mut decoder = Decoder::default();
        let mut first = None;
        loop {
            if let Some(schema) = decoder.stream.schema() {
                return Ok(Self { response, decoder, schema, first });
            }
            let Some(bytes) = chunk(&mut response, &decoder).await? else {
                return Err(anyhow!("the answer ended before its first row: ask again").into());
            };
            decoder.feed(bytes);
            first = decoder.next()?;
        }
    }

    /// The columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Bytes received so far.
    pub(crate) fn received(&self) -> u64 {
        self.decoder.received
    }

    /// The next rows; none at the end of a complete answer. May be given up and called again.
    ///
    /// # Errors
    /// The answer broke off.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
        if let Some(batch) = self.first.take() {
            return Ok(Some(batch));
        }
        loop {
            if let Some(batch) = self.decoder.next()? {
                return Ok(Some(batch));
            }
            match chunk(&mut self.response, &self.decoder).await? {
                Some(bytes) => self.decoder.feed(bytes),
                None => return Ok(self.decoder.end().map(|()| None)?),
            }
        }
    }
}

async fn chunk(response: &mut Response, decoder: &Decoder) -> Result<Option<Bytes>, Failure> {
    let found = response.chunk().await;
    Ok(found.with_context(|| broken(decoder.received))?)
}

fn broken(bytes: u64) -> String {
    format!(
        "the answer broke off after {bytes} bytes, and what was printed is not all of it: ask again; the gateway's log says why"
    )
}

/// Bytes to batches.
#[derive(Debug, Default)]
struct Decoder {
    stream: StreamDecoder,
    buffer: Buffer,
    received: u64,
    last: [u8; END.len()],
}

impl Decoder {
    fn feed(&mut self, bytes: Bytes) {
        self.received += bytes.len() as u64;
        let tail = &bytes[bytes.len().saturating_sub(END.len())..];
        self.last.rotate_left(tail.len());
        self.last[END.len() - tail.len()..].copy_from_slice(tail);
        self.buffer = Buffer::from(bytes);
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
        let batch = self.stream.decode(&mut self.buffer);
        Ok(batch.context("the answer is no Arrow stream")?)
    }

    /// Whether the stream is complete. A proxy may make a whole body of a part that happens to end with a batch.
    fn end(&mut self) -> anyhow::Result<()> {
        let ends = self.last == END && self.stream.finish().is_ok();
        ends.then_some(()).ok_or_else(|| anyhow!("{}", broken(self.received)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow_ipc::writer::StreamWriter;

    use super::*;

    fn stream(batches: i64) -> Vec<u8> {
        let batch = |n| {
            let column = Arc::new(Int64Array::from(vec![n, n])) as ArrayRef;
            RecordBatch::try_from_iter([("n", column)]).unwrap()
        };
        let mut writer = StreamWriter::try_new(Vec::new(), &batch(0).schema()).unwrap();
        for n in 0..batches {
            writer.write(&batch(n)).unwrap();
        }
        writer.into_inner().unwrap()
    }

    /// Rows of a body that arrives in pieces of `size` bytes, and whether it is complete.
    fn read(body: &[u8], size: usize) -> (usize, bool) {
        let mut decoder = Decoder::default();
        let mut rows = 0;
        for piece in body.chunks(size) {
            decoder.feed(Bytes::copy_from_slice(piece));
            while let Some(batch) = decoder.next().unwrap() {
                rows += batch.num_rows();
            }
        }
        (rows, decoder.end().is_ok())
    }

    #[test]
    fn rows_do_not_depend_on_how_the_bytes_arrive() {
        let whole = stream(3);
        for size in [1, 3, 7, 8, 100, whole.len()] {
            assert_eq!(read(&whole, size), (6, true), "{size}");
        }
        assert_eq!(read(&stream(0), 5), (0, true));
    }

    #[test]
    fn a_stream_that_ends_between_two_batches_is_not_complete() {
        let whole = stream(3);
        let cut = &whole[..whole.len() - END.len()];
        assert_eq!(read(cut, 16), (6, false));
        assert!(!read(&whole[..whole.len() - 1], 64).1);
        assert!(!read(&[], 1).1);
    }
}
