//! Commands: the messages of Flight SQL in descriptors and tickets.

use arrow_flight::sql::{Any, Command};
use prost::Message;

use super::error::FlightError;

/// What a descriptor asks for.
pub(super) fn command(bytes: &[u8]) -> Result<Command, FlightError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        FlightError::invalid(format!("this is no command of Flight SQL: {error}"))
    };
    let any = Any::decode(bytes).map_err(|error| unreadable(&error))?;
    Command::try_from(any).map_err(|error| unreadable(&error))
}

/// A command that the call does not take.
pub(super) fn unknown(command: &Command) -> FlightError {
    let name = command.type_url().rsplit('.').next().unwrap_or_default();
    let name: String = name.chars().take(64).collect();
    FlightError::invalid(format!("the command {name} cannot be used in this call"))
}
