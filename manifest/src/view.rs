//! What one LIST says about a query, and what one process has seen of it over time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::QueryId;
use crate::keys::{self, CtlKey, HbKey};
use crate::records::{Attempt, StageId, TaskId};
use crate::store::Listed;

/// The state of one stage, as its keys tell.
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

/// The state of a query, as its keys tell.
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
    /// Workers that saw the query and may not run it.
    pub refusals: BTreeSet<String>,
}

impl QueryView {
    /// Reads the LISTs of [`keys::ctl_prefix`] and, where it was made, of [`keys::hb_prefix`]. Names that
    /// the protocol does not write are passed over.
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

    /// The view of a stage, made if the stage has no objects yet.
    pub fn stage(&mut self, stage: StageId) -> &mut StageView {
        self.stages.entry(stage).or_default()
    }

    /// Attempts claimed in all stages.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.stages.values().map(|stage| stage.attempts).sum()
    }
}

#[derive(Clone, Copy, Debug)]
struct Token {
    attempt: Attempt,
    beat: Option<(i64, u64)>,
    claimed_at: Duration,
    changed_at: Duration,
}

/// What one process has seen of a query, by its own monotonic clock. Clocks of machines are never
/// compared: a claim is silent if *this* process saw nothing of it change for long enough.
#[derive(Debug, Default)]
pub struct Observer {
    first: Option<Duration>,
    progress: Option<(usize, i64, Duration)>,
    tokens: BTreeMap<(StageId, TaskId), Token>,
}

impl Observer {
    /// Takes note of a view. `with_beats` tells whether the view includes heartbeats: without them a
    /// claim's silence is not judged.
    pub fn observe(&mut self, now: Duration, view: &QueryView, with_beats: bool) {
        self.first.get_or_insert(now);
        match self.progress {
            Some((objects, newest, _)) if (objects, newest) == (view.objects, view.newest_ms) => {}
            // A view without heartbeats cannot show that nothing changed.
            Some((objects, newest, at)) if !with_beats && newest > view.newest_ms => {
                let at = if view.objects == objects { at } else { now };
                self.progress = Some((view.objects, newest, at));
            }
            _ => self.progress = Some((view.objects, view.newest_ms, now)),
        }
        let mut live = BTreeSet::new();
        for (&stage, state) in &view.stages {
            for (&task, &attempt) in &state.claims {
                if state.sealed || state.commits.contains(&task) {
                    continue;
                }
                live.insert((stage, task));
                let beat = view.beats.get(&(stage, task, attempt)).copied();
                let token = self.tokens.entry((stage, task)).or_insert(Token {
                    attempt,
                    beat,
                    claimed_at: now,
                    changed_at: now,
                });
                if token.attempt != attempt {
                    *token = Token { attempt, beat, claimed_at: now, changed_at: now };
                } else if with_beats && token.beat != beat {
                    token.beat = beat;
                    token.changed_at = now;
                }
            }
        }
        self.tokens.retain(|key, _| live.contains(key));
    }

    /// How long nothing of the task's latest claim has changed.
    #[must_use]
    pub fn silent_for(&self, now: Duration, stage: StageId, task: TaskId) -> Duration {
        self.tokens
            .get(&(stage, task))
            .map_or(Duration::ZERO, |token| now.saturating_sub(token.changed_at))
    }

    /// How long the task's latest claim has been known here.
    #[must_use]
    pub fn claim_age(&self, now: Duration, stage: StageId, task: TaskId) -> Duration {
        self.tokens
            .get(&(stage, task))
            .map_or(Duration::ZERO, |token| now.saturating_sub(token.claimed_at))
    }

    /// True if some claim has been silent for so long that its heartbeats should be looked at.
    #[must_use]
    pub fn wants_beats(&self, now: Duration, after: Duration) -> bool {
        self.tokens.values().any(|token| now.saturating_sub(token.changed_at) > after)
    }

    /// How long the query has been known here.
    #[must_use]
    pub fn known_for(&self, now: Duration) -> Duration {
        self.first.map_or(Duration::ZERO, |first| now.saturating_sub(first))
    }

    /// How long nothing at all has changed.
    #[must_use]
    pub fn still_for(&self, now: Duration) -> Duration {
        self.progress.map_or(Duration::ZERO, |(_, _, at)| now.saturating_sub(at))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::env::Env;

    fn listed(key: String, modified_ms: i64) -> Listed {
        Listed { key, size: 1, modified_ms }
    }

    #[test]
    fn a_listing_becomes_a_view() {
        let query = QueryId::new(&Env::system());
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

    #[test]
    fn a_claim_is_silent_only_while_neither_attempt_nor_heartbeat_changes() {
        let query = QueryId::new(&Env::system());
        let seconds = Duration::from_secs;
        let view = |attempt: Attempt, beat: Option<i64>| {
            let control = [listed(keys::claim(&query, 0, 0, attempt), 1)];
            let beats: Vec<_> =
                beat.map(|at| listed(keys::hb(&query, 0, 0, attempt), at)).into_iter().collect();
            QueryView::from_listing(&query, &control, &beats)
        };
        let mut observer = Observer::default();
        observer.observe(seconds(0), &view(0, None), true);
        observer.observe(seconds(5), &view(0, None), true);
        assert_eq!(observer.silent_for(seconds(5), 0, 0), seconds(5));
        observer.observe(seconds(6), &view(0, Some(100)), true);
        assert_eq!(observer.silent_for(seconds(6), 0, 0), seconds(0));
        // A view without heartbeats says nothing about them.
        observer.observe(seconds(8), &view(0, None), false);
        assert_eq!(observer.silent_for(seconds(8), 0, 0), seconds(2));
        assert_eq!(observer.claim_age(seconds(8), 0, 0), seconds(8));
        observer.observe(seconds(9), &view(1, None), true);
        assert_eq!(observer.claim_age(seconds(9), 0, 0), seconds(0));
    }
}
