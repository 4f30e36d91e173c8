//! What a client asks for: bodies, headers and durations, checked before anything is planned.
//!
//! This code is separate from the handlers because all of it is a pure function of bytes. Every refusal here can be
//! tested without a store, and no input of a client reaches the planner unchecked.

use std::time::Duration;

use dunlin_manifest::model::trace::TraceContext;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::Map;

use super::fields::{Fields, Node};
use super::problem::ApiError;
use crate::options::Most;
use crate::query::asked::{LONGEST_NAME, LONGEST_VALUE, MOST_TAGS, Remarks, Tags};
use crate::query::cut::AnswerLimits;
use crate::query::error::CoreError;
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

/// The fields of the JSON body of `/v1/sql`, `/v1/queries` and `/v1/explain`. Unknown fields are refused, because a limit
/// that the server silently ignores is worse than an error.
const FIELDS: &[&str] = &[
    "sql",
    "parameters",
    "settings",
    "limits",
    "wait_timeout",
    "wait",
    "on_wait_timeout",
    "row_limit",
    "byte_limit",
    "tags",
    "dry_run",
];
const SETTINGS: &[&str] = &["route", "pool", "target_partitions", "task_bytes"];
const LIMITS: &[&str] = &["max_bytes_scanned", "max_cost_usd"];

/// What happens to a query whose client has waited long enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnWaitTimeout {
    /// It goes on; the client comes back for it.
    #[default]
    Continue,
    /// It is cancelled.
    Cancel,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The statement.
    pub(crate) statement: Statement,
    /// `wait_timeout` of the body.
    pub(crate) wait_timeout: Option<Duration>,
    /// What happens when the wait is over.
    pub(crate) on_wait_timeout: OnWaitTimeout,
    /// The statement is planned, and nothing is run.
    pub(crate) dry_run: bool,
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
        let mut asked = if is_json(headers, text) {
            Self::of_json(text)?
        } else {
            Self::of_statement(Statement::new(text.to_owned(), Vec::new(), Map::new())?)
        };
        // What is no context starts no trace; it is no mistake that a query should fail for.
        let context = headers.get(TRACE_PARENT).and_then(|value| value.to_str().ok());
        let context = context.and_then(TraceContext::parse).map(|context| context.to_string());
        asked.statement.trace = context;
        Ok(asked)
    }

    fn of_statement(statement: Statement) -> Self {
        let on_wait_timeout = OnWaitTimeout::default();
        Self { statement, wait_timeout: None, on_wait_timeout, dry_run: false }
    }

    fn of_json(text: &str) -> Result<Self, ApiError> {
        let node: Node = serde_json::from_str(text).map_err(not_valid)?;
        let mut fields = Fields::of("", node, FIELDS).map_err(not_valid)?;
        let Some(sql) = fields.text("sql").map_err(not_valid)? else {
            return Err(not_valid("the field sql is missing; it holds the statement"));
        };
        let parameters = fields.list("parameters").map_err(not_valid)?.unwrap_or_default();
        let settings = match fields.node("settings") {
            Some(node) => Fields::of("settings.", node, SETTINGS)
                .map_err(|error| ApiError::from(CoreError::invalid_setting(error)))?
                .into_map(),
            None => Map::new(),
        };
        let mut asked = Self::of_statement(Statement::new(sql, parameters, settings)?);
        if let Some(node) = fields.node("limits") {
            let limits = Fields::of("limits.", node, LIMITS).map_err(not_valid)?;
            asked.statement.most = most(limits)?;
        }
        asked.statement.remarks = Remarks {
            tags: tags(fields.object("tags").map_err(not_valid)?)?,
            limits: AnswerLimits {
                rows: fields.whole("row_limit").map_err(not_valid)?,
                bytes: fields.whole("byte_limit").map_err(not_valid)?,
            },
        };
        let waits = [waited(&mut fields, "wait_timeout")?, waited(&mut fields, "wait")?];
        if waits.iter().all(Option::is_some) {
            return Err(not_valid("wait and wait_timeout are the same; give one of them"));
        }
        asked.wait_timeout = waits.into_iter().flatten().next();
        asked.on_wait_timeout =
            on_wait_timeout(fields.text("on_wait_timeout").map_err(not_valid)?)?;
        asked.dry_run = fields.flag("dry_run").map_err(not_valid)?.unwrap_or(false);
        Ok(asked)
    }
}

fn not_valid(error: impl std::fmt::Display) -> ApiError {
    ApiError::invalid_request(format!("the body is not a valid request: {error}"))
}

/// A wait in the body: text such as `5s`, or a number of seconds.
fn waited(fields: &mut Fields, name: &'static str) -> Result<Option<Duration>, ApiError> {
    match fields.node(name) {
        None => Ok(None),
        Some(Node::Text(text)) => wait(&text).map(Some),
        Some(Node::Number(number)) => wait(&number.to_string()).map(Some),
        Some(_) => Err(not_valid(format!("{name} must be a wait, for example \"5s\""))),
    }
}

fn on_wait_timeout(text: Option<String>) -> Result<OnWaitTimeout, ApiError> {
    match text.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("continue") => Ok(OnWaitTimeout::Continue),
        Some("cancel") => Ok(OnWaitTimeout::Cancel),
        Some(other) => {
            let other: String = other.chars().take(32).collect();
            Err(not_valid(format!("on_wait_timeout is continue or cancel, not '{other}'")))
        }
    }
}

/// Checks the tags of a query. They are for people, and come back in statuses and listings.
fn tags(fields: Vec<(String, Node)>) -> Result<Tags, ApiError> {
    if fields.len() > MOST_TAGS {
        return Err(not_valid(format!(
            "{} tags were given, at most {MOST_TAGS} are allowed",
            fields.len()
        )));
    }
    let mut tags = Tags::new();
    for (name, node) in fields {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_word) {
            let name: String = name.chars().take(LONGEST_NAME).collect();
            return Err(not_valid(format!(
                "'{name}' cannot name a tag; use 1 to {LONGEST_NAME} of the characters A-Z, a-z, 0-9, _, ., - and /"
            )));
        }
        match node {
            Node::Text(value) if value.len() <= LONGEST_VALUE => {
                tags.insert(name, value);
            }
            _ => {
                return Err(not_valid(format!(
                    "tags.{name} must be a string of at most {LONGEST_VALUE} bytes"
                )));
            }
        }
    }
    Ok(tags)
}

/// Checks the limits of a request. A limit of nothing is a mistake: every query would be refused.
fn most(mut limits: Fields) -> Result<Most, ApiError> {
    let limits = Most {
        max_bytes_scanned: limits.whole("max_bytes_scanned").map_err(not_valid)?,
        max_cost_usd: limits.number("max_cost_usd").map_err(not_valid)?,
    };
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

/// Whether the client wants an answer that was computed for it: `Cache-Control: no-cache`, or `no-store`.
#[must_use]
pub(crate) fn wants_fresh(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(',')).map(str::trim);
    directives.any(|directive| {
        ["no-cache", "no-store"].iter().any(|fresh| directive.eq_ignore_ascii_case(fresh))
    })
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
        let Asked { statement, wait_timeout, .. } = Asked::parse(&headers(&[]), body).unwrap();
        assert_eq!(statement.sql, "select $1");
        assert_eq!(statement.parameters.len(), 2);
        assert_eq!(wait_timeout, Some(Duration::ZERO));
    }

    #[test]
    fn what_the_client_says_beside_the_statement_is_read() {
        let body = br#"{"sql":"select 1","wait":5,"on_wait_timeout":"CANCEL","row_limit":10,"byte_limit":0,
            "tags":{"team":"finance","job/1":""},"dry_run":true}"#;
        let asked = Asked::parse(&headers(&[]), body).unwrap();
        assert_eq!(asked.wait_timeout, Some(Duration::from_secs(5)));
        assert_eq!((asked.on_wait_timeout, asked.dry_run), (OnWaitTimeout::Cancel, true));
        let Remarks { tags, limits } = asked.statement.remarks;
        assert_eq!(limits, AnswerLimits { rows: Some(10), bytes: Some(0) });
        assert_eq!(
            tags.into_iter().collect::<Vec<_>>(),
            [("job/1".to_owned(), String::new()), ("team".to_owned(), "finance".to_owned()),]
        );
        let plain = Asked::parse(&headers(&[]), b"select 1").unwrap();
        assert!(plain.statement.remarks.is_empty() && !plain.dry_run);
    }

    #[test]
    fn a_mistake_in_the_body_is_named_with_its_field() {
        let many = (0..17).map(|n| format!("\"t{n}\":\"\"")).collect::<Vec<_>>().join(",");
        for (field, text) in [
            (r#""row_limit":"10""#, "row_limit must be a whole number of at least 0, not a string"),
            (r#""row_limt":10"#, "the field row_limt is not known; did you mean row_limit?"),
            (
                r#""limits":{"max_cost":1}"#,
                "limits.max_cost is not known; did you mean limits.max_cost_usd?",
            ),
            (
                r#""limits":{"max_bytes_scanned":1.5}"#,
                "limits.max_bytes_scanned must be a whole number",
            ),
            (r#""limits":{"max_cost_usd":1,"max_cost_usd":2}"#, "max_cost_usd is given twice"),
            (
                r#""settings":{"rute":"fleet"}"#,
                "settings.rute is not known; did you mean settings.route?",
            ),
            (r#""settings":[]"#, "settings must be an object, not an array"),
            (r#""tags":{"a b":"x"}"#, "'a b' cannot name a tag"),
            (r#""tags":{"a":1}"#, "tags.a must be a string of at most 256 bytes"),
            (&format!("\"tags\":{{{many}}}"), "17 tags were given, at most 16 are allowed"),
            (r#""on_wait_timeout":"stop""#, "on_wait_timeout is continue or cancel, not 'stop'"),
            (r#""wait":"5s","wait_timeout":"5s""#, "wait and wait_timeout are the same"),
            (r#""wait":[]"#, "wait must be a wait"),
            (r#""dry_run":"yes""#, "dry_run must be true or false, not a string"),
            (r#""sql":"x""#, "the field sql is given twice at line 1"),
        ] {
            let body = format!("{{\"sql\":\"select 1\",{field}}}");
            let error = Asked::parse(&headers(&[]), body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(text), "{body}: {error}");
        }
        let error = Asked::parse(&headers(&[]), b"{\"sql\": \"select 1\"").unwrap_err().to_string();
        assert!(
            error.contains("not a valid request: EOF while parsing an object at line 1 column 18"),
            "{error}"
        );
        let error = Asked::parse(&headers(&[]), b"{}").unwrap_err().to_string();
        assert!(error.ends_with("the field sql is missing; it holds the statement"), "{error}");
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
