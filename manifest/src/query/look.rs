//! Looking at a query: requests for what may have changed since this process last looked.
//!
//! ```text
//!   first look      LIST q/<h>/<Q>/           which stages are sealed; their seals are read
//!   every look      GET seal of each open stage        ┐
//!                   LIST some of its open groups       ├ all at once
//!                   LIST heartbeats of silent groups   ┘
//! ```
//! What is known to be there is never asked for again. A stage is open if its inputs are sealed and it is not. No look
//! lists the whole query, so its price does not grow with the number of tasks.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::{BoxFuture, try_join_all};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use crate::decide::{self, end};
use crate::model::ids::{QueryId, StageId, TaskId};
use crate::model::keys::{self, Key};
use crate::model::view::Listed;
use crate::query::error::AdvanceError;
use crate::query::finish::is_over_age;
use crate::query::handle::QueryHandle;
use crate::query::observer::Group;
use crate::store::control::ControlStore;

/// Requests of one look that are sent at once.
const REQUESTS: usize = 32;
/// Groups of one stage that a look lists. The next look continues with the following ones.
const GROUPS: usize = 16;

/// What a look asks for, of each open stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The heartbeats of all groups that are looked at, and the workers that refused the query. Without it, heartbeats
    /// are listed only where a claim has been silent for longer than the heartbeat period.
    pub beats: bool,
    /// The seal of the stage, and in a large stage which groups are sealed.
    pub seals: bool,
    /// At most so many groups, in turn, and as many again with a silent claim.
    pub groups: usize,
}

impl Default for Look {
    fn default() -> Self {
        Self { beats: false, seals: true, groups: GROUPS }
    }
}

impl Look {
    /// Asks only whether the stages that are open now are sealed, by name.
    pub const SEALS: Self = Self { beats: false, seals: true, groups: 0 };
}

impl QueryHandle {
    /// Asks the store for what may have changed. `with_beats` as [`Look::beats`].
    ///
    /// # Errors
    /// As [`QueryHandle::look_for`].
    pub async fn look(&self, with_beats: bool) -> Result<(), AdvanceError> {
        self.look_for(Look { beats: with_beats, ..Look::default() }).await
    }

    /// Asks the store for some of what may have changed.
    ///
    /// A record that does not hold what it must ends the query as FAILED. The end is then known to this handle.
    ///
    /// # Errors
    /// The store's.
    pub async fn look_for(&self, look: Look) -> Result<(), AdvanceError> {
        let outcome =
            if self.is_own() { self.look_at_own(look).await } else { self.look_at_foreign().await };
        if let Err(error) = &outcome
            && is_over_age(self)
        {
            // A record that cannot be read must not keep the query for ever.
            tracing::warn!(query = %self.query, %error, "a query that cannot be looked at is over its time");
            return self.fail(end::over_age(&self.root.limits)).await.map(|_| ());
        }
        self.unless_broken(outcome).await
    }

    /// True if a LIST has shown seals that this process has not read yet.
    #[must_use]
    pub fn has_unread_seals(&self) -> bool {
        self.cursor.lock().listed.as_ref().is_some_and(|stages| !stages.is_empty())
    }

    /// Tells the handle what a LIST of the query's prefix has shown, so that the first look does not list it again.
    pub fn note_listing(&self, listed: &[Listed]) {
        let seals = self.add(listed);
        self.cursor.lock().listed = Some(seals);
    }

    /// Asks the store only for the group of one task.
    ///
    /// # Errors
    /// The store's.
    pub async fn look_at_group(&self, stage: StageId, task: TaskId) -> Result<(), AdvanceError> {
        self.list(keys::group_prefix(&self.query, stage, keys::group_of(task))).await.map(|_| ())
    }

    async fn look_at_own(&self, look: Look) -> Result<(), AdvanceError> {
        self.read_first_seals().await?;
        let now = self.env.clock.monotonic();
        let period = Duration::from_millis(self.root.limits.heartbeat_ms);
        let silent = self.observer.lock().silent_groups(now, period);
        let open = self.open_stages();
        let groups: Vec<Group> = open
            .iter()
            .flat_map(|&stage| self.groups_to_list(stage, look.groups, &silent))
            .collect();
        let beaten: BTreeSet<Group> =
            groups.iter().copied().filter(|group| look.beats || silent.contains(group)).collect();
        let of_group = |of: fn(&QueryId, StageId, u32) -> String| {
            move |&(stage, group): &Group| of(&self.query, stage, group)
        };
        let prefixes = (groups.iter().map(of_group(keys::group_prefix)))
            .chain(beaten.iter().map(of_group(keys::beats_prefix)))
            .chain(look.beats.then(|| keys::refusals_prefix(&self.query)));
        let lists = prefixes.map(|prefix| async { self.list(prefix).await.map(|_| ()) }.boxed());
        let seal = |stage| match look.groups {
            0 => async move { self.seal(stage).await.map(|_| ()) }.boxed(),
            _ => self.look_for_seal(stage).boxed(),
        };
        let seals = open.iter().filter(|_| look.seals).copied().map(seal);
        let requests: Vec<BoxFuture<'_, Result<(), AdvanceError>>> = seals.chain(lists).collect();
        stream::iter(requests).buffer_unordered(REQUESTS).try_collect::<()>().await?;
        // Stages that have just opened may be sealed as well.
        let mut seen: BTreeSet<StageId> = open.into_iter().collect();
        let is_whole = look.groups > 0 && look.seals;
        loop {
            let mut fresh = self.open_stages();
            fresh.retain(|stage| seen.insert(*stage));
            if fresh.is_empty() || !is_whole {
                break;
            }
            try_join_all(fresh.into_iter().map(seal)).await?;
        }
        let ended = self.env.clock.monotonic();
        self.cursor.lock().looked_at(&groups, ended);
        let view = self.view.lock();
        self.observer.lock().observe((now, ended), &view, beaten);
        Ok(())
    }

    /// Of another build's query this process knows no manifests, so it lists what needs none.
    async fn look_at_foreign(&self) -> Result<(), AdvanceError> {
        let sealed = self.list(keys::query_prefix(&self.query)).await?;
        self.list(keys::beats_of_query(&self.query)).await?;
        let mut view = self.view.lock();
        for stage in sealed {
            view.stage(stage).sealed = true;
        }
        Ok(())
    }

    /// Reads the seals that are there already, once. Stages of which a later one is sealed are not looked at again.
    async fn read_first_seals(&self) -> Result<(), AdvanceError> {
        if self.cursor.lock().first_is_done {
            return Ok(());
        }
        let noted = self.cursor.lock().listed.take();
        let stages = match noted {
            Some(stages) => stages,
            None => {
                let listed = self.store.list(&keys::query_prefix(&self.query)).await?;
                self.note_listing(&listed);
                self.cursor.lock().listed.take().unwrap_or_default()
            }
        };
        try_join_all(stages.into_iter().map(|stage| self.seal(stage))).await?;
        self.cursor.lock().first_is_done = true;
        Ok(())
    }

    /// Stages whose inputs are sealed and that are not sealed, as far as this process knows.
    pub(super) fn open_stages(&self) -> Vec<StageId> {
        let ids = self.root.stages.iter().map(|spec| spec.id);
        ids.filter(|&stage| {
            self.known.seal(stage).is_none() && self.known_manifest(stage).is_some()
        })
        .collect()
    }

    /// True if a look at the group of the task began at most `within` ago.
    #[must_use]
    pub fn has_looked_at(&self, stage: StageId, task: TaskId, within: Duration) -> bool {
        let at = self.cursor.lock().when_looked_at((stage, keys::group_of(task)));
        at.is_some_and(|at| self.env.clock.monotonic().saturating_sub(at) <= within)
    }

    fn groups_to_list(&self, stage: StageId, most: usize, silent: &[Group]) -> BTreeSet<Group> {
        let Some(decided) = self.known_manifest(stage) else { return BTreeSet::new() };
        let tasks = decided.manifest.tasks.len();
        if tasks == 0 {
            return BTreeSet::new();
        }
        let all = keys::group_of(u32::try_from(tasks - 1).unwrap_or(u32::MAX)) + 1;
        let open: Vec<u32> = {
            let view = self.view.lock();
            let sealed = view.stages.get(&stage).map(|state| &state.groups);
            (0..all).filter(|group| sealed.is_none_or(|sealed| !sealed.contains(group))).collect()
        };
        let turn = self.cursor.lock().take(stage, &open, most);
        let suspicious = silent.iter().filter(|(of, group)| *of == stage && open.contains(group));
        let suspicious = suspicious.take(most);
        turn.into_iter().map(|group| (stage, group)).chain(suspicious.copied()).collect()
    }

    /// Reads the seal of an open stage if it is there. In a stage of several groups one LIST shows also the groups.
    pub(super) async fn look_for_seal(&self, stage: StageId) -> Result<(), AdvanceError> {
        let grouped =
            self.known_manifest(stage).is_some_and(|decided| decide::groups(&decided.manifest) > 0);
        if !grouped {
            return self.seal(stage).await.map(|_| ());
        }
        if self.list(keys::stage_prefix(&self.query, stage)).await?.contains(&stage) {
            self.seal(stage).await?;
        }
        Ok(())
    }

    /// Adds what is there to the view. Returns the stages whose seals are there: they must be read to be known.
    pub(super) async fn list(&self, prefix: String) -> Result<BTreeSet<StageId>, AdvanceError> {
        Ok(self.add(&self.store.list(&prefix).await?))
    }

    fn add(&self, listed: &[Listed]) -> BTreeSet<StageId> {
        let mut view = self.view.lock();
        listed.iter().for_each(|entry| view.add(&self.query, entry));
        let seal = |entry: &Listed| match keys::parse(&entry.key) {
            Some((_, Key::Seal(stage))) => Some(stage),
            _ => None,
        };
        listed.iter().filter_map(seal).collect()
    }
}
