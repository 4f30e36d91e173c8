//! The codes of errors: one word for each trouble, in records and at every face.
//!
//! A code is what clients program against, so a text never changes once it was released. Whether a retry
//! helps is not in the code: the same trouble may pass in one place and stay in another, so every error that has
//! a code says that beside it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares the enum and its texts in one table, so that neither can lack an entry of the other.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Code of an error. Records may hold codes of a later version: they are kept as they are.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)+
            /// A code that this version does not know.
            Other(String),
        }

        impl ErrorCode {
            /// Every code that this version knows.
            pub const KNOWN: &[Self] = &[$(Self::$name,)+];

            /// The text, as records and answers have it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<String> for ErrorCode {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$name,)+
                    _ => Self::Other(text),
                }
            }
        }
    };
}

error_codes! {
    /// The request cannot be read.
    InvalidRequest = "INVALID_REQUEST",
    /// A setting is unknown or unusable.
    InvalidSetting = "INVALID_SETTING",
    /// The SQL text is too long.
    SqlTooLarge = "SQL_TOO_LARGE",
    /// The body of the request is too long.
    BodyTooLarge = "BODY_TOO_LARGE",
    /// The request shows no API key, or none that is known.
    Unauthorized = "UNAUTHORIZED",
    /// The API key does not allow the request.
    Forbidden = "FORBIDDEN",
    /// The request took too long to arrive.
    RequestTimeout = "REQUEST_TIMEOUT",
    /// The client has as many requests in hand as one client may.
    TooManyRequests = "TOO_MANY_REQUESTS",
    /// The client accepts no format that is known.
    NotAcceptable = "NOT_ACCEPTABLE",
    /// There is no such query or path.
    NotFound = "NOT_FOUND",
    /// The path does not know the method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED",
    /// The answer is not there yet.
    NotReady = "NOT_READY",
    /// The answer was deleted after its time to live.
    ResultExpired = "RESULT_EXPIRED",
    /// The idempotency key stands for another request.
    IdempotencyMismatch = "IDEMPOTENCY_MISMATCH",
    /// The text is not SQL.
    SyntaxError = "SYNTAX_ERROR",
    /// The SQL names what is not there, or mixes types that do not mix.
    PlanningFailed = "PLANNING_FAILED",
    /// The statement is understood, and Dunlin will not run it.
    Unsupported = "UNSUPPORTED",
    /// The submit died before the query was written down.
    SubmissionFailed = "SUBMISSION_FAILED",
    /// The plan failed while it ran.
    ExecutionFailed = "EXECUTION_FAILED",
    /// A task needed more memory than its worker has.
    OutOfMemory = "OUT_OF_MEMORY",
    /// Exchange data could not be read as what was written.
    ExchangeFailed = "EXCHANGE_FAILED",
    /// An input changed since the query was planned.
    InputChanged = "INPUT_CHANGED",
    /// A store does not answer.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// The worker was asked to stop, and gave its task back.
    GivenBack = "GIVEN_BACK",
    /// Every worker that claimed a task was lost with it.
    WorkerLost = "WORKER_LOST",
    /// No living worker may run the query.
    NoCompatibleWorker = "NO_COMPATIBLE_WORKER",
    /// The query did not end within its time to live.
    Timeout = "TIMEOUT",
    /// The statement is larger than a process may be asked to plan.
    QueryTooComplex = "QUERY_TOO_COMPLEX",
    /// The gateway does too much already.
    GatewayBusy = "GATEWAY_BUSY",
    /// The client did not wait long enough for an answer that leaves no trace.
    WaitOver = "WAIT_OVER",
    /// The query ran inline for longer than the gateway allows.
    InlineTimeLimit = "INLINE_TIME_LIMIT",
    /// Somebody asked for no answer.
    Cancelled = "CANCELLED",
    /// A defect of Dunlin, or of a store that broke a promise.
    Internal = "INTERNAL",
}

impl From<ErrorCode> for String {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Other(text) => text,
            known => known.as_str().to_owned(),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_code_is_written_as_its_text_and_read_again() {
        for code in ErrorCode::KNOWN {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), *code);
        }
    }

    #[test]
    fn a_code_of_a_later_version_is_kept_as_it_is() {
        let json = "\"MOON_IN_THE_WAY\"";
        let code: ErrorCode = serde_json::from_str(json).unwrap();
        assert_eq!(code, ErrorCode::Other("MOON_IN_THE_WAY".to_owned()));
        assert_eq!(serde_json::to_string(&code).unwrap(), json);
    }
}
