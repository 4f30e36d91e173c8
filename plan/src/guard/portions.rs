//! Batches are cut where an operator would make much memory of one.
//!
//! ```text
//!   UnnestExec             8,192 rows with a list of 100,000 numbers each become 800 million rows at once
//!   an expression with     … is written out for every row: a text of a megabyte, 8 GB, and more than a column of texts
//!   a large constant       can hold
//! ```
//! The rows and their order stay; only the batches become smaller. A single row is never cut.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::{InListExpr, Literal};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use dunlin_shuffle::children::rebuild;
use futures::{StreamExt, TryStreamExt, stream};

use super::pass::{Pass, PassExec};
use crate::functions::average;

/// The most bytes that are made of one portion of a batch, unless it is a single row.
const MOST_BYTES: u64 = 64 << 20;
/// Constants below this need no portions: 8,192 rows of them have fewer bytes than [`MOST_BYTES`].
const LARGE: u64 = MOST_BYTES / 8_192;

/// `plan`, with smaller batches below operators that make much of one.
pub(super) fn portioned(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let [input] = node.children()[..] else { return Ok(Transformed::no(node)) };
        let by = if let Some(unnest) = node.downcast_ref::<UnnestExec>() {
            let lists = unnest.list_column_indices().iter();
            By::Lists(lists.map(|list| (list.index_in_input_schema, list.depth)).collect())
        } else {
            let bytes = constants(&node)?;
            if bytes <= LARGE {
                return Ok(Transformed::no(node));
            }
            By::Rows(usize::try_from(MOST_BYTES / bytes).unwrap_or(1).max(1))
        };
        let input = PassExec::above(Arc::clone(input), Portions(by));
        rebuild(node, vec![input]).map(Transformed::yes)
    })
    .data()
}

/// Bytes of constants that an operator's expressions write out for a row: the largest one of each expression.
fn constants(node: &Arc<dyn ExecutionPlan>) -> Result<u64> {
    let mut bytes = 0_u64;
    node.apply_expressions(&mut |expr| {
        let mut largest = 0;
        expr.apply(|expr| {
            if let Some(literal) = expr.downcast_ref::<Literal>() {
                largest = largest.max(held(literal.value()));
            }
            // The list of IN is looked up in, and not written out.
            Ok(if expr.is::<InListExpr>() {
                TreeNodeRecursion::Jump
            } else {
                TreeNodeRecursion::Continue
            })
        })?;
        bytes = bytes.saturating_add(largest);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(bytes)
}

fn held(value: &ScalarValue) -> u64 {
    if value.data_type().primitive_width().is_some() { 0 } else { value.size() as u64 }
}

/// How a batch is cut.
#[derive(Clone, Debug)]
enum By {
    /// So many rows at a time.
    Rows(usize),
    /// By the elements of these columns, which become rows: index and depth.
    Lists(Arc<[(usize, usize)]>),
}

impl By {
    fn portions(&self, batch: &RecordBatch) -> Result<Vec<Range<usize>>> {
        let rows = batch.num_rows();
        match self {
            Self::Rows(most) => {
                Ok((0..rows).step_by(*most).map(|at| at..rows.min(at + most)).collect())
            }
            Self::Lists(lists) => {
                let weights = weights(batch, lists)?;
                let mut portions = Vec::new();
                let (mut from, mut bytes) = (0, 0_u64);
                for (row, weight) in weights.into_iter().enumerate() {
                    if row > from && bytes.saturating_add(weight) > MOST_BYTES {
                        portions.push(from..row);
                        (from, bytes) = (row, 0);
                    }
                    bytes = bytes.saturating_add(weight);
                }
                portions.push(from..rows);
                Ok(portions)
            }
        }
    }
}

/// Bytes that each row becomes: as many rows as its longest list has elements, each with all the other columns.
fn weights(batch: &RecordBatch, lists: &[(usize, usize)]) -> Result<Vec<u64>> {
    let mut elements = vec![1_u64; batch.num_rows()];
    let mut width = 0_u64;
    for (index, column) in batch.columns().iter().enumerate() {
        let depths = lists.iter().filter(|(list, _)| *list == index).map(|(_, depth)| *depth);
        match depths.max() {
            Some(depth) => {
                let (counts, leaf) = leaves(column, depth);
                width = width.saturating_add(average(&leaf)?.max(1));
                for (most, count) in elements.iter_mut().zip(counts) {
                    *most = (*most).max(count);
                }
            }
            None => width = width.saturating_add(average(column)?.max(1)),
        }
    }
    Ok(elements.into_iter().map(|count| count.saturating_mul(width)).collect())
}

/// How many leaves the list of each row has `depth` levels down, and the array of them.
fn leaves(column: &ArrayRef, depth: usize) -> (Vec<u64>, ArrayRef) {
    // Where the elements of each row begin and end in the array of the present level.
    let mut ends: Vec<usize> = (0..=column.len()).collect();
    let mut array = Arc::clone(column);
    for _ in 0..depth {
        let (inner, next): (Vec<usize>, ArrayRef) = if let Some(list) = array.as_list_opt::<i32>() {
            let offsets = list.value_offsets();
            let at = |end: &usize| usize::try_from(offsets[*end]).unwrap_or(0);
            (ends.iter().map(at).collect(), Arc::clone(list.values()))
        } else if let Some(list) = array.as_list_opt::<i64>() {
            let offsets = list.value_offsets();
            let at = |end: &usize| usize::try_from(offsets[*end]).unwrap_or(0);
            (ends.iter().map(at).collect(), Arc::clone(list.values()))
        } else if let Some(list) = array.as_fixed_size_list_opt() {
            let each = usize::try_from(list.value_length()).unwrap_or(0);
            (ends.iter().map(|end| end * each).collect(), Arc::clone(list.values()))
        } else {
            break;
        };
        (ends, array) = (inner, next);
    }
    let counts = ends.windows(2).map(|ends| (ends[1] - ends[0]) as u64);
    (counts.collect(), array)
}

/// Hands on its input's batches in portions.
#[derive(Clone, Debug)]
struct Portions(By);

impl Pass for Portions {
    fn name(&self) -> &'static str {
        "PortionsExec"
    }

    fn pass(
        &self,
        rows: SendableRecordBatchStream,
        _: &TaskContext,
    ) -> Result<SendableRecordBatchStream> {
        let by = self.0.clone();
        let schema = rows.schema();
        let rows = rows
            .map(move |batch| {
                let batch = batch?;
                let portions = by.portions(&batch)?;
                let cut = move |part: Range<usize>| Ok(batch.slice(part.start, part.len()));
                Ok::<_, datafusion::error::DataFusionError>(stream::iter(
                    portions.into_iter().map(cut),
                ))
            })
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::physical_plan::collect;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    async fn run(sql: &str, portions: bool) -> Vec<RecordBatch> {
        let config = SessionConfig::new().with_target_partitions(1);
        let frame = SessionContext::new_with_config(config).sql(sql).await.unwrap();
        let task = Arc::new(frame.task_ctx());
        let mut plan = frame.create_physical_plan().await.unwrap();
        if portions {
            plan = portioned(plan).unwrap();
        }
        collect(plan, task).await.unwrap()
    }

    #[tokio::test]
    async fn portions_are_small_and_the_rows_are_the_same() {
        for (sql, most) in [
            (
                "SELECT unnest(range(0, value * 100)) x, value FROM generate_series(1, 1000)",
                (MOST_BYTES / 16) as usize,
            ),
            (
                "SELECT unnest([[1, 2], [3], [], NULL]) x, unnest([value, NULL]) y, value FROM generate_series(1, 9)",
                100,
            ),
            (
                "SELECT repeat('x', 1000000) || CAST(value AS VARCHAR) x FROM generate_series(1, 200)",
                67,
            ),
        ] {
            let (cut, whole) = (run(sql, true).await, run(sql, false).await);
            let schema = whole[0].schema();
            let all = |batches: &[RecordBatch]| {
                datafusion::arrow::compute::concat_batches(&schema, batches).unwrap()
            };
            assert_eq!(all(&cut), all(&whole), "{sql}");
            let largest = cut.iter().map(RecordBatch::num_rows).max().unwrap();
            assert!(largest <= most, "{sql}: {largest} rows");
        }
    }
}
