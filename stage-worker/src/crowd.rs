//! How a worker behaves among many others. What is right for two workers (look often, take what seems free, write what
//! is due) is a storm of requests when a thousand do it.
//!
//! ```text
//!   processes that listen      1 to 16         100            1,000
//!   pause of an idle one       40 ms to 1 s    0.5 to 1 s     5 to 10 s        news ends it
//!   groups that a look lists   16              1              1
//!   the tasks of others        at once         after 0.2 s    after 1.1 s, and a look has shown them free
//!   what is due is left for    0.25 s          up to 0.75 s   up to 5.25 s
//! ```
//! So the fleet together asks about as often as a few workers would, and what one of them overlooks another finds. Whoever
//! knows that something is due (its own task, the commit that completes a group) never waits.

use std::time::Duration;

use dunlin_manifest::env::Env;
use dunlin_manifest::query::{Look, PATIENCE};

use crate::options::WorkerOptions;

/// Up to so many processes, each behaves as if it were alone.
const FEW: u32 = 16;
/// The shortest pause of an idle process, for each process that listens. The longest is twice as long.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Groups that all processes together list in the time of one pause.
const GROUPS: u32 = 64;
/// For how much longer the tasks of others are left alone, for each process that listens.
const GRACE: Duration = Duration::from_millis(1);
const LONGEST_GRACE: Duration = Duration::from_secs(2);

/// How many workers there are, as far as one knows. The slots of one process share what they know, and look in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowd {
    workers: u32,
}

impl Crowd {
    /// So many processes listen for news.
    pub(crate) fn of(workers: u32) -> Self {
        Self { workers }
    }

    /// True if what each does must depend on how many there are.
    pub(crate) fn is_large(self) -> bool {
        self.workers > FEW
    }

    /// The shortest and the longest pause of a slot that finds nothing to do while there are queries.
    pub(crate) fn pauses(self, options: &WorkerOptions) -> (Duration, Duration) {
        let longest = options.idle_poll.max(options.active_poll * 4);
        if !self.is_large() {
            return (options.active_poll, longest);
        }
        let shortest = (PAUSE * self.workers).clamp(options.active_poll, LONGEST_PAUSE / 2);
        (shortest, longest.max(shortest * 2))
    }

    /// What a slot asks for that finds nothing to do. One that has just worked is told of seals.
    pub(crate) fn look(self, has_worked: bool) -> Look {
        if !self.is_large() {
            return Look::default();
        }
        let groups = (GROUPS / self.workers).clamp(1, FEW) as usize;
        Look { groups, seals: !has_worked, ..Look::default() }
    }

    /// For how long a record that is due is left to the process that made it due. Differs each time, so that the first
    /// of many writes the record, and the others find it.
    pub(crate) fn patience(self, env: &Env) -> Duration {
        if !self.is_large() {
            return PATIENCE;
        }
        let most = u64::try_from((PAUSE * self.workers).as_micros()).unwrap_or(1);
        PATIENCE + Duration::from_micros(env.below(most.max(1)))
    }

    /// For how long after a stage has opened its tasks are left to the slots whose places they have.
    pub(crate) fn grace(self, least: Duration) -> Duration {
        (least + GRACE * self.workers).min(LONGEST_GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_workers_together_ask_about_as_often_as_ten() {
        let options = WorkerOptions::remote(1, 1 << 30);
        let lists_a_second = |workers: u32| {
            let crowd = Crowd::of(workers);
            let a_look = crowd.look(false).groups as f64 + 1.0;
            f64::from(workers) * a_look / crowd.pauses(&options).0.as_secs_f64()
        };
        let (few, many) = (lists_a_second(10), lists_a_second(1_000));
        assert!(few < 5_000.0 && many <= 400.0, "{few} and {many}");
        for workers in [17, 100, 300, 3_000] {
            assert!(
                lists_a_second(workers) < 4_000.0,
                "{workers} workers: {}",
                lists_a_second(workers)
            );
        }
        assert_eq!(Crowd::of(2).look(true), Look::default());
        assert!(!Crowd::of(1_000).look(true).seals && Crowd::of(1_000).look(false).seals);
    }
}
