//! The progress of a query, for people who wait for it.

use serde::Serialize;

use crate::model::view::QueryView;
use crate::query::handle::QueryHandle;

/// The progress of a query. Its JSON is what clients see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Sealed stages.
    pub stages_done: u64,
    /// Stages.
    pub stages: u64,
    /// Committed tasks of the stages whose manifest this process knows.
    pub tasks_done: u64,
    /// All tasks of those stages. This number grows while the query runs.
    pub tasks: u64,
    /// Attempts claimed.
    #[serde(skip)]
    pub attempts: u64,
}

impl QueryHandle {
    /// The progress of the query, by a view.
    #[must_use]
    pub fn progress(&self, view: &QueryView) -> Progress {
        let mut progress =
            Progress { stages: count(self.root.stages.len()), ..Progress::default() };
        for spec in &self.root.stages {
            let state = view.stages.get(&spec.id);
            if state.is_some_and(|state| state.sealed) {
                progress.stages_done += 1;
            }
            let done = state.map_or(0, |state| state.commits.len());
            let known = self.known.manifest(spec.id).map_or(done, |manifest| manifest.tasks.len());
            progress.tasks += count(known.max(done));
            progress.tasks_done += count(done);
            progress.attempts += state.map_or(0, |state| state.attempts);
        }
        progress
    }
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
