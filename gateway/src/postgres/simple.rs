//! The simple protocol: a text of statements, and their answers one after the other.

use std::sync::Arc;

use dunlin_planner::StatementKind;

use super::answer::Reply;
use super::command::Command;
use super::failure::Failure;
use super::link::Stop;
use super::out::Transaction;
use super::prepared::Prepared;
use super::session::Session;
use super::split::split;

impl Session {
    /// Answers a text of statements.
    pub(super) async fn simple(&mut self, text: &str) -> Result<(), Stop> {
        self.statements.remove("");
        self.portals.remove("");
        let statements = split(text);
        if statements.is_empty() {
            self.link.out.empty();
        }
        self.is_one_of_many = statements.len() > 1;
        for range in statements {
            let offset = range.start;
            self.begin();
            let outcome = self.one(&text[range]).await;
            self.end();
            match outcome {
                Ok(()) => {}
                Err(Stop::Failed(failure)) if !failure.fatal => {
                    self.fail(&failure.within(text, offset));
                    break;
                }
                Err(other) => return Err(other),
            }
        }
        self.is_one_of_many = false;
        if self.transaction == Transaction::None {
            self.portals.clear();
        }
        self.link.out.ready(self.transaction);
        self.link.flush().await
    }

    async fn one(&mut self, sql: &str) -> Result<(), Stop> {
        let face = Arc::clone(&self.face);
        let (settings, grants) = (self.settings.clone(), self.client.grants());
        let prepared = self
            .guarded(async { Ok(Prepared::new(&face, (&settings, &grants), sql, &[]).await?) })
            .await?;
        self.check_transaction(&prepared)?;
        if let Command::Fetch { cursor, rows, skip } = &prepared.command {
            return self.fetch(cursor, *rows, *skip, true).await;
        }
        match self.perform(&prepared, Vec::new(), &[]).await? {
            Reply::Done(tag) => self.link.out.complete(&tag),
            Reply::Rows(mut rows) => {
                self.announce(&rows);
                self.send(&mut rows, None).await?;
                self.finish(&mut rows);
            }
        }
        Ok(())
    }

    /// Runs a statement of any kind but FETCH.
    pub(super) async fn perform(
        &mut self,
        prepared: &Prepared,
        values: Vec<datafusion::common::ScalarValue>,
        formats: &[bool],
    ) -> Result<Reply, Stop> {
        let wants_rows =
            matches!(&prepared.command, Command::CopyOut { .. } | Command::Declare { .. });
        if wants_rows && prepared.kind() == Some(StatementKind::Write) {
            return Err(no_rows().into());
        }
        match &prepared.command {
            Command::Query | Command::Catalog => self.start(prepared, values, formats).await,
            Command::CopyOut { format, .. } => {
                let reply = self.start(prepared, values, &[]).await?;
                match reply {
                    Reply::Rows(mut rows) => {
                        (rows.copy, rows.tag) = (Some(format.clone()), "COPY");
                        Ok(Reply::Rows(rows))
                    }
                    Reply::Done(_) => Err(no_rows().into()),
                }
            }
            Command::Declare { cursor, hold, .. } => {
                self.may_declare(cursor, *hold)?;
                match self.start(prepared, values, formats).await? {
                    Reply::Rows(rows) => {
                        self.declare(cursor, *hold, rows);
                        Ok(Reply::Done("DECLARE CURSOR".to_owned()))
                    }
                    Reply::Done(_) => Err(no_rows().into()),
                }
            }
            command => self.command(command),
        }
    }

    /// Tells the client of the columns that follow.
    pub(super) fn announce(&mut self, rows: &super::answer::Rows) {
        match &rows.copy {
            None => self.link.out.columns(&rows.columns),
            Some(format) => {
                self.link.out.copy_out(rows.columns.len());
                if format.header {
                    let names: Vec<_> =
                        rows.columns.iter().map(|column| column.name.clone()).collect();
                    self.link.out.message(b'd', |out| format.head(&names, out));
                }
            }
        }
    }

    /// Tells the client that all rows were sent.
    pub(super) fn finish(&mut self, rows: &mut super::answer::Rows) {
        if rows.copy.is_some() {
            self.link.out.copy_done();
        }
        self.tell(rows);
        let tag = match rows.tag {
            tag @ ("EXPLAIN" | "SHOW") => tag.to_owned(),
            tag => format!("{tag} {}", rows.sent),
        };
        self.link.out.complete(&tag);
    }
}

fn no_rows() -> Failure {
    Failure::error(super::failure::state::SYNTAX, "a query that returns rows is expected here")
}
