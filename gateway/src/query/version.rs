//! How far a query is, as one short text: the `ETag` of its status, and the id of its events.
//!
//! It is made from records only, so two gateways that know the same records write the same text, and a client that has seen
//! a text at one gateway can ask another one what is new since then.

use std::fmt;

use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::End;

use super::status::{QueryStatus, Status};

/// Longest text that is read, in bytes. The record of a query has far fewer stages than this has digits.
const LONGEST: usize = 16 << 10;

/// How far a query is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    /// The phase, or the status of a query that has ended. Empty: nothing was told yet.
    pub(crate) phase: String,
    /// Committed tasks.
    pub(crate) tasks_done: u64,
    /// All tasks so far.
    pub(crate) tasks: u64,
    /// One bit for each stage: whether it is sealed.
    sealed: Vec<u8>,
}

impl Version {
    /// How far a query is by what this process knows, and its status.
    pub(crate) fn of(handle: &QueryHandle, end: Option<&End>) -> (Self, QueryStatus) {
        let progress = handle.progress();
        let status = QueryStatus::new(handle.query.as_str(), Some(&handle.root), progress, end);
        let version = Self::of_status(&status);
        // An end is the same for everybody, whatever else they know.
        if status.is_terminal() {
            return (version, status);
        }
        let stages = &handle.root.stages;
        let sealed = (0..stages.len()).filter(|at| handle.known_seal(stages[*at].id).is_some());
        (sealed.fold(version, |version, at| version.with_sealed(at)), status)
    }

    /// How far a query is by its status alone.
    pub(crate) fn of_status(status: &QueryStatus) -> Self {
        let phase = status.word().to_owned();
        if status.is_terminal() {
            return Self { phase, ..Self::default() };
        }
        let progress = status.progress;
        Self { phase, tasks_done: progress.tasks_done, tasks: progress.tasks, sealed: Vec::new() }
    }

    /// The same, with stage number `at` sealed.
    pub(crate) fn with_sealed(mut self, at: usize) -> Self {
        if self.sealed.len() <= at / 8 {
            self.sealed.resize(at / 8 + 1, 0);
        }
        self.sealed[at / 8] |= 1 << (at % 8);
        self
    }

    /// Whether stage number `at` is sealed.
    pub(crate) fn is_sealed(&self, at: usize) -> bool {
        self.sealed.get(at / 8).is_some_and(|byte| byte & (1 << (at % 8)) != 0)
    }

    /// Whether it is the version of a query that has ended.
    pub(crate) fn is_end(&self) -> bool {
        Status::ENDED.iter().any(|status| status.as_str() == self.phase)
    }

    /// Reads the text again; `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST || !text.is_ascii() {
            return None;
        }
        let mut parts = text.split('.');
        let (phase, done, tasks, hex) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let known = phase.len() <= 16 && phase.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !known || parts.next().is_some() || hex.len() % 2 != 0 {
            return None;
        }
        let bytes = (0..hex.len())
            .step_by(2)
            .map(|at| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()));
        Some(Self {
            phase: phase.to_owned(),
            tasks_done: done.parse().ok()?,
            tasks: tasks.parse().ok()?,
            sealed: bytes.collect::<Option<_>>()?,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.", self.phase, self.tasks_done, self.tasks)?;
        self.sealed.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_was_written_and_nothing_else_is() {
        let version =
            Version { phase: "running".to_owned(), tasks_done: 3, tasks: 9, sealed: vec![] };
        let version = version.with_sealed(0).with_sealed(9);
        assert_eq!(version.to_string(), "running.3.9.0102");
        assert_eq!(Version::parse("running.3.9.0102"), Some(version.clone()));
        assert!(version.is_sealed(9) && !version.is_sealed(1) && !version.is_sealed(800));
        assert!(!version.is_end());
        assert!(Version::parse("SUCCEEDED.0.0.").unwrap().is_end());
        for text in
            ["", "a", "a.1.2", "a.1.2.3", "a.1.2.zz", "a.-1.2.", "a.1.2..", "ä.1.2.", "a b.1.2."]
        {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert_eq!(Version::parse(&format!("a.1.2.{}", "00".repeat(LONGEST))), None);
    }
}
