//! What the failures of a task mean: whether the query fails, and how long a worker leaves the task alone.
//!
//! ```text
//!   FATAL      every attempt would fail so       ─> the query fails
//!   RETRY      memory, disk, a panic             ─> counted; who failed leaves the task to others for a while
//!   STORE      a store did not answer            ─> all wait; the query fails if it lasts too long
//!   GIVE_BACK  the worker was asked to stop      ─> nothing
//! ```
//! One sick worker fails every task that it takes, and fails faster than others compute. So its failures count half, and
//! it leaves the task alone for longer each time. A task that fails on several workers is at fault itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::records::{Fail, FailClass, Limits, QueryError};

/// What a task's failures mean for the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt may help.
    Retry,
    /// Another attempt would not help: the query fails with this error.
    Fail(QueryError),
}

/// A failure, and when this process first knew of it, by its own clock.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The record.
    pub fail: Arc<Fail>,
    /// When it was known.
    pub known_at: Duration,
}

/// Decides what the failures of one task mean for the query. `failing_ms` is how long this process has known that the
/// task fails.
#[must_use]
pub fn judge<'a>(
    fails: impl IntoIterator<Item = &'a Fail>,
    failing_ms: u64,
    limits: &Limits,
) -> Verdict {
    let fails: Vec<&Fail> = fails.into_iter().collect();
    let error = |fail: &Fail, retryable: bool, tried: String| QueryError {
        code: fail.code.clone(),
        message: format!("{}{tried}", fail.message),
        retryable,
    };
    if let Some(fatal) = fails.iter().find(|fail| fail.class == FailClass::Fatal) {
        return Verdict::Fail(error(fatal, false, String::new()));
    }
    let most = limits.max_failures as usize;
    let of = |class: FailClass| fails.iter().filter(move |fail| fail.class == class);
    if let Some(last) = of(FailClass::Retry).next_back()
        && counted(of(FailClass::Retry).copied()) >= most
    {
        let tried = format!(" (after {} attempts)", of(FailClass::Retry).count());
        return Verdict::Fail(error(last, true, tried));
    }
    match of(FailClass::Store).next_back() {
        Some(last)
            if of(FailClass::Store).count() >= most && failing_ms >= limits.store_trouble_ms =>
        {
            let (times, seconds) = (of(FailClass::Store).count(), failing_ms / 1_000);
            Verdict::Fail(error(last, true, format!(" (tried {times} times in {seconds} s)")))
        }
        _ => Verdict::Retry,
    }
}

/// How many failures count: of each worker half, rounded up, or all if it was alone.
fn counted<'a>(fails: impl Iterator<Item = &'a Fail>) -> usize {
    let mut workers: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for fail in fails {
        let (count, alone) = workers.entry(&fail.worker).or_default();
        (*count, *alone) = (*count + 1, *alone || fail.alone);
    }
    let of = |(count, alone): (usize, bool)| if alone { count } else { count.div_ceil(2) };
    workers.into_values().map(of).sum()
}

/// How long a worker leaves a task alone after its own first failure, if there are others. It doubles, up to [`OWN`]`.1`.
const OWN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How long everybody leaves it alone after the first failure of a store. It doubles, too.
const STORE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Until when `worker` leaves a task alone that has failed, by the clock of [`Failed::known_at`]. If it is `alone`, nobody
/// else would take it.
#[must_use]
pub fn rest(fails: &[Failed], worker: &str, alone: bool) -> Duration {
    let store = |failed: &&Failed| failed.fail.class == FailClass::Store;
    let own = |failed: &&Failed| {
        !alone && failed.fail.class == FailClass::Retry && failed.fail.worker == worker
    };
    let of_store = until(fails.iter().filter(store), STORE);
    of_store.max(until(fails.iter().filter(own), OWN))
}

fn until<'a>(
    fails: impl Iterator<Item = &'a Failed>,
    (first, longest): (Duration, Duration),
) -> Duration {
    let (mut count, mut latest) = (0u32, Duration::ZERO);
    for failed in fails {
        (count, latest) = (count + 1, latest.max(failed.known_at));
    }
    match count {
        0 => Duration::ZERO,
        _ => latest + first.saturating_mul(1 << (count - 1).min(16)).min(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::encoding::RECORD_VERSION;
    use crate::model::error_code::ErrorCode;

    fn fail(class: FailClass, worker: &str) -> Fail {
        Fail {
            v: RECORD_VERSION,
            nonce: String::new(),
            worker: worker.to_owned(),
            alone: false,
            class,
            code: ErrorCode::Other("CODE".to_owned()),
            message: "why".to_owned(),
            began_ms: 0,
            ended_ms: 0,
        }
    }

    fn judged(fails: &[Fail], failing_ms: u64) -> Option<String> {
        match judge(fails, failing_ms, &Limits::default()) {
            Verdict::Retry => None,
            Verdict::Fail(error) => {
                assert_eq!(error.retryable, fails[0].class != FailClass::Fatal);
                Some(error.message)
            }
        }
    }

    #[test]
    fn one_fatal_failure_ends_a_query_and_any_number_of_give_backs_does_not() {
        assert_eq!(judged(&[fail(FailClass::Fatal, "a")], 0).as_deref(), Some("why"));
        assert_eq!(judged(&vec![fail(FailClass::GiveBack, "a"); 50], u64::MAX), None);
    }

    #[test]
    fn failures_of_four_workers_end_a_query_and_those_of_one_sick_worker_count_half() {
        let of = |workers: &[&str]| {
            let fails: Vec<Fail> = workers.iter().map(|of| fail(FailClass::Retry, of)).collect();
            judged(&fails, 0)
        };
        assert_eq!(of(&["a", "b", "c"]), None);
        assert_eq!(of(&["a", "b", "c", "d"]).as_deref(), Some("why (after 4 attempts)"));
        assert_eq!(of(&["sick"; 6]), None);
        assert_eq!(of(&["sick"; 7]).as_deref(), Some("why (after 7 attempts)"));
        // The sick one again and again, and three that failed once.
        assert_eq!(of(&["sick", "sick", "b", "c"]), None);
        assert!(of(&["sick", "sick", "b", "c", "sick"]).is_some());
        let alone = Fail { alone: true, ..fail(FailClass::Retry, "a") };
        assert_eq!(judged(&vec![alone.clone(); 3], 0), None);
        assert!(judged(&vec![alone; 4], 0).is_some());
    }

    #[test]
    fn trouble_of_a_store_is_borne_for_its_time_however_often_it_is_met() {
        let many = vec![fail(FailClass::Store, "a"); 200];
        assert_eq!(judged(&many, 119_999), None);
        assert_eq!(judged(&many, 120_000).as_deref(), Some("why (tried 200 times in 120 s)"));
        assert_eq!(judged(&many[..3], 120_000), None, "three times are too few to know");
    }

    #[test]
    fn who_failed_rests_longer_each_time_and_others_do_not() {
        let seconds = Duration::from_secs;
        let failed = |class, worker: &str, at| Failed {
            fail: Arc::new(fail(class, worker)),
            known_at: seconds(at),
        };
        let mut fails = vec![failed(FailClass::Retry, "sick", 10)];
        assert_eq!(rest(&fails, "sick", false), seconds(12));
        assert_eq!(rest(&fails, "well", false), Duration::ZERO);
        assert_eq!(rest(&fails, "sick", true), Duration::ZERO, "nobody else is there");
        fails.push(failed(FailClass::Retry, "sick", 12));
        assert_eq!(rest(&fails, "sick", false), seconds(16));
        fails.extend((0..40).map(|_| failed(FailClass::Retry, "sick", 20)));
        assert_eq!(rest(&fails, "sick", false), seconds(80));
        let store: Vec<Failed> = (0..3).map(|_| failed(FailClass::Store, "a", 30)).collect();
        assert_eq!(rest(&store, "b", true), seconds(31), "everybody waits for the store");
    }
}
