//! Why a statement cannot write.

use crate::error::PlanError;
use crate::mistakes::Mistake;

/// What a write is called before it is known what statement it is.
const THIS: &str = "this write";

/// A write that Dunlin does not do.
pub(super) fn refused(reason: String) -> PlanError {
    PlanError::Unsupported { operator: THIS.to_owned(), reason }
}

/// A target that is there.
pub(super) fn exists(message: String) -> PlanError {
    PlanError::Planning { mistake: Mistake::Exists, message, position: None, source: None }
}

pub(super) fn no_such_table(name: &str) -> PlanError {
    PlanError::Planning {
        mistake: Mistake::Table,
        message: format!(
            "table {name} cannot be written: only tables of the configuration and of CREATE TABLE AS can"
        ),
        position: None,
        source: None,
    }
}

/// The same error with the statement's name.
pub(super) fn of_statement(error: PlanError, name: &str) -> PlanError {
    match error {
        PlanError::Unsupported { operator, reason } if operator == THIS => {
            PlanError::Unsupported { operator: format!("this {name}"), reason }
        }
        other => other,
    }
}
