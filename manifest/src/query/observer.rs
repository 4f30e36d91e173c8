//! What one process has seen of a query over time: how long its claims are silent, and how long it has known the
//! query.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::decide::{Due, Seen};
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

/// The clock of a store and that of a process may go apart by so much.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// A group of a stage.
pub(crate) type Group = (StageId, u32);

/// What one process has seen of a query, by its own monotonic clock. Clocks of different machines are never compared.
/// A claim is silent if *this* process saw no change of it for long enough.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    first: Option<Duration>,
    /// What the stamps of the query's objects spanned at the first look, in milliseconds.
    first_spanned_ms: Option<u64>,
    /// When the latest look began. Nothing is known of what happened after it.
    looked_at: Duration,
    /// Since when each task is known to have failed attempts and no commit.
    failing: BTreeMap<(StageId, TaskId), Duration>,
    tokens: BTreeMap<(StageId, TaskId), Token>,
    /// The longest time for which a claim of each stage was known whose task is done.
    longest: BTreeMap<StageId, Duration>,
    /// The groups whose heartbeats the latest look has listed. Only claims of these may be judged.
    judged: BTreeSet<Group>,
    /// Since when each record is due that another process is expected to write; `None`: the end.
    due_since: BTreeMap<Option<Due>, Duration>,
}

impl Observer {
    /// The process knows the query from now on.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.first.get_or_insert(now);
    }

    /// Records what a look has found that began and ended at these times. `listed` are the groups whose heartbeats it has
    /// listed. For the others, the view does not change how long a claim counts as silent.
    pub(crate) fn observe(
        &mut self,
        (began, now): (Duration, Duration),
        view: &QueryView,
        listed: BTreeSet<Group>,
    ) {
        self.looked_at = began;
        self.first_spanned_ms.get_or_insert(view.spanned_ms());
        self.note_failing(now, view);
        let mut live = BTreeSet::new();
        for (&stage, state) in &view.stages {
            for (&task, &attempt) in &state.claims {
                if state.has_winner(task) {
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
        for ((stage, _), token) in self.tokens.extract_if(.., |key, _| !live.contains(key)) {
            let took = now.saturating_sub(token.claimed_at);
            let longest = self.longest.entry(stage).or_default();
            *longest = (*longest).max(took);
        }
        self.judged = listed;
    }

    fn note_failing(&mut self, now: Duration, view: &QueryView) {
        let mut failing = BTreeSet::new();
        for (&stage, state) in &view.stages {
            let tasks = state.fails.keys().copied().filter(|task| !state.has_winner(*task));
            failing.extend(tasks.map(|task| (stage, task)));
        }
        self.failing.retain(|key, _| failing.contains(key));
        for key in failing {
            self.failing.entry(key).or_insert(now);
        }
    }

    /// How long the task had been failing when the latest look began, as far as this process knows.
    pub(crate) fn failing_ms(&self, stage: StageId, task: TaskId) -> u64 {
        let since = self.failing.get(&(stage, task)).copied();
        since.map_or(0, |since| millis(self.looked_at.saturating_sub(since)))
    }

    /// What the latest look has shown of the task's latest claim. If it did not list the heartbeats, the claim counts as
    /// alive. A process that was frozen after the look learns nothing from the time that has passed since.
    pub(crate) fn seen(&self, stage: StageId, task: TaskId) -> Seen {
        let Some(token) = self.tokens.get(&(stage, task)) else { return Seen::default() };
        let since = |at: Duration| millis(self.looked_at.saturating_sub(at));
        let usual_ms = self.longest.get(&stage).copied().map(millis);
        let known_ms = since(token.claimed_at);
        let alive = Seen { known_ms, usual_ms, ..Seen::default() };
        if !self.judged.contains(&(stage, group_of(task))) {
            return alive;
        }
        Seen { silent_ms: since(token.changed_at), age_ms: known_ms, ..alive }
    }

    /// The groups with a claim that has been silent for longer than `after`, the longest silent first: their heartbeats
    /// should be listed.
    pub(crate) fn silent_groups(&self, now: Duration, after: Duration) -> Vec<Group> {
        let silent = |token: &Token| now.saturating_sub(token.changed_at) > after;
        let mut since: BTreeMap<Group, Duration> = BTreeMap::new();
        for (&(stage, task), token) in self.tokens.iter().filter(|(_, token)| silent(token)) {
            let since = since.entry((stage, group_of(task))).or_insert(token.changed_at);
            *since = (*since).min(token.changed_at);
        }
        let mut groups: Vec<Group> = since.keys().copied().collect();
        groups.sort_by_key(|group| since.get(group).copied());
        groups
    }

    /// How long this process has known the query.
    pub(crate) fn known_for(&self, now: Duration) -> Duration {
        self.first.map_or(Duration::ZERO, |first| now.saturating_sub(first))
    }

    /// How old a query is at least whose stamps span so much: as long as this process has known it, or what was spanned at
    /// its first look and the time since. A store whose clock jumps while this process looks makes no query older.
    pub(crate) fn age(&self, now: Duration, spanned_ms: u64) -> Duration {
        let known = self.known_for(now);
        let before = self.first_spanned_ms.unwrap_or(spanned_ms);
        let at_most = Duration::from_millis(before).saturating_add(known + CLOCKS_DIFFER);
        known.max(Duration::from_millis(spanned_ms).min(at_most))
    }

    /// Records what is due now (`None`: the end). Returns what has been due for less than `patience`.
    pub(crate) fn unripe(
        &mut self,
        now: Duration,
        due: &BTreeSet<Option<Due>>,
        patience: Duration,
    ) -> BTreeSet<Option<Due>> {
        self.due_since.retain(|record, _| due.contains(record));
        for record in due {
            self.due_since.entry(*record).or_insert(now);
        }
        let fresh =
            self.due_since.iter().filter(|(_, since)| now.saturating_sub(**since) < patience);
        fresh.map(|(record, _)| *record).collect()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::QueryId;
    use crate::model::keys;
    use crate::model::view::Listed;

    #[test]
    fn each_record_that_is_due_is_left_to_others_for_its_own_time() {
        let (one, two, end) = (Some(Due::GroupSeal(0, 1)), Some(Due::GroupSeal(0, 2)), None);
        let at = Duration::from_millis;
        let mut observer = Observer::default();
        let mut unripe = |now: u64, due: &[Option<Due>]| {
            observer.unripe(at(now), &due.iter().copied().collect(), at(250))
        };
        assert_eq!(unripe(0, &[one]), [one].into());
        assert_eq!(unripe(200, &[one, two]), [one, two].into());
        assert_eq!(unripe(250, &[one, two]), [two].into());
        // Another process has written it.
        assert_eq!(unripe(460, &[end]), [end].into());
        assert_eq!(unripe(470, &[two, end]), [two, end].into(), "it is due anew");
    }

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
        observer.observe((seconds(0), seconds(0)), &view(0, None), beats());
        observer.observe((seconds(5), seconds(5)), &view(0, None), beats());
        assert_eq!(observer.seen(0, 0).silent_ms, 5_000);
        assert!(observer.silent_groups(seconds(5), seconds(5)).is_empty());
        assert_eq!(observer.silent_groups(seconds(5), seconds(4)), [(0, 0)]);
        observer.observe((seconds(6), seconds(6)), &view(0, Some(100)), beats());
        assert_eq!(observer.seen(0, 0).silent_ms, 0);
        // A look without the group's heartbeats judges none of its claims.
        observer.observe((seconds(8), seconds(8)), &view(0, Some(100)), BTreeSet::new());
        assert_eq!(observer.seen(0, 0).age_ms, 0);
        observer.observe((seconds(8), seconds(8)), &view(0, Some(100)), beats());
        let seen = observer.seen(0, 0);
        assert_eq!((seen.silent_ms, seen.age_ms), (2_000, 8_000));
        observer.observe((seconds(9), seconds(9)), &view(1, None), beats());
        assert_eq!(observer.seen(0, 0).age_ms, 0);
    }

    #[test]
    fn a_clock_that_jumps_makes_no_query_older_for_who_knows_it() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3_600));
        let view = |newest_ms| QueryView { root_ms: Some(0), newest_ms, ..QueryView::default() };
        let spanned = |view: &QueryView| view.spanned_ms();
        let mut observer = Observer::default();
        observer.begin(hour);
        observer.observe((hour, hour), &view(2_000), BTreeSet::new());
        assert_eq!(observer.age(hour, spanned(&view(2_000))), 2 * second);
        // The store's clock jumps by 13 hours, and this one has gone on by a second.
        let jumped = view(13 * 3_600_000);
        observer.observe((hour + second, hour + second), &jumped, BTreeSet::new());
        assert!(observer.age(hour + second, spanned(&jumped)) < 2 * CLOCKS_DIFFER);
        // Who meets the query only now believes the stamps, and who has known it for long needs none.
        let mut late = Observer::default();
        late.begin(hour);
        late.observe((hour, hour), &jumped, BTreeSet::new());
        assert_eq!(late.age(hour, spanned(&jumped)), 13 * hour);
        assert_eq!(observer.age(14 * hour, 0), 13 * hour);
    }

    #[test]
    fn the_longest_of_the_tasks_that_are_done_is_what_is_usual() {
        let query = QueryId::at(1, &[7; 10]);
        let seconds = Duration::from_secs;
        let mut view = QueryView::default();
        for task in 0..3 {
            let key = keys::claim(&query, 0, task, 0);
            view.add(&query, &Listed { key, size: 1, modified_ms: 1 });
        }
        let mut observer = Observer::default();
        let mut observe = |at: u64, done: Option<TaskId>| {
            view.stage(0).commits.extend(done);
            observer.observe((seconds(at), seconds(at)), &view, BTreeSet::new());
            let seen = observer.seen(0, 2);
            (seen.known_ms, seen.usual_ms, seen.age_ms)
        };
        assert_eq!(observe(1, None), (0, None, 0));
        assert_eq!(observe(4, Some(0)), (3_000, Some(3_000), 0));
        assert_eq!(observe(6, Some(1)), (5_000, Some(5_000), 0));
        assert_eq!(observe(20, None), (19_000, Some(5_000), 0));
    }

    #[test]
    fn a_slow_look_makes_no_claim_older_and_a_frozen_process_learns_nothing() {
        let query = QueryId::at(1, &[7; 10]);
        let seconds = Duration::from_secs;
        let mut view = QueryView::default();
        let claim = keys::claim(&query, 0, 0, 0);
        view.add(&query, &Listed { key: claim, size: 1, modified_ms: 1 });
        view.stage(0).fails.entry(1).or_default().insert(0);
        let mut observer = Observer::default();
        let beats = || BTreeSet::from([(0, 0)]);
        observer.observe((seconds(0), seconds(10)), &view, beats());
        // However long the process stood still after this: the look had seen nothing for ten seconds.
        observer.observe((seconds(20), seconds(500)), &view, beats());
        let seen = observer.seen(0, 0);
        assert_eq!((seen.silent_ms, seen.age_ms), (10_000, 10_000));
        assert_eq!((observer.failing_ms(0, 1), observer.failing_ms(0, 0)), (10_000, 0));
        view.stage(0).commits.insert(1);
        observer.observe((seconds(501), seconds(501)), &view, beats());
        assert_eq!(observer.failing_ms(0, 1), 0);
    }
}
