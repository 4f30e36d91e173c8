//! Commands of a session: transactions, settings, cursors.
//!
//! A transaction holds nothing: every statement reads the files as they are when it is planned, and a statement that writes
//! is refused in one. So a transaction is what clients expect of its words: a failure ends it, and cursors live in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::answer::{Reply, Rows};
use super::command::Command;
use super::failure::{Failure, state};
use super::link::Stop;
use super::out::Transaction;
use super::prepared::shown;
use super::rows;
use super::session::{Cursor, MOST_PORTALS, Session};

/// Most savepoints of a transaction.
const MOST_SAVEPOINTS: usize = 1_000;

impl Session {
    /// Does what a command says.
    pub(super) fn command(&mut self, command: &Command) -> Result<Reply, Stop> {
        let done = |tag: &str| Ok(Reply::Done(tag.to_owned()));
        match command {
            Command::Begin(_)
            | Command::Commit
            | Command::Rollback
            | Command::Savepoint(_)
            | Command::Release(_)
            | Command::RollbackTo(_) => self.of_transaction(command),
            Command::Set { name, value, local } => {
                self.set(name, value.as_deref(), *local)?;
                done(if value.is_some() || *local { "SET" } else { "RESET" })
            }
            Command::SetTransaction => done("SET"),
            Command::ResetAll => {
                self.reset_all()?;
                done("RESET")
            }
            Command::Show(name) => Ok(Reply::Rows(Box::new(self.show(name.as_deref())?))),
            Command::Discard(what) => {
                match what.as_str() {
                    "all" => {
                        if self.transaction != Transaction::None {
                            let text = "DISCARD ALL cannot run inside a transaction block";
                            return Err(Failure::error(state::ACTIVE_TRANSACTION, text).into());
                        }
                        self.reset_all()?;
                        self.statements.clear();
                        self.portals.clear();
                        self.cursors.clear();
                    }
                    "plans" | "temp" | "temporary" | "sequences" => {}
                    _ => return Err(Failure::error(state::SYNTAX, "DISCARD cannot be read").into()),
                }
                Ok(Reply::Done(format!("DISCARD {}", what.to_uppercase())))
            }
            Command::Deallocate(None) => {
                self.statements.clear();
                done("DEALLOCATE ALL")
            }
            Command::Deallocate(Some(name)) => {
                if self.statements.remove(name).is_none() {
                    let text = format!("prepared statement \"{name}\" does not exist");
                    return Err(Failure::error(state::NO_STATEMENT, text).into());
                }
                done("DEALLOCATE")
            }
            Command::CloseCursor(None) => {
                self.cursors.clear();
                done("CLOSE CURSOR ALL")
            }
            Command::CloseCursor(Some(name)) => {
                if self.cursors.remove(name).is_none() {
                    return Err(no_cursor(name).into());
                }
                done("CLOSE CURSOR")
            }
            Command::Unlisten => done("UNLISTEN"),
            Command::Declare { .. }
            | Command::Fetch { .. }
            | Command::CopyOut { .. }
            | Command::Catalog
            | Command::Query => done(""),
        }
    }

    /// Begins or ends a transaction, or a part of one.
    fn of_transaction(&mut self, command: &Command) -> Result<Reply, Stop> {
        let done = |tag: &str| Ok(Reply::Done(tag.to_owned()));
        match command {
            Command::Begin(tag) => {
                if self.transaction == Transaction::None {
                    self.transaction = Transaction::Open;
                    self.saved = Some((self.settings.clone(), BTreeSet::new()));
                } else {
                    let text = "there is already a transaction in progress";
                    self.link.out.warning(state::ACTIVE_TRANSACTION, text);
                }
                done(tag)
            }
            Command::Commit if self.transaction == Transaction::Failed => {
                self.end_transaction(false);
                done("ROLLBACK")
            }
            Command::Commit | Command::Rollback => {
                let commit = *command == Command::Commit;
                if self.transaction == Transaction::None {
                    let text = "there is no transaction in progress";
                    self.link.out.warning(state::NO_TRANSACTION, text);
                } else {
                    self.end_transaction(commit);
                }
                done(if commit { "COMMIT" } else { "ROLLBACK" })
            }
            Command::Savepoint(name) => {
                self.in_transaction("SAVEPOINT")?;
                if self.savepoints.len() >= MOST_SAVEPOINTS {
                    let text = format!("a transaction has at most {MOST_SAVEPOINTS} savepoints");
                    return Err(Failure::error(state::OVER_LIMIT, text).into());
                }
                self.savepoints.push(name.clone());
                done("SAVEPOINT")
            }
            Command::Release(name) => {
                let place = self.savepoint(name)?;
                self.savepoints.truncate(place);
                done("RELEASE")
            }
            Command::RollbackTo(name) => {
                let place = self.savepoint(name)?;
                self.savepoints.truncate(place + 1);
                self.transaction = Transaction::Open;
                done("ROLLBACK")
            }
            _ => done(""),
        }
    }

    fn end_transaction(&mut self, commit: bool) {
        self.transaction = Transaction::None;
        self.savepoints.clear();
        self.portals.clear();
        self.cursors.retain(|_, cursor| cursor.hold && (commit || cursor.is_done));
        let Some((saved, local)) = self.saved.take() else { return };
        let mut settings = saved.clone();
        if commit {
            // What was set for the transaction only goes back.
            settings = self.settings.clone();
            for name in local {
                let before = saved.get(&name).map(str::to_owned);
                let _ = settings.set(&name, before.as_deref());
            }
        }
        for (name, value) in self.settings.restore(settings) {
            self.link.out.parameter(name, &value);
        }
    }

    fn in_transaction(&self, what: &str) -> Result<(), Failure> {
        if self.transaction == Transaction::None {
            let text = format!("{what} can only be used in transaction blocks");
            return Err(Failure::error(state::NO_TRANSACTION, text));
        }
        Ok(())
    }

    fn savepoint(&self, name: &str) -> Result<usize, Failure> {
        self.in_transaction("SAVEPOINT")?;
        self.savepoints.iter().rposition(|known| known == name).ok_or_else(|| {
            Failure::error(state::NO_SAVEPOINT, format!("savepoint \"{name}\" does not exist"))
        })
    }

    fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<(), Failure> {
        if local && self.transaction == Transaction::None {
            let text = "SET LOCAL can only be used in transaction blocks";
            self.link.out.warning(state::NO_TRANSACTION, text);
            return Ok(());
        }
        let changed = self.settings.set(name, value)?;
        if let (true, Some((_, names))) = (local, &mut self.saved) {
            names.insert(name.to_lowercase());
        }
        if let Some((name, value)) = changed.report {
            self.link.out.parameter(name, &value);
        }
        if let Some(warning) = changed.warning {
            self.link.out.warning(state::WARNING, warning);
        }
        Ok(())
    }

    fn reset_all(&mut self) -> Result<(), Failure> {
        let names: Vec<String> = self.settings.all().keys().cloned().collect();
        for name in names {
            let changed = self.settings.set(&name, None)?;
            if let Some((name, value)) = changed.report {
                self.link.out.parameter(name, &value);
            }
        }
        Ok(())
    }

    fn show(&self, name: Option<&str>) -> Result<Rows, Failure> {
        let schema = shown(name);
        let text = |values: Vec<String>| Arc::new(StringArray::from(values)) as ArrayRef;
        let columns = match name {
            Some(name) => {
                let value = self.settings.get(name).ok_or_else(|| {
                    let text = format!("unrecognized configuration parameter \"{name}\"");
                    Failure::error(state::NO_OBJECT, text)
                })?;
                vec![text(vec![value.to_owned()])]
            }
            None => {
                let all = self.settings.all();
                let (names, values) = (all.keys().cloned(), all.values().cloned());
                let no_words = vec![String::new(); all.len()];
                vec![text(names.collect()), text(values.collect()), text(no_words)]
            }
        };
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)
            .map_err(|error| Failure::error(state::INTERNAL, error.to_string()))?;
        let stream = futures::stream::iter([Ok(batch)]);
        Ok(Rows {
            columns: rows::columns(&schema, &[])?,
            stream: Box::pin(RecordBatchStreamAdapter::new(schema, stream)),
            batch: None,
            sent: 0,
            tag: "SHOW",
            copy: None,
            told: None,
            is_inline: false,
            taken: self.now(),
            _held: (None, None),
        })
    }

    /// Whether a cursor may be declared.
    pub(super) fn may_declare(&self, name: &str, hold: bool) -> Result<(), Failure> {
        if !hold {
            self.in_transaction("DECLARE CURSOR")?;
        }
        if self.cursors.contains_key(name) {
            let text = format!("cursor \"{name}\" already exists");
            return Err(Failure::error(state::DUPLICATE_CURSOR, text));
        }
        if self.cursors.len() >= MOST_PORTALS {
            let text = format!("the session has {MOST_PORTALS} cursors and may have no more");
            return Err(Failure::error(state::OVER_LIMIT, text));
        }
        Ok(())
    }

    pub(super) fn declare(&mut self, name: &str, hold: bool, rows: Box<Rows>) {
        let cursor = Cursor { rows: Some(rows), hold, is_done: false };
        self.cursors.insert(name.to_owned(), cursor);
    }

    /// Sends rows of a cursor. `describe`: the client is told the columns before.
    pub(super) async fn fetch(
        &mut self,
        name: &str,
        most: Option<usize>,
        skip: bool,
        describe: bool,
    ) -> Result<(), Stop> {
        let mut cursor = self.cursors.remove(name).ok_or_else(|| no_cursor(name))?;
        let Some(rows) = &mut cursor.rows else {
            let dropped = self.dropped();
            self.cursors.insert(name.to_owned(), cursor);
            return Err(dropped.into());
        };
        if describe && !skip {
            self.link.out.columns(&rows.columns);
        }
        let before = rows.sent;
        if !cursor.is_done {
            let most = most.map(|most| u64::try_from(most).unwrap_or(u64::MAX));
            let sent = if skip { self.skip(rows, most).await } else { self.send(rows, most).await };
            // A cursor whose rows have failed is closed.
            cursor.is_done = sent?;
        }
        let moved = rows.sent - before;
        if cursor.is_done {
            self.tell(rows);
            rows.told = None;
        }
        self.cursors.insert(name.to_owned(), cursor);
        let word = if skip { "MOVE" } else { "FETCH" };
        self.link.out.complete(&format!("{word} {moved}"));
        Ok(())
    }

    /// Goes over rows without sending them.
    async fn skip(&mut self, rows: &mut Rows, most: Option<u64>) -> Result<bool, Stop> {
        let last = most.map(|most| rows.sent.saturating_add(most));
        loop {
            if last.is_some_and(|last| rows.sent >= last) {
                return Ok(false);
            }
            match &mut rows.batch {
                Some((batch, row)) if *row < batch.rows => {
                    *row += 1;
                    rows.sent += 1;
                }
                _ => match self.next_batch(&mut rows.stream, None).await? {
                    Some(batch) => rows.batch = Some((rows::Prepared::new(&batch)?, 0)),
                    None => return Ok(true),
                },
            }
        }
    }
}

fn no_cursor(name: &str) -> Failure {
    Failure::error(state::NO_CURSOR, format!("cursor \"{name}\" does not exist"))
}
