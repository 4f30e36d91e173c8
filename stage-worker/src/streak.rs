//! Attempts of one process that fail one after the other: it then leaves the query to others for a while.

use std::time::Duration;

/// After so many failures in a row the process rests, and for longer after each further one.
const BORNE: u32 = 3;
/// How long at first, and at most.
const REST: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(120));

/// Failures since the last success.
#[derive(Debug, Default)]
pub(crate) struct Streak {
    failures: u32,
    rests_until: Duration,
}

impl Streak {
    /// An attempt has failed. Returns how long the process rests, if it does.
    pub(crate) fn failed(&mut self, now: Duration) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let over = self.failures.checked_sub(BORNE)?;
        let rest = REST.0.saturating_mul(1 << over.min(16)).min(REST.1);
        self.rests_until = now + rest;
        Some(rest)
    }

    /// An attempt has succeeded.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// True if the process leaves the query to others.
    pub(crate) fn is_resting(&self, now: Duration) -> bool {
        now < self.rests_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_make_a_process_rest_and_a_success_ends_it() {
        let (seconds, mut streak) = (Duration::from_secs, Streak::default());
        assert_eq!((streak.failed(seconds(1)), streak.failed(seconds(1))), (None, None));
        assert_eq!(streak.failed(seconds(1)), Some(seconds(5)));
        assert!(streak.is_resting(seconds(5)) && !streak.is_resting(seconds(6)));
        assert_eq!(streak.failed(seconds(6)), Some(seconds(10)));
        for _ in 0..40 {
            assert!(streak.failed(seconds(6)) <= Some(seconds(120)));
        }
        streak.succeeded();
        assert!(!streak.is_resting(seconds(6)) && streak.failed(seconds(6)).is_none());
    }
}
