//! A statement, parsed once: its kind, the tables it names, and its logical plan.
//!
//! The kind must be known before planning, because an idempotency key may belong to a query that exists and will not
//! be planned again. It must be known after planning, too, because the plan inside EXPLAIN is planned. So the parsed
//! value holds the kind.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ParamValues, ScalarValue, TableReference};
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::logical_plan::{Analyze, ExplainFormat as EngineFormat};
use datafusion::sql::parser::Statement;
use dunlin_plan::functions;

use crate::complexity::{
    StatementLimits, check_cases, check_columns, check_named, check_plan, check_text, check_texts,
    check_types,
};
use crate::error::PlanError;
use crate::explain::{ExplainFormat, asked};
use crate::mistakes::Mistake;
use crate::too_complex::TooComplex;
use crate::{sound, writes};

/// What kind of statement a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Answered by rows of tables.
    Query,
    /// Writes rows of tables into files, and is answered with one row about them.
    Write,
    /// Answered by how it would run: [`crate::Explained`], or [`crate::Explain`].
    Explain {
        /// How that is shown.
        format: ExplainFormat,
    },
    /// Run like a query, and answered with what the run cost.
    Analyze {
        /// Report each task, not only each stage.
        verbose: bool,
    },
}

/// One SQL statement that is parsed and not planned yet.
#[derive(Clone, Debug)]
pub struct ParsedStatement {
    kind: StatementKind,
    statement: Statement,
    sql: String,
    /// Where the rows of the query in it are written, if it writes.
    write: Option<writes::Asked>,
}

impl ParsedStatement {
    /// Parses one statement.
    ///
    /// # Errors
    /// [`PlanError::Syntax`] and [`PlanError::TooComplex`]; more or fewer statements than one.
    pub(crate) fn parse(
        state: &SessionState,
        sql: &str,
        limits: &StatementLimits,
    ) -> Result<Self, PlanError> {
        let deep_cases = check_text(sql, limits)?;
        let explain = asked(sql)?;
        let whole = sql;
        let (write, sql) = writes::asked(explain.sql.as_ref())?;
        let sql = sql.as_ref();
        let dialect = state.config_options().sql_parser.dialect;
        let parse =
            |sql: &str| state.sql_to_statement(sql, &dialect).map_err(PlanError::from_planning);
        if deep_cases {
            check_cases(sql, |part| parse(part).map(drop))?;
        }
        let mut statement = parse(sql)?;
        sound::put_right(&mut statement).map_err(|message| PlanError::Planning {
            mistake: Mistake::Other,
            message,
            position: None,
            source: None,
        })?;
        check_named(&statement, limits)?;
        let kind = match &statement {
            Statement::Explain(explain) if explain.options.analyze => {
                if write.is_some() {
                    return Err(PlanError::Unsupported {
                        operator: "EXPLAIN ANALYZE of a write".to_owned(),
                        reason: "run the statement itself, and ask what it cost by its id: dunlin query analyze, or GET /v1/queries/{id}/analyze"
                            .to_owned(),
                    });
                }
                StatementKind::Analyze { verbose: explain.options.verbose }
            }
            Statement::Explain(options) => {
                let full =
                    if options.options.verbose { ExplainFormat::Full } else { ExplainFormat::Text };
                StatementKind::Explain { format: explain.format.unwrap_or(full) }
            }
            _ if write.is_some() => StatementKind::Write,
            _ => StatementKind::Query,
        };
        Ok(Self { kind, statement, sql: whole.to_owned(), write })
    }

    /// What kind of statement it is.
    #[must_use]
    pub fn kind(&self) -> StatementKind {
        self.kind
    }

    /// Its text.
    pub(crate) fn sql(&self) -> &str {
        &self.sql
    }

    /// The tables that it names. Names from its own `WITH` are not tables.
    ///
    /// # Errors
    /// A name with too many parts.
    pub(crate) fn tables(&self, state: &SessionState) -> Result<Vec<TableReference>, PlanError> {
        let mut tables =
            state.resolve_table_references(&self.statement).map_err(PlanError::from_planning)?;
        if let Some(writes::Target::Table { name, .. }) = self.write.as_ref().map(|it| &it.target) {
            tables.push(TableReference::bare(name.clone()));
        }
        Ok(tables)
    }

    /// Where the rows of the query in it are written, if it writes.
    pub(crate) fn write(&self) -> Option<&writes::Asked> {
        self.write.as_ref()
    }

    /// Refuses a statement with too many columns. `widest` is the number of columns of the widest table that it
    /// names.
    ///
    /// # Errors
    /// [`PlanError::TooComplex`].
    pub(crate) fn check_columns(
        &self,
        widest: usize,
        limits: &StatementLimits,
    ) -> Result<(), PlanError> {
        check_columns(&self.statement, widest, limits)
    }

    /// The logical plan of the query in the statement. For EXPLAIN, this is the query that is explained.
    ///
    /// # Errors
    /// The statement is not a query, names something that does not exist, or has options that the answer would
    /// silently ignore.
    pub(crate) async fn logical_plan(
        &self,
        state: &SessionState,
        parameters: &[ScalarValue],
        limits: &StatementLimits,
    ) -> Result<LogicalPlan, PlanError> {
        let planning = PlanError::from_planning;
        let plan = state.statement_to_plan(self.statement.clone()).await.map_err(planning)?;
        // Checked before anything walks through the plan, because a walk visits shared parts each time they are
        // named.
        check_plan(&plan, limits)?;
        check_types(&plan)?;
        check_texts(&plan, functions::MOST_CONSTANT_BYTES)?;
        only_queries().verify_plan(&plan).map_err(|_| PlanError::Unsupported {
            operator: statement_name(&plan),
            reason: "only queries are answered".to_owned(),
        })?;
        let plan = match plan {
            LogicalPlan::Explain(explain) => explain.plan.as_ref().clone(),
            LogicalPlan::Analyze(analyze) => analyzed(&analyze)?,
            other => other,
        };
        if parameters.is_empty() {
            return Ok(plan);
        }
        plan.with_param_values(ParamValues::from(parameters.to_vec())).map_err(planning)
    }
}

fn only_queries() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// The plan that EXPLAIN ANALYZE runs.
fn analyzed(analyze: &Analyze) -> Result<LogicalPlan, PlanError> {
    let refused = |reason: &str| PlanError::Unsupported {
        operator: "EXPLAIN ANALYZE".to_owned(),
        reason: reason.to_owned(),
    };
    if analyze.format != EngineFormat::Indent {
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

/// What a statement is called in SQL.
fn statement_name(plan: &LogicalPlan) -> String {
    const NAMES: &[(&str, &str)] = &[
        ("CreateMemoryTable", "CREATE TABLE"),
        ("CreateExternalTable", "CREATE EXTERNAL TABLE"),
        ("CreateView", "CREATE VIEW"),
        ("DropTable", "DROP TABLE"),
        ("DropView", "DROP VIEW"),
        ("Dml", "INSERT, UPDATE or DELETE"),
        ("CopyTo", "COPY"),
        ("SetVariable", "SET"),
        ("Prepare", "PREPARE"),
    ];
    let text = plan.display().to_string();
    let name = text.split([':', ' ', '(']).next().unwrap_or("this statement");
    let known = NAMES.iter().find(|(engine, _)| *engine == name);
    known.map_or(name, |(_, name)| *name).to_owned()
}

/// The most parameters of a statement.
pub const MOST_PARAMETERS: usize = 1_000;

/// The number of the parameter `$n`; `None` if it is not named so, or if there cannot be so many.
pub(crate) fn number_of_parameter(name: &str) -> Option<usize> {
    let number = name.strip_prefix('$')?.parse().ok()?;
    (1..=MOST_PARAMETERS).contains(&number).then_some(number)
}

/// True if a plan has no function that gives other values each time.
pub(crate) fn is_repeatable(plan: &LogicalPlan) -> datafusion::error::Result<bool> {
    let mut is_volatile = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            is_volatile |= expression.is_volatile();
            Ok(if is_volatile { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(!is_volatile)
}

/// The plan whose columns have their types: until then, a union has those of its first branch. The inner error is the
/// engine's.
///
/// # Errors
/// Its constants would take too much memory.
pub(crate) fn analysed(
    logical: LogicalPlan,
    state: &SessionState,
) -> Result<datafusion::error::Result<LogicalPlan>, PlanError> {
    let analysed = functions::within_constants(|| {
        state.analyzer().execute_and_check(logical, state.config_options(), |_, _| {})
    });
    Ok(analysed.ok_or(TooComplex::Constants { most: functions::MOST_CONSTANT_BYTES })?)
}

/// A JSON parameter as a value: whole numbers are Int64, or UInt64 above it, and other numbers Float64.
///
/// # Errors
/// A number that is out of range, an array or an object.
pub fn parameter_of_json(value: &serde_json::Value) -> Result<ScalarValue, PlanError> {
    use serde_json::Value;
    match value {
        Value::Null => Ok(ScalarValue::Null),
        Value::Bool(value) => Ok(ScalarValue::Boolean(Some(*value))),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), _, _) => Ok(ScalarValue::Int64(Some(whole))),
            (None, Some(whole), _) => Ok(ScalarValue::UInt64(Some(whole))),
            (None, None, Some(real)) => Ok(ScalarValue::Float64(Some(real))),
            _ => Err(PlanError::Setting(format!("parameter {number} is out of range"))),
        },
        Value::String(text) => Ok(ScalarValue::Utf8(Some(text.clone()))),
        Value::Array(_) | Value::Object(_) => Err(PlanError::Setting(
            "a parameter must be null, a boolean, a number or a string".to_owned(),
        )),
    }
}
