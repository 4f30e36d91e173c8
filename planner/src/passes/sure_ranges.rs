//! Scans of Parquet leave out nothing by ranges that do not tell for sure.
//!
//! ```text
//!  x > 1000 AND day > …, in a group of rows with x from 1 to 34, and NaN
//!  cast(at as time) = '12:00' AND day > …, in a group of rows from Monday 23:00 to Wednesday 01:00
//!
//!  DataSourceExec: predicate=x > 1000 AND day > …   ==>   DataSourceExec: predicate=day > …
//! ```
//! - The range of a group of rows or a page is that of its numbers. NaN is not in it, and compares as greater than all numbers
//!   (or, with its sign, as less). So the engine would leave out rows that pass a filter (decision 0010). Whether a value is
//!   NULL is told for sure.
//! - A cast that does not keep the order of values (of a time of day, of truth values) gives other ends than those of the
//!   values that it makes.
//! - A condition that may fail is asked only where others [protect](super::guarded) it.
//! - A file may have values of another kind, of which the scan makes those of the table. Its ranges are of what it has.
//!
//! The filter above the scan stays as it is.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::{
    CastExpr, Column, IsNotNullExpr, IsNullExpr, Literal, TryCastExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use dunlin_plan::operators::file_scan;

use crate::passes::guarded::may_fail;
use crate::passes::rewrite::{Rewrite, Rewritten, Rule};
use crate::sound::is_utc;
use crate::tables::Cast;

/// The pass.
pub(super) fn rule() -> Rule {
    Rewrite::rule("sure_ranges", sure_ranges)
}

fn sure_ranges(node: Arc<dyn ExecutionPlan>) -> Rewritten {
    let Some(scan) = file_scan(&node) else { return Ok(Transformed::no(node)) };
    let source = scan.file_source();
    let Some(parquet) = source.downcast_ref::<ParquetSource>() else {
        return Ok(Transformed::no(node));
    };
    let Some(predicate) = source.filter() else { return Ok(Transformed::no(node)) };
    let schema = source.table_schema().table_schema();
    let files = scan.file_groups.iter().flat_map(|group| group.iter());
    let cast: HashSet<usize> = files
        .filter_map(|file| file.extensions.get::<Cast>())
        .flat_map(|cast| cast.0.iter().copied())
        .collect();
    let Some(predicate) = sure(&predicate, schema, &cast) else {
        return Ok(Transformed::no(node));
    };
    let scan = FileScanConfigBuilder::from(scan.clone())
        .with_source(Arc::new(parquet.with_predicate(predicate)))
        .build();
    Ok(Transformed::yes(DataSourceExec::from_data_source(scan)))
}

/// The parts of a condition of which ranges of the columns tell for sure that they are true for no row; `None` if all of it
/// is. `cast` are the columns whose ranges are of other values.
pub(crate) fn sure(
    condition: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
    cast: &HashSet<usize>,
) -> Option<Arc<dyn PhysicalExpr>> {
    let is_cast = |column: &Column| cast.contains(&column.index());
    let stays = |part: &&Arc<dyn PhysicalExpr>| {
        is_sure(part, schema) && !collect_columns(part).iter().any(is_cast)
    };
    let all = split_conjunction(condition);
    let kept: Vec<_> = all.iter().copied().filter(stays).map(Arc::clone).collect();
    (kept.len() < all.len()).then(|| conjunction(kept))
}

fn is_sure(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    !asks_float(condition, schema).unwrap_or(true)
        && !has_loose_cast(condition, schema).unwrap_or(true)
        && !may_fail(condition, schema).unwrap_or(true)
}

/// Whether a condition has a cast that may change the order of values.
fn has_loose_cast(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<bool> {
    condition.exists(|expr| {
        let plain = expr.downcast_ref::<CastExpr>().map(|cast| (cast.expr(), cast.cast_type()));
        let tried = expr.downcast_ref::<TryCastExpr>().map(|cast| (cast.expr(), cast.cast_type()));
        let Some((inner, to)) = plain.or(tried) else { return Ok(false) };
        Ok(!keeps_order(&inner.data_type(schema)?, to))
    })
}

/// Whether a greater value is never made a smaller one by a cast.
fn keeps_order(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Date64, Dictionary, Time32, Time64, Timestamp};
    match (from, to) {
        (from, to) if from == to => true,
        (Dictionary(_, from), to) => keeps_order(from, to),
        (from, Dictionary(_, to)) => keeps_order(from, to),
        (Timestamp(_, from), Timestamp(_, to)) => {
            from == to || (is_utc(from.as_deref()) && is_utc(to.as_deref()))
        }
        // A day of a zone begins at an hour of the zone.
        (Timestamp(_, zone), Date32 | Date64) | (Date32 | Date64, Timestamp(_, zone)) => {
            is_utc(zone.as_deref())
        }
        (Date32 | Date64, Date32 | Date64) | (Time32(_) | Time64(_), Time32(_) | Time64(_)) => true,
        (from, to) => {
            (from.is_numeric() && to.is_numeric()) || (from.is_string() && to.is_string())
        }
    }
}

/// Whether a condition looks at floating-point numbers that may be NaN.
fn asks_float(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<bool> {
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
