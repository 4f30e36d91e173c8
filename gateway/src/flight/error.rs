//! Errors as gRPC clients see them: a status, `CODE: what was wrong`, and the details that Google's APIs use.
//!
//! The code, the query, the place in the statement and whether a retry may help are the same as over HTTP.

use std::collections::HashMap;
use std::time::Duration;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::ErrorCode;
use dunlin_plan::redact::redact;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::auth::MAY_NOT_WRITE;
use crate::door::Refused;
use crate::query::error::{CoreError, ErrorKind};

/// Whose codes the details hold.
const DOMAIN: &str = "dunlin";
/// Metadata of a failed call: the code, for whoever reads no details.
pub(super) const CODE: &str = "dunlin-code";
/// Metadata of an answer: the query.
pub(super) const QUERY_ID: &str = "dunlin-query-id";
/// After so long a client may try again when a gateway is busy or its store does not answer.
const RETRY: Duration = Duration::from_secs(2);
/// Longest text of an error, in bytes. It travels in headers, twice and encoded, and some clients take 8 KiB of those.
const MAX_TEXT: usize = 1_500;

/// What went wrong with a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum FlightError {
    /// An error of the core.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The call shows no key, or an unknown one.
    #[error(
        "show an API key that this gateway knows, or a token of its issuer, as authorization: Bearer <it>, or as the password of Basic"
    )]
    Unauthorized,
    /// The key does not allow the call.
    #[error("this API key or token does not allow the request")]
    Forbidden,
    /// The key does not allow to write.
    #[error("{MAY_NOT_WRITE}")]
    MayNotWrite,
    /// There are too many calls.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The message of a call is too long, or did not arrive in time.
    #[error("{0}")]
    Slow(&'static str),
    /// A message is too long.
    #[error("{0}")]
    TooLarge(String),
    /// A ticket or handle that this client was not given.
    #[error(
        "this ticket or handle is not from this installation, is damaged, or was given to somebody else; ask for a new one with GetFlightInfo"
    )]
    NoSuchToken,
    /// The protocol has it, and this gateway does not.
    #[error("{what} is not supported: {instead}")]
    NotSupported {
        /// The call or command.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// The gateway stops before the answer is there.
    #[error(
        "the gateway is stopping, and the query continues: redeem the same ticket at another gateway"
    )]
    Stopping,
}

impl From<ErrorKind> for FlightError {
    fn from(kind: ErrorKind) -> Self {
        Self::Core(kind.into())
    }
}

impl FlightError {
    /// The request cannot be understood.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        CoreError::invalid_request(detail).into()
    }

    /// The same error, about `query`.
    pub(super) fn about(self, query: &QueryId) -> Self {
        match self {
            Self::Core(error) => Self::Core(error.about(query)),
            other => other,
        }
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Core(error) => error.code(),
            Self::Unauthorized => ErrorCode::Unauthorized,
            Self::Forbidden | Self::MayNotWrite => ErrorCode::Forbidden,
            Self::Refused(Refused::Client { .. }) => ErrorCode::TooManyRequests,
            Self::Refused(Refused::All { .. }) | Self::Stopping => ErrorCode::GatewayBusy,
            Self::Slow(_) => ErrorCode::RequestTimeout,
            Self::TooLarge(_) => ErrorCode::BodyTooLarge,
            Self::NoSuchToken => ErrorCode::NotFound,
            Self::NotSupported { .. } => ErrorCode::Unsupported,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Core(error) => error.is_retryable(),
            Self::Refused(_) | Self::Slow(_) | Self::Stopping => true,
            _ => false,
        }
    }
}

/// The status of a code. A code of another version counts as a defect of the server.
fn status_of(code: &ErrorCode, is_retryable: bool) -> Code {
    use ErrorCode as E;
    match code {
        E::InvalidRequest
        | E::InvalidSetting
        | E::SyntaxError
        | E::PlanningFailed
        | E::SqlTooLarge
        | E::BodyTooLarge
        | E::IdempotencyMismatch => Code::InvalidArgument,
        E::ExecutionFailed if !is_retryable => Code::InvalidArgument,
        E::Unauthorized => Code::Unauthenticated,
        E::Forbidden => Code::PermissionDenied,
        E::NotFound => Code::NotFound,
        E::TargetExists => Code::AlreadyExists,
        E::Unsupported | E::NotAcceptable | E::MethodNotAllowed => Code::Unimplemented,
        E::ResultExpired
        | E::LimitExceeded
        | E::AnswerTooLarge
        | E::QueryTooLarge
        | E::QueryTooComplex => Code::FailedPrecondition,
        E::TooManyRequests | E::QuotaExceeded | E::OutOfMemory | E::DiskFull => {
            Code::ResourceExhausted
        }
        E::InputChanged => Code::Aborted,
        E::Cancelled => Code::Cancelled,
        E::RequestTimeout | E::Timeout | E::WaitOver | E::InlineTimeLimit => Code::DeadlineExceeded,
        E::GatewayBusy | E::StoreUnavailable | E::NoCompatibleWorker | E::NotReady => {
            Code::Unavailable
        }
        _ => Code::Internal,
    }
}

impl From<FlightError> for Status {
    fn from(error: FlightError) -> Self {
        let (code, is_retryable) = (error.code(), error.is_retryable());
        let status = status_of(&code, is_retryable);
        let (query, position) = match &error {
            FlightError::Core(core) => (core.query.clone(), core.position()),
            _ => (None, None),
        };
        // Errors of stores may quote what they were asked with.
        let mut text = redact(&error.to_string()).into_owned();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        let text = format!("{code}: {text}");
        if matches!(status, Code::Internal | Code::Unavailable | Code::ResourceExhausted) {
            tracing::warn!(%code, query, detail = text, "a call failed");
        }
        let mut known = HashMap::from([("retryable".to_owned(), is_retryable.to_string())]);
        let mut metadata = MetadataMap::new();
        if let Ok(value) = AsciiMetadataValue::try_from(code.as_str()) {
            metadata.insert(CODE, value);
        }
        if let Some(query) = query {
            if let Ok(value) = AsciiMetadataValue::try_from(&query) {
                metadata.insert(QUERY_ID, value);
            }
            known.insert("query_id".to_owned(), query);
        }
        if let Some((line, column)) = position {
            known.insert("line".to_owned(), line.to_string());
            known.insert("column".to_owned(), column.to_string());
        }
        let mut details = ErrorDetails::with_error_info(code.as_str(), DOMAIN, known);
        if is_retryable {
            details.set_retry_info(Some(RETRY));
        }
        Self::with_error_details_and_metadata(status, text, details, metadata)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_the_code_the_query_and_whether_a_retry_helps() {
        let query = QueryId::at(1, &[1; 10]);
        let status = Status::from(FlightError::from(ErrorKind::Cancelled).about(&query));
        assert_eq!(status.code(), Code::Cancelled);
        assert!(status.message().starts_with("CANCELLED: "), "{status:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("CANCELLED", DOMAIN));
        assert_eq!(info.metadata["query_id"], query.to_string());
        assert_eq!(info.metadata["retryable"], "false");
        let busy = Status::from(FlightError::Refused(Refused::All { most: 1 }));
        assert_eq!(
            (busy.code(), busy.get_details_retry_info().is_some()),
            (Code::Unavailable, true)
        );
    }

    #[test]
    fn every_code_but_the_defects_has_a_status_of_its_own() {
        let defects = [
            ErrorCode::Internal,
            ErrorCode::ExchangeFailed,
            ErrorCode::WorkerLost,
            ErrorCode::SubmissionFailed,
            ErrorCode::GivenBack,
        ];
        for code in ErrorCode::KNOWN {
            let is_defect = status_of(code, false) == Code::Internal;
            assert_eq!(is_defect, defects.contains(code), "{code}");
        }
    }

    #[test]
    fn a_secret_is_not_told() {
        dunlin_plan::redact::know("flight-s3cret");
        let error = CoreError::store("denied for flight-s3cret".to_owned());
        let status = Status::from(FlightError::from(error));
        assert!(!format!("{status:?}").contains("flight-s3cret"), "{status:?}");
    }
}
