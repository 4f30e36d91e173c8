//! Why a statement or a connection ends, in terms of Postgres: SQLSTATE, position, hint.

use std::fmt;

use dunlin_manifest::records::ErrorCode;
use dunlin_plan::redact::shown;
use dunlin_planner::{Mistake, PlanError};

use crate::auth::AuthError;
use crate::door::Refused;
use crate::query::error::{CoreError, ErrorKind};

/// Longest message, in characters. An error that quotes a whole plan does not help.
const MAX_MESSAGE: usize = 4_000;

/// The SQLSTATE of each kind of error, as in Postgres's appendix A.
pub(super) mod state {
    pub(in crate::postgres) const WARNING: &str = "01000";
    pub(in crate::postgres) const SUCCESS: &str = "00000";
    pub(in crate::postgres) const FEATURE_NOT_SUPPORTED: &str = "0A000";
    pub(in crate::postgres) const PROTOCOL: &str = "08P01";
    pub(in crate::postgres) const DATA: &str = "22000";
    pub(in crate::postgres) const OUT_OF_RANGE: &str = "22003";
    pub(in crate::postgres) const BAD_TIME: &str = "22008";
    pub(in crate::postgres) const INVALID_VALUE: &str = "22023";
    pub(in crate::postgres) const NOT_UTF8: &str = "22021";
    pub(in crate::postgres) const RAGGED: &str = "2202E";
    pub(in crate::postgres) const BAD_TEXT: &str = "22P02";
    pub(in crate::postgres) const BAD_BINARY: &str = "22P03";
    pub(in crate::postgres) const ACTIVE_TRANSACTION: &str = "25001";
    pub(in crate::postgres) const NO_TRANSACTION: &str = "25P01";
    pub(in crate::postgres) const FAILED_TRANSACTION: &str = "25P02";
    pub(in crate::postgres) const NO_STATEMENT: &str = "26000";
    pub(in crate::postgres) const NOT_ADMITTED: &str = "28000";
    pub(in crate::postgres) const WRONG_PASSWORD: &str = "28P01";
    pub(in crate::postgres) const NO_CURSOR: &str = "34000";
    pub(in crate::postgres) const NO_SAVEPOINT: &str = "3B001";
    pub(in crate::postgres) const CHANGED: &str = "40001";
    pub(in crate::postgres) const FORBIDDEN: &str = "42501";
    pub(in crate::postgres) const SYNTAX: &str = "42601";
    pub(in crate::postgres) const MISTAKE: &str = "42000";
    pub(in crate::postgres) const AMBIGUOUS: &str = "42702";
    pub(in crate::postgres) const GROUPS: &str = "42803";
    pub(in crate::postgres) const NO_COLUMN: &str = "42703";
    pub(in crate::postgres) const NO_OBJECT: &str = "42704";
    pub(in crate::postgres) const NO_FUNCTION: &str = "42883";
    pub(in crate::postgres) const TYPES: &str = "42804";
    pub(in crate::postgres) const NO_TABLE: &str = "42P01";
    pub(in crate::postgres) const DUPLICATE_CURSOR: &str = "42P03";
    pub(in crate::postgres) const DUPLICATE_STATEMENT: &str = "42P05";
    pub(in crate::postgres) const EXISTS: &str = "42P07";
    pub(in crate::postgres) const RESOURCES: &str = "53000";
    pub(in crate::postgres) const DISK_FULL: &str = "53100";
    pub(in crate::postgres) const OUT_OF_MEMORY: &str = "53200";
    pub(in crate::postgres) const TOO_MANY: &str = "53300";
    pub(in crate::postgres) const OVER_LIMIT: &str = "53400";
    pub(in crate::postgres) const TOO_LARGE: &str = "54000";
    pub(in crate::postgres) const TOO_COMPLEX: &str = "54001";
    pub(in crate::postgres) const NOT_NOW: &str = "55000";
    pub(in crate::postgres) const CANCELLED: &str = "57014";
    pub(in crate::postgres) const SHUTDOWN: &str = "57P01";
    pub(in crate::postgres) const SYSTEM: &str = "58000";
    pub(in crate::postgres) const INTERNAL: &str = "XX000";
}

/// What ends a statement, or the whole connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// It ends the connection.
    pub(super) fatal: bool,
    /// SQLSTATE.
    pub(super) state: &'static str,
    pub(super) message: String,
    pub(super) detail: Option<Box<str>>,
    pub(super) hint: Option<Box<str>>,
    /// Line and column in the statement, 1-based.
    pub(super) place: Option<(u64, u64)>,
    /// Character in the text that the client sent, 1-based.
    pub(super) position: Option<usize>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.state, self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Ends the statement.
    pub(super) fn error(state: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let (fatal, detail, hint, place, position) = (false, None, None, None, None);
        Self { fatal, state, message, detail, hint, place, position }
    }

    /// Ends the connection.
    pub(super) fn fatal(state: &'static str, message: impl Into<String>) -> Self {
        Self { fatal: true, ..Self::error(state, message) }
    }

    /// A message that breaks the protocol. What follows it cannot be read.
    pub(super) fn protocol(message: impl Into<String>) -> Self {
        Self::fatal(state::PROTOCOL, message)
    }

    /// What a user can do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    /// The same failure of a statement that begins at `offset` bytes in `text`.
    pub(super) fn within(mut self, text: &str, offset: usize) -> Self {
        if let Some((line, column)) = self.place.take() {
            self.position = position(text, offset, line, column);
        }
        self
    }
}

/// The 1-based character of a place in a statement that begins at `offset` bytes.
fn position(text: &str, offset: usize, line: u64, column: u64) -> Option<usize> {
    let before = text.get(..offset)?.chars().count();
    let mut line_now = 1u64;
    let mut column_now = 1u64;
    for (place, letter) in text[offset..].chars().enumerate() {
        if (line_now, column_now) == (line, column) {
            return Some(before + place + 1);
        }
        if letter == '\n' {
            (line_now, column_now) = (line_now + 1, 1);
        } else {
            column_now += 1;
        }
    }
    ((line_now, column_now) == (line, column)).then(|| text.chars().count() + 1)
}

impl From<CoreError> for Failure {
    fn from(error: CoreError) -> Self {
        let code = error.code();
        // Errors of stores may quote what they were asked with.
        let message = shown(&error.to_string(), MAX_MESSAGE);
        let state = match &error.kind {
            ErrorKind::Plan(PlanError::Planning { mistake, .. }) => of_mistake(*mistake),
            _ => of_code(&code),
        };
        if state == state::INTERNAL || state == state::SYSTEM {
            tracing::warn!(%code, query = error.query, detail = message, "a statement failed");
        }
        let detail = match &error.query {
            Some(query) => format!("{code}, query {query}"),
            None => code.to_string(),
        };
        let hint = error.is_retryable().then(|| Box::from("Sending the statement again may help."));
        let place = error.position();
        Self { place, detail: Some(detail.into()), hint, ..Self::error(state, message) }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let hint = "Wait for a statement to end, or use another gateway.";
        Self::error(state::TOO_MANY, refused.to_string()).hint(hint)
    }
}

impl From<AuthError> for Failure {
    /// It says what is needed, and never what was wrong.
    fn from(_: AuthError) -> Self {
        Self::fatal(state::WRONG_PASSWORD, "password authentication failed")
            .hint("The password is an API key that this gateway knows, or a token of its issuer.")
    }
}

fn of_mistake(mistake: Mistake) -> &'static str {
    match mistake {
        Mistake::Exists => state::EXISTS,
        Mistake::Table | Mistake::File => state::NO_TABLE,
        Mistake::Column => state::NO_COLUMN,
        Mistake::Ambiguous => state::AMBIGUOUS,
        Mistake::Function | Mistake::Arguments => state::NO_FUNCTION,
        Mistake::Types => state::TYPES,
        Mistake::Groups => state::GROUPS,
        Mistake::Width | Mistake::Value | Mistake::Other => state::MISTAKE,
    }
}

fn of_code(code: &ErrorCode) -> &'static str {
    match code {
        ErrorCode::SyntaxError => state::SYNTAX,
        ErrorCode::PlanningFailed => state::MISTAKE,
        ErrorCode::Unsupported | ErrorCode::NotAcceptable => state::FEATURE_NOT_SUPPORTED,
        ErrorCode::QueryTooComplex => state::TOO_COMPLEX,
        ErrorCode::QueryTooLarge
        | ErrorCode::SqlTooLarge
        | ErrorCode::BodyTooLarge
        | ErrorCode::AnswerTooLarge => state::TOO_LARGE,
        ErrorCode::InvalidRequest | ErrorCode::InvalidSetting => state::INVALID_VALUE,
        ErrorCode::ExecutionFailed => state::DATA,
        ErrorCode::TargetExists => state::EXISTS,
        ErrorCode::LimitExceeded | ErrorCode::QuotaExceeded => state::OVER_LIMIT,
        ErrorCode::Cancelled
        | ErrorCode::Timeout
        | ErrorCode::WaitOver
        | ErrorCode::InlineTimeLimit => state::CANCELLED,
        ErrorCode::InputChanged => state::CHANGED,
        ErrorCode::OutOfMemory => state::OUT_OF_MEMORY,
        ErrorCode::DiskFull => state::DISK_FULL,
        ErrorCode::GatewayBusy | ErrorCode::NoCompatibleWorker => state::RESOURCES,
        ErrorCode::TooManyRequests => state::TOO_MANY,
        ErrorCode::Unauthorized => state::WRONG_PASSWORD,
        ErrorCode::Forbidden => state::FORBIDDEN,
        ErrorCode::NotFound => state::NO_OBJECT,
        ErrorCode::NotReady | ErrorCode::ResultExpired => state::NOT_NOW,
        ErrorCode::StoreUnavailable | ErrorCode::WorkerLost | ErrorCode::SubmissionFailed => {
            state::SYSTEM
        }
        _ => state::INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_becomes_a_character_of_the_whole_text() {
        let text = "select 'ä';\nselect a\n form t";
        let second = "select 'ä';".len();
        // The second statement begins with the line break behind the first.
        let failure = |place| {
            Failure { place: Some(place), ..Failure::error(state::SYNTAX, "x") }
                .within(text, second)
        };
        assert_eq!(failure((1, 1)).position, Some(12));
        assert_eq!(failure((2, 1)).position, Some(13));
        assert_eq!(failure((3, 2)).position, Some(23));
        assert_eq!(failure((9, 9)).position, None);
    }
}
