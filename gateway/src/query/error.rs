//! Why the core gives no answer: one type for all protocols.

use std::time::Duration;

use datafusion::error::DataFusionError;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::AdvanceError;
use dunlin_manifest::records::{ErrorCode, QueryError};
use dunlin_manifest::store::StoreError;
use dunlin_manifest::submit::SubmitError;
use dunlin_plan::words;
use dunlin_planner::PlanError;
use dunlin_shuffle::ShuffleError;

use crate::options::MAX_SQL_BYTES;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong with a statement or a query.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// The request cannot be parsed.
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
    /// No such query.
    #[error("there is no query '{0}'")]
    NoSuchQuery(String),
    /// No such table.
    #[error("there is no table '{name}'{hint}")]
    NoSuchTable {
        /// The name.
        name: String,
        /// The nearest name, as the end of the sentence.
        hint: String,
    },
    /// No such part of an answer.
    #[error("the answer has {parts} parts, from 0 to {}; there is no part {part}", .parts.saturating_sub(1))]
    NoSuchPart {
        /// The part.
        part: u64,
        /// How many there are.
        parts: u64,
    },
    /// The answer is not there yet.
    #[error("the query has not ended yet; ask for its status with ?wait=30s")]
    NotReady,
    /// The query was cancelled.
    #[error("the query was cancelled")]
    Cancelled,
    /// The answer was deleted after its time to live.
    #[error("the result is no longer stored; submit the query again")]
    Expired,
    /// The idempotency key was used for another request.
    #[error("this Idempotency-Key was used for another request; use a new key for a new request")]
    IdempotencyMismatch,
    /// The query would use more than its limit.
    #[error("{0}")]
    OverLimit(String),
    /// The answer is larger than this gateway can send.
    #[error(
        "the answer has {bytes} bytes, and this gateway sends at most {most}: ask for links to its objects (GET /v1/queries/{{id}}/links), for its parts (GET /v1/queries/{{id}}/results?part=0), or for less"
    )]
    AnswerTooLarge {
        /// Its bytes in the store.
        bytes: u64,
        /// The most.
        most: u64,
    },
    /// The process is at the limit of its work.
    #[error("{0}")]
    Busy(String),
    /// Too many queries of a workgroup run and wait.
    #[error("{0}")]
    Crowded(String),
    /// The queries of a workgroup have used what they may use in a day.
    #[error("{message}")]
    QuotaExceeded {
        /// What was used.
        message: String,
        /// When the next day begins.
        after: Duration,
    },
    /// The client stopped waiting for an answer that is not stored.
    #[error(
        "the answer was not there after the {} s that the request waits; nothing of it is kept: wait longer (Prefer: wait=600), or submit it to POST /v1/queries and come back",
        .0.as_secs()
    )]
    WaitOver(Duration),
    /// The client stopped waiting for its query, and wanted it cancelled then.
    #[error(
        "the query did not end within the {} s that the request waits, and was cancelled (on_wait_timeout is cancel): wait longer, or let it continue and come back",
        .0.as_secs()
    )]
    WaitOverCancelled(Duration),
    /// An inline query ran for too long.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// An error of the planner.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The query ended without an answer.
    #[error("{}", .0.message)]
    Query(QueryError),
    /// The coordination store does not answer.
    #[error("the store does not answer: {}", words::explained(.0.as_ref()))]
    Store(#[source] BoxError),
    /// A defect of Dunlin.
    #[error("internal error: {0}")]
    Internal(#[source] BoxError),
}

/// Why an inline query ended without its last row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// It ran for too long.
    #[error(
        "the query ran inline for {} s, which is the most that this gateway allows ([gateway.inline] time_limit_ms); submit it to the fleet (settings: {{\"route\": \"fleet\"}}) or ask for less",
        .most.as_secs()
    )]
    TimeLimit {
        /// The limit.
        most: Duration,
    },
    /// The process had nearly all the memory that it may have.
    #[error(
        "the gateway had nearly all the memory that its container or function may have ({} MB), and ended this inline query so that it is not killed itself: submit it to the fleet (settings: {{\"route\": \"fleet\"}}), or give the gateway more memory, or a smaller [gateway.inline] memory_bytes",
        .most >> 20
    )]
    OutOfMemory {
        /// Bytes that the process may have.
        most: u64,
    },
    /// An operator panicked.
    #[error("an operator panicked")]
    Panicked,
}

/// An error of the core, with the query it is about.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct CoreError {
    /// What went wrong.
    #[source]
    pub kind: ErrorKind,
    /// The query, if there is one.
    pub query: Option<String>,
}

impl From<ErrorKind> for CoreError {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, query: None }
    }
}

impl From<PlanError> for CoreError {
    fn from(error: PlanError) -> Self {
        ErrorKind::Plan(error).into()
    }
}

impl From<AdvanceError> for CoreError {
    fn from(error: AdvanceError) -> Self {
        match error {
            AdvanceError::Store(error) => error.into(),
            error if error.is_retryable() => Self::store(error),
            other => Self::internal(other),
        }
    }
}

impl From<SubmitError> for CoreError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::IdemMismatch { .. } => ErrorKind::IdempotencyMismatch.into(),
            SubmitError::Store(error) => error.into(),
            error @ SubmitError::TooLarge { .. } => ErrorKind::Query(QueryError {
                code: ErrorCode::QueryTooLarge,
                message: error.to_string(),
                retryable: false,
            })
            .into(),
            other => Self::store(other),
        }
    }
}

impl From<StoreError> for CoreError {
    /// A record that cannot be read is a defect. Every other error may be temporary.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Malformed { .. } => Self::internal(error),
            other => Self::store(other),
        }
    }
}

/// The error of a plan that ran. What a plan of this process reports is in words already, and names files.
fn of_run(error: DataFusionError) -> PlanError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<PlanError>() {
            Ok(told) => *told,
            Err(inner) => PlanError::from_execution(DataFusionError::External(inner)),
        },
        other => PlanError::from_execution(other),
    }
}

impl CoreError {
    pub(crate) fn invalid_request(detail: impl Into<String>) -> Self {
        ErrorKind::InvalidRequest(detail.into()).into()
    }

    pub(crate) fn invalid_setting(detail: impl Into<String>) -> Self {
        ErrorKind::InvalidSetting(detail.into()).into()
    }

    pub(crate) fn no_such_query(id: &str) -> Self {
        ErrorKind::NoSuchQuery(id.chars().take(64).collect()).into()
    }

    pub(crate) fn store(error: impl Into<BoxError>) -> Self {
        ErrorKind::Store(error.into()).into()
    }

    pub(crate) fn internal(error: impl Into<BoxError>) -> Self {
        ErrorKind::Internal(error.into()).into()
    }

    /// The error of a stream of rows, for any process that caused it.
    pub(crate) fn rows(error: DataFusionError) -> Self {
        let error = match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(known) => return *known,
                Err(inner) => DataFusionError::External(inner),
            },
            other => other,
        };
        if dunlin_manifest::pinned::is_input_changed(&error) {
            return ErrorKind::Query(QueryError {
                code: ErrorCode::InputChanged,
                message: format!(
                    "{}; submit the query again to read the new version",
                    words::sentence(&error)
                ),
                retryable: true,
            })
            .into();
        }
        match error.find_root() {
            DataFusionError::ObjectStore(_) => Self::store(words::sentence(&error)),
            DataFusionError::External(inner) => match inner.downcast_ref::<ShuffleError>() {
                Some(ShuffleError::Read {
                    source: object_store::Error::NotFound { .. }, ..
                }) => ErrorKind::Expired.into(),
                Some(read @ ShuffleError::Read { .. }) => Self::store(read.to_string()),
                Some(other) => Self::internal(other.to_string()),
                None if let Some(guest) = inner.downcast_ref::<GuestError>() => {
                    ErrorKind::Guest(*guest).into()
                }
                None => match inner.downcast_ref::<PlanError>() {
                    Some(plan) => ErrorKind::Query(QueryError {
                        code: plan.code(),
                        message: plan.to_string(),
                        retryable: plan.is_retryable(),
                    })
                    .into(),
                    None => of_run(error).into(),
                },
            },
            _ => of_run(error).into(),
        }
    }

    /// The same error, about `query`.
    #[must_use]
    pub(crate) fn about(mut self, query: &QueryId) -> Self {
        self.query.get_or_insert_with(|| query.to_string());
        self
    }

    /// Whether sending the same request again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match &self.kind {
            ErrorKind::NotReady
            | ErrorKind::Busy(_)
            | ErrorKind::Crowded(_)
            | ErrorKind::QuotaExceeded { .. }
            | ErrorKind::Store(_) => true,
            ErrorKind::Plan(error) => error.is_retryable(),
            ErrorKind::Query(error) => error.retryable,
            _ => false,
        }
    }

    /// Stable code that clients program against.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match &self.kind {
            ErrorKind::InvalidRequest(_) => ErrorCode::InvalidRequest,
            ErrorKind::InvalidSetting(_) => ErrorCode::InvalidSetting,
            ErrorKind::AnswerTooLarge { .. } => ErrorCode::AnswerTooLarge,
            ErrorKind::OverLimit(_) => ErrorCode::LimitExceeded,
            ErrorKind::SqlTooLarge(_) => ErrorCode::SqlTooLarge,
            ErrorKind::NoSuchQuery(_)
            | ErrorKind::NoSuchTable { .. }
            | ErrorKind::NoSuchPart { .. } => ErrorCode::NotFound,
            ErrorKind::NotReady => ErrorCode::NotReady,
            ErrorKind::Cancelled => ErrorCode::Cancelled,
            ErrorKind::Expired => ErrorCode::ResultExpired,
            ErrorKind::IdempotencyMismatch => ErrorCode::IdempotencyMismatch,
            ErrorKind::Busy(_) => ErrorCode::GatewayBusy,
            ErrorKind::Crowded(_) => ErrorCode::TooManyRequests,
            ErrorKind::QuotaExceeded { .. } => ErrorCode::QuotaExceeded,
            ErrorKind::WaitOver(_) | ErrorKind::WaitOverCancelled(_) => ErrorCode::WaitOver,
            ErrorKind::Guest(GuestError::TimeLimit { .. }) => ErrorCode::InlineTimeLimit,
            ErrorKind::Guest(GuestError::OutOfMemory { .. }) => ErrorCode::OutOfMemory,
            ErrorKind::Guest(GuestError::Panicked) => ErrorCode::Internal,
            ErrorKind::Plan(error) => error.code(),
            ErrorKind::Query(error) => error.code.clone(),
            ErrorKind::Store(_) => ErrorCode::StoreUnavailable,
            ErrorKind::Internal(_) => ErrorCode::Internal,
        }
    }

    /// Line and column in the SQL text, 1-based, if known.
    #[must_use]
    pub fn position(&self) -> Option<(u64, u64)> {
        match &self.kind {
            ErrorKind::Plan(error) => error.position(),
            _ => None,
        }
    }
}
