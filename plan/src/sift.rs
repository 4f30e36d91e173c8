//! Conditions on keys that reach the scans, so that a scan decodes the other columns only of rows that can match.
//!
//! ```text
//!   HashJoin, its whole build side in every task      HashJoin
//!     build side                                        KeyListenerExec ─ knows all keys when the build side was read
//!     Filter                                 ==>        Filter                    │
//!       scan of Parquet                                   scan of Parquet, where known_keys(…) <──┘
//!
//!   HashJoin of partitions, in a task of one               the same
//!   partition that reads both sides from files  ==>
//!
//!   KeyFilterExec, by the keys of a stage    ==>      KeyFilterExec
//!     scan of Parquet                                   scan of Parquet, where known_keys(…)
//! ```
//! The operators stay: a scan may let through what does not match (a column is not in a file, the keys are too many), and
//! the operators above drop it. A worker does this with an opened plan, and nothing of it is on the wire.

use std::sync::Arc;

use datafusion::common::{JoinType, NullEquality};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, lit};
use datafusion::physical_expr::{PhysicalExpr, conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use dunlin_shuffle::children::rebuild;
use dunlin_shuffle::{KeyFilter, KeyFilterExec, KeyListenerExec, KnownKeys, Listener};

use crate::operators::{column_of_table, file_scan, partition_count};
use crate::passage::{columns, row_by_row};

/// Scans of fewer bytes are read as they are: the request for the other columns waits for the one for the keys.
const LEAST_BYTES: u64 = 4 << 20;

/// Makes the condition of a scan from its columns.
type Condition<'a> = &'a mut dyn FnMut(Vec<Arc<dyn PhysicalExpr>>) -> Arc<dyn PhysicalExpr>;

/// The filters of stages, which were read before the plan runs: by stage and bucket.
pub type Known<'a> = &'a dyn Fn(u32, u32) -> Option<Arc<KeyFilter>>;

/// The same plan, whose scans ask for the keys of the joins above them and of the filters in it. `is_one`: only one
/// partition of the plan is run, and its keys may be taken for all.
///
/// # Errors
/// An operator cannot be rebuilt.
pub fn sifted(
    plan: Arc<dyn ExecutionPlan>,
    known: Known<'_>,
    is_one: bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut children = Vec::new();
    let mut changed = false;
    for child in plan.children() {
        // An operator with as many partitions as its input reads the one of the same number, unless it moves rows.
        let reads_one = partition_count(child) == partition_count(&plan);
        let is_one = is_one && reads_one && !plan.is::<RepartitionExec>();
        let sifted = sifted(Arc::clone(child), known, is_one)?;
        changed |= !Arc::ptr_eq(child, &sifted);
        children.push(sifted);
    }
    let plan = if changed { rebuild(plan, children)? } else { plan };
    let sifted = if let Some(filter) = plan.downcast_ref::<KeyFilterExec>() {
        match known(filter.stage(), filter.bucket()) {
            Some(keys) => by_filter(filter.input(), filter.keys(), &keys)?.map(|input| vec![input]),
            None => None,
        }
    } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        by_build_side(join, is_one)?
    } else {
        None
    };
    match sifted {
        Some(children) => rebuild(plan, children),
        None => Ok(plan),
    }
}

/// The plan with a filter of its rows' keys in its scans; `None` if none of them can ask for it.
///
/// # Errors
/// An operator cannot be rebuilt.
pub fn by_filter(
    plan: &Arc<dyn ExecutionPlan>,
    keys: &[Arc<dyn PhysicalExpr>],
    filter: &Arc<KeyFilter>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(columns) = columns(keys) else { return Ok(None) };
    into_scans(plan, &columns, &mut |keys| Arc::new(KnownKeys::new(keys, Arc::clone(filter))))
}

/// Both sides of a join whose build side tells the scans of the other side its keys. `is_one`: as for [`sifted`].
fn by_build_side(join: &HashJoinExec, is_one: bool) -> Result<Option<Vec<Arc<dyn ExecutionPlan>>>> {
    // A row of the other side without a match must give no row.
    let drops = matches!(
        join.join_type(),
        JoinType::Inner
            | JoinType::Left
            | JoinType::LeftSemi
            | JoinType::LeftAnti
            | JoinType::LeftMark
            | JoinType::RightSemi
    );
    let is_whole = match join.partition_mode() {
        PartitionMode::CollectLeft => partition_count(join.left()) == 1,
        PartitionMode::Partitioned => is_one,
        PartitionMode::Auto => false,
    };
    if !drops || !is_whole || join.null_aware {
        return Ok(None);
    }
    let (own, other): (Vec<_>, Vec<_>) = join.on().iter().cloned().unzip();
    let (left, right) = (join.left().schema(), join.right().schema());
    let is_same = |(own, other): &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| {
        Ok::<_, datafusion::error::DataFusionError>(
            own.data_type(&left)? == other.data_type(&right)?,
        )
    };
    for pair in join.on() {
        if !is_same(pair)? {
            return Ok(None);
        }
    }
    let Some(columns) = columns(&other) else { return Ok(None) };
    let mut listeners = Vec::new();
    let sifted = into_scans(join.right(), &columns, &mut |keys| {
        let condition = Arc::new(DynamicFilterPhysicalExpr::new(keys.clone(), lit(true)));
        listeners.push(Listener { keys, condition: Arc::clone(&condition) });
        condition
    })?;
    let Some(probe) = sifted else { return Ok(None) };
    let ranges = join.null_equality() == NullEquality::NullEqualsNothing;
    let build = KeyListenerExec::new(Arc::clone(join.left()), own, listeners, ranges);
    Ok(Some(vec![Arc::new(build), probe]))
}

/// The plan with a condition in the scans that these columns come from; `None` if there is none that can have it.
fn into_scans(
    plan: &Arc<dyn ExecutionPlan>,
    columns: &[usize],
    condition: Condition<'_>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = file_scan(plan) {
        return Ok(asking(scan, columns, condition));
    }
    let Some(into) = row_by_row(plan, columns) else { return Ok(None) };
    let mut children: Vec<_> = plan.children().into_iter().cloned().collect();
    let mut any = false;
    for (number, columns) in into {
        if let Some(sifted) = into_scans(&children[number], &columns, condition)? {
            children[number] = sifted;
            any = true;
        }
    }
    if any { rebuild(Arc::clone(plan), children).map(Some) } else { Ok(None) }
}

/// A scan of Parquet that asks for the condition, too, before it decodes the other columns.
fn asking(
    scan: &FileScanConfig,
    columns: &[usize],
    condition: Condition<'_>,
) -> Option<Arc<dyn ExecutionPlan>> {
    let source = scan.file_source().downcast_ref::<ParquetSource>()?;
    let table = scan.file_source().table_schema();
    let files = scan.file_groups.iter().flat_map(|group| group.iter());
    let bytes: u64 = files.map(|file| file.effective_size()).sum();
    if bytes < LEAST_BYTES || scan.limit.is_some() || !table.virtual_columns().is_empty() {
        return None;
    }
    let place = |column: &usize| {
        let place = column_of_table(scan, *column)?;
        // A column of a folder's name is not in the file.
        let field = table.file_schema().fields().get(place)?;
        Some(Arc::new(Column::new(field.name(), place)) as Arc<dyn PhysicalExpr>)
    };
    let keys = columns.iter().map(place).collect::<Option<Vec<_>>>()?;
    let asked = scan.file_source().filter().into_iter().chain([condition(keys)]);
    let source = source.with_predicate(conjunction(asked)).with_pushdown_filters(true);
    let scan = FileScanConfigBuilder::from(scan.clone()).with_source(Arc::new(source)).build();
    Some(DataSourceExec::from_data_source(scan))
}

#[cfg(test)]
mod tests;
