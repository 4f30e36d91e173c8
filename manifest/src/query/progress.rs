//! The progress of a query, for people who wait for it.

use serde::Serialize;

use crate::model::records::SealTotals;
use crate::model::view::StageView;
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
    /// Bytes that committed tasks have read from tables, as far as this process knows.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_scanned: u64,
    /// Rows that committed tasks have read from tables and from the exchange, as far as this process knows.
    #[serde(skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// Attempts claimed.
    #[serde(skip)]
    pub attempts: u64,
}

impl QueryHandle {
    /// The progress of the query, as far as this process knows it.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let view = self.view();
        let mut progress =
            Progress { stages: count(self.root.stages.len()), ..Progress::default() };
        for spec in &self.root.stages {
            let sealed = self.known_seal(spec.id);
            let state = view.stages.get(&spec.id);
            if sealed.is_some() {
                progress.stages_done += 1;
            }
            let done = match &sealed {
                Some(sealed) => usize::try_from(sealed.seal.totals().tasks).unwrap_or(usize::MAX),
                None => state.map_or(0, StageView::done),
            };
            let decided = self.known_manifest(spec.id);
            let tasks = decided.map_or(done, |decided| decided.manifest.tasks.len());
            let done = done.min(tasks);
            progress.tasks += count(tasks);
            progress.tasks_done += count(done);
            progress.attempts += state.map_or(0, |state| state.attempts());
        }
        let used = self.used();
        progress.bytes_scanned = used.scan_bytes;
        progress.rows = used.input_rows;
        progress
    }

    /// What the winners of the query have used so far, as far as this process knows.
    #[must_use]
    pub fn used(&self) -> SealTotals {
        self.known.used()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
