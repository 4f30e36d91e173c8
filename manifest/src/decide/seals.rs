//! How commits are combined into seals. Stages of many tasks combine them group by group.

use std::ops::Range;

use crate::decide::facts::Decided;
use crate::model::encoding::RECORD_VERSION;
use crate::model::ids::TaskId;
use crate::model::keys::{GROUP, tasks_of};
use crate::model::records::{Commit, GroupSeal, Seal, SealedTask};

/// A record contradicts the manifest that its stage must have: it was written under another one, or for a task that
/// does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction;

/// The commit of `task` in the form that a seal holds.
///
/// # Errors
/// The commit contradicts the manifest.
pub fn winner(
    decided: &Decided,
    task: TaskId,
    commit: Commit,
) -> Result<SealedTask, Contradiction> {
    let exists = (task as usize) < decided.manifest.tasks.len();
    if !exists || commit.task != task || commit.manifest != decided.digest {
        return Err(Contradiction);
    }
    Ok(SealedTask {
        task: commit.task,
        attempt: commit.attempt,
        claim: commit.claim,
        worker: commit.worker,
        output: commit.output,
        metrics: commit.metrics,
    })
}

/// The seal of a group, from its winners in any order.
#[must_use]
pub fn group_seal(decided: &Decided, group: u32, mut tasks: Vec<SealedTask>) -> GroupSeal {
    tasks.sort_by_key(|task| task.task);
    GroupSeal { v: RECORD_VERSION, group, manifest: decided.digest.clone(), tasks }
}

/// The seal of a stage, from its winners in any order.
#[must_use]
pub fn seal(decided: &Decided, mut tasks: Vec<SealedTask>) -> Seal {
    tasks.sort_by_key(|task| task.task);
    Seal {
        v: RECORD_VERSION,
        query: decided.manifest.query.clone(),
        stage: decided.manifest.stage,
        manifest: decided.digest.clone(),
        absorbed: decided.manifest.absorbed,
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
    let all = tasks_of(group);
    all.start.min(tasks)..all.end.min(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{decided, root, stage, won};
    use crate::model::encoding::encode;
    use crate::model::records::{TaskMetrics, TaskOutput};

    #[test]
    fn a_seal_does_not_depend_on_the_order_of_its_commits() {
        let root = root(vec![stage(0, 2, vec![])]);
        let scan = decided(&root, 0, &[]);
        let one = seal(&scan, vec![won(0, &[(0, 1)]), won(1, &[(1, 2)])]);
        let two = seal(&scan, vec![won(1, &[(1, 2)]), won(0, &[(0, 1)])]);
        assert_eq!(encode(&one), encode(&two));
        assert_eq!((one.rows, one.bytes), (2, 3));
        assert_eq!(one.manifest, scan.digest);
    }

    #[test]
    fn a_commit_of_another_manifest_or_of_no_task_is_a_contradiction() {
        let root = root(vec![stage(0, 2, vec![])]);
        let scan = decided(&root, 0, &[]);
        let commit = |task: TaskId, manifest: &str| Commit {
            v: RECORD_VERSION,
            nonce: String::new(),
            task,
            attempt: 0,
            claim: String::new(),
            manifest: manifest.to_owned(),
            worker: String::new(),
            output: TaskOutput::default(),
            metrics: TaskMetrics::default(),
        };
        assert!(winner(&scan, 1, commit(1, &scan.digest)).is_ok());
        for (task, commit) in
            [(1, commit(1, "another")), (1, commit(0, &scan.digest)), (2, commit(2, &scan.digest))]
        {
            assert_eq!(winner(&scan, task, commit), Err(Contradiction));
        }
    }

    #[test]
    fn groups_are_64_tasks_each_and_the_last_has_the_rest() {
        assert_eq!((groups(64), groups(65)), (0, 2));
        assert_eq!((group_tasks(0, 65), group_tasks(1, 65)), (0..64, 64..65));
    }
}
