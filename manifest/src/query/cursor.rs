//! Which groups of a query a process looks at next.

use std::collections::{BTreeMap, BTreeSet};

use crate::env::Env;
use crate::model::ids::StageId;

/// The most groups of one stage that a look lists. The next look continues with the following ones.
const GROUPS: u32 = 16;
/// Where the next look of this process begins.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// Random, so that the looks of many processes begin at different groups.
    start: u64,
    next: BTreeMap<StageId, u32>,
    /// What one LIST of the query's prefix has shown, until its seals are read.
    pub(super) listed: Option<BTreeSet<StageId>>,
    pub(super) first_is_done: bool,
}

impl Cursor {
    pub(super) fn new(env: &Env) -> Self {
        Self {
            start: env.below(u64::MAX),
            next: BTreeMap::new(),
            listed: None,
            first_is_done: false,
        }
    }

    /// The groups of a stage to list now, of those that are `open`.
    pub(super) fn take(&mut self, stage: StageId, open: &[u32]) -> Vec<u32> {
        let Some(&last) = open.last() else { return Vec::new() };
        let first = *self.next.entry(stage).or_insert_with(|| {
            u32::try_from(self.start % (u64::from(last) + 1)).unwrap_or_default()
        });
        let at = open.partition_point(|group| *group < first);
        let turn = open[at..].iter().chain(&open[..at]).copied();
        let taken: Vec<u32> = turn.take(GROUPS as usize).collect();
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
        let mut cursor =
            Cursor { start: 90, next: BTreeMap::new(), listed: None, first_is_done: false };
        let open: Vec<u32> = (0..100).filter(|group| group % 3 != 0).collect();
        let mut seen = BTreeSet::new();
        let first = cursor.take(0, &open);
        assert_eq!((first[0], first.len()), (91, GROUPS as usize));
        seen.extend(first);
        for _ in 0..open.len() / GROUPS as usize {
            seen.extend(cursor.take(0, &open));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), open);
        assert_eq!(cursor.take(1, &[3, 5]), vec![3, 5]);
        assert_eq!(cursor.take(1, &[]), Vec::<u32>::new());
    }
}
