//! Writing the derived records that are due. Each is a pure function of existing records, so a process that finds the
//! record compares it and uses it.

use std::ops::Range;

use futures::{StreamExt, TryStreamExt, stream};

use crate::decide::{self, Due};
use crate::model::encoding::encode;
use crate::model::ids::{StageId, TaskId};
use crate::model::keys;
use crate::model::records::{Commit, GroupSeal, Seal, SealedTask, StageManifest};
use crate::model::view::QueryView;
use crate::query::error::AdvanceError;
use crate::query::handle::QueryHandle;
use crate::store::create::{self, Derived};

/// Records read at once while a stage is sealed.
const READS: usize = 16;

/// Writes a record that is due, and marks it in the view as existing.
pub(super) async fn write(
    handle: &QueryHandle,
    view: &mut QueryView,
    due: Due,
) -> Result<Derived, AdvanceError> {
    let derived = if handle.known.is_written(due) {
        Derived::Adopted
    } else {
        match due {
            Due::Manifest(stage) => write_manifest(handle, stage).await?,
            Due::GroupSeal(stage, group) => write_group_seal(handle, stage, group).await?,
            Due::Seal(stage) => write_seal(handle, stage).await?,
        }
    };
    match due {
        Due::Manifest(stage) => view.stage(stage).manifest = true,
        Due::GroupSeal(stage, group) => {
            view.stage(stage).groups.insert(group);
        }
        Due::Seal(stage) => view.stage(stage).sealed = true,
    }
    Ok(derived)
}

async fn write_manifest(handle: &QueryHandle, stage: StageId) -> Result<Derived, AdvanceError> {
    let manifest = make_manifest(handle, stage).await?;
    let key = keys::manifest(&handle.query, stage);
    let derived = create::derive(&handle.store, &handle.env, &key, encode(&manifest)).await?;
    handle.known.remember_manifest(stage, manifest);
    Ok(derived)
}

async fn write_group_seal(
    handle: &QueryHandle,
    stage: StageId,
    group: u32,
) -> Result<Derived, AdvanceError> {
    let tasks = decide::group_tasks(group, tasks_of(handle, stage).await?);
    let seal = decide::group_seal(group, winners(handle, stage, tasks).await?);
    let key = keys::gseal(&handle.query, stage, group);
    let derived = create::derive(&handle.store, &handle.env, &key, encode(&seal)).await?;
    handle.known.remember_group(stage, group);
    Ok(derived)
}

async fn write_seal(handle: &QueryHandle, stage: StageId) -> Result<Derived, AdvanceError> {
    let tasks = tasks_of(handle, stage).await?;
    let groups = decide::groups(tasks);
    let winners = if groups == 0 {
        winners(handle, stage, 0..u32::try_from(tasks).unwrap_or(u32::MAX)).await?
    } else {
        grouped(handle, stage, groups).await?
    };
    let seal = decide::seal(&handle.root, stage, winners);
    let key = keys::seal(&handle.query, stage);
    let derived = create::derive(&handle.store, &handle.env, &key, encode(&seal)).await?;
    handle.known.remember_seal(stage, seal);
    Ok(derived)
}

/// Reads what the manifest of a stage depends on, and decides the manifest.
async fn make_manifest(
    handle: &QueryHandle,
    stage: StageId,
) -> Result<StageManifest, AdvanceError> {
    let missing = |key: String| AdvanceError::Missing { key };
    let spec = handle
        .root
        .stages
        .iter()
        .find(|spec| spec.id == stage)
        .ok_or_else(|| missing(keys::manifest(&handle.query, stage)))?;
    // Whether every task reads the whole build side was decided when the stage of the probe side was decided.
    let broadcast = match &spec.broadcast {
        Some(broadcast) => {
            let manifest = handle.manifest(broadcast.probe).await?;
            let manifest =
                manifest.ok_or_else(|| missing(keys::manifest(&handle.query, broadcast.probe)))?;
            manifest.absorbed
        }
        None => false,
    };
    let inputs = spec.decided(broadcast).inputs;
    let mut seals = Vec::with_capacity(inputs.len());
    for input in &inputs {
        let seal = handle.seal(input.stage).await?;
        seals.push(seal.ok_or_else(|| missing(keys::seal(&handle.query, input.stage)))?);
    }
    let seals: Vec<&Seal> = seals.iter().map(AsRef::as_ref).collect();
    Ok(decide::stage_manifest(&handle.root, spec, broadcast, &seals))
}

async fn tasks_of(handle: &QueryHandle, stage: StageId) -> Result<usize, AdvanceError> {
    match handle.manifest(stage).await? {
        Some(manifest) => Ok(manifest.tasks.len()),
        None => Err(AdvanceError::Missing { key: keys::manifest(&handle.query, stage) }),
    }
}

async fn winners(
    handle: &QueryHandle,
    stage: StageId,
    tasks: Range<TaskId>,
) -> Result<Vec<SealedTask>, AdvanceError> {
    let reads = tasks.map(|task| winner(handle, stage, task));
    stream::iter(reads).buffered(READS).try_collect().await
}

async fn winner(
    handle: &QueryHandle,
    stage: StageId,
    task: TaskId,
) -> Result<SealedTask, AdvanceError> {
    if let Some(known) = handle.known.commit(stage, task) {
        return Ok(known.as_ref().clone());
    }
    let key = keys::commit(&handle.query, stage, task);
    let commit: Option<Commit> = create::load(&handle.store, &key).await?;
    commit.map(decide::sealed).ok_or(AdvanceError::Missing { key })
}

/// The winners of a stage, read from its group seals.
async fn grouped(
    handle: &QueryHandle,
    stage: StageId,
    groups: u32,
) -> Result<Vec<SealedTask>, AdvanceError> {
    let folded: Vec<Vec<SealedTask>> = stream::iter((0..groups).map(|group| async move {
        let key = keys::gseal(&handle.query, stage, group);
        let seal: Option<GroupSeal> = create::load(&handle.store, &key).await?;
        seal.map(|seal| seal.tasks).ok_or(AdvanceError::Missing { key })
    }))
    .buffered(READS)
    .try_collect()
    .await?;
    Ok(folded.into_iter().flatten().collect())
}
