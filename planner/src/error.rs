//! Why a statement has no plan, or its plan no answer.

use datafusion::error::DataFusionError;
use dunlin_manifest::records::ErrorCode;
use dunlin_plan::{SettingError, disk, words};

use crate::mistakes::{self, Mistake, Scene, Told};
use crate::too_complex::TooComplex;

/// The error of the engine or of a store.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a statement has no plan, or its plan no answer. Classified by type, never by text.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The text is not SQL.
    #[error("{message}")]
    Syntax {
        /// What the parser expected and what it found, and where.
        message: String,
        /// Line and column, 1-based, where known.
        position: Option<(u64, u64)>,
        /// The engine's error.
        source: Option<Cause>,
    },
    /// The SQL names something that does not exist, or combines types that do not fit.
    #[error("{message}")]
    Planning {
        /// What kind of mistake it is.
        mistake: Mistake,
        /// What was wrong, where, and what to do.
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
    /// The client may not see what it names.
    #[error("{message}")]
    Forbidden {
        /// What, and who may.
        message: String,
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
            Self::Planning { mistake: Mistake::Exists, .. } => ErrorCode::TargetExists,
            Self::Planning { .. } => ErrorCode::PlanningFailed,
            Self::Unsupported { .. } => ErrorCode::Unsupported,
            Self::TooComplex(_) => ErrorCode::QueryTooComplex,
            Self::Setting(_) | Self::Session(_) => ErrorCode::InvalidSetting,
            Self::Execution { source: Some(cause), .. } if is_out_of_memory(cause.as_ref()) => {
                ErrorCode::OutOfMemory
            }
            Self::Execution { source: Some(cause), .. } if is_out_of_disk(cause.as_ref()) => {
                ErrorCode::DiskFull
            }
            Self::Execution { .. } => ErrorCode::ExecutionFailed,
            Self::Forbidden { .. } => ErrorCode::Forbidden,
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

    /// Converts an error of planning. Later it is told where it is and what is near.
    #[must_use]
    pub fn from_planning(error: DataFusionError) -> Self {
        Self::of_told(mistakes::told(&error, &Scene::default()), error)
    }

    /// The same error with its place in the statement, and with the names that may have been meant.
    #[must_use]
    pub(crate) fn in_statement(self, scene: &Scene<'_>) -> Self {
        let cause = match self {
            Self::Syntax { source: Some(cause), message, position } => cause
                .downcast()
                .map_err(|cause| Self::Syntax { source: Some(cause), message, position }),
            Self::Planning { source: Some(cause), mistake, message, position } => {
                cause.downcast().map_err(|cause| Self::Planning {
                    source: Some(cause),
                    mistake,
                    message,
                    position,
                })
            }
            other => Err(other),
        };
        match cause {
            Ok(cause) => Self::of_told(mistakes::told(&cause, scene), *cause),
            Err(same) => same,
        }
    }

    fn of_told(told: Told, error: DataFusionError) -> Self {
        let source: Option<Cause> = Some(Box::new(error));
        match told {
            Told::Syntax { message, position } => Self::Syntax { message, position, source },
            Told::Planning { mistake, message, position } => {
                Self::Planning { mistake, message, position, source }
            }
            Told::Unsupported { operator, reason } => Self::Unsupported { operator, reason },
            Told::TooComplex(limit) => limit.into(),
            Told::Store { message } => Self::Store { message, source },
            Told::Forbidden { message } => Self::Forbidden { message },
        }
    }

    /// Converts an error of running.
    #[must_use]
    pub fn from_execution(error: DataFusionError) -> Self {
        Self::from_reading(error, &[])
    }

    /// Converts an error of running. `read` are the files that were read until then.
    #[must_use]
    pub(crate) fn from_reading(error: DataFusionError, read: &[String]) -> Self {
        let retryable = matches!(
            error.find_root(),
            DataFusionError::ObjectStore(_)
                | DataFusionError::IoError(_)
                | DataFusionError::ResourcesExhausted(_)
        ) || is_out_of_disk(&error);
        let message = words::sentence_in(&error, read);
        Self::Execution { message, retryable, source: Some(Box::new(error)) }
    }
}

/// Whether a plan could not spill as much as it needed.
fn is_out_of_disk(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // A store that is full is told by its own error.
        if error.is::<datafusion::object_store::Error>() {
            return false;
        }
        if disk::is_full(error) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether a plan could not have the memory that it needed.
fn is_out_of_memory(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause
        .downcast_ref::<DataFusionError>()
        .is_some_and(|error| matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)))
}
