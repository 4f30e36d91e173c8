//! `POST /v1/statement`: what becomes of a statement.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use dunlin_planner::{Signature, StatementKind};
use serde_json::Value;

use super::asked::Asked;
use super::body::{Results, State};
use super::catalog::Look;
use super::command::{Command, known};
use super::encode::{at_hand, columns};
use super::failure::{Failure, Name, Refused};
use super::here::PATIENCE;
use super::kind::Kind;
use super::parts::{Client, Trino};
use super::session::{preparable, texts};
use super::token::{Of, Statement, Token};
use crate::auth::{MAY_NOT_WRITE, Scope};
use crate::query::error::CoreError;
use crate::query::intake::{Held, Taken, Wish};
use crate::text::{Word, Words, numbered};

/// A statement that was taken.
pub(super) struct Accepted {
    pub(super) results: Results,
    /// Keeps what is known of the query until the request is answered.
    pub(super) _held: Held,
}

impl From<Results> for Accepted {
    fn from(results: Results) -> Self {
        Self { results, _held: None }
    }
}

/// The columns of a statement that writes.
pub(super) fn written(has_digits: bool) -> Result<Vec<Value>, Failure> {
    columns(&Schema::new(vec![Field::new("rows", DataType::Int64, false)]), has_digits)
}

/// What a statement that writes is called.
fn word_of(sql: &str) -> &'static str {
    match Words::of(sql).peek() {
        Some(Word::Plain(word)) if word == "insert" => "INSERT",
        Some(Word::Plain(word)) if word == "create" => "CREATE TABLE",
        _ => "COPY",
    }
}

impl Trino {
    /// Takes a statement.
    pub(super) async fn posted(
        &self,
        client: &Client,
        asked: &Asked,
        sql: &str,
    ) -> Result<Accepted, Refused> {
        let command = Command::of(sql)?;
        if let Some(results) = self.commanded(asked, &command)? {
            return Ok(results.into());
        }
        let (sql, using) = match command {
            Command::DescribeInput { name } => {
                return Ok(self.inputs(client, asked, asked.prepared(&name)?).await?.into());
            }
            Command::DescribeOutput { name } => {
                return Ok(self.outputs(client, asked, asked.prepared(&name)?).await?.into());
            }
            Command::Execute { name, using } => (asked.prepared(&name)?, using),
            Command::ExecuteImmediate { sql, using } => (sql, using),
            _ => (sql.to_owned(), None),
        };
        // What runs a statement is large.
        Box::pin(self.executed(client, asked, sql, using)).await
    }

    async fn executed(
        &self,
        client: &Client,
        asked: &Asked,
        sql: String,
        using: Option<String>,
    ) -> Result<Accepted, Refused> {
        known(asked.catalog.as_deref(), asked.schema.as_deref())?;
        let command = Command::of(&sql)?;
        preparable(&command)?;
        if command != Command::Query {
            return Ok(self.later(client, asked, sql, using).await?.into());
        }
        let (text, wanted) = numbered(&sql);
        let values = self.values(using.as_deref(), wanted).await?;
        let parsed = self
            .intake
            .parse(asked.statement(text.into_owned(), values)?, &client.principal.grants())
            .await?;
        let kind = parsed.kind();
        match kind {
            StatementKind::Explain { .. } => {
                return Ok(self.later(client, asked, sql, using).await?.into());
            }
            StatementKind::Write if !client.principal.scopes.has(Scope::Write) => {
                return Err(Failure::new(Name::DENIED, MAY_NOT_WRITE).into());
            }
            StatementKind::Write if asked.in_transaction => {
                let what = "a statement that writes runs outside of transactions, because ROLLBACK would not undo it; commit, or use autocommit";
                return Err(Failure::new(Name::READ_ONLY, what).into());
            }
            _ => {}
        }
        let caller = client.principal.clone();
        let key = asked.key.clone();
        let wish = Wish { key, durable: true, fresh: asked.fresh, ..Wish::new(caller, PATIENCE) };
        let taken = Arc::clone(&self.intake).take(parsed, wish).await?;
        let Taken::Query { query, source, analysis, held } = taken else {
            return Err(CoreError::internal("a statement was answered and not stored").into());
        };
        let (of, told) = match (kind, analysis) {
            (StatementKind::Write, _) => {
                (Of::Written { word: word_of(&sql).to_owned() }, written(asked.has_digits))
            }
            (_, Some(detail)) => {
                (Of::Analysis(detail), columns(&dunlin_planner::plan_schema(), asked.has_digits))
            }
            (_, None) => {
                let schema = self.queries.schema(&client.principal, &query).await;
                let schema = schema.map_err(|error| source.gone(error))?;
                (Of::Rows { from: 0 }, columns(&schema, asked.has_digits))
            }
        };
        let told = match told {
            Ok(told) => told,
            Err(failure) => {
                // Nobody could read its rows.
                self.queries.cancel(client.principal.clone(), query).await?;
                return Err(failure.into());
            }
        };
        let Asked { has_digits, encoding, .. } = *asked;
        let next = client.sealed(&Token { query: query.clone(), of, has_digits, encoding })?;
        let results = Results::new(&asked.base, query, State::Queued).columns(told).next(next);
        // Clients decide by the first answer with columns whether it is an update.
        let results = match kind {
            StatementKind::Write => results.update(word_of(&sql), None),
            _ => results,
        };
        Ok(Accepted { results, _held: held })
    }

    /// A statement that the gateway answers itself. It is answered when the client asks for the first page; at once, if it is
    /// too long for an address.
    async fn later(
        &self,
        client: &Client,
        asked: &Asked,
        sql: String,
        using: Option<String>,
    ) -> Result<Results, Refused> {
        let Asked { catalog, schema, user, settings, has_digits, encoding, .. } = asked.clone();
        let statement = Statement { sql, using, catalog, schema, user, settings };
        let query = self.fresh();
        let of = Of::Here(Box::new(statement.clone()));
        let token = Token { query: query.clone(), of, has_digits, encoding };
        match token.seal(&client.codes) {
            Some(next) => Ok(Results::new(&asked.base, query, State::Queued).next(next)),
            None => {
                let rows = self.answered(client, statement, has_digits).await?;
                // Clients read rows in other forms only behind `nextUri`.
                Ok(Results::new(&asked.base, query, State::Finished).rows(rows))
            }
        }
    }

    /// What a prepared statement takes and returns. It is planned, and not run.
    async fn signature(
        &self,
        client: &Client,
        asked: &Asked,
        sql: &str,
    ) -> Result<Signature, Refused> {
        let grants = client.principal.grants();
        known(asked.catalog.as_deref(), asked.schema.as_deref())?;
        let text = numbered(sql).0.into_owned();
        match Command::of(sql)? {
            Command::Query => {
                let parsed = self.intake.parse(asked.statement(text, Vec::new())?, &grants).await?;
                Ok(self.intake.signature(&parsed, Vec::new()).await?)
            }
            Command::Catalog => {
                let Asked { user, catalog, schema, .. } = asked.clone();
                Ok(self.desk.signature(text, Look { user, catalog, schema, grants }).await?)
            }
            _ => {
                let what = "only a query is described; execute this statement";
                Err(Failure::new(Name::NOT_SUPPORTED, what).into())
            }
        }
    }

    async fn inputs(
        &self,
        client: &Client,
        asked: &Asked,
        sql: String,
    ) -> Result<Results, Refused> {
        let Signature { parameters, .. } = self.signature(client, asked, &sql).await?;
        let kinds = parameters.iter().map(|kind| Ok(Kind::of_type(kind)?.name(true)));
        let kinds = kinds.collect::<Result<Vec<_>, Failure>>()?;
        let places = (0..i64::try_from(kinds.len()).unwrap_or(0)).collect::<Vec<_>>();
        let batch = arrow::array::RecordBatch::try_from_iter_with_nullable([
            ("Position", Arc::new(arrow::array::Int64Array::from(places)) as _, true),
            ("Type", Arc::new(arrow::array::StringArray::from(kinds)) as _, true),
        ]);
        let rows = at_hand(&batch.map_err(CoreError::internal)?, asked.has_digits)?;
        Ok(Results::new(&asked.base, self.fresh(), State::Finished).rows(rows))
    }

    async fn outputs(
        &self,
        client: &Client,
        asked: &Asked,
        sql: String,
    ) -> Result<Results, Refused> {
        let Signature { columns, .. } = self.signature(client, asked, &sql).await?;
        let fields = columns.fields();
        let nothing = vec![String::new(); fields.len()];
        let kinds = fields.iter().map(|field| Ok(Kind::of(field)?.name(true)));
        let batch = texts(&[
            ("Column Name", fields.iter().map(|field| field.name().clone()).collect()),
            ("Catalog", nothing.clone()),
            ("Schema", nothing.clone()),
            ("Table", nothing),
            ("Type", kinds.collect::<Result<_, Failure>>()?),
        ])?;
        let sizes = vec![0_i64; fields.len()];
        let aliased = vec![false; fields.len()];
        let more = [
            (
                "Type Size",
                Arc::new(arrow::array::Int64Array::from(sizes)) as arrow::array::ArrayRef,
            ),
            ("Aliased", Arc::new(arrow::array::BooleanArray::from(aliased)) as _),
        ];
        let named = batch.schema();
        let known = named.fields().iter().map(|field| field.name().as_str());
        let all = known.zip(batch.columns().iter().cloned()).chain(more);
        let all = all.map(|(name, array)| (name, array, true));
        let batch = arrow::array::RecordBatch::try_from_iter_with_nullable(all);
        let rows = at_hand(&batch.map_err(CoreError::internal)?, asked.has_digits)?;
        Ok(Results::new(&asked.base, self.fresh(), State::Finished).rows(rows))
    }
}
