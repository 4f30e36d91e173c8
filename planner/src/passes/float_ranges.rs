//! Scans of Parquet leave out nothing by the ranges of floating-point numbers.
//!
//! ```text
//!  x > 1000 AND day > …, in a group of rows with x from 1 to 34, and NaN
//!
//!  DataSourceExec: predicate=x > 1000 AND day > …   ==>   DataSourceExec: predicate=day > …
//! ```
//! The range of a group of rows or a page is that of its numbers. NaN is not in it, and compares as greater than all numbers
//! (or, with its sign, as less). So the engine would leave out rows that pass a filter (decision 0010). The filter above the
//! scan stays as it is. Whether a value is NULL is told for sure.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::{Column, IsNotNullExpr, IsNullExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use dunlin_plan::operators::file_scan;

use crate::passes::rewrite::{Rewrite, Rewritten, Rule};

/// The pass.
pub(super) fn rule() -> Rule {
    Rewrite::rule("float_ranges", float_ranges)
}

fn float_ranges(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    let Some(scan) = file_scan(&node) else { return Ok(Transformed::no(node)) };
    let source = scan.file_source();
    let Some(parquet) = source.downcast_ref::<ParquetSource>() else {
        return Ok(Transformed::no(node));
    };
    let Some(predicate) = source.filter() else { return Ok(Transformed::no(node)) };
    let schema = source.table_schema().table_schema();
    let all = split_conjunction(&predicate);
    let kept: Vec<_> = all.iter().filter(|part| !asks_float(part, schema)).collect();
    if kept.len() == all.len() {
        return Ok(Transformed::no(node));
    }
    let predicate = conjunction(kept.into_iter().map(|part| Arc::clone(*part)));
    let scan = FileScanConfigBuilder::from(scan.clone())
        .with_source(Arc::new(parquet.with_predicate(predicate)))
        .build();
    Ok(Transformed::yes(DataSourceExec::from_data_source(scan)))
}

/// Whether a condition looks at floating-point numbers that may be NaN.
fn asks_float(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    asks(condition, schema).unwrap_or(true)
}

fn asks(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<bool> {
    let of_column = |expr: &Arc<dyn PhysicalExpr>| expr.is::<Column>();
    let is_null = condition.downcast_ref::<IsNullExpr>().map(IsNullExpr::arg);
    let is_not_null = condition.downcast_ref::<IsNotNullExpr>().map(IsNotNullExpr::arg);
    if is_null.or(is_not_null).is_some_and(of_column) {
        return Ok(false);
    }
    condition.exists(|expr| {
        if expr.is::<Literal>() || !expr.data_type(schema)?.is_floating() {
            return Ok(false);
        }
        // What is made from whole numbers is a number.
        let number = |kind: &DataType| kind.is_integer() || kind.is_decimal();
        let kinds = expr.children().into_iter().map(|part| part.data_type(schema));
        let kinds = kinds.collect::<Result<Vec<_>>>()?;
        Ok(kinds.is_empty() || !kinds.iter().all(number))
    })
}

#[cfg(test)]
mod tests;
