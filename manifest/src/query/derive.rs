//! Seals: computed from commits, believed at once, and written.
//!
//! ```text
//!   commits that are settled ─> seal, believed ─────────────> its manifest's tasks may be claimed and read
//!                                   └─ written, or found with the same bytes ─> settled: later records may rest on it
//! ```
//! A seal is a pure function of commits and of the manifest, so a process that has read them knows the seal before it
//! is in the store. Whatever other processes will rely on waits until the seal is settled.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use crate::decide::{self, Decided, Due};
use crate::model::ids::{StageId, TaskId};
use crate::model::keys;
use crate::model::records::block::{decode_head, join_blocks};
use crate::model::records::{BlockRef, Commit, SealedTask};
use crate::query::blocks::{WHOLE, damaged, read_block, whole};
use crate::query::error::AdvanceError;
use crate::query::handle::QueryHandle;
use crate::query::known::Block;
use crate::store::control::{ControlStore, Put};
use crate::store::create::{self, Derived};

/// Records read at once while a stage is sealed.
const READS: usize = 16;
/// After a commit, at most so many commits of the group are asked for by name. With more, a LIST tells first which are
/// there.
const BY_NAME: usize = 12;

impl QueryHandle {
    /// Looks whether the group of a task whose commit is settled is full now. The worker that commits the last task of
    /// a group finds it full, because this look begins after its commit is settled: whoever commits later looks later.
    /// If the whole stage is complete, its seal is known when this returns.
    ///
    /// `among_many`: many processes commit at the same time, so two or three see the same group complete. Then the first
    /// that says so reads the group. If it dies, the group's seal is due, as after any death.
    ///
    /// # Errors
    /// The store's.
    pub async fn after_commit(
        &self,
        stage: StageId,
        task: TaskId,
        among_many: bool,
    ) -> Result<(), AdvanceError> {
        let outcome = self.look_after_commit(stage, task, among_many).await;
        self.unless_broken(outcome).await
    }

    async fn look_after_commit(
        &self,
        stage: StageId,
        task: TaskId,
        among_many: bool,
    ) -> Result<(), AdvanceError> {
        let Some(decided) = self.known_manifest(stage) else { return Ok(()) };
        let tasks = decided.manifest.tasks.len();
        let group = keys::group_of(task);
        let range = decide::group_tasks(group, tasks);
        let unknown = || range.clone().filter(|task| self.known.commit(stage, *task).is_none());
        if self.known.seal(stage).is_some() {
            return Ok(());
        }
        if unknown().count() > BY_NAME {
            self.list(keys::commit_prefix(&self.query, stage, group)).await?;
            let is_complete = {
                let view = self.view.lock();
                let there = view.stages.get(&stage).map(|state| &state.commits);
                unknown().all(|task| there.is_some_and(|there| there.contains(&task)))
            };
            if !is_complete || (among_many && is_read_by_another(self, stage, group).await) {
                return Ok(());
            }
        }
        let Some(winners) = winners(self, &decided, range.clone()).await? else { return Ok(()) };
        if decide::groups(&decided.manifest) == 0 {
            close(self);
            return Ok(());
        }
        write_group(self, &decided, group, winners).await?;
        if !all_groups_are_sealed(self, &decided) {
            // Whoever seals the last group sees all others, because this LIST begins after its own seal is settled.
            self.look_for_seal(stage).await?;
        }
        if self.known.seal(stage).is_none() && all_groups_are_sealed(self, &decided) {
            fold_groups(self, &decided).await?;
        }
        Ok(())
    }

    /// Waits until the store has confirmed the seals of a stage's inputs. A commit, a failure, and data that other
    /// processes may read must not be written before.
    ///
    /// # Errors
    /// The store's. What rests on the seals must then not be written.
    pub async fn settle_inputs(&self, stage: StageId) -> Result<(), AdvanceError> {
        let outcome = settle_inputs(self, stage).await;
        self.unless_broken(outcome).await?;
        // The query may have been ended because a seal was wrong.
        match self.known.end() {
            Some(_) => Err(AdvanceError::Missing { key: keys::stage_prefix(&self.query, stage) }),
            None => Ok(()),
        }
    }

    /// Writes the seals that this process believes and that the store has not confirmed. True if one was written.
    ///
    /// # Errors
    /// The store's.
    pub async fn settle(&self) -> Result<bool, AdvanceError> {
        let outcome = settle_all(self).await;
        self.unless_broken(outcome).await
    }
}

/// True if another process has said that it reads the commits of this group. Otherwise this one has said so.
async fn is_read_by_another(handle: &QueryHandle, stage: StageId, group: u32) -> bool {
    let reader = keys::reader(&handle.query, stage, group);
    matches!(handle.store.put_if_absent(&reader, Bytes::new()).await, Ok(Put::NotCreated))
}

/// Believes every seal that follows from the commits that this process knows. Stages without tasks are sealed at once,
/// and may open others.
pub(super) fn close(handle: &QueryHandle) {
    let mut again = true;
    while again {
        again = false;
        for stage in handle.open_stages() {
            let Some(decided) = handle.known_manifest(stage) else { continue };
            let tasks = decided.manifest.tasks.len();
            // A stage without tasks has no groups.
            if decide::groups(&decided.manifest) > 0 {
                continue;
            }
            let winners: Option<Vec<SealedTask>> = decide::group_tasks(0, tasks)
                .map(|task| handle.known.commit(stage, task).map(|task| task.as_ref().clone()))
                .collect();
            if let Some(winners) = winners {
                handle.believe(stage, decide::seal(&decided, winners));
                again = true;
            }
        }
    }
}

/// Writes what makes a due record, and the record. True if this process was the first.
pub(super) async fn write(handle: &QueryHandle, due: Due) -> Result<bool, AdvanceError> {
    let (Due::GroupSeal(stage, _) | Due::Seal(stage)) = due;
    if handle.known.seal(stage).is_some() {
        return Ok(false);
    }
    let missing = || AdvanceError::Missing { key: keys::stage_prefix(&handle.query, stage) };
    let decided = handle.known_manifest(stage).ok_or_else(missing)?;
    let tasks = decided.manifest.tasks.len();
    match due {
        Due::GroupSeal(_, group) => {
            let range = decide::group_tasks(group, tasks);
            let winners = winners(handle, &decided, range).await?.ok_or_else(missing)?;
            write_group(handle, &decided, group, winners).await
        }
        Due::Seal(_) => {
            if decide::groups(&decided.manifest) > 0 {
                fold_groups(handle, &decided).await?;
            } else {
                let range = decide::group_tasks(0, tasks);
                winners(handle, &decided, range).await?.ok_or_else(missing)?;
                close(handle);
            }
            settle_stage(handle, stage).await
        }
    }
}

pub(super) async fn settle_all(handle: &QueryHandle) -> Result<bool, AdvanceError> {
    let mut written = false;
    for spec in &handle.root.stages {
        if handle.known.seal(spec.id).is_some() {
            written |= settle_stage(handle, spec.id).await?;
        }
    }
    Ok(written)
}

/// Settles the seals of a stage's inputs, all at once.
async fn settle_inputs(handle: &QueryHandle, stage: StageId) -> Result<(), AdvanceError> {
    let Some(decided) = handle.known_manifest(stage) else {
        return Err(AdvanceError::Missing { key: keys::stage_prefix(&handle.query, stage) });
    };
    let spec = handle.spec(stage)?;
    let probe = spec.broadcast.as_ref().map(|broadcast| broadcast.probe);
    let inputs = spec.decided(decided.manifest.broadcast).inputs;
    let stages = inputs.iter().map(|input| input.stage).chain(probe);
    try_join_all(stages.map(|input| settle_stage(handle, input))).await?;
    Ok(())
}

/// Settles the seal of a stage, after those of its inputs. True if it was written by this call.
pub(super) fn settle_stage(
    handle: &QueryHandle,
    stage: StageId,
) -> BoxFuture<'_, Result<bool, AdvanceError>> {
    async move {
        let key = keys::seal(&handle.query, stage);
        let Some(known) = handle.known.seal(stage) else {
            return match handle.seal(stage).await? {
                Some(_) => Ok(false),
                None => Err(AdvanceError::Missing { key }),
            };
        };
        // Two slots of a process settle a seal once.
        let mut unconfirmed = known.unconfirmed.lock().await;
        let Some(bytes) = unconfirmed.clone() else { return Ok(false) };
        settle_inputs(handle, stage).await?;
        let derived = create::derive(&handle.store, &handle.env, &key, bytes).await?;
        *unconfirmed = None;
        let is_created = derived == Derived::Created;
        handle.news.fetch_or(is_created, Ordering::Relaxed);
        Ok(is_created)
    }
    .boxed()
}

async fn write_group(
    handle: &QueryHandle,
    decided: &Decided,
    group: u32,
    winners: Vec<SealedTask>,
) -> Result<bool, AdvanceError> {
    let stage = decided.manifest.stage;
    let key = keys::group_seal(&handle.query, stage, group);
    let sealed = decide::group_seal(decided, group, winners);
    let (bytes, head, reference) = sealed.map_err(|error| damaged(&key, error))?;
    let derived = create::derive(&handle.store, &handle.env, &key, bytes.clone()).await?;
    let whole = (reference.len <= WHOLE).then_some(bytes);
    handle.known.remember_group(stage, Block { head, reference, whole });
    handle.view.lock().stage(stage).groups.insert(group);
    Ok(derived == Derived::Created)
}

fn all_groups_are_sealed(handle: &QueryHandle, decided: &Decided) -> bool {
    let view = handle.view.lock();
    let groups = decide::groups(&decided.manifest);
    view.stages
        .get(&decided.manifest.stage)
        .is_some_and(|state| (0..groups).all(|group| state.groups.contains(&group)))
}

/// The seals of groups that are so long together, or shorter, are also written as one.
const JOINED: u64 = 24 << 20;

/// Believes the seal of a stage from the seals of its groups, which are all there.
async fn fold_groups(handle: &QueryHandle, decided: &Decided) -> Result<(), AdvanceError> {
    let stage = decided.manifest.stage;
    let groups = 0..decide::groups(&decided.manifest);
    let blocks: Vec<Arc<Block>> =
        stream::iter(groups.map(|group| read_group(handle, decided, group)))
            .buffered(READS)
            .try_collect()
            .await?;
    let all = join_groups(handle, stage, &blocks).await?;
    let blocks = blocks.iter().map(|block| (&block.head, &block.reference));
    handle.believe(stage, decide::fold(decided, blocks, all));
    close(handle);
    Ok(())
}

/// Writes the seals of a stage's groups as one, if there are several and they are short.
async fn join_groups(
    handle: &QueryHandle,
    stage: StageId,
    blocks: &[Arc<Block>],
) -> Result<Option<BlockRef>, AdvanceError> {
    let length: u64 = blocks.iter().map(|block| block.reference.len).sum();
    if blocks.len() < 2 || length > JOINED {
        return Ok(None);
    }
    let mut reads = Vec::with_capacity(blocks.len());
    for block in blocks {
        let key = keys::group_seal(&handle.query, stage, block.head.group);
        reads.push(async move { whole(&handle.store, &key, block).await });
    }
    let bytes: Vec<Bytes> = stream::iter(reads).buffered(READS).try_collect().await?;
    let parts: Vec<_> = (blocks.iter().zip(bytes))
        .map(|(block, bytes)| (&block.head, &block.reference, bytes))
        .collect();
    let key = keys::all_groups(&handle.query, stage);
    let joined = join_blocks(&parts).and_then(|bytes| Ok((decode_head(&bytes)?.1, bytes)));
    let (reference, bytes) = joined.map_err(|error| damaged(&key, error))?;
    create::derive(&handle.store, &handle.env, &key, bytes).await?;
    Ok(Some(reference))
}

async fn read_group(
    handle: &QueryHandle,
    decided: &Decided,
    group: u32,
) -> Result<Arc<Block>, AdvanceError> {
    let stage = decided.manifest.stage;
    if let Some(known) = handle.known.group(stage, group) {
        return Ok(known);
    }
    let key = keys::group_seal(&handle.query, stage, group);
    let Some(block) = read_block(&handle.store, &key).await? else {
        return Err(AdvanceError::Missing { key });
    };
    let tasks = decide::group_tasks(group, decided.manifest.tasks.len());
    let right = block.head.manifest == decided.digest
        && (block.head.stage, block.head.group) == (stage, group)
        && block.head.tasks.iter().map(|task| task.task).eq(tasks);
    if !right {
        return Err(AdvanceError::Broken { key });
    }
    Ok(handle.known.remember_group(stage, block))
}

/// The winners of these tasks; `None` if one of them has none yet. Commits that this process does not know are read.
async fn winners(
    handle: &QueryHandle,
    decided: &Decided,
    tasks: Range<TaskId>,
) -> Result<Option<Vec<SealedTask>>, AdvanceError> {
    let reads = tasks.map(|task| winner(handle, decided.manifest.stage, task));
    let mut reads = stream::iter(reads).buffered(READS);
    let mut winners = Vec::new();
    while let Some(winner) = reads.try_next().await? {
        let Some(winner) = winner else { return Ok(None) };
        winners.push(winner);
    }
    Ok(Some(winners))
}

async fn winner(
    handle: &QueryHandle,
    stage: StageId,
    task: TaskId,
) -> Result<Option<SealedTask>, AdvanceError> {
    if let Some(known) = handle.known.commit(stage, task) {
        return Ok(Some(known.as_ref().clone()));
    }
    let key = keys::commit(&handle.query, stage, task);
    let Some((commit, got)) = handle.read::<Commit>(&key).await? else { return Ok(None) };
    handle.view.lock().stamp(got.modified_ms);
    handle.note_commit(stage, task, commit).map(|winner| Some(winner.as_ref().clone()))
}
