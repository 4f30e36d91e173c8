//! What follows from a view of a query: records that are due, tasks that may be claimed, and tasks that have used all
//! their attempts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::decide::facts::Decided;
use crate::decide::seals::{group_tasks, groups};
use crate::model::ids::{Attempt, StageId, TaskId};
use crate::model::records::{Limits, Root, StageManifest};
use crate::model::view::{QueryView, StageView};

/// How many times at most the lease of a task doubles after its claims were lost.
const LEASE_DOUBLINGS: u32 = 5;

/// A claim that is younger than this is no straggler.
const STRAGGLER_MS: u64 = 5_000;
/// A straggler has run for so many times as long as the slowest task that is done.
const STRAGGLES: u64 = 2;

/// A record that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// `s<S>/g/<g>`.
    GroupSeal(StageId, u32),
    /// `s<S>/seal`.
    Seal(StageId),
}

/// A task that may be claimed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTask {
    /// Stage.
    pub stage: StageId,
    /// Task.
    pub task: TaskId,
    /// The attempt to claim.
    pub attempt: Attempt,
}

/// What this process has seen of a claim, in milliseconds of its own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How long nothing of the claim has changed.
    pub silent_ms: u64,
    /// How long this process has known the claim.
    pub age_ms: u64,
    /// The same, whether or not the latest look tells if the claim is alive.
    pub known_ms: u64,
    /// The longest time for which this process has known a claim of the same stage whose task is done now.
    pub usual_ms: Option<u64>,
}

impl Seen {
    /// True if the claim takes so long that a second attempt may be done first, although it is alive.
    fn straggles(&self) -> bool {
        let slow = |usual: u64| self.known_ms >= usual.saturating_mul(STRAGGLES).max(STRAGGLER_MS);
        self.usual_ms.is_some_and(slow)
    }
}

/// What follows from a view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Records that are due.
    pub due: Vec<Due>,
    /// Tasks that may be claimed: later stages first, then in the manifest's order (largest first).
    pub open: Vec<OpenTask>,
    /// Tasks that run far longer than others of their stage, half of which are done and none of which is open. An idle
    /// slot of another process may claim a second attempt; whichever commits first wins.
    pub stragglers: Vec<OpenTask>,
    /// Tasks that have failed attempts and no commit.
    pub failed: Vec<(StageId, TaskId)>,
    /// Tasks whose claims were lost too often.
    pub exhausted: Vec<(StageId, TaskId)>,
    /// Claims that seem to be alive.
    pub running: usize,
    /// The last stage is sealed.
    pub finished: bool,
}

/// What follows from a view. `manifests` holds the manifest of every open stage: its inputs are sealed, and it is not.
#[must_use]
pub fn next_steps(
    root: &Root,
    view: &QueryView,
    manifests: &BTreeMap<StageId, Arc<Decided>>,
    seen: impl Fn(StageId, TaskId) -> Seen,
) -> Steps {
    let mut steps = Steps::default();
    let nothing = StageView::default();
    for spec in root.stages.iter().rev() {
        if view.is_sealed(spec.id) {
            continue;
        }
        let state = view.stages.get(&spec.id).unwrap_or(&nothing);
        let Some(decided) = manifests.get(&spec.id) else { continue };
        let tasks = decided.manifest.tasks.len();
        let due = due_seals(state, &decided.manifest);
        let complete = due.contains(&Due::Seal(spec.id));
        steps.due.extend(due);
        if complete {
            continue;
        }
        let (before, mut stragglers, mut done) = (steps.open.len(), Vec::new(), 0_usize);
        for task in 0..count(tasks) {
            if state.has_winner(task) {
                done += 1;
                continue;
            }
            let seen = || seen(spec.id, task);
            stragglers.extend(steps.add_task(&root.limits, spec.id, task, state, seen));
        }
        // Files that a query writes are seen by others as soon as they are there, so it has no attempts to spare.
        if steps.open.len() == before && 2 * done >= tasks && root.write.is_none() {
            steps.stragglers.extend(stragglers);
        }
    }
    steps.finished = root.stages.last().is_some_and(|last| view.is_sealed(last.id));
    steps
}

/// The seals of a stage that are due: those of full groups, and the seal of the stage once all its tasks are committed
/// (in a stage with groups: once all its groups are sealed).
fn due_seals(state: &StageView, manifest: &StageManifest) -> Vec<Due> {
    let full = |tasks: Range<TaskId>| tasks.into_iter().all(|task| state.commits.contains(&task));
    let (stage, tasks) = (manifest.stage, manifest.tasks.len());
    let groups = groups(manifest);
    let mut due: Vec<Due> = (0..groups)
        .filter(|group| !state.groups.contains(group) && full(group_tasks(*group, tasks)))
        .map(|group| Due::GroupSeal(stage, group))
        .collect();
    let complete = if groups == 0 {
        full(0..count(tasks))
    } else {
        (0..groups).all(|group| state.groups.contains(&group))
    };
    if complete {
        due.push(Due::Seal(stage));
    }
    due
}

fn count(tasks: usize) -> u32 {
    u32::try_from(tasks).unwrap_or(u32::MAX)
}

impl Steps {
    /// Adds what follows for a task that has no winner yet. Returns the second attempt of a straggler.
    fn add_task(
        &mut self,
        limits: &Limits,
        stage: StageId,
        task: TaskId,
        state: &StageView,
        seen: impl FnOnce() -> Seen,
    ) -> Option<OpenTask> {
        let fails = state.fails.get(&task);
        if fails.is_some() {
            self.failed.push((stage, task));
        }
        let Some(&latest) = state.claims.get(&task) else {
            self.open.push(OpenTask { stage, task, attempt: 0 });
            return None;
        };
        let failed = fails.is_some_and(|fails| fails.contains(&latest));
        let failures = fails.map_or(0, |fails| count(fails.len()));
        let seen = seen();
        // Each lost claim doubles the lease of the next one. The guess "lost" may be wrong, because the store is slow
        // for example. Wrong guesses must not use up the claims of a task that is alive.
        let patience = latest.saturating_sub(failures).min(LEASE_DOUBLINGS);
        let dead = seen.silent_ms >= limits.lease_ms << patience
            || seen.age_ms >= limits.task_limit_ms << patience;
        let next = OpenTask { stage, task, attempt: latest + 1 };
        if !failed && !dead {
            self.running += 1;
            let is_first = latest == failures;
            return (is_first && seen.straggles()).then_some(next);
        }
        if (latest + 1).saturating_sub(failures) >= limits.max_claims {
            self.exhausted.push((stage, task));
        } else {
            self.open.push(next);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{decided, partitioned, root, stage};
    use crate::model::records::WriteTarget;

    /// Steps over one stage of `tasks` tasks whose view `shape` fills in.
    fn steps(tasks: u32, silent_ms: u64, shape: impl FnOnce(&mut QueryView)) -> Steps {
        let spec = stage(0, tasks, vec![]);
        let root = root(vec![spec.clone(), stage(1, 1, vec![partitioned(0, 0)])]);
        let manifest = Arc::new(decided(&root, 0, &[]));
        let mut view = QueryView::default();
        shape(&mut view);
        next_steps(&root, &view, &BTreeMap::from([(0, manifest)]), |_, _| Seen {
            silent_ms,
            age_ms: silent_ms,
            ..Seen::default()
        })
    }

    #[test]
    fn a_stage_that_is_not_open_gives_no_steps_and_one_without_tasks_is_due_at_once() {
        let root = root(vec![stage(0, 0, vec![]), stage(1, 1, vec![partitioned(0, 0)])]);
        let scan = BTreeMap::from([(0, Arc::new(decided(&root, 0, &[])))]);
        let mut view = QueryView::default();
        let steps = next_steps(&root, &view, &scan, |_, _| Seen::default());
        assert_eq!((steps.due, steps.open), (vec![Due::Seal(0)], vec![]));
        view.stage(0).sealed = true;
        view.stage(1).sealed = true;
        assert!(next_steps(&root, &view, &BTreeMap::new(), |_, _| Seen::default()).finished);
    }

    #[test]
    fn a_living_claim_is_left_alone_and_a_silent_or_failed_one_is_followed() {
        let claim = |view: &mut QueryView| {
            view.stage(0).claims.insert(0, 2);
        };
        assert_eq!(steps(1, 0, claim).running, 1);
        assert!(steps(1, 0, claim).open.is_empty());
        let lease = Limits::default().lease_ms;
        let open = vec![OpenTask { stage: 0, task: 0, attempt: 3 }];
        // Two claims were lost before: the third is given four leases.
        assert_eq!(steps(1, lease * 4 - 1, claim).running, 1);
        assert_eq!(steps(1, lease * 4, claim).open, open);
        let failed = |view: &mut QueryView| {
            claim(view);
            view.stage(0).fails.entry(0).or_default().insert(2);
        };
        assert_eq!(steps(1, 0, failed).open, open);
        assert_eq!(steps(1, 0, failed).failed, vec![(0, 0)]);
    }

    #[test]
    fn a_straggler_gets_one_second_attempt_once_half_of_its_stage_is_done() {
        let spec = stage(0, 4, vec![]);
        let mut root = root(vec![spec, stage(1, 1, vec![partitioned(0, 0)])]);
        let scan = BTreeMap::from([(0, Arc::new(decided(&root, 0, &[])))]);
        let mut view = QueryView::default();
        view.stage(0).commits.extend([0, 1]);
        view.stage(0).claims.extend([(2, 0), (3, 0)]);
        let seen = |known_ms: u64, usual_ms| Seen { known_ms, usual_ms, ..Seen::default() };
        let of = |root: &Root, view: &QueryView, of_two: Seen| {
            let usual = seen(1_000, Some(4_000));
            let steps =
                next_steps(root, view, &scan, |_, task| if task == 2 { of_two } else { usual });
            assert!(steps.open.is_empty());
            steps.stragglers
        };
        let second = vec![OpenTask { stage: 0, task: 2, attempt: 1 }];
        assert_eq!(of(&root, &view, seen(8_000, Some(4_000))), second);
        assert_eq!(of(&root, &view, seen(7_999, Some(4_000))), []);
        assert_eq!(of(&root, &view, seen(4_999, Some(10))), [], "short tasks are not worth it");
        assert_eq!(of(&root, &view, seen(u64::MAX, None)), [], "nobody knows what is usual");
        let mut early = view.clone();
        early.stage(0).commits.remove(&1);
        early.stage(0).claims.insert(1, 0);
        assert_eq!(of(&root, &early, seen(8_000, Some(4_000))), []);
        // The second attempt has no third one beside it; after a failure the next attempt is the only one.
        view.stage(0).claims.insert(2, 1);
        assert_eq!(of(&root, &view, seen(80_000, Some(4_000))), []);
        view.stage(0).fails.entry(2).or_default().insert(0);
        let third = vec![OpenTask { stage: 0, task: 2, attempt: 2 }];
        assert_eq!(of(&root, &view, seen(80_000, Some(4_000))), third);
        let target = WriteTarget { store: String::new(), folder: String::new(), first: None };
        root.write = Some(target);
        assert_eq!(of(&root, &view, seen(80_000, Some(4_000))), []);
    }

    #[test]
    fn a_committed_task_is_never_opened_again_however_dead_its_claim_looks() {
        let steps = steps(2, u64::MAX, |view| {
            view.stage(0).claims.insert(0, 0);
            view.stage(0).commits.insert(0);
        });
        assert_eq!(steps.open, vec![OpenTask { stage: 0, task: 1, attempt: 0 }]);
    }

    #[test]
    fn lost_claims_are_bounded_and_failures_do_not_count_as_lost() {
        let most = Limits::default().max_claims;
        let lost = |view: &mut QueryView| {
            view.stage(0).claims.insert(0, most - 1);
        };
        assert_eq!(steps(1, u64::MAX, lost).exhausted, vec![(0, 0)]);
        let failed = |view: &mut QueryView| {
            lost(view);
            view.stage(0).fails.entry(0).or_default().insert(0);
        };
        assert!(steps(1, u64::MAX, failed).exhausted.is_empty());
    }

    #[test]
    fn a_stage_of_more_than_64_tasks_is_sealed_by_groups() {
        let committed =
            |count: u32| move |view: &mut QueryView| view.stage(0).commits.extend(0..count);
        assert_eq!(steps(64, 0, committed(64)).due, vec![Due::Seal(0)]);
        assert_eq!(steps(65, 0, committed(64)).due, vec![Due::GroupSeal(0, 0)]);
        let steps = steps(65, 0, |view| {
            committed(65)(view);
            view.stage(0).groups.extend([0, 1]);
        });
        assert_eq!(steps.due, vec![Due::Seal(0)]);
        assert_eq!(group_tasks(1, 65), 64..65);
    }
}
