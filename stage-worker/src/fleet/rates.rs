//! How many requests a second a part of the store's keys takes, before the store says 503.
//!
//! ```text
//!   g/3f9a/<Q>/s2/17/c/1093     the name of the key, and some hex digits of the hash after it
//!   └─┬─┘                       are its partition, with two buckets of tokens:
//!   "g/3"                       3,500 writes and LISTs a second, 5,500 reads a second
//! ```
//! S3 promises these rates for each *partitioned prefix*. Where it cuts prefixes is its own decision: a new bucket is one
//! partition, and one that is busy for minutes is cut again and again, at prefixes that the keys must offer. The protocol
//! offers a hash after `g/`, `data/` and `q/`. So [`Split`] says how far S3 has come: it is a choice of the simulation, not a
//! fact. The usual one here is a single hex digit: a bucket that has been in use, and not one that was cut for this
//! query. Names without a hash (`end/`, `hb/`, `res/`, `live/`, `bell/`) stay whole, because ids of one day begin alike.
//! For the same reason the `q/` of one query stays whole, however far S3 goes.

use std::collections::BTreeMap;
use std::time::Duration;

/// Writes and LISTs a second.
const WRITES: u64 = 3_500;
/// GETs a second.
const READS: u64 = 5_500;
/// Parts of a token.
const PARTS: u64 = 1_000_000;

/// How far the store has cut its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// A new bucket: all keys together.
    Bucket,
    /// By the first part of the key, and so many hex digits of the hash after it, if there is one.
    Digits(usize),
}

impl Split {
    /// The partition of a key.
    pub(super) fn of(self, key: &str) -> String {
        let Self::Digits(digits) = self else { return "all".to_owned() };
        let (name, rest) = key.split_once('/').unwrap_or((key, ""));
        match name {
            "g" | "data" | "q" => {
                let hash = rest.split('/').next().unwrap_or_default();
                format!("{name}/{}", &hash[..digits.min(hash.len())])
            }
            _ => name.to_owned(),
        }
    }
}

/// The partitions of a store that have had requests.
#[derive(Debug)]
pub(super) struct Rates {
    split: Split,
    partitions: BTreeMap<String, Partition>,
}

/// What a partition has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Partition {
    /// Writes and LISTs.
    pub(super) writes: Flow,
    /// GETs.
    pub(super) reads: Flow,
}

/// Requests of one class to one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// Tokens that are used up, in parts. They come back with time.
    used: u64,
    at: Duration,
    second: u64,
    in_second: u64,
    /// The most requests of one second, with those that were refused.
    pub(super) peak: u64,
    /// Requests that were refused.
    pub(super) refused: u64,
    last_refused: u64,
    in_a_row: u64,
    /// The most seconds, one after the other, in each of which a request was refused.
    pub(super) longest: u64,
}

impl Flow {
    /// A request comes in. False if the store refuses it.
    fn take(&mut self, now: Duration, rate: u64) -> bool {
        let passed = u64::try_from(now.saturating_sub(self.at).as_micros()).unwrap_or(u64::MAX);
        self.at = now;
        self.used = self.used.saturating_sub(passed.saturating_mul(rate));
        let second = now.as_secs() + 1;
        if self.second != second {
            (self.second, self.in_second) = (second, 0);
        }
        self.in_second += 1;
        self.peak = self.peak.max(self.in_second);
        // What was not used for a second is saved, and no more.
        if self.used + PARTS <= rate * PARTS {
            self.used += PARTS;
            return true;
        }
        self.refused += 1;
        if self.last_refused != second {
            self.in_a_row = if self.last_refused + 1 == second { self.in_a_row + 1 } else { 1 };
            self.last_refused = second;
            self.longest = self.longest.max(self.in_a_row);
        }
        false
    }
}

impl Rates {
    /// Nothing was asked yet.
    pub(super) fn new(split: Split) -> Self {
        Self { split, partitions: BTreeMap::new() }
    }

    /// A request for a key comes in. False if the store refuses it.
    pub(super) fn take(&mut self, now: Duration, key: &str, is_read: bool) -> bool {
        let partition = self.partitions.entry(self.split.of(key)).or_default();
        if is_read { partition.reads.take(now, READS) } else { partition.writes.take(now, WRITES) }
    }

    /// The partitions by name.
    pub(super) fn partitions(&self) -> &BTreeMap<String, Partition> {
        &self.partitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_the_partition_that_its_hash_names() {
        let keys = ["g/3f9a/q/s2/17/c/1", "data/00ff/q/s1/0.0.n/0.arrow", "end/q", "bell/0"];
        let of = |split: Split| keys.map(|key| split.of(key));
        assert_eq!(of(Split::Digits(0)), ["g/", "data/", "end", "bell"]);
        assert_eq!(of(Split::Digits(1)), ["g/3", "data/0", "end", "bell"]);
        assert_eq!(of(Split::Digits(9))[0], "g/3f9a");
        assert_eq!(of(Split::Bucket), ["all"; 4]);
    }

    #[test]
    fn what_is_above_the_rate_is_refused_and_a_quiet_second_gives_it_back() {
        let mut rates = Rates::new(Split::Bucket);
        let mut taken = |at: u64, requests: u64, is_read| {
            let at = Duration::from_millis(at);
            (0..requests).filter(|_| rates.take(at, "k", is_read)).count() as u64
        };
        assert_eq!(taken(0, 4_000, false), WRITES);
        assert_eq!(taken(0, 4_000, true), 4_000, "reads have tokens of their own");
        assert_eq!(taken(500, 4_000, false), WRITES / 2);
        assert_eq!(taken(9_000, 9_000, false), WRITES);
        let writes = &rates.partitions()["all"].writes;
        assert_eq!((writes.peak, writes.longest), (9_000, 1));
    }
}
