//! Answers to commands of the session: headers, which the client then sends with each statement. Nothing is kept here.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};

use super::asked::{Asked, SETTINGS, kept, of_session, setting};
use super::body::{Results, State};
use super::command::{Command, known};
use super::encode::at_hand;
use super::failure::{Failure, Name};
use super::headers::encoded;
use super::parts::Trino;
use crate::query::error::CoreError;
use dunlin_manifest::ids::QueryId;

/// Longest prepared statement, as it is kept in a header. Clients and servers take headers of some 32 KiB together.
const LONGEST: usize = 12 << 10;

/// A batch of texts.
pub(super) fn texts(columns: &[(&str, Vec<String>)]) -> Result<RecordBatch, Failure> {
    let columns = columns.iter().map(|(name, values)| {
        (*name, std::sync::Arc::new(StringArray::from(values.clone())) as ArrayRef, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|error| CoreError::internal(error).into())
}

impl Trino {
    /// Answers a command; none if it is no command of the session.
    pub(super) fn commanded(
        &self,
        asked: &Asked,
        command: &Command,
    ) -> Result<Option<Results>, Failure> {
        let done = |word: &str| self.done(asked, word);
        Ok(Some(match command {
            Command::Use { catalog, schema } => {
                let catalog = catalog.as_deref().or(asked.catalog.as_deref());
                known(catalog, Some(schema))?;
                let done = done("USE")?.header("x-trino-set-schema", encoded(schema));
                match catalog {
                    Some(catalog) => done.header("x-trino-set-catalog", encoded(catalog)),
                    None => done,
                }
            }
            Command::SetSession { name, value } => {
                let one = [(setting(name)?.to_owned(), value.clone())].into();
                // It finds values that cannot be.
                of_session("select 1".to_owned(), Vec::new(), &one)?;
                let header = format!("{}={}", encoded(name), encoded(value));
                done("SET SESSION")?.header("x-trino-set-session", header)
            }
            Command::ResetSession { name } => {
                setting(name)?;
                done("RESET SESSION")?.header("x-trino-clear-session", encoded(name))
            }
            Command::Prepare { name, sql } => {
                if sql.is_empty() {
                    return Err(Failure::new(Name::SYNTAX, "PREPARE … FROM has no statement"));
                }
                // A command that cannot be read is told now, and so is one that cannot be prepared.
                preparable(&Command::of(sql)?)?;
                let kept = kept(sql);
                if kept.len() > LONGEST {
                    return Err(Failure::new(
                        Name::TOO_LARGE,
                        "the statement is too long to be kept in a header; send it with EXECUTE IMMEDIATE",
                    ));
                }
                let header = format!("{}={kept}", encoded(name));
                done("PREPARE")?.header("x-trino-added-prepare", header)
            }
            Command::Deallocate { name } => {
                if !asked.has_prepared(name) {
                    return Err(Failure::not_prepared(name));
                }
                done("DEALLOCATE")?.header("x-trino-deallocated-prepare", encoded(name))
            }
            Command::Begin if asked.in_transaction => {
                return Err(Failure::new(Name::NOT_SUPPORTED, "a transaction is open already"));
            }
            Command::Begin => {
                let id = self.queries.env().nonce();
                done("START TRANSACTION")?.header("x-trino-started-transaction-id", id)
            }
            Command::Commit | Command::Rollback if !asked.in_transaction => {
                return Err(Failure::new(Name::NOT_IN_TRANSACTION, "no transaction is open"));
            }
            Command::Commit => {
                done("COMMIT")?.header("x-trino-clear-transaction-id", "true".to_owned())
            }
            Command::Rollback => {
                done("ROLLBACK")?.header("x-trino-clear-transaction-id", "true".to_owned())
            }
            Command::Nothing => done("SET")?,
            Command::Show(super::command::Show::Session(None)) => {
                let result = Results::new(&asked.base, self.fresh(), State::Finished);
                result.rows(at_hand(&settings(asked)?, asked.has_digits)?)
            }
            _ => return Ok(None),
        }))
    }

    /// An id for a statement that is no query in the store.
    pub(super) fn fresh(&self) -> QueryId {
        QueryId::new(self.queries.env())
    }

    /// What Trino answers to a command: one row that says true.
    fn done(&self, asked: &Asked, word: &str) -> Result<Results, Failure> {
        let yes = std::sync::Arc::new(BooleanArray::from(vec![true])) as ArrayRef;
        let batch = RecordBatch::try_from_iter_with_nullable([("result", yes, true)]);
        let batch = batch.map_err(CoreError::internal)?;
        let result = Results::new(&asked.base, self.fresh(), State::Finished);
        Ok(result.rows(at_hand(&batch, true)?).update(word, None))
    }
}

/// Refuses to prepare what changes the session.
pub(super) fn preparable(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Query | Command::Catalog | Command::Show(_) => Ok(()),
        _ => Err(Failure::new(
            Name::NOT_SUPPORTED,
            "only queries, writes, EXPLAIN and SHOW can be prepared or executed",
        )),
    }
}

/// The settings of a session, as SHOW SESSION lists them.
fn settings(asked: &Asked) -> Result<RecordBatch, Failure> {
    let value = |name: &str| {
        let given = asked.settings.iter().find(|(given, _)| setting(given).ok() == Some(name));
        given.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let column = |of: &dyn Fn(&(&str, &str, &str)) -> String| SETTINGS.iter().map(of).collect();
    texts(&[
        ("Name", column(&|(name, ..)| format!("dunlin.{name}"))),
        ("Value", column(&|(name, ..)| value(name))),
        ("Default", column(&|_| String::new())),
        ("Type", column(&|(_, kind, _)| (*kind).to_owned())),
        ("Description", column(&|(_, _, what)| (*what).to_owned())),
    ])
}
