//! What may happen to a request.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dice::Dice;

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Create,
    Put,
    Get,
    List,
    Delete,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is answered.
    Answered,
    /// It is answered late, after up to 3 seconds.
    Slow,
    /// The connection breaks before the store has it.
    LostBefore,
    /// The store has done it, and the answer is lost.
    LostAfter,
    /// An error at once. The store does it later, after up to 20 minutes.
    Late,
    /// The client's library sends it twice, and the second answer counts.
    Doubled,
    /// 409: somebody else writes the same key at this moment. Nothing is done.
    Conflict,
    /// 503.
    SlowDown,
    /// The body ends early.
    Truncated,
    /// One bit of the body is another one.
    Flipped,
}

/// How often requests have no luck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Odds {
    /// Of ten thousand.
    pub(crate) bad: u64,
    /// Every record is created at once, once or twice. Only who creates it does not learn it. (Other requests are sent again
    /// by the client's library.)
    pub(crate) only_answers: bool,
}

impl Odds {
    /// The fate of a request. Only bodies with checksums are damaged: TLS and the store vouch for the others.
    pub(crate) fn draw(self, dice: &mut Dice, op: Op, is_checked: bool) -> Fate {
        // Most requests look for work. What changes something is rarer, and worth more.
        let bad = if matches!(op, Op::Create | Op::Delete) || is_checked {
            self.bad * 4
        } else {
            self.bad
        };
        if !dice.is(bad) {
            return Fate::Answered;
        }
        if self.only_answers {
            return match dice.below(2) {
                _ if op != Op::Create => Fate::Answered,
                0 => Fate::LostAfter,
                _ => Fate::Doubled,
            };
        }
        let all: &[Fate] = match op {
            Op::Create => &[
                Fate::Slow,
                Fate::LostBefore,
                Fate::LostAfter,
                Fate::Late,
                Fate::Doubled,
                Fate::Conflict,
                Fate::SlowDown,
            ],
            Op::Put => &[
                Fate::Slow,
                Fate::LostBefore,
                Fate::LostAfter,
                Fate::Late,
                Fate::Doubled,
                Fate::SlowDown,
            ],
            Op::Get if is_checked => {
                &[Fate::Slow, Fate::LostBefore, Fate::SlowDown, Fate::Truncated, Fate::Flipped]
            }
            Op::Get | Op::List => &[Fate::Slow, Fate::LostBefore, Fate::SlowDown],
            Op::Delete => &[Fate::Slow, Fate::LostBefore, Fate::LostAfter, Fate::SlowDown],
        };
        let choice = usize::try_from(dice.below(all.len() as u64)).unwrap();
        all[choice]
    }
}

/// How long the way to the store and back takes, together.
pub(crate) fn way(dice: &mut Dice, fate: Fate) -> Duration {
    let usual = dice.between(1_000, 40_000);
    let more = if fate == Fate::Slow { dice.below(3_000_000) } else { 0 };
    Duration::from_micros(usual + more)
}

/// How often each fate has struck.
pub(crate) type Struck = BTreeMap<Fate, u64>;
