//! What a statement takes and returns, before it has values and without running it.
//!
//! ```text
//!   statement with $1, $2 ──tables──> logical plan ──> types of $n ──NULL of each type──> analysed plan ──> columns
//! ```
//! Listings and footers of the tables that the statement names are read, as for its plan, and nothing is optimised.

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::Planner;
use crate::complexity::check_text;
use crate::error::PlanError;
use crate::settings::QuerySettings;
use crate::statement::{MOST_PARAMETERS, ParsedStatement, analysed, number_of_parameter};
use crate::too_complex::TooComplex;

/// What a statement takes and returns.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The types of `$1`, `$2`, …
    pub parameters: Vec<DataType>,
    /// The columns of its answer. For a statement that writes, those of the rows that it writes.
    pub columns: SchemaRef,
}

impl Planner {
    /// Refuses a text that would take too long to parse.
    ///
    /// # Errors
    /// [`PlanError::TooComplex`].
    pub fn measure(&self, sql: &str) -> Result<(), PlanError> {
        let limits = &self.inner.limits;
        if check_text(sql, limits)? {
            return Err(
                TooComplex::Depth { found: limits.max_depth, most: limits.max_depth }.into()
            );
        }
        Ok(())
    }

    /// What `statement` takes and returns. `declared`: the types that its client gives its parameters, where it does.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub async fn signature(
        &self,
        statement: &ParsedStatement,
        declared: &[Option<DataType>],
    ) -> Result<Signature, PlanError> {
        let inner = &self.inner;
        let (_, state) = inner.session(&QuerySettings::default())?;
        let named = statement.tables(&state)?;
        let found = async {
            let logical = self.logical(&state, statement, &named).await?;
            let parameters = parameters(&logical, declared)?;
            let logical = with_nulls(logical, &parameters)?;
            let analysed = analysed(logical, &state)?.map_err(PlanError::from_planning)?;
            let columns = std::sync::Arc::clone(analysed.schema().inner());
            Ok(Signature { parameters, columns })
        }
        .await;
        found.map_err(|error| self.in_scene(error, statement, &state, &named))
    }
}

/// The types of the parameters of a plan: declared, or as the plan uses or casts them. One that is used in no way that tells its
/// type is a text.
///
/// # Errors
/// Parameters that are not named `$1`, `$2`, …, or too many of them.
pub fn parameters(
    plan: &LogicalPlan,
    declared: &[Option<DataType>],
) -> Result<Vec<DataType>, PlanError> {
    let mut types: Vec<Option<DataType>> = declared.to_vec();
    let mut wrong: Option<String> = None;
    plan.apply_with_subqueries(|node| {
        // The engine does not tell the type of a number of rows.
        let is_of_limit = matches!(node, LogicalPlan::Limit(_));
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                let (Placeholder { id, field }, cast) = match part {
                    Expr::Placeholder(place) => (place, None),
                    Expr::Cast(cast) => match cast.expr.as_ref() {
                        Expr::Placeholder(place) => (place, of_cast(cast.field.data_type())),
                        _ => return Ok(TreeNodeRecursion::Continue),
                    },
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                let Some(number) = number_of_parameter(id) else {
                    wrong.get_or_insert_with(|| id.chars().take(32).collect());
                    return Ok(TreeNodeRecursion::Stop);
                };
                if types.len() < number {
                    types.resize(number, None);
                }
                if types[number - 1].is_none() {
                    let told = field.as_ref().map(|field| field.data_type().clone());
                    types[number - 1] = told.or(cast).or(is_of_limit.then_some(DataType::Int64));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(PlanError::from_planning)?;
    if let Some(wrong) = wrong {
        return Err(PlanError::Setting(format!(
            "'{wrong}' names no parameter; parameters are $1 to ${MOST_PARAMETERS}"
        )));
    }
    Ok(types.into_iter().map(|found| found.unwrap_or(DataType::Utf8)).collect())
}

/// The type of a parameter that is cast to `wanted`, as Postgres has it: `$1::int` takes an integer, and no other text. A type
/// with a precision takes any text, because the cast rounds it.
fn of_cast(wanted: &DataType) -> Option<DataType> {
    let is_plain = matches!(
        wanted,
        DataType::Boolean
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Date32
    );
    is_plain.then(|| wanted.clone())
}

/// The plan with NULL for each parameter, so that every type in it is known.
///
/// # Errors
/// A type that has no NULL.
pub fn with_nulls(plan: LogicalPlan, parameters: &[DataType]) -> Result<LogicalPlan, PlanError> {
    if parameters.is_empty() {
        return Ok(plan);
    }
    let nulls: Result<Vec<ScalarValue>, _> = parameters.iter().map(ScalarValue::try_from).collect();
    let nulls = nulls.map_err(PlanError::from_planning)?;
    plan.with_param_values(ParamValues::from(nulls)).map_err(PlanError::from_planning)
}
