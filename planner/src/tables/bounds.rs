//! What the footer of a Parquet file says for sure of its rows, once [`footers`] has taken out what is not sure of a chunk.
//!
//! ```text
//!  group 1: 10 … 20     group 2: no statistics     the engine: 10 … 20          here: not known
//!  a column of floats:  1.0 … 20.0                 the engine: 1.0 … 20.0       here: not known
//!  group 1: 1 … 9, group 2: 3 … 7, both in order   the engine: the file, too    here: no order
//! ```
//! - **Ranges.** The engine's range of a file is that of the groups that have one. So a filter would leave out the file with
//!   the rows of the other groups. A range of floating-point numbers leaves out NaN, which is greater than all numbers, or,
//!   with its sign, less.
//! - **Order.** A footer tells the order of each group of rows by itself, and the engine asks the first one. Here the groups
//!   must have one order, and follow one another by it. A key that is no column of its own, or is a floating-point number,
//!   ends what is known.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::file_format::{FileFormat, FileMeta};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::Result;
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::parquet::arrow::{parquet_column, parquet_to_arrow_schema};
use datafusion::parquet::basic::Type as PhysicalType;
use datafusion::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData, SortingColumn};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use dunlin_plan::footers;
use object_store::{ObjectMeta, ObjectStore};

use super::facts::{Cast, Facts};

/// The columns of a file, and its facts by them.
///
/// # Errors
/// The format's.
pub(super) async fn inside(
    format: &dyn FileFormat,
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    file: &ObjectMeta,
) -> Result<(SchemaRef, Arc<Facts>)> {
    let schema = format.infer_schema(state, store, std::slice::from_ref(file)).await?;
    let facts = facts(format, state, store, &schema, file).await?;
    Ok((schema, Arc::new(facts)))
}

/// The facts of a file by its own columns. With other types for them, the engine would take ranges that it cannot read for
/// ranges of nothing.
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
    let Some(parquet) = format.downcast_ref::<ParquetFormat>() else {
        let found = format.infer_stats_and_ordering(state, store, Arc::clone(schema), file).await?;
        let FileMeta { statistics, ordering, .. } = found;
        let statistics = Arc::new(statistics);
        return Ok(Facts { statistics, ordering, cast: Cast::default() });
    };
    let known = state.runtime_env().cache_manager.get_file_metadata_cache();
    let footer = DFParquetMetadata::new(store, file)
        .with_metadata_size_hint(parquet.metadata_size_hint())
        .with_file_metadata_cache(Some(Arc::clone(&known)));
    let footer = footers::sound_and_known(footer.fetch_metadata().await?, file, &*known)?;
    let mut statistics = DFParquetMetadata::statistics_from_parquet_metadata(&footer, schema)?;
    let untold = untold(&footer, schema)?;
    for (column, untold) in statistics.column_statistics.iter_mut().zip(untold) {
        if untold {
            column.min_value = Precision::Absent;
            column.max_value = Precision::Absent;
        }
    }
    let ordering = order(&footer, schema)?;
    Ok(Facts { statistics: Arc::new(statistics), ordering, cast: Cast::default() })
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
    let is_sure = |data_type: &DataType| !data_type.is_floating();
    let fields = schema.fields().iter();
    Ok(fields.map(|field| !is_sure(field.data_type()) || is_untold(field.name())).collect())
}

/// The order of a file's rows.
fn order(footer: &ParquetMetaData, schema: &SchemaRef) -> Result<Option<LexOrdering>> {
    let groups = footer.row_groups().iter().filter(|group| group.num_rows() > 0);
    let groups: Vec<&RowGroupMetaData> = groups.collect();
    let Some(told) = groups.first().and_then(|group| group.sorting_columns()) else {
        return Ok(None);
    };
    if groups.iter().any(|group| group.sorting_columns() != Some(told)) {
        return Ok(None);
    }
    let columns = footer.file_metadata().schema_descr();
    let key = |key: &SortingColumn| {
        let SortingColumn { column_idx, descending, nulls_first } = key;
        let leaf = columns.columns().get(usize::try_from(*column_idx).ok()?)?;
        let [name] = leaf.path().parts() else { return None };
        let mut named =
            schema.fields().iter().enumerate().filter(|(_, field)| field.name() == name);
        let (Some((place, field)), None) = (named.next(), named.next()) else { return None };
        let is_plain = !field.data_type().is_nested() && !field.data_type().is_floating();
        let options = SortOptions { descending: *descending, nulls_first: *nulls_first };
        (is_plain && leaf.physical_type() != PhysicalType::INT96)
            .then(|| PhysicalSortExpr::new(Arc::new(Column::new(name, place)), options))
    };
    let mut keys: Vec<PhysicalSortExpr> = told.iter().map_while(key).collect();
    let Some(first) = keys.first() else { return Ok(None) };
    match following(&groups, first, footer, schema)? {
        Some(Ordering::Less) => {}
        // The second key decides between rows of two groups, and nothing is known of that.
        Some(Ordering::Equal) => keys.truncate(1),
        _ => return Ok(None),
    }
    Ok(LexOrdering::new(keys))
}

/// How the last value of each group of rows compares with the first one of the next, at most; none if that is not known.
fn following(
    groups: &[&RowGroupMetaData],
    key: &PhysicalSortExpr,
    footer: &ParquetMetaData,
    schema: &SchemaRef,
) -> Result<Option<Ordering>> {
    if groups.len() < 2 {
        return Ok(Some(Ordering::Less));
    }
    let Some(column) = key.expr.downcast_ref::<Column>() else { return Ok(None) };
    let columns = footer.file_metadata().schema_descr();
    let told = StatisticsConverter::try_new(column.name(), schema, columns)?;
    let of_groups = || groups.iter().copied();
    let nulls = told.row_group_null_counts(of_groups())?;
    if nulls.iter().any(|count| count != Some(0)) {
        return Ok(None);
    }
    let (least, most) = (told.row_group_mins(of_groups())?, told.row_group_maxes(of_groups())?);
    let descending = key.options.descending;
    let mut at_most = Ordering::Less;
    for next in 1..groups.len() {
        let (last, first) = if descending { (&least, &most) } else { (&most, &least) };
        let last = ScalarValue::try_from_array(last, next - 1)?;
        let first = ScalarValue::try_from_array(first, next)?;
        if last.is_null() || first.is_null() {
            return Ok(None);
        }
        let Some(compared) = last.partial_cmp(&first) else { return Ok(None) };
        at_most = at_most.max(if descending { compared.reverse() } else { compared });
    }
    Ok(Some(at_most))
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
    use datafusion::parquet::file::statistics::Statistics;
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

    /// One file with the groups of several, which tell of their column what is `told`, if something is.
    fn joined(files: &[bytes::Bytes], told: Option<&Statistics>) -> Vec<u8> {
        let schema = ParquetRecordBatchReaderBuilder::try_new(files[0].clone()).unwrap();
        let schema = schema.parquet_schema().root_schema_ptr();
        let mut bytes = Vec::new();
        let properties = Arc::new(WriterProperties::default());
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
        for file in files {
            let reader = SerializedFileReader::new(file.clone()).unwrap();
            let group = reader.metadata().row_group(0);
            let mut column = group.column(0).clone();
            if let Some(told) = told {
                column = column.into_builder().set_statistics(told.clone()).build().unwrap();
            }
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

    async fn facts_of(bytes: Vec<u8>) -> Facts {
        let state = datafusion::prelude::SessionContext::new().state();
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let format = ParquetFormat::default();
        let path = Path::from("a.parquet");
        store.put(&path, bytes.into()).await.unwrap();
        let file = store.head(&path).await.unwrap();
        let schema =
            format.infer_schema(&state, &store, std::slice::from_ref(&file)).await.unwrap();
        facts(&format, &state, &store, &schema, &file).await.unwrap()
    }

    #[tokio::test]
    async fn a_range_is_known_only_if_every_group_tells_it() {
        let told = one_group(vec![Some(10), Some(20)], EnabledStatistics::Chunk);
        let untold = one_group(vec![Some(5)], EnabledStatistics::None);
        let nulls = one_group(vec![None, None], EnabledStatistics::Chunk);
        for (groups, is_known) in
            [(vec![&told, &untold], false), (vec![&told, &nulls], true), (vec![&told], true)]
        {
            let groups: Vec<bytes::Bytes> = groups.into_iter().cloned().collect();
            let facts = facts_of(joined(&groups, None)).await;
            let column = &facts.statistics.column_statistics[0];
            assert_eq!(column.min_value.get_value().is_some(), is_known, "{groups:?}");
            assert_eq!(column.max_value.get_value().is_some(), is_known);
        }
    }

    #[tokio::test]
    async fn nothing_is_known_of_a_column_whose_nulls_are_not_told() {
        let file = one_group(vec![Some(0), None], EnabledStatistics::Chunk);
        for (nulls, is_known) in [(Some(1), true), (None, false)] {
            let told = Statistics::int64(Some(0), Some(0), None, nulls, false);
            let facts = facts_of(joined(std::slice::from_ref(&file), Some(&told))).await;
            assert_eq!(facts.statistics.num_rows, Precision::Exact(2));
            let column = &facts.statistics.column_statistics[0];
            assert_eq!(column.null_count == Precision::Exact(1), is_known);
            assert_eq!(column.null_count.is_exact() == Some(true), is_known);
            assert_eq!(column.min_value.get_value().is_some(), is_known);
        }
    }
}
