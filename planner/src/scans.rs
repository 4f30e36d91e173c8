//! The files that a plan scans: which files, their sizes, how much of them is read, and through which store.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::parquet::metadata::CachedParquetMetaData;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use dunlin_manifest::pinned::InputChanged;
use dunlin_manifest::records::Pin;
use dunlin_plan::footers;
use dunlin_plan::location::address;
use dunlin_plan::operators::file_scan;

/// Every file that the plan scans, in its version at planning time.
pub(crate) fn pins(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<Pin>> {
    let mut pins: BTreeMap<(String, String), Pin> = BTreeMap::new();
    let mut changed = None;
    each_scan(plan, &mut |config| {
        let url: &url::Url = config.object_store_url.as_ref();
        let store = address(url);
        for file in config.file_groups.iter().flat_map(|group| group.iter()) {
            let path = file.object_meta.location.to_string();
            let pin = Pin {
                store: store.clone(),
                path: path.clone(),
                size: file.object_meta.size,
                e_tag: file.object_meta.e_tag.clone(),
            };
            // Two tables may use the same location, and are listed one after the other.
            match pins.entry((store.clone(), path)) {
                Entry::Occupied(known) if *known.get() != pin => changed = Some(pin.path),
                Entry::Occupied(_) => {}
                Entry::Vacant(entry) => {
                    entry.insert(pin);
                }
            }
        }
    })?;
    match changed {
        Some(path) => Err(DataFusionError::External(Box::new(InputChanged { path }))),
        None => Ok(pins.into_values().collect()),
    }
}

/// The plan with Parquet scans that read through the stores of `runtime`, and believe of footers what is sure. Otherwise a
/// scan keeps the store of the session that planned it, which has no pins and meters.
pub(crate) fn read_through(
    plan: Arc<dyn ExecutionPlan>,
    runtime: &RuntimeEnv,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(config) = file_scan(&node) else { return Ok(Transformed::no(node)) };
        Ok(match footers::sound_scan(config, runtime)? {
            Some(config) => {
                let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
                Transformed::yes(scan)
            }
            None => Transformed::no(node),
        })
    })
    .data()
}

fn each_scan(plan: &Arc<dyn ExecutionPlan>, visit: &mut dyn FnMut(&FileScanConfig)) -> Result<()> {
    plan.apply(|node| {
        if let Some(config) = file_scan(node) {
            visit(config);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(|_| ())
}

/// Bytes of the files that a plan scans.
pub(crate) fn scanned(plan: &Arc<dyn ExecutionPlan>) -> Result<u64> {
    let mut bytes = 0;
    each_scan(plan, &mut |config| {
        bytes += config.file_groups.iter().map(group_bytes).sum::<u64>();
    })?;
    Ok(bytes)
}

/// Rows of the files that a plan scans, as far as their footers tell.
pub(crate) fn rows(plan: &Arc<dyn ExecutionPlan>) -> Result<u64> {
    let mut rows = 0_u64;
    each_scan(plan, &mut |config| {
        let known = config.statistics().num_rows.get_value().copied().unwrap_or(0);
        rows = rows.saturating_add(u64::try_from(known).unwrap_or(u64::MAX));
    })?;
    Ok(rows)
}

/// Bytes that a plan is expected to read of its files: those of the columns that it names, by the footers that were read
/// when it was planned. What statistics will leave out is counted, too.
pub(crate) fn read(plan: &Arc<dyn ExecutionPlan>, runtime: &RuntimeEnv) -> Result<u64> {
    let footers = runtime.cache_manager.get_file_metadata_cache();
    let mut bytes = 0;
    each_scan(plan, &mut |config| {
        let whole: u64 = config.file_groups.iter().map(group_bytes).sum();
        bytes += match named_columns(config, &*footers) {
            Some((named, all)) if all > 0 => {
                let part = u128::from(whole) * u128::from(named) / u128::from(all);
                u64::try_from(part).unwrap_or(whole)
            }
            _ => whole,
        };
    })?;
    Ok(bytes)
}

/// Bytes of the columns that a scan names, and of all columns, in the files whose footers are known; `None` if all columns
/// are read.
fn named_columns(config: &FileScanConfig, footers: &FileMetadataCache) -> Option<(u64, u64)> {
    let wanted = config.file_source.projection()?.column_indices();
    let fields = config.file_schema().fields();
    let wanted: HashSet<&str> =
        wanted.into_iter().filter_map(|at| Some(fields.get(at)?.name().as_str())).collect();
    let (mut named, mut all) = (0, 0);
    let mut seen = HashSet::new();
    for file in config.file_groups.iter().flat_map(|group| group.iter()) {
        let path = &file.object_meta.location;
        let Some(cached) = footers.get(path).filter(|_| seen.insert(path)) else { continue };
        let parquet = cached.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>();
        let groups = parquet.map(|parquet| parquet.parquet_metadata().row_groups());
        for column in groups.into_iter().flatten().flat_map(|group| group.columns()) {
            let bytes = u64::try_from(column.compressed_size()).unwrap_or(0);
            all += bytes;
            if column
                .column_path()
                .parts()
                .first()
                .is_some_and(|name| wanted.contains(name.as_str()))
            {
                named += bytes;
            }
        }
    }
    Some((named, all))
}

pub(crate) fn group_bytes(group: &FileGroup) -> u64 {
    group
        .iter()
        .map(|file| match &file.range {
            Some(range) => u64::try_from(range.end - range.start).unwrap_or(0),
            None => file.object_meta.size,
        })
        .sum()
}
