//! What happens in a run: drawn from its seed, or chosen by a test.

use std::time::Duration;

use dunlin_manifest::records::Adaptive;

use crate::dice::Dice;
use crate::fate::Odds;

/// Everybody dies at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The number of the request among all, from 1.
    pub at: u64,
    /// True if the store has done it.
    pub after: bool,
}

/// Something that happens to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A worker is killed. Another one starts after a while.
    KillWorker,
    /// A gateway is killed, and another one starts.
    KillGateway,
    /// All processes are killed, and others start.
    KillAll,
    /// A worker stands still for so long.
    FreezeWorker(Duration),
    /// A gateway stands still for so long.
    FreezeGateway(Duration),
    /// A worker is asked to stop. Another one starts.
    StopWorker,
    /// One more worker starts.
    StartWorker,
    /// The client cancels.
    Cancel,
    /// A byte of an object of the state becomes another one, or the object loses its end.
    Damage,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Of everything that is drawn on the way.
    pub seed: u64,
    /// Number of the query.
    pub query: usize,
    /// Rows are not put into records, and no stage is merged into another.
    pub is_apart: bool,
    pub(crate) workers: usize,
    pub(crate) slots: usize,
    pub(crate) gateways: usize,
    pub(crate) odds: Odds,
    /// Of ten thousand news, so many are lost; as many come twice, and as many late.
    pub(crate) lost_news: u64,
    /// Clocks are wrong by up to so many milliseconds.
    pub(crate) wrong_clocks_ms: u64,
    /// Two clients send the same request under the same key.
    pub(crate) is_sent_twice: bool,
    pub(crate) events: Vec<(Duration, Event)>,
    pub(crate) crash: Option<Crash>,
}

impl Scenario {
    /// The run of a seed.
    #[must_use]
    pub fn of(seed: u64, queries: usize) -> Self {
        let mut dice = Dice::new(seed, 1);
        let hours = 3_600_000;
        // Some worlds have only bad stores, some only deaths, most both.
        let bad = [0, 50, 200, 500, 1_000][usize::try_from(dice.below(5)).unwrap()];
        let odds = Odds { bad, only_answers: false };
        let mut scenario = Self {
            seed,
            query: Self::query(&mut dice, queries),
            is_apart: dice.is(5_000),
            workers: usize::try_from(dice.between(1, 3)).unwrap(),
            slots: usize::try_from(dice.between(1, 2)).unwrap(),
            gateways: usize::try_from(dice.between(1, 2)).unwrap(),
            odds,
            lost_news: [0, 500, 5_000][usize::try_from(dice.below(3)).unwrap()],
            wrong_clocks_ms: [0, hours][usize::try_from(dice.below(2)).unwrap()],
            is_sent_twice: dice.is(3_000),
            events: Vec::new(),
            crash: None,
        };
        // Most queries are over after a second, so most events come soon.
        let mut at = 0;
        for _ in 0..dice.below(9) {
            let most = if dice.is(7_000) { 300 } else { 20_000 };
            at += dice.below(most);
            let event = Self::event(&mut dice);
            scenario.events.push((Duration::from_millis(at), event));
        }
        scenario
    }

    /// The last query takes as long as twenty others.
    fn query(dice: &mut Dice, queries: usize) -> usize {
        match dice.is(200) {
            true => queries - 1,
            false => dice.choice(queries - 1).unwrap_or_default(),
        }
    }

    /// What is decided by sizes.
    pub(crate) fn adaptive(&self) -> Adaptive {
        let usual = Adaptive::default();
        match self.is_apart {
            true => Adaptive {
                inline_task: 0,
                inline_stage: 0,
                inline_least: 0,
                most_pairs: 0,
                ..usual
            },
            false => usual,
        }
    }

    fn event(dice: &mut Dice) -> Event {
        let long = Duration::from_millis(dice.between(100, 60_000));
        match dice.below(20) {
            0..=5 => Event::KillWorker,
            6..=8 => Event::KillGateway,
            9 => Event::KillAll,
            10..=13 => Event::FreezeWorker(long),
            14 | 15 => Event::FreezeGateway(long),
            16 => Event::StopWorker,
            17 | 18 => Event::StartWorker,
            _ => Event::Cancel,
        }
    }

    /// Nothing goes wrong but this.
    #[must_use]
    pub fn crash(query: usize, is_apart: bool, crash: Option<Crash>) -> Self {
        Self {
            seed: query as u64,
            query,
            is_apart,
            workers: 2,
            slots: 1,
            gateways: 1,
            odds: Odds::default(),
            lost_news: 0,
            wrong_clocks_ms: 0,
            is_sent_twice: false,
            events: Vec::new(),
            crash,
        }
    }

    /// Objects are damaged while the query runs, and nothing else goes wrong.
    #[must_use]
    pub fn damaged(seed: u64, queries: usize) -> Self {
        let mut dice = Dice::new(seed, 5);
        let mut scenario = Self::calm(&mut dice, seed, queries);
        let mut at = 0;
        for _ in 0..dice.between(1, 3) {
            at += dice.below(700);
            scenario.events.push((Duration::from_millis(at), Event::Damage));
        }
        scenario
    }

    /// Nobody dies, and the store does all that it is asked, but many of its answers about records are lost.
    #[must_use]
    pub fn unheard(seed: u64, queries: usize) -> Self {
        let odds = Odds { bad: 300, only_answers: true };
        Self { odds, ..Self::calm(&mut Dice::new(seed, 6), seed, queries) }
    }

    /// Any query but the last one, and nothing goes wrong.
    fn calm(dice: &mut Dice, seed: u64, queries: usize) -> Self {
        let query = dice.choice(queries - 1).unwrap_or_default();
        Self { seed, ..Self::crash(query, dice.is(5_000), None) }
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.events.iter().any(|(_, event)| *event == Event::Damage)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.events.iter().any(|(_, event)| *event == Event::Cancel)
    }
}
