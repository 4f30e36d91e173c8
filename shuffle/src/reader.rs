//! The leaf of a consumer's plan: partition `j` is bucket `j` of the producer.
//!
//! ```text
//! before the cut                        after
//! AggregateExec: Final                  AggregateExec: Final
//!   RepartitionExec: Hash([k], 16)        ExchangeReaderExec: stage=3, partitions=16
//!     AggregateExec: Partial            (stage 3: AggregateExec: Partial, written by hash of k)
//! ```
//!
//! The plan above was optimised with the order, constants and equivalences of the operators that were here. So the
//! reader declares them itself. Otherwise they would be lost at the cut.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_datafusion_err, internal_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, RecordBatchStream,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::{Stream, StreamExt, TryStreamExt};

use crate::children::{only, rebuild};
use crate::{ExchangeInputs, ShuffleError};

/// Reads the output of a stage. Every execution of a partition gives the same rows.
#[derive(Debug, Clone)]
pub struct ExchangeReaderExec {
    stage: u32,
    /// The bucket of each partition; `None`: partition `p` is bucket `p`.
    buckets: Option<Arc<[u32]>>,
    /// One partition reads all of `buckets`, one after the other.
    in_turn: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ExchangeReaderExec {
    /// A reader of `stage` with one partition for each of `partitioning`. The reader declares what `eq` contains
    /// (order, constants, equivalences). Fails if `eq` is for another schema.
    pub fn new(
        stage: u32,
        schema: SchemaRef,
        partitioning: Partitioning,
        eq: EquivalenceProperties,
    ) -> Result<Self> {
        if eq.schema().as_ref() != schema.as_ref() {
            return internal_err!("reader of stage {stage}: properties are about another schema");
        }
        let properties =
            PlanProperties::new(eq, partitioning, EmissionType::Incremental, Boundedness::Bounded)
                .with_scheduling_type(SchedulingType::Cooperative);
        Ok(Self {
            stage,
            buckets: None,
            in_turn: false,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// A reader of some of the partitions, in this order. A task makes it when it knows which have rows. It is never in
    /// a plan that is encoded.
    #[must_use]
    pub fn only(&self, partitions: &[u32]) -> Self {
        let known = partitions.iter().map(|&partition| self.bucket(partition));
        let partitioning = Partitioning::UnknownPartitioning(partitions.len());
        let properties = self.properties.as_ref().clone().with_partitioning(partitioning);
        Self {
            stage: self.stage,
            buckets: Some(known.collect()),
            in_turn: false,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// A reader of the partitions that have rows, one after the other, as one partition without an order. It holds the
    /// slices of one at a time. It is never in a plan that is encoded.
    ///
    /// # Errors
    /// The stage is not among the inputs.
    pub fn in_turn(&self, inputs: &ExchangeInputs) -> crate::Result<Self> {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(self.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let properties = properties.with_scheduling_type(SchedulingType::Cooperative);
        let filled = self.only(&self.filled(inputs)?);
        Ok(Self { in_turn: true, properties: Arc::new(properties), ..filled })
    }

    /// The partitions that have rows.
    ///
    /// # Errors
    /// The stage is not among the inputs.
    pub fn filled(&self, inputs: &ExchangeInputs) -> crate::Result<Vec<u32>> {
        let data = inputs.stage(self.stage)?;
        let count = u32::try_from(self.partitioning().partition_count()).unwrap_or(u32::MAX);
        Ok((0..count).filter(|&at| data.bucket_rows(self.bucket(at)) > 0).collect())
    }

    /// About the bytes of memory that reading all partitions at the same time needs, each as a run of a merge: of each,
    /// a slice on its way, one in hand, and a few decoded batches.
    ///
    /// # Errors
    /// The stage is not among the inputs.
    pub fn memory_to_merge(&self, inputs: &ExchangeInputs) -> crate::Result<usize> {
        const BATCH: u64 = 1 << 20;
        let data = inputs.stage(self.stage)?;
        let of = |at| {
            let bucket = self.bucket(at);
            let slices = u64::try_from(data.slice_count(bucket)).unwrap_or(u64::MAX).max(1);
            let slice = data.bucket_bytes(bucket) / slices;
            slice.saturating_mul(2).saturating_add(4 * slice.min(BATCH))
        };
        let bytes = self.filled(inputs)?.into_iter().map(of).fold(0, u64::saturating_add);
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    fn bucket(&self, partition: u32) -> u32 {
        let known = self.buckets.as_ref().and_then(|buckets| buckets.get(partition as usize));
        known.copied().unwrap_or(partition)
    }

    /// The producer.
    #[must_use]
    pub fn stage(&self) -> u32 {
        self.stage
    }

    /// How rows are spread over the partitions.
    #[must_use]
    pub fn partitioning(&self) -> &Partitioning {
        &self.properties.partitioning
    }

    /// Order, constants and equivalences that the reader declares.
    #[must_use]
    pub fn eq_properties(&self) -> &EquivalenceProperties {
        &self.properties.eq_properties
    }
}

impl DisplayAs for ExchangeReaderExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partitions = self.partitioning().partition_count();
        if matches!(kind, DisplayFormatType::TreeRender) {
            return write!(f, "stage={}\npartitions={partitions}", self.stage);
        }
        write!(f, "ExchangeReaderExec: stage={}, partitions={partitions}", self.stage)?;
        match self.properties.output_ordering() {
            Some(ordering) => write!(f, ", ordering=[{ordering}]"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for ExchangeReaderExec {
    fn name(&self) -> &'static str {
        "ExchangeReaderExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    // The expressions of the declared partitioning and order are facts about the rows. They are not computed here.
    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [] = only(self.name(), children)?;
        Ok(self)
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
        let count = self.partitioning().partition_count();
        if partition >= count {
            return internal_err!("ExchangeReaderExec has {count} partitions, none is {partition}");
        }
        let inputs = context
            .session_config()
            .get_extension::<ExchangeInputs>()
            .ok_or(ShuffleError::NoInputs)?;
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        if self.in_turn {
            let (stage, schema) = (self.stage, self.schema());
            let pool = Arc::clone(context.memory_pool());
            let buckets: Vec<u32> =
                self.buckets.iter().flat_map(|all| all.iter().copied()).collect();
            let rows = futures::stream::iter(buckets)
                .map(move |bucket| inputs.open(stage, bucket, Arc::clone(&schema), &pool))
                .map_err(datafusion::error::DataFusionError::from)
                .try_flatten();
            let inner = Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows));
            return Ok(Box::pin(cooperative(MeteredStream { inner, baseline })));
        }
        let bucket = u32::try_from(partition)
            .map(|partition| self.bucket(partition))
            .map_err(|_| internal_datafusion_err!("partition {partition} is too large"))?;
        if self.properties.output_ordering().is_some() {
            let tasks = inputs.stage(self.stage)?.bucket_tasks(bucket)?;
            if tasks > 1 {
                return Err(ShuffleError::Unordered { stage: self.stage, bucket, tasks }.into());
            }
        }
        let inner = inputs.open(self.stage, bucket, self.schema(), context.memory_pool())?;
        Ok(Box::pin(cooperative(MeteredStream { inner, baseline })))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::new(Statistics::new_unknown(&self.schema())))
    }
}

/// Counts rows, and the time spent decoding and joining batches.
struct MeteredStream {
    inner: SendableRecordBatchStream,
    baseline: BaselineMetrics,
}

impl Stream for MeteredStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let timer = this.baseline.elapsed_compute().timer();
        let poll = this.inner.as_mut().poll_next(context);
        timer.done();
        this.baseline.record_poll(poll)
    }
}

impl RecordBatchStream for MeteredStream {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}
