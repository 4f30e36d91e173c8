//! The extended protocol: statements that are parsed once, values, and portals that send some rows at a time.

use std::sync::Arc;

use datafusion::common::ScalarValue;

use super::answer::Reply;
use super::command::Command;
use super::failure::{Failure, state};
use super::frames::{Bind, Message, format_of};
use super::kind::Kind;
use super::link::Stop;
use super::prepared::{Prepared, Shape};
use super::running::same_types;
use super::session::{MOST_PORTALS, MOST_STATEMENTS, MOST_TEXT, Portal, Session, State};
use super::split::split;
use super::{rows, values};

impl Session {
    /// Answers a message of the extended protocol.
    pub(super) async fn extended(&mut self, message: Message) -> Result<(), Stop> {
        self.begin();
        let outcome = match message {
            Message::Parse { name, sql, types } => self.parse(name, &sql, &types).await,
            Message::Bind(bind) => self.bind(bind).await,
            Message::Describe { portal: false, name } => self.describe_statement(&name).await,
            Message::Describe { portal: true, name } => self.describe_portal(&name).await,
            Message::Execute { portal, rows } => self.execute(&portal, rows).await,
            Message::Close { portal, name } => {
                if portal {
                    self.portals.remove(&name);
                    self.cursors.remove(&name);
                } else {
                    self.statements.remove(&name);
                }
                self.link.out.closed();
                Ok(())
            }
            _ => Ok(()),
        };
        self.end();
        outcome
    }

    async fn parse(&mut self, name: String, sql: &str, types: &[u32]) -> Result<(), Stop> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            let text = format!("prepared statement \"{name}\" already exists");
            return Err(Failure::error(state::DUPLICATE_STATEMENT, text).into());
        }
        let texts: usize = self.statements.values().map(|known| known.sql.len()).sum();
        if self.statements.len() >= MOST_STATEMENTS || texts + sql.len() > MOST_TEXT {
            return Err(Failure::error(
                state::OVER_LIMIT,
                format!(
                    "the session has {} prepared statements of {texts} bytes, and may have {MOST_STATEMENTS} of {MOST_TEXT} bytes",
                    self.statements.len()
                ),
            )
            .hint("Close statements that you do not need, or DEALLOCATE ALL.")
            .into());
        }
        let ranges = split(sql);
        if ranges.len() > 1 {
            let text = "cannot insert multiple commands into a prepared statement";
            return Err(Failure::error(state::SYNTAX, text).into());
        }
        let range = ranges.into_iter().next().unwrap_or(0..0);
        let offset = range.start;
        let (face, settings, one) = (Arc::clone(&self.face), self.settings.clone(), &sql[range]);
        let grants = self.client.grants();
        let prepared = self
            .guarded(async { Ok(Prepared::new(&face, (&settings, &grants), one, types).await?) })
            .await
            .map_err(|stop| placed(stop, sql, offset))?;
        self.check_transaction(&prepared)?;
        self.statements.insert(name, Arc::new(prepared));
        self.link.out.parsed();
        Ok(())
    }

    fn statement(&self, name: &str) -> Result<Arc<Prepared>, Failure> {
        self.statements.get(name).cloned().ok_or_else(|| {
            Failure::error(
                state::NO_STATEMENT,
                format!("prepared statement \"{name}\" does not exist"),
            )
        })
    }

    /// What a statement takes and returns.
    async fn shape(&mut self, prepared: &Arc<Prepared>) -> Result<Shape, Stop> {
        let (face, who, of) = (Arc::clone(&self.face), self.who(), Arc::clone(prepared));
        let shape = self.guarded(async { Ok(of.shape(&face, who).await?.clone()) }).await;
        shape.map_err(|stop| placed(stop, &prepared.sql, 0))
    }

    async fn bind(&mut self, bind: Bind) -> Result<(), Stop> {
        let Bind { portal, statement, formats, values, results } = bind;
        let statement = self.statement(&statement)?;
        self.check_transaction(&statement)?;
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            let text = format!("portal \"{portal}\" already exists");
            return Err(Failure::error(state::DUPLICATE_CURSOR, text).into());
        }
        if self.portals.len() >= MOST_PORTALS {
            let text = format!("the session has {MOST_PORTALS} portals and may have no more");
            return Err(Failure::error(state::OVER_LIMIT, text).into());
        }
        if formats.len() > 1 && formats.len() != values.len() {
            let text = format!(
                "bind message has {} parameter formats but {} parameters",
                formats.len(),
                values.len()
            );
            return Err(Failure::error(state::PROTOCOL, text).into());
        }
        let kinds = match statement.knows_parameters(values.len()) {
            Some(kinds) => kinds,
            None if values.is_empty() && !statement.sql.contains('$') => Vec::new(),
            None => self.shape(&statement).await?.parameters,
        };
        if kinds.len() != values.len() {
            let text = format!(
                "bind message supplies {} parameters, but the prepared statement requires {}",
                values.len(),
                kinds.len()
            );
            return Err(Failure::error(state::PROTOCOL, text).into());
        }
        let read = |(place, (kind, value)): (usize, (&Kind, &Option<bytes::Bytes>))| {
            values::read(place + 1, kind, format_of(&formats, place), value.as_ref())
        };
        let values: Vec<ScalarValue> =
            kinds.iter().zip(&values).enumerate().map(read).collect::<Result<_, _>>()?;
        let made = Portal { statement, values, formats: results, state: State::New };
        self.portals.insert(portal, made);
        self.link.out.bound();
        Ok(())
    }

    async fn describe_statement(&mut self, name: &str) -> Result<(), Stop> {
        let statement = self.statement(name)?;
        let shape = self.shape(&statement).await?;
        let columns = self.columns_of(&statement, &shape, &[])?;
        let oids = statement.oids(&shape.parameters);
        self.link.out.parameters(&oids);
        self.describe(columns);
        Ok(())
    }

    async fn describe_portal(&mut self, name: &str) -> Result<(), Stop> {
        // In Postgres a cursor is a portal, and drivers describe it as one.
        if let Some(cursor) = self.cursors.get(name) {
            let columns = cursor.rows.as_ref().map(|rows| rows.columns.clone());
            self.describe(columns);
            return Ok(());
        }
        let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
        let (statement, formats) = (Arc::clone(&portal.statement), portal.formats.clone());
        if let State::Open(rows) = &portal.state {
            let columns = rows.copy.is_none().then(|| rows.columns.clone());
            self.describe(columns);
            return Ok(());
        }
        let shape = self.shape(&statement).await?;
        let columns = self.columns_of(&statement, &shape, &formats)?;
        self.describe(columns);
        Ok(())
    }

    /// The columns of a statement's answer; none if it returns no rows.
    fn columns_of(
        &self,
        statement: &Prepared,
        shape: &Shape,
        formats: &[bool],
    ) -> Result<Option<Vec<super::out::Column>>, Failure> {
        if let Command::Fetch { cursor, skip: false, .. } = &statement.command {
            let rows = self.cursors.get(cursor).and_then(|cursor| cursor.rows.as_ref());
            return Ok(rows.map(|rows| rows.columns.clone()));
        }
        shape.columns.as_ref().map(|schema| rows::columns(schema, formats)).transpose()
    }

    fn describe(&mut self, columns: Option<Vec<super::out::Column>>) {
        match columns {
            Some(columns) => self.link.out.columns(&columns),
            None => self.link.out.no_data(),
        }
    }

    async fn execute(&mut self, name: &str, most: usize) -> Result<(), Stop> {
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        self.check_transaction(&portal.statement)?;
        let outcome = self.execute_portal(&mut portal, most).await;
        // COMMIT and the like end all portals, this one, too.
        if outcome.is_ok() && !matches!(portal.state, State::New) {
            self.portals.insert(name.to_owned(), portal);
        }
        outcome
    }

    async fn execute_portal(&mut self, portal: &mut Portal, most: usize) -> Result<(), Stop> {
        let statement = Arc::clone(&portal.statement);
        if statement.sql.is_empty() {
            self.link.out.empty();
            portal.state = State::Done;
            return Ok(());
        }
        if let Command::Fetch { cursor, rows, skip } = &statement.command {
            portal.state = State::Done;
            return self.fetch(cursor, *rows, *skip, false).await;
        }
        let mut rows = match std::mem::replace(&mut portal.state, State::Done) {
            State::Open(rows) => rows,
            State::Done => {
                self.link.out.complete("SELECT 0");
                return Ok(());
            }
            State::Dropped => return Err(self.dropped().into()),
            State::New => {
                let values = portal.values.clone();
                match self.perform(&statement, values, &portal.formats).await {
                    Ok(Reply::Done(tag)) => {
                        self.link.out.complete(&tag);
                        return Ok(());
                    }
                    Ok(Reply::Rows(rows)) => {
                        check_types(&statement, &rows)?;
                        if rows.copy.is_some() {
                            self.announce(&rows);
                        }
                        rows
                    }
                    Err(stop) => return Err(placed(stop, &statement.sql, 0)),
                }
            }
        };
        let most =
            (most > 0 && rows.copy.is_none()).then(|| u64::try_from(most).unwrap_or(u64::MAX));
        if self.send(&mut rows, most).await? {
            self.finish(&mut rows);
        } else {
            self.link.out.suspended();
            portal.state = State::Open(rows);
        }
        Ok(())
    }
}

/// A client that was told columns must get rows of these types.
fn check_types(statement: &Prepared, rows: &super::answer::Rows) -> Result<(), Failure> {
    match statement.told() {
        Some(told) => same_types(&told, &rows.stream.schema()),
        None => Ok(()),
    }
}

fn no_portal(name: &str) -> Failure {
    Failure::error(state::NO_CURSOR, format!("portal \"{name}\" does not exist"))
}

/// The same failure with its place in the text of the client.
fn placed(stop: Stop, text: &str, offset: usize) -> Stop {
    match stop {
        Stop::Failed(failure) => Stop::Failed(failure.within(text, offset)),
        Stop::Gone => Stop::Gone,
    }
}
