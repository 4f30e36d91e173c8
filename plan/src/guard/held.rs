//! Memory that operators hold and do not count.
//!
//! ```text
//!   WindowAggExec        holds all of its input, and joins it to one batch: no reservation at all
//!   CrossJoinExec, …     count the bytes of the batches that they collect, not what a batch costs beside its bytes:
//!                        a batch without columns has none, and a cross join makes a batch of every row
//! ```
//! What comes out of their inputs is reserved until the input is dropped: for a window with the window itself, for the
//! collected side of a join once it is joined to one batch. A pool that has no more fails the query, not the process.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use dunlin_shuffle::children::rebuild;
use futures::TryStreamExt;

use super::pass::{Pass, PassExec};

/// Bytes of a batch beside its buffers, and of each of its columns.
const BATCH: usize = 128;
const COLUMN: usize = 128;

/// `plan`, with reservations for what its operators hold and do not count.
pub(super) fn counted(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let held = if node.is::<WindowAggExec>() {
            // The batches, and the one that they are joined to.
            Held { operator: "window", times: 2 }
        } else if node.is::<CrossJoinExec>()
            || node.is::<NestedLoopJoinExec>()
            || node.is::<HashJoinExec>()
        {
            Held { operator: "batches of a join", times: 0 }
        } else {
            return Ok(Transformed::no(node));
        };
        let mut children: Vec<_> = node.children().into_iter().cloned().collect();
        // Joins collect their left side.
        if let Some(collected) = children.first_mut() {
            *collected = PassExec::above(Arc::clone(collected), held);
        }
        rebuild(node, children).map(Transformed::yes)
    })
    .data()
}

/// Reserves what passes.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Who holds it.
    operator: &'static str,
    /// How often the bytes of a batch are held.
    times: usize,
}

impl Pass for Held {
    fn name(&self) -> &'static str {
        "HeldExec"
    }

    fn pass(
        &self,
        rows: SendableRecordBatchStream,
        context: &TaskContext,
    ) -> Result<SendableRecordBatchStream> {
        let schema = rows.schema();
        let times = self.times;
        let reservation = MemoryConsumer::new(self.operator).register(context.memory_pool());
        let rows = rows.and_then(move |batch| {
            let beside = BATCH + COLUMN * batch.num_columns();
            let counted = reservation.try_grow(batch.get_array_memory_size() * times + beside);
            std::future::ready(counted.map(|()| batch))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::error::DataFusionError;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_plan::collect;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    async fn run(sql: &str, memory: usize) -> Result<usize> {
        let runtime = RuntimeEnvBuilder::new().with_memory_limit(memory, 1.0).build_arc()?;
        let config = SessionConfig::new().with_target_partitions(1);
        let frame = SessionContext::new_with_config_rt(config, runtime).sql(sql).await?;
        let task = Arc::new(frame.task_ctx());
        let plan = counted(frame.create_physical_plan().await?)?;
        let batches = collect(plan, task).await?;
        Ok(batches.iter().map(|batch| batch.num_rows()).sum())
    }

    #[tokio::test]
    async fn what_nobody_counted_meets_the_bound_of_the_pool() {
        for sql in [
            "SELECT max(s) FROM (SELECT sum(value) OVER () s FROM generate_series(1, 3000000))",
            "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1) b, generate_series(1, 1) c",
        ] {
            let error = run(sql, 8 << 20).await.unwrap_err();
            let root = error.find_root();
            assert!(matches!(root, DataFusionError::ResourcesExhausted(_)), "{sql}: {error}");
            assert_eq!(run(sql, 1 << 30).await.unwrap(), 1, "{sql}");
        }
    }
}
