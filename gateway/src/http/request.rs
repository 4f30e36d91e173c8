//! What a client asks for: bodies, headers and durations, checked before anything is planned.
//!
//! This code is separate from the handlers because all of it is a pure function of bytes. Every refusal here can be
//! tested without a store, and no input of a client reaches the planner unchecked.

use std::time::Duration;

use dunlin_manifest::model::trace::TraceContext;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::problem::ApiError;
use crate::options::Most;
use crate::query::statement::{Statement, sha256_hex};

/// How long `POST /v1/sql` waits for the answer, unless the request sets another time.
pub(crate) const DEFAULT_SQL_WAIT: Duration = Duration::from_secs(30);
/// How long `POST /v1/queries` waits for the end, unless the request sets another time.
pub(crate) const DEFAULT_QUERY_WAIT: Duration = Duration::from_secs(10);
/// Longest wait of one request.
pub const MAX_WAIT: Duration = Duration::from_secs(600);
/// The header of W3C's trace context.
const TRACE_PARENT: &str = "traceparent";
/// Longest `Idempotency-Key`, in bytes.
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// The JSON body of `/v1/sql`, `/v1/queries` and `/v1/explain`. Unknown fields are refused, because a limit that the
/// server silently ignores is worse than an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    sql: String,
    #[serde(default)]
    parameters: Option<Vec<Value>>,
    #[serde(default)]
    settings: Option<Map<String, Value>>,
    #[serde(default)]
    limits: Option<Most>,
    #[serde(default)]
    wait_timeout: Option<String>,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The statement.
    pub(crate) statement: Statement,
    /// `wait_timeout` of the body.
    pub(crate) wait_timeout: Option<Duration>,
}

impl Asked {
    /// Reads the body of a request. It is JSON if its type says so or if it starts with `{` (no SQL starts so), and
    /// otherwise SQL text.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `INVALID_SETTING` or `SQL_TOO_LARGE`.
    pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(body)
            .map_err(|_| ApiError::invalid_request("the body is not valid UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let body = if is_json(headers, text) {
            serde_json::from_str::<Body>(text).map_err(|error| {
                ApiError::invalid_request(format!("the body is not a valid request: {error}"))
            })?
        } else {
            Body {
                sql: text.to_owned(),
                parameters: None,
                settings: None,
                limits: None,
                wait_timeout: None,
            }
        };
        let mut statement = Statement::new(
            body.sql,
            body.parameters.unwrap_or_default(),
            body.settings.unwrap_or_default(),
        )?;
        statement.most = most(body.limits.unwrap_or_default())?;
        // What is no context starts no trace; it is no mistake that a query should fail for.
        let context = headers.get(TRACE_PARENT).and_then(|value| value.to_str().ok());
        statement.trace = context.and_then(TraceContext::parse).map(|context| context.to_string());
        let wait_timeout = body.wait_timeout.as_deref().map(wait).transpose()?;
        Ok(Self { statement, wait_timeout })
    }
}

/// Checks the limits of a request. A limit of nothing is a mistake: every query would be refused.
fn most(limits: Most) -> Result<Most, ApiError> {
    if limits.max_bytes_scanned == Some(0) {
        return Err(ApiError::invalid_request("limits.max_bytes_scanned must be at least 1"));
    }
    if limits.max_cost_usd.is_some_and(|most| !(most > 0.0 && most.is_finite())) {
        return Err(ApiError::invalid_request("limits.max_cost_usd must be more than 0"));
    }
    Ok(limits)
}

fn is_json(headers: &HeaderMap, text: &str) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = declared.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json"
        || essence.ends_with("+json")
        || text.trim_start().starts_with('{')
}

/// The hash of the request's `Idempotency-Key`, if it has one.
///
/// # Errors
/// `INVALID_REQUEST` for a key that is empty, too long or not visible ASCII.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value
        .to_str()
        .map_err(|_| ApiError::invalid_request("the Idempotency-Key is not visible ASCII"))?
        .trim();
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY {
        return Err(ApiError::invalid_request(format!(
            "the Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY} characters"
        )));
    }
    Ok(Some(sha256_hex(key.as_bytes())))
}

/// How long the client wants to wait, from `Prefer: wait=N` (seconds) or `Prefer: respond-async`. A preference that
/// cannot be read is ignored, as RFC 7240 requires. A time longer than [`MAX_WAIT`] is reduced to it.
#[must_use]
pub(crate) fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let mut found = None;
    for token in preferences(headers) {
        if token.eq_ignore_ascii_case("respond-async") {
            found.get_or_insert(Duration::ZERO);
        } else if let Some(wait) = seconds(token, "wait") {
            found = Some(wait);
        }
    }
    found
}

/// How long the client wants to wait for a query that is written to the store, from `Prefer: stored-wait=N`. Such a
/// query has an id to come back with, so a client may wait long for an answer that is not stored and for this one not at
/// all. Without it [`preferred_wait`] is for both.
#[must_use]
pub(crate) fn preferred_stored_wait(headers: &HeaderMap) -> Option<Duration> {
    preferences(headers).filter_map(|token| seconds(token, "stored-wait")).last()
}

fn preferences(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all("prefer").iter().map(|value| value.to_str().unwrap_or(""));
    values.flat_map(|value| value.split([',', ';'])).map(str::trim)
}

/// The seconds of a preference of this name, at most [`MAX_WAIT`].
fn seconds(preference: &str, name: &str) -> Option<Duration> {
    let (found, number) = preference.split_once('=')?;
    let number = number.trim().trim_matches('"').parse::<u64>().ok()?;
    let is_it = found.trim().eq_ignore_ascii_case(name);
    is_it.then(|| Duration::from_secs(number).min(MAX_WAIT))
}

/// Parses a wait as the API writes it: `0s`, `500ms`, `2m`, or a number of seconds without a unit.
///
/// # Errors
/// `INVALID_REQUEST` if it cannot be read or is longer than [`MAX_WAIT`].
pub(crate) fn wait(text: &str) -> Result<Duration, ApiError> {
    let refused = || {
        ApiError::invalid_request(format!(
            "'{}' is not a wait between 0s and {}s, for example \"5s\"",
            text.chars().take(32).collect::<String>(),
            MAX_WAIT.as_secs()
        ))
    };
    duration(text).filter(|wait| *wait <= MAX_WAIT).ok_or_else(refused)
}

/// A duration as the API writes it; `None` if it cannot be read.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match unit.trim() {
        "" | "s" => seconds(1),
        "ms" => Some(Duration::from_millis(number)),
        "m" => seconds(60),
        "h" => seconds(3_600),
        _ => None,
    }
}

/// The format of an answer's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An array of objects.
    Json,
    /// One object on each line.
    JsonLines,
    /// RFC 4180 with a header line.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    const ALL: [Self; 4] = [Self::Json, Self::JsonLines, Self::Csv, Self::Arrow];

    /// The media type of answers in this format.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonl",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    fn of_range(range: &str) -> Option<Self> {
        match range {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "application/jsonl" | "application/x-ndjson" | "application/x-jsonlines" => {
                Some(Self::JsonLines)
            }
            "text/csv" | "text/*" => Some(Self::Csv),
            "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
            _ => None,
        }
    }

    /// The best format that `Accept` allows. It is JSON if the client names none.
    ///
    /// # Errors
    /// `NOT_ACCEPTABLE` if the client accepts none.
    pub fn negotiate(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut best: Option<(Self, f32)> = None;
        let mut asked = false;
        for value in headers.get_all(ACCEPT) {
            for entry in value.to_str().unwrap_or("").split(',') {
                let mut parts = entry.split(';').map(str::trim);
                let range = parts.next().unwrap_or("").to_ascii_lowercase();
                if range.is_empty() {
                    continue;
                }
                asked = true;
                let quality = parts
                    .find_map(|part| part.strip_prefix("q="))
                    .and_then(|q| q.parse::<f32>().ok())
                    .unwrap_or(1.0);
                let Some(format) = Self::of_range(&range) else { continue };
                if quality > 0.0 && best.is_none_or(|(_, most)| quality > most) {
                    best = Some((format, quality));
                }
            }
        }
        match best {
            Some((format, _)) => Ok(format),
            None if !asked => Ok(Self::Json),
            None => Err(ApiError::not_acceptable(
                Self::ALL.map(|format| format.content_type().split(';').next().unwrap_or("")),
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::options::MAX_SQL_BYTES;
    use http::HeaderValue;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn code(result: Result<Asked, ApiError>) -> String {
        result.unwrap_err().problem().code.to_string()
    }

    #[test]
    fn plain_text_is_sql() {
        let statement = Asked::parse(&headers(&[]), b"select 1").unwrap().statement;
        assert_eq!(statement.sql, "select 1");
        assert!(statement.parameters.is_empty());
    }

    #[test]
    fn json_is_recognised_without_a_content_type() {
        let body = br#" {"sql": "select $1", "parameters": [1, null], "wait_timeout": "0s"}"#;
        let Asked { statement, wait_timeout } = Asked::parse(&headers(&[]), body).unwrap();
        assert_eq!(statement.sql, "select $1");
        assert_eq!(statement.parameters.len(), 2);
        assert_eq!(wait_timeout, Some(Duration::ZERO));
    }

    #[test]
    fn settings_are_read_and_unknown_ones_are_refused() {
        let body = br#"{"sql":"select 1","settings":{"target_partitions":3,"route":"fleet"}}"#;
        assert_eq!(
            Asked::parse(&headers(&[]), body).unwrap().statement.settings.target_partitions,
            Some(3)
        );
        let unknown = br#"{"sql":"select 1","settings":{"colour":"red"}}"#;
        assert_eq!(code(Asked::parse(&headers(&[]), unknown)), "INVALID_SETTING");
        let hidden = br#"{"sql":"select 1","settings":{"durable":true}}"#;
        assert_eq!(code(Asked::parse(&headers(&[]), hidden)), "INVALID_SETTING");
        let route = br#"{"sql":"select 1","settings":{"route":"sideways"}}"#;
        assert_eq!(code(Asked::parse(&headers(&[]), route)), "INVALID_SETTING");
    }

    #[test]
    fn bodies_that_are_no_request_are_refused_by_code() {
        for body in [
            &b"{\"sql\":"[..],
            b"{}",
            b"{\"sql\": 3}",
            b"{\"sql\":\"select 1\",\"limit\":5}",
            b"{\"sql\":\"select 1\",\"parameters\":{}}",
            b"{\"sql\":\"select 1\",\"wait_timeout\":\"soon\"}",
            b"   ",
            b"\xff\xfe",
        ] {
            assert_eq!(code(Asked::parse(&headers(&[]), body)), "INVALID_REQUEST", "{body:?}");
        }
        let declared = headers(&[("content-type", "application/json; charset=utf-8")]);
        assert_eq!(code(Asked::parse(&declared, b"select 1")), "INVALID_REQUEST");
        let long = vec![b'x'; MAX_SQL_BYTES + 1];
        assert_eq!(code(Asked::parse(&headers(&[]), &long)), "SQL_TOO_LARGE");
        let deep = format!("{{\"sql\":\"select 1\",\"parameters\":{}", "[".repeat(100_000));
        assert_eq!(code(Asked::parse(&headers(&[]), deep.as_bytes())), "INVALID_REQUEST");
    }

    #[test]
    fn stored_queries_may_have_a_wait_of_their_own() {
        let both = headers(&[("prefer", "wait=600, stored-wait=0")]);
        assert_eq!(preferred_wait(&both), Some(MAX_WAIT));
        assert_eq!(preferred_stored_wait(&both), Some(Duration::ZERO));
        let one = headers(&[("prefer", "wait=5"), ("prefer", "stored-wait=soon")]);
        assert_eq!(preferred_wait(&one), Some(Duration::from_secs(5)));
        assert_eq!(preferred_stored_wait(&one), None);
    }

    #[test]
    fn equal_requests_have_equal_fingerprints_however_they_are_written() {
        let print = |body: &str| {
            Asked::parse(&headers(&[]), body.as_bytes()).unwrap().statement.fingerprint
        };
        let plain = print("select 1");
        assert_eq!(plain, print(r#"{"sql":"select 1"}"#));
        assert_eq!(plain, print(r#"{"settings":{"route":null},"parameters":[],"sql":"select 1"}"#));
        assert_eq!(plain, print(r#"{"sql":"select 1","wait_timeout":"5s"}"#));
        assert_ne!(plain, print("select 2"));
        assert_ne!(plain, print(r#"{"sql":"select 1","parameters":[1]}"#));
        assert_ne!(plain, print(r#"{"sql":"select 1","settings":{"target_partitions":2}}"#));
        assert_eq!(
            print(r#"{"sql":"select 1","settings":{"target_partitions":2,"route":"fleet"}}"#),
            print(r#"{"sql":"select 1","settings":{"route":"fleet","target_partitions":2}}"#),
        );
    }

    #[test]
    fn accept_picks_the_format() {
        let pick = |accept: &str| Format::negotiate(&headers(&[("accept", accept)]));
        assert_eq!(Format::negotiate(&headers(&[])).unwrap(), Format::Json);
        assert_eq!(pick("*/*").unwrap(), Format::Json);
        assert_eq!(pick("text/csv").unwrap(), Format::Csv);
        assert_eq!(pick("Application/JSONL").unwrap(), Format::JsonLines);
        assert_eq!(pick("application/vnd.apache.arrow.stream").unwrap(), Format::Arrow);
        assert_eq!(
            pick("text/html, text/csv;q=0.5, application/jsonl;q=0.9").unwrap(),
            Format::JsonLines
        );
        assert_eq!(pick("application/json;q=0, text/csv;q=0.1").unwrap(), Format::Csv);
        assert_eq!(pick("image/png").unwrap_err().problem().code.as_str(), "NOT_ACCEPTABLE");
    }

    #[test]
    fn waits_are_read_capped_and_refused() {
        assert_eq!(wait("0s").unwrap(), Duration::ZERO);
        assert_eq!(wait("600s").unwrap(), MAX_WAIT);
        assert_eq!(wait("1500ms").unwrap(), Duration::from_millis(1500));
        assert_eq!(wait("2m").unwrap(), Duration::from_secs(120));
        assert_eq!(wait("7").unwrap(), Duration::from_secs(7));
        for bad in ["", "s", "-1s", "601s", "1h", "5 parsecs", "99999999999999999999s", "1.5s"] {
            assert!(wait(bad).is_err(), "{bad}");
        }
        let prefer = |value: &str| preferred_wait(&headers(&[("prefer", value)]));
        assert_eq!(prefer("wait=5"), Some(Duration::from_secs(5)));
        assert_eq!(prefer("respond-async, wait=100000"), Some(MAX_WAIT));
        assert_eq!(prefer("respond-async"), Some(Duration::ZERO));
        assert_eq!(prefer("wait=soon"), None);
    }

    #[test]
    fn an_idempotency_key_is_hashed_and_checked() {
        assert_eq!(idempotency_key(&headers(&[])).unwrap(), None);
        let key = idempotency_key(&headers(&[("idempotency-key", "abc")])).unwrap().unwrap();
        assert_eq!(key, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(idempotency_key(&headers(&[("idempotency-key", " ")])).is_err());
        assert!(idempotency_key(&headers(&[("idempotency-key", &"k".repeat(256))])).is_err());
    }
}
