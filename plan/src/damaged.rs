//! Which part of which Parquet file is damaged. The engine reports a page that it cannot decode without its place, so
//! the files that a failed plan had read are read again, one column chunk after the other.

#![expect(
    deprecated,
    reason = "its successor is an example to copy, and this one reads the few files that are damaged"
)]

use std::error::Error;
use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::object_store::path::Path;
use datafusion::object_store::{self, ObjectStore};
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use datafusion::parquet::arrow::async_reader::{
    ParquetObjectReader, ParquetRecordBatchStreamBuilder,
};
use datafusion::parquet::errors::ParquetError;
use dunlin_manifest::records::Pin;
use futures::StreamExt;

/// The most bytes that are read again. Beyond them, the files are named that may be meant.
const MOST_BYTES: u64 = 256 << 20;

/// Whether an error says that a Parquet file is not what it should be.
#[must_use]
pub fn is_damage(error: &DataFusionError) -> bool {
    let is_of_parquet = match error.find_root() {
        DataFusionError::ParquetError(_) => true,
        DataFusionError::ArrowError(cause, _) => {
            matches!(cause.as_ref(), ArrowError::ParquetError(_))
        }
        _ => false,
    };
    is_of_parquet && !is_of_store(error)
}

/// Whether a store did not do what it was asked to.
fn is_of_store(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<object_store::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The files that an error of a plan may be about: of a damaged Parquet file, that file and the column chunk, if it is
/// found; else those that were `read`. The stores of `runtime` read `pins`.
pub async fn to_blame(
    error: &DataFusionError,
    runtime: &RuntimeEnv,
    pins: &[Pin],
    read: Vec<String>,
) -> Vec<String> {
    if !is_damage(error) {
        return read;
    }
    let mut left = MOST_BYTES;
    for pin in pins.iter().filter(|pin| read.contains(&pin.path)) {
        let Some(rest) = left.checked_sub(pin.size) else { break };
        left = rest;
        let store = ObjectStoreUrl::parse(&pin.store).and_then(|url| runtime.object_store(&url));
        let Ok(store) = store else { continue };
        match part_of(store, pin).await {
            Part::Sound => {}
            Part::Damaged(part) => return vec![format!("{}{part}", pin.path)],
            // The store does not answer any more.
            Part::Unread => break,
        }
    }
    read
}

/// What a file is like.
enum Part {
    /// All of it can be read.
    Sound,
    /// A part of it cannot, as text that follows its name.
    Damaged(String),
    /// The store does not give it.
    Unread,
}

/// Reads a file, one column chunk after the other.
async fn part_of(store: Arc<dyn ObjectStore>, pin: &Pin) -> Part {
    let Ok(path) = Path::parse(&pin.path) else { return Part::Unread };
    let open =
        || ParquetObjectReader::new(Arc::clone(&store), path.clone()).with_file_size(pin.size);
    let footer = ArrowReaderMetadata::load_async(&mut open(), ArrowReaderOptions::new()).await;
    let footer = match footer {
        Ok(footer) => footer,
        Err(error) => return damage(&error, String::new()),
    };
    let schema = footer.parquet_schema();
    for group in 0..footer.metadata().num_row_groups() {
        for column in 0..schema.num_columns() {
            let chunk = ParquetRecordBatchStreamBuilder::new_with_metadata(open(), footer.clone())
                .with_projection(ProjectionMask::leaves(schema, [column]))
                .with_row_groups(vec![group])
                .build();
            let name = || {
                let name = schema.column(column).path().string();
                format!(" (column {name} of row group {group})")
            };
            let mut rows = match chunk {
                Ok(rows) => rows,
                Err(error) => return damage(&error, name()),
            };
            while let Some(batch) = rows.next().await {
                if let Err(error) = batch {
                    return damage(&error, name());
                }
            }
        }
    }
    Part::Sound
}

fn damage(error: &ParquetError, part: String) -> Part {
    if is_of_store(error) { Part::Unread } else { Part::Damaged(part) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::object_store::ObjectStoreExt;
    use datafusion::object_store::memory::InMemory;
    use datafusion::parquet::arrow::ArrowWriter;

    use super::*;

    /// Two columns in one row group, and where the second column's pages lie.
    fn file() -> (Vec<u8>, std::ops::Range<usize>) {
        let column = |seed: i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values((0..5_000).map(|row| row * row * seed)))
        };
        let rows = RecordBatch::try_from_iter([("a", column(7)), ("b", column(11))]).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        let (start, length) = writer.close().unwrap().row_group(0).column(1).byte_range();
        let start = usize::try_from(start).unwrap();
        (bytes, start..start + usize::try_from(length).unwrap())
    }

    #[tokio::test]
    async fn a_damaged_column_chunk_is_found() {
        let (sound, second) = file();
        let mut damaged = sound.clone();
        damaged[second].fill(0xA5);
        let store = Arc::new(InMemory::new());
        let mut pins = Vec::new();
        for (name, bytes) in [("t/a.parquet", sound), ("t/b.parquet", damaged)] {
            let size = bytes.len() as u64;
            store.put(&Path::from(name), bytes.into()).await.unwrap();
            let store = "memory:///".to_owned();
            pins.push(Pin { store, path: name.to_owned(), size, e_tag: None });
        }
        let runtime = RuntimeEnv::default();
        let url = ObjectStoreUrl::parse("memory:///").unwrap();
        runtime.register_object_store(url.as_ref(), store);
        let read = || vec!["t/a.parquet".to_owned(), "t/b.parquet".to_owned()];
        let error = DataFusionError::from(ParquetError::General("a page".to_owned()));
        assert_eq!(
            to_blame(&error, &runtime, &pins, read()).await,
            ["t/b.parquet (column b of row group 0)"]
        );
        // Other errors are not looked into, and files that were not read are not blamed.
        let other = DataFusionError::Execution("x".to_owned());
        assert_eq!(to_blame(&other, &runtime, &pins, read()).await, read());
        assert_eq!(
            to_blame(&error, &runtime, &pins, vec![read().remove(0)]).await,
            ["t/a.parquet"]
        );
    }
}
