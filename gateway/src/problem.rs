//! Errors as clients see them: RFC 9457 `application/problem+json` with a stable `code`.
//!
//! One enum says everything that can go wrong with a request; one function turns it into status,
//! code and text, so that the same trouble looks the same on every route and in every format.

use std::error::Error as StdError;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use datafusion::error::DataFusionError;
use dunlin_manifest::records::QueryError;
use dunlin_manifest::store::StoreError;
use dunlin_plan::PlanError;
use dunlin_shuffle::ShuffleError;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::request::{MAX_BODY_BYTES, MAX_SQL_BYTES};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Where the documentation of error codes lives; `type` of a problem is this and the code.
const TYPE_BASE: &str = "https://dunlin.dev/errors/";
/// Seconds after which a client may try again when the store is out of reach.
const STORE_RETRY_SECONDS: u32 = 2;
/// Longest `detail`, in characters: an error that quotes a whole plan helps nobody.
const MAX_DETAIL: usize = 4_000;

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// The request cannot be read.
    #[error("{0}")]
    InvalidRequest(String),
    /// A setting is unknown or unusable.
    #[error("{0}")]
    InvalidSetting(String),
    /// The SQL text is too long.
    #[error(
        "the SQL text has {0} bytes, at most {MAX_SQL_BYTES} are allowed; put long lists in a table"
    )]
    SqlTooLarge(usize),
    /// The body is too long.
    #[error("the request body is larger than {MAX_BODY_BYTES} bytes")]
    BodyTooLarge,
    /// No format that the client accepts.
    #[error("none of the accepted formats is known; known are {0}")]
    NotAcceptable(String),
    /// No such query or path.
    #[error("{0}")]
    NotFound(String),
    /// The path does not know the method.
    #[error("this path does not answer that method")]
    MethodNotAllowed,
    /// The answer is not there yet.
    #[error("the query has not ended yet; ask for its status with ?wait=30s")]
    NotReady,
    /// The query was cancelled.
    #[error("the query was cancelled")]
    Cancelled,
    /// The answer was deleted after its time to live.
    #[error("the result is no longer stored; submit the query again")]
    Expired,
    /// The idempotency key stands for another request.
    #[error("this Idempotency-Key was used for another request; use a new key for a new request")]
    IdempotencyMismatch,
    /// The planner's verdict.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The query ended without an answer.
    #[error("{}", .0.message)]
    Query(QueryError),
    /// The coordination store does not answer.
    #[error("the store does not answer: {0}")]
    Store(#[source] BoxError),
    /// A defect of Dunlin.
    #[error("internal error: {0}")]
    Internal(#[source] BoxError),
}

/// An error of a request, with the query it is about.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct ApiError {
    /// What went wrong.
    #[source]
    pub kind: ErrorKind,
    /// The query, where there is one.
    pub query: Option<String>,
}

/// The body of a problem.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// URI of the code's documentation.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What was wrong, where, and what to do.
    pub detail: String,
    /// Stable code to program against.
    pub code: String,
    /// Whether sending the same request again may help.
    pub retryable: bool,
    /// The query, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_id: Option<String>,
    /// Where in the SQL text, 1-based.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// A place in the SQL text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Line, 1-based.
    pub line: u64,
    /// Column, 1-based.
    pub column: u64,
}

impl From<ErrorKind> for ApiError {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, query: None }
    }
}

impl From<PlanError> for ApiError {
    fn from(error: PlanError) -> Self {
        ErrorKind::Plan(error).into()
    }
}

impl ApiError {
    pub(crate) fn invalid_request(detail: impl Into<String>) -> Self {
        ErrorKind::InvalidRequest(detail.into()).into()
    }

    pub(crate) fn invalid_setting(detail: impl Into<String>) -> Self {
        ErrorKind::InvalidSetting(detail.into()).into()
    }

    pub(crate) fn sql_too_large(bytes: usize) -> Self {
        ErrorKind::SqlTooLarge(bytes).into()
    }

    pub(crate) fn not_acceptable<'a>(known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<_> = known.into_iter().collect();
        ErrorKind::NotAcceptable(known.join(", ")).into()
    }

    pub(crate) fn no_such_query(id: &str) -> Self {
        let shown: String = id.chars().take(64).collect();
        ErrorKind::NotFound(format!("there is no query '{shown}'")).into()
    }

    pub(crate) fn store(error: impl Into<BoxError>) -> Self {
        ErrorKind::Store(error.into()).into()
    }

    /// The coordination store's error: a record that cannot be read is a defect, anything else is
    /// trouble that may pass.
    pub(crate) fn from_store(error: StoreError) -> Self {
        match error {
            StoreError::Malformed { .. } => Self::internal(error),
            other => Self::store(other),
        }
    }

    pub(crate) fn internal(error: impl Into<BoxError>) -> Self {
        ErrorKind::Internal(error.into()).into()
    }

    /// The error of a stream of rows, whichever side of the wire it arose on.
    pub(crate) fn rows(error: &DataFusionError) -> Self {
        if dunlin_manifest::pinned::is_input_changed(error) {
            return ErrorKind::Query(QueryError {
                code: "INPUT_CHANGED".to_owned(),
                message: error.strip_backtrace(),
                retryable: true,
            })
            .into();
        }
        match error.find_root() {
            DataFusionError::ObjectStore(_) => Self::store(error.strip_backtrace()),
            DataFusionError::External(inner) => match inner.downcast_ref::<ShuffleError>() {
                Some(ShuffleError::Read {
                    source: object_store::Error::NotFound { .. }, ..
                }) => ErrorKind::Expired.into(),
                Some(read @ ShuffleError::Read { .. }) => Self::store(read.to_string()),
                Some(other) => Self::internal(other.to_string()),
                None => match inner.downcast_ref::<PlanError>() {
                    Some(plan) => ErrorKind::Query(QueryError {
                        code: plan.code().to_owned(),
                        message: plan.to_string(),
                        retryable: plan.is_retryable(),
                    })
                    .into(),
                    None => PlanError::from_execution(error).into(),
                },
            },
            _ => PlanError::from_execution(error).into(),
        }
    }

    /// The same error, about `query`.
    #[must_use]
    pub(crate) fn about(mut self, query: impl ToString) -> Self {
        self.query.get_or_insert_with(|| query.to_string());
        self
    }

    /// Whether sending the same request again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match &self.kind {
            ErrorKind::NotReady | ErrorKind::Store(_) => true,
            ErrorKind::Plan(error) => error.is_retryable(),
            ErrorKind::Query(error) => error.retryable,
            _ => false,
        }
    }

    /// Stable code to program against.
    #[must_use]
    pub fn code(&self) -> &str {
        match &self.kind {
            ErrorKind::InvalidRequest(_) => "INVALID_REQUEST",
            ErrorKind::InvalidSetting(_) => "INVALID_SETTING",
            ErrorKind::SqlTooLarge(_) => "SQL_TOO_LARGE",
            ErrorKind::BodyTooLarge => "BODY_TOO_LARGE",
            ErrorKind::NotAcceptable(_) => "NOT_ACCEPTABLE",
            ErrorKind::NotFound(_) => "NOT_FOUND",
            ErrorKind::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            ErrorKind::NotReady => "NOT_READY",
            ErrorKind::Cancelled => "CANCELLED",
            ErrorKind::Expired => "RESULT_EXPIRED",
            ErrorKind::IdempotencyMismatch => "IDEMPOTENCY_MISMATCH",
            ErrorKind::Plan(error) => error.code(),
            ErrorKind::Query(error) => &error.code,
            ErrorKind::Store(_) => "STORE_UNAVAILABLE",
            ErrorKind::Internal(_) => "INTERNAL",
        }
    }

    /// HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match &self.kind {
            ErrorKind::InvalidRequest(_) | ErrorKind::InvalidSetting(_) => StatusCode::BAD_REQUEST,
            ErrorKind::SqlTooLarge(_) | ErrorKind::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            ErrorKind::NotFound(_) => StatusCode::NOT_FOUND,
            ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::NotReady => StatusCode::CONFLICT,
            ErrorKind::Cancelled | ErrorKind::Expired => StatusCode::GONE,
            ErrorKind::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Plan(error) => status_of_plan_error(error),
            ErrorKind::Query(error) => status_of_query_error(error),
            ErrorKind::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the client is told.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let status = self.status();
        let position = match &self.kind {
            ErrorKind::Plan(error) => error.position(),
            _ => None,
        };
        Problem {
            kind: format!("{TYPE_BASE}{}", self.code()),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: self.kind.to_string().chars().take(MAX_DETAIL).collect(),
            code: self.code().to_owned(),
            retryable: self.is_retryable(),
            query_id: self.query.clone(),
            position: position.map(|(line, column)| Position { line, column }),
        }
    }

    /// The error as one JSON object, for the end of an answer that has already begun.
    #[must_use]
    pub fn as_line(&self) -> Value {
        json!({ "error": self.problem() })
    }
}

fn status_of_plan_error(error: &PlanError) -> StatusCode {
    match error {
        PlanError::Syntax { .. } | PlanError::Planning { .. } | PlanError::Setting(_) => {
            StatusCode::BAD_REQUEST
        }
        PlanError::Unsupported { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        PlanError::Execution { retryable: false, .. } => StatusCode::BAD_REQUEST,
        PlanError::Execution { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        PlanError::Store { .. } => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Codes come from whichever process ended the query; one that this gateway does not know is a
/// server's error.
fn status_of_query_error(error: &QueryError) -> StatusCode {
    match error.code.as_str() {
        "EXECUTION_FAILED" if !error.retryable => StatusCode::BAD_REQUEST,
        "INPUT_CHANGED" => StatusCode::CONFLICT,
        "UNSUPPORTED" => StatusCode::UNPROCESSABLE_ENTITY,
        "NO_COMPATIBLE_WORKER" | "STORE_UNAVAILABLE" => StatusCode::SERVICE_UNAVAILABLE,
        "TIMEOUT" => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        if problem.status >= 500 {
            tracing::warn!(
                code = problem.code,
                status = problem.status,
                query = problem.query_id,
                "a request failed"
            );
        }
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match problem.status {
            503 => {
                headers.insert(RETRY_AFTER, HeaderValue::from(STORE_RETRY_SECONDS));
            }
            409 if problem.retryable => {
                headers.insert(RETRY_AFTER, HeaderValue::from(1u32));
            }
            _ => {}
        }
        if let Some(query) = problem.query_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
            headers.insert("dunlin-query-id", query);
        }
        response
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn query_error(code: &str, retryable: bool) -> ApiError {
        let message = "the message".to_owned();
        ErrorKind::Query(QueryError { code: code.to_owned(), message, retryable }).into()
    }

    #[test]
    fn planner_errors_keep_code_position_and_retryability() {
        let error = ApiError::from(PlanError::Syntax {
            message: "expected an expression".to_owned(),
            position: Some((2, 7)),
        });
        let problem = serde_json::to_value(error.about("q1").problem()).unwrap();
        assert_eq!(problem["status"], 400);
        assert_eq!(problem["code"], "SYNTAX_ERROR");
        assert_eq!(problem["detail"], "expected an expression");
        assert_eq!(problem["position"], json!({ "line": 2, "column": 7 }));
        assert_eq!(problem["retryable"], false);
        assert_eq!(problem["query_id"], "q1");
        assert_eq!(problem["title"], "Bad Request");
        assert!(problem["type"].as_str().unwrap().ends_with("SYNTAX_ERROR"));
    }

    #[test]
    fn each_trouble_has_its_status() {
        let unsupported = PlanError::Unsupported { operator: "COPY".into(), reason: "no".into() };
        let detail = ApiError::from(unsupported);
        assert!(detail.problem().detail.contains("COPY"));
        for (error, status, code) in [
            (detail, 422, "UNSUPPORTED"),
            (PlanError::Setting("x".into()).into(), 400, "INVALID_SETTING"),
            (PlanError::Store { message: "x".into() }.into(), 503, "STORE_UNAVAILABLE"),
            (
                PlanError::Execution { message: "x".into(), retryable: false }.into(),
                400,
                "EXECUTION_FAILED",
            ),
            (
                PlanError::Execution { message: "x".into(), retryable: true }.into(),
                500,
                "EXECUTION_FAILED",
            ),
            (query_error("EXECUTION_FAILED", false), 400, "EXECUTION_FAILED"),
            (query_error("EXECUTION_FAILED", true), 500, "EXECUTION_FAILED"),
            (query_error("NO_COMPATIBLE_WORKER", true), 503, "NO_COMPATIBLE_WORKER"),
            (query_error("TIMEOUT", false), 504, "TIMEOUT"),
            (query_error("WORKER_LOST", true), 500, "WORKER_LOST"),
            (ErrorKind::IdempotencyMismatch.into(), 422, "IDEMPOTENCY_MISMATCH"),
            (ErrorKind::Cancelled.into(), 410, "CANCELLED"),
            (ErrorKind::NotReady.into(), 409, "NOT_READY"),
            (ApiError::sql_too_large(9), 413, "SQL_TOO_LARGE"),
            (ApiError::no_such_query("x"), 404, "NOT_FOUND"),
            (ApiError::store("refused"), 503, "STORE_UNAVAILABLE"),
        ] {
            let problem = error.problem();
            assert_eq!((problem.status, problem.code.as_str()), (status, code), "{error}");
        }
    }

    #[test]
    fn a_division_by_zero_is_the_clients_error_and_a_store_failure_is_not() {
        use datafusion::arrow::error::ArrowError;
        let divided = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        let error = ApiError::rows(&divided);
        assert_eq!((error.status().as_u16(), error.code()), (400, "EXECUTION_FAILED"));
        assert!(!error.is_retryable());
        let store = object_store::Error::Generic { store: "S3", source: "timed out".into() };
        let error = ApiError::rows(&DataFusionError::ObjectStore(Box::new(store)));
        assert_eq!((error.status().as_u16(), error.code()), (503, "STORE_UNAVAILABLE"));
    }

    #[test]
    fn rows_that_were_deleted_have_expired() {
        let read =
            |source| ApiError::rows(&ShuffleError::Read { key: "res/x".to_owned(), source }.into());
        let gone = object_store::Error::NotFound { path: "x".to_owned(), source: "404".into() };
        assert_eq!(read(gone).status().as_u16(), 410);
        let slow = object_store::Error::Generic { store: "S3", source: "timed out".into() };
        assert_eq!(read(slow).code(), "STORE_UNAVAILABLE");
    }

    #[test]
    fn a_store_failure_says_when_to_try_again() {
        let response = ApiError::store("refused").about("q1").into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["dunlin-query-id"], "q1");
    }
}
