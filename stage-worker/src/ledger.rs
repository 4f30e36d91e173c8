//! What a call of a function has used, told with its commits, so that a query knows its price.
//!
//! ```text
//!   call ──────── commit ──────── commit ─── looks, seals, calls ─── answer
//!        <─ 1 ──>         <─ 2 ──>        <───────── tail ─────────>
//! ```
//! Each commit tells what was used since the one before it. What follows the last commit of a call cannot be told by a
//! commit, and a record of its own would cost more than most tails. So each commit also tells the tail that former calls of
//! this sandbox had at least, and the next one takes it back. A call without any commit, or with a tail that cost more than
//! a PUT beyond that, tells what is missing in the name of a hint (`use/`).

use std::time::Duration;

use dunlin_manifest::records::{Requests, Usage};
use parking_lot::Mutex;

/// How a function is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paid {
    /// Its memory.
    pub memory_mb: u64,
    /// The time of its start, if this is the first call of the sandbox.
    pub init: Option<Duration>,
}

/// The tail of a call before any was measured: a commit, and a look at its group.
const FIRST: Tail = Tail {
    us: 70_000,
    requests: Requests { put: 1, get: 0, list: 1, head: 0, delete: 0, hedged: 0 },
};
/// A hint is put in so long, if nothing else is known.
const PUT_US: u64 = 30_000;

/// So many milliseconds times megabytes cost as much as a PUT.
const WORTH_MB_MS: u64 = 300_000;
/// The time of a call that its function does not see: the event comes in, the answer goes out, and the last millisecond is
/// rounded up.
const AROUND_US: u64 = 2_000;

/// What follows the last commit of a call.
#[derive(Clone, Copy, Debug)]
struct Tail {
    us: u64,
    requests: Requests,
}

/// The books of a sandbox.
#[derive(Debug)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Debug)]
struct Books {
    call: Option<Call>,
    tail: Tail,
}

/// The call under way.
#[derive(Debug)]
struct Call {
    paid: Paid,
    begun: Duration,
    /// Requests so far.
    spent: Requests,
    /// What commits have told.
    told: Option<Told>,
    /// True if a commit has told that there was this call.
    is_counted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    us: u64,
    requests: Requests,
    /// When the last commit told, and what was spent then.
    at: Duration,
    spent: Requests,
}

impl Default for Ledger {
    fn default() -> Self {
        Self(Mutex::new(Books { call: None, tail: FIRST }))
    }
}

impl Ledger {
    /// A call begins.
    pub(crate) fn begin(&self, now: Duration, paid: Option<Paid>) {
        let spent = Requests::default();
        self.0.lock().call =
            paid.map(|paid| Call { paid, begun: now, spent, told: None, is_counted: false });
    }

    /// True while a call that is paid is under way.
    pub(crate) fn is_open(&self) -> bool {
        self.0.lock().call.is_some()
    }

    /// What a commit tells: what the function is paid for, and the requests. `new` are requests that were counted since the
    /// last commit; they are returned as they are if there is no call.
    pub(crate) fn tell(&self, now: Duration, new: Requests) -> (Usage, Requests) {
        let mut books = self.0.lock();
        let tail = books.tail;
        let Some(call) = &mut books.call else { return (Usage::default(), new) };
        call.spent += new;
        let mut requests = call.spent;
        requests += tail.requests;
        let us = call.us(now) + tail.us;
        let before = call.told.map_or((0, Requests::default()), |told| (told.us, told.requests));
        let usage = call.usage(us.saturating_sub(before.0));
        let new = less(requests, before.1);
        call.told = Some(Told { us: us.max(before.0), requests, at: now, spent: call.spent });
        call.is_counted = true;
        (usage, new)
    }

    /// What a commit has told does not count, because another attempt has won. It is told again.
    pub(crate) fn take_back(&self, usage: Usage, requests: Requests) {
        let mut books = self.0.lock();
        let Some(call) = &mut books.call else { return };
        if let Some(told) = &mut call.told {
            told.us = told.us.saturating_sub(usage.ms * 1_000);
            told.requests = less(told.requests, requests);
        }
        call.is_counted &= usage.calls == 0;
    }

    /// The call ends. `new` as for [`Ledger::tell`]. Returns what no commit has told, if that is worth a hint.
    pub(crate) fn end(&self, now: Duration, new: Requests) -> Option<(Usage, Requests)> {
        let mut books = self.0.lock();
        let mut call = books.call.take()?;
        call.spent += new;
        let Some(told) = call.told else {
            call.spent.put += 1;
            return Some((call.usage(call.us(now) + PUT_US), call.spent));
        };
        let (us, requests) = (micros(now.saturating_sub(told.at)), less(call.spent, told.spent));
        // The least time of the last ones, so that rarely too much is told, and the mean of their requests.
        let tail = books.tail;
        let least = |former: u64, this: u64| this.min(former + former / 8 + 1);
        // Rounded towards the newer one, so that it is reached.
        let mean = |former: u64, this: u64| match this > former {
            true => (former + this).div_ceil(2),
            false => u64::midpoint(former, this),
        };
        books.tail = Tail {
            us: least(tail.us, us),
            requests: Requests {
                put: mean(tail.requests.put, requests.put),
                get: mean(tail.requests.get, requests.get),
                list: mean(tail.requests.list, requests.list),
                ..Requests::default()
            },
        };
        let missing = call.us(now).saturating_sub(told.us) + PUT_US;
        let mut asked = less(call.spent, told.requests);
        asked.put += 1;
        let usage = call.usage(missing);
        (usage.mb_ms > WORTH_MB_MS).then_some((usage, asked))
    }
}

impl Call {
    /// Microseconds so far.
    fn us(&self, now: Duration) -> u64 {
        let start = self.paid.init.unwrap_or_default();
        micros(now.saturating_sub(self.begun) + start) + AROUND_US
    }

    /// What these microseconds are paid as. The call itself is told once.
    fn usage(&self, us: u64) -> Usage {
        let is_first = u64::from(!self.is_counted);
        Usage {
            calls: is_first,
            cold: is_first * u64::from(self.paid.init.is_some()),
            ms: us / 1_000,
            mb_ms: us * self.paid.memory_mb / 1_000,
        }
    }
}

/// A time as records have it.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What is in `all` and not in `before`.
fn less(all: Requests, before: Requests) -> Requests {
    Requests {
        put: all.put.saturating_sub(before.put),
        get: all.get.saturating_sub(before.get),
        list: all.list.saturating_sub(before.list),
        head: all.head.saturating_sub(before.head),
        delete: all.delete.saturating_sub(before.delete),
        hedged: all.hedged.saturating_sub(before.hedged),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PAID: Paid = Paid { memory_mb: 1_000, init: None };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn gets(get: u64) -> Requests {
        Requests { get, ..Requests::default() }
    }

    #[test]
    fn commits_together_tell_the_whole_call_and_its_usual_tail() {
        let ledger = Ledger::default();
        let mut told = Usage::default();
        let mut requests = Requests::default();
        for call in 0..20 {
            let begun = 1_000 * call;
            ledger.begin(at(begun), Some(PAID));
            for commit in [100, 350] {
                let (usage, asked) = ledger.tell(at(begun + commit), gets(5));
                if call >= 10 {
                    told += usage;
                    requests += asked;
                }
            }
            let after = Requests { put: 2, list: 1, ..Requests::default() };
            assert_eq!(ledger.end(at(begun + 450), after), None);
        }
        assert_eq!((told.calls, told.cold), (10, 0));
        assert!((4_500..4_540).contains(&told.ms), "{told:?}");
        assert_eq!((requests.get, requests.put, requests.list), (100, 20, 10));
    }

    #[test]
    fn what_a_lost_commit_has_told_is_told_again() {
        let ledger = Ledger::default();
        ledger.begin(at(0), Some(PAID));
        let (lost, requests) = ledger.tell(at(200), gets(5));
        ledger.take_back(lost, requests);
        let (won, requests) = ledger.tell(at(500), gets(1));
        assert_eq!((won.calls, requests.get), (1, 6));
        assert!((500..580).contains(&won.ms), "{won:?}");
    }

    #[test]
    fn a_long_tail_tells_by_itself() {
        let ledger = Ledger::default();
        ledger.begin(at(0), Some(PAID));
        let (first, _) = ledger.tell(at(100), gets(5));
        let (rest, requests) = ledger.end(at(1_100), gets(7)).unwrap();
        assert_eq!((first.calls, rest.calls), (1, 0));
        assert!((1_090..1_150).contains(&(first.ms + rest.ms)), "{first:?} {rest:?}");
        assert_eq!((requests.get, requests.put), (7, 1));
    }

    #[test]
    fn a_call_without_a_commit_tells_by_itself_and_one_that_is_not_paid_tells_nothing() {
        let ledger = Ledger::default();
        ledger.begin(at(0), Some(Paid { init: Some(at(50)), ..PAID }));
        let (usage, requests) = ledger.end(at(20), gets(3)).unwrap();
        assert_eq!((usage.calls, usage.cold, usage.ms), (1, 1, 102));
        assert_eq!((requests.get, requests.put), (3, 1));
        ledger.begin(at(0), None);
        assert_eq!(ledger.tell(at(5), gets(7)), (Usage::default(), gets(7)));
        assert_eq!(ledger.end(at(9), gets(7)), None);
    }
}
