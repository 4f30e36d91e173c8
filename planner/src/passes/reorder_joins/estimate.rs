//! How many rows a relation is expected to have, and how many different values its columns.
//!
//! Footers tell rows, and the smallest and the largest value of a column; they seldom tell how many different values there
//! are. A column of whole numbers has at most as many as its range is long. No column has more than there are rows. That is
//! all that is known; the rest are the rules of [`selectivity`](super::selectivity).

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::{JoinType, Statistics};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use dunlin_plan::operators::file_scan;

use super::facts::{Facts, float};
use super::selectivity;

/// Bytes of a value in a file whose rows were not counted.
const BYTES_IN_FILE: f64 = 8.0;
/// Bytes of a text in memory.
const TEXT: f64 = 24.0;
/// The part of the rows of one side that a semi or an anti join inside a relation keeps.
const KEPT: f64 = 0.5;

/// What is expected of a relation.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    pub(super) rows: f64,
    /// Rows before filters.
    pub(super) base: f64,
    pub(super) columns: Vec<Facts>,
}

/// Bytes of a row in memory.
pub(super) fn width(schema: &Schema) -> f64 {
    let of = |data_type: &DataType| match data_type {
        DataType::Decimal128(..) | DataType::Interval(_) => 16.0,
        other => other.primitive_width().map_or(TEXT, float),
    };
    schema.fields().iter().map(|field| of(field.data_type())).sum()
}

/// What is expected of the rows of a plan. `None` if nothing says how many it has.
pub(super) fn estimate(plan: &Arc<dyn ExecutionPlan>) -> Option<Estimate> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let input = estimate(filter.input())?;
        let kept = selectivity::of(filter.predicate(), &input.columns);
        let columns = match filter.projection().as_deref() {
            Some(chosen) => chosen.iter().map(|column| input.columns[*column]).collect(),
            None => input.columns,
        };
        let rows = (input.rows * kept).max(1.0);
        return Some(Estimate { rows, base: input.base, columns });
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let input = estimate(projection.input())?;
        let of = |column: Option<&Column>| {
            column.map_or(Facts::unknown(input.base), |column| input.columns[column.index()])
        };
        let columns = projection.expr().iter().map(|it| of(it.expr.downcast_ref())).collect();
        return Some(Estimate { columns, ..input });
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return grouped(aggregate);
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return joined(join);
    }
    match plan.children().as_slice() {
        [] => of_leaf(plan),
        [input] if input.schema().fields().len() == plan.schema().fields().len() => {
            let mut estimate = estimate(input)?;
            if let Some(most) = plan.fetch() {
                estimate.rows = estimate.rows.min(float(most));
                estimate.base = estimate.base.min(float(most));
            }
            Some(estimate)
        }
        inputs => {
            let rows: Option<Vec<f64>> =
                inputs.iter().map(|input| Some(estimate(input)?.rows)).collect();
            let rows = rows?.into_iter().sum();
            Some(without_facts(rows, &plan.schema()))
        }
    }
}

fn without_facts(rows: f64, schema: &Schema) -> Estimate {
    let columns = vec![Facts::unknown(rows); schema.fields().len()];
    Estimate { rows, base: rows, columns }
}

/// Groups are at most as many as there are different keys.
fn grouped(aggregate: &AggregateExec) -> Option<Estimate> {
    let input = estimate(aggregate.input())?;
    let keys = aggregate.group_expr().expr();
    let of_key: Vec<Facts> = keys
        .iter()
        .map(|(expr, _)| match expr.downcast_ref::<Column>() {
            Some(column) => input.columns[column.index()],
            None => Facts::unknown(input.rows),
        })
        .collect();
    let all: f64 = of_key.iter().map(|facts| facts.distinct).product();
    let rows = if keys.is_empty() { 1.0 } else { all.min(input.rows).max(1.0) };
    let columns = aggregate.schema().fields().len();
    let others = std::iter::repeat(Facts { of_group: true, ..Facts::unknown(rows) });
    let columns = of_key.into_iter().chain(others).take(columns).collect();
    Some(Estimate { rows, base: rows, columns })
}

/// A join that is a relation itself: an outer join, or one with a condition that can fail.
fn joined(join: &HashJoinExec) -> Option<Estimate> {
    let (left, right) = (estimate(join.left())?, estimate(join.right())?);
    let part = |of: Estimate| {
        let rows = (of.rows * KEPT).max(1.0);
        Estimate { rows, ..of }
    };
    let both = match join.join_type() {
        JoinType::LeftSemi | JoinType::LeftAnti => part(left),
        JoinType::RightSemi | JoinType::RightAnti => part(right),
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            let distinct = join.on().iter().map(|(one, other)| {
                let of = |expr: &Arc<dyn PhysicalExpr>, side: &Estimate| {
                    let column = expr.downcast_ref::<Column>();
                    column.map_or(side.base, |column| side.columns[column.index()].distinct)
                };
                of(one, &left).min(of(other, &right))
            });
            let keys = distinct.product::<f64>().min(left.base.max(right.base)).max(1.0);
            let rows = left.rows * right.rows / keys;
            let rows = match join.join_type() {
                JoinType::Left => rows.max(left.rows),
                JoinType::Right => rows.max(right.rows),
                JoinType::Full => rows.max(left.rows + right.rows),
                _ => rows.max(1.0),
            };
            let columns = left.columns.into_iter().chain(right.columns).collect();
            Estimate { rows, base: rows.max(left.base).max(right.base), columns }
        }
        _ => without_facts(left.rows.max(right.rows), &join.schema()),
    };
    Some(match join.projection.as_deref() {
        Some(chosen) if both.columns.len() > chosen.len() => {
            let columns = chosen.iter().map(|column| both.columns[*column]).collect();
            Estimate { columns, ..both }
        }
        _ => both,
    })
}

fn of_leaf(plan: &Arc<dyn ExecutionPlan>) -> Option<Estimate> {
    let statistics =
        StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
    let rows = match statistics.num_rows.get_value() {
        Some(rows) => float(*rows),
        None => rows_of_files(file_scan(plan)?),
    };
    let columns = of_columns(&statistics, rows);
    Some(Estimate { rows, base: rows, columns })
}

fn of_columns(statistics: &Statistics, rows: f64) -> Vec<Facts> {
    statistics.column_statistics.iter().map(|column| Facts::of(column, rows)).collect()
}

/// Rows of files that do not tell them, by their length.
#[allow(clippy::cast_precision_loss)] // an estimate
fn rows_of_files(scan: &FileScanConfig) -> f64 {
    let files = scan.file_groups.iter().flat_map(|group| group.iter());
    let bytes: u64 = files.map(|file| file.object_meta.size).sum();
    let columns = scan.file_source.table_schema().table_schema().fields().len();
    (bytes as f64 / (BYTES_IN_FILE * float(columns.max(1)))).max(1.0)
}
