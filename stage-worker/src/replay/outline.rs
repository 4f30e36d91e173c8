//! The stages and tasks of a past query, and what each took. Only its records are read.

use std::collections::BTreeMap;

use dunlin_manifest::ids::{Attempt, QueryId, StageId, TaskId};
use dunlin_manifest::keys;
use dunlin_manifest::query::AdvanceError;
use dunlin_manifest::records::{End, SealedTask};
use dunlin_manifest::store::create::load;

use super::committed::winners;
use super::error::ReplayError;
use crate::worker::Worker;

/// A past query.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Its id.
    pub query: QueryId,
    /// Its statement.
    pub sql: String,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// Its stages, producers first.
    pub stages: Vec<StageOutline>,
}

/// A stage of a past query.
#[derive(Clone, Debug)]
pub struct StageOutline {
    /// Its number.
    pub stage: StageId,
    /// A few words for people.
    pub name: String,
    /// Whether all of its tasks were committed.
    pub is_sealed: bool,
    /// Its tasks, as far as they are known.
    pub tasks: Vec<TaskOutline>,
}

/// A task of a past query.
#[derive(Clone, Debug)]
pub struct TaskOutline {
    /// Its number.
    pub task: TaskId,
    /// The partitions that it runs, if they are known.
    pub partitions: Vec<u32>,
    /// What was committed.
    pub done: Option<Done>,
}

/// What was committed of a task.
#[derive(Clone, Debug)]
pub struct Done {
    /// The attempt that won.
    pub attempt: Attempt,
    /// Who ran it.
    pub worker: String,
    /// Rows that it wrote.
    pub rows: u64,
    /// Bytes that it wrote.
    pub bytes: u64,
    /// Bytes that it read, of tables and of the exchange.
    pub read_bytes: u64,
    /// Microseconds from claim to commit.
    pub wall_us: u64,
    /// Microseconds in which operators computed.
    pub compute_us: u64,
    /// Bytes that it spilled.
    pub spilled_bytes: u64,
}

impl From<&SealedTask> for Done {
    fn from(task: &SealedTask) -> Self {
        let metrics = &task.metrics;
        Self {
            attempt: task.attempt,
            worker: task.worker.clone(),
            rows: task.output.rows,
            bytes: task.output.bytes,
            read_bytes: metrics.scan_bytes + metrics.shuffle_read_bytes,
            wall_us: metrics.wall_us,
            compute_us: metrics.cpu_us,
            spilled_bytes: metrics.spill_bytes,
        }
    }
}

impl Worker {
    /// The stages and tasks of a query, by its records.
    ///
    /// # Errors
    /// No such query, or a state that cannot be read.
    pub async fn outline(&self, query: &QueryId) -> Result<Outline, ReplayError> {
        let known = self.past(query).await?;
        let handle = &known.handle;
        let state = |error: AdvanceError| ReplayError::State(error.to_string());
        let end: Option<End> = load(handle.store(), &keys::end(query)).await?;
        let mut stages = Vec::new();
        for spec in &handle.root.stages {
            let winners = winners(handle, end.as_ref(), spec.id).await?;
            let decided = handle.manifest(spec.id).await.map_err(state)?;
            let planned: &[_] = decided.as_ref().map_or(&[], |it| &it.manifest.tasks);
            let count = planned.len().max(winners.as_ref().map_or(0, Vec::len));
            let won: BTreeMap<TaskId, Done> =
                winners.iter().flatten().map(|winner| (winner.task, winner.into())).collect();
            let task = |task: TaskId| TaskOutline {
                task,
                partitions: planned
                    .get(task as usize)
                    .map_or_else(Vec::new, |planned| planned.partitions.clone()),
                done: won.get(&task).cloned(),
            };
            stages.push(StageOutline {
                stage: spec.id,
                name: spec.name.clone(),
                is_sealed: winners.is_some(),
                tasks: (0..TaskId::try_from(count).unwrap_or(TaskId::MAX)).map(task).collect(),
            });
        }
        Ok(Outline { query: query.clone(), sql: handle.root.sql.clone(), end, stages })
    }
}
