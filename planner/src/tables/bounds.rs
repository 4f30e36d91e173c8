//! What the footer of a Parquet file says of its rows. A range counts only if each group of rows tells its own.
//!
//! ```text
//!  group 1: 10 … 20     group 2: no statistics     the engine: 10 … 20     here: not known
//! ```
//! The engine's range of a file is that of the groups that have one. So a filter would leave out the file with the rows of
//! the other groups.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::file_format::{FileFormat, FileMeta};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::Result;
use datafusion::parquet::arrow::{parquet_column, parquet_to_arrow_schema};
use datafusion::parquet::file::metadata::ParquetMetaData;
use object_store::{ObjectMeta, ObjectStore};

use super::facts::Facts;

/// The facts of a file by the columns of `schema`.
///
/// # Errors
/// The format's.
pub(super) async fn facts(
    format: &dyn FileFormat,
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    schema: &SchemaRef,
    file: &ObjectMeta,
) -> Result<Facts> {
    let found = format.infer_stats_and_ordering(state, store, Arc::clone(schema), file).await?;
    let FileMeta { mut statistics, ordering, .. } = found;
    if format.downcast_ref::<ParquetFormat>().is_some() {
        let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
        let footer = DFParquetMetadata::new(store, file).with_file_metadata_cache(Some(footers));
        let footer = footer.fetch_metadata().await?;
        let untold = untold(&footer, schema)?;
        for (column, untold) in statistics.column_statistics.iter_mut().zip(untold) {
            if untold {
                column.min_value = Precision::Absent;
                column.max_value = Precision::Absent;
            }
        }
    }
    Ok(Facts { statistics: Arc::new(statistics), ordering })
}

/// For each column, whether a group of rows with values does not tell their range.
fn untold(footer: &ParquetMetaData, schema: &SchemaRef) -> Result<Vec<bool>> {
    let described = footer.file_metadata();
    let columns = described.schema_descr();
    let own = parquet_to_arrow_schema(columns, described.key_value_metadata())?;
    let is_untold = |name: &str| {
        let Some((at, _)) = parquet_column(columns, &own, name) else { return false };
        footer.row_groups().iter().filter(|group| group.num_rows() > 0).any(|group| {
            let Some(told) = group.column(at).statistics() else { return true };
            let rows = u64::try_from(group.num_rows()).unwrap_or_default();
            let has_range = told.min_bytes_opt().is_some() && told.max_bytes_opt().is_some();
            !has_range && told.null_count_opt() != Some(rows)
        })
    };
    Ok(schema.fields().iter().map(|field| is_untold(field.name())).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use datafusion::parquet::column::writer::ColumnCloseResult;
    use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
    use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
    use datafusion::parquet::file::writer::SerializedFileWriter;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;
    use object_store::path::Path;

    use super::*;

    fn one_group(values: Vec<Option<i64>>, statistics: EnabledStatistics) -> bytes::Bytes {
        let column: ArrayRef = Arc::new(Int64Array::from(values));
        let batch = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap();
        let properties = WriterProperties::builder().set_statistics_enabled(statistics).build();
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes.into()
    }

    /// One file with the groups of several.
    fn joined(files: &[bytes::Bytes]) -> Vec<u8> {
        let schema = ParquetRecordBatchReaderBuilder::try_new(files[0].clone()).unwrap();
        let schema = schema.parquet_schema().root_schema_ptr();
        let mut bytes = Vec::new();
        let properties = Arc::new(WriterProperties::default());
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
        for file in files {
            let reader = SerializedFileReader::new(file.clone()).unwrap();
            let group = reader.metadata().row_group(0);
            let column = group.column(0).clone();
            let rows = u64::try_from(group.num_rows()).unwrap();
            let mut next = writer.next_row_group().unwrap();
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).unwrap(),
                rows_written: rows,
                metadata: column,
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            next.append_column(file, close).unwrap();
            next.close().unwrap();
        }
        writer.close().unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_range_is_known_only_if_every_group_tells_it() {
        let told = one_group(vec![Some(10), Some(20)], EnabledStatistics::Chunk);
        let untold = one_group(vec![Some(5)], EnabledStatistics::None);
        let nulls = one_group(vec![None, None], EnabledStatistics::Chunk);
        let state = datafusion::prelude::SessionContext::new().state();
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let format = ParquetFormat::default();
        for (number, (groups, is_known)) in
            [(vec![&told, &untold], false), (vec![&told, &nulls], true), (vec![&told], true)]
                .into_iter()
                .enumerate()
        {
            let groups: Vec<bytes::Bytes> = groups.into_iter().cloned().collect();
            let path = Path::from(format!("{number}.parquet"));
            store.put(&path, joined(&groups).into()).await.unwrap();
            let file = store.head(&path).await.unwrap();
            let schema =
                format.infer_schema(&state, &store, std::slice::from_ref(&file)).await.unwrap();
            let facts = facts(&format, &state, &store, &schema, &file).await.unwrap();
            let column = &facts.statistics.column_statistics[0];
            assert_eq!(column.min_value.get_value().is_some(), is_known, "{groups:?}");
            assert_eq!(column.max_value.get_value().is_some(), is_known);
        }
    }
}
