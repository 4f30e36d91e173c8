//! Which joins let their build side filter their probe side before the probe side is exchanged (decision 0009).

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use crate::operators::exchange;
use crate::scans::scanned;

/// A partitioned hash join whose build (left) side may filter its probe (right) side.
pub(crate) struct FilteredJoin {
    pub(crate) build: Arc<dyn ExecutionPlan>,
    pub(crate) probe: Arc<dyn ExecutionPlan>,
    pub(crate) probe_input: Arc<dyn ExecutionPlan>,
    pub(crate) probe_keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) buckets: usize,
}

impl FilteredJoin {
    /// `None` unless every condition holds. Both sides are exchanged by hash of corresponding keys. A probe row
    /// without a match does not affect the join's output. The build side is estimated to have less than half of the
    /// probe side's rows.
    pub(crate) fn of(join: &HashJoinExec) -> Result<Option<Self>> {
        let traceless = matches!(
            join.join_type(),
            JoinType::Inner
                | JoinType::Left
                | JoinType::LeftSemi
                | JoinType::LeftAnti
                | JoinType::RightSemi
        );
        if *join.partition_mode() != PartitionMode::Partitioned || !traceless || join.null_aware {
            return Ok(None);
        }
        let (Some((build_keys, buckets, _)), Some((probe_keys, probe_buckets, probe_input))) =
            (exchange(join.left()), exchange(join.right()))
        else {
            return Ok(None);
        };
        let corresponds = buckets == probe_buckets
            && build_keys.len() == probe_keys.len()
            && build_keys.iter().zip(probe_keys).all(|(build, probe)| {
                join.on().iter().any(|(left, right)| left == build && right == probe)
            });
        if !corresponds || !promises_to_pay(join.left(), join.right())? {
            return Ok(None);
        }
        Ok(Some(Self {
            build: Arc::clone(join.left()),
            probe: Arc::clone(join.right()),
            probe_input: Arc::clone(probe_input),
            probe_keys: probe_keys.to_vec(),
            buckets,
        }))
    }
}

/// Compares estimated rows, or the bytes of the files below if rows cannot be estimated.
fn promises_to_pay(build: &Arc<dyn ExecutionPlan>, probe: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let rows = |plan: &Arc<dyn ExecutionPlan>| -> Result<Option<usize>> {
        let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new())?;
        Ok(statistics.num_rows.get_value().copied())
    };
    Ok(match (rows(build)?, rows(probe)?) {
        (Some(build), Some(probe)) => build.saturating_mul(2) <= probe,
        _ => scanned(build)?.saturating_mul(2) <= scanned(probe)?,
    })
}
