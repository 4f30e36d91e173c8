//! A join needs no exchange either, if rows that match are never in two partitions.
//!
//! ```text
//!  HashJoin, a.k = b.k                           HashJoin, a.k = b.k
//!    exchange by k                                 scan a: a1 a2   │ a3 │ a4
//!      scan a: a1 a2 │ a3 a4              ==>      scan b: b1      │ b2 │ b3 b4
//!    exchange by k                                              k: 1 … 9   10 … 20   21 … 30
//!      scan b: b1 │ b2 │ b3 │ b4
//! ```
//! Two tables are often written in the order of the same key, or divided by it: orders and their lines, events and
//! sessions of a day. Files whose ranges of the key meet, of either table, are put into one partition. Then the join, and
//! the joins and aggregates by the same key above it, run where the files are read.
//!
//! A part of the plan is looked at *as if it had no exchanges*: which columns decide in which partition a row is? An operator
//! that needs equal keys in one partition can do without an exchange only if one of its keys is such a column.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;
use dunlin_plan::operators::{file_scan, partition_count};
use dunlin_plan::passage::row_by_row;

use super::{one_step, range_of, two_steps, where_free};
use crate::operators::{broadcast_is_sound, exchange, rebuild};
use crate::passes::first_rows::column_of_files;
use crate::passes::whole_files::MOST;
use crate::scans::group_bytes;

/// What decides where the rows of a part of a plan are, if it has no exchanges.
#[derive(Clone)]
struct Cluster {
    /// Of the columns that were asked for: those with which a row's partition is decided.
    columns: Vec<usize>,
    /// The scans below, each with its table's column that decides.
    scans: Vec<(Arc<dyn ExecutionPlan>, usize)>,
}

/// The plan without exchanges below joins that need none. This is no rule of the optimiser: the engine's planner ends with
/// a check that the sides of a join are placed by hash, and does not know that they are placed by their files.
pub(crate) fn together(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    where_free(plan, true, &without_exchanges)
}

/// The joins and aggregates of `plan`, down to its scans, without exchanges between them; `None` if rows that belong
/// together may be in two partitions then.
fn without_exchanges(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let is_root = plan.is::<AggregateExec>() || partitioned(plan).is_some();
    if !is_root {
        return Ok(None);
    }
    for Cluster { scans, .. } in clusters(plan, &[]) {
        if scans.len() > 1
            && let Some(groups) = aligned(&scans)
        {
            let Some(stripped) = stripped(plan)? else { return Ok(None) };
            return regrouped(stripped, &scans, &groups).map(Some);
        }
    }
    Ok(None)
}

/// The ways to have `plan` without exchanges, with those of the columns `wanted` of its rows that decide the partition.
fn clusters(plan: &Arc<dyn ExecutionPlan>, wanted: &[usize]) -> Vec<Cluster> {
    if let Some(scan) = file_scan(plan) {
        let deciding = wanted.iter().filter_map(|column| {
            let scans = vec![(Arc::clone(plan), column_of_files(scan, *column)?)];
            Some(Cluster { columns: vec![*column], scans })
        });
        return deciding.collect();
    }
    if let Some((_, _, input)) = exchange(plan) {
        return clusters(input, wanted);
    }
    if plan.is::<FilterExec>() || plan.is::<ProjectionExec>() {
        return passed_through(plan, 0, wanted);
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return match partitioned(plan) {
            Some(join) => of_both_sides(plan, join, wanted),
            None if is_broadcast(join) => passed_through(plan, 1, wanted),
            None => Vec::new(),
        };
    }
    match plan.downcast_ref::<AggregateExec>() {
        Some(aggregate) => grouped(aggregate, wanted),
        None => Vec::new(),
    }
}

/// A join that gives the rows of each of its right side's partitions by themselves.
fn is_broadcast(join: &HashJoinExec) -> bool {
    *join.partition_mode() == PartitionMode::CollectLeft
        && !join.null_aware
        && broadcast_is_sound(*join.join_type())
}

/// A join whose sides are divided in the same way.
fn partitioned(plan: &Arc<dyn ExecutionPlan>) -> Option<&HashJoinExec> {
    let join = plan.downcast_ref::<HashJoinExec>()?;
    let is_partitioned = *join.partition_mode() == PartitionMode::Partitioned && !join.null_aware;
    is_partitioned.then_some(join)
}

/// Where the columns `wanted` of an operator's rows are in the rows of its input `number`, for those that are there.
fn inside(plan: &Arc<dyn ExecutionPlan>, number: usize, wanted: &[usize]) -> Vec<(usize, usize)> {
    let place = |column: &usize| {
        let (input, columns) = row_by_row(plan, &[*column])?.into_iter().next()?;
        (input == number).then(|| (*column, columns[0]))
    };
    wanted.iter().filter_map(place).collect()
}

/// Those of the columns of an operator's rows whose place in its input decides.
fn deciding(places: &[(usize, usize)], below: &[usize]) -> Vec<usize> {
    places.iter().filter(|(_, place)| below.contains(place)).map(|(above, _)| *above).collect()
}

/// An operator that makes the rows of a partition from the rows of its input's partition, one by one.
fn passed_through(plan: &Arc<dyn ExecutionPlan>, number: usize, wanted: &[usize]) -> Vec<Cluster> {
    if plan.fetch().is_some() {
        return Vec::new();
    }
    let places = inside(plan, number, wanted);
    let below: Vec<usize> = places.iter().map(|(_, place)| *place).collect();
    let found = clusters(plan.children()[number], &below).into_iter();
    found.map(|it| Cluster { columns: deciding(&places, &it.columns), ..it }).collect()
}

/// A join, by each of its pairs of keys that decides on either side.
fn of_both_sides(
    plan: &Arc<dyn ExecutionPlan>,
    join: &HashJoinExec,
    wanted: &[usize],
) -> Vec<Cluster> {
    let (left, right) = (join.left(), join.right());
    if join.fetch().is_some() || partition_count(left) != partition_count(right) {
        return Vec::new();
    }
    let (of_one, of_other) = (left.schema(), right.schema());
    let pairs = join.on().iter().filter_map(|(one, other)| {
        let one = one.downcast_ref::<Column>()?.index();
        let other = other.downcast_ref::<Column>()?.index();
        let same = of_one.field(one).data_type() == of_other.field(other).data_type();
        same.then_some((one, other))
    });
    let pairs: Vec<(usize, usize)> = pairs.collect();
    let places = [inside(plan, 0, wanted), inside(plan, 1, wanted)];
    let below = |keys: Vec<usize>, places: &[(usize, usize)]| {
        let mut all = keys;
        all.extend(places.iter().map(|(_, place)| *place));
        all.sort_unstable();
        all.dedup();
        all
    };
    let (ones, others): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
    let of_left = clusters(left, &below(ones, &places[0]));
    let of_right = clusters(right, &below(others, &places[1]));
    let mut found = Vec::new();
    for one in &of_left {
        for other in &of_right {
            let decide = |(left, right): &(usize, usize)| {
                one.columns.contains(left) && other.columns.contains(right)
            };
            if pairs.iter().any(decide) {
                let mut columns = deciding(&places[0], &one.columns);
                columns.extend(deciding(&places[1], &other.columns));
                let scans = one.scans.iter().chain(&other.scans).cloned().collect();
                found.push(Cluster { columns, scans });
            }
        }
    }
    found
}

/// An aggregate in one step, by each of its keys that decides.
fn grouped(aggregate: &AggregateExec, wanted: &[usize]) -> Vec<Cluster> {
    let first = match aggregate.mode() {
        AggregateMode::FinalPartitioned => two_steps(aggregate),
        _ if is_one_step(aggregate) => Some(aggregate),
        _ => None,
    };
    let Some(first) = first else { return Vec::new() };
    // The keys are the first columns of the rows, and have their types.
    let keys = (0..).zip(first.group_expr().expr());
    let places: Vec<(usize, usize)> = keys
        .filter_map(|(number, (key, _))| Some((number, key.downcast_ref::<Column>()?.index())))
        .collect();
    let below: Vec<usize> = places.iter().map(|(_, place)| *place).collect();
    let found = clusters(first.input(), &below).into_iter().filter_map(|it| {
        let decide = deciding(&places, &it.columns);
        let columns = decide.iter().copied().filter(|column| wanted.contains(column)).collect();
        (!decide.is_empty()).then_some(Cluster { columns, ..it })
    });
    found.collect()
}

/// An aggregate whose rows come grouped.
fn is_one_step(aggregate: &AggregateExec) -> bool {
    *aggregate.mode() == AggregateMode::SinglePartitioned
        && aggregate.group_expr().is_single()
        && aggregate.limit_options().is_none()
}

/// The part of a plan that was looked at, without its exchanges, and with its aggregates in one step; `None` if one of these
/// would have other columns.
fn stripped(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if file_scan(plan).is_some() {
        return Ok(Some(Arc::clone(plan)));
    }
    if let Some((_, _, input)) = exchange(plan) {
        return stripped(input);
    }
    let plan = match plan.downcast_ref::<AggregateExec>() {
        Some(aggregate) if !is_one_step(aggregate) => one_step(plan)?,
        _ => Some(Arc::clone(plan)),
    };
    let Some(plan) = plan else { return Ok(None) };
    let is_broadcast = plan.downcast_ref::<HashJoinExec>().is_some_and(is_broadcast);
    let mut children = Vec::new();
    for (number, child) in plan.children().into_iter().enumerate() {
        // The build side of a broadcast join is no part of it.
        let child = match is_broadcast && number == 0 {
            true => Some(Arc::clone(child)),
            false => stripped(child)?,
        };
        let Some(child) = child else { return Ok(None) };
        children.push(child);
    }
    rebuild(plan, children).map(Some)
}

/// A file of one of several scans, with the range of its keys.
struct Ranged {
    least: ScalarValue,
    largest: ScalarValue,
    scan: usize,
    file: PartitionedFile,
}

/// The groups of files of each scan, as many for all, so that files whose ranges meet are in groups of the same number.
/// `None` if ranges are not known, or if partitions would be fewer than now, empty, or much larger than others.
fn aligned(scans: &[(Arc<dyn ExecutionPlan>, usize)]) -> Option<Vec<Vec<FileGroup>>> {
    let configs = scans.iter().map(|(scan, column)| Some((file_scan(scan)?, *column)));
    let configs: Vec<(&FileScanConfig, usize)> = configs.collect::<Option<_>>()?;
    let count = configs.iter().map(|(scan, _)| scan.file_groups.len()).max()?;
    if count < 2 || configs.iter().any(|(scan, _)| !scan.output_ordering.is_empty()) {
        return None;
    }
    let mut files = Vec::new();
    for (number, (scan, column)) in configs.iter().enumerate() {
        for file in scan.file_groups.iter().flat_map(FileGroup::iter) {
            let (least, largest) = range_of(&FileGroup::new(vec![file.clone()]), *column)?;
            files.push(Ranged { least, largest, scan: number, file: file.clone() });
        }
    }
    in_groups(meeting(files)?, configs.len(), count)
}

/// The files in the order of their ranges, in sets whose ranges do not meet.
fn meeting(mut files: Vec<Ranged>) -> Option<Vec<Vec<Ranged>>> {
    let mut comparable = true;
    files.sort_by(|one, other| {
        one.least.partial_cmp(&other.least).unwrap_or_else(|| {
            comparable = false;
            std::cmp::Ordering::Equal
        })
    });
    if !comparable {
        return None;
    }
    let mut sets: Vec<Vec<Ranged>> = Vec::new();
    let mut until: Option<ScalarValue> = None;
    for file in files {
        let meets = until.as_ref().is_some_and(|until| file.least <= *until);
        if until.as_ref().is_none_or(|until| file.largest > *until) {
            until = Some(file.largest.clone());
        }
        match sets.last_mut() {
            Some(set) if meets => set.push(file),
            _ => sets.push(vec![file]),
        }
    }
    Some(sets)
}

/// Sets of files in `count` groups of neighbours, each of about the same number of bytes.
#[allow(clippy::cast_precision_loss)] // shares of bytes
fn in_groups(sets: Vec<Vec<Ranged>>, scans: usize, count: usize) -> Option<Vec<Vec<FileGroup>>> {
    let bytes = |set: &[Ranged]| {
        set.iter().map(|file| group_bytes(&FileGroup::new(vec![file.file.clone()]))).sum::<u64>()
    };
    let total: u64 = sets.iter().map(|set| bytes(set)).sum();
    let equal = (total as f64 / count as f64).max(1.0);
    let mut groups = vec![vec![Vec::new(); count]; scans];
    let mut sizes = vec![0.0; count];
    let mut before = 0.0;
    for set in sets {
        let size = bytes(&set) as f64;
        // Where the middle of the set would be.
        let middle = (before + size / 2.0) / equal;
        let place = (0..count).rfind(|place| *place as f64 <= middle).unwrap_or(0);
        sizes[place] += size;
        before += size;
        for Ranged { scan, file, .. } in set {
            groups[scan][place].push(file);
        }
    }
    let is_even = sizes.iter().all(|size| *size <= equal * MOST);
    let is_full = groups.iter().flatten().all(|files| !files.is_empty());
    let grouped = |files: Vec<Vec<PartitionedFile>>| files.into_iter().map(FileGroup::new);
    (is_even && is_full).then(|| groups.into_iter().map(|of| grouped(of).collect()).collect())
}

/// The part of the plan with these groups of files.
fn regrouped(
    plan: Arc<dyn ExecutionPlan>,
    scans: &[(Arc<dyn ExecutionPlan>, usize)],
    groups: &[Vec<FileGroup>],
) -> Result<Arc<dyn ExecutionPlan>> {
    let regroup = |node: Arc<dyn ExecutionPlan>| {
        let place = scans.iter().position(|(scan, _)| Arc::ptr_eq(scan, &node));
        let (Some(place), Some(scan)) = (place, file_scan(&node)) else {
            return Ok(Transformed::no(node));
        };
        let scan = FileScanConfigBuilder::from(scan.clone())
            .with_file_groups(groups[place].clone())
            .build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(scan) as Arc<dyn ExecutionPlan>))
    };
    plan.transform_up(regroup).data()
}
