//! A statement that was parsed: what it asks for, what it takes, and what it returns.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dunlin_planner::{Grants, Signature, StatementKind};
use tokio::sync::OnceCell;

use super::catalog::Who;
use super::command::Command;
use super::face::Face;
use super::failure::Failure;
use super::kind::Kind;
use super::settings::Settings;
use crate::options::MAX_SQL_BYTES;
use crate::query::error::{CoreError, ErrorKind};
use crate::query::intake::Parsed;
use crate::query::statement::Statement;

/// A statement that was parsed.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) sql: String,
    pub(super) command: Command,
    pub(super) inner: Inner,
    /// The types that the client gives its parameters, where it does.
    declared: Vec<Option<Kind>>,
    /// The same as it has named them. Some clients take it ill if they are told another name of the same type.
    oids: Vec<u32>,
    shape: OnceCell<Shape>,
}

/// The query of a statement.
#[derive(Clone, Debug)]
pub(super) enum Inner {
    /// It has none.
    Nothing,
    /// One for the core.
    Core(Box<Parsed>),
    /// One about the catalog.
    Catalog(String),
}

/// What a statement takes and returns.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) parameters: Vec<Kind>,
    /// None: it returns no rows.
    pub(super) columns: Option<SchemaRef>,
}

impl Prepared {
    /// Parses a statement. Reads no table.
    pub(super) async fn new(
        face: &Face,
        (settings, grants): (&Settings, &Grants),
        sql: &str,
        types: &[u32],
    ) -> Result<Self, Failure> {
        if sql.is_empty() {
            let (sql, declared, shape) = (String::new(), Vec::new(), OnceCell::new());
            return Ok(Self {
                sql,
                command: Command::Query,
                inner: Inner::Nothing,
                declared,
                oids: Vec::new(),
                shape,
            });
        }
        if sql.len() > MAX_SQL_BYTES {
            return Err(CoreError::from(ErrorKind::SqlTooLarge(sql.len())).into());
        }
        let command = Command::of(sql)?;
        let declared = types.iter().map(|oid| Kind::of_oid(*oid)).collect::<Result<_, _>>()?;
        let query = match &command {
            Command::Query | Command::Catalog => Some(sql),
            Command::CopyOut { query, .. } => Some(query.as_str()),
            Command::Declare { query, .. } => Some(&sql[query.clone()]),
            _ => None,
        };
        let inner = match query {
            None => Inner::Nothing,
            Some(query) => match Command::of(query)? {
                Command::Catalog => Inner::Catalog(query.to_owned()),
                Command::Query => {
                    let statement = statement(settings, query)?;
                    let parsed = face.intake.parse(statement, grants).await.map_err(Failure::from);
                    // A place in the query is none in the statement around it.
                    let parsed = parsed.map_err(|failure| match command {
                        Command::Query => failure,
                        _ => Failure { place: None, ..failure },
                    });
                    Inner::Core(Box::new(parsed?))
                }
                _ => {
                    return Err(Failure::error(
                        super::failure::state::SYNTAX,
                        "a query is expected here, and not a command",
                    ));
                }
            },
        };
        let (sql, shape) = (sql.to_owned(), OnceCell::new());
        Ok(Self { sql, command, inner, declared, oids: types.to_vec(), shape })
    }

    /// What kind of statement the core sees; none if it sees none.
    pub(super) fn kind(&self) -> Option<StatementKind> {
        match &self.inner {
            Inner::Core(parsed) => Some(parsed.kind()),
            Inner::Nothing | Inner::Catalog(_) => None,
        }
    }

    /// The numbers of the types that its parameters have.
    pub(super) fn oids(&self, kinds: &[Kind]) -> Vec<u32> {
        let named = |at: usize| self.oids.get(at).copied();
        let told = kinds.iter().enumerate().map(|(at, kind)| match self.declared.get(at) {
            Some(Some(_)) => named(at).unwrap_or_else(|| kind.oid()),
            _ => kind.oid(),
        });
        told.collect()
    }

    /// Whether the types of all parameters are given, so that nothing has to be planned to read values.
    pub(super) fn knows_parameters(&self, count: usize) -> Option<Vec<Kind>> {
        let known: Option<Vec<Kind>> = self.declared.iter().cloned().collect();
        known.filter(|kinds| kinds.len() >= count)
    }

    /// What it takes and returns. It is planned for it, once, and not run.
    pub(super) async fn shape(&self, face: &Face, who: Who) -> Result<&Shape, CoreError> {
        self.shape.get_or_try_init(|| self.described(face, who)).await
    }

    async fn described(&self, face: &Face, who: Who) -> Result<Shape, CoreError> {
        let declared: Vec<_> =
            self.declared.iter().map(|kind| kind.as_ref().map(Kind::arrow)).collect();
        let Signature { parameters, columns } = match &self.inner {
            Inner::Nothing => {
                return Ok(Shape { parameters: Vec::new(), columns: self.own_columns() });
            }
            Inner::Core(parsed) => face.intake.signature(parsed, declared).await?,
            Inner::Catalog(sql) => face.desk.signature(sql.clone(), declared, who).await?,
        };
        let kind = |(at, inferred): (usize, &DataType)| match self.declared.get(at) {
            Some(Some(declared)) => declared.clone(),
            _ => Kind::of_type(inferred).unwrap_or(Kind::Text),
        };
        let parameters = parameters.iter().enumerate().map(kind).collect();
        let returns = matches!(self.command, Command::Query | Command::Catalog);
        let columns = match self.kind() {
            _ if !returns => None,
            Some(StatementKind::Write) => None,
            Some(StatementKind::Explain { .. } | StatementKind::Analyze { .. }) => {
                let text = |name| Field::new(name, DataType::Utf8, false);
                Some(Arc::new(Schema::new(vec![text("plan_type"), text("plan")])))
            }
            Some(StatementKind::Query) | None => Some(columns),
        };
        Ok(Shape { parameters, columns })
    }

    /// The columns of a command.
    fn own_columns(&self) -> Option<SchemaRef> {
        match &self.command {
            Command::Show(name) => Some(shown(name.as_deref())),
            _ => None,
        }
    }
}

/// The columns of SHOW.
pub(super) fn shown(name: Option<&str>) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(match name {
        Some(name) => vec![text(name)],
        None => vec![text("name"), text("setting"), text("description")],
    }))
}

/// A statement for the core, with the settings of the session.
fn statement(settings: &Settings, sql: &str) -> Result<Statement, CoreError> {
    let mut statement = Statement::new(sql.to_owned(), Vec::new(), settings.planner())?;
    statement.most = settings.most();
    Ok(statement)
}

impl Prepared {
    /// The columns that a client was told; none if it was not told any.
    pub(super) fn told(&self) -> Option<SchemaRef> {
        self.shape.get().and_then(|shape| shape.columns.clone())
    }
}
