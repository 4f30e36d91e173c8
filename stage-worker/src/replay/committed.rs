//! What was committed of a task.

use dunlin_manifest::ids::{Attempt, StageId, TaskId};
use dunlin_manifest::keys;
use dunlin_manifest::query::{AdvanceError, Blocks, QueryHandle};
use dunlin_manifest::records::{Commit, End, SealedTask, TaskMetrics, TaskOutput};
use dunlin_manifest::store::create::load;

use super::error::ReplayError;

/// The attempt that won a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Winner {
    /// Its number.
    pub attempt: Attempt,
    /// Who ran it.
    pub worker: String,
    /// What it used.
    pub metrics: TaskMetrics,
    /// What it wrote. Without slices, if only its totals are stored any more.
    pub output: TaskOutput,
}

impl From<SealedTask> for Winner {
    fn from(task: SealedTask) -> Self {
        let SealedTask { attempt, worker, metrics, output, .. } = task;
        Self { attempt, worker, metrics, output }
    }
}

/// The winners of a stage, by the end of the query if that is their commit, or by the seal. `None`: it is not sealed.
pub(super) async fn winners(
    handle: &QueryHandle,
    end: Option<&End>,
    stage: StageId,
) -> Result<Option<Vec<SealedTask>>, ReplayError> {
    let answer = end.and_then(|end| end.answer.as_ref()).filter(|answer| answer.stage == stage);
    if let Some(answer) = answer {
        return Ok(Some(answer.tasks.clone()));
    }
    let state = |error: AdvanceError| ReplayError::State(error.to_string());
    let Some(sealed) = handle.seal(stage).await.map_err(state)? else { return Ok(None) };
    Ok(Some(match Blocks::of(handle.store(), &handle.query, &sealed.seal) {
        Some(blocks) => blocks.winners().await.map_err(state)?,
        None => sealed.seal.tasks.clone(),
    }))
}

/// What was committed of a task, by its commit, by the end of the query if that is the commit, or by the seal.
pub(super) async fn committed(
    handle: &QueryHandle,
    stage: StageId,
    task: TaskId,
) -> Result<Option<Winner>, ReplayError> {
    let query = &handle.query;
    let end: Option<End> = load(handle.store(), &keys::end(query)).await?;
    let is_answer = end.iter().flat_map(|end| &end.answer).any(|answer| answer.stage == stage);
    if !is_answer
        && let Some(commit) =
            load::<Commit>(handle.store(), &keys::commit(query, stage, task)).await?
    {
        let Commit { attempt, worker, metrics, output, .. } = commit;
        return Ok(Some(Winner { attempt, worker, metrics, output }));
    }
    let winners = winners(handle, end.as_ref(), stage).await?.unwrap_or_default();
    Ok(winners.into_iter().find(|own| own.task == task).map(Winner::from))
}
