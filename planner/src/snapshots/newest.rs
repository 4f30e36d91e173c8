//! `ORDER BY submitted_at DESC LIMIT 10` reads ten rows of a table whose rows come in that order, and not all of them.
//!
//! ```text
//!   Sort: submitted_at DESC, fetch=10               Sort: submitted_at DESC, fetch=10
//!     Projection: …                          ──>      Projection: …
//!       TableScan: system.queries                       TableScan: system.queries, fetch=10
//! ```

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Sort};

use super::provider::SnapshotTable;

/// The plan, in which scans read no more rows than a sort above them keeps.
pub(crate) fn newest(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::Sort(sort) = &node else { return Ok(Transformed::no(node)) };
        // With another key after it, rows that are alike by the first one are not.
        let ([key], Some(fetch)) = (sort.expr.as_slice(), sort.fetch) else {
            return Ok(Transformed::no(node));
        };
        let Expr::Column(column) = &key.expr else { return Ok(Transformed::no(node)) };
        if key.asc {
            return Ok(Transformed::no(node));
        }
        let Some(input) = limited(&sort.input, column, fetch)? else {
            return Ok(Transformed::no(node));
        };
        let sort = Sort { input: Arc::new(input), ..sort.clone() };
        Ok(Transformed::yes(LogicalPlan::Sort(sort)))
    })
    .data()
}

/// The input of a sort by `column`, with a scan that reads only `fetch` rows; `None` if they may not be the first ones.
fn limited(plan: &LogicalPlan, column: &Column, fetch: usize) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let of = projection.expr.iter().find(|expr| {
                let (_, name) = expr.qualified_name();
                name == column.name
            });
            let Some(Expr::Column(of)) = of.map(|expr| expr.clone().unalias()) else {
                return Ok(None);
            };
            above(plan, &projection.input, &of, fetch)
        }
        LogicalPlan::SubqueryAlias(alias) => above(plan, &alias.input, column, fetch),
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
            let provider = source_as_provider(&scan.source)?;
            let Some(table) = provider.downcast_ref::<SnapshotTable>() else { return Ok(None) };
            if table.table.greatest_first != Some(column.name.as_str()) {
                return Ok(None);
            }
            let mut scan = scan.clone();
            scan.fetch = Some(fetch);
            Ok(Some(LogicalPlan::TableScan(scan)))
        }
        _ => Ok(None),
    }
}

fn above(
    plan: &LogicalPlan,
    input: &LogicalPlan,
    column: &Column,
    fetch: usize,
) -> Result<Option<LogicalPlan>> {
    let Some(input) = limited(input, column, fetch)? else { return Ok(None) };
    plan.with_new_exprs(plan.expressions(), vec![input]).map(Some)
}
