//! The protocol of one query as a model that is checked in all its states: whatever is lost, late, doubled, frozen or
//! killed, and whoever is wrongly taken for dead.
//!
//! ```text
//!   processes   claim ─> data ─> commit ─> seal ─> end      workers; sweepers do the last two only
//!   store       a create wins once, whenever it lands       a request may be answered, or its answer may be lost, or it
//!                                                           may land after its sender has given up, or 409
//!   anybody     cancels, kills a process, collects what an ended query has left
//! ```
//! No lease is in the model: any process may claim the next attempt at any time. So what is proved does not rest on clocks.
//! The two stages of a query are one here: two tasks, and a reader of their seal.
//!
//! A model proves little that accepts everything. So each rule that carries the safety is broken once (`Mutant`), and the
//! checker must find what goes wrong then.

use stateright::{Model, Property};

use super::rules::{RULES, SEEN};
use super::world::{
    Action, Answer, Body, Key, MOST_SENT, Mutant, NOBODY, Nonce, Outcome, Phase, Process, Protocol,
    Sent, State, Store, TASKS, Winner, Wrong, bit, read,
};

impl Protocol {
    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn nonce(state: &State, process: u8) -> Nonce {
        process * 4 + state.processes[usize::from(process)].incarnation
    }

    fn send(state: &mut State, process: u8, key: Key, body: Body) {
        state.processes[usize::from(process)].phase = Phase::Waiting(key, body);
        state.sent.push(Sent { key, body, waiter: Some(process) });
        state.sent.sort_unstable();
    }

    /// Carries a create out. True if it has created the object.
    fn carry_out(&self, state: &mut State, key: Key, body: Body) -> bool {
        let store = &mut state.store;
        let found = read(store, key);
        let is_plain = match key {
            Key::End => self.is(Mutant::PlainEnd),
            Key::Commit(_) => self.is(Mutant::PlainCommit),
            _ => false,
        };
        if found.is_some() && !is_plain {
            return false;
        }
        match (key, body) {
            (Key::Claim(task, attempt), Body::Claim(nonce)) => {
                store.claims[usize::from(task)][usize::from(attempt)] = Some(nonce);
            }
            (Key::Commit(task), Body::Commit(winner)) => {
                store.commits[usize::from(task)] = Some(winner);
            }
            (Key::Seal, Body::Seal(winners)) => store.seal = Some(winners),
            (Key::End, Body::End(outcome, nonce)) => {
                store.end = Some((outcome, nonce));
                let first = *state.outcome.get_or_insert((outcome, nonce));
                state.wrong.two_outcomes |= first != (outcome, nonce);
            }
            _ => {}
        }
        true
    }

    /// The process knows how its create ended.
    fn settled(&self, state: &mut State, process: u8, (key, body): (Key, Body), is_won: bool) {
        let found = read(&state.store, key);
        if is_won {
            // What was collected after it was won is no matter.
            let holds = found == Some(body) || state.collected;
            state.wrong.believed_without_holding |= !holds && key != Key::Seal;
        } else {
            state.wrong.lost_to_nobody |= found.is_none() && !state.collected;
        }
        if key == Key::Seal && !is_won && !state.collected {
            state.wrong.contradicting_seal |= found.is_some_and(|found| found != body);
        }
        let own = &mut state.processes[usize::from(process)];
        own.phase = match key {
            Key::Claim(task, attempt) if is_won => Phase::Running(task, attempt),
            _ => Phase::Idle,
        };
        own.runs = None;
    }

    /// The data of the attempt that a process runs.
    fn write(&self, state: &mut State, process: u8, task: u8, attempt: u8) {
        let winner = (attempt, Self::nonce(state, process));
        if self.is(Mutant::SharedNames) {
            let before = state.store.shared[usize::from(task)].replace(winner);
            state.wrong.overwritten_data |= before.is_some_and(|before| before != winner);
        }
        state.store.data |= bit(task, winner);
    }

    /// The seal that follows from what is there.
    fn seal_of(&self, store: &Store) -> Option<[Option<Winner>; TASKS]> {
        if self.is(Mutant::SealsClaims) {
            let latest = |task: usize| {
                let attempt = store.claims[task].iter().rposition(Option::is_some)?;
                Some((attempt as u8, store.claims[task][attempt]?))
            };
            let all = store.commits.iter().all(Option::is_some);
            return all.then(|| [latest(0), latest(1)]);
        }
        let least = if self.is(Mutant::SealsEarly) { 1 } else { TASKS };
        let there = store.commits.iter().filter(|commit| commit.is_some()).count();
        (there >= least).then_some(store.commits)
    }

    /// What a process may do next.
    fn of_process(&self, state: &State, process: u8, own: &Process, actions: &mut Vec<Action>) {
        let has_room = state.sent.len() < MOST_SENT;
        match own.phase {
            Phase::Idle if state.store.end.is_none() && has_room => {
                self.of_idle(state, process, actions);
            }
            Phase::Idle | Phase::Waiting(..) => {}
            Phase::Running(..) => {
                actions.push(Action::Put { process, acknowledged: true, there: true });
                if state.faults > 0 {
                    let lost = |there| Action::Put { process, acknowledged: false, there };
                    actions.extend([lost(true), lost(false)]);
                }
                if self.is(Mutant::CommitsEarly) {
                    actions.push(Action::Commit { process });
                }
            }
            Phase::Stored(..) if has_room => actions.push(Action::Commit { process }),
            Phase::Stored(..) => {}
            Phase::Doubting(key, _) => {
                actions.push(Action::ReadBack { process });
                if read(&state.store, key).is_none() {
                    actions.push(Action::StopAsking { process });
                }
            }
        }
    }

    /// What a process may begin. It sees what is there now; what it does with it may come at any later time.
    fn of_idle(&self, state: &State, process: u8, actions: &mut Vec<Action>) {
        let store = &state.store;
        let last = usize::from(self.attempts) - 1;
        let mut is_used_up = false;
        for task in 0..TASKS as u8 {
            let claims = &store.claims[usize::from(task)];
            if store.commits[usize::from(task)].is_some() {
                continue;
            }
            is_used_up |= claims[last].is_some();
            for attempt in (0..self.attempts).filter(|_| process < self.workers) {
                let is_next = attempt == 0
                    || claims[usize::from(attempt) - 1].is_some()
                    || self.is(Mutant::SkipsAttempts);
                if is_next && claims[usize::from(attempt)].is_none() {
                    actions.push(Action::Claim { process, task, attempt });
                }
            }
        }
        if is_used_up {
            actions.push(Action::GiveUp { process });
        }
        let seal = self.seal_of(store);
        if store.seal.is_none() && seal.is_some() {
            actions.push(Action::Seal { process });
        }
        if store.seal.is_some() || (self.is(Mutant::EndsEarly) && seal.is_some()) {
            actions.push(Action::End { process });
        }
    }

    fn put(&self, state: &mut State, process: u8, acknowledged: bool, there: bool) -> Option<()> {
        let Phase::Running(task, attempt) = state.processes[usize::from(process)].phase else {
            return None;
        };
        if there {
            self.write(state, process, task, attempt);
        }
        if !acknowledged {
            state.faults -= 1;
        }
        let own = &mut state.processes[usize::from(process)];
        own.phase = if acknowledged { Phase::Stored(task, attempt) } else { Phase::Idle };
        Some(())
    }

    fn answer(&self, state: &mut State, index: u8, answer: Answer) -> Option<()> {
        let sent = state.sent.remove(usize::from(index));
        let process = sent.waiter?;
        let created = matches!(answer, Answer::Right | Answer::Unanswered)
            && self.carry_out(state, sent.key, sent.body);
        if answer != Answer::Right {
            state.faults -= 1;
        }
        if answer == Answer::Late {
            state.detach(Sent { waiter: None, ..sent });
        }
        let at = (sent.key, sent.body);
        let is_lost = self.is(Mutant::NotReadBack)
            || (self.is(Mutant::ConflictIsLost) && answer == Answer::Conflict);
        if answer == Answer::Right && created {
            self.settled(state, process, at, true);
        } else if is_lost {
            self.settled(state, process, at, false);
        } else if self.is(Mutant::SilenceIsWon) && answer != Answer::Right {
            self.settled(state, process, at, true);
        } else {
            let own = &mut state.processes[usize::from(process)];
            own.phase = Phase::Doubting(sent.key, sent.body);
        }
        Some(())
    }

    fn read_back(&self, state: &mut State, process: u8) -> Option<()> {
        let Phase::Doubting(key, body) = state.processes[usize::from(process)].phase else {
            return None;
        };
        match read(&state.store, key) {
            Some(found) => self.settled(state, process, (key, body), found == body),
            // The identical bytes again.
            None if state.sent.len() < MOST_SENT => Self::send(state, process, key, body),
            None => return None,
        }
        Some(())
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let process = Process { incarnation: 0, phase: Phase::Idle, runs: None };
        vec![State {
            store: Store::default(),
            sent: Vec::new(),
            processes: vec![process; usize::from(self.workers + self.sweepers)],
            faults: self.faults,
            kills: self.kills,
            cancels: self.cancels,
            collected: false,
            outcome: None,
            wrong: Wrong::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (process, own) in (0u8..).zip(&state.processes) {
            self.of_process(state, process, own, actions);
            if state.kills > 0 && own.incarnation < 3 && own.phase != Phase::Idle {
                actions.push(Action::Kill { process });
            }
        }
        for (index, sent) in (0u8..).zip(&state.sent) {
            if index > 0 && state.sent[usize::from(index) - 1] == *sent {
                continue;
            }
            if sent.waiter.is_none() {
                actions.push(Action::Land { index });
                continue;
            }
            actions.push(Action::Answer { index, answer: Answer::Right });
            if state.faults > 0 {
                let faults = [Answer::Unanswered, Answer::Refused, Answer::Late, Answer::Conflict];
                actions.extend(faults.map(|answer| Action::Answer { index, answer }));
            }
        }
        let ended = state.store.end.is_some();
        if state.cancels > 0 && !ended {
            actions.push(Action::Cancel);
        }
        if (ended || self.is(Mutant::CollectsEarly)) && !state.collected {
            actions.push(Action::Collect);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Claim { process, task, attempt } => {
                let nonce = Self::nonce(&state, process);
                Self::send(&mut state, process, Key::Claim(task, attempt), Body::Claim(nonce));
            }
            Action::Put { process, acknowledged, there } => {
                self.put(&mut state, process, acknowledged, there)?;
            }
            Action::Commit { process } => {
                let (task, attempt) = match state.processes[usize::from(process)].phase {
                    Phase::Stored(task, attempt) | Phase::Running(task, attempt) => (task, attempt),
                    _ => return None,
                };
                let winner = (attempt, Self::nonce(&state, process));
                state.processes[usize::from(process)].runs = Some((task, attempt));
                Self::send(&mut state, process, Key::Commit(task), Body::Commit(winner));
            }
            Action::Seal { process } => {
                let seal = self.seal_of(&state.store)?;
                Self::send(&mut state, process, Key::Seal, Body::Seal(seal));
            }
            Action::End { process } => {
                let seal = state.store.seal.or_else(|| self.seal_of(&state.store))?;
                let body = Body::End(Outcome::Succeeded(seal), Self::nonce(&state, process));
                Self::send(&mut state, process, Key::End, body);
            }
            Action::GiveUp { process } => {
                let body = Body::End(Outcome::Failed, Self::nonce(&state, process));
                Self::send(&mut state, process, Key::End, body);
            }
            Action::Cancel => {
                state.cancels -= 1;
                let body = Body::End(Outcome::Cancelled, NOBODY);
                state.detach(Sent { key: Key::End, body, waiter: None });
            }
            Action::Land { index } => {
                let Sent { key, body, .. } = state.sent.remove(usize::from(index));
                self.carry_out(&mut state, key, body);
            }
            Action::Answer { index, answer } => self.answer(&mut state, index, answer)?,
            Action::ReadBack { process } => self.read_back(&mut state, process)?,
            Action::StopAsking { process } => {
                let own = &mut state.processes[usize::from(process)];
                own.phase = Phase::Idle;
                if let Some((task, attempt)) = own.runs.take()
                    && self.is(Mutant::DeletesOnUnknown)
                {
                    let winner = (attempt, Self::nonce(&state, process));
                    state.store.data &= !bit(task, winner);
                }
            }
            Action::Kill { process } => state.kill(process),
            Action::Collect => {
                state.wrong.deleted_while_alive |= state.store.end.is_none();
                let end = state.store.end.filter(|_| !self.is(Mutant::CollectsEnds));
                state.store = Store { end, ..Store::default() };
                state.collected = true;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        if self.mutant.is_some() {
            // One property, so that the search ends as soon as it does not hold.
            return vec![Property::always("everything holds", |model: &Self, state| {
                RULES.iter().all(|(_, holds)| holds(model, state))
            })];
        }
        let mut properties: Vec<Property<Self>> =
            RULES.iter().map(|(name, holds)| Property::always(name, *holds)).collect();
        properties.extend(SEEN.iter().map(|(name, is_seen)| Property::sometimes(name, *is_seen)));
        properties
    }
}
