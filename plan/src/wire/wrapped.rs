//! A wrapper for an operator that is encoded in Dunlin's own form.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use dunlin_shuffle::children::rebuild;

use super::windows::WindowForm;

/// A wrapper for an operator that is encoded in Dunlin's own form. It is only encoded: decoding gives the operator
/// itself.
#[derive(Clone, Debug)]
pub struct WireExec {
    inner: Arc<dyn ExecutionPlan>,
    form: Form,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    Windows(Vec<WindowForm>),
    Series,
}

impl WireExec {
    /// A window operator whose functions travel in these forms.
    #[must_use]
    pub fn windows(inner: Arc<dyn ExecutionPlan>, forms: Vec<WindowForm>) -> Self {
        Self { inner, form: Form::Windows(forms) }
    }

    /// A series of numbers.
    #[must_use]
    pub fn series(inner: Arc<dyn ExecutionPlan>) -> Self {
        Self { inner, form: Form::Series }
    }

    pub(super) fn inner(&self) -> &Arc<dyn ExecutionPlan> {
        &self.inner
    }

    pub(super) fn form(&self) -> &Form {
        &self.form
    }
}

impl DisplayAs for WireExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_as(kind, f)
    }
}

/// Behaves as the wrapped operator in every way.
impl ExecutionPlan for WireExec {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inner.children()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(visit)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = Arc::clone(&self.inner).replace_children(children, options)?;
        Ok(Arc::new(Self { inner, form: self.form.clone() }))
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
        self.inner.execute(partition, context)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.inner.statistics_from_inputs(inputs, args)
    }
}
