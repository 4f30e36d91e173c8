//! Which joins let one side filter the other before the other is exchanged (decision 0009).

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use crate::operators::exchange;
use crate::passes::expected_rows;
use crate::scans::scanned;

/// A side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The build side.
    Left,
    /// The probe side.
    Right,
}

/// A partitioned hash join one side of which may filter the other.
pub(crate) struct FilteredJoin {
    /// The side that is filtered.
    pub(crate) target: Side,
    /// The side whose keys are the filter: an exchange by hash.
    pub(crate) source: Arc<dyn ExecutionPlan>,
    /// All of the side that is filtered.
    pub(crate) filtered: Arc<dyn ExecutionPlan>,
    /// Below the exchange of that side, if it is exchanged by the same keys.
    pub(crate) input: Option<Arc<dyn ExecutionPlan>>,
    /// The keys of the filtered side, in the order in which they place the rows of the other.
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) buckets: usize,
}

impl FilteredJoin {
    /// The ways in which it may, the better-known first. In each, the source is exchanged by hash of the join's keys, and a
    /// row of the filtered side without a match does not affect the join's output.
    pub(crate) fn of(join: &HashJoinExec) -> Vec<Self> {
        if *join.partition_mode() != PartitionMode::Partitioned || join.null_aware {
            return Vec::new();
        }
        [Side::Right, Side::Left]
            .into_iter()
            .filter_map(|target| Self::with(join, target))
            .collect()
    }

    fn with(join: &HashJoinExec, target: Side) -> Option<Self> {
        let inner =
            matches!(join.join_type(), JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi);
        let traceless = match target {
            Side::Right => matches!(join.join_type(), JoinType::Left | JoinType::LeftAnti),
            Side::Left => matches!(join.join_type(), JoinType::Right | JoinType::RightAnti),
        };
        if !inner && !traceless {
            return None;
        }
        let (source, filtered) = match target {
            Side::Right => (join.left(), join.right()),
            Side::Left => (join.right(), join.left()),
        };
        let (by, buckets, _) = exchange(source)?;
        let key = |expr: &Arc<dyn PhysicalExpr>| {
            let found = join.on().iter().find_map(|(left, right)| match target {
                Side::Right => (left == expr).then_some(right),
                Side::Left => (right == expr).then_some(left),
            });
            found.cloned()
        };
        let keys = by.iter().map(key).collect::<Option<Vec<_>>>()?;
        let input = exchange(filtered)
            .filter(|(by, count, _)| *count == buckets && *by == keys.as_slice())
            .map(|(_, _, input)| Arc::clone(input));
        let (source, filtered) = (Arc::clone(source), Arc::clone(filtered));
        Some(Self { target, source, filtered, input, keys, buckets })
    }
}

/// Whether the source is expected to have less than half of the rows that its keys would filter; of their files' bytes, if
/// rows cannot be estimated.
pub(crate) fn promises_to_pay(
    source: &Arc<dyn ExecutionPlan>,
    filtered: &Arc<dyn ExecutionPlan>,
) -> Result<bool> {
    if let (Some(source), Some(filtered)) = (expected_rows(source), expected_rows(filtered)) {
        return Ok(source * 2.0 <= filtered);
    }
    let rows = |plan: &Arc<dyn ExecutionPlan>| -> Result<Option<usize>> {
        let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new())?;
        Ok(statistics.num_rows.get_value().copied())
    };
    Ok(match (rows(source)?, rows(filtered)?) {
        (Some(source), Some(filtered)) => source.saturating_mul(2) <= filtered,
        _ => scanned(source)?.saturating_mul(2) <= scanned(filtered)?,
    })
}
