//! Wraps the operators of a stage that their own wire form would change (`dunlin_plan::wire`).
//!
//! ```text
//!  BoundedWindowAggExec            WireExec: windows, reversed, IGNORE NULLS
//!    input                  ==>      input
//! ```
//!
//! Window functions do not expose their flags, so the form is *searched*: each combination is rebuilt as a worker
//! would rebuild it, and the one with the original's debug form is used. If there is none, the operator stays as it
//! is, and the wire gate reports it.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::WindowFrame;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::PhysicalPlanDecodeContext;
use dunlin_plan::wire::windows::{self, WindowForm};
use dunlin_plan::wire::{DunlinCodec, WireExec, series};

use crate::describe::{debug, without_schemas};
use crate::encode::filters::WindowFilters;

/// Wraps the operators of a stage that their own wire form would change.
pub(crate) fn wrap(
    plan: Arc<dyn ExecutionPlan>,
    filters: &WindowFilters,
    ctx: &TaskContext,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if let Some(functions) = windows::functions(&node) {
            let schema = node.children()[0].schema();
            if let Some(forms) = forms(functions, &schema, filters, ctx) {
                let wrapped = WireExec::windows(node, forms);
                return Ok(Transformed::yes(Arc::new(wrapped) as Arc<dyn ExecutionPlan>));
            }
        } else if series::loses(&node) {
            return Ok(Transformed::yes(Arc::new(WireExec::series(node)) as _));
        }
        Ok(Transformed::no(node))
    })
    .data()
}

/// The forms of all functions, if one of them needs Dunlin's form and each has one.
fn forms(
    functions: &[Arc<dyn WindowExpr>],
    schema: &Schema,
    filters: &WindowFilters,
    ctx: &TaskContext,
) -> Option<Vec<WindowForm>> {
    let found: Vec<WindowForm> = functions
        .iter()
        .map(|function| find(function, schema, filters, ctx))
        .collect::<Option<_>>()?;
    let plain = |form: &WindowForm| {
        let bounds = form.base.get_window_frame();
        let frame = WindowFrame::new_bounds(
            bounds.units,
            bounds.start_bound.clone(),
            bounds.end_bound.clone(),
        );
        !form.ignore_nulls
            && !form.reversed
            && form.filter.is_none()
            && frame.is_causal() == form.causal
    };
    (!found.iter().all(plain)).then_some(found)
}

/// The form that gives the function itself when it is rebuilt.
fn find(
    function: &Arc<dyn WindowExpr>,
    schema: &Schema,
    filters: &WindowFilters,
    ctx: &TaskContext,
) -> Option<WindowForm> {
    let wanted = without_schemas(&debug(function).ok()?);
    let codec = DunlinCodec;
    let context = PhysicalPlanDecodeContext::new(ctx, &codec);
    let filters = std::iter::once(None).chain(filters.above(schema).into_iter().map(Some));
    for filter in filters {
        for reversed in [false, true] {
            let base =
                if reversed { function.get_reverse_expr() } else { Some(Arc::clone(function)) };
            let Some(base) = base else { continue };
            for ignore_nulls in [false, true] {
                let filter = filter.clone();
                let causal = function.get_window_frame().is_causal();
                let base = Arc::clone(&base);
                let form = WindowForm { base, ignore_nulls, reversed, filter, causal };
                let rebuilt = form.rebuilt(schema, &codec, &context);
                let text = rebuilt.and_then(|rebuilt| debug(&rebuilt));
                if text.is_ok_and(|text| without_schemas(&text) == wanted) {
                    return Some(form);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::array::{Int64Array, RecordBatch};
    use datafusion::arrow::datatypes::{DataType, Field};
    use datafusion::datasource::MemTable;
    use datafusion::prelude::SessionContext;

    use dunlin_plan::config::EngineConfig;
    use dunlin_plan::{session, wire};

    use super::*;
    use crate::encode::gate;

    /// What the gate reports about the plan of `sql` after encoding and decoding.
    async fn crossing(sql: &str) -> Option<String> {
        let settings = session::settings(&EngineConfig::default(), 3);
        let context = SessionContext::new_with_config(session::config(&settings).unwrap());
        let fields: Vec<Field> =
            ["g", "k", "v"].map(|name| Field::new(name, DataType::Int64, true)).into();
        let schema = Arc::new(Schema::new(fields));
        let column = || Arc::new(Int64Array::from_iter_values(0..10)) as _;
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column(), column(), column()]);
        let table = MemTable::try_new(schema, vec![vec![batch.unwrap()]]).unwrap();
        context.register_table("t", Arc::new(table)).unwrap();
        let logical = context.sql(sql).await.unwrap().into_optimized_plan().unwrap();
        let state = context.state();
        let plan = state.query_planner().create_physical_plan(&logical, &state).await.unwrap();
        let filters = WindowFilters::of(&logical).unwrap();
        let ctx = state.task_ctx();
        let wrapped = wrap(Arc::clone(&plan), &filters, &ctx).unwrap();
        let packed = wire::encode(wrapped, &[]).unwrap().bytes;
        let decoded = wire::decode(&packed, None, &ctx).unwrap();
        gate::compare(&plan, &decoded).err().map(|mangled| mangled.difference)
    }

    #[tokio::test]
    async fn window_functions_come_back_with_filter_nulls_and_direction() {
        for sql in [
            "select sum(v) filter (where k > 3) over (partition by g order by k) from t",
            "select count(*) filter (where g = 1 or v < 7) over () from t",
            "select min(v) filter (where k > 3) over (order by k rows 2 preceding), max(v) over (order by k) from t",
            "select array_agg(v) filter (where v > 3) over (partition by g order by k) from t",
            "select lag(v) ignore nulls over (partition by g order by k) from t",
            "select first_value(v) ignore nulls over (partition by g order by k), last_value(v) over (order by k desc), nth_value(v, 2) ignore nulls over (order by k) from t",
            "select lag(v, 2, 7) over (partition by g order by k) a, lag(v) over (partition by g order by k desc) b, lead(v) ignore nulls over (partition by g order by k desc) c from t",
            "select sum(v) over (order by k rows between 1 following and 2 following) a, first_value(v) over (order by k desc) b, sum(v) filter (where g > 1) over (order by k desc rows between 1 preceding and 2 following) c from t",
            "select sum(k) over (order by k range between 2 preceding and 1 preceding) a, count(*) over (order by k rows between 1 preceding and 1 preceding) b from t",
            "select lag(v) ignore nulls over (order by k range between 2 preceding and 1 preceding) from t",
            "select s from (select sum(v + 1) filter (where k + g > 3) over (partition by g) s, k from t where v > 1) where k > 2",
        ] {
            assert_eq!(crossing(sql).await, None, "{sql}");
        }
    }

    #[tokio::test]
    async fn a_series_comes_back_in_order() {
        for sql in [
            "select value from generate_series(1, 20) order by value",
            "select value, sum(value) over (order by value) from range(0, 9, 3)",
            "select count(*) from (select value + 1 as v from range(0, 9, 3))",
        ] {
            assert_eq!(crossing(sql).await, None, "{sql}");
        }
    }
}
