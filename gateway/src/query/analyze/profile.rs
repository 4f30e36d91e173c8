//! The same figures as EXPLAIN ANALYZE, as values for programs.

use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{End, Requests, SealedTask, StageId};
use serde::Serialize;

use super::records::{critical_chain, read_stages};
use super::stage::{Claimed, StageRun, StageState, Took};
use crate::query::error::CoreError;

/// One stage.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StageBody {
    stage: StageId,
    name: String,
    state: StageState,
    partitions: u32,
    /// Stages that it reads.
    inputs: Vec<StageId>,
    /// Tasks, once they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<u64>,
    tasks_done: u64,
    /// Attempts that were claimed, and those among them that failed or were given back.
    attempts: u64,
    failed: u64,
    /// What the sizes of its inputs changed about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided: Option<String>,
    /// What its tasks did, once it is sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<Totals>,
    /// Each task of a sealed stage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    task_list: Vec<TaskBody>,
    /// Each claimed task of a stage that is not sealed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    claimed: Vec<Claimed>,
}

/// What tasks did together. Memory is that of the task with the most.
#[derive(Clone, Copy, Debug, Serialize)]
struct Totals {
    rows: u64,
    bytes: u64,
    #[serde(flatten)]
    used: Used,
    wall_us: Spread,
}

/// What a task, or a stage, has used.
#[derive(Clone, Copy, Debug, Serialize)]
struct Used {
    bytes_scanned: u64,
    bytes_exchanged: u64,
    bytes_spilled: u64,
    peak_memory_bytes: u64,
    compute_us: u64,
    requests: Requests,
}

impl From<Took> for Used {
    fn from(took: Took) -> Self {
        Self {
            bytes_scanned: took.scanned,
            bytes_exchanged: took.exchanged,
            bytes_spilled: took.spilled,
            peak_memory_bytes: took.memory,
            compute_us: took.cpu_us,
            requests: took.requests,
        }
    }
}

/// The times of a stage's tasks.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Spread {
    min: u64,
    median: u64,
    max: u64,
}

impl Spread {
    fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or(0);
        let (min, max) = (times.first().copied(), times.last().copied());
        Self { min: min.unwrap_or(0), median, max: max.unwrap_or(0) }
    }
}

/// One task of a sealed stage.
#[derive(Clone, Debug, Serialize)]
struct TaskBody {
    task: u32,
    /// The attempt that won.
    attempt: u32,
    worker: String,
    /// The partitions that it ran, if they are known.
    partitions: Vec<u32>,
    rows: u64,
    bytes: u64,
    wall_us: u64,
    /// When the attempt ended, in milliseconds after 1970 by its worker's clock, if the worker told.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_ms: Option<u64>,
    #[serde(flatten)]
    used: Used,
}

/// A stage on the longest chain.
#[derive(Clone, Copy, Debug, Serialize)]
struct Step {
    stage: StageId,
    longest_us: u64,
}

/// The whole query.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Profile {
    stages: Vec<StageBody>,
    /// The chain of sealed stages with the longest tasks. More workers cannot make the query faster.
    critical_path: Vec<Step>,
}

/// How far the stages are: one look, and a GET for each seal that this process does not know.
///
/// # Errors
/// The store's.
pub(crate) async fn stages(
    handle: &QueryHandle,
    end: Option<&End>,
) -> Result<Vec<StageBody>, CoreError> {
    let runs = read_stages(handle, end).await?;
    Ok(runs.iter().map(|run| body(run, false)).collect())
}

/// The stages with their tasks.
///
/// # Errors
/// The store's.
pub(crate) async fn profile(handle: &QueryHandle, end: Option<&End>) -> Result<Profile, CoreError> {
    let runs = read_stages(handle, end).await?;
    let chain = critical_chain(&runs).into_iter();
    Ok(Profile {
        stages: runs.iter().map(|run| body(run, true)).collect(),
        critical_path: chain.map(|(stage, longest_us)| Step { stage, longest_us }).collect(),
    })
}

fn body(run: &StageRun, with_tasks: bool) -> StageBody {
    let planned = run.planned.as_ref().map(|tasks| tasks.len() as u64);
    let sealed = run.seal.as_ref().map(|seal| seal.totals().tasks);
    StageBody {
        stage: run.id,
        name: run.name.clone(),
        state: run.state(),
        partitions: run.partitions,
        inputs: run.inputs.clone(),
        tasks: sealed.or(planned),
        tasks_done: sealed.unwrap_or(run.committed as u64),
        attempts: run.attempts,
        failed: run.failed,
        decided: run.decided.clone(),
        totals: run.seal.as_ref().map(|seal| Totals {
            rows: seal.rows,
            bytes: seal.bytes,
            used: Took::sum(run.tasks()).into(),
            wall_us: Spread::of(run.tasks().iter().map(|task| task.metrics.wall_us).collect()),
        }),
        task_list: match with_tasks {
            true => run.tasks().iter().map(|task| task_body(run, task)).collect(),
            false => Vec::new(),
        },
        claimed: match with_tasks && run.seal.is_none() {
            true => run.claimed.clone(),
            false => Vec::new(),
        },
    }
}

fn task_body(run: &StageRun, task: &SealedTask) -> TaskBody {
    let planned = run.planned.as_ref().and_then(|tasks| tasks.get(task.task as usize));
    TaskBody {
        task: task.task,
        attempt: task.attempt,
        worker: task.worker.clone(),
        partitions: planned.cloned().unwrap_or_default(),
        rows: task.output.rows,
        bytes: task.output.bytes,
        wall_us: task.metrics.wall_us,
        ended_ms: Some(task.metrics.ended_ms).filter(|ended| *ended > 0),
        used: Took::of(task).into(),
    }
}
