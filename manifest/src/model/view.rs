//! What a process knows about a query by the names of its objects: which records exist.
//!
//! A view only grows. Objects of the protocol are written once and never change, so what was seen stays true. What was
//! not seen may be there now.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ids::{Attempt, QueryId, StageId, TaskId};
use crate::model::keys::{self, Key};

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

/// What is known of one stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageView {
    /// Its seal is known. It may not be written yet.
    pub sealed: bool,
    /// Groups whose seals are there.
    pub groups: BTreeSet<u32>,
    /// Highest attempt claimed, by task.
    pub claims: BTreeMap<TaskId, Attempt>,
    /// Attempts that failed, by task.
    pub fails: BTreeMap<TaskId, BTreeSet<Attempt>>,
    /// Tasks that are committed.
    pub commits: BTreeSet<TaskId>,
}

impl StageView {
    /// Attempts claimed. Attempt a+1 may exist only after attempt a, so the highest tells how many there are.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.claims.values().map(|highest| u64::from(*highest) + 1).sum()
    }

    /// Tasks that are committed. A sealed group counts as 64, although the last one of a stage may have fewer.
    #[must_use]
    pub fn done(&self) -> usize {
        let grouped = |task: &&TaskId| self.groups.contains(&keys::group_of(**task));
        let of_groups = self.groups.len() * keys::GROUP as usize;
        of_groups + self.commits.iter().filter(|task| !grouped(task)).count()
    }

    /// Attempts that failed or were given back.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.fails.values().map(|attempts| attempts.len() as u64).sum()
    }

    /// True if a task has its winner.
    #[must_use]
    pub fn has_winner(&self, task: TaskId) -> bool {
        self.sealed || self.commits.contains(&task) || self.groups.contains(&keys::group_of(task))
    }

    /// Adds an attempt that was claimed.
    pub fn add_claim(&mut self, task: TaskId, attempt: Attempt) {
        let highest = self.claims.entry(task).or_insert(attempt);
        *highest = (*highest).max(attempt);
    }
}

/// What is known of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryView {
    /// When the store stamped `root`, by its own clock.
    pub root_ms: Option<i64>,
    /// The newest stamp among the query's objects.
    pub newest_ms: i64,
    /// Stages of which anything is known.
    pub stages: BTreeMap<StageId, StageView>,
    /// Heartbeats: stamp and size, by attempt.
    pub beats: BTreeMap<(StageId, TaskId, Attempt), (i64, u64)>,
    /// Workers that saw the query and are not allowed to run it, with the stamp of what each has said last.
    pub refusals: BTreeMap<String, i64>,
}

impl QueryView {
    /// Adds an entry of a LIST, or nothing if it is not an object of `query`. A seal is not added: its name alone does
    /// not tell what is in it.
    pub fn add(&mut self, query: &QueryId, entry: &Listed) {
        let Some((of, key)) = keys::parse(&entry.key) else { return };
        if of != *query {
            return;
        }
        self.stamp(entry.modified_ms);
        match key {
            Key::Root => self.root_ms = Some(entry.modified_ms),
            Key::Claim(stage, task, attempt) => self.stage(stage).add_claim(task, attempt),
            Key::Fail(stage, task, attempt) => {
                self.stage(stage).fails.entry(task).or_default().insert(attempt);
            }
            Key::Commit(stage, task) => {
                self.stage(stage).commits.insert(task);
            }
            Key::GroupSeal(stage, group) => {
                self.stage(stage).groups.insert(group);
            }
            Key::Heartbeat(stage, task, attempt) => {
                self.beats.insert((stage, task, attempt), (entry.modified_ms, entry.size));
            }
            Key::Refusal(worker) => {
                self.refusals.insert(worker, entry.modified_ms);
            }
            Key::Active
            | Key::End
            | Key::Plan(_)
            | Key::Seal(_)
            | Key::AllGroups(_)
            | Key::Data(_)
            | Key::Result(_) => {}
        }
    }

    /// An object of the query has this stamp.
    pub fn stamp(&mut self, modified_ms: i64) {
        self.newest_ms = self.newest_ms.max(modified_ms);
    }

    /// The view of a stage. Adds an empty one if nothing is known of the stage yet.
    pub fn stage(&mut self, stage: StageId) -> &mut StageView {
        self.stages.entry(stage).or_default()
    }

    /// True if the seal of a stage is known.
    #[must_use]
    pub fn is_sealed(&self, stage: StageId) -> bool {
        self.stages.get(&stage).is_some_and(|stage| stage.sealed)
    }

    /// Attempts claimed in all stages.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.stages.values().map(StageView::attempts).sum()
    }

    /// Number of facts about the work of the query. It grows whenever anything but a heartbeat is new.
    #[must_use]
    pub fn facts(&self) -> u64 {
        let of = |stage: &StageView| {
            stage.attempts()
                + stage.failures()
                + stage.commits.len() as u64
                + stage.groups.len() as u64
                + u64::from(stage.sealed)
        };
        self.stages.values().map(of).sum()
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
    use super::*;

    fn listed(key: String, modified_ms: i64) -> Listed {
        Listed { key, size: 1, modified_ms }
    }

    #[test]
    fn listings_become_a_view_that_only_grows() {
        let query = QueryId::at(1, &[7; 10]);
        let stranger = QueryId::at(2, &[7; 10]);
        let entries = [
            listed(keys::root(&query), 5),
            listed(keys::claim(&query, 0, 0, 1), 9),
            listed(keys::claim(&query, 0, 0, 0), 7),
            listed(keys::fail(&query, 0, 0, 0), 8),
            listed(keys::commit(&query, 0, 1), 8),
            listed(keys::hb(&query, 0, 0, 1), 12),
            listed(keys::refusal(&query, "w"), 3),
            listed(format!("{}surprise", keys::query_prefix(&query)), 99),
            listed(keys::claim(&stranger, 0, 7, 0), 99),
        ];
        let mut view = QueryView::default();
        for entry in &entries {
            view.add(&query, entry);
        }
        assert_eq!((view.root_ms, view.newest_ms), (Some(5), 12));
        let stage = &view.stages[&0];
        assert_eq!((stage.claims[&0], stage.attempts(), stage.failures()), (1, 2, 1));
        assert!(stage.fails[&0].contains(&0) && stage.commits.contains(&1) && !stage.sealed);
        assert!(view.refusals.contains_key("w") && view.beats[&(0, 0, 1)] == (12, 1));
        assert_eq!((view.facts(), view.spanned_ms()), (4, 7));
        let before = view.clone();
        view.add(&query, &entries[2]);
        assert_eq!(view, before);
    }
}
