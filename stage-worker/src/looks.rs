//! When a slot looks at a query before it chooses a task, and for what.

use crate::crowd::Crowd;

/// When a slot looks at the query, and for what.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looks {
    pub(crate) due: Due,
    /// The process was told of news, and has not asked for seals since.
    pub(crate) told: bool,
    /// Claims lost since the last one that was won.
    pub(crate) lost: u32,
    /// Claims lost since this slot began with the query.
    pub(crate) lost_in_all: u32,
    /// Tasks run, for which this slot may look once more before it pauses.
    pub(crate) done: u32,
}

/// What a slot asks for before it chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing: what is known may be enough.
    #[default]
    Nothing,
    /// Whether stages are sealed.
    Seals,
    /// The groups as well.
    All,
}

/// In a large crowd, a slot that finds no task to take looks once more for so many that it has run, but not often.
const TASKS_A_LOOK: u32 = 2;
const MORE_LOOKS: u32 = 3;

/// How often a slot may lose its claims before it looks at the whole query again.
const LOST_IN_A_ROW: u32 = 3;

impl Looks {
    /// For a process that was told of news.
    pub(crate) const TOLD: Self =
        Self { due: Due::Nothing, told: true, lost: 0, lost_in_all: 0, done: 0 };

    /// A claim was lost.
    pub(crate) fn lost_now(&mut self) {
        self.lost += 1;
        self.lost_in_all += 1;
        if self.lost.is_multiple_of(LOST_IN_A_ROW) {
            self.due = Due::All;
        }
    }

    /// So many claims were lost that the slot had not waited for.
    pub(crate) fn lost_late(&mut self, lost: u32) {
        self.done = self.done.saturating_sub(lost);
        self.lost_in_all += lost;
        if lost > 0 && self.due == Due::Nothing {
            // What the slot knows of the others is old.
            self.due = Due::All;
        }
    }

    /// Nothing could be chosen by what is known: asks for more. False if the slot is to pause.
    pub(crate) fn next(&mut self, crowd: Crowd) -> bool {
        self.due = match self.due {
            Due::Nothing if std::mem::take(&mut self.told) => Due::Seals,
            // There are so many workers that each has about one task. Those who pause find what is left.
            Due::Nothing if crowd.is_large() && self.done == 1 => return false,
            Due::Nothing => Due::All,
            Due::Seals if !crowd.is_large() => Due::All,
            Due::All if crowd.is_large() && self.done >= TASKS_A_LOOK => {
                self.done = self.done.min(TASKS_A_LOOK * MORE_LOOKS) - TASKS_A_LOOK;
                Due::All
            }
            Due::Seals | Due::All => return false,
        };
        true
    }
}
