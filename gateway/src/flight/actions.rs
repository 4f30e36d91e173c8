//! Actions: prepared statements and cancelling.
//!
//! A prepared statement is its text. Nothing is kept for it, so closing it does nothing, and a handle works at any gateway.

use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
    DoPutPreparedStatementResult, ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    IpcMessage, SchemaAsIpc,
};
use arrow_ipc::writer::IpcWriteOptions;
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use prost::Message;

use super::asked::Asked;
use super::command::command;
use super::error::FlightError;
use super::info::token_of;
use super::parts::Flight;
use super::rows::sent_schema;
use super::token::Token;
use crate::query::error::CoreError;
use crate::query::status::Status;

/// What there is, with its name and what it is for.
const ACTIONS: [(&str, &str); 4] = [
    ("CreatePreparedStatement", "prepares a statement: ActionCreatePreparedStatementRequest"),
    ("ClosePreparedStatement", "forgets a prepared statement: ActionClosePreparedStatementRequest"),
    ("CancelFlightInfo", "cancels the query of a FlightInfo: CancelFlightInfoRequest"),
    ("CancelQuery", "the same, as older clients ask for it: ActionCancelQueryRequest"),
];

/// The actions, as clients list them.
pub(super) fn actions() -> Vec<ActionType> {
    let action = |(name, description): &(&str, &str)| ActionType {
        r#type: (*name).to_owned(),
        description: (*description).to_owned(),
    };
    ACTIONS.iter().map(action).collect()
}

/// A schema as messages of Flight SQL hold it.
pub(super) fn schema_bytes(schema: &Schema) -> Result<Bytes, FlightError> {
    let options = IpcWriteOptions::default();
    let message: Result<IpcMessage, _> = SchemaAsIpc::new(schema, &options).try_into();
    message.map(|IpcMessage(bytes)| bytes).map_err(|error| CoreError::internal(error).into())
}

/// The message of an action.
fn unpacked<M: ProstMessageExt>(action: &Action) -> Result<M, FlightError> {
    let wanted = || {
        let name: String = action.r#type.chars().take(64).collect();
        FlightError::invalid(format!("the body of the action {name} is not its message"))
    };
    let any = Any::decode(&*action.body).map_err(|_| wanted())?;
    any.unpack::<M>().ok().flatten().ok_or_else(wanted)
}

impl Flight {
    /// Does an action. Returns the messages that answer it.
    pub(super) async fn acted(
        &self,
        asked: &Asked,
        action: &Action,
    ) -> Result<Vec<Bytes>, FlightError> {
        match action.r#type.as_str() {
            "CreatePreparedStatement" => {
                let request: ActionCreatePreparedStatementRequest = unpacked(action)?;
                no_transaction(request.transaction_id.as_ref())?;
                let made = self.prepared(asked, request.query).await?;
                Ok(vec![made.as_any().encode_to_vec().into()])
            }
            "ClosePreparedStatement" => {
                let _: ActionClosePreparedStatementRequest = unpacked(action)?;
                Ok(Vec::new())
            }
            "CancelFlightInfo" => {
                let request = CancelFlightInfoRequest::decode(&*action.body);
                let request = request.map_err(|_| {
                    FlightError::invalid("the body of CancelFlightInfo is not its message")
                })?;
                let status = self.cancelled(asked, request.info.unwrap_or_default()).await?;
                let result = CancelFlightInfoResult { status: status.into() };
                Ok(vec![result.encode_to_vec().into()])
            }
            "CancelQuery" => {
                let request: ActionCancelQueryRequest = unpacked(action)?;
                let info = FlightInfo::decode(request.info).map_err(|_| {
                    FlightError::invalid("the info of CancelQuery is no FlightInfo")
                })?;
                // Both messages number the outcomes alike.
                let result = self.cancelled(asked, info).await?.into();
                Ok(vec![ActionCancelQueryResult { result }.as_any().encode_to_vec().into()])
            }
            "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => {
                Err(transactions())
            }
            "CreatePreparedSubstraitPlan" => Err(substrait()),
            other => {
                let name: String = other.chars().take(64).collect();
                let known: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
                let known = known.join(", ");
                Err(FlightError::invalid(format!("there is no action {name}; there are {known}")))
            }
        }
    }

    /// Prepares a statement: tells its columns and parameters, and hands its text back as the handle.
    async fn prepared(
        &self,
        asked: &Asked,
        sql: String,
    ) -> Result<ActionCreatePreparedStatementResult, FlightError> {
        let described = self.described(asked, &sql).await?;
        // A write has no rows for its client: it is executed as an update.
        let dataset_schema = match described.kind {
            dunlin_planner::StatementKind::Write => Bytes::new(),
            _ => schema_bytes(&sent_schema(&described.schema))?,
        };
        let fields = (1usize..).zip(&described.parameters).map(|(number, kind)| {
            // A client can write any value as text, and the engine reads it where it needs another type.
            let kind = kind.clone().unwrap_or(DataType::Utf8);
            Field::new(format!("${number}"), kind, true)
        });
        let parameters = Schema::new(fields.collect::<Vec<_>>());
        let parameter_schema = schema_bytes(&sent_schema(&parameters))?;
        let token = Token::Statement { sql, parameters: Bytes::new() };
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: token.seal(&asked.caller.codes),
            dataset_schema,
            parameter_schema,
        })
    }

    /// The handle of a prepared statement with its parameters.
    pub(super) fn bound(
        asked: &Asked,
        sql: String,
        parameters: Bytes,
    ) -> DoPutPreparedStatementResult {
        let token = Token::Statement { sql, parameters };
        let handle = token.seal(&asked.caller.codes);
        DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) }
    }

    /// The statement of a handle.
    pub(super) fn of_handle(asked: &Asked, handle: &[u8]) -> Result<(String, Bytes), FlightError> {
        match Token::open(handle, &asked.caller.codes)? {
            Token::Statement { sql, parameters } => Ok((sql, parameters)),
            Token::Rows { .. } | Token::Analysis { .. } => Err(FlightError::NoSuchToken),
        }
    }

    /// Cancels the query of a FlightInfo, which its tickets name.
    async fn cancelled(
        &self,
        asked: &Asked,
        info: FlightInfo,
    ) -> Result<CancelStatus, FlightError> {
        let ticket = info.endpoint.into_iter().find_map(|endpoint| endpoint.ticket);
        let ticket = ticket.ok_or_else(|| {
            FlightError::invalid("the FlightInfo to cancel has no ticket; give it as it came")
        })?;
        let query = match command(&ticket.ticket)? {
            arrow_flight::sql::Command::TicketStatementQuery(ticket) => {
                match token_of(asked, &ticket)? {
                    Token::Rows { query, .. } | Token::Analysis { query, .. } => query,
                    // It is answered when it is asked for, and so there is nothing to cancel.
                    Token::Statement { .. } => return Ok(CancelStatus::NotCancellable),
                }
            }
            _ => return Ok(CancelStatus::NotCancellable),
        };
        let status = self.queries.cancel(asked.caller.principal().clone(), query).await?;
        Ok(match status.status {
            Status::Cancelled => CancelStatus::Cancelled,
            Status::Succeeded | Status::Failed => CancelStatus::NotCancellable,
            Status::Pending | Status::Running => CancelStatus::Cancelling,
        })
    }
}

/// Refuses a call that belongs to a transaction.
pub(super) fn no_transaction(id: Option<&Bytes>) -> Result<(), FlightError> {
    match id {
        Some(id) if !id.is_empty() => Err(transactions()),
        _ => Ok(()),
    }
}

fn transactions() -> FlightError {
    FlightError::NotSupported {
        what: "a transaction",
        instead: "each statement is one by itself; leave autocommit on",
    }
}

/// Why no Substrait plan is run.
pub(super) fn substrait() -> FlightError {
    FlightError::NotSupported { what: "a Substrait plan", instead: "send the statement as SQL" }
}
