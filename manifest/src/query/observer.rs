//! What one process has seen of a query over time: how long its claims are silent, and how long it has known the
//! query.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::decide::Seen;
use crate::model::ids::{Attempt, StageId, TaskId};
use crate::model::keys::group_of;
use crate::model::view::QueryView;

#[derive(Clone, Copy, Debug)]
struct Token {
    attempt: Attempt,
    beat: Option<(i64, u64)>,
    claimed_at: Duration,
    changed_at: Duration,
}

/// A group of a stage.
pub(crate) type Group = (StageId, u32);

/// What one process has seen of a query, by its own monotonic clock. Clocks of different machines are never compared.
/// A claim is silent if *this* process saw no change of it for long enough.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    first: Option<Duration>,
    tokens: BTreeMap<(StageId, TaskId), Token>,
    /// The groups whose heartbeats the latest look has listed. Only claims of these may be judged.
    judged: BTreeSet<Group>,
    /// Since when something is due that another process is expected to write.
    due_since: Option<Duration>,
}

impl Observer {
    /// The process knows the query from now on.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.first.get_or_insert(now);
    }

    /// Records what a look has found. `listed` are the groups whose heartbeats it has listed. For the others, the view
    /// does not change how long a claim counts as silent.
    pub(crate) fn observe(&mut self, now: Duration, view: &QueryView, listed: BTreeSet<Group>) {
        let mut live = BTreeSet::new();
        for (&stage, state) in &view.stages {
            for (&task, &attempt) in &state.claims {
                let over = state.sealed
                    || state.commits.contains(&task)
                    || state.groups.contains(&group_of(task));
                if over {
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
                } else if listed.contains(&(stage, group_of(task))) && token.beat != beat {
                    token.beat = beat;
                    token.changed_at = now;
                }
            }
        }
        self.tokens.retain(|key, _| live.contains(key));
        self.judged = listed;
    }

    /// What was seen of the task's latest claim. If the latest look did not list its heartbeats, it counts as alive.
    pub(crate) fn seen(&self, now: Duration, stage: StageId, task: TaskId) -> Seen {
        let Some(token) = self.tokens.get(&(stage, task)) else { return Seen::default() };
        if !self.judged.contains(&(stage, group_of(task))) {
            return Seen::default();
        }
        let millis = |since: Duration| {
            u64::try_from(now.saturating_sub(since).as_millis()).unwrap_or(u64::MAX)
        };
        Seen { silent_ms: millis(token.changed_at), age_ms: millis(token.claimed_at) }
    }

    /// The groups with a claim that has been silent for longer than `after`: their heartbeats should be listed.
    pub(crate) fn silent_groups(&self, now: Duration, after: Duration) -> BTreeSet<Group> {
        let silent = |token: &Token| now.saturating_sub(token.changed_at) > after;
        self.tokens
            .iter()
            .filter(|(_, token)| silent(token))
            .map(|(&(stage, task), _)| (stage, group_of(task)))
            .collect()
    }

    /// How long this process has known the query.
    pub(crate) fn known_for(&self, now: Duration) -> Duration {
        self.first.map_or(Duration::ZERO, |first| now.saturating_sub(first))
    }

    /// Records whether anything is due. Returns how long something has been due, or `None` if nothing is.
    pub(crate) fn due_for(&mut self, now: Duration, is_due: bool) -> Option<Duration> {
        if !is_due {
            self.due_since = None;
            return None;
        }
        Some(now.saturating_sub(*self.due_since.get_or_insert(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::QueryId;
    use crate::model::keys;
    use crate::model::view::Listed;

    #[test]
    fn a_claim_is_silent_only_while_neither_attempt_nor_heartbeat_changes() {
        let query = QueryId::at(1, &[7; 10]);
        let seconds = Duration::from_secs;
        let listed = |key: String, modified_ms: i64| Listed { key, size: 1, modified_ms };
        let view = |attempt: Attempt, beat: Option<i64>| {
            let mut view = QueryView::default();
            view.add(&query, &listed(keys::claim(&query, 0, 0, attempt), 1));
            if let Some(at) = beat {
                view.add(&query, &listed(keys::hb(&query, 0, 0, attempt), at));
            }
            view
        };
        let beats = || BTreeSet::from([(0, 0)]);
        let mut observer = Observer::default();
        observer.observe(seconds(0), &view(0, None), beats());
        observer.observe(seconds(5), &view(0, None), beats());
        assert_eq!(observer.seen(seconds(5), 0, 0).silent_ms, 5_000);
        assert!(observer.silent_groups(seconds(5), seconds(5)).is_empty());
        assert_eq!(observer.silent_groups(seconds(5), seconds(4)), beats());
        observer.observe(seconds(6), &view(0, Some(100)), beats());
        assert_eq!(observer.seen(seconds(6), 0, 0).silent_ms, 0);
        // A look without the group's heartbeats judges none of its claims.
        observer.observe(seconds(8), &view(0, Some(100)), BTreeSet::new());
        assert_eq!(observer.seen(seconds(8), 0, 0).age_ms, 0);
        observer.observe(seconds(8), &view(0, Some(100)), beats());
        let seen = observer.seen(seconds(8), 0, 0);
        assert_eq!((seen.silent_ms, seen.age_ms), (2_000, 8_000));
        observer.observe(seconds(9), &view(1, None), beats());
        assert_eq!(observer.seen(seconds(9), 0, 0).age_ms, 0);
    }
}
