//! How long requests to a store take: the quantiles that others have measured, sampled with a seed.

use std::str::FromStr;
use std::time::Duration;

use parking_lot::Mutex;

/// Times of a class of requests, by quantile in thousandths. Between two points the time is interpolated.
type Quantiles = &'static [(u64, u64)];

/// Milliseconds until the first byte of an answer. Median, 95 % and 99 % are the published ones; the ends are guesses.
const S3_GET: Quantiles = &[(0, 12), (500, 27), (950, 74), (990, 106), (1000, 180)];
const S3_PUT: Quantiles = &[(0, 20), (500, 40), (950, 90), (990, 123), (1000, 220)];
const EXPRESS_GET: Quantiles = &[(0, 3), (500, 5), (950, 9), (990, 14), (1000, 30)];
const EXPRESS_PUT: Quantiles = &[(0, 4), (500, 7), (950, 12), (990, 18), (1000, 40)];
/// A delay of 27 ± 8 ms for every answer.
const EVEN: Quantiles = &[(0, 19), (1000, 35)];
/// One answer in 25 takes over a second, as from a machine of the store that is in trouble.
const TROUBLED: Quantiles = &[(0, 4), (960, 8), (961, 1_000), (1000, 2_000)];
const NONE: Quantiles = &[(0, 0), (1000, 0)];

/// Which store is imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// No delay.
    Near,
    /// Every answer takes 27 ± 8 ms.
    Even,
    /// Amazon S3, one zone away.
    S3,
    /// An S3 Express directory bucket.
    Express,
    /// A near store, of which one answer in 25 takes over a second.
    Troubled,
}

impl Profile {
    fn quantiles(self, is_read: bool) -> Quantiles {
        match (self, is_read) {
            (Self::Near, _) => NONE,
            (Self::Even, _) => EVEN,
            (Self::S3, true) => S3_GET,
            (Self::S3, false) => S3_PUT,
            (Self::Troubled, _) => TROUBLED,
            (Self::Express, true) => EXPRESS_GET,
            (Self::Express, false) => EXPRESS_PUT,
        }
    }

    /// Bytes a second of one connection; `None` if bodies are not delayed.
    fn bandwidth(self) -> Option<u64> {
        match self {
            Self::Near | Self::Even | Self::Troubled => None,
            Self::S3 | Self::Express => Some(60_000_000),
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "near" => Ok(Self::Near),
            "even" => Ok(Self::Even),
            "s3" => Ok(Self::S3),
            "express" => Ok(Self::Express),
            "troubled" => Ok(Self::Troubled),
            other => Err(format!("{other:?} is none of near, even, s3, express, troubled")),
        }
    }
}

/// Samples the times of a profile. The same seed gives the same sequence.
#[derive(Debug)]
pub struct Latency {
    profile: Profile,
    state: Mutex<u64>,
}

impl Latency {
    /// Samples `profile` from `seed`.
    #[must_use]
    pub fn new(profile: Profile, seed: u64) -> Self {
        Self { profile, state: Mutex::new(seed) }
    }

    /// The time until the first byte of the next answer. `is_read`: GET, HEAD or LIST.
    pub fn first_byte(&self, is_read: bool) -> Duration {
        let points = self.profile.quantiles(is_read);
        let at = self.next() % 1_000_000;
        let at_micros = |(quantile, millis): (u64, u64)| (quantile * 1_000, millis * 1_000);
        let above = points.iter().position(|(quantile, _)| quantile * 1_000 > at);
        let above = above.unwrap_or(points.len() - 1).max(1);
        let ((q0, t0), (q1, t1)) = (at_micros(points[above - 1]), at_micros(points[above]));
        Duration::from_micros(t0 + (t1 - t0) * (at - q0) / (q1 - q0))
    }

    /// The time that a body of `bytes` takes on one connection.
    #[must_use]
    pub fn body(&self, bytes: u64) -> Duration {
        match self.profile.bandwidth() {
            Some(rate) => Duration::from_micros(bytes.saturating_mul(1_000_000) / rate),
            None => Duration::ZERO,
        }
    }

    /// SplitMix64.
    fn next(&self) -> u64 {
        let mut state = self.state.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_the_published_quantiles_and_repeat_with_their_seed() {
        let sample = |seed| {
            let latency = Latency::new(Profile::S3, seed);
            let mut times: Vec<u128> =
                (0..20_000).map(|_| latency.first_byte(true).as_millis()).collect();
            times.sort_unstable();
            times
        };
        let times = sample(1);
        for (quantile, millis) in [(50, 27), (95, 74), (99, 106)] {
            let found = times[times.len() * quantile / 100];
            assert!(found.abs_diff(millis) <= 3, "p{quantile}: {found} ms");
        }
        assert_eq!(times, sample(1));
        assert_ne!(times, sample(2));
        let latency = Latency::new(Profile::S3, 1);
        assert_eq!(latency.body(60_000_000), Duration::from_secs(1));
    }
}
