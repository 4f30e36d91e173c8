//! The status of a query, built only from the store's objects.

use dunlin_manifest::query::Progress;
use dunlin_manifest::records::{End, EndStatus, QueryError, Root, Route, Summary};
use serde::Serialize;

use super::answer::Receipt;

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

/// The status that a client sees.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QueryStatus {
    pub(crate) query_id: String,
    pub(crate) status: Status,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Route>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route_reason: Option<String>,
    progress: Progress,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<QueryError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
    /// What it cost, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
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
            progress,
            error: end.and_then(|end| end.error.clone()),
            summary,
            receipt: None,
            has_root: root.is_some(),
        }
    }

    pub(crate) fn with_receipt(self, receipt: Receipt) -> Self {
        Self { receipt: Some(receipt), ..self }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.status, Status::Succeeded | Status::Failed | Status::Cancelled)
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
