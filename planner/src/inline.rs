//! A plan that runs in the process that made it.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use dunlin_manifest::pinned::InputWatch;
use dunlin_manifest::records::Pin;
use dunlin_plan::damaged;
use dunlin_plan::guard::{Stop, guarded};
use dunlin_plan::sift::sifted;
use futures::StreamExt;

use crate::error::PlanError;

/// A plan that runs in this process. Its operators hold the metrics of the run.
#[derive(Clone, Debug)]
pub struct InlinePlan {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    pins: Arc<[Pin]>,
    watch: InputWatch,
}

impl InlinePlan {
    pub(crate) fn new(
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        pins: Arc<[Pin]>,
        watch: InputWatch,
    ) -> Self {
        Self { plan, context, pins, watch }
    }

    /// A plan that reads no table of the configuration.
    #[must_use]
    pub fn of_nothing(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Self {
        Self { plan, context, pins: Arc::from([]), watch: InputWatch::default() }
    }

    /// The plan that runs.
    #[must_use]
    pub fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.plan
    }

    /// The same plan, whose scans ask for the keys of its joins, and which ends soon after `stop` was requested.
    ///
    /// # Errors
    /// An operator that cannot be rebuilt.
    pub fn guarded(self, stop: &Stop) -> Result<Self, PlanError> {
        let plan = sifted(self.plan, &|_, _| None, false).and_then(|plan| guarded(plan, stop));
        let plan = plan.map_err(PlanError::from_execution)?;
        Ok(Self { plan, ..self })
    }

    /// Runs the plan. This works only once, because operators keep state.
    ///
    /// # Errors
    /// Errors at the start of the plan. Later errors come through the stream.
    pub fn run(self) -> Result<SendableRecordBatchStream, PlanError> {
        let (watch, pins, runtime) = (self.watch, self.pins, self.context.runtime_env());
        let rows = execute_stream(self.plan, self.context).map_err(PlanError::from_execution)?;
        let schema = rows.schema();
        let rows = rows.then(move |batch| {
            let (watch, pins, runtime) = (watch.clone(), Arc::clone(&pins), Arc::clone(&runtime));
            async move {
                let error = match batch {
                    Ok(batch) => return Ok(batch),
                    Err(error) => error,
                };
                if let Some(changed) = watch.changed() {
                    return Err(DataFusionError::External(Box::new(changed.clone())));
                }
                let read = damaged::to_blame(&error, &runtime, &pins, watch.read()).await;
                let told = PlanError::from_reading(error, &read);
                Err(DataFusionError::External(Box::new(told)))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
