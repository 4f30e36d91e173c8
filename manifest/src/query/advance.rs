//! Advancing a query: the requests around [`crate::decide`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::decide::{self, OpenTask, Seen, Steps, end};
use crate::model::records::End;
use crate::model::view::QueryView;
use crate::query::derive;
use crate::query::error::AdvanceError;
use crate::query::finish::{conclude, is_over_age};
use crate::query::handle::QueryHandle;
use crate::store::control::StoreError;
use crate::store::create::{CreateError, Derived};

/// How long a process waits for the process that made a record due before it writes the record itself. The wait costs
/// this time only if a process died between its commit and the seal.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// The state of a query after it was advanced.
#[derive(Clone, Debug, Default)]
pub struct Advanced {
    /// Its end, if it has one.
    pub ended: Option<Arc<End>>,
    /// Tasks that may be claimed now, best first.
    pub open: Vec<OpenTask>,
    /// Claims that seem to be alive.
    pub running: usize,
    /// True if something was written that gives other processes work.
    pub moved: bool,
}

impl QueryHandle {
    /// Writes every record that is due, until none is due, and returns the tasks that may be claimed. It does not
    /// look for an `end` that another process wrote: ask [`QueryHandle::ended`] before a claim.
    ///
    /// # Errors
    /// See [`AdvanceError`]; the query can be advanced again by anyone.
    pub async fn advance(&self, view: &mut QueryView) -> Result<Advanced, AdvanceError> {
        match move_on(self, view).await {
            Err(error) if is_over_age(self, view) => {
                tracing::warn!(query = %self.query, %error, "a query that cannot be moved on is over its time");
                let ended = self.fail(end::over_age(&self.root.limits)).await?;
                Ok(Advanced { ended: Some(ended), ..Advanced::default() })
            }
            outcome => outcome,
        }
    }

    /// As [`QueryHandle::advance`], for processes that only look. A due record is left to the process that made it
    /// due (usually the last committer) until it has been due for [`PATIENCE`]. Otherwise every idle worker would
    /// read the same commits and send the same record at the same moment.
    ///
    /// # Errors
    /// As [`QueryHandle::advance`].
    pub async fn advance_patiently(&self, view: &mut QueryView) -> Result<Advanced, AdvanceError> {
        let steps = next_steps(self, view).await?;
        let is_due = !steps.due.is_empty() || steps.finished;
        let waited = self.observer.lock().due_for(self.env.clock.monotonic(), is_due);
        if waited.is_none_or(|waited| waited >= PATIENCE) {
            return self.advance(view).await;
        }
        Ok(Advanced { open: steps.open, running: steps.running, ..Advanced::default() })
    }
}

async fn move_on(handle: &QueryHandle, view: &mut QueryView) -> Result<Advanced, AdvanceError> {
    let mut moved = false;
    if let Some(end) = handle.known.end() {
        return Ok(Advanced { ended: Some(end), ..Advanced::default() });
    }
    let steps = loop {
        let steps = next_steps(handle, view).await?;
        if steps.due.is_empty() {
            break steps;
        }
        let _one_at_a_time = handle.deriving.lock().await;
        for due in &steps.due {
            match derive::write(handle, view, *due).await {
                Ok(Derived::Created) => moved = true,
                Ok(Derived::Adopted) => {}
                Err(AdvanceError::Create(CreateError::Conflict { key })) => {
                    let ended = handle.fail(end::broken_promise(&key)).await?;
                    return Ok(Advanced { ended: Some(ended), moved, ..Advanced::default() });
                }
                Err(error) => return Err(error),
            }
        }
    };
    let ended = conclude(handle, view, &steps).await?;
    if ended.is_some() {
        return Ok(Advanced { ended, moved, ..Advanced::default() });
    }
    Ok(Advanced { ended: None, open: steps.open, running: steps.running, moved })
}

/// What follows from a view and from what this process has seen.
async fn next_steps(handle: &QueryHandle, view: &QueryView) -> Result<Steps, StoreError> {
    let mut manifests = BTreeMap::new();
    for spec in &handle.root.stages {
        let open = view.stages.get(&spec.id).is_some_and(|state| state.manifest && !state.sealed);
        if open && let Some(manifest) = handle.manifest(spec.id).await? {
            manifests.insert(spec.id, manifest);
        }
    }
    let now = handle.env.clock.monotonic();
    let observer = handle.observer.lock();
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Ok(decide::next_steps(&handle.root, view, &manifests, |stage, task| Seen {
        silent_ms: millis(observer.silent_for(now, stage, task)),
        age_ms: millis(observer.claim_age(now, stage, task)),
    }))
}
