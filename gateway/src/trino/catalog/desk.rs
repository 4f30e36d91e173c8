//! Answers statements about the catalog and the session.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::MemoryCatalogProvider;
use datafusion::catalog::{CatalogProvider, SchemaProvider};
use datafusion::common::ScalarValue;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, SelectItem, SetExpr, Statement as Parsed, Value, ValueWithSpan,
    visit_expressions_mut,
};
use dunlin_manifest::env::Env;
use dunlin_planner::{DEFAULT_CATALOG, DEFAULT_SCHEMA, Grants, PlanError, Signature};

use super::information::Information;
use super::jdbc::Jdbc;
use super::parameters::{constants, keep_zones, rewritten};
use super::system::{Metadata, Runtime};
use crate::catalog::{ByGrants, Constant, Names, session};
use crate::query::error::CoreError;
use crate::query::intake::Intake;
use crate::trino::VERSION;

/// Answers statements about the catalog and the session.
#[derive(Debug)]
pub(in crate::trino) struct Desk {
    intake: Arc<Intake>,
    opened: ByGrants<Opened>,
}

/// Who looks, and where names without a schema are looked up.
#[derive(Clone, Debug, Default)]
pub(in crate::trino) struct Look {
    pub(in crate::trino) user: String,
    pub(in crate::trino) catalog: Option<String>,
    pub(in crate::trino) schema: Option<String>,
    /// The tables that it may name.
    pub(in crate::trino) grants: Grants,
}

/// What all statements of clients with the same grants share. It is made when the first client asks.
struct Opened {
    base: SessionState,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

/// The rows of a statement, and what its columns are called.
pub(in crate::trino) struct Found {
    pub(in crate::trino) rows: SendableRecordBatchStream,
    pub(in crate::trino) labels: Vec<String>,
}

impl Desk {
    pub(in crate::trino) fn new(intake: Arc<Intake>, env: &Env) -> Self {
        let opened = ByGrants::new(Arc::clone(&intake), Arc::clone(&env.clock));
        Self { intake, opened }
    }

    /// What a statement takes and returns.
    pub(in crate::trino) async fn signature(
        &self,
        sql: String,
        look: Look,
    ) -> Result<Signature, CoreError> {
        let opened = self.open(&look.grants).await?;
        let planner = self.intake.live().planner.clone();
        self.intake
            .think(move || async move {
                planner.measure(&sql)?;
                let (state, plan, _) = opened.plan(&sql, &look).await?;
                session::signature(&state, plan, &[])
            })
            .await
    }

    /// The rows of a statement.
    pub(in crate::trino) async fn run(
        &self,
        sql: String,
        values: Vec<ScalarValue>,
        look: Look,
    ) -> Result<Found, CoreError> {
        let opened = self.open(&look.grants).await?;
        let planner = self.intake.live().planner.clone();
        let (ready, labels) = self
            .intake
            .think(move || async move {
                planner.measure(&sql)?;
                let (state, plan, labels) = opened.plan(&sql, &look).await?;
                let ready = session::ready(&state, plan, values).await?;
                let labels = labels.unwrap_or_else(|| names_of(&ready.columns));
                Ok((ready, labels))
            })
            .await?;
        let rows = self.intake.run_beside(ready.plan, ready.context, session::PATIENCE).await?;
        Ok(Found { rows, labels })
    }

    /// The values of a list of constants, as it stands behind USING.
    pub(in crate::trino) async fn values(
        &self,
        using: String,
    ) -> Result<Vec<ScalarValue>, CoreError> {
        // They name no table.
        let opened = self.open(&Grants::all()).await?;
        let planner = self.intake.live().planner.clone();
        self.intake
            .think(move || async move {
                planner.measure(&using)?;
                let sql = format!("select {using}");
                let mut state = opened.session(&Look::default())?;
                keep_zones(&mut state);
                let mut parsed = parsed(&state, &sql)?;
                let count = rewritten(&mut parsed)?;
                let plan = session::query(&state, parsed).await?;
                constants(&state.optimize(&plan).map_err(PlanError::from_planning)?, count)
            })
            .await
    }

    /// The columns of a table of the catalog. None: there is no such table, or it is one of the configuration.
    pub(in crate::trino) async fn columns(
        &self,
        (catalog, schema, table): (&str, &str, &str),
        grants: &Grants,
    ) -> Result<Option<SchemaRef>, CoreError> {
        let opened = self.open(grants).await?;
        let catalog = opened.base.catalog_list().catalog(catalog);
        let Some(schema) = catalog.and_then(|catalog| catalog.schema(schema)) else {
            return Ok(None);
        };
        let found = schema.table(table).await.map_err(CoreError::internal)?;
        Ok(found.map(|table| table.schema()))
    }

    /// What all statements with these grants share, with the tables of this moment.
    async fn open(&self, grants: &Grants) -> Result<Arc<Opened>, CoreError> {
        self.opened.get(grants, |names, memory| Opened::new(&names, memory)).await
    }
}

fn names_of(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

/// One statement.
fn parsed(state: &SessionState, sql: &str) -> Result<Parsed, PlanError> {
    let dialect = state.config_options().sql_parser.dialect;
    let parsed = state.sql_to_statement(sql, &dialect).map_err(PlanError::from_planning)?;
    match parsed {
        Statement::Statement(parsed) => Ok(*parsed),
        _ => Err(PlanError::Unsupported {
            operator: "this statement over the catalog".to_owned(),
            reason: "only queries are answered".to_owned(),
        }),
    }
}

/// Gives each column of a query without a name the name that Trino gives it. Returns what all columns are called, as they
/// are written; none if the query does not list them.
fn labelled(statement: &mut Parsed) -> Option<Vec<String>> {
    let Parsed::Query(query) = statement else { return None };
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let mut labels = Vec::new();
    for (place, item) in select.projection.iter_mut().enumerate() {
        let label = match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name))
            | SelectItem::ExprWithAlias { alias: name, .. } => name.value.clone(),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last()?.value.clone(),
            SelectItem::UnnamedExpr(expr) => {
                let label = format!("_col{place}");
                let alias = Ident::with_quote('"', &label);
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                label
            }
            _ => return None,
        };
        labels.push(label);
    }
    Some(labels)
}

/// `current_schema` is a word of Trino's SQL and the name of a column in the engine's.
fn with_schema(statement: &mut Parsed, schema: Option<&str>) {
    let _ = visit_expressions_mut(statement, |expr| {
        if let Expr::Identifier(name) = &*expr
            && name.quote_style.is_none()
            && name.value.eq_ignore_ascii_case("current_schema")
        {
            let schema = schema.map(|schema| Value::SingleQuotedString(schema.to_owned()));
            let (value, span) = (schema.unwrap_or(Value::Null), name.span);
            *expr = Expr::Value(ValueWithSpan { value, span });
        }
        ControlFlow::<()>::Continue(())
    });
}

impl Opened {
    fn new(names: &Arc<Names>, memory: usize) -> Result<Self, PlanError> {
        let planning = PlanError::from_planning;
        let context = session::context(memory, DEFAULT_CATALOG, DEFAULT_SCHEMA)?;
        let information = |catalog| Arc::new(Information { catalog, names: Arc::clone(names) });
        let tables = MemoryCatalogProvider::new();
        let add = |catalog: &MemoryCatalogProvider, name: &str, schema: Arc<dyn SchemaProvider>| {
            catalog.register_schema(name, schema).map(drop).map_err(planning)
        };
        add(&tables, DEFAULT_SCHEMA, Arc::<Names>::clone(names))?;
        add(&tables, "information_schema", information(DEFAULT_CATALOG))?;
        let system = MemoryCatalogProvider::new();
        add(&system, "information_schema", information("system"))?;
        add(&system, "jdbc", Arc::new(Jdbc(Arc::clone(names))))?;
        add(&system, "metadata", Arc::new(Metadata(Arc::clone(names))))?;
        add(&system, "runtime", Arc::new(Runtime))?;
        context.register_catalog(DEFAULT_CATALOG, Arc::new(tables));
        context.register_catalog("system", Arc::new(system));
        Ok(Self { base: context.state() })
    }

    /// The session of one statement.
    fn session(&self, look: &Look) -> Result<SessionState, PlanError> {
        let catalog = look.catalog.as_deref().unwrap_or(DEFAULT_CATALOG);
        let schema = look.schema.as_deref().unwrap_or(DEFAULT_SCHEMA);
        let config = self.base.config().clone().with_default_catalog_and_schema(catalog, schema);
        let base = SessionStateBuilder::new_from_existing(self.base.clone());
        let mut state = base.with_config(config).build();
        let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
        let optional = |text: &Option<String>| ScalarValue::Utf8(text.clone());
        for (name, value) in [
            ("version", text(VERSION)),
            ("current_user", text(&look.user)),
            ("current_catalog", optional(&look.catalog)),
            ("infinity", ScalarValue::Float64(Some(f64::INFINITY))),
            ("nan", ScalarValue::Float64(Some(f64::NAN))),
        ] {
            let function = ScalarUDF::new_from_impl(Constant::new(name, value));
            state.register_udf(Arc::new(function)).map_err(PlanError::from_planning)?;
        }
        Ok(state)
    }

    /// The session of one statement, its plan, and what its columns are called.
    async fn plan(
        &self,
        sql: &str,
        look: &Look,
    ) -> Result<(SessionState, LogicalPlan, Option<Vec<String>>), PlanError> {
        let state = self.session(look)?;
        let mut parsed = parsed(&state, sql)?;
        let labels = labelled(&mut parsed);
        with_schema(&mut parsed, look.schema.as_deref());
        let plan = session::query(&state, parsed).await?;
        let labels = labels.filter(|labels| labels.len() == plan.schema().fields().len());
        Ok((state, plan, labels))
    }
}
