//! Catalog commands: tables, schemas, types, and what the server is.
//!
//! A command is its own ticket: it names all that is asked for, and what it answers may be known to every client.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::FlightInfo;
use arrow_flight::sql::metadata::{GetCatalogsBuilder, SqlInfoDataBuilder};
use arrow_flight::sql::{Command, CommandGetTables};
use arrow_schema::{Schema, SchemaRef};
use dunlin_planner::{DEFAULT_CATALOG, DEFAULT_SCHEMA, Grants, SYSTEM_SCHEMA};
use futures::{StreamExt, TryStreamExt};

use super::asked::Asked;
use super::command::unknown;
use super::error::FlightError;
use super::info::{endpoint, flight, ticket_of};
use super::parts::Flight;
use super::rows::{Sent, sent_one, sent_schema};
use super::{keys, sql_info, types};
use crate::auth::Scope;
use crate::query::error::CoreError;
use crate::query::system::schemas;

/// What kind of thing a table is.
const TABLE: &str = "TABLE";
const SYSTEM_TABLE: &str = "SYSTEM TABLE";
/// The schema that lists the tables and their columns.
const INFORMATION_SCHEMA: &str = "information_schema";
/// Tables whose columns are read at the same time.
const AT_ONCE: usize = 8;

fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FlightError {
    CoreError::internal(error).into()
}

/// What GetFlightInfo tells of a catalog command.
pub(super) fn info(command: &Command) -> Result<FlightInfo, FlightError> {
    let (schema, ticket) = match command {
        Command::CommandGetCatalogs(it) => (it.into_builder().schema(), ticket_of(it)),
        Command::CommandGetDbSchemas(it) => (it.clone().into_builder().schema(), ticket_of(it)),
        Command::CommandGetTables(it) => (it.clone().into_builder().schema(), ticket_of(it)),
        Command::CommandGetTableTypes(it) => (it.into_builder().schema(), ticket_of(it)),
        Command::CommandGetSqlInfo(it) => {
            (Arc::new(SqlInfoDataBuilder::schema().clone()), ticket_of(it))
        }
        Command::CommandGetXdbcTypeInfo(it) => {
            (types::types().map_err(internal)?.schema(), ticket_of(it))
        }
        Command::CommandGetPrimaryKeys(it) => (keys::primary_keys(), ticket_of(it)),
        Command::CommandGetExportedKeys(it) => (keys::references(), ticket_of(it)),
        Command::CommandGetImportedKeys(it) => (keys::references(), ticket_of(it)),
        Command::CommandGetCrossReference(it) => (keys::references(), ticket_of(it)),
        other => return Err(unknown(other)),
    };
    Ok(flight(&schema)?.with_endpoint(endpoint(ticket)))
}

impl Flight {
    /// Answers a catalog command.
    pub(super) async fn catalog(
        &self,
        asked: &Asked,
        command: Command,
    ) -> Result<Sent, FlightError> {
        asked.caller.with(Scope::Query)?;
        let grants = asked.caller.principal().grants();
        let batch = match command {
            Command::CommandGetCatalogs(_) => catalogs().map_err(internal)?,
            Command::CommandGetDbSchemas(command) => {
                let mut schemas = command.into_builder();
                for schema in [INFORMATION_SCHEMA, DEFAULT_SCHEMA, SYSTEM_SCHEMA] {
                    schemas.append(DEFAULT_CATALOG, schema);
                }
                schemas.build().map_err(internal)?
            }
            Command::CommandGetTables(command) => self.tables(command, &grants).await?,
            Command::CommandGetTableTypes(command) => {
                let mut types = command.into_builder();
                types.append(TABLE);
                types.append(SYSTEM_TABLE);
                types.build().map_err(internal)?
            }
            Command::CommandGetSqlInfo(command) => {
                let infos = sql_info::infos().map_err(internal)?;
                command.into_builder(&infos).build().map_err(internal)?
            }
            Command::CommandGetXdbcTypeInfo(command) => {
                let types = types::types().map_err(internal)?;
                command.into_builder(&types).build().map_err(internal)?
            }
            // No table has keys.
            Command::CommandGetPrimaryKeys(_) => RecordBatch::new_empty(keys::primary_keys()),
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => RecordBatch::new_empty(keys::references()),
            other => return Err(unknown(&other)),
        };
        Ok(sent_one(batch))
    }

    /// The tables that a client asks for. Only for those, and only if it wants their columns, is anything read.
    async fn tables(
        &self,
        command: CommandGetTables,
        grants: &Grants,
    ) -> Result<RecordBatch, FlightError> {
        let names = self.intake.tables(grants).await?;
        let nothing = Schema::empty();
        let wants_columns = command.include_schema;
        let mut matching =
            CommandGetTables { include_schema: false, ..command.clone() }.into_builder();
        for table in &names {
            let appended =
                matching.append(DEFAULT_CATALOG, DEFAULT_SCHEMA, &table.name, TABLE, &nothing);
            appended.map_err(internal)?;
        }
        for table in schemas() {
            let appended =
                matching.append(DEFAULT_CATALOG, SYSTEM_SCHEMA, table.name, SYSTEM_TABLE, &nothing);
            appended.map_err(internal)?;
        }
        let matching = matching.build().map_err(internal)?;
        if !wants_columns {
            return Ok(matching);
        }
        let texts =
            |column: usize| arrow::array::as_string_array(matching.column(column)).iter().flatten();
        // Tables of the system are known. Their columns are appended below.
        let own = texts(1).zip(texts(2)).filter(|(schema, _)| *schema == DEFAULT_SCHEMA);
        let names: Vec<String> = own.map(|(_, name)| name.to_owned()).collect();
        let columns = futures::stream::iter(names)
            .map(|name| async move {
                let columns = self.columns(&name, grants).await?;
                Ok::<_, FlightError>((name, columns))
            })
            .buffered(AT_ONCE);
        let found: Vec<(String, SchemaRef)> = columns.try_collect().await?;
        let mut tables = command.into_builder();
        for (name, columns) in found {
            let appended = tables.append(DEFAULT_CATALOG, DEFAULT_SCHEMA, name, TABLE, &columns);
            appended.map_err(internal)?;
        }
        // The command leaves out those that it does not ask for.
        for table in schemas() {
            let columns = sent_schema(&table.columns);
            let appended =
                tables.append(DEFAULT_CATALOG, SYSTEM_SCHEMA, table.name, SYSTEM_TABLE, &columns);
            appended.map_err(internal)?;
        }
        tables.build().map_err(internal)
    }

    /// The columns of a table, as its rows are sent. A table that cannot be read has none, so that one missing file does
    /// not hide all other tables.
    async fn columns(&self, name: &str, grants: &Grants) -> Result<SchemaRef, FlightError> {
        match self.intake.columns(name, grants).await {
            Ok(columns) => Ok(sent_schema(&columns)),
            Err(error) if error.is_retryable() => Err(error.into()),
            Err(error) => {
                tracing::debug!(table = name, %error, "the columns of a table cannot be told");
                Ok(Arc::new(Schema::empty()))
            }
        }
    }
}

fn catalogs() -> Result<RecordBatch, arrow_flight::error::FlightError> {
    let mut catalogs = GetCatalogsBuilder::new();
    catalogs.append(DEFAULT_CATALOG);
    catalogs.build()
}
