//! Ids: of the query, and of its stages, tasks and attempts.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// Number of a stage in its query: 0-based, producers before consumers.
pub type StageId = u32;
/// Number of a task in its stage: 0-based.
pub type TaskId = u32;
/// Number of an attempt of a task: 0-based; attempt a+1 may exist only after attempt a.
pub type Attempt = u32;

/// A query's id: a UUIDv7 in its usual lower-case text, so that ids sort by time of submission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueryId(String);

impl QueryId {
    /// The id of a query that is submitted `millis` after 1970. Random bytes make it different from other ids (RFC
    /// 9562, section 5.7).
    #[must_use]
    pub fn at(millis: u64, random: &[u8; 10]) -> Self {
        Self(Builder::from_unix_timestamp_millis(millis, random).into_uuid().to_string())
    }

    /// Parses `text` as an id; `None` if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Other forms of the same id (upper case, braces) would be other keys.
        let id = Uuid::try_parse(text).ok()?.to_string();
        (id == text).then_some(Self(id))
    }

    /// When it was submitted by the clock of its gateway: milliseconds after 1970.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        let digits: String = self.0.chars().filter(char::is_ascii_hexdigit).take(12).collect();
        u64::from_str_radix(&digits, 16).unwrap_or(0)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for QueryId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| "not a query id".to_owned())
    }
}

impl From<QueryId> for String {
    fn from(query: QueryId) -> Self {
        query.0
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_parses_and_ids_sort_by_time() {
        let early = QueryId::at(1_700_000_000_000, &[0xff; 10]);
        let late = QueryId::at(1_700_000_000_001, &[0; 10]);
        assert_eq!(early.as_str(), "018bcfe5-6800-7fff-bfff-ffffffffffff");
        assert_eq!(QueryId::parse(early.as_str()), Some(early.clone()));
        assert!(early < late);
        assert_eq!((early.unix_ms(), late.unix_ms()), (1_700_000_000_000, 1_700_000_000_001));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "x",
            "0190-",
            "0190A000-0000-7000-8000-000000000000",
            "0190a000000070008000000000000000",
            "{0190a000-0000-7000-8000-000000000000}",
            "../../etc/passwd",
        ] {
            assert_eq!(QueryId::parse(text), None, "{text}");
        }
    }
}
