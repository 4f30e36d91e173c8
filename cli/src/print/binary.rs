//! Arrow and Parquet. Both are written as rows arrive; of a Parquet file, a row group at most is in memory.

use std::io::{self, Write};
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_ipc::writer::StreamWriter;
use dunlin_plan::ParquetWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::out::Out;
use super::sink::Sink;

/// Bytes of a row group that is being encoded.
const ROW_GROUP: usize = 64 << 20;

/// An Arrow IPC stream.
pub(super) struct Arrow {
    writer: StreamWriter<Vec<u8>>,
}

impl Arrow {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        Ok(Self { writer: StreamWriter::try_new(Vec::new(), schema)? })
    }
}

impl Sink for Arrow {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Out) -> Result<()> {
        self.writer.write(batch)?;
        Ok(out.write_all(&take(self.writer.get_mut()))?)
    }

    fn finish(&mut self, out: &mut Out) -> Result<()> {
        self.writer.finish()?;
        Ok(out.write_all(&take(self.writer.get_mut()))?)
    }
}

/// Bytes that a writer owns and that are taken out of its hands.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A Parquet file.
pub(super) struct Parquet {
    writer: Option<ParquetWriter<Shared>>,
    bytes: Shared,
}

impl Parquet {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let bytes = Shared::default();
        let writer = ParquetWriter::try_new(bytes.clone(), schema, properties)
            .context("these columns cannot be written as Parquet")?;
        Ok(Self { writer: Some(writer), bytes })
    }
}

impl Sink for Parquet {
    fn batch(&mut self, batch: &RecordBatch, out: &mut Out) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            writer.write(batch)?;
            if writer.in_progress_size() > ROW_GROUP {
                writer.flush()?;
            }
        }
        Ok(out.write_all(&self.bytes.take())?)
    }

    fn finish(&mut self, out: &mut Out) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            writer.close()?;
        }
        Ok(out.write_all(&self.bytes.take())?)
    }
}
