//! What a statement takes and what it answers, told before its parameters are known: a client that prepares a statement
//! asks for both, and sends the parameters later.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use dunlin_plan::write::result_schema;

use crate::error::PlanError;
use crate::statement::{
    MOST_PARAMETERS, ParsedStatement, StatementKind, analysed, number_of_parameter,
};

/// A statement that is described and not planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Query, write, EXPLAIN or EXPLAIN ANALYZE.
    pub kind: StatementKind,
    /// The columns of the answer. A column whose type follows from a parameter has the type of that parameter only when it
    /// is known.
    pub schema: SchemaRef,
    /// The parameters `$1`, `$2`, …, each with its type if the statement tells it.
    pub parameters: Vec<Option<DataType>>,
}

impl Described {
    /// Of a statement with this plan, whose parameters are not bound.
    pub(crate) fn new(
        statement: &ParsedStatement,
        logical: LogicalPlan,
        state: &SessionState,
    ) -> Result<Self, PlanError> {
        let parameters = parameters(&logical)?;
        let kind = statement.kind();
        let schema = match kind {
            StatementKind::Explain { .. } | StatementKind::Analyze { .. } => plan_schema(),
            StatementKind::Write => result_schema(),
            StatementKind::Query => answer_schema(logical, state, !parameters.is_empty())?,
        };
        Ok(Self { kind, schema, parameters })
    }
}

/// The columns of EXPLAIN and of an analysis.
#[must_use]
pub fn plan_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("plan_type", DataType::Utf8, false),
        Field::new("plan", DataType::Utf8, false),
    ]))
}

/// The columns of a query's answer. Only the analyzer gives some of them their types: before it, a union has those of its
/// first branch. It may fail for want of a parameter's type; then the columns are told as far as they are known.
fn answer_schema(
    logical: LogicalPlan,
    state: &SessionState,
    has_parameters: bool,
) -> Result<SchemaRef, PlanError> {
    let raw = Arc::clone(logical.schema().inner());
    match analysed(logical, state)? {
        Ok(plan) => Ok(Arc::clone(plan.schema().inner())),
        Err(_) if has_parameters => Ok(raw),
        Err(error) => Err(PlanError::from_planning(error)),
    }
}

/// The parameters of a plan by their numbers.
fn parameters(logical: &LogicalPlan) -> Result<Vec<Option<DataType>>, PlanError> {
    let fields = logical.get_parameter_fields().map_err(PlanError::from_planning)?;
    let mut parameters = Vec::new();
    for (name, field) in fields {
        let Some(number) = number_of_parameter(&name) else {
            let name: String = name.chars().take(32).collect();
            return Err(PlanError::Unsupported {
                operator: format!("the parameter {name}"),
                reason: format!("parameters are named $1 to ${MOST_PARAMETERS}"),
            });
        };
        if parameters.len() < number {
            parameters.resize(number, None);
        }
        let kind = field.as_ref().map(|field: &FieldRef| field.data_type().clone());
        if let Some(place) = parameters.get_mut(number - 1) {
            *place = kind.filter(|kind| *kind != DataType::Null);
        }
    }
    Ok(parameters)
}
