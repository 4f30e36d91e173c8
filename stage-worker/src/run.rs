//! Running one attempt of one task: from the plan object to the data objects.
//!
//! ```text
//!  plan object ─decode─> plan ─execute(p), p of the task─> batches ─TaskWriter─> data objects
//!                          └─ExchangeReader─> sealed slices of the inputs
//!                          └─scan─> pinned table files
//! ```
//! Everything here runs on the compute runtime. Store requests, heartbeats and the watch for a cancelled query run
//! elsewhere, where DataFusion's work cannot delay them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, PeakRecordingPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use dunlin_manifest::decide::Decided;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::pinned::InputWatch;
use dunlin_manifest::records::{
    ErrorCode, FailClass, Output, Root, StageSpec, TaskMetrics, TaskOutput,
};
use dunlin_plan::gather::gathered;
use dunlin_plan::guard::{Stop, guarded};
use dunlin_plan::sift::{by_filter, sifted};
use dunlin_plan::task::TaskPlan;
use dunlin_plan::write::{CommitExec, WriteAccess, WriteExec};
use dunlin_plan::{damaged, session, task};
use dunlin_shuffle::{
    Buckets, DataTarget, ExchangeInputs, KeyFilter, StageData, TaskWriter, WriterOptions,
};
use futures::StreamExt;

use crate::ahead::Question;
use crate::failure::{AttemptError, classify, classify_reading, classify_shuffle};
use crate::shared::{Shared, memory_limit};

/// The inputs of one attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) root: Arc<Root>,
    pub(crate) task: u32,
    /// Names the attempt among all attempts of all tasks of its stage: files that it writes have it in their names.
    pub(crate) name: String,
    /// What the task runs.
    pub(crate) part: Part,
    /// Asks what the slot's next task reads, which is one of the same stage.
    pub(crate) next: Option<Question>,
    /// Stages that are merged into this one, producers first. The task runs all of each before its own part, and holds
    /// the rows.
    pub(crate) before: Vec<Part>,
    pub(crate) decided: Arc<Decided>,
    pub(crate) inputs: ExchangeInputs,
    /// Counts what is read from tables.
    pub(crate) scan_meter: Arc<Meter>,
    /// Records inputs that changed.
    pub(crate) watch: InputWatch,
    /// Set when the attempt is given up, because some operators return from a poll late or never.
    pub(crate) stop: Stop,
    /// Set where a task is run again to be looked at: the plans that have run, with their metrics. Nothing else may come
    /// of such a run, so it writes no files of tables.
    pub(crate) seen: Option<Seen>,
}

/// Plans that have run.
pub(crate) type Seen = Arc<parking_lot::Mutex<Vec<Arc<dyn ExecutionPlan>>>>;

/// Partitions of a stage's plan, and where their rows go.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) spec: StageSpec,
    pub(crate) plan: bytes::Bytes,
    pub(crate) partitions: Vec<u32>,
    pub(crate) target: DataTarget,
}

/// The rows of a plan that has run.
#[derive(Debug)]
pub(crate) enum Rows {
    /// Not written yet, so that the slot can run the next plan meanwhile.
    Held(Box<TaskWriter>),
    /// Written.
    Written(TaskOutput),
}

impl Rows {
    /// Bytes of rows that are not written yet.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Held(writer) => writer.held_bytes(),
            Self::Written(_) => 0,
        }
    }

    /// Writes what is held.
    pub(crate) async fn write(self) -> Result<TaskOutput, AttemptError> {
        match self {
            Self::Held(writer) => writer.finish().await.map_err(|error| classify_shuffle(&error)),
            Self::Written(output) => Ok(output),
        }
    }
}

/// Rows of a merged stage are written as objects if they have more bytes than this.
const MOST_MERGED: usize = 4 << 20;

/// A writer that holds more than this is finished before the slot runs its next plan, which needs the memory.
const MOST_HELD: usize = 16 << 20;

/// Runs the attempt's plan and returns its rows.
pub(crate) async fn run(
    shared: &Shared,
    attempt: Attempt,
) -> Result<(Rows, TaskMetrics), AttemptError> {
    let watch = attempt.watch.clone();
    run_plan(shared, attempt).await.map_err(|error| match watch.changed() {
        // Every attempt would find the input changed. The engine's error says less.
        Some(changed) => AttemptError {
            class: FailClass::Fatal,
            code: ErrorCode::InputChanged,
            message: format!("{changed}; submit the query again to read the new version"),
        },
        None => match watch.trouble() {
            // The engine's error for a failed request may look like an error of the query.
            Some(trouble) if error.class == FailClass::Fatal => AttemptError {
                class: FailClass::Store,
                code: ErrorCode::StoreUnavailable,
                message: format!("{} ({trouble})", error.message),
            },
            _ => error,
        },
    })
}

async fn run_plan(
    shared: &Shared,
    mut attempt: Attempt,
) -> Result<(Rows, TaskMetrics), AttemptError> {
    let counters = Arc::clone(attempt.inputs.counters());
    let mut metrics = TaskMetrics::default();
    for part in std::mem::take(&mut attempt.before) {
        let writer = run_part(shared, &attempt, (&part, None), MOST_MERGED, &mut metrics).await?;
        let output = writer.finish().await.map_err(|error| classify_shuffle(&error))?;
        let data = StageData::new(vec![output]).map_err(|error| classify_shuffle(&error))?;
        attempt.inputs = attempt.inputs.with_stage(part.spec.id, Arc::new(data));
    }
    let inline = usize::try_from(attempt.decided.manifest.inline_bytes).unwrap_or(0);
    let next = attempt.next.take();
    let writer = run_part(shared, &attempt, (&attempt.part, next), inline, &mut metrics).await?;
    let rows = if writer.held_bytes() > MOST_HELD {
        Rows::Written(writer.finish().await.map_err(|error| classify_shuffle(&error))?)
    } else {
        Rows::Held(Box::new(writer))
    };
    metrics.shuffle_read_bytes = counters.bytes.load(std::sync::atomic::Ordering::Relaxed);
    metrics.input_rows = counters.rows.load(std::sync::atomic::Ordering::Relaxed);
    Ok((rows, metrics))
}

/// Runs partitions of a stage, and adds what they cost to `metrics`. Returns the writer that has their rows. It puts up
/// to `inline` bytes into the output itself. Once the plan is open, it answers what the `next` task reads.
async fn run_part(
    shared: &Shared,
    attempt: &Attempt,
    (part, next): (&Part, Option<Question>),
    inline: usize,
    metrics: &mut TaskMetrics,
) -> Result<TaskWriter, AttemptError> {
    let Part { spec, plan, partitions, target } = part;
    let context = context(shared, attempt, part).map_err(|error| classify(&error))?;
    let mut opened =
        task::open(plan, spec, partitions, &context).map_err(|error| classify(&error))?;
    check_replayed(attempt, spec, &opened.plan)?;
    let ahead = task::buckets_read(&opened.plan, spec, partitions);
    let asked = next.map(|question| {
        let buckets = task::buckets_read(&opened.plan, spec, &question.partitions);
        (question, buckets)
    });
    let pool = context.memory_pool();
    attempt.inputs.load(&ahead).await.map_err(|error| classify_shuffle(&error))?;
    attempt.inputs.read_ahead(ahead, pool).map_err(|error| classify_shuffle(&error))?;
    if let Some((question, buckets)) = asked {
        question.answer(buckets);
    }
    let filter = sift(&mut opened, &attempt.inputs, part).await?;
    let memory = memory_limit(pool).map(|all| all / shared.options.slots.max(1));
    opened.plan = gathered(opened.plan, &attempt.inputs, memory)
        .and_then(|plan| guarded(plan, &attempt.stop))
        .map_err(|error| classify(&error))?;
    let buckets = match &opened.hash {
        Some((exprs, count)) => {
            Buckets::Hash { exprs: exprs.clone(), n: u32::try_from(*count).unwrap_or(u32::MAX) }
        }
        None => Buckets::Partitions,
    };
    let reservation = MemoryConsumer::new("exchange writer").register(context.memory_pool());
    let mut options = WriterOptions::new(
        opened.plan.schema(),
        buckets,
        target.clone(),
        shared.env.clone(),
        reservation,
    );
    options.inline_limit = inline;
    options.waiting_bytes = waiting_bytes(pool);
    options.key_filter = spec.key_filter;
    options.filter = filter;
    options.compression = session::exchange_compression(&attempt.root.session);
    let mut writer = TaskWriter::new(options).map_err(|error| classify_shuffle(&error))?;
    let fed = if spec.one_task {
        feed_together(&opened.plan, partitions, &context, &mut writer).await
    } else {
        feed_in_turn(&opened.plan, partitions, &context, &mut writer).await
    };
    if let Err(error) = fed {
        writer.abort().await;
        return Err(match error {
            Unfed::Rows(error) => {
                let (pins, read) = (&attempt.root.pins, attempt.watch.read());
                let read = damaged::to_blame(&error, &context.runtime_env(), pins, read).await;
                classify_reading(&error, &read)
            }
            Unfed::Writer(error) => error,
        });
    }
    if let Some(seen) = &attempt.seen {
        seen.lock().push(Arc::clone(&opened.plan));
    }
    let peak = PeakRecordingPool::from_pool(context.memory_pool().as_ref())
        .map_or(0, PeakRecordingPool::max_reserved);
    metrics.spill_bytes += spilled(&opened.plan);
    metrics.cpu_us += computed_ns(&opened.plan) / 1_000;
    metrics.peak_memory = u64::try_from(context.memory_pool().reserved()).unwrap_or(u64::MAX);
    metrics.task_memory = metrics.task_memory.max(u64::try_from(peak).unwrap_or(u64::MAX));
    Ok(writer)
}

/// Reads the filters that a plan asks for, and has its scans ask for their keys. Returns the one that whoever places the
/// rows asks.
async fn sift(
    opened: &mut TaskPlan,
    inputs: &ExchangeInputs,
    part: &Part,
) -> Result<Option<Arc<KeyFilter>>, AttemptError> {
    let asked: Vec<_> = opened.filter.into_iter().chain(task::filters(&opened.plan)).collect();
    let mut known = HashMap::new();
    for (stage, bucket) in asked {
        let filter = inputs.key_filter(stage, bucket).await;
        if let Some(filter) = filter.map_err(|error| classify_shuffle(&error))? {
            known.insert((stage, bucket), filter);
        }
    }
    let find = |stage, bucket| known.get(&(stage, bucket)).map(Arc::clone);
    let is_one = part.partitions.len() == 1 && !part.spec.one_task;
    let sifted = sifted(Arc::clone(&opened.plan), &find, is_one);
    let mut plan = sifted.map_err(|error| classify(&error))?;
    let last = opened.filter.and_then(|(stage, bucket)| find(stage, bucket));
    if let (Some(filter), Some((keys, _))) = (&last, &opened.hash)
        && let Some(asking) = by_filter(&plan, keys, filter).map_err(|error| classify(&error))?
    {
        plan = asking;
    }
    opened.plan = plan;
    Ok(last)
}

/// What a sort keeps to merge its spilled runs. A fixed 10 MiB would be most of a small memory.
fn spill_reservation(pool: &Arc<dyn MemoryPool>) -> usize {
    const USUAL: usize = 10 << 20;
    memory_limit(pool).map_or(USUAL, |limit| (limit / 16).clamp(1 << 20, USUAL))
}

/// The bytes of rows that wait for a full batch of their bucket: a small part of the memory.
fn waiting_bytes(pool: &Arc<dyn MemoryPool>) -> usize {
    let most = WriterOptions::WAITING_BYTES;
    memory_limit(pool).map_or(most, |limit| (limit / 32).min(most))
}

/// A task context that can read the pinned inputs of this query and the exchange, nothing else.
fn context(
    shared: &Shared,
    attempt: &Attempt,
    part: &Part,
) -> Result<Arc<TaskContext>, DataFusionError> {
    let spec = &part.spec;
    let own = part.partitions.len();
    let mut config = session::config(&attempt.root.session)
        .map_err(|error| DataFusionError::Internal(error.to_string()))?
        .with_sort_spill_reservation_bytes(spill_reservation(&shared.runtime.memory_pool))
        .with_extension(Arc::new(attempt.inputs.clone()));
    if attempt.seen.is_none() {
        config.set_extension(Arc::new(WriteAccess::new(
            shared.tables.read().clone(),
            Arc::clone(&attempt.scan_meter),
            shared.env.clone(),
            format!("{}-{}", spec.id, attempt.name),
            (spec.partitions as usize, own),
        )));
    }
    let runtime: Arc<RuntimeEnv> = RuntimeEnvBuilder::from_runtime_env(&shared.runtime)
        .with_object_store_registry(shared.tables.read().pinned_registry(
            &attempt.root.pins,
            &attempt.scan_meter,
            &attempt.watch,
        ))
        // The pool is shared by all slots. This wrapper counts what this attempt alone reserves.
        .with_memory_pool(Arc::new(PeakRecordingPool::new(Arc::clone(&shared.runtime.memory_pool))))
        .build_arc()?;
    Ok(Arc::new(TaskContext::new(
        Some(format!("{}.{}", spec.id, attempt.task)),
        attempt.root.query.clone(),
        config,
        shared.functions.scalar_functions().clone(),
        shared.functions.higher_order_functions().clone(),
        shared.functions.aggregate_functions().clone(),
        shared.functions.window_functions().clone(),
        runtime,
    )))
}

/// Why not all rows of a plan were taken.
enum Unfed {
    /// The plan failed.
    Rows(DataFusionError),
    /// The writer failed.
    Writer(AttemptError),
}

impl From<DataFusionError> for Unfed {
    fn from(error: DataFusionError) -> Self {
        Self::Rows(error)
    }
}

/// Runs one partition after another, so that only one needs memory at a time.
async fn feed_in_turn(
    plan: &Arc<dyn ExecutionPlan>,
    partitions: &[u32],
    context: &Arc<TaskContext>,
    writer: &mut TaskWriter,
) -> Result<(), Unfed> {
    for partition in partitions {
        let mut rows = plan.execute(*partition as usize, Arc::clone(context))?;
        while let Some(batch) = rows.next().await {
            push(writer, *partition, batch).await?;
        }
    }
    Ok(())
}

/// Runs all partitions at once in one process, as the operator that forced a single task expects.
async fn feed_together(
    plan: &Arc<dyn ExecutionPlan>,
    partitions: &[u32],
    context: &Arc<TaskContext>,
    writer: &mut TaskWriter,
) -> Result<(), Unfed> {
    let mut streams = Vec::with_capacity(partitions.len());
    let wanted: HashSet<u32> = partitions.iter().copied().collect();
    let all = u32::try_from(plan.output_partitioning().partition_count()).unwrap_or(u32::MAX);
    for partition in (0..all).filter(|partition| wanted.contains(partition)) {
        let rows = plan.execute(partition as usize, Arc::clone(context))?;
        streams.push(rows.map(move |batch| (partition, batch)).boxed());
    }
    let mut rows = futures::stream::select_all(streams);
    while let Some((partition, batch)) = rows.next().await {
        push(writer, partition, batch).await?;
    }
    Ok(())
}

async fn push(
    writer: &mut TaskWriter,
    partition: u32,
    batch: Result<RecordBatch, DataFusionError>,
) -> Result<(), Unfed> {
    let batch = batch?;
    if batch.num_rows() == 0 {
        return Ok(());
    }
    let pushed = writer.push(partition, batch).await;
    pushed.map_err(|error| Unfed::Writer(classify_shuffle(&error)))
}

/// Bytes that the plan's operators wrote to local disk.
fn spilled(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or(0);
    let below: u64 = plan.children().into_iter().map(spilled).sum();
    u64::try_from(own).unwrap_or(u64::MAX).saturating_add(below)
}

/// Nanoseconds in which the plan's operators computed.
fn computed_ns(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.elapsed_compute()).unwrap_or(0);
    let below: u64 = plan.children().into_iter().map(computed_ns).sum();
    u64::try_from(own).unwrap_or(u64::MAX).saturating_add(below)
}

/// Refuses to run a plan again that writes files of tables.
fn check_replayed(
    attempt: &Attempt,
    spec: &StageSpec,
    plan: &Arc<dyn ExecutionPlan>,
) -> Result<(), AttemptError> {
    if attempt.seen.is_none() || !writes(plan) {
        return Ok(());
    }
    Err(AttemptError {
        class: FailClass::Fatal,
        code: ErrorCode::Unsupported,
        message: format!("stage {} writes files, so it is not run again", spec.id),
    })
}

/// Whether a plan writes files of tables.
fn writes(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<WriteExec>() || plan.is::<CommitExec>() || plan.children().into_iter().any(writes)
}

/// Where the data of a stage goes: results under `res/`, everything else under `data/`.
pub(crate) fn is_result(spec: &StageSpec) -> bool {
    spec.output == Output::Result
}
