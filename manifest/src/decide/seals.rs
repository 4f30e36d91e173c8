//! How commits are combined into seals. Stages of many tasks combine them group by group.

use std::ops::Range;

use crate::model::encoding::RECORD_VERSION;
use crate::model::ids::{StageId, TaskId};
use crate::model::keys::GROUP;
use crate::model::records::{Commit, GroupSeal, Root, Seal, SealedTask};

/// A commit in the form that a seal holds.
#[must_use]
pub fn sealed(commit: Commit) -> SealedTask {
    SealedTask {
        task: commit.task,
        attempt: commit.attempt,
        claim: commit.claim,
        worker: commit.worker,
        output: commit.output,
        metrics: commit.metrics,
    }
}

/// The seal of a group, from its winners in any order.
#[must_use]
pub fn group_seal(group: u32, mut tasks: Vec<SealedTask>) -> GroupSeal {
    tasks.sort_by_key(|task| task.task);
    GroupSeal { v: RECORD_VERSION, group, tasks }
}

/// The seal of a stage, from its winners in any order.
#[must_use]
pub fn seal(root: &Root, stage: StageId, mut tasks: Vec<SealedTask>) -> Seal {
    tasks.sort_by_key(|task| task.task);
    Seal {
        v: RECORD_VERSION,
        query: root.query.clone(),
        stage,
        rows: tasks.iter().map(|task| task.output.rows).sum(),
        bytes: tasks.iter().map(|task| task.output.bytes).sum(),
        tasks,
    }
}

/// Number of groups of a stage with `tasks` tasks. A stage of at most 64 tasks has none.
#[must_use]
pub fn groups(tasks: usize) -> u32 {
    let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
    if tasks <= GROUP { 0 } else { tasks.div_ceil(GROUP) }
}

/// Tasks of one group.
#[must_use]
pub fn group_tasks(group: u32, tasks: usize) -> Range<TaskId> {
    let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
    (group * GROUP).min(tasks)..((group + 1) * GROUP).min(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{root, stage, won};
    use crate::model::encoding::encode;

    #[test]
    fn a_seal_does_not_depend_on_the_order_of_its_commits() {
        let root = root(vec![stage(0, 2, vec![])]);
        let one = seal(&root, 0, vec![won(0, &[(0, 1)]), won(1, &[(1, 2)])]);
        let two = seal(&root, 0, vec![won(1, &[(1, 2)]), won(0, &[(0, 1)])]);
        assert_eq!(encode(&one), encode(&two));
        assert_eq!((one.rows, one.bytes), (2, 3));
    }

    #[test]
    fn groups_are_64_tasks_each_and_the_last_has_the_rest() {
        assert_eq!((groups(64), groups(65)), (0, 2));
        assert_eq!((group_tasks(0, 65), group_tasks(1, 65)), (0..64, 64..65));
    }
}
