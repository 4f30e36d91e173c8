//! A statement, parsed once: what kind it is, which tables it names, and its logical plan.
//!
//! The kind must be known before planning (an idempotency key may stand for a query that is already there and
//! will not be planned again) and after it (the plan below EXPLAIN is what is planned), so the parsed value
//! carries it.

use datafusion::common::{ParamValues, ScalarValue, TableReference};
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::logical_plan::{Analyze, ExplainFormat};
use datafusion::sql::parser::Statement;

use crate::error::PlanError;

/// What kind of statement a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Answered by rows of tables.
    Query,
    /// Answered by the texts of [`crate::Explain`].
    Explain,
    /// Run like a query, and answered by what that took.
    Analyze {
        /// Task by task, not only stage by stage.
        verbose: bool,
    },
}

/// One statement of SQL, parsed and not planned yet.
#[derive(Clone, Debug)]
pub struct ParsedStatement {
    kind: StatementKind,
    statement: Statement,
}

impl ParsedStatement {
    /// Parses one statement.
    ///
    /// # Errors
    /// [`PlanError::Syntax`], and more or fewer statements than one.
    pub(crate) fn parse(state: &SessionState, sql: &str) -> Result<Self, PlanError> {
        let dialect = state.config_options().sql_parser.dialect;
        let statement = state.sql_to_statement(sql, &dialect).map_err(PlanError::from_planning)?;
        let kind = match &statement {
            Statement::Explain(explain) if explain.options.analyze => {
                StatementKind::Analyze { verbose: explain.options.verbose }
            }
            Statement::Explain(_) => StatementKind::Explain,
            _ => StatementKind::Query,
        };
        Ok(Self { kind, statement })
    }

    /// What kind of statement it is.
    #[must_use]
    pub fn kind(&self) -> StatementKind {
        self.kind
    }

    /// The tables that it names; names of its own `WITH` are none.
    ///
    /// # Errors
    /// A name of too many parts.
    pub(crate) fn tables(&self, state: &SessionState) -> Result<Vec<TableReference>, PlanError> {
        state.resolve_table_references(&self.statement).map_err(PlanError::from_planning)
    }

    /// The logical plan of the query in it: of EXPLAIN, what is explained.
    ///
    /// # Errors
    /// A statement that is no query, names what is not there, or has options that the answer would silently
    /// ignore.
    pub(crate) async fn logical_plan(
        &self,
        state: &SessionState,
        parameters: &[serde_json::Value],
    ) -> Result<LogicalPlan, PlanError> {
        let planning = PlanError::from_planning;
        let plan = state.statement_to_plan(self.statement.clone()).await.map_err(planning)?;
        only_queries().verify_plan(&plan).map_err(|error| PlanError::Unsupported {
            operator: statement_name(&plan),
            reason: format!("only queries are answered ({})", error.strip_backtrace()),
        })?;
        let plan = match plan {
            LogicalPlan::Explain(explain) => explain.plan.as_ref().clone(),
            LogicalPlan::Analyze(analyze) => analyzed(&analyze)?,
            other => other,
        };
        if parameters.is_empty() {
            return Ok(plan);
        }
        let values = parameters.iter().map(scalar).collect::<Result<Vec<_>, _>>()?;
        plan.with_param_values(ParamValues::from(values)).map_err(planning)
    }
}

fn only_queries() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// The plan that an analysis runs.
fn analyzed(analyze: &Analyze) -> Result<LogicalPlan, PlanError> {
    let refused = |reason: &str| PlanError::Unsupported {
        operator: "EXPLAIN ANALYZE".to_owned(),
        reason: reason.to_owned(),
    };
    if analyze.format != ExplainFormat::Indent {
        return Err(refused("the analysis has one format; leave FORMAT out"));
    }
    if analyze.analyze_level.is_some() || analyze.analyze_categories.is_some() {
        return Err(refused("the analysis shows all it knows; leave LEVEL and METRICS out"));
    }
    if matches!(analyze.input.as_ref(), LogicalPlan::Analyze(_) | LogicalPlan::Explain(_)) {
        return Err(refused("it cannot be nested"));
    }
    Ok(analyze.input.as_ref().clone())
}

fn statement_name(plan: &LogicalPlan) -> String {
    let text = plan.display().to_string();
    text.split([':', ' ', '(']).next().unwrap_or("this statement").to_owned()
}

/// A JSON parameter as a value: whole numbers are Int64, others Float64.
fn scalar(value: &serde_json::Value) -> Result<ScalarValue, PlanError> {
    use serde_json::Value;
    match value {
        Value::Null => Ok(ScalarValue::Null),
        Value::Bool(value) => Ok(ScalarValue::Boolean(Some(*value))),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(ScalarValue::Int64(Some(whole))),
            (None, Some(real)) => Ok(ScalarValue::Float64(Some(real))),
            _ => Err(PlanError::Setting(format!("parameter {number} is out of range"))),
        },
        Value::String(text) => Ok(ScalarValue::Utf8(Some(text.clone()))),
        Value::Array(_) | Value::Object(_) => Err(PlanError::Setting(
            "a parameter must be null, a boolean, a number or a string".to_owned(),
        )),
    }
}
