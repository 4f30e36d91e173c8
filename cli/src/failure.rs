//! Why a command ends without what it was asked for, and the exit code that says so.
//!
//! | code | when |
//! |---|---|
//! | 0 | done; also when whoever reads the output has closed it |
//! | 1 | the statement, the gateway or a file failed |
//! | 2 | the command line is wrong |
//! | 130 | interrupted by Ctrl+C |
//! | 143, 129 | ended by SIGTERM, SIGHUP |

use std::fmt;
use std::process::ExitCode;

use arrow::error::ArrowError;

use crate::link::Problem;

/// The exit code of a wrong command line, as `clap` has it.
const USAGE: u8 = 2;
/// The exit code of a command that Ctrl+C has ended: 128 and the number of the signal.
const INTERRUPTED: u8 = 130;

/// Why a command ends without what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The gateway says why.
    Problem(Box<Problem>),
    /// The gateway does not answer.
    Away(String),
    /// Something else went wrong.
    Other(anyhow::Error),
    /// The command line makes no sense.
    Usage(String),
    /// Ctrl+C. What becomes of the query has been said.
    Interrupted,
    /// Whoever reads the output has closed it.
    Closed,
}

impl Failure {
    /// Says on standard error what went wrong, and gives the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        let text = self.to_string();
        if !text.is_empty() {
            eprintln!("{text}");
        }
        match self {
            Self::Problem(_) | Self::Away(_) | Self::Other(_) => ExitCode::FAILURE,
            Self::Usage(_) => ExitCode::from(USAGE),
            Self::Interrupted => ExitCode::from(INTERRUPTED),
            Self::Closed => ExitCode::SUCCESS,
        }
    }

    /// Whether asking again may help: the gateway is away for a moment, or says so itself.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Problem(problem) => {
                // Without a code it is from a proxy, whose gateway is away.
                let is_of_proxy = problem.code.is_empty() && (502..=504).contains(&problem.status);
                is_of_proxy || (problem.retryable && problem.status == 503)
            }
            Self::Away(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => write!(f, "{problem}"),
            Self::Other(error) => {
                write!(f, "error: {}", dunlin_process::report::report(error))
            }
            Self::Away(text) | Self::Usage(text) => write!(f, "error: {text}"),
            Self::Interrupted | Self::Closed => Ok(()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<std::io::Error>() {
            Some(cause) if cause.kind() == std::io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Other(error),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::from(anyhow::Error::from(error))
    }
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        Self::Other(error.into())
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_closed_pipe_is_no_error_and_every_other_failure_has_its_code() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(closed, Failure::Closed));
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, Failure::Other(_)));
        let code = |failure: Failure| format!("{:?}", failure.tell());
        assert_eq!(code(closed), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(full), format!("{:?}", ExitCode::from(1)));
        assert_eq!(code(Failure::Usage("x".to_owned())), format!("{:?}", ExitCode::from(2)));
        assert_eq!(code(Failure::Interrupted), format!("{:?}", ExitCode::from(130)));
    }
}
