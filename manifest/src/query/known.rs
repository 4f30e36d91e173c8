//! What one process knows of a query: records that it has read, written, or computed. Records are written once, so
//! what is known stays true.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::decide::{Decided, Failed, Sealed};
use crate::model::ids::{Attempt, StageId, TaskId};
use crate::model::records::{BlockHead, BlockRef, End, Fail, SealTotals, SealedTask};

/// The records of a query that this process knows. If two slots read the same record, both get the first copy.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Records>);

/// The seal of a group.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) head: BlockHead,
    /// What the stage's seal holds of it.
    pub(crate) reference: BlockRef,
    /// All of it, if it is short.
    pub(crate) whole: Option<Bytes>,
}

#[derive(Debug, Default)]
struct Records {
    manifests: BTreeMap<StageId, Arc<Decided>>,
    seals: BTreeMap<StageId, Arc<KnownSeal>>,
    groups: BTreeMap<(StageId, u32), Arc<Block>>,
    commits: BTreeMap<(StageId, TaskId), Arc<SealedTask>>,
    fails: BTreeMap<(StageId, TaskId, Attempt), Failed>,
    plans: BTreeMap<String, Bytes>,
    end: Option<Arc<End>>,
}

/// A seal. This process may believe it before the store has confirmed it: it follows from commits that are settled.
#[derive(Debug)]
pub(crate) struct KnownSeal {
    pub(crate) sealed: Sealed,
    /// True if this process has computed it, and has not read it.
    pub(crate) computed: bool,
    /// Its bytes, until the store has confirmed that it holds them.
    pub(crate) unconfirmed: tokio::sync::Mutex<Option<Bytes>>,
}

impl KnownSeal {
    /// A seal that was computed, with its bytes.
    pub(crate) fn believed(sealed: Sealed, bytes: Bytes) -> Self {
        Self { sealed, computed: true, unconfirmed: tokio::sync::Mutex::new(Some(bytes)) }
    }

    /// A seal that was read.
    pub(crate) fn read(sealed: Sealed) -> Self {
        Self { sealed, computed: false, unconfirmed: tokio::sync::Mutex::new(None) }
    }
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

    /// The manifest of a stage, if it was computed.
    pub(crate) fn manifest(&self, stage: StageId) -> Option<Arc<Decided>> {
        self.0.lock().manifests.get(&stage).cloned()
    }

    /// Remembers the manifest of a stage.
    pub(crate) fn remember_manifest(&self, stage: StageId, decided: Decided) -> Arc<Decided> {
        let mut records = self.0.lock();
        Arc::clone(records.manifests.entry(stage).or_insert_with(|| Arc::new(decided)))
    }

    /// The seal of a stage, if it is known.
    pub(crate) fn seal(&self, stage: StageId) -> Option<Arc<KnownSeal>> {
        self.0.lock().seals.get(&stage).cloned()
    }

    /// Remembers the seal of a stage. Forgets the stage's commits, because they are in the seal.
    pub(crate) fn remember_seal(&self, stage: StageId, seal: KnownSeal) -> Arc<KnownSeal> {
        let mut records = self.0.lock();
        records.commits.retain(|(of, _), _| *of != stage);
        records.groups.retain(|(of, _), _| *of != stage);
        Arc::clone(records.seals.entry(stage).or_insert_with(|| Arc::new(seal)))
    }

    /// The seal of a group, if it is known and its stage is not sealed.
    pub(crate) fn group(&self, stage: StageId, group: u32) -> Option<Arc<Block>> {
        self.0.lock().groups.get(&(stage, group)).cloned()
    }

    /// Remembers the seal of a group.
    pub(crate) fn remember_group(&self, stage: StageId, block: Block) -> Arc<Block> {
        let mut records = self.0.lock();
        let group = block.head.group;
        Arc::clone(records.groups.entry((stage, group)).or_insert_with(|| Arc::new(block)))
    }

    /// The winner of a task, if it is known and its stage is not sealed.
    pub(crate) fn commit(&self, stage: StageId, task: TaskId) -> Option<Arc<SealedTask>> {
        self.0.lock().commits.get(&(stage, task)).cloned()
    }

    /// Remembers the winner of a task. The commit is settled: this process has won it, or has read it.
    pub(crate) fn remember_commit(&self, stage: StageId, task: SealedTask) -> Arc<SealedTask> {
        let mut records = self.0.lock();
        let number = task.task;
        Arc::clone(records.commits.entry((stage, number)).or_insert_with(|| Arc::new(task)))
    }

    /// What the winners that are known have used: of sealed stages all, of others those of which this process knows.
    pub(crate) fn used(&self) -> SealTotals {
        let records = self.0.lock();
        let mut used = SealTotals::default();
        records.seals.values().for_each(|known| used += known.sealed.seal.totals());
        records.commits.values().for_each(|task| used.add(task.attempt, &task.metrics));
        used
    }

    /// How an attempt failed, if it is known.
    pub(crate) fn fail(&self, attempt: (StageId, TaskId, Attempt)) -> Option<Failed> {
        self.0.lock().fails.get(&attempt).cloned()
    }

    /// Remembers how an attempt failed. `now` is when this process knows it.
    pub(crate) fn remember_fail(
        &self,
        attempt: (StageId, TaskId, Attempt),
        fail: Fail,
        now: Duration,
    ) -> Failed {
        let failed = || Failed { fail: Arc::new(fail), known_at: now };
        self.0.lock().fails.entry(attempt).or_insert_with(failed).clone()
    }

    /// The bytes of a plan, if they are known.
    pub(crate) fn plan(&self, name: &str) -> Option<Bytes> {
        self.0.lock().plans.get(name).cloned()
    }

    /// Remembers the bytes of a plan.
    pub(crate) fn remember_plan(&self, name: &str, bytes: Bytes) {
        self.0.lock().plans.insert(name.to_owned(), bytes);
    }
}
