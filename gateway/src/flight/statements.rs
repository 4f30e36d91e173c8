//! Statements: submitted, waited for, answered.
//!
//! A statement that GetFlightInfo takes is always a query in the store, also if the gateway runs it itself. So its ticket
//! can be redeemed at any gateway, and again.

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use bytes::Bytes;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::EndStatus;
use dunlin_planner::{Described, StatementKind, plan_schema};
use futures::{StreamExt, TryStreamExt};

use super::asked::{Asked, MAX_WAIT};
use super::error::FlightError;
use super::parts::Flight;
use super::rows::{Sent, sent};
use super::token::Token;
use crate::auth::{Principal, Scope};
use crate::query::analyze::Detail;
use crate::query::answer::Answer;
use crate::query::answer::rows_written;
use crate::query::error::CoreError;
use crate::query::intake::{Held, Parsed, Taken, Wish};
use crate::query::queries::{Ended, Waited, Wanted};

/// Longest time that a statement which is not stored waits for its plan.
const PATIENCE: Duration = Duration::from_secs(60);

/// A statement that was taken.
pub(super) enum Submitted {
    /// It is a query in the store. Its client asks for the rows, or for what they have cost.
    Query { query: QueryId, schema: SchemaRef, analysis: Option<Detail>, _held: Held },
    /// It was answered at once: an EXPLAIN.
    Here(Box<Answer>),
}

impl Flight {
    async fn parsed(
        &self,
        asked: &Asked,
        sql: &str,
        parameters: Vec<ScalarValue>,
    ) -> Result<Parsed, FlightError> {
        asked.caller.with(Scope::Query)?;
        let grants = asked.caller.principal().grants();
        let parsed = self.intake.parse(asked.statement(sql, parameters)?, &grants).await?;
        if parsed.kind() == StatementKind::Write {
            asked.caller.with(Scope::Write)?;
        }
        Ok(parsed)
    }

    /// What a statement takes and what it answers. Nothing is run.
    pub(super) async fn described(
        &self,
        asked: &Asked,
        sql: &str,
    ) -> Result<Described, FlightError> {
        let parsed = self.parsed(asked, sql, Vec::new()).await?;
        Ok(self.intake.describe(&parsed).await?)
    }

    /// Takes a statement, and waits for nothing.
    pub(super) async fn submitted(
        &self,
        asked: &Asked,
        sql: &str,
        parameters: Vec<ScalarValue>,
    ) -> Result<Submitted, FlightError> {
        let parsed = self.parsed(asked, sql, parameters).await?;
        self.taken(asked, parsed).await
    }

    async fn taken(&self, asked: &Asked, parsed: Parsed) -> Result<Submitted, FlightError> {
        let caller = asked.caller.principal();
        let key = asked.key.clone();
        let wish = Wish { key, durable: true, ..Wish::new(caller.clone(), PATIENCE) };
        match Arc::clone(&self.intake).take(parsed, wish).await? {
            Taken::Answer(answer) => Ok(Submitted::Here(answer)),
            Taken::Query { query, source, analysis, held } => {
                let schema = match analysis {
                    Some(_) => plan_schema(),
                    None => {
                        let schema = self.queries.schema(caller, &query).await;
                        schema.map_err(|error| source.gone(error))?
                    }
                };
                Ok(Submitted::Query { query, schema, analysis, _held: held })
            }
        }
    }

    /// Waits until a query has ended, however long that takes.
    pub(super) async fn ended(
        &self,
        caller: &Principal,
        query: &QueryId,
    ) -> Result<Box<Ended>, FlightError> {
        loop {
            match self.queries.wait(caller, query, MAX_WAIT).await? {
                Waited::Ended(ended) => return Ok(ended),
                Waited::Running(_) if self.queries.is_stopping() => {
                    return Err(FlightError::Stopping);
                }
                Waited::Running(_) => {}
            }
        }
    }

    /// Redeems a ticket.
    pub(super) async fn redeemed(&self, asked: &Asked, token: Token) -> Result<Sent, FlightError> {
        match token {
            Token::Rows { query, parts } => self.stored(asked, query, parts).await,
            Token::Analysis { query, detail } => self.analysed(asked, query, detail).await,
            Token::Statement { sql, parameters } => self.executed(asked, &sql, &parameters).await,
        }
    }

    /// Runs a statement, and sends its rows.
    pub(super) async fn executed(
        &self,
        asked: &Asked,
        sql: &str,
        parameters: &Bytes,
    ) -> Result<Sent, FlightError> {
        let parameters = super::binding::values(parameters)?;
        match self.submitted(asked, sql, parameters).await? {
            Submitted::Here(answer) => Ok(sent(answer.rows, &answer.query)),
            Submitted::Query { query, analysis: None, .. } => self.stored(asked, query, None).await,
            Submitted::Query { query, analysis: Some(detail), .. } => {
                self.analysed(asked, query, detail).await
            }
        }
    }

    /// Sends the rows of a query in the store, once it has ended.
    async fn stored(
        &self,
        asked: &Asked,
        query: QueryId,
        parts: Option<(u64, u64)>,
    ) -> Result<Sent, FlightError> {
        let ended = self.ended(asked.caller.principal(), &query).await?;
        Ok(sent(self.rows(ended, parts).await?, &query))
    }

    /// Sends what a query in the store has cost, once it has ended.
    async fn analysed(
        &self,
        asked: &Asked,
        query: QueryId,
        detail: Detail,
    ) -> Result<Sent, FlightError> {
        let caller = asked.caller.principal();
        let ended = self.ended(caller, &query).await?;
        if ended.end.status != EndStatus::Succeeded {
            // There are no rows, and this says why.
            return Ok(sent(self.rows(ended, None).await?, &query));
        }
        let answer = self.queries.answer_analysis(caller, &query, detail).await?;
        Ok(sent(answer.rows, &query))
    }

    /// The rows of a query that has ended: all, or those of some parts, in their order.
    async fn rows(
        &self,
        ended: Box<Ended>,
        parts: Option<(u64, u64)>,
    ) -> Result<SendableRecordBatchStream, FlightError> {
        let Some((first, end)) = parts else {
            return Ok(self.queries.answer(&ended, Wanted::default()).await?.rows);
        };
        // Opened before the first row is sent, so that a ticket that cannot be redeemed is refused by its status.
        let of = |part| Wanted { part: Some(part), ..Wanted::default() };
        let opened = self.queries.answer(&ended, of(first)).await?.rows;
        let schema = opened.schema();
        let (queries, ended) = (Arc::clone(&self.queries), Arc::<Ended>::from(ended));
        let more = futures::stream::iter(first.saturating_add(1)..end).then(move |part| {
            let (queries, ended) = (Arc::clone(&queries), Arc::clone(&ended));
            async move {
                let answer = queries.answer(&ended, of(part)).await;
                answer.map(|answer| answer.rows).map_err(external)
            }
        });
        let rows = opened.chain(more.try_flatten());
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// Runs a statement that writes, and returns how many rows it has written.
    pub(super) async fn updated(
        &self,
        asked: &Asked,
        sql: &str,
        parameters: Vec<ScalarValue>,
    ) -> Result<i64, FlightError> {
        let parsed = self.parsed(asked, sql, parameters).await?;
        if parsed.kind() != StatementKind::Write {
            return Err(FlightError::invalid(
                "this statement writes nothing; execute it as a query, which returns its rows",
            ));
        }
        let Submitted::Query { query, .. } = self.taken(asked, parsed).await? else {
            return Err(CoreError::internal("a write was answered and not submitted").into());
        };
        let about = |error: FlightError| error.about(&query);
        let caller = asked.caller.principal();
        let ended = self.ended(caller, &query).await.map_err(about)?;
        let mut rows = self.rows(ended, None).await?;
        let told = rows.try_next().await.map_err(CoreError::rows)?;
        let count = told.as_ref().and_then(rows_written);
        let count = count.and_then(|count| i64::try_from(count).ok());
        count.ok_or_else(|| about(CoreError::internal("a write did not say what it wrote").into()))
    }
}

fn external(error: CoreError) -> datafusion::error::DataFusionError {
    datafusion::error::DataFusionError::External(Box::new(error))
}
