//! What one process has seen of a query over time: how long its claims are silent, and how long the query makes no
//! progress.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::ids::{Attempt, StageId, TaskId};
use crate::model::view::QueryView;

#[derive(Clone, Copy, Debug)]
struct Token {
    attempt: Attempt,
    beat: Option<(i64, u64)>,
    claimed_at: Duration,
    changed_at: Duration,
}

/// What one process has seen of a query, by its own monotonic clock. Clocks of different machines are never compared.
/// A claim is silent if *this* process saw no change of it for long enough.
#[derive(Debug, Default)]
pub struct Observer {
    first: Option<Duration>,
    progress: Option<(usize, i64, Duration)>,
    tokens: BTreeMap<(StageId, TaskId), Token>,
    /// Since when something is due that another process is expected to write.
    due_since: Option<Duration>,
}

impl Observer {
    /// Records a view. `with_beats` tells whether the view includes heartbeats. Without them, the view does not
    /// change how long a claim counts as silent.
    pub fn observe(&mut self, now: Duration, view: &QueryView, with_beats: bool) {
        self.first.get_or_insert(now);
        match self.progress {
            Some((objects, newest, _)) if (objects, newest) == (view.objects, view.newest_ms) => {}
            // A view without heartbeats cannot prove that nothing changed.
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

    /// How long this process has known the task's latest claim.
    #[must_use]
    pub fn claim_age(&self, now: Duration, stage: StageId, task: TaskId) -> Duration {
        self.tokens
            .get(&(stage, task))
            .map_or(Duration::ZERO, |token| now.saturating_sub(token.claimed_at))
    }

    /// True if some claim has been silent so long that its heartbeats should be listed.
    #[must_use]
    pub fn wants_beats(&self, now: Duration, after: Duration) -> bool {
        self.tokens.values().any(|token| now.saturating_sub(token.changed_at) > after)
    }

    /// How long this process has known the query.
    #[must_use]
    pub fn known_for(&self, now: Duration) -> Duration {
        self.first.map_or(Duration::ZERO, |first| now.saturating_sub(first))
    }

    /// How long nothing in the query has changed.
    #[must_use]
    pub fn still_for(&self, now: Duration) -> Duration {
        self.progress.map_or(Duration::ZERO, |(_, _, at)| now.saturating_sub(at))
    }

    /// Records whether anything is due. Returns how long something has been due, or `None` if nothing is.
    pub fn due_for(&mut self, now: Duration, is_due: bool) -> Option<Duration> {
        if !is_due {
            self.due_since = None;
            return None;
        }
        Some(now.saturating_sub(*self.due_since.get_or_insert(now)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::ids::QueryId;
    use crate::model::keys;
    use crate::model::view::Listed;

    fn listed(key: String, modified_ms: i64) -> Listed {
        Listed { key, size: 1, modified_ms }
    }

    #[test]
    fn a_claim_is_silent_only_while_neither_attempt_nor_heartbeat_changes() {
        let query = QueryId::at(1, &[7; 10]);
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
        // A view without heartbeats shows nothing about them.
        observer.observe(seconds(8), &view(0, None), false);
        assert_eq!(observer.silent_for(seconds(8), 0, 0), seconds(2));
        assert_eq!(observer.claim_age(seconds(8), 0, 0), seconds(8));
        observer.observe(seconds(9), &view(1, None), true);
        assert_eq!(observer.claim_age(seconds(9), 0, 0), seconds(0));
    }
}
