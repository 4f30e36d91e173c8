//! The files of one task: one is open at a time, and a new one is begun when it is large enough or the folder changes.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use dunlin_manifest::store::below;
use object_store::ObjectStore;
use object_store::path::Path;

use super::commit::{self, WrittenFile};
use super::encode::{self, Encoder};
use super::error::WriteError;
use super::folders;
use super::spec::WriteSpec;
use super::upload::{Author, Onto, Upload};

/// The writer of a task whose partitions write into the same files.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) files: Files,
    /// Partitions that have not ended.
    pub(super) open: usize,
}

/// Writes files.
pub(super) struct Files {
    spec: Arc<WriteSpec>,
    /// Columns that are in the files.
    inside: Vec<usize>,
    schema: SchemaRef,
    store: Arc<dyn ObjectStore>,
    at: Path,
    query: String,
    /// Unique to the attempt and, if they do not share files, to the partition.
    attempt: String,
    reservation: MemoryReservation,
    current: Option<Open>,
    written: Vec<WrittenFile>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

/// The file that is open.
struct Open {
    folder: Path,
    /// Its path below the target.
    path: Path,
    encoder: Encoder,
    upload: Upload,
    rows: u64,
    bytes: u64,
}

impl Files {
    /// No file is open yet. The names of the files have `attempt`, which nothing else has that writes there.
    pub(super) fn new(
        spec: &Arc<WriteSpec>,
        rows: &SchemaRef,
        (store, attempt): (Arc<dyn ObjectStore>, String),
        context: &TaskContext,
    ) -> Result<Self> {
        let inside: Vec<usize> =
            (0..rows.fields().len()).filter(|at| !spec.folders.contains(at)).collect();
        Ok(Self {
            schema: encode::plain_schema(spec, &Arc::new(rows.project(&inside)?)),
            inside,
            store,
            at: spec.at()?,
            spec: Arc::clone(spec),
            query: context.session_id().clone(),
            attempt,
            reservation: MemoryConsumer::new("file writer").register(context.memory_pool()),
            current: None,
            written: Vec::new(),
        })
    }

    /// Adds rows.
    pub(super) async fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.spec.folders.is_empty() {
            return self.add_in(&Path::default(), batch).await;
        }
        for run in folders::runs(batch, &self.spec.folders)? {
            self.add_in(&run.folder, &batch.slice(run.from, run.rows)).await?;
        }
        Ok(())
    }

    async fn add_in(&mut self, folder: &Path, batch: &RecordBatch) -> Result<()> {
        if self.current.as_ref().is_some_and(|open| open.folder != *folder) {
            self.close().await?;
        }
        let batch = encode::plain(&self.spec, &batch.project(&self.inside)?)?;
        let mut open = match self.current.take() {
            Some(open) => open,
            None => self.begin(folder)?,
        };
        open.encoder.add(&batch)?;
        open.rows += batch.num_rows() as u64;
        open.send().await?;
        // Memory that is not there is made by ending the row group.
        if self.reservation.try_resize(open.memory()).is_err() {
            open.encoder.relieve()?;
            open.send().await?;
            self.reservation.try_resize(open.memory())?;
        }
        let is_full = open.bytes + open.encoder.coming() as u64 >= self.spec.file_bytes;
        self.current = Some(open);
        if is_full && self.spec.commit.is_some() {
            self.close().await?;
        }
        Ok(())
    }

    fn begin(&self, folder: &Path) -> Result<Open> {
        let encoder = Encoder::new(&self.spec, &self.schema)?;
        let (path, whole) = if self.spec.commit.is_some() {
            let number = u32::try_from(self.written.len()).unwrap_or(u32::MAX);
            let depth = folder.parts().count();
            let name =
                commit::file_name(&self.query, depth, &self.attempt, number, &self.spec.ending());
            let path = below(folder, name);
            let whole = below(&self.at, path.clone());
            (path, whole)
        } else {
            (self.at.clone(), self.at.clone())
        };
        let onto = match self.spec.commit.is_none() && !self.spec.replaces {
            true => Onto::Nothing(Author {
                query: self.query.clone(),
                attempt: self.attempt.clone(),
                on_s3: self.spec.store.starts_with("s3:"),
            }),
            false => Onto::Anything,
        };
        let upload = Upload::new(Arc::clone(&self.store), whole, onto);
        Ok(Open { folder: folder.clone(), path, encoder, upload, rows: 0, bytes: 0 })
    }

    /// Ends the open file.
    async fn close(&mut self) -> Result<()> {
        let Some(open) = self.current.take() else { return Ok(()) };
        let Open { path, encoder, mut upload, rows, .. } = open;
        upload.add(&mut encoder.finish()?).await?;
        let bytes = upload.finish().await.map_err(|error| match error {
            object_store::Error::AlreadyExists { .. } => {
                WriteError::Taken { target: self.spec.target() }.into()
            }
            error => DataFusionError::from(error),
        })?;
        self.reservation.free();
        self.written.push(WrittenFile { path: path.to_string(), rows, bytes });
        Ok(())
    }

    /// Ends all files, and returns them.
    pub(super) async fn finish(mut self) -> Result<Vec<WrittenFile>> {
        self.close().await?;
        Ok(self.written)
    }

    /// As [`Self::finish`]; if there was no row, a file without rows is written that has the columns.
    pub(super) async fn finish_with_one(mut self) -> Result<Vec<WrittenFile>> {
        if self.current.is_none() && self.written.is_empty() {
            self.current = Some(self.begin(&Path::default())?);
        }
        self.finish().await
    }

    /// Gives up the open file.
    pub(super) async fn abort(mut self) {
        if let Some(open) = self.current.take() {
            open.upload.abort().await;
        }
    }
}

impl Open {
    /// Sends the bytes that are ready.
    async fn send(&mut self) -> Result<()> {
        let ready = self.encoder.ready();
        self.bytes += ready.len() as u64;
        Ok(self.upload.add(ready).await?)
    }

    fn memory(&self) -> usize {
        self.encoder.memory() + self.upload.held()
    }
}
