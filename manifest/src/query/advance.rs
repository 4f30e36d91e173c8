//! Advancing a query: the requests around [`crate::decide`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::decide::{self, Due, OpenTask, Seen, Steps, end};
use crate::model::records::{End, QueryError};
use crate::query::derive;
use crate::query::error::AdvanceError;
use crate::query::finish::{conclude, is_over_age, succeed};
use crate::query::handle::QueryHandle;

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
    /// Second attempts of tasks that take far longer than others, for idle slots of other processes.
    pub stragglers: Vec<OpenTask>,
    /// Claims that seem to be alive.
    pub running: usize,
    /// True if something was found or written that gives other processes work.
    pub moved: bool,
}

impl Advanced {
    fn ended(end: Arc<End>) -> Self {
        Self { ended: Some(end), ..Self::default() }
    }

    fn of(Steps { open, stragglers, running, .. }: Steps) -> Self {
        Self { ended: None, open, stragglers, running, moved: false }
    }
}

impl QueryHandle {
    /// Writes every record that is due by what the latest look has found, until none is due, and returns the tasks that
    /// may be claimed. It does not look for an `end` that another process wrote.
    ///
    /// # Errors
    /// See [`AdvanceError`]; the query can be advanced again by anyone.
    pub async fn advance(&self) -> Result<Advanced, AdvanceError> {
        self.advance_without(&BTreeSet::new()).await
    }

    /// As [`QueryHandle::advance`], but leaves these records to others (`None`: the end).
    async fn advance_without(
        &self,
        left: &BTreeSet<Option<Due>>,
    ) -> Result<Advanced, AdvanceError> {
        if let Some(end) = self.known.end() {
            return Ok(Advanced::ended(end));
        }
        let moved = if self.is_own() { move_on(self, left).await } else { Ok(Advanced::default()) };
        let outcome = match moved {
            Ok(Advanced { ended: None, .. }) | Err(_) if is_over_age(self) => {
                if let Err(error) = &moved {
                    tracing::warn!(query = %self.query, %error, "a query that cannot be moved on is over its time");
                }
                return self.fail(end::over_age(&self.root.limits)).await.map(Advanced::ended);
            }
            moved => moved,
        };
        self.or_its_end(outcome).await
    }

    /// As [`QueryHandle::advance`], for processes that only look. A due record is left to the process that made it
    /// due (usually the last committer) until it has been due for `patience`: [`PATIENCE`], or more if many look.
    /// Otherwise every idle worker would read the same commits and send the same record at the same moment.
    ///
    /// # Errors
    /// As [`QueryHandle::advance`].
    pub async fn advance_patiently(&self, patience: Duration) -> Result<Advanced, AdvanceError> {
        if self.known.end().is_some() || !self.is_own() {
            return self.advance().await;
        }
        let steps = self.steps(true);
        let due = steps.due.iter().copied().map(Some).chain(steps.finished.then_some(None));
        let due: BTreeSet<Option<Due>> = due.collect();
        let now = self.env.clock.monotonic();
        let left = self.observer.lock().unripe(now, &due, patience);
        self.advance_without(&left).await
    }

    /// What follows from what this process knows, without a look: seals that follow from known commits are believed,
    /// and every known claim counts as alive. `moved` tells that there are seals to write: [`QueryHandle::settle`].
    ///
    /// # Errors
    /// As [`QueryHandle::advance`].
    pub async fn go_on(&self) -> Result<Advanced, AdvanceError> {
        if let Some(end) = self.known.end() {
            return Ok(Advanced::ended(end));
        }
        if !self.is_own() {
            return Ok(Advanced::default());
        }
        derive::close(self);
        let steps = self.steps(false);
        if steps.finished {
            // Who has read the last seal leaves the end to the process that has written it.
            if !self.has_computed_the_last_seal() {
                let ended = self.ended().await?;
                return Ok(Advanced { ended, ..Advanced::default() });
            }
            let outcome = succeed(self).await.map(Advanced::ended);
            return self.or_its_end(outcome).await;
        }
        if let Some(error) = self.over_spent() {
            return self.fail(error).await.map(Advanced::ended);
        }
        let moved = self.has_unconfirmed_seals();
        Ok(Advanced { moved, ..Advanced::of(steps) })
    }

    /// What the query has used too much of, if it has a limit.
    fn over_spent(&self) -> Option<QueryError> {
        let limits = &self.root.limits;
        if limits.max_scan_bytes.is_none() && limits.spend.is_none() {
            return None;
        }
        decide::over_spent(limits, &self.known.used())
    }

    /// True if this process believes a seal that nobody of it is writing.
    #[must_use]
    pub fn has_unconfirmed_seals(&self) -> bool {
        let known = self.root.stages.iter().filter_map(|spec| self.known.seal(spec.id));
        // What another slot is writing now needs no second writer.
        known.into_iter().any(|seal| seal.unconfirmed.try_lock().is_ok_and(|bytes| bytes.is_some()))
    }

    /// `outcome`; but if a record was found that does not hold what it must, the query is ended, and the result is the
    /// default.
    pub(super) async fn unless_broken<T: Default>(
        &self,
        outcome: Result<T, AdvanceError>,
    ) -> Result<T, AdvanceError> {
        let Err(error) = &outcome else { return outcome };
        let Some(key) = error.broken_key() else { return outcome };
        tracing::error!(query = %self.query, %key, "a record does not hold what its inputs give");
        self.fail(end::broken_promise(key)).await?;
        Ok(T::default())
    }

    /// What follows from what this process knows. `judging` tells whether the latest look counts: otherwise every known
    /// claim is taken for alive.
    pub(super) fn steps(&self, judging: bool) -> Steps {
        let open = self.open_stages().into_iter();
        let manifests: BTreeMap<_, _> =
            open.filter_map(|stage| Some((stage, self.known_manifest(stage)?))).collect();
        let view = self.view.lock();
        let observer = self.observer.lock();
        decide::next_steps(&self.root, &view, &manifests, |stage, task| {
            if judging { observer.seen(stage, task) } else { Seen::default() }
        })
    }

    async fn or_its_end(
        &self,
        outcome: Result<Advanced, AdvanceError>,
    ) -> Result<Advanced, AdvanceError> {
        let mut advanced = self.unless_broken(outcome).await?;
        if advanced.ended.is_none() {
            advanced.ended = self.known.end();
        }
        Ok(advanced)
    }
}

/// Writes what is due, except what is `left` to others (`None`: the end).
async fn move_on(
    handle: &QueryHandle,
    left: &BTreeSet<Option<Due>>,
) -> Result<Advanced, AdvanceError> {
    let mut moved = false;
    let steps = loop {
        let _one_at_a_time = handle.deriving.lock().await;
        derive::close(handle);
        moved |= derive::settle_all(handle).await?;
        let steps = handle.steps(true);
        let mut due = steps.due.clone();
        due.retain(|due| !left.contains(&Some(*due)));
        if due.is_empty() {
            break steps;
        }
        for due in due {
            moved |= derive::write(handle, due).await?;
        }
    };
    let steps = Steps { finished: steps.finished && !left.contains(&None), ..steps };
    // A query whose last stage is sealed is paid for. Its answer is not thrown away.
    if !steps.finished
        && let Some(error) = handle.over_spent()
    {
        return handle.fail(error).await.map(Advanced::ended);
    }
    let ended = conclude(handle, &steps).await?;
    if ended.is_some() {
        return Ok(Advanced { ended, moved, ..Advanced::default() });
    }
    Ok(Advanced { moved, ..Advanced::of(steps) })
}
