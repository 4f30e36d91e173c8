//! Makes a plan stoppable, even if its operators do not pause between two rows.
//!
//! ```text
//!  AggregateExec                    AggregateExec
//!    CrossJoinExec          ──>       GuardExec          asks before every batch
//!      …                                CrossJoinExec
//!                                         …
//!  NestedLoopJoinExec: filter  ──>  NestedLoopJoinExec: guarded filter   asks before every piece it compares
//! ```
//!
//! Dropping a stream stops it only when it is polled no more, and some operators return from a poll late or
//! never: a cross join feeds an aggregate for hours without one pause, and a nested loop join whose filter
//! lets nothing through makes no batch at all. The engine's own pauses stand at the leaves, and a join
//! multiplies what lies between two of them. So the operators that multiply rows are asked from above, and
//! the filters of joins from within.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec,
    NestedLoopJoinExecBuilder, SortMergeJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;
use dunlin_shuffle::children::only;
use futures::Stream;

use super::pass::{Pass, PassExec};

/// A wish that work ends, shared by the one who wishes and the work.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the work to end. It ends with [`Stopped`] at its next check.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work was asked to end.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks the work to end when the value is dropped.
    #[must_use]
    pub fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }

    fn check(&self) -> Result<()> {
        if self.is_asked() { Err(DataFusionError::External(Box::new(Stopped))) } else { Ok(()) }
    }
}

/// See [`Stop::on_drop`].
#[derive(Debug)]
pub struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// The error of work that was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was asked to end")]
pub struct Stopped;

/// `plan`, which ends soon after `stop` was requested.
///
/// # Errors
/// An operator that cannot be rebuilt.
pub(super) fn stoppable(
    plan: Arc<dyn ExecutionPlan>,
    stop: &Stop,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let node = with_guarded_filter(node, stop)?;
        let multiplies = node.is::<CrossJoinExec>()
            || node.is::<HashJoinExec>()
            || node.is::<NestedLoopJoinExec>()
            || node.is::<SortMergeJoinExec>()
            || node.is::<UnnestExec>()
            || node.children().is_empty();
        if !multiplies {
            return Ok(Transformed::no(node));
        }
        Ok(Transformed::yes(PassExec::above(node, UntilStopped(stop.clone()))))
    })
    .data()
}

fn with_guarded_filter(
    node: Arc<dyn ExecutionPlan>,
    stop: &Stop,
) -> Result<Arc<dyn ExecutionPlan>> {
    let guarded = |filter: &JoinFilter| {
        let inner = Arc::clone(filter.expression());
        let guard = Arc::new(GuardExpr { inner, stop: stop.clone() });
        JoinFilter::new(guard, filter.column_indices().to_vec(), Arc::clone(filter.schema()))
    };
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let filter = guarded(filter);
        let join = NestedLoopJoinExecBuilder::from(join).with_filter(Some(filter)).build()?;
        return Ok(Arc::new(join));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        let filter = guarded(filter);
        let join = HashJoinExecBuilder::from(join).with_filter(Some(filter)).build()?;
        return Ok(Arc::new(join));
    }
    Ok(node)
}

/// Its input's rows, until it is asked to stop.
#[derive(Debug)]
struct UntilStopped(Stop);

impl Pass for UntilStopped {
    fn name(&self) -> &'static str {
        "GuardExec"
    }

    fn pass(
        &self,
        rows: SendableRecordBatchStream,
        _: &TaskContext,
    ) -> Result<SendableRecordBatchStream> {
        self.0.check()?;
        Ok(Box::pin(GuardedRows { rows, stop: self.0.clone() }))
    }
}

struct GuardedRows {
    rows: SendableRecordBatchStream,
    stop: Stop,
}

impl Stream for GuardedRows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(stopped) = self.stop.check() {
            return Poll::Ready(Some(Err(stopped)));
        }
        // Lets other work of the same thread run, too.
        match tokio::task::coop::poll_proceed(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(turn) => {
                let polled = self.rows.as_mut().poll_next(context);
                if polled.is_ready() {
                    turn.made_progress();
                }
                polled
            }
        }
    }
}

impl RecordBatchStream for GuardedRows {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

/// The value of an expression, unless the work was asked to end.
#[derive(Debug)]
struct GuardExpr {
    inner: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

impl fmt::Display for GuardExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PartialEq for GuardExpr {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for GuardExpr {}

impl Hash for GuardExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl PhysicalExpr for GuardExpr {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.stop.check()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [inner] = only("a guard", children)?;
        Ok(Arc::new(Self { inner, stop: self.stop.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, Instant};

    use datafusion::physical_plan::execute_stream;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use futures::StreamExt;

    use super::*;

    /// Runs `sql` on a thread of its own, asks it to stop after a moment, and returns how it ended.
    fn stopped(sql: &'static str) -> (DataFusionError, Duration) {
        let stop = Stop::default();
        let asked = stop.clone();
        let (told, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let config = SessionConfig::new().with_target_partitions(2);
                let context = SessionContext::new_with_config(config);
                let frame = context.sql(sql).await.unwrap();
                let (task, plan) =
                    (Arc::new(frame.task_ctx()), frame.create_physical_plan().await.unwrap());
                let plan = stoppable(plan, &stop).unwrap();
                let mut rows = execute_stream(plan, task).unwrap();
                let error = loop {
                    if let Err(error) = rows.next().await.unwrap() {
                        break error;
                    }
                };
                told.send(error).unwrap();
            });
        });
        // Long enough that the query is running. If it was not running, the checks below would fail.
        assert!(ended.recv_timeout(Duration::from_millis(500)).is_err(), "it ended by itself");
        let began = Instant::now();
        asked.ask();
        (ended.recv_timeout(Duration::from_secs(60)).unwrap(), began.elapsed())
    }

    #[test]
    fn operators_that_never_pause_are_stopped() {
        for sql in [
            "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 1000000) b",
            "SELECT count(*) FROM generate_series(1, 300000) a(x), generate_series(1, 1000000) b(y) WHERE a.x + b.y < 0",
            "SELECT count(*) FROM generate_series(1, 300000) a(x) JOIN generate_series(1, 1000000) b(y) ON a.x % 2 = b.y % 2 AND a.x + b.y < 0",
        ] {
            let (error, took) = stopped(sql);
            let DataFusionError::External(cause) = error.find_root() else {
                panic!("{sql}: {error}")
            };
            assert!(cause.is::<Stopped>(), "{sql}");
            println!("{took:?} {sql}");
        }
    }
}
