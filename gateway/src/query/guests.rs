//! Inline queries, called guests of the gateway. A limited number runs at a time. Each has its own threads, a share
//! of the memory, and a time limit. It runs only as long as a client reads its rows.
//!
//! ```text
//!  seat (waits in a bounded queue) ──> threads of its own ──batches──> the client's answer
//!                                        ^                                │ dropped, or over time
//!                                        └────────── asked to stop ───────┘
//! ```
//!
//! A statement that reads no file and multiplies no rows (`SELECT 1`) needs no normal seat. It is answered even when
//! all seats are taken by long queries.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use dunlin_manifest::env::Env;
use dunlin_plan::guard::{Stop, StopOnDrop};
use dunlin_plan::pressure::{self, Pressed, Pressure};
use dunlin_plan::priority;
use dunlin_planner::InlinePlan;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::mpsc;

use super::error::{CoreError, GuestError};
use super::seats::{Seat, Seats};
use super::threads::{ThreadKind, no_thread};
use crate::options::InlineLimits;

/// Batches that wait for the client: enough to compute and send at the same time.
const BATCHES_AHEAD: usize = 2;
/// Stack of a guest's threads: nested operator calls are as deep as the plan.
const STACK: usize = 64 << 20;
/// Most operators of a plan that needs no seat.
const TINY_PLAN: usize = 64;

/// The inline queries of this process.
#[derive(Debug)]
pub(super) struct Guests {
    env: Env,
    limits: InlineLimits,
    seats: Seats,
    /// Seats for statements that read no file and multiply no rows.
    tiny: Seats,
    pressure: Arc<Pressure>,
}

impl Guests {
    pub(super) fn new(env: Env, limits: InlineLimits) -> Self {
        let seats = Seats::new("queries run inline", limits.slots, limits.queue);
        let tiny = Seats::new("small queries run inline", limits.slots, limits.queue);
        Self { env, limits, seats, tiny, pressure: Arc::default() }
    }

    /// Bytes of memory of one guest.
    pub(super) fn memory(&self) -> usize {
        self.limits.memory_bytes / self.limits.slots.max(1)
    }

    /// Ends the guest that began last whenever the process has nearly all the memory that it may have. Never resolves.
    pub(super) fn watch_memory(&self) -> impl Future<Output = ()> + Send + 'static {
        let (pressure, env) = (Arc::clone(&self.pressure), self.env.clone());
        let most = self.limits.resident_bytes;
        async move { pressure::watch(&pressure, most, &env).await }
    }

    /// Runs `plan` as soon as a seat is free, and waits at most `patience` for it. Returns the running plan, whose
    /// operators hold the metrics, and its rows. Dropping the rows stops the plan.
    ///
    /// # Errors
    /// `GATEWAY_BUSY`, or a thread that cannot be started.
    pub(super) async fn run(
        &self,
        plan: InlinePlan,
        patience: Duration,
    ) -> Result<(Arc<dyn ExecutionPlan>, SendableRecordBatchStream), CoreError> {
        let tiny = is_tiny(plan.plan());
        self.run_on(tiny, plan, patience).await
    }

    /// Runs a plan over what the process knows anyway. It needs no seat of a query, and gets one thread.
    pub(super) async fn run_beside(
        &self,
        plan: InlinePlan,
        patience: Duration,
    ) -> Result<SendableRecordBatchStream, CoreError> {
        Ok(self.run_on(true, plan, patience).await?.1)
    }

    async fn run_on(
        &self,
        tiny: bool,
        plan: InlinePlan,
        patience: Duration,
    ) -> Result<(Arc<dyn ExecutionPlan>, SendableRecordBatchStream), CoreError> {
        let seats = if tiny { &self.tiny } else { &self.seats };
        let seat = seats.take(&self.env, patience).await?;
        let stop = Stop::default();
        let plan = plan.guarded(&stop)?;
        let threads = if tiny { 1 } else { self.limits.threads };
        let running = Arc::clone(plan.plan());
        let pressed = self.pressure.enter();
        let short = pressed.short.clone().cancelled_owned();
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let kind = ThreadKind { name: "dunlin-guest", stack: STACK, nice: priority::NICE, threads };
        let done = kind.run(move || work(plan, (seat, pressed), sender)).map_err(no_thread)?;
        let rows = Rows {
            schema: running.schema(),
            batches,
            done: Box::pin(done.map(|done| done.is_ok())),
            late: self.env.clock.sleep(self.limits.time).boxed(),
            limit: self.limits.time,
            short: Box::pin(short),
            resident: self.limits.resident_bytes.unwrap_or(0),
            stop: Some(stop.on_drop()),
        };
        Ok((running, Box::pin(rows)))
    }
}

async fn work(
    plan: InlinePlan,
    held: (Seat, Pressed),
    sender: mpsc::Sender<DfResult<RecordBatch>>,
) {
    // Held until the work has ended: a guest that does not stop keeps its seat.
    let _held = held;
    // The plan runs on a thread of the runtime, not on the thread that waits for it. Otherwise both would compute.
    let rows = async move {
        let mut rows = match plan.run() {
            Ok(rows) => rows,
            Err(error) => {
                let _ = sender.send(Err(DataFusionError::External(Box::new(error)))).await;
                return;
            }
        };
        while let Some(batch) = rows.next().await {
            let failed = batch.is_err();
            // The client has left, or an error ends the rows.
            if sender.send(batch).await.is_err() || failed {
                return;
            }
        }
    };
    if let Err(error) = tokio::spawn(rows).await
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// The rows of a guest, until the rows or the guest end.
struct Rows {
    schema: SchemaRef,
    batches: mpsc::Receiver<DfResult<RecordBatch>>,
    /// Resolves when the thread ends: false if it panicked.
    done: Pin<Box<dyn Future<Output = bool> + Send>>,
    late: Pin<Box<dyn Future<Output = ()> + Send>>,
    limit: Duration,
    /// Resolves when the process has nearly all its memory, and this guest must end.
    short: Pin<Box<dyn Future<Output = ()> + Send>>,
    resident: u64,
    /// Asks the guest to stop when it is dropped. `None` when no more rows will come.
    stop: Option<StopOnDrop>,
}

impl Rows {
    fn end(&mut self, last: Option<DataFusionError>) -> Poll<Option<DfResult<RecordBatch>>> {
        self.stop = None;
        Poll::Ready(last.map(Err))
    }
}

impl Stream for Rows {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stop.is_none() {
            return Poll::Ready(None);
        }
        if self.short.poll_unpin(context).is_ready() {
            let error = GuestError::OutOfMemory { most: self.resident };
            return self.end(Some(DataFusionError::External(Box::new(error))));
        }
        match self.batches.poll_recv(context) {
            Poll::Ready(Some(batch)) => return Poll::Ready(Some(batch)),
            // The sender is dropped: the work has ended, or it panicked.
            Poll::Ready(None) => {
                return match self.done.poll_unpin(context) {
                    Poll::Ready(true) => self.end(None),
                    Poll::Ready(false) => {
                        self.end(Some(DataFusionError::External(Box::new(GuestError::Panicked))))
                    }
                    Poll::Pending => Poll::Pending,
                };
            }
            Poll::Pending => {}
        }
        if self.late.poll_unpin(context).is_ready() {
            let error = GuestError::TimeLimit { most: self.limit };
            return self.end(Some(DataFusionError::External(Box::new(error))));
        }
        Poll::Pending
    }
}

impl RecordBatchStream for Rows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// Whether a plan reads no file and produces about as many rows as its text has: few operators, no joins, and leaves
/// with at most one row.
fn is_tiny(plan: &Arc<dyn ExecutionPlan>) -> bool {
    fn count(plan: &Arc<dyn ExecutionPlan>, left: &mut usize) -> bool {
        let known = plan.is::<PlaceholderRowExec>()
            || plan.is::<EmptyExec>()
            || plan.is::<ProjectionExec>()
            || plan.is::<FilterExec>()
            || plan.is::<GlobalLimitExec>()
            || plan.is::<LocalLimitExec>()
            || plan.is::<UnionExec>()
            || plan.is::<CoalescePartitionsExec>()
            || plan.is::<SortExec>()
            || plan.is::<AggregateExec>()
            || plan.is::<RepartitionExec>()
            || plan.is::<SortPreservingMergeExec>();
        if !known || *left == 0 {
            return false;
        }
        *left -= 1;
        plan.children().into_iter().all(|child| count(child, left))
    }
    count(plan, &mut TINY_PLAN.clone())
}
