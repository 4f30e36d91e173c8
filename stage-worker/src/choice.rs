//! Which task a slot claims next, of those that are known to be open, or of the stragglers.

use std::time::Duration;

use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::query::{Advanced, Place};
use dunlin_manifest::records::StageId;

use crate::known::Known;
use crate::rest::is_rested;
use crate::shared::Shared;

/// For so long after a stage has opened, and longer in a large crowd, a slot leaves its tasks to the slots whose places
/// they have, if there are far more slots than tasks: more than [`CROWD`] for each.
const GRACE: Duration = Duration::from_millis(100);
const CROWD: usize = 8;

/// What a slot may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Claim this task. `is_own`: it is one of the slot's own place.
    Task { task: OpenTask, is_own: bool },
    /// The open tasks are left to others for now.
    Later,
    /// No task is known to be open.
    Nothing,
}

/// In a large crowd, only tasks that a look has shown free so lately are taken from others.
const LATELY: Duration = Duration::from_secs(1);

/// One of the open tasks that no other slot of this process took, of the first stage. A slot that knows its place among
/// all slots takes the tasks of that place first, so that they do not compete, and then what is left. Without one it
/// chooses somewhere among the largest tasks, and after `lost` claims somewhere else. So the largest tasks begin first. If
/// none is open, a straggler is attempted once more.
pub(crate) fn choose(
    shared: &Shared,
    known: &Known,
    advanced: &Advanced,
    slot: usize,
    lost: u32,
) -> Choice {
    let choice = loop {
        // A slot that was faster has taken what this one would have.
        if let Some(choice) = choose_once(shared, known, &advanced.open, slot, lost) {
            break choice;
        }
    };
    let second = || straggler(shared, known, &advanced.stragglers, slot);
    match choice {
        Choice::Nothing => second().map_or(choice, |task| Choice::Task { task, is_own: false }),
        choice => choice,
    }
}

/// `None` if another slot of this process was faster.
fn choose_once(
    shared: &Shared,
    known: &Known,
    open: &[OpenTask],
    slot: usize,
    lost: u32,
) -> Option<Choice> {
    let mut free = free(shared, known, open);
    let Some(first) = free.first().copied() else { return Some(Choice::Nothing) };
    let crowd = shared.crowd();
    let is_opener = known.handle.has_opened(first.stage);
    let open_for = known.open_for(first.stage, shared.env.clock.monotonic());
    let mut is_own_only = false;
    if let Some(place) = shared.place_of(slot) {
        if let Some(own) = free.iter().find(|task| is_at(place, known, task)) {
            return take(known, *own, true);
        }
        // Whoever has opened the stage begins at once. The others would only compete with it.
        is_own_only = !is_opener
            && open_for < crowd.grace(GRACE)
            && (crowd.is_large() || place.of as usize > free.len() * CROWD);
    }
    if is_own_only {
        return Some(Choice::Later);
    }
    if crowd.is_large() && !(is_opener && open_for < crowd.grace(GRACE)) {
        free.retain(|task| known.handle.has_looked_at(task.stage, task.task, LATELY));
    }
    let Some(first) = free.first() else { return Some(Choice::Nothing) };
    let same: usize = free.iter().take_while(|task| task.stage == first.stage).count();
    let seed = blake3::hash(format!("{}/{slot}/{}/{lost}", shared.name, first.stage).as_bytes());
    let place = usize::from(u16::from_le_bytes([seed.as_bytes()[0], seed.as_bytes()[1]]));
    let chosen = free.get(place * places(same) / (usize::from(u16::MAX) + 1)).copied();
    chosen.map_or(Some(Choice::Nothing), |chosen| take(known, chosen, false))
}

/// The second attempt of a task that takes far longer than others, for a slot that has nothing else to do. Whoever runs in
/// this process would only share its processor with it.
fn straggler(
    shared: &Shared,
    known: &Known,
    stragglers: &[OpenTask],
    slot: usize,
) -> Option<OpenTask> {
    let is_own = |task: &OpenTask| {
        let taken = known.taken.lock();
        (0..task.attempt).any(|attempt| taken.contains(&(task.stage, task.task, attempt)))
    };
    let mut foreign = free(shared, known, stragglers);
    foreign.retain(|task| !is_own(task));
    let seed = number(&format!("{}/{slot}", shared.name)) as usize;
    let chosen = *foreign.get(seed % foreign.len().max(1))?;
    take(known, chosen, false)?;
    tracing::info!(query = %known.handle.query, task = ?chosen, "a second attempt of a slow task");
    Some(chosen)
}

/// The task that a slot will choose next of a stage, if it is one of its own place.
pub(crate) fn next_own(
    shared: &Shared,
    known: &Known,
    open: &[OpenTask],
    slot: usize,
    stage: StageId,
) -> Option<OpenTask> {
    let place = shared.place_of(slot)?;
    let of_stage = |task: &OpenTask| task.stage == stage && is_at(place, known, task);
    free(shared, known, open).into_iter().find(of_stage)
}

/// The open tasks that no slot of this process took.
fn free(shared: &Shared, known: &Known, open: &[OpenTask]) -> Vec<OpenTask> {
    let taken = known.taken.lock();
    open.iter()
        .filter(|task| !taken.contains(&(task.stage, task.task, task.attempt)))
        .filter(|task| is_fit(shared, known, task) && is_rested(shared, known, task))
        .copied()
        .collect()
}

/// Takes a task; `None` if another slot of this process was faster.
fn take(known: &Known, task: OpenTask, is_own: bool) -> Option<Choice> {
    let is_first = known.taken.lock().insert((task.stage, task.task, task.attempt));
    is_first.then_some(Choice::Task { task, is_own })
}

/// True if the task belongs to a place. Queries and stages of one task each begin at different places, too.
fn is_at(place: Place, known: &Known, task: &OpenTask) -> bool {
    let start = number(known.handle.query.as_str());
    start.wrapping_add(task.stage).wrapping_add(task.task) % place.of == place.index
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
