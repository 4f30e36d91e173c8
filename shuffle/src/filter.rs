//! An operator that drops rows that a join cannot match, before they are exchanged.

use std::fmt;
use std::sync::Arc;

use arrow::compute::filter_record_batch;
use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use futures::{TryStreamExt, stream};

use crate::children::{only, rebuild, visit_each};
use crate::key_filter::key_hashes;
use crate::router::Sieve;
use crate::{ExchangeInputs, ShuffleError};

/// Passes on the rows whose keys may be among the keys of a build stage (see [`crate::KeyFilter`]). It keeps the
/// order, the partitioning and everything else of its input. Where it stands at the end of a stage that places rows by the
/// same keys, the writer does its work (see [`WriterOptions::filter`](crate::WriterOptions::filter)).
#[derive(Debug, Clone)]
pub struct KeyFilterExec {
    input: Arc<dyn ExecutionPlan>,
    stage: u32,
    bucket: u32,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    metrics: ExecutionPlanMetricsSet,
}

impl KeyFilterExec {
    /// Filters `input` by `keys` with the filter that the tasks of `stage` wrote as bucket `bucket`. `keys` must
    /// correspond, one to one, to the expressions that place the rows of `stage` in buckets.
    #[must_use]
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        stage: u32,
        bucket: u32,
        keys: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Self {
        Self { input, stage, bucket, keys, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The build stage.
    #[must_use]
    pub fn stage(&self) -> u32 {
        self.stage
    }

    /// The bucket that holds the filter.
    #[must_use]
    pub fn bucket(&self) -> u32 {
        self.bucket
    }

    /// The keys, as expressions over the input's rows.
    #[must_use]
    pub fn keys(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.keys
    }

    /// The operator whose rows are filtered.
    #[must_use]
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl DisplayAs for KeyFilterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        write!(f, "KeyFilterExec: keys=[{}], stage={}", keys.join(", "), self.stage)
    }
}

impl ExecutionPlan for KeyFilterExec {
    fn name(&self) -> &'static str {
        "KeyFilterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        visit_each(&self.keys, visit)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = only(self.name(), children)?;
        Ok(Arc::new(Self::new(input, self.stage, self.bucket, self.keys.clone())))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        rebuild(self, children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let inputs = context
            .session_config()
            .get_extension::<ExchangeInputs>()
            .ok_or(ShuffleError::NoInputs)?;
        let input = self.input.execute(partition, context)?;
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let (stage, bucket, keys) = (self.stage, self.bucket, self.keys.clone());
        let rows = async move {
            let mut sieve = Sieve::new(inputs.key_filter(stage, bucket).await?);
            let mut hashes = Vec::new();
            let filtered = input.and_then(move |batch| {
                let rows = batch.num_rows();
                let outcome = match sieve.filter() {
                    Some(filter) => {
                        let _timer = baseline.elapsed_compute().timer();
                        key_hashes(&keys, &batch, &mut hashes)
                            .and_then(|()| Ok(filter_record_batch(&batch, &filter.mask(&hashes))?))
                    }
                    None => Ok(batch),
                };
                if let Ok(batch) = &outcome {
                    sieve.count(rows, batch.num_rows());
                    baseline.record_output(batch.num_rows());
                }
                std::future::ready(outcome)
            });
            Ok::<_, datafusion::error::DataFusionError>(filtered)
        };
        let rows = stream::once(rows).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        // At most what its input has.
        Ok(Arc::new(match inputs {
            [input] => input.as_ref().clone().to_inexact(),
            _ => Statistics::new_unknown(&self.schema()),
        }))
    }
}
