//! An operator that hands on its input's rows.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use dunlin_shuffle::children::{only, rebuild};

/// What happens to rows on their way.
pub(super) trait Pass: fmt::Debug + Send + Sync + 'static {
    /// Name of the operator, for people who look at a plan.
    fn name(&self) -> &'static str;

    /// The same rows in the same order, in whatever batches, or an error.
    fn pass(
        &self,
        rows: SendableRecordBatchStream,
        context: &TaskContext,
    ) -> Result<SendableRecordBatchStream>;
}

/// See [`Pass`].
#[derive(Debug)]
pub(super) struct PassExec {
    input: Arc<dyn ExecutionPlan>,
    pass: Arc<dyn Pass>,
}

impl PassExec {
    pub(super) fn above(input: Arc<dyn ExecutionPlan>, pass: impl Pass) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { input, pass: Arc::new(pass) })
    }
}

impl DisplayAs for PassExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pass.name())
    }
}

impl ExecutionPlan for PassExec {
    fn name(&self) -> &'static str {
        self.pass.name()
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
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = only(self.name(), children)?;
        Ok(Arc::new(Self { input, pass: Arc::clone(&self.pass) }))
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
        let rows = self.input.execute(partition, Arc::clone(&context))?;
        self.pass.pass(rows, &context)
    }
}
