//! What must hold in every state, and what must happen in some.

use stateright::{Checker, Model};

use super::world::{MOST_ATTEMPTS, Mutant, Nonce, Outcome, Protocol, State, TASKS, bit};

pub(crate) type Condition = fn(&Protocol, &State) -> bool;

/// What always holds. The numbers are those of the invariants in docs/reliability.md.
pub(crate) const RULES: [(&str, Condition); 9] = [
    ("I1: a query ends once", |_, state| !state.wrong.two_outcomes),
    ("I2: who believes to have won holds the record", |_, state| {
        !state.wrong.believed_without_holding
    }),
    ("I2: who has lost has lost to somebody", |_, state| !state.wrong.lost_to_nobody),
    ("I3: a commit names data that is there", |model, state| {
        state.collected
            || (0u8..).zip(&state.store.commits).all(|(task, commit)| {
                commit.is_none_or(|winner| {
                    let shared = state.store.shared[usize::from(task)];
                    state.store.data & bit(task, winner) != 0
                        && (!model.is(Mutant::SharedNames) || shared == Some(winner))
                })
            })
    }),
    ("I4: a seal holds exactly the commits", |_, state| {
        state.collected
            || state
                .store
                .seal
                .is_none_or(|seal| seal == state.store.commits && seal.iter().all(Option::is_some))
    }),
    ("I4: all derive the same seal", |_, state| !state.wrong.contradicting_seal),
    ("I5: a reader finds one object for each task, and its seal", |model, state| {
        let Some((Outcome::Succeeded(seal), _)) = state.store.end else { return true };
        if state.collected {
            return true;
        }
        let read_right =
            !model.is(Mutant::ListsData) || (0..TASKS).all(|task| objects(state, task) == 1);
        state.store.seal == Some(seal) && read_right
    }),
    ("I6, I7: no two attempts write one name, and none is skipped", |_, state| {
        let in_order = |claims: &[Option<Nonce>; MOST_ATTEMPTS]| {
            claims.windows(2).all(|pair| pair[1].is_none() || pair[0].is_some())
        };
        !state.wrong.overwritten_data
            && (state.collected || state.store.claims.iter().all(in_order))
    }),
    ("I8: nothing of a living query is deleted", |_, state| !state.wrong.deleted_while_alive),
];

/// What must happen in some run: otherwise the model shows nothing.
pub(crate) const SEEN: [(&str, Condition); 6] = [
    ("it succeeds", |_, state| matches!(state.store.end, Some((Outcome::Succeeded(_), _)))),
    ("it fails", |_, state| matches!(state.store.end, Some((Outcome::Failed, _)))),
    ("it is cancelled", |_, state| matches!(state.store.end, Some((Outcome::Cancelled, _)))),
    ("an earlier attempt wins over a later one", |_, state| {
        (0..TASKS).any(|task| {
            state.store.claims[task][1].is_some()
                && state.store.commits[task].is_some_and(|(attempt, _)| attempt == 0)
        })
    }),
    ("a commit lands after everything was collected", |_, state| {
        state.collected && state.store.commits.iter().any(Option::is_some)
    }),
    ("a task has two attempts with data", |_, state| {
        (0..TASKS).any(|task| objects(state, task) > 1)
    }),
];

/// How many attempts of a task have written their data.
fn objects(state: &State, task: usize) -> u32 {
    let of_task = MOST_ATTEMPTS * 16;
    ((state.store.data >> (task * of_task)) & ((1 << of_task) - 1)).count_ones()
}

/// Checks all states, by as many threads as there are cores. Returns how many different ones there are.
///
/// # Panics
/// A rule does not hold; the message has the steps that lead there.
pub(crate) fn check(protocol: Protocol) -> usize {
    let checker = protocol.checker().threads(threads()).spawn_bfs().join();
    checker.assert_properties();
    checker.unique_state_count()
}

/// How many steps it takes until something goes wrong; `None` if nothing ever does.
pub(crate) fn breaks(protocol: Protocol) -> Option<usize> {
    let checker = protocol.checker().threads(threads()).spawn_bfs().join();
    checker.discoveries().into_values().next().map(|path| path.into_actions().len())
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
