//! Why a statement has no answer, in Trino's words: a number, a name and a type, which clients program against.

use std::fmt;

use datafusion::arrow::datatypes::DataType;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::ErrorCode;
use dunlin_plan::redact::shown;
use dunlin_planner::{Mistake, PlanError};
use serde_json::{Value, json};

use crate::http::ApiError;
use crate::query::error::{CoreError, ErrorKind};

/// Longest message, in characters.
const MAX_MESSAGE: usize = 4_000;

/// A kind of error: its number and name in Trino. The number tells the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name(u32, &'static str);

impl Name {
    pub(super) const USER: Self = Self(0, "GENERIC_USER_ERROR");
    pub(super) const SYNTAX: Self = Self(1, "SYNTAX_ERROR");
    pub(super) const CANCELED: Self = Self(3, "USER_CANCELED");
    pub(super) const DENIED: Self = Self(4, "PERMISSION_DENIED");
    pub(super) const NOT_FOUND: Self = Self(5, "NOT_FOUND");
    pub(super) const NO_FUNCTION: Self = Self(6, "FUNCTION_NOT_FOUND");
    pub(super) const DIVISION_BY_ZERO: Self = Self(8, "DIVISION_BY_ZERO");
    pub(super) const BAD_CAST: Self = Self(9, "INVALID_CAST_ARGUMENT");
    pub(super) const EXISTS: Self = Self(12, "ALREADY_EXISTS");
    pub(super) const NOT_SUPPORTED: Self = Self(13, "NOT_SUPPORTED");
    pub(super) const BAD_SETTING: Self = Self(14, "INVALID_SESSION_PROPERTY");
    pub(super) const CONFLICT: Self = Self(17, "TRANSACTION_CONFLICT");
    pub(super) const NOT_IN_TRANSACTION: Self = Self(21, "NOT_IN_TRANSACTION");
    pub(super) const READ_ONLY: Self = Self(23, "READ_ONLY_VIOLATION");
    pub(super) const REJECTED: Self = Self(31, "QUERY_REJECTED");
    pub(super) const TOO_LARGE: Self = Self(35, "QUERY_TEXT_TOO_LARGE");
    pub(super) const TOO_MANY_STAGES: Self = Self(40, "QUERY_HAS_TOO_MANY_STAGES");
    pub(super) const NO_CATALOG: Self = Self(44, "CATALOG_NOT_FOUND");
    pub(super) const NO_SCHEMA: Self = Self(45, "SCHEMA_NOT_FOUND");
    pub(super) const NO_TABLE: Self = Self(46, "TABLE_NOT_FOUND");
    pub(super) const NO_COLUMN: Self = Self(47, "COLUMN_NOT_FOUND");
    pub(super) const TABLE_EXISTS: Self = Self(50, "TABLE_ALREADY_EXISTS");
    pub(super) const TYPES: Self = Self(58, "TYPE_MISMATCH");
    pub(super) const BAD_LITERAL: Self = Self(59, "INVALID_LITERAL");
    pub(super) const AMBIGUOUS: Self = Self(62, "AMBIGUOUS_NAME");
    pub(super) const GROUPS: Self = Self(73, "EXPRESSION_NOT_AGGREGATE");
    pub(super) const PARAMETERS: Self = Self(80, "INVALID_PARAMETER_USAGE");
    pub(super) const INTERNAL: Self = Self(65_536, "GENERIC_INTERNAL_ERROR");
    pub(super) const NO_WORKERS: Self = Self(65_541, "NO_NODES_AVAILABLE");
    pub(super) const WORKER_LOST: Self = Self(65_558, "REMOTE_HOST_GONE");
    pub(super) const DISK_FULL: Self = Self(65_557, "OUT_OF_SPILL_SPACE");
    pub(super) const RESOURCES: Self = Self(131_072, "GENERIC_INSUFFICIENT_RESOURCES");
    pub(super) const QUEUE_FULL: Self = Self(131_074, "QUERY_QUEUE_FULL");
    pub(super) const TIME_LIMIT: Self = Self(131_075, "EXCEEDED_TIME_LIMIT");
    pub(super) const MEMORY_LIMIT: Self = Self(131_079, "EXCEEDED_LOCAL_MEMORY_LIMIT");

    /// The type: whose fault it is.
    fn kind(self) -> &'static str {
        match self.0 {
            0..65_536 => "USER_ERROR",
            65_536..131_072 => "INTERNAL_ERROR",
            _ => "INSUFFICIENT_RESOURCES",
        }
    }
}

/// Why a statement has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    name: Name,
    message: String,
    /// Dunlin's code.
    code: ErrorCode,
    /// Line and column in the statement, 1-based.
    place: Option<(u64, u64)>,
    query: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.1, self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub(super) fn new(name: Name, message: impl Into<String>) -> Self {
        let code = match name {
            Name::SYNTAX => ErrorCode::SyntaxError,
            Name::NOT_SUPPORTED => ErrorCode::Unsupported,
            Name::DENIED => ErrorCode::Forbidden,
            Name::BAD_SETTING => ErrorCode::InvalidSetting,
            _ => ErrorCode::InvalidRequest,
        };
        Self { name, message: message.into(), code, place: None, query: None }
    }

    /// No statement was prepared under a name.
    pub(super) fn not_prepared(name: &str) -> Self {
        let name: String = name.chars().take(64).collect();
        Self::new(Name::NOT_FOUND, format!("Prepared statement not found: {name}"))
    }

    /// A column that has a type which Trino has not.
    pub(super) fn no_type(kind: &DataType) -> Self {
        let kind: String = kind.to_string().chars().take(100).collect();
        Self::new(Name::NOT_SUPPORTED, format!("Trino has no type for {kind}; cast it to text"))
    }

    /// A value that the text for clients has no place for.
    pub(super) fn unwritable(error: impl fmt::Display) -> Self {
        Self::new(Name::USER, format!("a value cannot be written: {error}"))
    }

    /// The same failure, about `query`.
    pub(super) fn about(mut self, query: &QueryId) -> Self {
        self.query.get_or_insert_with(|| query.to_string());
        self
    }

    /// The query that it is about.
    pub(super) fn query(&self) -> Option<QueryId> {
        self.query.as_deref().and_then(QueryId::parse)
    }

    /// As clients read it.
    pub(super) fn body(&self) -> Value {
        // Errors of stores may quote what they were asked with.
        let message = shown(&self.message, MAX_MESSAGE);
        let message = match self.place {
            Some((line, column)) => format!("line {line}:{column}: {message}"),
            None => message,
        };
        if self.name.0 >= Name::INTERNAL.0 {
            tracing::warn!(code = %self.code, query = self.query, detail = message, "a statement failed");
        }
        let mut body = json!({
            "message": message,
            "errorCode": self.name.0,
            "errorName": self.name.1,
            "errorType": self.name.kind(),
            "failureInfo": {
                "type": format!("dunlin.{}", self.code),
                "message": message,
                "suppressed": [],
                "stack": [],
            },
        });
        if let Some((line, column)) = self.place {
            body["errorLocation"] = json!({ "lineNumber": line, "columnNumber": column });
        }
        body
    }
}

/// What a request is answered with that has no rows: an error of the statement, which comes with status 200, or one of the
/// request. Clients send a request again by itself after 429, 502, 503 and 504.
#[derive(Debug)]
pub(super) enum Refused {
    Statement(Failure),
    Request(ApiError),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Statement(failure)
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Request(error)
    }
}

impl From<CoreError> for Refused {
    fn from(error: CoreError) -> Self {
        match &error.kind {
            // The request may be sent again, or is about a query that is not there.
            ErrorKind::Busy(_)
            | ErrorKind::Store(_)
            | ErrorKind::NotReady
            | ErrorKind::NoSuchQuery(_)
            | ErrorKind::Expired
            | ErrorKind::IdempotencyMismatch => Self::Request(error.into()),
            ErrorKind::Plan(PlanError::Store { .. }) => Self::Request(error.into()),
            _ => Self::Statement(error.into()),
        }
    }
}

impl From<CoreError> for Failure {
    fn from(error: CoreError) -> Self {
        let code = error.code();
        let message = error.to_string();
        let name = match &error.kind {
            ErrorKind::Plan(PlanError::Planning { mistake, .. }) => of_mistake(*mistake),
            _ => of_code(&code, &message),
        };
        Self { name, message, code, place: error.position(), query: error.query }
    }
}

fn of_mistake(mistake: Mistake) -> Name {
    match mistake {
        Mistake::Exists => Name::TABLE_EXISTS,
        Mistake::Table | Mistake::File => Name::NO_TABLE,
        Mistake::Column => Name::NO_COLUMN,
        Mistake::Ambiguous => Name::AMBIGUOUS,
        Mistake::Function => Name::NO_FUNCTION,
        Mistake::Arguments | Mistake::Types | Mistake::Width => Name::TYPES,
        Mistake::Groups => Name::GROUPS,
        Mistake::Value => Name::BAD_LITERAL,
        Mistake::Other => Name::USER,
    }
}

/// The name for a code. The engine has one code for all errors of data; its text tells the two that clients look for.
fn of_code(code: &ErrorCode, message: &str) -> Name {
    use ErrorCode as E;
    match code {
        E::SyntaxError => Name::SYNTAX,
        E::ExecutionFailed => {
            let message = message.to_ascii_lowercase();
            if message.contains("divide by zero") || message.contains("division by zero") {
                Name::DIVISION_BY_ZERO
            } else if message.contains("cast") || message.contains("convert") {
                Name::BAD_CAST
            } else {
                Name::USER
            }
        }
        E::PlanningFailed | E::InvalidRequest | E::NotFound => Name::USER,
        E::InvalidSetting => Name::BAD_SETTING,
        E::Unsupported | E::NotAcceptable | E::MethodNotAllowed => Name::NOT_SUPPORTED,
        E::SqlTooLarge | E::BodyTooLarge => Name::TOO_LARGE,
        E::QueryTooComplex | E::QueryTooLarge => Name::TOO_MANY_STAGES,
        E::LimitExceeded | E::QuotaExceeded | E::AnswerTooLarge => Name::REJECTED,
        E::Forbidden | E::Unauthorized => Name::DENIED,
        E::TargetExists => Name::EXISTS,
        E::Cancelled => Name::CANCELED,
        E::InputChanged | E::IdempotencyMismatch => Name::CONFLICT,
        E::OutOfMemory => Name::MEMORY_LIMIT,
        E::DiskFull => Name::DISK_FULL,
        E::NoCompatibleWorker => Name::NO_WORKERS,
        E::WorkerLost => Name::WORKER_LOST,
        E::Timeout | E::InlineTimeLimit | E::WaitOver | E::RequestTimeout => Name::TIME_LIMIT,
        E::GatewayBusy | E::TooManyRequests => Name::QUEUE_FULL,
        E::ResultExpired => Name::RESOURCES,
        _ => Name::INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: ErrorCode, message: &str) -> Value {
        let error = dunlin_manifest::records::QueryError {
            code,
            message: message.to_owned(),
            retryable: false,
        };
        Failure::from(CoreError::from(ErrorKind::Query(error))).body()
    }

    #[test]
    fn errors_have_the_numbers_and_names_of_trino() {
        let told = of(ErrorCode::ExecutionFailed, "Divide by zero");
        assert_eq!(
            (&told["errorCode"], &told["errorName"], &told["errorType"]),
            (&json!(8), &json!("DIVISION_BY_ZERO"), &json!("USER_ERROR"))
        );
        let told = of(ErrorCode::WorkerLost, "gone");
        assert_eq!(
            (&told["errorCode"], &told["errorType"]),
            (&json!(65_558), &json!("INTERNAL_ERROR"))
        );
        let told = of(ErrorCode::Timeout, "too long");
        assert_eq!(told["errorName"], "EXCEEDED_TIME_LIMIT");
        assert_eq!(told["errorType"], "INSUFFICIENT_RESOURCES");
        assert_eq!(told["failureInfo"]["type"], "dunlin.TIMEOUT");
        assert_eq!(of(ErrorCode::Cancelled, "")["errorCode"], 3);
    }

    #[test]
    fn a_place_is_told_in_words_and_numbers() {
        let failure = Failure { place: Some((2, 7)), ..Failure::new(Name::SYNTAX, "wrong") };
        let told = failure.body();
        assert_eq!(told["message"], "line 2:7: wrong");
        assert_eq!(told["errorLocation"], json!({"lineNumber": 2, "columnNumber": 7}));
    }

    #[test]
    fn what_may_be_sent_again_is_an_error_of_the_request() {
        let busy = Refused::from(CoreError::from(ErrorKind::Busy("full".to_owned())));
        assert!(matches!(busy, Refused::Request(error) if error.status() == 503));
        let store = Refused::from(CoreError::store("gone"));
        assert!(matches!(store, Refused::Request(error) if error.status() == 503));
        let cancelled = Refused::from(CoreError::from(ErrorKind::Cancelled));
        assert!(matches!(cancelled, Refused::Statement(_)));
    }
}
