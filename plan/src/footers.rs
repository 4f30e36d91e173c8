//! Footers of Parquet files without the statistics that the engine would take for more than they say.
//!
//! ```text
//!  column chunk                      what the footer says        what the engine takes it for      what it is given
//!  i, 0 … 0, number of NULLs: ?      it may have NULLs           no value is NULL, all are 0       nothing
//!  s, in the old fields: é … z       é comes before z in the     no value comes after z            the number of NULLs
//!                                    order of signed bytes
//!  i, in the old fields: -4 … 7      the order is that of i      the same                          the same
//! ```
//! - **NULLs.** A footer need not tell how many values of a chunk are NULL. The engine takes that for zero, because old
//!   versions of its own writer left a zero out. Files of those versions are still read so.
//! - **Ends.** Writers before 2018 (parquet-mr below 1.10, with Spark 2.3 and Hive; Impala) knew one order for all types, that
//!   of signed bytes and signed numbers, and wrote the ends by it into fields of their own. The engine takes them for ends by
//!   the order of the column's type, which is another one for text, bytes, decimals of bytes and unsigned numbers. The same
//!   is true of ends in an order that this engine does not know. The ends of pages are ends in the same order.
//!
//! A footer without such a chunk is given as it is.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::CachedParquetMetaData;
use datafusion::datasource::physical_plan::{
    FileScanConfig, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::basic::{ColumnOrder, SortOrder, Type};
use datafusion::parquet::errors::Result as ParquetResult;
use datafusion::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use datafusion::parquet::file::page_index::column_index::ColumnIndexMetaData;
use datafusion::parquet::file::statistics::Statistics;
use datafusion::parquet::schema::types::ColumnDescriptor;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectMeta;

/// What of a chunk's statistics the engine would take for more than it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Doubt {
    /// The number of NULLs is not told.
    nulls: bool,
    /// The ends are those of another order.
    ends: bool,
}

/// The scan, if it is one of Parquet, as one that reads through the stores of `runtime` and believes of footers what is sure.
///
/// # Errors
/// A store that the runtime does not know.
pub fn sound_scan(scan: &FileScanConfig, runtime: &RuntimeEnv) -> Result<Option<FileScanConfig>> {
    let Some(parquet) = scan.file_source.downcast_ref::<ParquetSource>() else { return Ok(None) };
    let store = runtime.object_store(&scan.object_store_url)?;
    let known = runtime.cache_manager.get_file_metadata_cache();
    let readers = CachedParquetFileReaderFactory::new(store, Arc::clone(&known));
    let readers = Arc::new(SoundReaders { readers, known });
    let source = parquet.clone().with_parquet_file_reader_factory(readers);
    Ok(Some(FileScanConfigBuilder::from(scan.clone()).with_source(Arc::new(source)).build()))
}

/// The footer of a file without what is not sure in it. The footers that are `known` have it from then on.
///
/// # Errors
/// A chunk that cannot be described anew.
pub fn sound_and_known(
    footer: Arc<ParquetMetaData>,
    file: &ObjectMeta,
    known: &FileMetadataCache,
) -> ParquetResult<Arc<ParquetMetaData>> {
    let found = sound(Arc::clone(&footer))?;
    if !Arc::ptr_eq(&found, &footer) {
        let entry = Arc::new(CachedParquetMetaData::new(Arc::clone(&found)));
        known.put(&file.location, CachedFileMetadataEntry::new(file.clone(), entry));
    }
    Ok(found)
}

/// The footer without what is not sure in it.
fn sound(footer: Arc<ParquetMetaData>) -> ParquetResult<Arc<ParquetMetaData>> {
    let described = footer.file_metadata();
    let leaves_out_zero = leaves_out_zero(described.created_by().unwrap_or_default());
    let orders = described.column_orders();
    let mut doubts = Vec::new();
    for (group, chunks) in footer.row_groups().iter().enumerate() {
        for (column, chunk) in chunks.columns().iter().enumerate() {
            let order = orders.and_then(|orders| orders.get(column)).copied();
            let doubt = doubt(chunk, order, leaves_out_zero);
            if doubt != Doubt::default() {
                doubts.push((group, column, doubt));
            }
        }
    }
    if doubts.is_empty() {
        return Ok(footer);
    }
    let mut builder = ParquetMetaData::clone(&footer).into_builder();
    let mut groups = builder.take_row_groups();
    let mut pages = builder.take_column_index();
    for (group, column, doubt) in doubts {
        let chunk = groups.get_mut(group).and_then(|it| it.columns_mut().get_mut(column));
        let Some(chunk) = chunk else { continue };
        *chunk = without(chunk, doubt)?;
        let page = pages.as_mut().and_then(|pages| pages.get_mut(group)?.get_mut(column));
        if let Some(page) = page.filter(|_| doubt.ends) {
            *page = ColumnIndexMetaData::NONE;
        }
    }
    Ok(Arc::new(builder.set_row_groups(groups).set_column_index(pages).build()))
}

/// What is not sure of a chunk, whose ends are in this order.
fn doubt(chunk: &ColumnChunkMetaData, order: Option<ColumnOrder>, leaves_out_zero: bool) -> Doubt {
    let column = chunk.column_descr();
    let is_unknown = order == Some(ColumnOrder::UNKNOWN);
    let Some(told) = chunk.statistics() else {
        return Doubt { nulls: false, ends: is_unknown && chunk.column_index_offset().is_some() };
    };
    let has_ends = told.min_bytes_opt().is_some() || told.max_bytes_opt().is_some();
    let is_old = has_ends && told.is_min_max_deprecated() && !is_signed(column);
    let has_unknown = is_unknown && (has_ends || chunk.column_index_offset().is_some());
    // A column that must have values has no NULLs, whatever is told.
    let may_have_nulls = column.max_def_level() > 0 && !leaves_out_zero;
    Doubt { nulls: may_have_nulls && told.null_count_opt().is_none(), ends: is_old || has_unknown }
}

/// Whether the order of a column's values is the one that old writers knew.
fn is_signed(column: &ColumnDescriptor) -> bool {
    match column.physical_type() {
        Type::BOOLEAN | Type::FLOAT | Type::DOUBLE => true,
        Type::INT32 | Type::INT64 => column.sort_order() == SortOrder::SIGNED,
        // Bytes of a decimal are one signed number, and not signed bytes.
        Type::INT96 | Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => false,
    }
}

/// Whether a writer leaves out the number of NULLs where it is zero, and only there: parquet-rs before 53.1, also under the
/// name of DataFusion.
fn leaves_out_zero(created_by: &str) -> bool {
    let version = |name: &str| {
        let rest = created_by.strip_prefix(name)?.strip_prefix(" version ")?;
        let mut numbers = rest.split(|char: char| !char.is_ascii_digit());
        let mut next = || numbers.next()?.parse::<u32>().ok();
        Some((next()?, next()?))
    };
    version("parquet-rs").is_some_and(|version| version < (53, 1))
        || version("datafusion").is_some_and(|version| version < (43, 0))
}

/// A chunk without what is not sure of it.
fn without(chunk: &ColumnChunkMetaData, doubt: Doubt) -> ParquetResult<ColumnChunkMetaData> {
    let mut builder = chunk.clone().into_builder().clear_statistics();
    // Without the number of NULLs, the engine would take whatever is left for one without NULLs.
    if let (Some(told), false) = (chunk.statistics(), doubt.nulls) {
        builder = builder.set_statistics(without_ends(told));
    }
    if doubt.ends {
        // Nobody reads the ends of its pages then.
        builder = builder.set_column_index_offset(None).set_column_index_length(None);
    }
    builder.build()
}

/// Statistics that tell no ends.
fn without_ends(told: &Statistics) -> Statistics {
    let (distinct, nulls) = (told.distinct_count_opt(), told.null_count_opt());
    match told {
        Statistics::Boolean(_) => Statistics::boolean(None, None, distinct, nulls, false),
        Statistics::Int32(_) => Statistics::int32(None, None, distinct, nulls, false),
        Statistics::Int64(_) => Statistics::int64(None, None, distinct, nulls, false),
        Statistics::Int96(_) => Statistics::int96(None, None, distinct, nulls, false),
        Statistics::Float(_) => Statistics::float(None, None, distinct, nulls, false),
        Statistics::Double(_) => Statistics::double(None, None, distinct, nulls, false),
        Statistics::ByteArray(_) => Statistics::byte_array(None, None, distinct, nulls, false),
        Statistics::FixedLenByteArray(_) => {
            Statistics::fixed_len_byte_array(None, None, distinct, nulls, false)
        }
    }
}

/// Makes readers of files, whose footers are sound.
#[derive(Debug)]
struct SoundReaders {
    readers: CachedParquetFileReaderFactory,
    known: Arc<FileMetadataCache>,
}

impl ParquetFileReaderFactory for SoundReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        partitioned_file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let file = partitioned_file.object_meta.clone();
        let reader = self.readers.create_reader(
            partition_index,
            partitioned_file,
            metadata_size_hint,
            metrics,
        )?;
        Ok(Box::new(SoundReader { reader, file, known: Arc::clone(&self.known) }))
    }
}

/// Reads a file.
struct SoundReader {
    reader: Box<dyn AsyncFileReader + Send>,
    file: ObjectMeta,
    known: Arc<FileMetadataCache>,
}

impl AsyncFileReader for SoundReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.reader.get_bytes(range)
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.reader.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let Self { reader, file, known } = self;
        let footer = reader.get_metadata(options);
        async move { sound_and_known(footer.await?, file, known.as_ref()) }.boxed()
    }
}

#[cfg(test)]
mod tests;
