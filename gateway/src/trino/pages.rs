//! `GET nextUri`: how far the query is, or its rows from some row on.

use std::time::Duration;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::Progress;
use dunlin_manifest::records::EndStatus;
use futures::TryStreamExt;

use super::body::{Results, State};
use super::encode::{Rows, columns, page, whole};
use super::failure::Refused;
use super::parts::{Client, Trino};
use super::statements::written;
use super::token::{Of, Token};
use crate::query::analyze::Detail;
use crate::query::answer::rows_written;
use crate::query::error::{CoreError, ErrorKind};
use crate::query::queries::{Ended, Waited, Wanted};
use crate::query::status::Status;

/// How long a request waits for the end of its query before it tells the progress. Clients ask again at once.
const WAIT: Duration = Duration::from_secs(1);

impl Trino {
    /// Answers a token.
    pub(super) async fn turned(
        &self,
        client: &Client,
        token: Token,
        base: &str,
    ) -> Result<Results, Refused> {
        let Token { query, of, has_digits, encoding } = token.clone();
        if let Of::Here(statement) = of {
            let rows = self.answered(client, *statement, has_digits).await?;
            return Ok(Results::new(base, query, State::Finished).sent(rows, encoding));
        }
        let ended = match self.queries.wait(&client.principal, &query, WAIT).await? {
            Waited::Ended(ended) => ended,
            Waited::Running(_) if self.queries.is_stopping() => {
                let what = "the gateway is stopping, and the query goes on; ask another gateway";
                return Err(CoreError::from(ErrorKind::Busy(what.to_owned())).into());
            }
            Waited::Running(status) => {
                let state = match status.status {
                    Status::Pending => State::Queued,
                    _ => State::Running,
                };
                let schema = match &of {
                    Of::Rows { .. } => columns(
                        &*self.queries.schema(&client.principal, &query).await?,
                        has_digits,
                    )?,
                    Of::Analysis(_) => columns(&dunlin_planner::plan_schema(), has_digits)?,
                    Of::Written { .. } | Of::Here(_) | Of::Segment { .. } => written(has_digits)?,
                };
                let results = Results::new(base, query.clone(), state).columns(schema);
                let results = results.progress(status.progress, self.since(&query));
                let results = match of {
                    Of::Written { word } => results.update(&word, None),
                    _ => results,
                };
                return Ok(results.next(client.sealed(&token)?));
            }
        };
        let summary = ended.end.summary.unwrap_or_default();
        let progress = Progress {
            rows: summary.rows,
            bytes_scanned: summary.bytes_scanned,
            ..ended.status().progress
        };
        let told =
            |state| Results::new(base, query.clone(), state).progress(progress, summary.wall_ms);
        match of {
            Of::Rows { from } => {
                let page = self.page(client, &ended, (&token, from), base).await?;
                if page.next >= page.total {
                    return Ok(told(State::Finished).data(page.columns, page.data));
                }
                let token = Token { of: Of::Rows { from: page.next }, ..token };
                let results = told(State::Running).data(page.columns, page.data);
                Ok(results.next(client.sealed(&token)?))
            }
            Of::Written { word } => {
                let (rows, count) = self.written_by(&ended, has_digits).await?;
                Ok(told(State::Finished).sent(rows, encoding).update(&word, Some(count)))
            }
            Of::Analysis(detail) => {
                let rows = self.analysed(client, &ended, detail, has_digits).await?;
                Ok(told(State::Finished).sent(rows, encoding))
            }
            Of::Here(_) | Of::Segment { .. } => {
                Err(CoreError::internal("this is no token of a page").into())
            }
        }
    }

    /// Milliseconds since a query was submitted, by the clocks of the gateways.
    fn since(&self, query: &QueryId) -> u64 {
        self.queries.env().clock.wall_ms().saturating_sub(query.unix_ms())
    }

    /// Rows of a query that has ended, from a row on, as many as a page has, and how many there are. Which they are follows
    /// from the first alone.
    pub(super) async fn page_of(
        &self,
        ended: &Ended,
        from: u64,
        has_digits: bool,
    ) -> Result<(Rows, u64), Refused> {
        let window = self.queries.window(ended, from).await?;
        let rows = page(window.rows, has_digits).await.map_err(|refused| match refused {
            Refused::Statement(failure) => Refused::Statement(failure.about(&ended.query)),
            other => other,
        })?;
        if rows.count == 0 && from < window.total {
            let error = CoreError::internal("the answer has fewer rows than its seal tells");
            return Err(error.about(&ended.query).into());
        }
        Ok((rows, window.total))
    }

    /// How many rows a statement has written.
    async fn written_by(&self, ended: &Ended, has_digits: bool) -> Result<(Rows, u64), Refused> {
        let mut answer = self.queries.answer(ended, Wanted::default()).await?;
        let told = answer.rows.try_next().await.map_err(CoreError::rows)?;
        let rows = told.as_ref().and_then(|batch| batch.slice(0, 1).project(&[0]).ok());
        let count = rows.as_ref().and_then(rows_written);
        match (rows, count) {
            (Some(rows), Some(count)) => Ok((super::encode::at_hand(&rows, has_digits)?, count)),
            _ => {
                let error = CoreError::internal("a write did not say what it wrote");
                Err(error.about(&ended.query).into())
            }
        }
    }

    /// What a query has cost.
    async fn analysed(
        &self,
        client: &Client,
        ended: &Ended,
        detail: Detail,
        has_digits: bool,
    ) -> Result<Rows, Refused> {
        if ended.end.status != EndStatus::Succeeded {
            // There are no rows, and this says why.
            self.queries.answer(ended, Wanted::default()).await?;
        }
        let answer = self.queries.answer_analysis(&client.principal, &ended.query, detail).await?;
        whole(answer.rows, None, has_digits).await
    }
}
