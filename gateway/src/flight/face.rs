//! The calls of Flight: each is read, given to the core as values, and answered.
//!
//! `FlightSqlService` of `arrow-flight` is not used: it has no PollFlightInfo and no GetSchema, and what it cannot read it
//! answers with a defect.

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    Command, CommandPreparedStatementQuery, CommandStatementQuery, DoPutUpdateResult,
};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
    flight_descriptor::DescriptorType,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::header::AUTHORIZATION;
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::actions::{actions, no_transaction, schema_bytes, substrait};
use super::asked::Asked;
use super::binding::{self, Refused};
use super::catalog;
use super::command::{command, unknown};
use super::error::FlightError;
use super::guard::Shown;
use super::info::token_of;
use super::parts::Flight;
use super::rows::sent_schema;
use super::token::Token;
use crate::query::error::CoreError;

type Stream<T> = BoxStream<'static, Result<T, Status>>;

/// A stream of messages that are at hand.
fn at_hand<T: Send + 'static>(messages: Vec<T>) -> Response<Stream<T>> {
    Response::new(futures::stream::iter(messages.into_iter().map(Ok)).boxed())
}

fn not_supported<T>(what: &'static str, instead: &'static str) -> Result<T, Status> {
    Err(FlightError::NotSupported { what, instead }.into())
}

/// The command of a descriptor.
fn described(descriptor: &FlightDescriptor) -> Result<Command, FlightError> {
    if descriptor.r#type() != DescriptorType::Cmd {
        return Err(FlightError::NotSupported {
            what: "a flight that is named by a path",
            instead: "send a command of Flight SQL",
        });
    }
    command(&descriptor.cmd)
}

impl Flight {
    /// The statement of a command that has one.
    fn statement(asked: &Asked, command: Command) -> Result<Result<Named, Command>, FlightError> {
        match command {
            Command::CommandStatementQuery(CommandStatementQuery { query, transaction_id }) => {
                no_transaction(transaction_id.as_ref())?;
                Ok(Ok(Named { sql: query, parameters: Bytes::new() }))
            }
            Command::CommandPreparedStatementQuery(CommandPreparedStatementQuery {
                prepared_statement_handle,
            }) => {
                let (sql, parameters) = Self::of_handle(asked, &prepared_statement_handle)?;
                Ok(Ok(Named { sql, parameters }))
            }
            Command::CommandStatementSubstraitPlan(_) => Err(substrait()),
            other => Ok(Err(other)),
        }
    }

    async fn flight_info(
        &self,
        asked: &Asked,
        descriptor: &FlightDescriptor,
    ) -> Result<FlightInfo, FlightError> {
        let info = match Self::statement(asked, described(descriptor)?)? {
            Ok(Named { sql, parameters }) => {
                let values = binding::values(&parameters)?;
                let submitted = self.submitted(asked, &sql, values).await?;
                self.info(asked, submitted, (&sql, parameters)).await?
            }
            Err(Command::TicketStatementQuery(ticket)) => match token_of(asked, &ticket)? {
                Token::Rows { query, .. } => self.told_again(asked, &query, None).await?,
                Token::Analysis { query, detail } => {
                    self.told_again(asked, &query, Some(detail)).await?
                }
                Token::Statement { .. } => return Err(FlightError::NoSuchToken),
            },
            Err(other) => catalog::info(&other)?,
        };
        Ok(info.with_descriptor(descriptor.clone()))
    }

    async fn poll(
        &self,
        asked: &Asked,
        descriptor: &FlightDescriptor,
    ) -> Result<PollInfo, FlightError> {
        match Self::statement(asked, described(descriptor)?)? {
            Ok(Named { sql, parameters }) => {
                let values = binding::values(&parameters)?;
                let submitted = self.submitted(asked, &sql, values).await?;
                self.polled_first(asked, submitted, (&sql, parameters)).await
            }
            Err(Command::TicketStatementQuery(ticket)) => match token_of(asked, &ticket)? {
                Token::Rows { query, .. } => self.polled(asked, &query, None).await,
                Token::Analysis { query, detail } => self.polled(asked, &query, Some(detail)).await,
                Token::Statement { .. } => Err(FlightError::NoSuchToken),
            },
            // Everything else is known at once.
            Err(other) => Ok(PollInfo::new().with_info(catalog::info(&other)?)),
        }
    }

    async fn schema(
        &self,
        asked: &Asked,
        descriptor: &FlightDescriptor,
    ) -> Result<Bytes, FlightError> {
        match Self::statement(asked, described(descriptor)?)? {
            Ok(Named { sql, .. }) => {
                schema_bytes(&sent_schema(&self.described(asked, &sql).await?.schema))
            }
            Err(Command::TicketStatementQuery(ticket)) => match token_of(asked, &ticket)? {
                Token::Rows { query, .. } => {
                    let schema = self.queries.schema(asked.caller.principal(), &query).await?;
                    schema_bytes(&sent_schema(&schema))
                }
                _ => schema_bytes(&dunlin_planner::plan_schema()),
            },
            Err(other) => Ok(catalog::info(&other)?.schema),
        }
    }

    async fn get(&self, asked: &Asked, ticket: &Ticket) -> Result<super::rows::Sent, FlightError> {
        match Self::statement(asked, command(&ticket.ticket)?)? {
            Ok(Named { sql, parameters }) => self.executed(asked, &sql, &parameters).await,
            Err(Command::TicketStatementQuery(ticket)) => {
                self.redeemed(asked, token_of(asked, &ticket)?).await
            }
            Err(other) => self.catalog(asked, other).await,
        }
    }

    async fn put(&self, request: Request<Streaming<FlightData>>) -> Result<Bytes, Refused> {
        let asked = Asked::of(&request)?;
        let mut data = request.into_inner();
        let first = match data.message().await {
            Ok(Some(first)) => first,
            Ok(None) => return Err(FlightError::invalid("a DoPut without a message").into()),
            Err(status) => return Err(Refused::Status(Box::new(status))),
        };
        let Some(descriptor) = first.flight_descriptor.clone() else {
            return Err(
                FlightError::invalid("the first message of a DoPut has a descriptor").into()
            );
        };
        let command = described(&descriptor)?;
        let rest = futures::stream::iter([Ok(first)]).chain(data);
        let updated =
            |record_count| Bytes::from(DoPutUpdateResult { record_count }.encode_to_vec());
        match command {
            Command::CommandStatementUpdate(update) => {
                no_transaction(update.transaction_id.as_ref())?;
                Ok(updated(self.updated(&asked, &update.query, Vec::new()).await?))
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let (sql, known) = Self::of_handle(&asked, &update.prepared_statement_handle)?;
                let values = match binding::received(rest).await? {
                    Some(row) => binding::of_row(&row)?,
                    None => binding::values(&known)?,
                };
                Ok(updated(self.updated(&asked, &sql, values).await?))
            }
            Command::CommandPreparedStatementQuery(query) => {
                let (sql, _) = Self::of_handle(&asked, &query.prepared_statement_handle)?;
                let parameters = match binding::received(rest).await? {
                    Some(row) => binding::written(&row)?,
                    None => Bytes::new(),
                };
                Ok(Self::bound(&asked, sql, parameters).encode_to_vec().into())
            }
            Command::CommandStatementIngest(_) => Err(FlightError::NotSupported {
                what: "bulk ingestion (CommandStatementIngest)",
                instead: "write a file into the object store, and INSERT INTO … SELECT from it",
            }
            .into()),
            Command::CommandStatementSubstraitPlan(_) => Err(substrait().into()),
            other => Err(unknown(&other).into()),
        }
    }
}

/// A statement with its parameters.
struct Named {
    sql: String,
    parameters: Bytes,
}

#[tonic::async_trait]
impl FlightService for Flight {
    type HandshakeStream = Stream<HandshakeResponse>;
    type ListFlightsStream = Stream<FlightInfo>;
    type DoGetStream = Stream<FlightData>;
    type DoPutStream = Stream<PutResult>;
    type DoExchangeStream = Stream<FlightData>;
    type DoActionStream = Stream<arrow_flight::Result>;
    type ListActionsStream = Stream<ActionType>;

    /// The guard has recognised the client. Its key is its token: no gateway keeps sessions.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let internal = || Status::from(FlightError::from(CoreError::internal("no secret")));
        let shown = request.extensions().get::<Shown>().cloned().ok_or_else(internal)?;
        let mut value = MetadataValue::try_from(shown.bearer()).map_err(|_| internal())?;
        value.set_sensitive(true);
        let payload = HandshakeResponse { protocol_version: 0, payload: Bytes::new() };
        let mut response = at_hand(vec![payload]);
        response.metadata_mut().insert(AUTHORIZATION.as_str(), value);
        Ok(response)
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        not_supported("ListFlights", "ask for the tables with CommandGetTables")
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let asked = Asked::of(&request)?;
        Ok(Response::new(self.flight_info(&asked, request.get_ref()).await?))
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        let asked = Asked::of(&request)?;
        Ok(Response::new(self.poll(&asked, request.get_ref()).await?))
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let asked = Asked::of(&request)?;
        let schema = self.schema(&asked, request.get_ref()).await?;
        Ok(Response::new(SchemaResult { schema }))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let asked = Asked::of(&request)?;
        Ok(Response::new(self.get(&asked, request.get_ref()).await?))
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let app_metadata = Box::pin(self.put(request)).await?;
        Ok(at_hand(vec![PutResult { app_metadata }]))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        not_supported("DoExchange", "use GetFlightInfo and DoGet")
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let asked = Asked::of(&request)?;
        let bodies = self.acted(&asked, request.get_ref()).await?;
        Ok(at_hand(bodies.into_iter().map(|body| arrow_flight::Result { body }).collect()))
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        Ok(at_hand(actions()))
    }
}
