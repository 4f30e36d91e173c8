//! How large the types of columns become, from the logical plan.
//!
//! `struct(x, x)` of a query that is `struct(x, x)` of another one, forty times, is a type of 2^40 fields. It is held
//! as forty pieces that are shared, and written out by everything that compares or prints it.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use super::TooComplex;
use crate::error::PlanError;

/// The most fields of one type, written out.
const MOST_FIELDS: usize = 50_000;

/// Refuses a plan with a column whose type has too many fields.
pub(crate) fn check_types(plan: &LogicalPlan) -> Result<(), PlanError> {
    let mut known = HashMap::new();
    let mut largest = 0;
    let _ = plan.apply_with_subqueries(|operator| {
        for field in operator.schema().fields() {
            largest = largest.max(fields(field.data_type(), &mut known));
        }
        Ok(if largest > MOST_FIELDS {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    if largest > MOST_FIELDS {
        return Err(TooComplex::Type { most: MOST_FIELDS }.into());
    }
    Ok(())
}

/// Fields of a type. Shared pieces are counted once, and added as often as they are named.
fn fields(of: &DataType, known: &mut HashMap<usize, usize>) -> usize {
    let (at, inner): (usize, Vec<&DataType>) = match of {
        DataType::Struct(inner) => {
            (inner.as_ptr() as usize, inner.iter().map(|field| field.data_type()).collect())
        }
        DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::FixedSizeList(inner, _)
        | DataType::Map(inner, _) => (Arc::as_ptr(inner) as usize, vec![inner.data_type()]),
        DataType::Dictionary(_, inner) => return fields(inner, known),
        _ => return 1,
    };
    if let Some(known) = known.get(&at) {
        return *known;
    }
    let inner = inner.into_iter().map(|inner| fields(inner, known));
    let count = inner.fold(1_usize, usize::saturating_add);
    known.insert(at, count);
    count
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn types_that_double_are_refused() {
        let state = SessionContext::new().state();
        let passes = async |select: &str, steps: usize| {
            let steps: Vec<_> = (0..steps)
                .map(|n| format!("c{} AS (SELECT {select} AS x FROM c{n})", n + 1))
                .collect();
            let sql = format!(
                "WITH c0 AS (SELECT 1 AS x), {} SELECT * FROM c{}",
                steps.join(", "),
                steps.len()
            );
            check_types(&state.create_logical_plan(&sql).await.unwrap()).is_ok()
        };
        assert!(passes("struct(x, x)", 10).await);
        assert!(!passes("struct(x, x)", 18).await);
        assert!(passes("[x, x]", 18).await);
    }
}
