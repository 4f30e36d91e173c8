//! Running a statement: it ends when it is done, when somebody cancels it, when its time is over, or when its client leaves.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::ScalarValue;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::EndStatus;
use dunlin_planner::StatementKind;
use futures::StreamExt;

use super::answer::{Reply, Rows, Told};
use super::bounds::Bounds;
use super::failure::{Failure, state};
use super::link::Stop;
use super::out::Transaction;
use super::prepared::{Inner, Prepared};
use super::rows;
use super::session::Session;
use crate::auth::{MAY_NOT_WRITE, Scope};
use crate::door::{Client, Permit};
use crate::query::answer::{Answer, rows_written};
use crate::query::error::CoreError;
use crate::query::intake::{Held, Parsed, Taken, Wish};
use crate::query::queries::{Waited, Wanted};

/// The longest time that a statement waits for a plan and for a place among the inline queries, and the longest time
/// between two looks at whether this gateway stops.
const PATIENCE: Duration = Duration::from_secs(600);

impl Session {
    /// A statement begins: from now on it can be cancelled.
    pub(super) fn begin(&mut self) {
        let most = self.settings.statement_timeout();
        self.scope = Some(Bounds::new(&self.face, self.name, self.known.begin(), most));
    }

    /// The statement has ended.
    pub(super) fn end(&mut self) {
        self.known.end();
        self.scope = None;
    }

    /// The result of `work`, unless the statement must end before.
    pub(super) async fn guarded<T>(
        &mut self,
        work: impl Future<Output = Result<T, Stop>>,
    ) -> Result<T, Stop> {
        let Self { link, scope, .. } = self;
        let over = async {
            match scope {
                Some(scope) => scope.over().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            failure = over => Err(failure.into()),
            () = link.left() => Err(Stop::Gone),
        }
    }

    /// Counts a statement among those in progress of its client and of all clients.
    fn admitted(&self) -> Result<Permit, Failure> {
        let client = Client::of(&self.client, self.peer.ip());
        Ok(self.face.admission.of_client(client)?.of_all()?)
    }

    /// Starts a statement of the core or the catalog. `formats`: which columns are wanted in the binary form.
    pub(super) async fn start(
        &mut self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        formats: &[bool],
    ) -> Result<Reply, Stop> {
        if !self.client.scopes.has(Scope::Query) {
            let text = "this API key or token does not allow to query; it needs the scope query";
            return Err(Failure::error(state::FORBIDDEN, text).into());
        }
        match &prepared.inner {
            Inner::Nothing => Ok(Reply::Done(String::new())),
            Inner::Catalog(sql) => {
                let permit = self.admitted()?;
                let (face, sql, who) = (Arc::clone(&self.face), sql.clone(), self.who());
                let rows = async { Ok(face.desk.run(sql, values, who).await?) };
                let stream = self.guarded(rows).await?;
                let columns = rows::columns(&stream.schema(), formats)?;
                Ok(Reply::Rows(Box::new(Rows {
                    stream,
                    columns,
                    batch: None,
                    sent: 0,
                    tag: "SELECT",
                    copy: None,
                    told: None,
                    is_inline: true,
                    taken: self.now(),
                    _held: (None, Some(permit)),
                })))
            }
            Inner::Core(parsed) => {
                let kind = parsed.kind();
                if kind == StatementKind::Write {
                    self.may_write()?;
                }
                let permit = self.admitted()?;
                // It may have been prepared before a reload.
                let (intake, grants) = (Arc::clone(&self.face.intake), self.client.grants());
                let parsed = parsed.as_ref().clone();
                let renewed = async { Ok(intake.renewed(parsed, &grants).await?) };
                let mut parsed = self.guarded(renewed).await?.of_connection(self.name.origin());
                if !values.is_empty() {
                    parsed = parsed.with_values(values);
                }
                let (answer, held) = self.answered(parsed).await?;
                if kind == StatementKind::Write {
                    return self.written(prepared, answer).await;
                }
                let tag = match kind {
                    StatementKind::Explain { .. } | StatementKind::Analyze { .. } => "EXPLAIN",
                    _ => "SELECT",
                };
                let columns = rows::columns(&answer.rows.schema(), formats)?;
                let told = (kind == StatementKind::Query).then(|| Told::of(&answer));
                Ok(Reply::Rows(Box::new(Rows {
                    is_inline: answer.parts.is_none(),
                    stream: answer.rows,
                    columns,
                    batch: None,
                    sent: 0,
                    tag,
                    copy: None,
                    told,
                    taken: self.now(),
                    _held: (held, Some(permit)),
                })))
            }
        }
    }

    fn may_write(&self) -> Result<(), Failure> {
        if !self.client.scopes.has(Scope::Write) {
            return Err(Failure::error(state::FORBIDDEN, MAY_NOT_WRITE));
        }
        if self.transaction != Transaction::None || self.is_one_of_many {
            return Err(Failure::error(
                state::ACTIVE_TRANSACTION,
                "a statement that writes cannot run inside a transaction block, because ROLLBACK would not undo it",
            )
            .hint("Send it alone, with autocommit."));
        }
        Ok(())
    }

    /// The answer of a statement of the core.
    async fn answered(&mut self, parsed: Parsed) -> Result<(Answer, Held), Stop> {
        let caller = self.client.clone();
        let fresh = !self.settings.reuses_answers();
        let wish = Wish { fresh, ..Wish::new(caller, PATIENCE) };
        let gone = wish.gone.clone();
        // In a task of its own, so that a query whose client cancels in this moment is known and cancelled.
        let mut taking = tokio::spawn(Arc::clone(&self.face.intake).take(parsed, wish));
        let mut is_over = false;
        let taken = self.guarded(async {
            let taken = (&mut taking).await;
            is_over = true;
            match taken {
                Ok(taken) => Ok(taken?),
                Err(_) => Err(CoreError::internal("the statement met a defect").into()),
            }
        });
        match taken.await {
            Ok(Taken::Answer(answer)) => Ok((*answer, None)),
            Ok(Taken::Query { query, analysis, held, .. }) => {
                self.notice(&format!("query {query} is in the store"));
                self.link.flush().await?;
                let ended = self.ended(&query).await?;
                let face = Arc::clone(&self.face);
                let answer = match analysis {
                    Some(detail) if ended.end.status == EndStatus::Succeeded => {
                        face.queries.answer_analysis(&self.client, &query, detail).await?
                    }
                    _ => face.queries.answer(&ended, Wanted::default()).await?,
                };
                Ok((answer, held))
            }
            Err(stop) => {
                // What waits for a place waits no longer.
                gone.cancel();
                if !is_over && matches!(stop, Stop::Failed(_)) {
                    self.cancel_when_taken(taking);
                }
                Err(stop)
            }
        }
    }

    /// Cancels the query of a statement that is being taken, if it becomes one.
    fn cancel_when_taken(&self, taking: tokio::task::JoinHandle<Result<Taken, CoreError>>) {
        let (face, client) = (Arc::clone(&self.face), self.client.clone());
        tokio::spawn(async move {
            if let Ok(Ok(Taken::Query { query, .. })) = taking.await
                && let Err(error) = face.queries.cancel(client, query.clone()).await
            {
                tracing::warn!(%query, %error, "a query that its client cancelled goes on");
            }
        });
    }

    /// Waits for the end of a query. A client that leaves does not end it: another one can fetch its rows.
    async fn ended(&mut self, query: &QueryId) -> Result<crate::query::queries::Ended, Stop> {
        loop {
            let (face, client) = (Arc::clone(&self.face), self.client.clone());
            let waited =
                self.guarded(async { Ok(face.queries.wait(&client, query, PATIENCE).await?) });
            match waited.await {
                Ok(Waited::Ended(ended)) => return Ok(*ended),
                Ok(Waited::Running(_)) if self.stop.is_cancelled() => {
                    return Err(Failure::fatal(
                        state::SHUTDOWN,
                        format!("the gateway is stopping; query {query} goes on"),
                    )
                    .hint(format!(
                        "Fetch its rows from another gateway: dunlin query results {query}"
                    ))
                    .into());
                }
                Ok(Waited::Running(_)) => {}
                Err(Stop::Failed(failure)) if failure.state == state::CANCELLED => {
                    if let Err(error) = face.queries.cancel(client, query.clone()).await {
                        tracing::warn!(%query, %error, "a query that its client cancelled goes on");
                    }
                    return Err(Failure {
                        detail: Some(format!("query {query}").into()),
                        ..failure
                    }
                    .into());
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// What a client is told of a statement that has written.
    async fn written(&mut self, prepared: &Prepared, answer: Answer) -> Result<Reply, Stop> {
        let mut told = Told::of(&answer);
        told.receipt.price(self.face.queries.tariff());
        let mut stream = answer.rows;
        let mut rows = 0u64;
        while let Some(batch) = self.next_batch(&mut stream, Some(&told.query)).await? {
            rows = rows_written(&batch).unwrap_or(rows);
        }
        self.notice(&told.text(rows));
        let first = prepared.sql.split_whitespace().next().unwrap_or_default().to_lowercase();
        Ok(Reply::Done(match first.as_str() {
            "copy" => format!("COPY {rows}"),
            "create" => format!("SELECT {rows}"),
            _ => format!("INSERT 0 {rows}"),
        }))
    }

    /// The next batch of an answer.
    pub(super) async fn next_batch(
        &mut self,
        stream: &mut datafusion::execution::SendableRecordBatchStream,
        query: Option<&QueryId>,
    ) -> Result<Option<datafusion::arrow::array::RecordBatch>, Stop> {
        let next = async {
            match stream.next().await.transpose() {
                Ok(batch) => Ok(batch),
                Err(error) => {
                    let error = CoreError::rows(error);
                    Err(match query {
                        Some(query) => error.about(query),
                        None => error,
                    }
                    .into())
                }
            }
        };
        self.guarded(next).await
    }

    /// Sends rows until `most` of them are sent, or all. True if no more will come.
    pub(super) async fn send(&mut self, rows: &mut Rows, most: Option<u64>) -> Result<bool, Stop> {
        let last = most.map(|most| rows.sent.saturating_add(most));
        let names: Vec<String> = match &rows.copy {
            Some(_) => rows.columns.iter().map(|column| column.name.clone()).collect(),
            None => Vec::new(),
        };
        rows.taken = self.now();
        loop {
            if last.is_some_and(|last| rows.sent >= last) {
                return Ok(false);
            }
            let (batch, row) = match &mut rows.batch {
                Some((batch, row)) if *row < batch.rows => (batch, row),
                _ => {
                    let query = rows.told.as_ref().map(|told| told.query.clone());
                    match self.next_batch(&mut rows.stream, query.as_ref()).await? {
                        Some(batch) => rows.batch = Some((rows::Prepared::new(&batch)?, 0)),
                        None => return Ok(true),
                    }
                    continue;
                }
            };
            match &rows.copy {
                None => batch.row(*row, &rows.columns, &mut self.link.out)?,
                Some(format) => {
                    let texts = batch.texts(*row)?;
                    self.link.out.message(b'd', |out| format.line(&names, &texts, out));
                }
            }
            *row += 1;
            rows.sent += 1;
            self.link.pace().await?;
        }
    }

    /// Tells what a query was, and what it cost.
    pub(super) fn tell(&mut self, rows: &mut Rows) {
        let Some(told) = &mut rows.told else { return };
        if let Some(meter) = &told.meter {
            told.receipt.requests = meter.snapshot().requests;
        }
        told.receipt.price(self.face.queries.tariff());
        let text = told.text(rows.sent);
        self.notice(&text);
    }

    /// Sends a notice, if the client wants any.
    pub(super) fn notice(&mut self, text: &str) {
        if self.settings.shows_notices() {
            self.link.out.notice(text);
        }
    }
}

/// Whether rows have the types that a client was told.
pub(super) fn same_types(told: &Schema, found: &Schema) -> Result<(), Failure> {
    let kinds = |schema: &Schema| -> Result<Vec<_>, Failure> {
        schema.fields().iter().map(|field| super::kind::Kind::of(field)).collect()
    };
    if kinds(told)? == kinds(found)? {
        return Ok(());
    }
    Err(Failure::error(
        state::FEATURE_NOT_SUPPORTED,
        "cached plan must not change result type: a table of the statement has other columns now",
    )
    .hint("Prepare the statement again."))
}
