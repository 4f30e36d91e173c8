//! Pairs of questions whose answers must agree with any engine. They separate a bug of DataFusion, which the
//! reference has too, from a bug of Dunlin.
//!
//! ```text
//!   ternary     Q  =  Q WHERE p  +  Q WHERE NOT p  +  Q WHERE p IS NULL
//!   no rewrite  count of Q WHERE p  =  sum of CASE WHEN p THEN 1 ELSE 0 END over Q
//! ```

use crate::random::ast::{Body, Expr, Query, Select, Type};

/// The check of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The answer is the reference's.
    Same,
    /// Three-valued logic partitions the rows.
    Ternary,
    /// A condition gives the same count as a filter and as a value.
    NoRewrite,
}

/// Two statements whose answers must be the same; `None` if the query is not a plain SELECT with a condition.
pub(crate) fn pair(check: Check, query: &Query) -> Option<(String, String)> {
    let Body::Select(select) = &query.body else { return None };
    let condition = select.filter.clone()?;
    let plain = select.groups.is_none()
        && !select.distinct
        && query.order.is_empty()
        && query.ctes.is_empty();
    if !plain {
        return None;
    }
    match check {
        Check::Same => None,
        Check::Ternary => {
            let with = |template: &str| {
                let filter = Expr::node(template, vec![condition.clone()], Type::Bool);
                Select { filter: Some(filter), ..select.as_ref().clone() }.to_string()
            };
            let whole = Select { filter: None, ..select.as_ref().clone() }.to_string();
            let parts = [with("{}"), with("(NOT {})"), with("({} IS NULL)")];
            Some((whole, format!("({})", parts.join(") UNION ALL ("))))
        }
        Check::NoRewrite => {
            let count = |item: Expr, filter| {
                let items = vec![(item, "c".to_owned())];
                Select { items, filter, ..select.as_ref().clone() }.to_string()
            };
            let counted = Expr::literal("count(*)", Type::Int);
            let summed = Expr::node(
                "CAST(coalesce(sum(CASE WHEN {} THEN 1 ELSE 0 END), 0) AS BIGINT)",
                vec![condition.clone()],
                Type::Int,
            );
            Some((count(counted, Some(condition)), count(summed, None)))
        }
    }
}
