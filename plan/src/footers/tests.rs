#![allow(clippy::unwrap_used)]

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::data_type::ByteArray;
use datafusion::parquet::file::metadata::{
    FileMetaData, PageIndexPolicy, ParquetMetaDataReader, ParquetMetaDataWriter,
};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_expr::expressions::{Column, IsNullExpr};
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::*;

const MR: &str = "parquet-mr version 1.12.3 (build f8dced182c4c1fbdec6ccb3185537b5a01e6ed6b)";

fn rows() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("i", Arc::new(Int64Array::from(vec![Some(0), None, Some(0)])), true),
        ("u", Arc::new(UInt32Array::from(vec![Some(1), Some(u32::MAX), None])), true),
        ("s", Arc::new(StringArray::from(vec![Some("z"), Some("é"), None])), true),
        ("must", Arc::new(Int64Array::from(vec![0, 0, 0])), false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// A file of one group of rows.
fn file(created_by: &str) -> Bytes {
    let rows = rows();
    let properties = WriterProperties::builder().set_created_by(created_by.to_owned()).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn footer_of(file: &Bytes) -> Arc<ParquetMetaData> {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    Arc::new(reader.parse_and_finish(file).unwrap())
}

/// The footer with other statistics of a column.
fn telling(footer: &Arc<ParquetMetaData>, column: usize, told: Statistics) -> Arc<ParquetMetaData> {
    let mut builder = ParquetMetaData::clone(footer).into_builder();
    let mut groups = builder.take_row_groups();
    let chunk = &mut groups[0].columns_mut()[column];
    *chunk = chunk.clone().into_builder().set_statistics(told).build().unwrap();
    Arc::new(builder.set_row_groups(groups).build())
}

fn has_pages(footer: &ParquetMetaData, column: usize) -> bool {
    let pages = &footer.column_index().unwrap()[0][column];
    let is_named = footer.row_group(0).column(column).column_index_offset().is_some();
    let is_there = *pages != ColumnIndexMetaData::NONE;
    assert_eq!(is_named, is_there);
    is_there
}

#[test]
fn a_footer_that_tells_all_is_given_as_it_is() {
    for writer in [MR, "parquet-rs version 59.3.2", ""] {
        let footer = footer_of(&file(writer));
        assert!(Arc::ptr_eq(&sound(Arc::clone(&footer)).unwrap(), &footer), "{writer}");
    }
}

#[test]
fn a_chunk_without_the_number_of_its_nulls_tells_nothing() {
    for (writer, column, is_believed) in [
        (MR, 0, false),
        ("", 0, false),
        ("parquet-rs version 59.3.2", 0, false),
        ("parquet-rs version 53.1.0", 0, false),
        ("datafusion version 43.0.0", 0, false),
        // These leave out a zero.
        ("parquet-rs version 53.0.0", 0, true),
        ("parquet-rs version 4.3.0", 0, true),
        ("datafusion version 42.2.0", 0, true),
        // A column that must have values.
        (MR, 3, true),
    ] {
        let told = Statistics::int64(Some(0), Some(0), None, None, false);
        let footer = telling(&footer_of(&file(writer)), column, told);
        let found = sound(Arc::clone(&footer)).unwrap();
        assert_eq!(Arc::ptr_eq(&found, &footer), is_believed, "{writer}");
        let chunk = found.row_group(0).column(column);
        assert_eq!(chunk.statistics().is_some(), is_believed, "{writer}");
        assert!(found.row_group(0).column(1).statistics().is_some());
        // What is not told of pages, the engine does not take for zero.
        assert!(has_pages(&found, column));
        assert!(Arc::ptr_eq(&sound(Arc::clone(&found)).unwrap(), &found));
    }
}

#[test]
fn old_ends_are_believed_of_signed_numbers_only() {
    let bytes = |text: &str| Some(ByteArray::from(text));
    for (column, told, is_believed) in [
        (0, Statistics::int64(Some(0), Some(0), None, Some(1), true), true),
        (1, Statistics::int32(Some(-1), Some(1), None, Some(1), true), false),
        (2, Statistics::byte_array(bytes("é"), bytes("z"), None, Some(1), true), false),
        (2, Statistics::byte_array(bytes("z"), bytes("é"), None, Some(1), false), true),
        // No ends are neither old nor new.
        (2, Statistics::byte_array(None, None, None, Some(1), true), true),
    ] {
        let footer = telling(&footer_of(&file(MR)), column, told.clone());
        let found = sound(Arc::clone(&footer)).unwrap();
        assert_eq!(Arc::ptr_eq(&found, &footer), is_believed, "{told}");
        assert_eq!(has_pages(&found, column), is_believed, "{told}");
        let chunk = found.row_group(0).column(column).statistics().unwrap();
        assert_eq!(chunk.null_count_opt(), Some(1));
        assert_eq!(chunk.min_bytes_opt(), told.min_bytes_opt().filter(|_| is_believed));
        assert_eq!(chunk.max_bytes_opt(), told.max_bytes_opt().filter(|_| is_believed));
        assert!(Arc::ptr_eq(&sound(Arc::clone(&found)).unwrap(), &found));
    }
    // Neither the number of NULLs nor an end is sure.
    let told = Statistics::byte_array(bytes("é"), bytes("z"), None, None, true);
    let found = sound(telling(&footer_of(&file(MR)), 2, told)).unwrap();
    assert!(found.row_group(0).column(2).statistics().is_none());
    assert!(!has_pages(&found, 2));
}

#[test]
fn ends_in_an_unknown_order_are_not_believed() {
    let footer = footer_of(&file(MR));
    let described = footer.file_metadata();
    let described = FileMetaData::new(
        described.version(),
        described.num_rows(),
        None,
        None,
        described.schema_descr_ptr(),
        Some(vec![ColumnOrder::UNKNOWN; 4]),
    );
    let found =
        sound(Arc::new(ParquetMetaData::new(described, footer.row_groups().to_vec()))).unwrap();
    for chunk in found.row_group(0).columns() {
        let told = chunk.statistics().unwrap();
        assert!(told.min_bytes_opt().is_none() && told.max_bytes_opt().is_none());
        assert!(told.null_count_opt().is_some() && chunk.column_index_offset().is_none());
    }
    assert!(Arc::ptr_eq(&sound(Arc::clone(&found)).unwrap(), &found));
}

#[tokio::test]
async fn a_scan_gives_the_rows_that_the_engine_leaves_out() {
    let whole = file(MR);
    let told = Statistics::int64(Some(0), Some(0), None, None, false);
    let footer = telling(&footer_of(&whole), 0, told);
    // The pages are told where they were.
    let footer = ParquetMetaData::clone(&footer).into_builder();
    let footer = footer.set_column_index(None).set_offset_index(None).build();
    let end = whole.len() - 8;
    let length = u32::from_le_bytes(whole[end..end + 4].try_into().unwrap());
    let mut bytes = whole[..end - length as usize].to_vec();
    ParquetMetaDataWriter::new(&mut bytes, &footer).finish().unwrap();

    let store = Arc::new(InMemory::new());
    let path = Path::from("t/a.parquet");
    store.put(&path, bytes.into()).await.unwrap();
    let meta = store.head(&path).await.unwrap();
    let runtime = Arc::new(RuntimeEnv::default());
    let url = ObjectStoreUrl::parse("memory:///").unwrap();
    runtime.register_object_store(url.as_ref(), store);
    let context = SessionContext::new_with_config_rt(SessionConfig::new(), Arc::clone(&runtime));

    let source = ParquetSource::new(rows().schema())
        .with_predicate(Arc::new(IsNullExpr::new(Arc::new(Column::new("i", 0)))));
    let scan = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file(PartitionedFile::new_from_meta(meta))
        .build();
    let sound = sound_scan(&scan, &runtime).unwrap().unwrap();
    // If the first number is no longer 0, the engine has learned it.
    for (scan, expected) in [(scan, 0), (sound, 3)] {
        let plan = DataSourceExec::from_data_source(scan);
        let batches = collect(plan, context.task_ctx()).await.unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), expected);
    }
    let known = runtime.cache_manager.get_file_metadata_cache().get(&path).unwrap();
    let known = known.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>();
    let chunk = known.unwrap().parquet_metadata().row_group(0).column(0);
    assert!(chunk.statistics().is_none());
}
