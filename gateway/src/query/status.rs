//! The status of a query, built only from the store's objects.

use std::collections::BTreeMap;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::Progress;
use dunlin_manifest::records::{End, EndStatus, QueryError, Root, Route, Summary};
use dunlin_plan::write::State;
use serde::Serialize;

use super::answer::Receipt;
use super::asked::Tags;
use super::write_error::of_write;

/// The status of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Status {
    /// No task has been claimed.
    #[default]
    Pending,
    /// Tasks are being run.
    Running,
    /// The answer is there.
    Succeeded,
    /// There will be no answer.
    Failed,
    /// A client cancelled the query.
    Cancelled,
}

impl Status {
    /// The statuses of queries that have ended.
    pub(crate) const ENDED: [Self; 3] = [Self::Succeeded, Self::Failed, Self::Cancelled];
    /// Every status.
    pub(crate) const ALL: [Self; 5] =
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The word that clients see.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The status with this word, in any case. The other spelling of CANCELLED is known, too.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let word = if word.eq_ignore_ascii_case("CANCELED") { "CANCELLED" } else { word };
        Self::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(word))
    }
}

/// The status that a client sees.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QueryStatus {
    pub(crate) query_id: String,
    pub(crate) status: Status,
    pub(crate) phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Route>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route_reason: Option<String>,
    /// The pool whose workers run it, if it is for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    pub(crate) progress: Progress,
    /// When it was submitted, by the clock of its gateway: milliseconds after 1970.
    submitted_ms: u64,
    /// What its client named it by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: Tags,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<QueryError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
    /// What it cost, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
    /// What it has cost so far, while it runs and if there is a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    /// What became of its files, if it writes and has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    write: Option<State>,
    /// Whether the query has records to analyze.
    #[serde(skip)]
    pub(crate) has_root: bool,
}

impl QueryStatus {
    /// The status of a query with this `root` (missing if its submit was not completed) and this `end` (missing while
    /// it runs).
    pub(crate) fn new(
        query: &str,
        root: Option<&Root>,
        progress: Progress,
        end: Option<&End>,
    ) -> Self {
        let status = match end.map(|end| end.status) {
            Some(EndStatus::Succeeded) => Status::Succeeded,
            Some(EndStatus::Failed) => Status::Failed,
            Some(EndStatus::Cancelled) => Status::Cancelled,
            None if progress.attempts > 0 || progress.tasks_done > 0 => Status::Running,
            None => Status::Pending,
        };
        let mut progress = progress;
        if let Some(root) = root {
            progress.stages = root.stages.len() as u64;
        }
        let summary = end.and_then(|end| end.summary);
        if status == Status::Succeeded {
            progress.stages_done = progress.stages;
            progress.tasks = summary.map_or(progress.tasks, |summary| summary.tasks);
            progress.tasks_done = progress.tasks;
        }
        let phase = match status {
            Status::Pending if root.is_none() => "planning",
            Status::Pending => "queued",
            Status::Running if progress.tasks_done == 0 => "starting",
            Status::Running if progress.stages > 0 && progress.stages_done == progress.stages => {
                "finishing"
            }
            Status::Running => "running",
            Status::Succeeded | Status::Failed | Status::Cancelled => "finished",
        };
        Self {
            query_id: query.to_owned(),
            status,
            phase,
            route: root.map(|root| root.route),
            route_reason: root.map(|root| root.route_reason.clone()),
            pool: root.and_then(|root| root.pool.clone()),
            progress,
            submitted_ms: QueryId::parse(query).map_or(0, |query| query.unix_ms()),
            tags: Tags::default(),
            error: end.and_then(|end| end.error.clone()),
            summary,
            receipt: None,
            cost_usd: None,
            write: None,
            has_root: root.is_some(),
        }
    }

    pub(crate) fn with_receipt(self, receipt: Receipt) -> Self {
        Self { receipt: Some(receipt), ..self }
    }

    /// Of a query that runs.
    pub(crate) fn with_cost(self, cost_usd: Option<f64>) -> Self {
        Self { cost_usd: cost_usd.filter(|cost| *cost > 0.0), ..self }
    }

    pub(crate) fn with_tags(self, tags: &Tags) -> Self {
        Self { tags: tags.clone(), ..self }
    }

    /// Of a query that has ended: what became of its files, if it writes.
    pub(crate) fn with_write(self, root: Option<&Root>, write: Option<State>) -> Self {
        Self { write, error: self.error.map(|error| of_write(error, root, write)), ..self }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        Status::ENDED.contains(&self.status)
    }

    /// The status of a query that has ended, and the phase of any other.
    pub(crate) fn word(&self) -> &'static str {
        if self.is_terminal() { self.status.as_str() } else { self.phase }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use dunlin_manifest::records::{ErrorCode, RECORD_VERSION};
    use serde_json::json;

    fn end(status: EndStatus) -> End {
        End {
            v: RECORD_VERSION,
            nonce: String::new(),
            status,
            error: (status == EndStatus::Failed).then(|| QueryError {
                code: ErrorCode::Timeout,
                message: "too long".to_owned(),
                retryable: false,
            }),
            seal: None,
            answer: None,
            summary: Some(Summary { rows: 3, tasks: 9, ..Summary::default() }),
        }
    }

    #[test]
    fn a_status_is_read_by_the_word_that_clients_see() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(Status::parse(&status.as_str().to_lowercase()), Some(status));
        }
        assert_eq!(Status::parse("canceled"), Some(Status::Cancelled));
        assert_eq!(Status::parse("DONE"), None);
    }

    #[test]
    fn a_query_moves_from_pending_to_running_to_its_end() {
        let json = |progress, end: Option<&End>| {
            serde_json::to_value(QueryStatus::new("q", None, progress, end)).unwrap()
        };
        let queued = Progress { stages: 2, tasks: 4, ..Progress::default() };
        assert_eq!(json(queued, None)["status"], "PENDING");
        assert_eq!(json(queued, None)["phase"], "planning");
        let starting = Progress { attempts: 1, ..queued };
        assert_eq!(json(starting, None)["status"], "RUNNING");
        assert_eq!(json(starting, None)["phase"], "starting");
        let running = Progress { tasks_done: 1, ..starting };
        assert_eq!(json(running, None)["phase"], "running");
        let done = json(running, Some(&end(EndStatus::Succeeded)));
        assert_eq!(done["status"], "SUCCEEDED");
        assert_eq!(
            done["progress"],
            json!({"stages_done": 2, "stages": 2, "tasks_done": 9, "tasks": 9})
        );
        let failed = json(running, Some(&end(EndStatus::Failed)));
        assert_eq!(failed["status"], "FAILED");
        assert_eq!(failed["error"]["code"], "TIMEOUT");
        assert_eq!(json(running, Some(&end(EndStatus::Cancelled)))["status"], "CANCELLED");
    }
}
