//! What a protocol needs beside running a statement: what the statement takes and returns, and plans over what the process
//! knows anyway, such as a catalog. They have the limits of statements: threads of their own, time, and memory.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::DataType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::{active, ask_to_stop, forget_stop, is_asked_to_stop};
use dunlin_planner::{InlinePlan, PlanError, Signature};

use super::error::{CoreError, ErrorKind};
use super::intake::{Intake, Parsed};
use super::origin::Origin;
use super::queries::Queries;
use super::system::OnlyColumns;
use crate::auth::Principal;
use crate::options::Live;

impl Intake {
    /// What is in force now.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.current.now()
    }

    /// What a statement takes and returns. It is not run.
    pub(crate) async fn signature(
        &self,
        parsed: &Parsed,
        declared: Vec<Option<DataType>>,
    ) -> Result<Signature, CoreError> {
        let planner = parsed.planner.seeing(Arc::new(OnlyColumns));
        let statement = parsed.parsed.clone();
        self.think(move || async move { planner.signature(&statement, &declared).await }).await
    }

    /// Runs `work` as a statement is planned: on a thread of its own, and within the limits of planning.
    pub(crate) async fn think<T, F>(
        &self,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, CoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PlanError>>,
    {
        self.planning.run(work).await
    }

    /// Bytes of memory of one plan that runs in this process.
    pub(crate) fn memory(&self) -> usize {
        self.guests.memory()
    }

    /// Runs a plan that reads no table of the configuration.
    pub(crate) async fn run_beside(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        patience: Duration,
    ) -> Result<SendableRecordBatchStream, CoreError> {
        self.guests.run_beside(InlinePlan::of_nothing(plan, context), patience).await
    }
}

/// How long another gateway has to see a wish. One that is older was for a statement that had ended.
const WISH: Duration = Duration::from_secs(10);
/// The first pause between two looks for a wish, and the longest.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

impl Queries {
    /// Asks the gateway that has a connection to end what the connection runs.
    pub(crate) async fn ask_to_stop(&self, origin: Origin) -> Result<(), CoreError> {
        let connection = origin.digits();
        ask_to_stop(self.handles.store(), &connection).await?;
        let (handles, env) = (Arc::clone(&self.handles), self.env().clone());
        tokio::spawn(async move {
            env.clock.sleep(WISH).await;
            forget_stop(handles.store(), &connection).await;
        });
        Ok(())
    }

    /// Resolves when another gateway was asked to end what a connection runs. Each look is one request.
    pub(crate) async fn asked_to_stop(&self, origin: Origin) {
        let connection = origin.digits();
        let mut pause = LOOKS.0;
        loop {
            self.env().clock.sleep(pause).await;
            match is_asked_to_stop(self.handles.store(), &connection).await {
                Ok(true) => return,
                Ok(false) => pause = (pause * 2).min(LOOKS.1),
                Err(error) => {
                    tracing::debug!(%error, "whether a statement is to stop is not known");
                    pause = LOOKS.1;
                }
            }
        }
    }

    /// Cancels what a connection runs, wherever it does. Returns the queries that `caller` could cancel.
    pub(crate) async fn cancel_of(
        &self,
        caller: &Principal,
        origin: Origin,
    ) -> Result<Vec<QueryId>, CoreError> {
        let mut cancelled = Vec::new();
        for query in active(self.handles.store()).await? {
            if !origin.is_of(&query) {
                continue;
            }
            match self.cancel(caller.clone(), query.clone()).await {
                Ok(_) => cancelled.push(query),
                // Not this caller's, or ended and swept in this moment.
                Err(CoreError { kind: ErrorKind::NoSuchQuery(_), .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(cancelled)
    }
}
