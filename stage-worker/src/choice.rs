//! Which task a slot claims next, of those that are known to be open.

use std::time::Duration;

use dunlin_manifest::decide::OpenTask;

use crate::known::Known;
use crate::shared::Shared;

/// For so long after a stage has opened, and longer in a large crowd, a slot leaves its tasks to the slots whose places
/// they have, if there are far more slots than tasks: more than [`CROWD`] for each.
const GRACE: Duration = Duration::from_millis(100);
const CROWD: usize = 8;

/// What a slot may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Claim this task.
    Task(OpenTask),
    /// The open tasks are left to others for now.
    Later,
    /// No task is known to be open.
    Nothing,
}

/// In a large crowd, only tasks that a look has shown free so lately are taken from others.
const LATELY: Duration = Duration::from_secs(1);

/// One of the open tasks that no other slot of this process took, of the first stage. A slot that knows its place among
/// all slots takes the tasks of that place first, so that they do not compete, and then what is left. Without one it
/// chooses somewhere among the largest tasks, and after `lost` claims somewhere else. So the largest tasks begin first.
pub(crate) fn choose(
    shared: &Shared,
    known: &Known,
    open: &[OpenTask],
    slot: usize,
    lost: u32,
) -> Choice {
    let mut taken = known.taken.lock();
    let mut free: Vec<OpenTask> = open
        .iter()
        .filter(|task| !taken.contains(&(task.stage, task.task, task.attempt)))
        .filter(|task| is_fit(shared, known, task))
        .copied()
        .collect();
    let Some(first) = free.first().copied() else { return Choice::Nothing };
    let crowd = shared.crowd();
    let is_opener = known.handle.has_opened(first.stage);
    let open_for = known.open_for(first.stage, shared.env.clock.monotonic());
    let mut is_own_only = false;
    if let Some(place) = shared.place_of(slot) {
        // Queries and stages of one task each begin at different places, too.
        let start = number(known.handle.query.as_str());
        let is_own = |task: &&OpenTask| {
            start.wrapping_add(task.stage).wrapping_add(task.task) % place.of == place.index
        };
        if let Some(own) = free.iter().find(is_own) {
            taken.insert((own.stage, own.task, own.attempt));
            return Choice::Task(*own);
        }
        // Whoever has opened the stage begins at once. The others would only compete with it.
        is_own_only = !is_opener
            && open_for < crowd.grace(GRACE)
            && (crowd.is_large() || place.of as usize > free.len() * CROWD);
    }
    if is_own_only {
        return Choice::Later;
    }
    if crowd.is_large() && !(is_opener && open_for < crowd.grace(GRACE)) {
        free.retain(|task| known.handle.has_looked_at(task.stage, task.task, LATELY));
    }
    let Some(first) = free.first() else { return Choice::Nothing };
    let same: usize = free.iter().take_while(|task| task.stage == first.stage).count();
    let seed = blake3::hash(format!("{}/{slot}/{}/{lost}", shared.name, first.stage).as_bytes());
    let place = usize::from(u16::from_le_bytes([seed.as_bytes()[0], seed.as_bytes()[1]]));
    let chosen = free.get(place * places(same) / (usize::from(u16::MAX) + 1)).copied();
    let Some(chosen) = chosen else { return Choice::Nothing };
    taken.insert((chosen.stage, chosen.task, chosen.attempt));
    Choice::Task(chosen)
}

/// False if the task is left to workers with more memory.
fn is_fit(shared: &Shared, known: &Known, task: &OpenTask) -> bool {
    let Some(own) = shared.options.level else { return true };
    // How former attempts have failed is read by the next look.
    known.handle.level(task).is_some_and(|level| level <= own)
}

/// A number that is the same for every process.
fn number(text: &str) -> u32 {
    let hash = blake3::hash(text.as_bytes());
    hash.as_bytes().first_chunk().map_or(0, |first| u32::from_be_bytes(*first))
}

/// Among how many of `same` open tasks a slot chooses: a quarter, but four if there are so many.
fn places(same: usize) -> usize {
    (same / 4).max(same.min(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_chooses_among_the_largest_tasks() {
        let places: Vec<usize> = [1, 2, 4, 5, 16, 17, 100].into_iter().map(places).collect();
        assert_eq!(places, [1, 2, 4, 4, 4, 4, 25]);
    }
}
