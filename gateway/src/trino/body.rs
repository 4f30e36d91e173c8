//! `QueryResults`: what a request is answered with.

use axum::body::Body;
use axum::response::Response;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::Progress;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::PATH;
use super::encode::Rows;
use super::encoding::{Encoding, Segment};
use super::failure::Failure;

/// How far a query is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Queued,
    Running,
    Finished,
    Failed,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Results {
    query: QueryId,
    /// The beginning of addresses.
    base: String,
    state: State,
    progress: Progress,
    elapsed_ms: u64,
    /// The token of the next page.
    next: Option<String>,
    columns: Option<Vec<Value>>,
    /// Rows in JSON, or segments of them.
    data: Option<Vec<u8>>,
    update: Option<(String, Option<u64>)>,
    error: Option<Value>,
    headers: Vec<(&'static str, String)>,
}

impl Results {
    pub(super) fn new(base: &str, query: QueryId, state: State) -> Self {
        Self {
            query,
            base: base.to_owned(),
            state,
            progress: Progress::default(),
            elapsed_ms: 0,
            next: None,
            columns: None,
            data: None,
            update: None,
            error: None,
            headers: Vec::new(),
        }
    }

    /// A statement that has no answer.
    pub(super) fn failed(base: &str, query: QueryId, failure: &Failure) -> Self {
        let error = Some(failure.body());
        Self { error, ..Self::new(base, failure.query().unwrap_or(query), State::Failed) }
    }

    pub(super) fn next(self, token: String) -> Self {
        Self { next: Some(token), ..self }
    }

    pub(super) fn progress(self, progress: Progress, elapsed_ms: u64) -> Self {
        Self { progress, elapsed_ms, ..self }
    }

    pub(super) fn columns(self, columns: Vec<Value>) -> Self {
        Self { columns: Some(columns), ..self }
    }

    /// Rows as they are, with their columns. A page without rows has no data.
    pub(super) fn rows(self, rows: Rows) -> Self {
        self.sent(rows, None)
    }

    /// Rows in the form that the client reads, with their columns.
    pub(super) fn sent(self, rows: Rows, encoding: Option<Encoding>) -> Self {
        let Rows { columns, json, count } = rows;
        let data = (count > 0).then(|| match encoding {
            None => json,
            Some(encoding) => {
                let segment = Segment { from: 0, rows: count, encoded: encoding.encode(json) };
                encoding.data(&[segment.inline()])
            }
        });
        self.data(columns, data)
    }

    /// Rows or segments as they are written, with the columns.
    pub(super) fn data(self, columns: Vec<Value>, data: Option<Vec<u8>>) -> Self {
        Self { columns: Some(columns), data, ..self }
    }

    /// What a statement has changed, in a word, and how many rows.
    pub(super) fn update(self, word: &str, rows: Option<u64>) -> Self {
        Self { update: Some((word.to_owned(), rows)), ..self }
    }

    /// A header that the client makes part of its session.
    pub(super) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn respond(self) -> Response {
        let mut body = json!({
            "id": self.query.as_str(),
            "infoUri": format!("{}/#/query/{}", self.base, self.query),
            "stats": stats(self.state, &self.progress, self.elapsed_ms),
            "warnings": [],
        });
        if let Some(token) = &self.next {
            body["nextUri"] = format!("{}{PATH}/executing/{token}", self.base).into();
        }
        if let Some(columns) = self.columns {
            body["columns"] = columns.into();
        }
        if let Some(error) = self.error {
            body["error"] = error;
        }
        if let Some((word, rows)) = self.update {
            body["updateType"] = word.into();
            if let Some(rows) = rows {
                body["updateCount"] = rows.into();
            }
        }
        let mut bytes = serde_json::to_vec(&body).unwrap_or_default();
        if let Some(data) = self.data {
            // An object always ends so.
            bytes.pop();
            bytes.extend_from_slice(b",\"data\":");
            bytes.extend_from_slice(&data);
            bytes.push(b'}');
        }
        let mut response = response_about(bytes, JSON, &self.query);
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

fn stats(state: State, progress: &Progress, elapsed_ms: u64) -> Value {
    let Progress { tasks, tasks_done, rows, bytes_scanned, attempts, .. } = *progress;
    let left = tasks.saturating_sub(tasks_done);
    let running = attempts.saturating_sub(tasks_done).min(left);
    let percent = match state {
        State::Finished => Some(100.0),
        _ if tasks == 0 => None,
        _ => Some(tasks_done as f64 * 100.0 / tasks as f64),
    };
    let is_running = state == State::Running;
    json!({
        "state": state.as_str(),
        "queued": state == State::Queued,
        "scheduled": state != State::Queued,
        "progressPercentage": percent,
        "runningPercentage": is_running.then_some(percent).flatten(),
        "nodes": u64::from(is_running),
        "totalSplits": tasks,
        "queuedSplits": left - running,
        "runningSplits": running,
        "completedSplits": tasks_done,
        "planningTimeMillis": 0,
        "analysisTimeMillis": 0,
        "cpuTimeMillis": 0,
        "wallTimeMillis": elapsed_ms,
        "queuedTimeMillis": 0,
        "elapsedTimeMillis": elapsed_ms,
        "finishingTimeMillis": 0,
        "physicalInputTimeMillis": 0,
        "processedRows": rows,
        "processedBytes": bytes_scanned,
        "physicalInputBytes": bytes_scanned,
        "physicalWrittenBytes": 0,
        "internalNetworkInputBytes": 0,
        "peakMemoryBytes": 0,
        "spilledBytes": 0,
    })
}

/// The type of a body that is JSON.
pub(super) const JSON: &str = "application/json";

/// Bytes about a query, of this type.
pub(super) fn response_about(
    bytes: impl Into<Body>,
    kind: &'static str,
    query: &QueryId,
) -> Response {
    let mut response = Response::new(bytes.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(query) = HeaderValue::from_str(query.as_str()) {
        headers.insert("dunlin-query-id", query);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_splits() {
        let progress = Progress { tasks: 10, tasks_done: 4, attempts: 6, ..Progress::default() };
        let told = stats(State::Running, &progress, 5);
        assert_eq!(
            (&told["completedSplits"], &told["runningSplits"], &told["queuedSplits"]),
            (&json!(4), &json!(2), &json!(4))
        );
        assert_eq!(
            (&told["progressPercentage"], &told["elapsedTimeMillis"]),
            (&json!(40.0), &json!(5))
        );
        let nothing = stats(State::Queued, &Progress::default(), 0);
        assert_eq!(
            (&nothing["queued"], &nothing["progressPercentage"]),
            (&json!(true), &Value::Null)
        );
    }
}
