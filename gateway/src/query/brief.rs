//! What a listing shows of a query.

use std::collections::{BTreeMap, HashMap};

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::Progress;
use dunlin_manifest::records::{ErrorCode, Route};
use parking_lot::Mutex;
use serde::Serialize;

use super::asked::Tags;
use super::status::Status;

/// Ended queries that are kept in memory.
const KEPT: usize = 4_096;
/// Characters of a statement that are shown.
const PREVIEW: usize = 100;

/// A query in a listing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Brief {
    pub(crate) query_id: String,
    pub(super) status: Status,
    pub(super) phase: &'static str,
    pub(super) submitted_ms: u64,
    /// The first characters of its statement.
    pub(super) sql_preview: String,
    pub(super) route: Route,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: Tags,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_code: Option<ErrorCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wall_ms: Option<u64>,
    pub(super) progress: Progress,
    /// What its workers cost, once it has ended and if there is a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost_usd: Option<f64>,
    /// Whom it belongs to: digits that are made from the hash of its key, and tell nothing about the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
}

/// A page of a listing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Page {
    pub(crate) queries: Vec<Brief>,
    /// Where the next page begins; none if this is the last one.
    pub(crate) next: Option<String>,
}

/// Ended queries that were read. They do not change any more.
#[derive(Debug, Default)]
pub(crate) struct Briefs(Mutex<HashMap<QueryId, Brief>>);

impl Briefs {
    pub(super) fn get(&self, query: &QueryId) -> Option<Brief> {
        self.0.lock().get(query).cloned()
    }

    pub(super) fn keep(&self, query: &QueryId, brief: &Brief) {
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(query.clone(), brief.clone());
    }
}

/// The beginning of a statement, on one line.
pub(super) fn preview(sql: &str) -> String {
    let words: Vec<&str> = sql.split_whitespace().take(PREVIEW).collect();
    let line = words.join(" ");
    if line.chars().count() <= PREVIEW {
        return line;
    }
    line.chars().take(PREVIEW - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_on_one_short_line() {
        assert_eq!(preview(" select 1\n  from t "), "select 1 from t");
        let long = format!("select {}", "x, ".repeat(100));
        let shown = preview(&long);
        assert_eq!(shown.chars().count(), PREVIEW);
        assert!(shown.ends_with('…'), "{shown}");
    }
}
