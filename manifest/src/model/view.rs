//! What one LIST shows about a query: which of its records exist, known by their names alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ids::{Attempt, QueryId, StageId, TaskId};
use crate::model::keys::{self, CtlKey, HbKey};

/// An entry of a LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Key below the state's prefix.
    pub key: String,
    /// Length in bytes.
    pub size: u64,
    /// When the store stamped it, in milliseconds by the store's own clock.
    pub modified_ms: i64,
}

/// The state of one stage, as its keys show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageView {
    /// `m` is there.
    pub manifest: bool,
    /// `seal` is there.
    pub sealed: bool,
    /// Groups that are sealed.
    pub groups: BTreeSet<u32>,
    /// Highest attempt claimed, by task.
    pub claims: BTreeMap<TaskId, Attempt>,
    /// Attempts claimed in all.
    pub attempts: u64,
    /// Attempts that failed, by task.
    pub fails: BTreeMap<TaskId, BTreeSet<Attempt>>,
    /// Tasks that are committed.
    pub commits: BTreeSet<TaskId>,
}

/// The state of a query, as its keys show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryView {
    /// When the store stamped `root`, by its own clock.
    pub root_ms: Option<i64>,
    /// The newest stamp among the query's objects.
    pub newest_ms: i64,
    /// Number of objects seen.
    pub objects: usize,
    /// Stages that have objects.
    pub stages: BTreeMap<StageId, StageView>,
    /// Heartbeats: stamp and size, by attempt.
    pub beats: BTreeMap<(StageId, TaskId, Attempt), (i64, u64)>,
    /// Workers that saw the query and are not allowed to run it.
    pub refusals: BTreeSet<String>,
}

impl QueryView {
    /// Reads the LIST of [`keys::ctl_prefix`] and, if there is one, the LIST of [`keys::hb_prefix`]. Names that the
    /// protocol does not write are ignored.
    #[must_use]
    pub fn from_listing(query: &QueryId, control: &[Listed], beats: &[Listed]) -> Self {
        let mut view = Self::default();
        let prefix = keys::ctl_prefix(query);
        for entry in control {
            let parsed = entry.key.strip_prefix(&prefix).and_then(keys::parse_ctl);
            if let Some(key) = parsed {
                view.add(&key, entry.modified_ms);
            }
        }
        let prefix = keys::hb_prefix(query);
        for entry in beats {
            match entry.key.strip_prefix(&prefix).and_then(keys::parse_hb) {
                Some(HbKey::Heartbeat(stage, task, attempt)) => {
                    view.newest_ms = view.newest_ms.max(entry.modified_ms);
                    view.beats.insert((stage, task, attempt), (entry.modified_ms, entry.size));
                }
                Some(HbKey::Refusal(worker)) => {
                    view.refusals.insert(worker);
                }
                None => {}
            }
        }
        view
    }

    fn add(&mut self, key: &CtlKey, modified_ms: i64) {
        self.newest_ms = self.newest_ms.max(modified_ms);
        self.objects += 1;
        match *key {
            CtlKey::Root => self.root_ms = Some(modified_ms),
            CtlKey::Plan(_) => {}
            CtlKey::Manifest(stage) => self.stage(stage).manifest = true,
            CtlKey::Claim(stage, task, attempt) => {
                let stage = self.stage(stage);
                stage.attempts += 1;
                let highest = stage.claims.entry(task).or_insert(attempt);
                *highest = (*highest).max(attempt);
            }
            CtlKey::Fail(stage, task, attempt) => {
                self.stage(stage).fails.entry(task).or_default().insert(attempt);
            }
            CtlKey::Commit(stage, task) => {
                self.stage(stage).commits.insert(task);
            }
            CtlKey::GroupSeal(stage, group) => {
                self.stage(stage).groups.insert(group);
            }
            CtlKey::Seal(stage) => self.stage(stage).sealed = true,
        }
    }

    /// The view of a stage. Adds an empty one if the stage has no objects yet.
    pub fn stage(&mut self, stage: StageId) -> &mut StageView {
        self.stages.entry(stage).or_default()
    }

    /// Attempts claimed in all stages.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.stages.values().map(|stage| stage.attempts).sum()
    }

    /// Milliseconds from the stamp of `root` to the stamp of the newest object, both by the store's clock.
    #[must_use]
    pub fn spanned_ms(&self) -> u64 {
        let spanned = self.root_ms.map_or(0, |root| self.newest_ms.saturating_sub(root));
        u64::try_from(spanned).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn listed(key: String, modified_ms: i64) -> Listed {
        Listed { key, size: 1, modified_ms }
    }

    #[test]
    fn a_listing_becomes_a_view() {
        let query = QueryId::at(1, &[7; 10]);
        let control = [
            listed(keys::root(&query), 5),
            listed(keys::manifest(&query, 0), 6),
            listed(keys::claim(&query, 0, 0, 0), 7),
            listed(keys::claim(&query, 0, 0, 1), 9),
            listed(keys::fail(&query, 0, 0, 0), 8),
            listed(keys::commit(&query, 0, 1), 8),
            listed(format!("{}surprise", keys::ctl_prefix(&query)), 99),
        ];
        let beats = [listed(keys::hb(&query, 0, 0, 1), 12), listed(keys::refusal(&query, "w"), 3)];
        let view = QueryView::from_listing(&query, &control, &beats);
        assert_eq!((view.root_ms, view.newest_ms, view.objects), (Some(5), 12, 6));
        let stage = &view.stages[&0];
        assert!(stage.manifest && !stage.sealed);
        assert_eq!((stage.claims[&0], stage.attempts), (1, 2));
        assert!(stage.fails[&0].contains(&0) && stage.commits.contains(&1));
        assert!(view.refusals.contains("w"));
    }
}
