//! What there is in the world of the model: the store, requests under way, processes, and what may happen.

pub(crate) const TASKS: usize = 2;
pub(crate) const MOST_ATTEMPTS: usize = 3;

/// Who wrote a record: a process and its incarnation. It stands for the nonce of a create.
pub(crate) type Nonce = u8;
/// An attempt that won: its number, and the nonce of its claim.
pub(crate) type Winner = (u8, Nonce);

/// A key of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Claim(u8, u8),
    Commit(u8),
    Seal,
    End,
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Body {
    Claim(Nonce),
    Commit(Winner),
    Seal([Option<Winner>; TASKS]),
    End(Outcome, Nonce),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Succeeded([Option<Winner>; TASKS]),
    Failed,
    Cancelled,
}

/// A create that was sent. `waiter` still waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Sent {
    pub(crate) key: Key,
    pub(crate) body: Body,
    pub(crate) waiter: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Idle,
    /// A create is under way.
    Waiting(Key, Body),
    /// It was not answered with "created": only reading tells.
    Doubting(Key, Body),
    /// The claim is won; nothing is written yet.
    Running(u8, u8),
    /// The data is acknowledged.
    Stored(u8, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) incarnation: u8,
    pub(crate) phase: Phase,
    /// The attempt that it runs while it commits.
    pub(crate) runs: Option<(u8, u8)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) claims: [[Option<Nonce>; MOST_ATTEMPTS]; TASKS],
    pub(crate) commits: [Option<Winner>; TASKS],
    /// Which attempts have written their data: a bit each.
    pub(crate) data: u128,
    /// The data of a task, if all attempts write the same name.
    pub(crate) shared: [Option<Winner>; TASKS],
    pub(crate) seal: Option<[Option<Winner>; TASKS]>,
    pub(crate) end: Option<(Outcome, Nonce)>,
}

/// What went wrong, as a user would see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Wrong {
    pub(crate) two_outcomes: bool,
    pub(crate) believed_without_holding: bool,
    pub(crate) lost_to_nobody: bool,
    pub(crate) overwritten_data: bool,
    pub(crate) deleted_while_alive: bool,
    pub(crate) contradicting_seal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) sent: Vec<Sent>,
    pub(crate) processes: Vec<Process>,
    pub(crate) faults: u8,
    pub(crate) kills: u8,
    pub(crate) cancels: u8,
    pub(crate) collected: bool,
    /// The first end, which everybody may have seen.
    pub(crate) outcome: Option<(Outcome, Nonce)>,
    pub(crate) wrong: Wrong,
}

/// How the store answers a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// It is carried out, and answered.
    Right,
    /// It is carried out, and the answer is lost.
    Unanswered,
    /// It is not carried out.
    Refused,
    /// The sender gives up. It may land at any time, or never.
    Late,
    /// 409: not carried out, and nobody may have won.
    Conflict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Claim {
        process: u8,
        task: u8,
        attempt: u8,
    },
    /// The data of an attempt: acknowledged, or the attempt ends and its object may be there or not.
    Put {
        process: u8,
        acknowledged: bool,
        there: bool,
    },
    Commit {
        process: u8,
    },
    Seal {
        process: u8,
    },
    End {
        process: u8,
    },
    /// All attempts of a task are used up, and it has no commit.
    GiveUp {
        process: u8,
    },
    Cancel,
    Answer {
        index: u8,
        answer: Answer,
    },
    Land {
        index: u8,
    },
    /// Reads back a create in doubt.
    ReadBack {
        process: u8,
    },
    /// Stops asking: it is not known whether the create will land.
    StopAsking {
        process: u8,
    },
    Kill {
        process: u8,
    },
    Collect,
}

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// "It exists" is taken for lost, without reading whose it is.
    NotReadBack,
    /// 409 is taken for lost.
    ConflictIsLost,
    /// A create without an answer is taken for won.
    SilenceIsWon,
    /// Own data is deleted when it is not known whether the commit landed.
    DeletesOnUnknown,
    /// What a query has left is collected before its end.
    CollectsEarly,
    /// The end is collected with the rest.
    CollectsEnds,
    /// The commit is sent before the data is acknowledged.
    CommitsEarly,
    /// All attempts of a task write the same names.
    SharedNames,
    /// An attempt is claimed although the one before was not.
    SkipsAttempts,
    /// A stage is sealed before all its tasks are committed.
    SealsEarly,
    /// A stage is sealed with the latest claims, and not with the commits.
    SealsClaims,
    /// The end is a plain put.
    PlainEnd,
    /// A commit is a plain put.
    PlainCommit,
    /// A reader takes the data that it finds, and not what the seal names.
    ListsData,
    /// The query ends as a success before its seal is settled.
    EndsEarly,
}

/// All of them.
pub(crate) const MUTANTS: [Mutant; 15] = [
    Mutant::NotReadBack,
    Mutant::ConflictIsLost,
    Mutant::SilenceIsWon,
    Mutant::DeletesOnUnknown,
    Mutant::CollectsEarly,
    Mutant::CollectsEnds,
    Mutant::CommitsEarly,
    Mutant::SharedNames,
    Mutant::SkipsAttempts,
    Mutant::SealsEarly,
    Mutant::SealsClaims,
    Mutant::PlainEnd,
    Mutant::PlainCommit,
    Mutant::ListsData,
    Mutant::EndsEarly,
];

/// The size of the world, and what is broken in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) workers: u8,
    pub(crate) sweepers: u8,
    pub(crate) attempts: u8,
    pub(crate) faults: u8,
    pub(crate) kills: u8,
    pub(crate) cancels: u8,
    pub(crate) mutant: Option<Mutant>,
}

/// Who cancels is no process of the model.
pub(crate) const NOBODY: Nonce = 63;
/// Requests of dead or impatient senders that may still land.
pub(crate) const MOST_SENT: usize = 6;

pub(crate) fn bit(task: u8, (attempt, nonce): Winner) -> u128 {
    1 << ((usize::from(task) * MOST_ATTEMPTS + usize::from(attempt)) * 16 + usize::from(nonce))
}

impl State {
    /// Nobody waits for the answer any more.
    pub(crate) fn detach(&mut self, sent: Sent) {
        self.sent.push(sent);
        self.sent.sort_unstable();
    }

    /// A process dies, and another one begins in its place. What it has sent may still land.
    pub(crate) fn kill(&mut self, process: u8) {
        self.kills -= 1;
        for sent in &mut self.sent {
            if sent.waiter == Some(process) {
                sent.waiter = None;
            }
        }
        self.sent.sort_unstable();
        let own = &mut self.processes[usize::from(process)];
        *own = Process { incarnation: own.incarnation + 1, phase: Phase::Idle, runs: None };
    }
}

pub(crate) fn read(store: &Store, key: Key) -> Option<Body> {
    match key {
        Key::Claim(task, attempt) => {
            store.claims[usize::from(task)][usize::from(attempt)].map(Body::Claim)
        }
        Key::Commit(task) => store.commits[usize::from(task)].map(Body::Commit),
        Key::Seal => store.seal.map(Body::Seal),
        Key::End => store.end.map(|(outcome, nonce)| Body::End(outcome, nonce)),
    }
}
