//! What one process has already read of a query. Records are written once, so what is known stays true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::decide::Due;
use crate::model::ids::{Attempt, StageId, TaskId};
use crate::model::records::{End, Fail, Seal, SealedTask, StageManifest};

/// The records of a query that this process knows. If two slots read the same record, both get the first copy.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    manifests: BTreeMap<StageId, Arc<StageManifest>>,
    seals: BTreeMap<StageId, Arc<Seal>>,
    commits: BTreeMap<(StageId, TaskId), Arc<SealedTask>>,
    fails: BTreeMap<(StageId, TaskId, Attempt), Arc<Fail>>,
    plans: BTreeMap<String, Bytes>,
    groups: BTreeSet<(StageId, u32)>,
    end: Option<Arc<End>>,
}

impl Known {
    /// The end, if it is known.
    pub(crate) fn end(&self) -> Option<Arc<End>> {
        self.0.lock().end.clone()
    }

    /// Remembers the end.
    pub(crate) fn remember_end(&self, end: End) -> Arc<End> {
        Arc::clone(self.0.lock().end.get_or_insert_with(|| Arc::new(end)))
    }

    /// The manifest of a stage, if it is known.
    pub(crate) fn manifest(&self, stage: StageId) -> Option<Arc<StageManifest>> {
        self.0.lock().manifests.get(&stage).cloned()
    }

    /// Remembers the manifest of a stage.
    pub(crate) fn remember_manifest(
        &self,
        stage: StageId,
        manifest: StageManifest,
    ) -> Arc<StageManifest> {
        let mut records = self.0.lock();
        Arc::clone(records.manifests.entry(stage).or_insert_with(|| Arc::new(manifest)))
    }

    /// The seal of a stage, if it is known.
    pub(crate) fn seal(&self, stage: StageId) -> Option<Arc<Seal>> {
        self.0.lock().seals.get(&stage).cloned()
    }

    /// Remembers the seal of a stage. Forgets the stage's commits, because they are in the seal.
    pub(crate) fn remember_seal(&self, stage: StageId, seal: Seal) -> Arc<Seal> {
        let mut records = self.0.lock();
        records.commits.retain(|(of, _), _| *of != stage);
        Arc::clone(records.seals.entry(stage).or_insert_with(|| Arc::new(seal)))
    }

    /// The winner of a task, if it is known and its stage is not sealed.
    pub(crate) fn commit(&self, stage: StageId, task: TaskId) -> Option<Arc<SealedTask>> {
        self.0.lock().commits.get(&(stage, task)).cloned()
    }

    /// Remembers the winner of a task.
    pub(crate) fn remember_commit(&self, stage: StageId, task: SealedTask) {
        self.0.lock().commits.insert((stage, task.task), Arc::new(task));
    }

    /// How an attempt failed, if it is known.
    pub(crate) fn fail(&self, attempt: (StageId, TaskId, Attempt)) -> Option<Arc<Fail>> {
        self.0.lock().fails.get(&attempt).cloned()
    }

    /// Remembers how an attempt failed.
    pub(crate) fn remember_fail(
        &self,
        attempt: (StageId, TaskId, Attempt),
        fail: Fail,
    ) -> Arc<Fail> {
        Arc::clone(self.0.lock().fails.entry(attempt).or_insert_with(|| Arc::new(fail)))
    }

    /// The bytes of a plan, if they are known.
    pub(crate) fn plan(&self, name: &str) -> Option<Bytes> {
        self.0.lock().plans.get(name).cloned()
    }

    /// Remembers the bytes of a plan.
    pub(crate) fn remember_plan(&self, name: &str, bytes: Bytes) {
        self.0.lock().plans.insert(name.to_owned(), bytes);
    }

    /// Remembers that a group of a stage is sealed.
    pub(crate) fn remember_group(&self, stage: StageId, group: u32) {
        self.0.lock().groups.insert((stage, group));
    }

    /// True if the record is known to exist, even if an older view does not show it.
    pub(crate) fn is_written(&self, due: Due) -> bool {
        let records = self.0.lock();
        match due {
            Due::Manifest(stage) => records.manifests.contains_key(&stage),
            Due::GroupSeal(stage, group) => records.groups.contains(&(stage, group)),
            Due::Seal(stage) => records.seals.contains_key(&stage),
        }
    }
}
