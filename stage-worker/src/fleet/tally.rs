//! What was asked of the store, by purpose, and when each stage got its claims and commits.
//!
//! ```text
//!   request ──> Asked: what for, which stage ──> Tally: counts by purpose and by second
//!                                            └─> Marks of the stage: claims, commits, blocks, seal
//! ```
//! It exists because the meters of the project count by price only, and the question here is which step of the protocol
//! asks for how much.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// PUT if there is no object.
    Create,
    /// PUT.
    Put,
    /// GET.
    Get,
    /// LIST, one page.
    List,
    /// DELETE.
    Delete,
}

impl Op {
    /// True for what S3 counts as a read.
    pub(super) fn is_get(self) -> bool {
        self == Self::Get
    }
}

/// A request, and what it is for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// What it does.
    pub(super) op: Op,
    /// What it is for.
    pub(super) purpose: &'static str,
    stage: u32,
    /// Attempt of a claim.
    attempt: u32,
}

/// The purpose of a claim.
pub(super) const CLAIM: &str = "PUT claim";
/// The purpose of a commit.
pub(super) const COMMIT: &str = "PUT commit";
/// The purpose of a PUT of exchange data or of the answer.
pub(super) const DATA: &str = "PUT data";
const BLOCK: &str = "PUT block";
const SEAL: &str = "PUT seal";

impl Asked {
    /// What a request for `key` is for. The key is relative to the state's prefix.
    pub(super) fn new(op: Op, key: &str) -> Self {
        let parts: Vec<&str> = key.split('/').collect();
        let number = |text: &str| text.parse().unwrap_or(0);
        let stage = parts.get(3).and_then(|part| part.strip_prefix('s')).map_or(0, number);
        let attempt = match parts.as_slice() {
            ["g", .., "k", name] => name.split_once('.').map_or(0, |(_, attempt)| number(attempt)),
            _ => 0,
        };
        Self { op, purpose: purpose(op, &parts), stage, attempt }
    }
}

fn purpose(op: Op, parts: &[&str]) -> &'static str {
    if op == Op::List {
        return listed(parts);
    }
    let (get, put) = object(parts);
    if op.is_get() { get } else { put }
}

fn listed(parts: &[&str]) -> &'static str {
    match parts {
        ["g", .., "c"] => "LIST commits of a group",
        ["g", ..] => "LIST group",
        ["q", _, _] => "LIST query",
        ["q", ..] => "LIST blocks of a stage",
        ["hb", ..] => "LIST heartbeats",
        ["live", ..] => "LIST live",
        _ => "LIST of something else",
    }
}

/// What a GET and a PUT of an object are for.
fn object(parts: &[&str]) -> (&'static str, &'static str) {
    match parts {
        ["g", .., "k", _] => ("GET claim, lost", CLAIM),
        ["g", .., "c", _] => ("GET commit", COMMIT),
        ["g", .., "f", _] => ("GET failure", "PUT failure"),
        ["q", .., "root"] => ("GET root", "PUT root"),
        ["q", .., "plan", _] => ("GET plan", "PUT plan"),
        ["q", .., "seal"] => ("GET seal", SEAL),
        ["q", .., "g", _] => ("GET block", BLOCK),
        ["q", .., "all"] => ("GET all blocks", "PUT all blocks"),
        ["data" | "res", ..] => ("GET data", DATA),
        ["hb", ..] => ("GET heartbeat", "PUT heartbeat"),
        ["end", ..] => ("GET end", "PUT end"),
        ["bell", ..] => ("GET bell", "PUT bell"),
        ["live", ..] => ("GET live", "PUT or DELETE live"),
        _ => ("GET of something else", "PUT of something else"),
    }
}

/// Requests for one purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// All tries.
    pub(super) requests: u64,
    /// Those that were answered with 503.
    pub(super) refused: u64,
    /// Those that found nothing, or that something was there already.
    pub(super) vain: u64,
    /// Bytes of bodies, both ways.
    pub(super) bytes: u64,
}

/// Requests of one second, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Second {
    /// PUTs.
    pub(super) puts: u64,
    /// GETs.
    pub(super) gets: u64,
    /// LISTs.
    pub(super) lists: u64,
}

/// When what happened in a stage, by the store's time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// First attempts that were claimed, in order.
    pub(super) claims: Vec<Duration>,
    /// Claims of later attempts.
    pub(super) later_attempts: u64,
    /// Claims that another worker had already.
    pub(super) lost: u64,
    /// Commits, in order.
    pub(super) commits: Vec<Duration>,
    /// Commits that came after another one.
    pub(super) beaten: u64,
    /// Blocks.
    pub(super) blocks: Vec<Duration>,
    /// The seal.
    pub(super) seal: Option<Duration>,
}

/// All requests of a simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// By purpose.
    pub(super) purposes: BTreeMap<&'static str, Count>,
    /// By second.
    pub(super) seconds: BTreeMap<u64, Second>,
    /// By stage.
    pub(super) stages: BTreeMap<u32, Marks>,
}

impl Tally {
    /// A try comes in.
    pub(super) fn ask(&mut self, now: Duration, asked: &Asked, is_refused: bool) {
        let count = self.purposes.entry(asked.purpose).or_default();
        count.requests += 1;
        count.refused += u64::from(is_refused);
        let second = self.seconds.entry(now.as_secs()).or_default();
        match asked.op {
            Op::Create | Op::Put => second.puts += 1,
            Op::Get => second.gets += 1,
            Op::List => second.lists += 1,
            Op::Delete => {}
        }
    }

    /// A request was carried out. `vain`: it found nothing, or that something was there already.
    pub(super) fn done(&mut self, now: Duration, asked: &Asked, vain: bool, bytes: u64) {
        let count = self.purposes.entry(asked.purpose).or_default();
        count.vain += u64::from(vain);
        count.bytes += bytes;
        if asked.op != Op::Create || ![CLAIM, COMMIT, BLOCK, SEAL].contains(&asked.purpose) {
            return;
        }
        let marks = self.stages.entry(asked.stage).or_default();
        match (asked.purpose, vain) {
            (CLAIM, true) => marks.lost += 1,
            (CLAIM, false) if asked.attempt > 0 => marks.later_attempts += 1,
            (CLAIM, false) => marks.claims.push(now),
            (COMMIT, true) => marks.beaten += 1,
            (COMMIT, false) => marks.commits.push(now),
            (BLOCK, false) => marks.blocks.push(now),
            (SEAL, false) => marks.seal = Some(now),
            _ => {}
        }
    }

    /// What was asked after `before`. Seconds are counted from the beginning of both.
    pub(super) fn since(mut self, before: &Self) -> Self {
        for (purpose, earlier) in &before.purposes {
            if let Some(count) = self.purposes.get_mut(purpose) {
                count.requests -= earlier.requests;
                count.refused -= earlier.refused;
                count.vain -= earlier.vain;
                count.bytes -= earlier.bytes;
            }
        }
        if let Some((&last, _)) = before.seconds.last_key_value() {
            self.seconds.retain(|second, _| *second > last);
        }
        self
    }
}
