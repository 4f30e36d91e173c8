//! `GET /v1/queries/{id}/events`: what happens to a query, as server-sent events.
//!
//! ```text
//!   event: state      {"status":"RUNNING","phase":"running"}
//!   event: progress   {"stages_done":1,"stages":4,"tasks_done":3,"tasks":9}
//!   event: stage      {"stage":0,"name":"scan","tasks":3,"rows":10,"bytes":512}
//!   event: end        the status of the query
//!   id: running.3.9.01                     the version that is told up to here
//! ```
//! The id of an event is all that a gateway needs to go on from there. A client that reconnects sends it in
//! `Last-Event-ID`, to this gateway or to any other.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::json;

use super::asking::{Id, Parameters, parameters_of, query_of};
use super::face::Face;
use super::guard::Caller;
use super::problem::ApiError;
use super::respond::{empty, mark};
use super::status::StatusBody;
use crate::query::cached::Source;
use crate::query::follow::{Following, SealedStage, Seen};
use crate::query::queries::Queries;
use crate::query::version::Version;

/// Without news, a comment is sent so often. Proxies close connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Milliseconds after which a client reconnects.
const RETRY_MS: u32 = 1_000;

/// What a client has been told so far.
struct Telling {
    queries: Arc<Queries>,
    following: Following,
    known: Version,
    is_first: bool,
}

/// What happens to the query from now on, or from `Last-Event-ID` on.
pub(super) async fn events(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = query_of(id)?;
    parameters_of(parameters, &[])?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let known = last.and_then(Version::parse).unwrap_or_default();
    let following = queries.follow(&caller, &query).await?;
    // A client that was told the end and comes again is told by this status to stay away.
    if known.is_end() {
        return Ok(empty());
    }
    let telling = Telling { queries, following, known, is_first: true };
    let frames = futures::stream::unfold(Some(telling), |telling: Option<Telling>| async move {
        let (text, rest) = telling?.next().await?;
        Some((Ok::<_, ApiError>(Bytes::from(text)), rest))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Some proxies hold answers back until they are complete.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    mark(&mut response, &query, Source::RUN);
    Ok(response)
}

impl Telling {
    /// The next text, and what follows it. None if the gateway stops: the client goes on at another one.
    async fn next(mut self) -> Option<(String, Option<Self>)> {
        let wait = if self.is_first { Duration::ZERO } else { HEARTBEAT };
        let mut text = String::new();
        if std::mem::take(&mut self.is_first) {
            let _ = write!(text, "retry: {RETRY_MS}\n\n");
        }
        let seen = self.queries.news(&self.following, &self.known, wait).await?;
        let stages = self.following.new_stages(&self.known);
        self.known = tell(&mut text, self.known, &seen, &stages);
        if text.is_empty() {
            text.push_str(": nothing new\n\n");
        }
        let is_over = seen.status.is_terminal();
        Some((text, (!is_over).then_some(self)))
    }
}

/// Writes what a client with the version `known` does not know yet. Returns the version that it knows then.
fn tell(text: &mut String, mut known: Version, seen: &Seen, stages: &[SealedStage]) -> Version {
    for stage in stages {
        known = known.with_sealed(stage.at);
        event(text, "stage", &known, stage);
    }
    let Seen { status, version } = seen;
    if status.is_terminal() {
        event(text, "end", version, &StatusBody::new(status));
        return version.clone();
    }
    if (known.tasks_done, known.tasks) != (version.tasks_done, version.tasks) {
        (known.tasks_done, known.tasks) = (version.tasks_done, version.tasks);
        event(text, "progress", &known, &status.progress);
    }
    if known.phase != version.phase {
        known.phase.clone_from(&version.phase);
        let state = json!({ "status": status.status, "phase": status.phase });
        event(text, "state", &known, &state);
    }
    known
}

fn event(text: &mut String, kind: &str, id: &Version, data: &impl Serialize) {
    let data = serde_json::to_string(data).unwrap_or_default();
    let _ = write!(text, "event: {kind}\nid: {id}\ndata: {data}\n\n");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dunlin_manifest::query::Progress;
    use dunlin_manifest::records::{End, EndStatus, RECORD_VERSION};

    use super::*;
    use crate::query::status::QueryStatus;

    const QUERY: &str = "0190a000-0000-7000-8000-000000000000";

    fn seen(progress: Progress, end: Option<&End>) -> Seen {
        let status = QueryStatus::new(QUERY, None, progress, end);
        Seen { version: Version::of_status(&status), status }
    }

    fn kinds(text: &str) -> Vec<&str> {
        text.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
    }

    #[test]
    fn only_what_is_new_is_told_and_the_id_of_each_event_goes_on_after_it() {
        let running = seen(
            Progress {
                tasks: 4,
                tasks_done: 1,
                attempts: 2,
                stages: 2,
                stages_done: 1,
                ..Progress::default()
            },
            None,
        );
        let mut text = String::new();
        let known = tell(&mut text, Version::default(), &running, &[]);
        assert_eq!(kinds(&text), ["progress", "state"]);
        assert_eq!(known, running.version);
        let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        assert_eq!(ids, [".1.4.", "running.1.4."]);
        assert!(
            text.contains("data: {\"phase\":\"running\",\"status\":\"RUNNING\"}\n\n"),
            "{text}"
        );
        // A client that has seen the first event only, and comes to another gateway.
        let mut rest = String::new();
        let after = tell(&mut rest, Version::parse(ids[0]).unwrap(), &running, &[]);
        assert_eq!((kinds(&rest), after), (vec!["state"], running.version.clone()));
        let mut nothing = String::new();
        tell(&mut nothing, known, &running, &[]);
        assert_eq!(nothing, "");
    }

    #[test]
    fn the_end_is_told_with_the_status() {
        let end = End {
            v: RECORD_VERSION,
            nonce: String::new(),
            status: EndStatus::Cancelled,
            error: None,
            seal: None,
            answer: None,
            summary: None,
        };
        let ended = seen(Progress::default(), Some(&end));
        let mut text = String::new();
        let known = tell(&mut text, Version::default(), &ended, &[]);
        assert_eq!(kinds(&text), ["end"]);
        assert!(known.is_end() && text.contains("id: CANCELLED.0.0.\n"), "{text}");
        assert!(text.contains("\"status\":\"CANCELLED\""), "{text}");
    }
}
