//! Errors as HTTP clients see them: RFC 9457 `application/problem+json` with a stable `code`.
//!
//! The core reports what went wrong. HTTP adds errors that only a request can have. One function turns both into
//! status, code and text, so the same error looks the same on every route.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::{ErrorCode, QueryError};
use dunlin_plan::redact::shown;
use dunlin_planner::{Mistake, PlanError};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::options::MAX_BODY_BYTES;
use crate::query::error::{CoreError, ErrorKind, GuestError};

/// Where every gateway has a page on each error code. The `type` of a problem is this and the code: an address at the
/// gateway that answers.
pub(super) const TYPE_BASE: &str = "/errors/";
/// Seconds after which a client may try again when the store does not answer.
const STORE_RETRY_SECONDS: u32 = 2;
/// Longest `detail`, in characters. An error that quotes a whole plan does not help.
const MAX_DETAIL: usize = 4_000;

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// An error of the core.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The body is too long.
    #[error("the request body is larger than {MAX_BODY_BYTES} bytes")]
    BodyTooLarge,
    /// The client accepts no format that Dunlin can write.
    #[error("none of the accepted formats is known; known are {0}")]
    NotAcceptable(String),
    /// The answer cannot be written in the format that the client asks for.
    #[error("{0}")]
    Unwritable(String),
    /// The request was refused before a handler.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No such path.
    #[error("there is nothing at this path")]
    NoSuchPath,
    /// The path does not support the method.
    #[error("this path does not answer that method")]
    MethodNotAllowed,
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
    /// Stable code that clients program against.
    pub code: ErrorCode,
    /// Whether sending the same request again may help.
    pub retryable: bool,
    /// The query, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_id: Option<String>,
    /// Position in the SQL text, 1-based.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// A position in the SQL text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Line, 1-based.
    pub line: u64,
    /// Column, 1-based.
    pub column: u64,
}

impl From<ErrorKind> for ApiError {
    fn from(kind: ErrorKind) -> Self {
        Self::Core(kind.into())
    }
}

impl ApiError {
    pub(crate) fn invalid_request(detail: impl Into<String>) -> Self {
        CoreError::invalid_request(detail).into()
    }

    pub(crate) fn not_acceptable<'a>(known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<_> = known.into_iter().collect();
        Self::NotAcceptable(known.join(", "))
    }

    /// The same error, about `query`.
    #[must_use]
    pub(crate) fn about(self, query: &QueryId) -> Self {
        match self {
            Self::Core(error) => Self::Core(error.about(query)),
            other => other,
        }
    }

    /// Whether it tells how a query has ended.
    fn is_of_an_end(&self) -> bool {
        use ErrorKind::{Cancelled, Guest, Plan, Query};
        let Self::Core(CoreError { kind, .. }) = self else { return false };
        matches!(kind, Query(_) | Cancelled | Guest(_) | Plan(PlanError::Execution { .. }))
    }

    /// Stable code that clients program against.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Core(error) => error.code(),
            Self::BodyTooLarge => ErrorCode::BodyTooLarge,
            Self::NotAcceptable(_) | Self::Unwritable(_) => ErrorCode::NotAcceptable,
            Self::Refused(refusal) => refusal.code(),
            Self::NoSuchPath => ErrorCode::NotFound,
            Self::MethodNotAllowed => ErrorCode::MethodNotAllowed,
        }
    }

    /// HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Core(error) => status_of(&error.kind),
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotAcceptable(_) | Self::Unwritable(_) => StatusCode::NOT_ACCEPTABLE,
            Self::Refused(refusal) => refusal.status(),
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The problem that the client sees.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let status = self.status();
        let (core, retryable) = match self {
            Self::Core(error) => (Some(error), error.is_retryable()),
            Self::Refused(refusal) => (None, refusal.is_retryable()),
            _ => (None, false),
        };
        let position = core.and_then(CoreError::position);
        Problem {
            kind: format!("{TYPE_BASE}{}", self.code()),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            // Errors of stores may quote what they were asked with.
            detail: shown(&self.to_string(), MAX_DETAIL),
            code: self.code(),
            retryable,
            query_id: core.and_then(|error| error.query.clone()),
            position: position.map(|(line, column)| Position { line, column }),
        }
    }

    /// The seconds after which a retry may help, if they are known.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Core(CoreError { kind: ErrorKind::QuotaExceeded { after, .. }, .. }) => {
                Some(after.as_secs().max(1))
            }
            _ => None,
        }
    }

    /// The error as one JSON object, for the end of an answer that has already started.
    #[must_use]
    pub fn as_line(&self) -> Value {
        json!({ "error": self.problem() })
    }
}

fn status_of(kind: &ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidRequest(_) | ErrorKind::InvalidSetting(_) => StatusCode::BAD_REQUEST,
        ErrorKind::OverLimit(_) | ErrorKind::AnswerTooLarge { .. } => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ErrorKind::SqlTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::NoSuchQuery(_)
        | ErrorKind::NoSuchTable { .. }
        | ErrorKind::NoSuchPart { .. } => StatusCode::NOT_FOUND,
        ErrorKind::NotReady => StatusCode::CONFLICT,
        ErrorKind::Cancelled | ErrorKind::Expired => StatusCode::GONE,
        ErrorKind::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Crowded(_) | ErrorKind::QuotaExceeded { .. } => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::WaitOver(_)
        | ErrorKind::WaitOverCancelled(_)
        | ErrorKind::Guest(GuestError::TimeLimit { .. }) => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Guest(GuestError::OutOfMemory { .. } | GuestError::Panicked) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        ErrorKind::Plan(error) => status_of_plan_error(error),
        ErrorKind::Query(error) => status_of_query_error(error),
        ErrorKind::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn status_of_plan_error(error: &PlanError) -> StatusCode {
    match error {
        PlanError::Planning { mistake: Mistake::Exists, .. } => StatusCode::CONFLICT,
        PlanError::Syntax { .. }
        | PlanError::Planning { .. }
        | PlanError::Setting(_)
        | PlanError::Session(_) => StatusCode::BAD_REQUEST,
        PlanError::Unsupported { .. } | PlanError::TooComplex(_) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        PlanError::Execution { retryable: false, .. } => StatusCode::BAD_REQUEST,
        PlanError::Execution { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        PlanError::Store { .. } => StatusCode::SERVICE_UNAVAILABLE,
        PlanError::Forbidden { .. } => StatusCode::FORBIDDEN,
    }
}

/// Any process may have ended the query and chosen the code. A code that this gateway does not know is a server
/// error.
fn status_of_query_error(error: &QueryError) -> StatusCode {
    match error.code {
        ErrorCode::ExecutionFailed if !error.retryable => StatusCode::BAD_REQUEST,
        ErrorCode::InputChanged | ErrorCode::TargetExists => StatusCode::CONFLICT,
        ErrorCode::Cancelled => StatusCode::GONE,
        ErrorCode::Unsupported | ErrorCode::QueryTooLarge | ErrorCode::LimitExceeded => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ErrorCode::NoCompatibleWorker | ErrorCode::StoreUnavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The error code of a response that refuses a request, for whoever counts. How a query has ended is counted with its end.
#[derive(Clone, Debug)]
pub(crate) struct Code(pub(crate) ErrorCode);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let after = self.retry_after();
        if problem.status >= 500 {
            tracing::warn!(
                code = %problem.code,
                status = problem.status,
                query = problem.query_id,
                detail = problem.detail,
                "a request failed"
            );
        }
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        if !self.is_of_an_end() {
            response.extensions_mut().insert(Code(problem.code.clone()));
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match problem.status {
            503 => {
                headers.insert(RETRY_AFTER, HeaderValue::from(STORE_RETRY_SECONDS));
            }
            401 => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            429 => {
                headers.insert(RETRY_AFTER, HeaderValue::from(after.unwrap_or(1)));
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
    use datafusion::error::DataFusionError;
    use dunlin_shuffle::ShuffleError;

    use super::*;

    fn plan(error: PlanError) -> ApiError {
        CoreError::from(error).into()
    }

    fn rows(error: DataFusionError) -> ApiError {
        CoreError::rows(error).into()
    }

    fn about_q1(error: impl Into<CoreError>) -> ApiError {
        CoreError { query: Some("q1".to_owned()), ..error.into() }.into()
    }

    fn query_error(code: &str, retryable: bool) -> ApiError {
        let message = "the message".to_owned();
        ErrorKind::Query(QueryError { code: code.to_owned().into(), message, retryable }).into()
    }

    #[test]
    fn no_form_of_an_error_quotes_a_secret() {
        dunlin_plan::redact::know("http-s3cret");
        let error = || ApiError::from(CoreError::store("denied to http-s3cret"));
        for text in [error().as_line().to_string(), error().problem().detail] {
            assert!(text.contains("denied to ********"), "{text}");
        }
    }

    #[test]
    fn planner_errors_keep_code_position_and_retryability() {
        let error = about_q1(PlanError::Syntax {
            message: "expected an expression".to_owned(),
            position: Some((2, 7)),
            source: None,
        });
        let problem = serde_json::to_value(error.problem()).unwrap();
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
        let detail = plan(unsupported);
        assert!(detail.problem().detail.contains("COPY"));
        for (error, status, code) in [
            (detail, 422, "UNSUPPORTED"),
            (plan(PlanError::Setting("x".into())), 400, "INVALID_SETTING"),
            (
                plan(PlanError::Store { message: "x".into(), source: None }),
                503,
                "STORE_UNAVAILABLE",
            ),
            (
                plan(PlanError::Execution { message: "x".into(), retryable: false, source: None }),
                400,
                "EXECUTION_FAILED",
            ),
            (
                plan(PlanError::Execution { message: "x".into(), retryable: true, source: None }),
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
            (ErrorKind::SqlTooLarge(9).into(), 413, "SQL_TOO_LARGE"),
            (CoreError::no_such_query("x").into(), 404, "NOT_FOUND"),
            (CoreError::store("refused").into(), 503, "STORE_UNAVAILABLE"),
        ] {
            let problem = error.problem();
            assert_eq!((problem.status, problem.code.as_str()), (status, code), "{error}");
        }
    }

    #[test]
    fn a_division_by_zero_is_the_clients_error_and_a_store_failure_is_not() {
        use datafusion::arrow::error::ArrowError;
        let divided = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        let error = rows(divided);
        assert_eq!((error.status().as_u16(), error.code()), (400, ErrorCode::ExecutionFailed));
        assert!(!error.problem().retryable);
        let store = object_store::Error::Generic { store: "S3", source: "timed out".into() };
        let error = rows(DataFusionError::ObjectStore(Box::new(store)));
        assert_eq!((error.status().as_u16(), error.code()), (503, ErrorCode::StoreUnavailable));
    }

    #[test]
    fn rows_that_were_deleted_have_expired() {
        let read = |source| rows(ShuffleError::Read { key: "res/x".to_owned(), source }.into());
        let gone = object_store::Error::NotFound { path: "x".to_owned(), source: "404".into() };
        assert_eq!(read(gone).status().as_u16(), 410);
        let slow = object_store::Error::Generic { store: "S3", source: "timed out".into() };
        assert_eq!(read(slow).code(), ErrorCode::StoreUnavailable);
    }

    #[test]
    fn a_store_failure_says_when_to_try_again() {
        let response = about_q1(CoreError::store("refused")).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["dunlin-query-id"], "q1");
    }
}
