//! Why a statement has no plan, or its plan no answer.

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use dunlin_manifest::pinned::InputChanged;
use dunlin_manifest::records::ErrorCode;
use dunlin_plan::SettingError;

use crate::too_complex::TooComplex;

/// How many levels of nested expressions the parser reads: the engine's default.
pub(crate) const PARSER_NESTING: usize = 50;

/// The error of the engine or of a store.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a statement has no plan, or its plan no answer. Classified by type, never by text.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The text is not SQL.
    #[error("{message}")]
    Syntax {
        /// What the parser expected and what it found.
        message: String,
        /// Line and column, 1-based, where known.
        position: Option<(u64, u64)>,
        /// The engine's error.
        source: Option<Cause>,
    },
    /// The SQL names something that does not exist, or combines types that do not fit.
    #[error("{message}")]
    Planning {
        /// What was wrong.
        message: String,
        /// Line and column, 1-based, where known.
        position: Option<(u64, u64)>,
        /// The engine's error.
        source: Option<Cause>,
    },
    /// The statement is valid, but Dunlin does not run it.
    #[error("{operator} is not supported: {reason}")]
    Unsupported {
        /// The operator or statement, by name.
        operator: String,
        /// The reason, and what to do instead.
        reason: String,
    },
    /// The statement is larger than the limit for planning in one process.
    #[error(transparent)]
    TooComplex(#[from] TooComplex),
    /// A setting or parameter of the request cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The engine does not know a setting of the session.
    #[error(transparent)]
    Session(#[from] SettingError),
    /// The plan failed while it ran.
    #[error("{message}")]
    Execution {
        /// What went wrong.
        message: String,
        /// Whether running it again may help.
        retryable: bool,
        /// The engine's error.
        source: Option<Cause>,
    },
    /// A store could not be read.
    #[error("{message}")]
    Store {
        /// Which store, and its error.
        message: String,
        /// The engine's error.
        source: Option<Cause>,
    },
}

impl PlanError {
    /// The code that the API shows.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Syntax { .. } => ErrorCode::SyntaxError,
            Self::Planning { .. } => ErrorCode::PlanningFailed,
            Self::Unsupported { .. } => ErrorCode::Unsupported,
            Self::TooComplex(_) => ErrorCode::QueryTooComplex,
            Self::Setting(_) | Self::Session(_) => ErrorCode::InvalidSetting,
            Self::Execution { source: Some(cause), .. } if is_out_of_memory(cause.as_ref()) => {
                ErrorCode::OutOfMemory
            }
            Self::Execution { .. } => ErrorCode::ExecutionFailed,
            Self::Store { .. } => ErrorCode::StoreUnavailable,
        }
    }

    /// Whether submitting the same statement again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Execution { retryable, .. } => *retryable,
            Self::Store { .. } => true,
            _ => false,
        }
    }

    /// Line and column, 1-based, where known.
    #[must_use]
    pub fn position(&self) -> Option<(u64, u64)> {
        match self {
            Self::Syntax { position, .. } | Self::Planning { position, .. } => *position,
            _ => None,
        }
    }

    /// Converts an error of planning.
    #[must_use]
    pub fn from_planning(error: DataFusionError) -> Self {
        let message = plain(&error);
        match error.find_root() {
            DataFusionError::SQL(error, _)
                if matches!(**error, ParserError::RecursionLimitExceeded) =>
            {
                TooComplex::Nesting { most: PARSER_NESTING }.into()
            }
            DataFusionError::SQL(_, _) => {
                let position = position_in(&message);
                Self::Syntax { message, position, source: Some(Box::new(error)) }
            }
            // What is not there, or is no file of its format, is not there the next time either.
            DataFusionError::ObjectStore(cause) if is_not_found(cause) => {
                Self::Planning { message, position: None, source: Some(Box::new(error)) }
            }
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
                Self::Store { message, source: Some(Box::new(error)) }
            }
            // A file changed between two listings of one planning. Planning again sees one version.
            DataFusionError::External(cause) if cause.is::<InputChanged>() => {
                Self::Store { message, source: Some(Box::new(error)) }
            }
            DataFusionError::NotImplemented(reason) => {
                Self::Unsupported { operator: "this statement".to_owned(), reason: reason.clone() }
            }
            _ => {
                let position = span_of(&error).or_else(|| position_in(&message));
                Self::Planning { message, position, source: Some(Box::new(error)) }
            }
        }
    }

    /// Converts an error of running.
    #[must_use]
    pub fn from_execution(error: DataFusionError) -> Self {
        let retryable = matches!(
            error.find_root(),
            DataFusionError::ObjectStore(_)
                | DataFusionError::IoError(_)
                | DataFusionError::ResourcesExhausted(_)
        );
        Self::Execution { message: plain(&error), retryable, source: Some(Box::new(error)) }
    }
}

fn is_not_found(error: &datafusion::object_store::Error) -> bool {
    matches!(error, datafusion::object_store::Error::NotFound { .. })
}

/// Whether a plan could not have the memory that it needed.
fn is_out_of_memory(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause
        .downcast_ref::<DataFusionError>()
        .is_some_and(|error| matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)))
}

/// The error's text without the backtrace that DataFusion may add.
fn plain(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    text.trim().to_owned()
}

/// Reads `… at Line: 3, Column: 7`, the form in which the parser gives positions.
fn position_in(message: &str) -> Option<(u64, u64)> {
    let after_line = message.split("Line: ").nth(1)?;
    let line = digits(after_line)?;
    let column = digits(after_line.split("Column: ").nth(1)?)?;
    Some((line, column))
}

fn digits(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// The source position of a diagnostic.
fn span_of(error: &DataFusionError) -> Option<(u64, u64)> {
    match error {
        DataFusionError::Diagnostic(diagnostic, _) => {
            diagnostic.span.map(|span| (span.start.line, span.start.column))
        }
        DataFusionError::Context(_, inner) => span_of(inner),
        DataFusionError::Shared(inner) => span_of(inner),
        DataFusionError::Collection(errors) => errors.first().and_then(span_of),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_position_is_read() {
        assert_eq!(
            position_in("Expected: end of statement, found: x at Line: 3, Column: 17"),
            Some((3, 17))
        );
        assert_eq!(position_in("no position"), None);
    }
}
