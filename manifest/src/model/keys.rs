//! Every key of the protocol. No other file builds or parses a key.
//! Longer than most because all of them are here.
//!
//! ```text
//!   q/<h>/<Q>/…             one query: root, large plans, seals            read by name, or listed by stage
//!   g/<h'>/<Q>/s<S>/<g>/…   one group of 64 tasks: claims, failures, commits       one LIST shows a group
//!   hb/<Q>/s<S>/<g>/…       the heartbeats of the same group
//! ```
//! Keys are relative to the state's prefix. Each retention class has top-level names of its own, because lifecycle
//! rules of stores match only prefixes. `h` spreads queries over the store's partitions, and `h'` spreads the groups
//! and the data of one query. No LIST of the protocol grows with the number of a query's tasks.

use std::ops::Range;

use crate::model::ids::{Attempt, QueryId, StageId, TaskId};
use crate::model::records::{Requests, Usage};

/// Tasks of one group.
pub const GROUP: u32 = 64;

/// `live/`: the hints at queries that may need work. Version 2 of the records used another name, so no process of that
/// version takes a query of this version for one that was never written.
pub const ACTIVE: &str = "live/";
/// `bell/0`: changes whenever there is new work.
pub const BELL: &str = "bell/0";

/// `end/`: how queries have ended. Ids sort by time, so the newest queries are at the end of a listing.
pub const ENDS: &str = "end/";

/// `gate/`: the hints at gateways that wake workers.
pub const GATES: &str = "gate/";

/// `gate/<id>`.
#[must_use]
pub fn gate(id: &str) -> String {
    format!("{GATES}{id}")
}

/// The group of a task.
#[must_use]
pub fn group_of(task: TaskId) -> u32 {
    task / GROUP
}

/// The tasks that a group may have.
#[must_use]
pub fn tasks_of(group: u32) -> Range<TaskId> {
    group.saturating_mul(GROUP)..group.saturating_add(1).saturating_mul(GROUP)
}

/// `idem/<sha256>`.
#[must_use]
pub fn idem(sha256: &str) -> String {
    format!("idem/{sha256}")
}

/// `live/<Q>`.
#[must_use]
pub fn active(query: &QueryId) -> String {
    format!("{ACTIVE}{query}")
}

/// `end/<Q>`.
#[must_use]
pub fn end(query: &QueryId) -> String {
    format!("{ENDS}{query}")
}

/// `q/<h>/<Q>/`.
#[must_use]
pub fn query_prefix(query: &QueryId) -> String {
    let hash = blake3::hash(query.as_str().as_bytes()).to_hex();
    format!("q/{}/{query}/", &hash[..2])
}

/// `…/root`.
#[must_use]
pub fn root(query: &QueryId) -> String {
    format!("{}root", query_prefix(query))
}

/// `…/plan/<blake3>`.
#[must_use]
pub fn plan(query: &QueryId, blake3: &str) -> String {
    format!("{}plan/{blake3}", query_prefix(query))
}

/// `…/s<S>/`: the seals of a stage.
#[must_use]
pub fn stage_prefix(query: &QueryId, stage: StageId) -> String {
    format!("{}s{stage}/", query_prefix(query))
}

/// `…/s<S>/seal`.
#[must_use]
pub fn seal(query: &QueryId, stage: StageId) -> String {
    format!("{}seal", stage_prefix(query, stage))
}

/// `…/s<S>/g/<g>`: the seal of a group, in stages of several groups.
#[must_use]
pub fn group_seal(query: &QueryId, stage: StageId, group: u32) -> String {
    format!("{}g/{group}", stage_prefix(query, stage))
}

/// `…/s<S>/all`: the seals of all groups as one, if they are short together.
#[must_use]
pub fn all_groups(query: &QueryId, stage: StageId) -> String {
    format!("{}all", stage_prefix(query, stage))
}

/// `g/<h'>/<Q>/s<S>/<g>/`: what the workers decide about the tasks of a group.
#[must_use]
pub fn group_prefix(query: &QueryId, stage: StageId, group: u32) -> String {
    let hash = blake3::hash(format!("{query}/{stage}/{group}").as_bytes()).to_hex();
    format!("g/{}/{query}/s{stage}/{group}/", &hash[..4])
}

/// `…/k/<t>.<a>`.
#[must_use]
pub fn claim(query: &QueryId, stage: StageId, task: TaskId, attempt: Attempt) -> String {
    format!("{}k/{task}.{attempt}", group_prefix(query, stage, group_of(task)))
}

/// `…/f/<t>.<a>`.
#[must_use]
pub fn fail(query: &QueryId, stage: StageId, task: TaskId, attempt: Attempt) -> String {
    format!("{}f/{task}.{attempt}", group_prefix(query, stage, group_of(task)))
}

/// `…/c/`.
#[must_use]
pub fn commit_prefix(query: &QueryId, stage: StageId, group: u32) -> String {
    format!("{}c/", group_prefix(query, stage, group))
}

/// `…/c/<t>`.
#[must_use]
pub fn commit(query: &QueryId, stage: StageId, task: TaskId) -> String {
    format!("{}{task}", commit_prefix(query, stage, group_of(task)))
}

/// `hb/<Q>/`.
#[must_use]
pub fn beats_of_query(query: &QueryId) -> String {
    format!("hb/{query}/")
}

/// `hb/<Q>/s<S>/<g>/`.
#[must_use]
pub fn beats_prefix(query: &QueryId, stage: StageId, group: u32) -> String {
    format!("{}s{stage}/{group}/", beats_of_query(query))
}

/// `hb/<Q>/s<S>/<g>/<t>.<a>`.
#[must_use]
pub fn hb(query: &QueryId, stage: StageId, task: TaskId, attempt: Attempt) -> String {
    format!("{}{task}.{attempt}", beats_prefix(query, stage, group_of(task)))
}

/// `hb/<Q>/s<S>/<g>/reader`: a hint that a process reads the commits of a group that is complete, so that others do not.
#[must_use]
pub fn reader(query: &QueryId, stage: StageId, group: u32) -> String {
    format!("{}reader", beats_prefix(query, stage, group))
}

/// `hb/<Q>/refused/`.
#[must_use]
pub fn refusals_prefix(query: &QueryId) -> String {
    format!("{}refused/", beats_of_query(query))
}

/// `hb/<Q>/refused/<worker>`: a hint that a living worker saw the query and is not allowed to run it.
#[must_use]
pub fn refusal(query: &QueryId, worker: &str) -> String {
    format!("{}{worker}", refusals_prefix(query))
}

/// An attempt, as far as the names of the objects that it writes depend on it. No other process can write these names,
/// because the nonce is the claim's.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The workgroup of the query, if it has one: what its queries write lies below a prefix of its own.
    pub workgroup: Option<&'a str>,
    /// The query.
    pub query: &'a QueryId,
    /// The stage.
    pub stage: StageId,
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// The nonce of its claim.
    pub nonce: &'a str,
}

impl Writer<'_> {
    /// `data/[<workgroup>/]<h'>/<Q>/s<S>/<t>.<a>.<nonce>/<n>.arrow`.
    #[must_use]
    pub fn data(&self, part: u32) -> String {
        let Self { query, stage, task, .. } = self;
        let spread = blake3::hash(format!("{query}/{stage}/{task}").as_bytes()).to_hex();
        format!("data/{}{}/{}", self.place(), &spread[..4], self.object(part))
    }

    /// `res/[<workgroup>/]<Q>/s<S>/<t>.<a>.<nonce>/<n>.arrow`.
    #[must_use]
    pub fn res(&self, part: u32) -> String {
        format!("res/{}{}", self.place(), self.object(part))
    }

    /// True if this is a key of [`data`](Self::data) or [`res`](Self::res).
    #[must_use]
    pub fn may_have_written(&self, key: &str) -> bool {
        let part = key.strip_suffix(".arrow").and_then(|key| key.rsplit_once('/'));
        let part = part.and_then(|(_, part)| part.parse().ok());
        part.is_some_and(|part| key == self.data(part) || key == self.res(part))
    }

    fn place(&self) -> String {
        self.workgroup.map(|group| format!("{group}/")).unwrap_or_default()
    }

    fn object(&self, part: u32) -> String {
        let Self { query, stage, task, attempt, nonce, .. } = self;
        format!("{query}/s{stage}/{task}.{attempt}.{nonce}/{part}.arrow")
    }
}

/// `use/<Q>/`: what functions have used for a query beside their commits.
#[must_use]
pub fn uses_of_query(query: &QueryId) -> String {
    format!("use/{query}/")
}

/// `use/<Q>/<nonce>.<calls>.<cold>.<ms>.<mb_ms>.<put>.<get>.<list>`: a hint whose numbers are its name, so that one LIST
/// reads all of them.
#[must_use]
pub fn used(query: &QueryId, nonce: &str, usage: &Usage, requests: &Requests) -> String {
    let Usage { calls, cold, ms, mb_ms } = usage;
    let Requests { put, get, list, .. } = requests;
    let numbers = format!("{calls}.{cold}.{ms}.{mb_ms}.{put}.{get}.{list}");
    format!("{}{nonce}.{numbers}", uses_of_query(query))
}

/// The numbers of a key of [`used`].
#[must_use]
pub fn parse_used(key: &str) -> Option<(Usage, Requests)> {
    let (_, name) = key.strip_prefix("use/")?.split_once('/')?;
    let (_, numbers) = name.split_once('.')?;
    let numbers: Result<Vec<u64>, _> = numbers.split('.').map(str::parse).collect();
    let [calls, cold, ms, mb_ms, put, get, list] = numbers.ok()?.try_into().ok()?;
    let requests = Requests { put, get, list, ..Requests::default() };
    Some((Usage { calls, cold, ms, mb_ms }, requests))
}

/// `use/<Q>/told`: a gateway has added the figures of the query to its metrics. Which gateway does so decides nothing.
#[must_use]
pub fn told(query: &QueryId) -> String {
    format!("{}told", uses_of_query(query))
}

/// `use/<Q>/asked`: what the client has said of its query that changes nothing about how it runs. Only queries whose clients
/// have said something have it.
#[must_use]
pub fn asked(query: &QueryId) -> String {
    format!("{}asked", uses_of_query(query))
}

/// `use/stop/<connection>`: a client wants that what its connection runs ends, and the gateway of the connection is another
/// one. It is deleted within seconds.
#[must_use]
pub fn stop(connection: &str) -> String {
    format!("use/stop/{connection}")
}

/// `use/files/<digest>`: what is known of some files of a table. Its name is made from all that decides what is in it.
#[must_use]
pub fn files(digest: &str) -> String {
    format!("use/files/{digest}")
}

/// `use/answers/<identity>`: the latest query with this identity, whose answer may be given again.
#[must_use]
pub fn answer(identity: &str) -> String {
    format!("use/answers/{identity}")
}

/// `use/turns/<workgroup>/`: which queries of a group run.
#[must_use]
pub fn turns(group: &str) -> String {
    format!("use/turns/{group}/")
}

/// `use/turns/<workgroup>/<place>.<number>`: the query that took a place when the one with the number before it had ended.
#[must_use]
pub fn turn(group: &str, place: u32, number: u32) -> String {
    format!("{}{place}.{number}", turns(group))
}

/// The place and the number of a key of [`turn`].
#[must_use]
pub fn parse_turn(key: &str) -> Option<(u32, u32)> {
    let (place, turn) = key.strip_prefix("use/turns/")?.split_once('/')?.1.split_once('.')?;
    Some((number(place)?, number(turn)?))
}

/// What a query of a workgroup used, or is expected to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// It has ended, and this is what it used.
    pub is_settled: bool,
    /// Bytes read from tables.
    pub bytes: u64,
    /// Millionths of a dollar.
    pub micro_usd: u64,
}

/// `use/spent/<workgroup>/<day>/`: what the queries of a group used on a day, as days after 1970.
#[must_use]
pub fn spent_on(group: &str, day: u64) -> String {
    format!("use/spent/{group}/{day}/")
}

/// `use/spent/<workgroup>/<day>/<Q>.<kind>.<bytes>.<micro dollars>`: numbers are in the name, so that one LIST reads all of
/// them. `kind` is `s` if the query has ended, and `r` before.
#[must_use]
pub fn spent(group: &str, day: u64, query: &QueryId, spent: &Spent) -> String {
    let Spent { is_settled, bytes, micro_usd } = spent;
    let kind = if *is_settled { 's' } else { 'r' };
    format!("{}{query}.{kind}.{bytes}.{micro_usd}", spent_on(group, day))
}

/// The query and the numbers of a key of [`spent`].
#[must_use]
pub fn parse_spent(key: &str) -> Option<(QueryId, Spent)> {
    let parts: Vec<&str> = key.rsplit_once('/')?.1.split('.').collect();
    let [query, kind, bytes, micro_usd] = parts.try_into().ok()?;
    let is_settled = match kind {
        "s" => true,
        "r" => false,
        _ => return None,
    };
    let spent =
        Spent { is_settled, bytes: bytes.parse().ok()?, micro_usd: micro_usd.parse().ok()? };
    Some((QueryId::parse(query)?, spent))
}

/// `use/audit/`: what clients did.
pub const AUDIT: &str = "use/audit/";

/// `use/audit/<day>/`: what was written on a day, as days after 1970.
#[must_use]
pub fn audit_of(day: u64) -> String {
    format!("{AUDIT}{day}/")
}

/// `use/audit/<day>/<ms>-<nonce>`: events that were written together. Names of a day ascend with time.
#[must_use]
pub fn audit(day: u64, wall_ms: u64, nonce: &str) -> String {
    format!("{}{wall_ms:015}-{nonce}", audit_of(day))
}

/// `probe/passed`: the store has passed the probe.
pub const PROBED: &str = "probe/passed";

/// `probe/swept`: a schedule has swept not long before the store's stamp of this object.
pub const SWEPT: &str = "probe/swept";

/// `probe/collected`: when what ended queries left was last collected.
pub const COLLECTED: &str = "probe/collected";

/// The query to which an object belongs, whatever kind of object it is.
#[must_use]
pub fn query_of(key: &str) -> Option<QueryId> {
    key.split('/').skip(1).find_map(QueryId::parse)
}

/// `probe/<nonce>/`: what one probe of a store writes and then deletes.
#[must_use]
pub fn probe_prefix(nonce: &str) -> String {
    format!("probe/{nonce}/")
}

/// `probe/<nonce>/basics`.
#[must_use]
pub fn probe_basics(nonce: &str) -> String {
    format!("{}basics", probe_prefix(nonce))
}

/// `probe/<nonce>/race-<n>`.
#[must_use]
pub fn probe_race(nonce: &str, round: usize) -> String {
    format!("{}race-{round}", probe_prefix(nonce))
}

/// What a key of a query is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// `live/<Q>`.
    Active,
    /// `end/<Q>`.
    End,
    /// `q/…/root`.
    Root,
    /// `q/…/plan/<blake3>`.
    Plan(String),
    /// `q/…/s<S>/seal`.
    Seal(StageId),
    /// `q/…/s<S>/g/<g>`.
    GroupSeal(StageId, u32),
    /// `q/…/s<S>/all`.
    AllGroups(StageId),
    /// `g/…/k/<t>.<a>`.
    Claim(StageId, TaskId, Attempt),
    /// `g/…/f/<t>.<a>`.
    Fail(StageId, TaskId, Attempt),
    /// `g/…/c/<t>`.
    Commit(StageId, TaskId),
    /// `hb/…/<t>.<a>`.
    Heartbeat(StageId, TaskId, Attempt),
    /// `hb/…/refused/<worker>`.
    Refusal(String),
    /// `data/…`.
    Data(StageId),
    /// `res/…`.
    Result(StageId),
}

/// Takes a key apart; `None` for a key that belongs to no query, or that the protocol does not write.
#[must_use]
pub fn parse(key: &str) -> Option<(QueryId, Key)> {
    let (top, rest) = key.split_once('/')?;
    match top {
        "live" => Some((QueryId::parse(rest)?, Key::Active)),
        "end" => Some((QueryId::parse(rest)?, Key::End)),
        "q" => of_query(key, rest),
        "g" => of_group(key, rest),
        "hb" => {
            let (query, rest) = query_and_rest(rest)?;
            if let Some(worker) = rest.strip_prefix("refused/") {
                return Some((query, Key::Refusal(worker.to_owned())));
            }
            let (stage, group, name) = stage_and_group(rest)?;
            let (task, attempt) = task_attempt(name)?;
            (group_of(task) == group).then_some((query, Key::Heartbeat(stage, task, attempt)))
        }
        "data" => {
            // A hash, or a workgroup and a hash. No workgroup has the name of a query.
            let rest = rest.split_once('/')?.1;
            let (query, rest) = query_below_group(rest)?;
            Some((query, Key::Data(stage_and_rest(rest)?.0)))
        }
        "res" => {
            let (query, rest) = query_below_group(rest)?;
            Some((query, Key::Result(stage_and_rest(rest)?.0)))
        }
        _ => None,
    }
}

fn of_query(key: &str, rest: &str) -> Option<(QueryId, Key)> {
    let (query, rest) = query_and_rest(rest.split_once('/')?.1)?;
    if !key.starts_with(&query_prefix(&query)) {
        return None;
    }
    let parsed = if rest == "root" {
        Key::Root
    } else if let Some(hash) = rest.strip_prefix("plan/") {
        Key::Plan(hash.to_owned())
    } else {
        let (stage, rest) = stage_and_rest(rest)?;
        match rest.strip_prefix("g/") {
            None if rest == "seal" => Key::Seal(stage),
            None if rest == "all" => Key::AllGroups(stage),
            None => return None,
            Some(group) => Key::GroupSeal(stage, number(group)?),
        }
    };
    Some((query, parsed))
}

fn of_group(key: &str, rest: &str) -> Option<(QueryId, Key)> {
    let (query, rest) = query_and_rest(rest.split_once('/')?.1)?;
    let (stage, group, rest) = stage_and_group(rest)?;
    if !key.starts_with(&group_prefix(&query, stage, group)) {
        return None;
    }
    let (kind, name) = rest.split_once('/')?;
    let (task, parsed) = match kind {
        "k" => {
            let (task, attempt) = task_attempt(name)?;
            (task, Key::Claim(stage, task, attempt))
        }
        "f" => {
            let (task, attempt) = task_attempt(name)?;
            (task, Key::Fail(stage, task, attempt))
        }
        "c" => {
            let task = number(name)?;
            (task, Key::Commit(stage, task))
        }
        _ => return None,
    };
    (group_of(task) == group).then_some((query, parsed))
}

fn query_and_rest(rest: &str) -> Option<(QueryId, &str)> {
    let (query, rest) = rest.split_once('/')?;
    Some((QueryId::parse(query)?, rest))
}

fn query_below_group(rest: &str) -> Option<(QueryId, &str)> {
    query_and_rest(rest).or_else(|| query_and_rest(rest.split_once('/')?.1))
}

fn stage_and_rest(rest: &str) -> Option<(StageId, &str)> {
    let (stage, rest) = rest.strip_prefix('s')?.split_once('/')?;
    Some((number(stage)?, rest))
}

fn stage_and_group(rest: &str) -> Option<(StageId, u32, &str)> {
    let (stage, rest) = stage_and_rest(rest)?;
    let (group, rest) = rest.split_once('/')?;
    Some((stage, number(group)?, rest))
}

fn task_attempt(name: &str) -> Option<(TaskId, Attempt)> {
    let (task, attempt) = name.split_once('.')?;
    Some((number(task)?, number(attempt)?))
}

/// Parses a number in the one form that this file writes: no sign, no leading zero.
fn number(text: &str) -> Option<u32> {
    let value: u32 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn turns_and_what_was_spent_are_their_names() {
        assert_eq!(parse_turn(&turn("bi", 3, 12)), Some((3, 12)));
        for wrong in ["use/turns/bi/3", "use/turns/bi/3.x", "use/turns/bi/03.1", "live/3.1"] {
            assert_eq!(parse_turn(wrong), None, "{wrong}");
        }
        let query = QueryId::at(1, &[7; 10]);
        for is_settled in [true, false] {
            let used = Spent { is_settled, bytes: u64::MAX, micro_usd: 0 };
            let key = spent("bi", 20_000, &query, &used);
            assert!(key.starts_with(&spent_on("bi", 20_000)));
            assert_eq!(parse_spent(&key), Some((query.clone(), used)));
            // It outlives the query: the day is not over when the records are deleted.
            assert_eq!(query_of(&key), None);
        }
        assert_eq!(parse_spent(&format!("use/spent/bi/1/{query}.x.1.2")), None);
        assert_eq!(parse_spent("use/spent/bi/1/abc.s.1.2"), None);
    }

    #[test]
    fn what_is_built_is_taken_apart_again() {
        let query = QueryId::at(1, &[7; 10]);
        let (workgroup, stage, task, attempt, nonce) = (None, 4, 2, 1, "n");
        let writer = Writer { workgroup, query: &query, stage, task, attempt, nonce };
        // A name that looks like a hash.
        let of_group = Writer { workgroup: Some("beef"), ..writer };
        let cases = [
            (active(&query), Key::Active),
            (end(&query), Key::End),
            (root(&query), Key::Root),
            (plan(&query, "abc"), Key::Plan("abc".to_owned())),
            (seal(&query, 12), Key::Seal(12)),
            (group_seal(&query, 3, 1), Key::GroupSeal(3, 1)),
            (all_groups(&query, 3), Key::AllGroups(3)),
            (claim(&query, 3, 70, 2), Key::Claim(3, 70, 2)),
            (fail(&query, 0, 0, 0), Key::Fail(0, 0, 0)),
            (commit(&query, 3, 70), Key::Commit(3, 70)),
            (hb(&query, 1, 2, 3), Key::Heartbeat(1, 2, 3)),
            (refusal(&query, "w"), Key::Refusal("w".to_owned())),
            (writer.data(0), Key::Data(4)),
            (writer.res(0), Key::Result(4)),
            (of_group.data(0), Key::Data(4)),
            (of_group.res(0), Key::Result(4)),
        ];
        for (key, parsed) in cases {
            assert_eq!(parse(&key), Some((query.clone(), parsed)), "{key}");
            assert_eq!(query_of(&key), Some(query.clone()), "{key}");
        }
        for key in [of_group.data(3), of_group.res(3)] {
            assert!(of_group.may_have_written(&key) && !writer.may_have_written(&key), "{key}");
        }
        assert!(of_group.data(0).starts_with("data/beef/"));
        assert!(of_group.res(0).starts_with("res/beef/"));
        assert_eq!((group_of(63), group_of(64), tasks_of(1)), (0, 1, 64..128));
        // Hints beside the numbers of functions are no numbers.
        assert_eq!((parse_used(&told(&query)), parse_used(&asked(&query))), (None, None));
    }

    #[test]
    fn foreign_names_are_nothing() {
        let query = QueryId::at(1, &[7; 10]);
        let (of_query, of_group) = (query_prefix(&query), group_prefix(&query, 1, 0));
        for key in [
            String::new(),
            BELL.to_owned(),
            "live/x".to_owned(),
            format!("q/zz/{query}/root"),
            format!("{of_query}s1"),
            format!("{of_query}s1/m"),
            format!("{of_query}s01/seal"),
            format!("{of_query}s1/g/x"),
            format!("{of_group}k/1"),
            format!("{of_group}k/+1.0"),
            format!("{of_group}c/64"),
            format!("{of_group}x/1"),
            format!("hb/{query}/s1/0/64.0"),
        ] {
            assert_eq!(parse(&key), None, "{key}");
        }
    }
}
