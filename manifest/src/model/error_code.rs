//! The codes of errors: one word for each kind of error, the same in records, the API and the command line.
//!
//! Clients program against a code, so its text never changes once it is released. The code does not say whether a
//! retry helps: the same kind of error may be temporary in one place and permanent in another. Every error that has a
//! code says that in a separate field.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares the enum and its texts in one table, so that neither can miss an entry of the other.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Code of an error. Records may hold codes of a later version. They are kept unchanged.
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

            /// The text in records and answers.
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
    /// The request cannot be parsed.
    InvalidRequest = "INVALID_REQUEST",
    /// A setting is unknown or unusable.
    InvalidSetting = "INVALID_SETTING",
    /// The SQL text is too long.
    SqlTooLarge = "SQL_TOO_LARGE",
    /// The body of the request is too long.
    BodyTooLarge = "BODY_TOO_LARGE",
    /// The request has no API key, or an unknown one.
    Unauthorized = "UNAUTHORIZED",
    /// The API key does not allow the request.
    Forbidden = "FORBIDDEN",
    /// The request took too long to arrive.
    RequestTimeout = "REQUEST_TIMEOUT",
    /// The client has reached its limit of requests in progress.
    TooManyRequests = "TOO_MANY_REQUESTS",
    /// The queries of a workgroup have used what they may use in a day.
    QuotaExceeded = "QUOTA_EXCEEDED",
    /// The client accepts no format that Dunlin can write.
    NotAcceptable = "NOT_ACCEPTABLE",
    /// There is no such query or path.
    NotFound = "NOT_FOUND",
    /// The path does not support the method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED",
    /// The answer is not there yet.
    NotReady = "NOT_READY",
    /// The answer was deleted after its time to live.
    ResultExpired = "RESULT_EXPIRED",
    /// The idempotency key was used for another request.
    IdempotencyMismatch = "IDEMPOTENCY_MISMATCH",
    /// The text is not SQL.
    SyntaxError = "SYNTAX_ERROR",
    /// The SQL names something that does not exist, or combines types that do not fit.
    PlanningFailed = "PLANNING_FAILED",
    /// The statement is valid, but Dunlin does not run it.
    Unsupported = "UNSUPPORTED",
    /// A place that is to be written has something already.
    TargetExists = "TARGET_EXISTS",
    /// The submit stopped before the query was written.
    SubmissionFailed = "SUBMISSION_FAILED",
    /// The plan failed while it ran.
    ExecutionFailed = "EXECUTION_FAILED",
    /// A task needed more memory than its worker has.
    OutOfMemory = "OUT_OF_MEMORY",
    /// A task needed more local disk than its worker has.
    DiskFull = "DISK_FULL",
    /// Exchange data could not be read back as it was written.
    ExchangeFailed = "EXCHANGE_FAILED",
    /// An input changed since the query was planned.
    InputChanged = "INPUT_CHANGED",
    /// A store does not answer.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// The worker was asked to stop, and gave its task back.
    GivenBack = "GIVEN_BACK",
    /// Every worker that claimed a task was lost while it ran the task.
    WorkerLost = "WORKER_LOST",
    /// No living worker is allowed to run the query.
    NoCompatibleWorker = "NO_COMPATIBLE_WORKER",
    /// The query did not end within its time to live.
    Timeout = "TIMEOUT",
    /// The statement is larger than the limit for planning in one process.
    QueryTooComplex = "QUERY_TOO_COMPLEX",
    /// The query cannot be written down within the limits of the store's records.
    QueryTooLarge = "QUERY_TOO_LARGE",
    /// The gateway is at the limit of its work.
    GatewayBusy = "GATEWAY_BUSY",
    /// The client stopped waiting for an answer that is not stored.
    WaitOver = "WAIT_OVER",
    /// The query ran inline for longer than the gateway allows.
    InlineTimeLimit = "INLINE_TIME_LIMIT",
    /// The query would use, or has used, more than its limit.
    LimitExceeded = "LIMIT_EXCEEDED",
    /// The answer is larger than this gateway can send.
    AnswerTooLarge = "ANSWER_TOO_LARGE",
    /// A client cancelled the query.
    Cancelled = "CANCELLED",
    /// A defect of Dunlin, or of a store that does not keep its promises.
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
