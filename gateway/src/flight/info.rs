//! What a client is told of its query: columns, tickets, how far it is.
//!
//! ```text
//!   while it runs:  one ticket for all rows (GetFlightInfo); none, and the progress (PollFlightInfo)
//!   at its end:     one ticket for each part of the answer, in their order; many parts share a ticket
//! ```

use std::time::Duration;

use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, PollInfo, Ticket};
use arrow_schema::Schema;
use bytes::Bytes;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::EndStatus;
use prost::Message;

use super::asked::Asked;
use super::error::FlightError;
use super::parts::Flight;
use super::rows::sent_schema;
use super::statements::Submitted;
use super::token::Token;
use crate::query::analyze::Detail;
use crate::query::error::CoreError;
use crate::query::queries::{Ended, Waited, Wanted};
use crate::query::status::QueryStatus;

/// Most endpoints of an answer. A FlightInfo must fit into one message.
const MOST_ENDPOINTS: u64 = 512;
/// How long PollFlightInfo waits for the end before it tells the progress.
const POLL: Duration = Duration::from_secs(5);

/// A Flight with these columns.
pub(super) fn flight(schema: &Schema) -> Result<FlightInfo, FlightError> {
    let schema = sent_schema(schema);
    FlightInfo::new().try_with_schema(&schema).map_err(|error| CoreError::internal(error).into())
}

/// An endpoint whose ticket any gateway redeems.
pub(super) fn endpoint(ticket: Bytes) -> FlightEndpoint {
    FlightEndpoint::new().with_ticket(Ticket { ticket })
}

impl Flight {
    /// What GetFlightInfo tells of a statement that was taken.
    pub(super) async fn info(
        &self,
        asked: &Asked,
        submitted: Submitted,
        (sql, parameters): (&str, Bytes),
    ) -> Result<FlightInfo, FlightError> {
        let codes = &asked.caller.codes;
        match submitted {
            Submitted::Here(answer) => {
                let token = Token::Statement { sql: sql.to_owned(), parameters };
                let info = flight(&answer.rows.schema())?;
                Ok(info.with_endpoint(endpoint(token.ticket(codes))).with_ordered(true))
            }
            Submitted::Query { query, schema, analysis, _held } => {
                let info = flight(&schema)?.with_app_metadata(query.to_string());
                if let Some(detail) = analysis {
                    let token = Token::Analysis { query, detail };
                    return Ok(info.with_endpoint(endpoint(token.ticket(codes))));
                }
                if !asked.wait.is_zero() {
                    let caller = asked.caller.principal();
                    if let Waited::Ended(ended) =
                        self.queries.wait(caller, &query, asked.wait).await?
                    {
                        return self.whole(asked, &ended, info).await;
                    }
                }
                let token = Token::Rows { query, parts: None };
                Ok(info.with_endpoint(endpoint(token.ticket(codes))).with_ordered(true))
            }
        }
    }

    /// Adds the endpoints of a query that has ended, or says why it has no answer.
    async fn whole(
        &self,
        asked: &Asked,
        ended: &Ended,
        info: FlightInfo,
    ) -> Result<FlightInfo, FlightError> {
        let query = &ended.query;
        if ended.end.status != EndStatus::Succeeded {
            // There are no rows, and this says why.
            let answer = self.queries.answer(ended, Wanted::default()).await?;
            return flight(&answer.rows.schema());
        }
        let told = self.queries.parts(ended).await?;
        let count = told.parts.len() as u64;
        let records = i64::try_from(told.rows).unwrap_or(i64::MAX);
        let bytes = i64::try_from(told.bytes).unwrap_or(i64::MAX);
        let mut info = info.with_total_records(records).with_total_bytes(bytes).with_ordered(true);
        for parts in shares(count) {
            let parts = (count > 1).then_some(parts);
            let token = Token::Rows { query: query.clone(), parts };
            info = info.with_endpoint(endpoint(token.ticket(&asked.caller.codes)));
        }
        Ok(info)
    }

    /// What is known of a query now. `Some` status: it has not ended.
    async fn now(
        &self,
        asked: &Asked,
        query: &QueryId,
        analysis: Option<Detail>,
        wait: Duration,
    ) -> Result<(FlightInfo, Option<QueryStatus>), FlightError> {
        let caller = asked.caller.principal();
        let schema = match analysis {
            Some(_) => dunlin_planner::plan_schema(),
            None => self.queries.schema(caller, query).await?,
        };
        let info = flight(&schema)?.with_app_metadata(query.to_string());
        let ended = match self.queries.wait(caller, query, wait).await? {
            Waited::Ended(ended) => ended,
            Waited::Running(status) => return Ok((info, Some(*status))),
        };
        let info = match analysis {
            Some(detail) if ended.end.status == EndStatus::Succeeded => {
                let token = Token::Analysis { query: query.clone(), detail };
                info.with_endpoint(endpoint(token.ticket(&asked.caller.codes)))
            }
            _ => self.whole(asked, &ended, info).await?,
        };
        Ok((info, None))
    }

    /// What PollFlightInfo tells of a statement that was taken now.
    pub(super) async fn polled_first(
        &self,
        asked: &Asked,
        submitted: Submitted,
        named: (&str, Bytes),
    ) -> Result<PollInfo, FlightError> {
        match submitted {
            Submitted::Here(_) => {
                let info = self.info(asked, submitted, named).await?;
                Ok(PollInfo::new().with_info(info).try_with_progress(1.0).map_err(internal)?)
            }
            Submitted::Query { query, analysis, _held, .. } => {
                self.polled(asked, &query, analysis).await
            }
        }
    }

    /// What PollFlightInfo tells of a query that exists.
    pub(super) async fn polled(
        &self,
        asked: &Asked,
        query: &QueryId,
        analysis: Option<Detail>,
    ) -> Result<PollInfo, FlightError> {
        let (info, status) = self.now(asked, query, analysis, POLL).await?;
        let poll = PollInfo::new().with_info(info);
        let Some(status) = status else {
            return poll.try_with_progress(1.0).map_err(internal);
        };
        let token = match analysis {
            Some(detail) => Token::Analysis { query: query.clone(), detail },
            None => Token::Rows { query: query.clone(), parts: None },
        };
        let next = FlightDescriptor::new_cmd(token.ticket(&asked.caller.codes));
        let (done, tasks) = (status.progress.tasks_done, status.progress.tasks);
        let progress = if tasks == 0 { 0.0 } else { done as f64 / tasks as f64 };
        poll.with_descriptor(next).try_with_progress(progress.clamp(0.0, 1.0)).map_err(internal)
    }

    /// What GetFlightInfo tells of a query whose ticket is shown again.
    pub(super) async fn told_again(
        &self,
        asked: &Asked,
        query: &QueryId,
        analysis: Option<Detail>,
    ) -> Result<FlightInfo, FlightError> {
        let (info, status) = self.now(asked, query, analysis, asked.wait).await?;
        if status.is_none() {
            return Ok(info);
        }
        let token = match analysis {
            Some(detail) => Token::Analysis { query: query.clone(), detail },
            None => Token::Rows { query: query.clone(), parts: None },
        };
        let ticket = token.ticket(&asked.caller.codes);
        Ok(info.with_endpoint(endpoint(ticket)).with_ordered(true))
    }
}

fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FlightError {
    CoreError::internal(error).into()
}

/// The token in a ticket, or in the descriptor for the next poll.
pub(super) fn token_of(asked: &Asked, ticket: &TicketStatementQuery) -> Result<Token, FlightError> {
    Token::open(&ticket.statement_handle, &asked.caller.codes)
}

/// The parts that share an endpoint.
fn shares(count: u64) -> Vec<(u64, u64)> {
    let each = count.div_ceil(MOST_ENDPOINTS).max(1);
    let starts = (0..count.max(1)).step_by(usize::try_from(each).unwrap_or(1));
    starts.map(|first| (first, (first + each).min(count.max(1)))).collect()
}

/// The bytes of a command, as a ticket that is redeemed by the same command.
pub(super) fn ticket_of(command: &impl ProstMessageExt) -> Bytes {
    command.as_any().encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_one_endpoint_and_there_are_not_too_many() {
        for count in [0, 1, 2, 511, 512, 513, 1_000, 65_536] {
            let shares = shares(count);
            assert!(shares.len() as u64 <= MOST_ENDPOINTS, "{count}");
            let mut next = 0;
            for (first, end) in &shares {
                assert_eq!((*first, first < end), (next, true), "{count}");
                next = *end;
            }
            assert_eq!(next, count.max(1));
        }
    }
}
