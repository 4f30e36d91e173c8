//! An operator that listens to the rows of a join's build side, and tells the scans of the other side which keys there are.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::{Accumulator, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, DynamicFilterPhysicalExpr, lit};
use datafusion::physical_expr::{PhysicalExpr, conjunction};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use futures::{StreamExt, stream};

use crate::children::{only, rebuild, visit_each};
use crate::key_filter::{KeyFilterBuilder, key_hashes};
use crate::{KeyFilter, KnownKeys};

/// Build sides with more rows tell nothing: their filter would let much through, and need much memory.
const MOST_ROWS: usize = 1 << 20;

/// A scan of the other side: its keys as columns of its table, and its condition, which is true until the keys are known.
#[derive(Debug, Clone)]
pub struct Listener {
    /// One for each key of the build side, in the same order.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// What the scan asks of each row.
    pub condition: Arc<DynamicFilterPhysicalExpr>,
}

/// Passes on the rows of a build side, of which one partition is read. When it has passed on all of them, each [`Listener`] learns
/// which keys there are, and their range if NULL keys match nothing. A join reads its build side before it asks for a row
/// of the other side; a scan that is asked earlier gives all rows.
#[derive(Debug, Clone)]
pub struct KeyListenerExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    listeners: Vec<Listener>,
    /// Whether the range of the keys is told, too.
    ranges: bool,
}

impl KeyListenerExec {
    /// Listens to `keys` of the rows of `input`.
    #[must_use]
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        listeners: Vec<Listener>,
        ranges: bool,
    ) -> Self {
        Self { input, keys, listeners, ranges }
    }
}

/// What is known of the rows so far.
#[derive(Debug)]
struct Heard {
    rows: usize,
    keys: KeyFilterBuilder,
    hashes: Vec<u64>,
    /// The least and the largest value of each key that has a range.
    ranges: Vec<Option<(MinAccumulator, MaxAccumulator)>>,
}

impl Heard {
    fn new(own: &KeyListenerExec) -> Result<Self> {
        let schema = own.input.schema();
        let range = |key: &Arc<dyn PhysicalExpr>| {
            let of = key.data_type(&schema)?;
            let has_range = of.is_integer() || of.is_temporal() || of.is_decimal();
            let range = || Ok((MinAccumulator::try_new(&of)?, MaxAccumulator::try_new(&of)?));
            (own.ranges && has_range).then(range).transpose()
        };
        let ranges = own.keys.iter().map(range).collect::<Result<_>>()?;
        Ok(Self { rows: 0, keys: KeyFilterBuilder::default(), hashes: Vec::new(), ranges })
    }

    fn hear(&mut self, batch: &RecordBatch, own: &KeyListenerExec) -> Result<()> {
        self.rows += batch.num_rows();
        if self.rows > MOST_ROWS || batch.num_rows() == 0 {
            return Ok(());
        }
        key_hashes(&own.keys, batch, &mut self.hashes)?;
        self.keys.add(&self.hashes);
        for (key, range) in own.keys.iter().zip(&mut self.ranges) {
            if let Some((least, largest)) = range {
                let values = [key.evaluate(batch)?.into_array(batch.num_rows())?];
                least.update_batch(&values)?;
                largest.update_batch(&values)?;
            }
        }
        Ok(())
    }

    fn tell(mut self, listeners: &[Listener]) -> Result<()> {
        if self.rows > MOST_ROWS {
            return Ok(());
        }
        let range = |range: &mut Option<(MinAccumulator, MaxAccumulator)>| {
            let (least, largest) = range.as_mut()?;
            Some(least.evaluate().and_then(|least| Ok((least, largest.evaluate()?))))
        };
        let ranges = self.ranges.iter_mut().map(|it| range(it).transpose());
        let ranges = ranges.collect::<Result<Vec<_>>>()?;
        let filter = Arc::new(KeyFilter::union(&[self.keys.finish()])?);
        for listener in listeners {
            let mut conditions = Vec::new();
            for (key, range) in listener.keys.iter().zip(&ranges) {
                // Of no rows, or of NULLs only, there is none.
                let Some((low, high)) = range.as_ref().filter(|(low, _)| !low.is_null()) else {
                    continue;
                };
                for (operator, bound) in [(Operator::GtEq, low), (Operator::LtEq, high)] {
                    let bound = lit(bound.clone());
                    conditions
                        .push(Arc::new(BinaryExpr::new(Arc::clone(key), operator, bound)) as _);
                }
            }
            conditions
                .push(Arc::new(KnownKeys::new(listener.keys.clone(), Arc::clone(&filter))) as _);
            listener.condition.update(conjunction(conditions))?;
            listener.condition.mark_complete();
        }
        Ok(())
    }
}

impl DisplayAs for KeyListenerExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        write!(f, "KeyListenerExec: keys=[{}], scans={}", keys.join(", "), self.listeners.len())
    }
}

impl ExecutionPlan for KeyListenerExec {
    fn name(&self) -> &'static str {
        "KeyListenerExec"
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
        Ok(Arc::new(Self { input, ..self.as_ref().clone() }))
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
        let (own, heard) = (self.clone(), Heard::new(self)?);
        let rows = self.input.execute(partition, context)?;
        let heard = stream::unfold((rows, Some(heard)), move |(mut rows, heard)| {
            let own = own.clone();
            async move {
                let mut heard = heard?;
                match rows.next().await {
                    Some(Ok(batch)) => {
                        let passed = heard.hear(&batch, &own).map(|()| batch);
                        let more = passed.is_ok().then_some(heard);
                        Some((passed, (rows, more)))
                    }
                    Some(Err(error)) => Some((Err(error), (rows, None))),
                    None => {
                        heard.tell(&own.listeners).err().map(|error| (Err(error), (rows, None)))
                    }
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), heard)))
    }
}
