//! Which worker looks whether a group of tasks is complete.
//!
//! After its commit, a worker must look whether the group is full, because the last committer is the only one who knows
//! at once. A process that has claimed another task of the same group can leave the look for later: it will commit or
//! give up that task, and then the duty is its own again.

use std::collections::HashMap;

use dunlin_manifest::keys::group_of;
use dunlin_manifest::records::{StageId, TaskId};
use parking_lot::Mutex;

/// The groups of a query in which this process holds claims, or owes a look.
#[derive(Debug, Default)]
pub(crate) struct Duties(Mutex<HashMap<(StageId, u32), Duty>>);

#[derive(Debug, Default)]
struct Duty {
    /// Tasks that this process has claimed, or is claiming, and that are not settled.
    held: usize,
    /// A task whose commit is settled, after which no look was made.
    owed: Option<TaskId>,
}

impl Duties {
    /// A task is about to be claimed.
    pub(crate) fn hold(&self, stage: StageId, task: TaskId) {
        self.0.lock().entry((stage, group_of(task))).or_default().held += 1;
    }

    /// The commit of a held task is settled, won or lost. Returns the task after which this process must look now.
    pub(crate) fn settled(&self, stage: StageId, task: TaskId) -> Option<TaskId> {
        self.release(stage, task, Some(task))
    }

    /// A held task was given up, or its claim was lost. Returns the task after which this process must look now.
    pub(crate) fn given_up(&self, stage: StageId, task: TaskId) -> Option<TaskId> {
        self.release(stage, task, None)
    }

    fn release(&self, stage: StageId, task: TaskId, settled: Option<TaskId>) -> Option<TaskId> {
        let mut duties = self.0.lock();
        let key = (stage, group_of(task));
        let duty = duties.get_mut(&key)?;
        duty.held = duty.held.saturating_sub(1);
        duty.owed = settled.or(duty.owed);
        if duty.held > 0 {
            return None;
        }
        duties.remove(&key)?.owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_owed_until_the_last_task_of_the_group_is_settled_or_given_up() {
        let duties = Duties::default();
        for task in [0, 1, 2, 64] {
            duties.hold(0, task);
        }
        assert_eq!(duties.settled(0, 1), None);
        assert_eq!(duties.settled(0, 64), Some(64), "another group is not waited for");
        assert_eq!(duties.given_up(0, 2), None);
        assert_eq!(duties.given_up(0, 0), Some(1));
        duties.hold(0, 3);
        assert_eq!(duties.given_up(0, 3), None, "nothing was committed since the last look");
        duties.hold(0, 4);
        assert_eq!(duties.settled(0, 4), Some(4));
    }
}
