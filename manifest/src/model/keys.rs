//! Every key of the protocol. No other file builds or parses a key.
//!
//! Keys are relative to the state's prefix. Each retention class has one top-level name, because lifecycle rules of
//! stores match only prefixes. `h` spreads queries over the store's partitions, and `h'` spreads the data of one
//! query.

use crate::model::ids::{Attempt, QueryId, StageId, TaskId};

/// Tasks of one commit group.
pub const GROUP: u32 = 64;

/// `active/`: the hints at queries that may need work.
pub const ACTIVE: &str = "active/";
/// `bell/0`: changes whenever there is new work.
pub const BELL: &str = "bell/0";

/// `idem/<sha256>`.
#[must_use]
pub fn idem(sha256: &str) -> String {
    format!("idem/{sha256}")
}

/// `active/<Q>`.
#[must_use]
pub fn active(query: &QueryId) -> String {
    format!("{ACTIVE}{query}")
}

/// `end/<Q>`.
#[must_use]
pub fn end(query: &QueryId) -> String {
    format!("end/{query}")
}

/// `ctl/<h>/<Q>/`: all records that decide about one query, so that one LIST shows them.
#[must_use]
pub fn ctl_prefix(query: &QueryId) -> String {
    let hash = blake3::hash(query.as_str().as_bytes()).to_hex();
    format!("ctl/{}/{query}/", &hash[..2])
}

/// `…/root`.
#[must_use]
pub fn root(query: &QueryId) -> String {
    format!("{}root", ctl_prefix(query))
}

/// `…/plan/<blake3>`.
#[must_use]
pub fn plan(query: &QueryId, blake3: &str) -> String {
    format!("{}plan/{blake3}", ctl_prefix(query))
}

/// `…/s<S>/`.
#[must_use]
pub fn stage_prefix(query: &QueryId, stage: StageId) -> String {
    format!("{}s{stage}/", ctl_prefix(query))
}

/// `…/s<S>/m`.
#[must_use]
pub fn manifest(query: &QueryId, stage: StageId) -> String {
    format!("{}m", stage_prefix(query, stage))
}

/// `…/s<S>/claim/<t>.<a>`.
#[must_use]
pub fn claim(query: &QueryId, stage: StageId, task: TaskId, attempt: Attempt) -> String {
    format!("{}claim/{task}.{attempt}", stage_prefix(query, stage))
}

/// `…/s<S>/fail/<t>.<a>`.
#[must_use]
pub fn fail(query: &QueryId, stage: StageId, task: TaskId, attempt: Attempt) -> String {
    format!("{}fail/{task}.{attempt}", stage_prefix(query, stage))
}

/// `…/s<S>/commit/`.
#[must_use]
pub fn commit_prefix(query: &QueryId, stage: StageId) -> String {
    format!("{}commit/", stage_prefix(query, stage))
}

/// `…/s<S>/commit/<g>/<t>`.
#[must_use]
pub fn commit(query: &QueryId, stage: StageId, task: TaskId) -> String {
    format!("{}{}/{task}", commit_prefix(query, stage), task / GROUP)
}

/// `…/s<S>/gseal/<g>`.
#[must_use]
pub fn gseal(query: &QueryId, stage: StageId, group: u32) -> String {
    format!("{}gseal/{group}", stage_prefix(query, stage))
}

/// `…/s<S>/seal`.
#[must_use]
pub fn seal(query: &QueryId, stage: StageId) -> String {
    format!("{}seal", stage_prefix(query, stage))
}

/// `hb/<Q>/`.
#[must_use]
pub fn hb_prefix(query: &QueryId) -> String {
    format!("hb/{query}/")
}

/// `hb/<Q>/s<S>/<t>.<a>`.
#[must_use]
pub fn hb(query: &QueryId, stage: StageId, task: TaskId, attempt: Attempt) -> String {
    format!("{}s{stage}/{task}.{attempt}", hb_prefix(query))
}

/// `hb/<Q>/refuse.<worker>`: a hint that a living worker saw the query and is not allowed to run it.
#[must_use]
pub fn refusal(query: &QueryId, worker: &str) -> String {
    format!("{}refuse.{worker}", hb_prefix(query))
}

/// `data/<h'>/<Q>/s<S>/<t>.<a>.<nonce>/<n>.arrow`: no other process can write these names, because the nonce is the
/// claim's.
#[must_use]
pub fn data(
    query: &QueryId,
    stage: StageId,
    task: TaskId,
    attempt: Attempt,
    nonce: &str,
    part: u32,
) -> String {
    let spread = blake3::hash(format!("{query}/{stage}/{task}").as_bytes()).to_hex();
    format!("data/{}/{query}/s{stage}/{task}.{attempt}.{nonce}/{part}.arrow", &spread[..4])
}

/// `res/<Q>/s<S>/<t>.<a>.<nonce>/<n>.arrow`.
#[must_use]
pub fn res(
    query: &QueryId,
    stage: StageId,
    task: TaskId,
    attempt: Attempt,
    nonce: &str,
    part: u32,
) -> String {
    format!("res/{query}/s{stage}/{task}.{attempt}.{nonce}/{part}.arrow")
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

/// What a key below [`ctl_prefix`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CtlKey {
    /// `root`.
    Root,
    /// `plan/<blake3>`.
    Plan(String),
    /// `s<S>/m`.
    Manifest(StageId),
    /// `s<S>/claim/<t>.<a>`.
    Claim(StageId, TaskId, Attempt),
    /// `s<S>/fail/<t>.<a>`.
    Fail(StageId, TaskId, Attempt),
    /// `s<S>/commit/<g>/<t>`.
    Commit(StageId, TaskId),
    /// `s<S>/gseal/<g>`.
    GroupSeal(StageId, u32),
    /// `s<S>/seal`.
    Seal(StageId),
}

/// Parses what follows [`ctl_prefix`]; `None` for a key that the protocol does not write.
#[must_use]
pub fn parse_ctl(rest: &str) -> Option<CtlKey> {
    if rest == "root" {
        return Some(CtlKey::Root);
    }
    if let Some(hash) = rest.strip_prefix("plan/") {
        return Some(CtlKey::Plan(hash.to_owned()));
    }
    let (stage, rest) = rest.strip_prefix('s')?.split_once('/')?;
    let stage = number(stage)?;
    match rest.split_once('/') {
        None if rest == "m" => Some(CtlKey::Manifest(stage)),
        None if rest == "seal" => Some(CtlKey::Seal(stage)),
        None => None,
        Some(("claim", name)) => {
            let (task, attempt) = task_attempt(name)?;
            Some(CtlKey::Claim(stage, task, attempt))
        }
        Some(("fail", name)) => {
            let (task, attempt) = task_attempt(name)?;
            Some(CtlKey::Fail(stage, task, attempt))
        }
        Some(("gseal", group)) => Some(CtlKey::GroupSeal(stage, number(group)?)),
        Some(("commit", name)) => {
            let (group, task) = name.split_once('/')?;
            let (group, task): (u32, TaskId) = (number(group)?, number(task)?);
            (group == task / GROUP).then_some(CtlKey::Commit(stage, task))
        }
        Some(_) => None,
    }
}

/// What a key below [`hb_prefix`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HbKey {
    /// `s<S>/<t>.<a>`.
    Heartbeat(StageId, TaskId, Attempt),
    /// `refuse.<worker>`.
    Refusal(String),
}

/// Parses what follows [`hb_prefix`].
#[must_use]
pub fn parse_hb(rest: &str) -> Option<HbKey> {
    if let Some(worker) = rest.strip_prefix("refuse.") {
        return Some(HbKey::Refusal(worker.to_owned()));
    }
    let (stage, name) = rest.strip_prefix('s')?.split_once('/')?;
    let (task, attempt) = task_attempt(name)?;
    Some(HbKey::Heartbeat(number(stage)?, task, attempt))
}

/// The query that an `active/` key names.
#[must_use]
pub fn parse_active(key: &str) -> Option<QueryId> {
    QueryId::parse(key.strip_prefix(ACTIVE)?)
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
    fn what_is_built_is_taken_apart_again() {
        let query = QueryId::at(1, &[7; 10]);
        let prefix = ctl_prefix(&query);
        let cases = [
            (root(&query), CtlKey::Root),
            (plan(&query, "abc"), CtlKey::Plan("abc".to_owned())),
            (manifest(&query, 3), CtlKey::Manifest(3)),
            (claim(&query, 3, 70, 2), CtlKey::Claim(3, 70, 2)),
            (fail(&query, 0, 0, 0), CtlKey::Fail(0, 0, 0)),
            (commit(&query, 3, 70), CtlKey::Commit(3, 70)),
            (gseal(&query, 3, 1), CtlKey::GroupSeal(3, 1)),
            (seal(&query, 12), CtlKey::Seal(12)),
        ];
        for (key, parsed) in cases {
            assert_eq!(parse_ctl(key.strip_prefix(&prefix).unwrap()), Some(parsed), "{key}");
        }
        let beats = hb_prefix(&query);
        assert_eq!(
            parse_hb(hb(&query, 1, 2, 3).strip_prefix(&beats).unwrap()),
            Some(HbKey::Heartbeat(1, 2, 3))
        );
        assert_eq!(
            parse_hb(refusal(&query, "w").strip_prefix(&beats).unwrap()),
            Some(HbKey::Refusal("w".to_owned()))
        );
        assert_eq!(parse_active(&active(&query)), Some(query));
    }

    #[test]
    fn foreign_names_are_nothing() {
        for key in
            ["", "s1", "s1/x", "s01/m", "s1/claim/1", "s1/commit/0/64", "s1/claim/+1.0", "sx/m"]
        {
            assert_eq!(parse_ctl(key), None, "{key}");
        }
    }
}
