//! Answers that the gateway computes itself, away from the threads that serve.
//!
//! A plan computes for milliseconds at a time. On the threads that accept connections, poll `end` and
//! write heartbeats, a few of them would make a healthy process look dead; so the plan runs on a
//! runtime of its own, and only finished batches cross over.

use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use dunlin_planner::InlinePlan;
use futures::StreamExt;
use tokio::runtime::Handle;

/// Batches that wait for the client: enough to overlap computing and sending.
const BATCHES_AHEAD: usize = 2;

/// Starts a plan on `compute`. Dropping the rows stops it.
pub(crate) fn run(compute: &Handle, plan: InlinePlan) -> SendableRecordBatchStream {
    let schema = plan.plan().schema();
    let mut builder = RecordBatchReceiverStream::builder(schema, BATCHES_AHEAD);
    let sender = builder.tx();
    let work = async move {
        let mut rows = plan.run().map_err(|error| DataFusionError::External(Box::new(error)))?;
        while let Some(batch) = rows.next().await {
            let failed = batch.is_err();
            // Nobody listens any more, or nothing sensible can follow.
            if sender.send(batch).await.is_err() || failed {
                break;
            }
        }
        Ok(())
    };
    builder.spawn_on(work, compute);
    builder.build()
}
