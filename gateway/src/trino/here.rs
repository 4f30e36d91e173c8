//! Statements that the gateway answers itself, at once and in one page: lists, queries over the catalog, EXPLAIN.
//!
//! They are no queries in the store. Their `nextUri` holds the statement, and whoever is asked answers it.

use std::sync::Arc;
use std::time::Duration;

use datafusion::common::ScalarValue;

use super::asked::of_session;
use super::catalog::Look;
use super::command::{Command, Show};
use super::encode::{Rows, whole};
use super::failure::{Failure, Name, Refused};
use super::parts::{Client, Trino};
use super::token::Statement;
use crate::query::error::CoreError;
use crate::query::intake::{Taken, Wish};
use crate::text::numbered;

/// Longest time that a statement which is not stored waits for its plan.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

impl Trino {
    /// The values behind USING, as many as the statement has parameters.
    pub(super) async fn values(
        &self,
        using: Option<&str>,
        wanted: usize,
    ) -> Result<Vec<ScalarValue>, Refused> {
        let values = match using {
            Some(using) => self.desk.values(using.to_owned()).await?,
            None => Vec::new(),
        };
        if values.len() == wanted {
            return Ok(values);
        }
        let found = values.len();
        let what = format!("Incorrect number of parameters: expected {wanted} but found {found}");
        Err(Failure::new(Name::PARAMETERS, what).into())
    }

    /// The rows of a statement that the gateway answers itself.
    pub(super) async fn answered(
        &self,
        client: &Client,
        statement: Statement,
        has_digits: bool,
    ) -> Result<Rows, Refused> {
        let Statement { sql, using, catalog, schema, user, settings } = statement;
        let grants = client.principal.grants();
        let look = Look { user, catalog, schema, grants };
        match Command::of(&sql)? {
            Command::Show(Show::Functions(pattern)) => {
                self.values(using.as_deref(), 0).await?;
                // The core lists them, with the types of their arguments.
                let like = pattern.map_or(String::new(), |pattern| format!(" like {pattern}"));
                let statement = of_session(format!("show functions{like}"), Vec::new(), &settings)?;
                self.at_once(client, statement, has_digits).await
            }
            Command::Show(show) => {
                self.values(using.as_deref(), 0).await?;
                self.shown(show, look, has_digits).await
            }
            Command::Catalog => {
                let (sql, wanted) = numbered(&sql);
                let values = self.values(using.as_deref(), wanted).await?;
                let found = self.desk.run(sql.into_owned(), values, look).await?;
                whole(found.rows, Some(found.labels), has_digits).await
            }
            Command::Query => {
                let (sql, wanted) = numbered(&sql);
                let values = self.values(using.as_deref(), wanted).await?;
                let statement = of_session(sql.into_owned(), values, &settings)?;
                self.at_once(client, statement, has_digits).await
            }
            _ => Err(CoreError::internal("a command of the session is no statement").into()),
        }
    }

    /// The rows of a statement that the core answers without a query in the store.
    async fn at_once(
        &self,
        client: &Client,
        statement: crate::query::statement::Statement,
        has_digits: bool,
    ) -> Result<Rows, Refused> {
        let caller = client.principal.clone();
        let parsed = self.intake.parse(statement, &caller.grants()).await?;
        let wish = Wish::new(caller, PATIENCE);
        match Arc::clone(&self.intake).take(parsed, wish).await? {
            Taken::Answer(answer) => whole(answer.rows, None, has_digits).await,
            Taken::Query { .. } => {
                Err(CoreError::internal("a list of the gateway became a query").into())
            }
        }
    }
}
