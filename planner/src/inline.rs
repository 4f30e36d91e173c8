//! A plan that runs in the process that made it.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use dunlin_manifest::pinned::InputWatch;
use dunlin_plan::guard::{Stop, guarded};
use futures::TryStreamExt;

use crate::error::PlanError;

/// A plan that runs in this process. Its operators hold the metrics of the run.
#[derive(Clone, Debug)]
pub struct InlinePlan {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    watch: InputWatch,
}

impl InlinePlan {
    pub(crate) fn new(
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        watch: InputWatch,
    ) -> Self {
        Self { plan, context, watch }
    }

    /// The plan that runs.
    #[must_use]
    pub fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.plan
    }

    /// The same plan, which ends soon after `stop` was requested.
    ///
    /// # Errors
    /// An operator that cannot be rebuilt.
    pub fn guarded(self, stop: &Stop) -> Result<Self, PlanError> {
        let plan = guarded(self.plan, stop).map_err(PlanError::from_execution)?;
        Ok(Self { plan, ..self })
    }

    /// Runs the plan. This works only once, because operators keep state.
    ///
    /// # Errors
    /// Errors at the start of the plan. Later errors come through the stream.
    pub fn run(self) -> Result<SendableRecordBatchStream, PlanError> {
        let watch = self.watch;
        let rows = execute_stream(self.plan, self.context).map_err(PlanError::from_execution)?;
        let schema = rows.schema();
        let rows = rows.map_err(move |error| match watch.changed() {
            Some(changed) => DataFusionError::External(Box::new(changed.clone())),
            None => {
                let told = PlanError::from_reading(error, &watch.read());
                DataFusionError::External(Box::new(told))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
