//! Which groups of a query a process looks at next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::env::Env;
use crate::model::ids::StageId;
use crate::query::observer::Group;

/// Where the next look of this process begins.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// Random, so that the looks of many processes begin at different groups.
    start: u64,
    next: BTreeMap<StageId, u32>,
    /// When a look was last made at each group.
    looked: BTreeMap<Group, Duration>,
    /// What one LIST of the query's prefix has shown, until its seals are read.
    pub(super) listed: Option<BTreeSet<StageId>>,
    pub(super) first_is_done: bool,
}

impl Cursor {
    pub(super) fn new(env: &Env) -> Self {
        Self {
            start: env.below(u64::MAX),
            next: BTreeMap::new(),
            looked: BTreeMap::new(),
            listed: None,
            first_is_done: false,
        }
    }

    /// Remembers a look at these groups.
    pub(super) fn looked_at(&mut self, groups: &[Group], now: Duration) {
        self.looked.extend(groups.iter().map(|group| (*group, now)));
    }

    /// When the latest look at a group was made.
    pub(super) fn when_looked_at(&self, group: Group) -> Option<Duration> {
        self.looked.get(&group).copied()
    }

    /// The groups of a stage to list now: at most `most` of those that are `open`.
    pub(super) fn take(&mut self, stage: StageId, open: &[u32], most: usize) -> Vec<u32> {
        let Some(&last) = open.last() else { return Vec::new() };
        let first = *self.next.entry(stage).or_insert_with(|| {
            u32::try_from(self.start % (u64::from(last) + 1)).unwrap_or_default()
        });
        let at = open.partition_point(|group| *group < first);
        let turn = open[at..].iter().chain(&open[..at]).copied();
        let taken: Vec<u32> = turn.take(most).collect();
        if let Some(&group) = taken.last() {
            self.next.insert(stage, group + 1);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_many_groups_take_turns_and_leave_none_out() {
        let mut cursor = Cursor {
            start: 90,
            next: BTreeMap::new(),
            looked: BTreeMap::new(),
            listed: None,
            first_is_done: false,
        };
        let open: Vec<u32> = (0..100).filter(|group| group % 3 != 0).collect();
        let mut seen = BTreeSet::new();
        let first = cursor.take(0, &open, 16);
        assert_eq!((first[0], first.len()), (91, 16));
        seen.extend(first);
        for _ in 0..open.len() / 16 {
            seen.extend(cursor.take(0, &open, 16));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), open);
        assert_eq!(cursor.take(1, &[3, 5], 16), vec![3, 5]);
        assert_eq!(cursor.take(1, &[], 16), Vec::<u32>::new());
    }
}
