//! Why the guard refuses a request, as HTTP status, code and text.

use dunlin_manifest::records::ErrorCode;
use http::StatusCode;

use crate::auth::{AuthError, MAY_NOT_WRITE};
use crate::door::Refused;

/// Why a request is refused. A text about keys says what is needed and never what was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request has no key, or an unknown one.
    #[error(
        "send an API key that this gateway knows, or a token of its issuer, as Authorization: Bearer <it>"
    )]
    Unauthorized,
    /// The key does not allow the request.
    #[error("this API key or token does not allow the request")]
    Forbidden,
    /// A page of another site asks a gateway without keys.
    #[error(
        "a page of another site asks, or this machine is called by a name that is not its own; a gateway without keys \
         answers at its address or as localhost only. Give it [[gateway.keys]], or use http://127.0.0.1"
    )]
    Elsewhere,
    /// The key does not allow to write.
    #[error("{MAY_NOT_WRITE}")]
    MayNotWrite,
    /// Headers or body took too long.
    #[error("the request did not arrive in time; send it without pauses")]
    TooSlow,
    /// The body ended before it was complete.
    #[error("the body cannot be read to its end")]
    BrokenBody,
    /// The client has too many requests in progress.
    #[error("this client has {most} requests in hand and may have no more; wait for one of them")]
    TooManyRequests {
        /// The limit.
        most: usize,
    },
    /// The gateway has too many requests in progress.
    #[error("the gateway has {most} requests in hand and takes no more; try again soon")]
    Busy {
        /// The limit.
        most: usize,
    },
}

impl Refusal {
    /// Stable code that clients program against.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Unauthorized => ErrorCode::Unauthorized,
            Self::Forbidden | Self::MayNotWrite | Self::Elsewhere => ErrorCode::Forbidden,
            Self::TooSlow => ErrorCode::RequestTimeout,
            Self::BrokenBody => ErrorCode::InvalidRequest,
            Self::TooManyRequests { .. } => ErrorCode::TooManyRequests,
            Self::Busy { .. } => ErrorCode::GatewayBusy,
        }
    }

    /// HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::MayNotWrite | Self::Elsewhere => StatusCode::FORBIDDEN,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenBody => StatusCode::BAD_REQUEST,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether sending the same request again may help.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::TooSlow | Self::TooManyRequests { .. } | Self::Busy { .. })
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing | AuthError::Unknown => Self::Unauthorized,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Client { most } => Self::TooManyRequests { most },
            Refused::All { most } => Self::Busy { most },
        }
    }
}
