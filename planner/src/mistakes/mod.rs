//! Wrong statements: the engine's errors of planning, in words for people.
//!
//! ```text
//!  DataFusionError ─root─> ParserError ──> syntax   what was expected, and what is there
//!                          SchemaError ──> names    the nearest columns
//!                          Plan(text) ───> texts    tables, functions, types, groups, by what the engine writes
//!                          others ───────> dunlin_plan::words
//!        the statement ──────────────────> place    the line, and a mark below the word
//! ```
//! What is known of the session (the tables, the functions, the text of the statement) is a [`Scene`]. An error that is
//! told without one says what was wrong, and neither where nor what is near.

mod calls;
mod names;
mod place;
mod scene;
mod syntax;
mod texts;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use dunlin_manifest::pinned::InputChanged;
use dunlin_plan::words;

pub(crate) use self::scene::{Scene, did_you_mean, nearest};
use crate::snapshots::SnapshotError;
use crate::too_complex::{PARSER_NESTING, TooComplex};

/// What is wrong with a statement that cannot be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A table does not exist.
    Table,
    /// A column does not exist.
    Column,
    /// A column exists more than once.
    Ambiguous,
    /// A function does not exist.
    Function,
    /// A function does not take these arguments.
    Arguments,
    /// Types do not fit.
    Types,
    /// A column is neither grouped nor aggregated, or an aggregate function stands where none may.
    Groups,
    /// Lists have different or wrong numbers of columns.
    Width,
    /// A constant of the statement cannot be computed.
    Value,
    /// A file of a table is not there, or is not of its format.
    File,
    /// What is to be made is there.
    Exists,
    /// Something else.
    Other,
}

/// What was found wrong.
#[derive(Clone, Debug)]
struct Found {
    mistake: Mistake,
    message: String,
    /// Line and column, 1-based.
    position: Option<(u64, u64)>,
}

impl Found {
    fn new(mistake: Mistake, message: String) -> Self {
        Self { mistake, message, position: None }
    }

    fn at(self, position: Option<(u64, u64)>) -> Self {
        Self { position: self.position.or(position), ..self }
    }
}

/// What an error of planning says, in words.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// The text is not SQL.
    Syntax { message: String, position: Option<(u64, u64)> },
    /// The SQL names something that does not exist, or combines types that do not fit.
    Planning { mistake: Mistake, message: String, position: Option<(u64, u64)> },
    /// The engine does not do it.
    Unsupported { operator: String, reason: String },
    /// It is more than is read.
    TooComplex(TooComplex),
    /// A store could not be read.
    Store { message: String },
    /// The client may not see it.
    Forbidden { message: String },
}

/// An error of planning, in words, as far as `scene` allows.
pub(crate) fn told(error: &DataFusionError, scene: &Scene<'_>) -> Told {
    let found = match error.find_root() {
        DataFusionError::SQL(cause, _) => return of_parser(cause, scene),
        // What is not there, or is no file of its format, is not there the next time either.
        DataFusionError::ObjectStore(cause) if is_not_found(cause) => {
            Found::new(Mistake::File, words::sentence(error))
        }
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            return Told::Store { message: words::sentence(error) };
        }
        // A file changed between two listings of one planning. Planning again sees one version.
        DataFusionError::External(cause) if let Some(cause) = cause.downcast_ref() => {
            return of_snapshot(cause);
        }
        DataFusionError::External(cause) if cause.is::<InputChanged>() => {
            return Told::Store { message: words::sentence(error) };
        }
        DataFusionError::NotImplemented(reason) => {
            let (operator, reason) = texts::not_implemented(reason);
            return Told::Unsupported { operator, reason };
        }
        DataFusionError::SchemaError(cause, _) => names::schema(cause, error, scene),
        DataFusionError::Plan(text) => texts::plan(text, error, scene),
        DataFusionError::Execution(text) if text.contains("laceholder") => {
            texts::plan(text, error, scene)
        }
        DataFusionError::ParquetError(_) => Found::new(Mistake::File, words::sentence(error)),
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => {
            Found::new(Mistake::Value, words::sentence(error))
        }
        _ => Found::new(Mistake::Other, words::sentence(error)),
    };
    let Found { mistake, message, position } = found.at(span_of(error));
    let message = format!("{message}{}", place::shown(scene, position));
    Told::Planning { mistake, message, position }
}

fn of_parser(cause: &ParserError, scene: &Scene<'_>) -> Told {
    if matches!(cause, ParserError::RecursionLimitExceeded) {
        return Told::TooComplex(TooComplex::Nesting { most: PARSER_NESTING });
    }
    let (message, position) = syntax::told(cause, scene);
    let message = format!("{message}{}", place::shown(scene, position));
    Told::Syntax { message, position }
}

fn of_snapshot(error: &SnapshotError) -> Told {
    match error {
        SnapshotError::Store(message) => Told::Store { message: message.clone() },
        SnapshotError::TooMuch(what) => Told::TooComplex(TooComplex::Snapshot(what.clone())),
        SnapshotError::Forbidden(message) => Told::Forbidden { message: message.clone() },
    }
}

fn is_not_found(error: &datafusion::object_store::Error) -> bool {
    matches!(error, datafusion::object_store::Error::NotFound { .. })
}

/// The place that the engine marked, if it did.
fn span_of(error: &DataFusionError) -> Option<(u64, u64)> {
    let marked = error.diagnostic()?;
    let of_notes = || marked.notes.iter().find_map(|note| note.span);
    let span = marked.span.or_else(of_notes)?;
    (span.start.line > 0).then_some((span.start.line, span.start.column))
}

#[cfg(test)]
mod tests;
