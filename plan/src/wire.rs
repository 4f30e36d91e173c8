//! Operators that datafusion-proto writes down wrongly, and the form that brings them back whole.
//!
//! | operator | what its own wire form loses | what travels instead |
//! |---|---|---|
//! | window functions | `FILTER`, `IGNORE NULLS` of lag and its kin, reversal, whether a frame is causal | the function as it was before the reversal, with these facts beside it |
//! | `generate_series`, `range` | the order of their rows; that no column is wanted | the operator with its column, with these facts beside it |
//!
//! Before a stage is encoded, each such operator is wrapped in a [`WireExec`], for which the extension codec
//! is asked; what is decoded is the operator itself. Window functions do not tell their flags, so the form
//! is *found*: each combination is rebuilt as a worker would rebuild it, and the one whose debug form is the
//! original's is taken. If none is, the operator stays as it is and the wire gate says so.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, Statistics, internal_err, not_impl_err};
use datafusion::execution::context::ExecutionProps;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::functions_table::generate_series::GenericSeriesState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, LogicalPlan, WindowFrame, WindowFrameBound, WindowFrameUnits,
};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::InputOrderMode;
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    PlanProperties, ReplaceChildrenOptions,
};
use datafusion_proto::physical_plan::from_proto::{
    parse_physical_sort_expr, parse_physical_window_expr,
};
use datafusion_proto::physical_plan::to_proto::{
    serialize_physical_sort_expr, serialize_physical_window_expr,
};
use datafusion_proto::physical_plan::{
    DefaultPhysicalProtoConverter, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use prost::Message;

use crate::codec::DunlinCodec;
use crate::describe::debug;
use crate::gate::without_schemas;

/// An operator that travels in a form of ours. Only ever encoded: what is decoded is the operator.
#[derive(Clone, Debug)]
pub(crate) struct WireExec {
    inner: Arc<dyn ExecutionPlan>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Windows(Vec<WindowForm>),
    Series,
}

/// How a window function can be rebuilt.
#[derive(Clone, Debug)]
struct WindowForm {
    /// The function, before it was reversed if it was.
    base: Arc<dyn WindowExpr>,
    ignore_nulls: bool,
    reversed: bool,
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// Whether the function's own frame is held to end at the row, which cannot be told from its bounds.
    causal: bool,
}

/// The wire form of a window operator.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WindowNode {
    #[prost(message, repeated, tag = "1")]
    functions: Vec<FunctionNode>,
    #[prost(bool, tag = "2")]
    can_repartition: bool,
    /// Absent for a window operator that is not bounded.
    #[prost(message, optional, tag = "3")]
    mode: Option<ModeNode>,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionNode {
    #[prost(message, optional, tag = "1")]
    base: Option<protobuf::PhysicalWindowExprNode>,
    #[prost(bool, tag = "2")]
    ignore_nulls: bool,
    #[prost(bool, tag = "3")]
    reversed: bool,
    #[prost(message, optional, tag = "4")]
    filter: Option<protobuf::PhysicalExprNode>,
    #[prost(bool, tag = "5")]
    causal: bool,
}

#[derive(Clone, PartialEq, Message)]
struct ModeNode {
    #[prost(bool, tag = "1")]
    sorted: bool,
    /// Partition columns that are sorted, where not all are.
    #[prost(uint64, repeated, tag = "2")]
    columns: Vec<u64>,
}

/// The wire form of a table function's operator.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SeriesNode {
    #[prost(message, optional, tag = "1")]
    inner: Option<protobuf::PhysicalPlanNode>,
    #[prost(message, repeated, tag = "2")]
    order: Vec<protobuf::PhysicalSortExprNode>,
    /// Only the number of rows is wanted.
    #[prost(bool, tag = "3")]
    without_columns: bool,
}

/// The filters of a query's window functions, over the rows that they see: the physical functions have
/// theirs too, and do not tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct WindowFilters(Vec<Arc<dyn PhysicalExpr>>);

impl WindowFilters {
    /// Collects the filters of an optimised plan.
    pub(crate) fn of(plan: &LogicalPlan) -> Result<Self> {
        let mut found: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        plan.apply_with_subqueries(|node| {
            let LogicalPlan::Window(window) = node else {
                return Ok(TreeNodeRecursion::Continue);
            };
            for expr in &window.window_expr {
                expr.apply(|inner| {
                    if let Expr::WindowFunction(function) = inner
                        && let Some(filter) = &function.params.filter
                        // One that holds a scalar subquery stays unknown: the gate will name the operator.
                        && let Ok(filter) = datafusion::physical_expr::create_physical_expr(
                            filter,
                            window.input.schema(),
                            &ExecutionProps::new(),
                            &PhysicalPlanningContext::default(),
                        )
                    {
                        found.push(filter);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Self(found))
    }

    /// The filters as they may stand above `schema`: as planned, and with each column where its name is now.
    fn above(&self, schema: &Schema) -> Vec<Arc<dyn PhysicalExpr>> {
        let moved = |filter: &Arc<dyn PhysicalExpr>| {
            Arc::clone(filter)
                .transform(|node| {
                    let Some(column) = node.downcast_ref::<Column>() else {
                        return Ok(Transformed::no(node));
                    };
                    let (at, _) = schema
                        .column_with_name(column.name())
                        .ok_or_else(|| datafusion::common::plan_datafusion_err!("gone"))?;
                    Ok(Transformed::yes(Arc::new(Column::new(column.name(), at)) as _))
                })
                .data()
                .ok()
        };
        self.0.iter().cloned().chain(self.0.iter().filter_map(moved)).collect()
    }
}

/// Wraps the operators of a stage that would not survive their own wire form.
pub(crate) fn wrap(
    plan: Arc<dyn ExecutionPlan>,
    filters: &WindowFilters,
    ctx: &TaskContext,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let form = if let Some(functions) = window_functions(&node) {
            let schema = node.children()[0].schema();
            forms(functions, &schema, filters, ctx).map(Form::Windows)
        } else if node.is::<LazyMemoryExec>()
            && (series_order(&node).is_some() || node.schema().fields().is_empty())
        {
            Some(Form::Series)
        } else {
            None
        };
        Ok(match form {
            Some(form) => {
                let inner = Arc::clone(&node);
                Transformed::yes(Arc::new(WireExec { inner, form }) as Arc<dyn ExecutionPlan>)
            }
            None => Transformed::no(node),
        })
    })
    .data()
}

/// The order that a table function's operator declares. `output_ordering` was computed before it was told.
fn series_order(plan: &Arc<dyn ExecutionPlan>) -> Option<&LexOrdering> {
    plan.equivalence_properties().oeq_class().iter().next()
}

/// A series with the column that its rows have before it is projected away.
fn with_column(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let generators: &[_] =
        plan.downcast_ref::<LazyMemoryExec>().map_or(&[], |series| series.generators());
    let whole_numbers = generators
        .iter()
        .all(|it| it.read().as_any().downcast_ref::<GenericSeriesState<i64>>().is_some());
    if !whole_numbers || generators.is_empty() {
        return not_impl_err!(
            "LazyMemoryExec without columns has no form that can be written down"
        );
    }
    let schema = Schema::new(vec![Field::new("value", DataType::Int64, false)]);
    Ok(Arc::new(LazyMemoryExec::try_new(Arc::new(schema), generators.to_vec())?))
}

fn window_functions(plan: &Arc<dyn ExecutionPlan>) -> Option<&[Arc<dyn WindowExpr>]> {
    if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        return Some(window.window_expr());
    }
    plan.downcast_ref::<BoundedWindowAggExec>().map(BoundedWindowAggExec::window_expr)
}

/// The forms of all functions, if one of them needs a form of ours and each has one.
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

/// The form that is rebuilt as the function itself.
fn find(
    function: &Arc<dyn WindowExpr>,
    schema: &Schema,
    filters: &WindowFilters,
    ctx: &TaskContext,
) -> Option<WindowForm> {
    let wanted = without_schemas(&debug(function).ok()?);
    let codec = DunlinCodec;
    let converter = DefaultPhysicalProtoConverter {};
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
                let rebuilt = encode_function(&form, &codec, &converter)
                    .and_then(|node| decode_function(&node, schema, &context, &converter));
                let text = rebuilt.and_then(|rebuilt| debug(&rebuilt));
                if text.is_ok_and(|text| without_schemas(&text) == wanted) {
                    return Some(form);
                }
            }
        }
    }
    None
}

fn encode_function(
    form: &WindowForm,
    codec: &DunlinCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<FunctionNode> {
    let filter = form.filter.as_ref();
    Ok(FunctionNode {
        base: Some(serialize_physical_window_expr(&form.base, codec, converter)?),
        ignore_nulls: form.ignore_nulls,
        reversed: form.reversed,
        causal: form.causal,
        filter: filter.map(|filter| converter.physical_expr_to_proto(filter, codec)).transpose()?,
    })
}

fn decode_function(
    node: &FunctionNode,
    schema: &Schema,
    ctx: &PhysicalPlanDecodeContext<'_>,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn WindowExpr>> {
    let Some(base) = &node.base else { return internal_err!("a window has no function") };
    let mut base = base.clone();
    base.ignore_nulls |= node.ignore_nulls;
    let mut function = parse_physical_window_expr(&base, ctx, schema, converter)?;
    let filter = node.filter.as_ref();
    let filter =
        filter.map(|filter| converter.proto_to_physical_expr(filter, schema, ctx)).transpose()?;
    if let Some(filter) = &filter {
        let frame = Arc::clone(function.get_window_frame());
        function = again(&function, Some(filter), frame)?;
    }
    if node.reversed {
        let Some(reversed) = function.get_reverse_expr() else {
            return internal_err!("{} cannot be reversed", function.name());
        };
        function = reversed;
    }
    if function.get_window_frame().is_causal() != node.causal {
        let frame = Arc::new(with_causality(function.get_window_frame(), node.causal));
        function = again(&function, filter.as_ref(), frame)?;
    }
    Ok(function)
}

/// A frame of the same bounds. When a query is planned, the flag is found while a bound may still be a text,
/// and kept when the bound becomes a number; made anew from the bounds, it may come out the other way.
fn with_causality(frame: &WindowFrame, causal: bool) -> WindowFrame {
    let end = if causal {
        WindowFrameBound::CurrentRow
    } else {
        WindowFrameBound::Following(ScalarValue::UInt64(None))
    };
    let mut same = WindowFrame::new_bounds(WindowFrameUnits::Rows, frame.start_bound.clone(), end);
    same.units = frame.units;
    same.end_bound = frame.end_bound.clone();
    same
}

/// The function once more, with another filter and frame.
fn again(
    function: &Arc<dyn WindowExpr>,
    filter: Option<&Arc<dyn PhysicalExpr>>,
    frame: Arc<WindowFrame>,
) -> Result<Arc<dyn WindowExpr>> {
    let (by, order) = (function.partition_by(), function.order_by());
    let any = function.as_any();
    if let Some(plain) = any.downcast_ref::<PlainAggregateWindowExpr>() {
        let aggregate = Arc::new(plain.get_aggregate_expr().clone());
        let filter = filter.cloned();
        return Ok(Arc::new(PlainAggregateWindowExpr::new(aggregate, by, order, frame, filter)));
    }
    if let Some(sliding) = any.downcast_ref::<SlidingAggregateWindowExpr>() {
        let aggregate = Arc::new(sliding.get_aggregate_expr().clone());
        let filter = filter.cloned();
        return Ok(Arc::new(SlidingAggregateWindowExpr::new(aggregate, by, order, frame, filter)));
    }
    match (any.downcast_ref::<StandardWindowExpr>(), filter) {
        (Some(standard), None) => {
            let function = Arc::clone(standard.get_standard_func_expr());
            Ok(Arc::new(StandardWindowExpr::new(function, by, order, frame)))
        }
        _ => internal_err!("{} takes no filter", function.name()),
    }
}

impl WireExec {
    /// The wire form of a window operator, if this is one.
    pub(crate) fn windows(
        &self,
        codec: &DunlinCodec,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Option<WindowNode>> {
        let Form::Windows(forms) = &self.form else { return Ok(None) };
        let (mode, can_repartition) = match self.inner.downcast_ref::<BoundedWindowAggExec>() {
            Some(bounded) => {
                (Some(&bounded.input_order_mode), !bounded.partition_keys().is_empty())
            }
            None => {
                let window = self.inner.downcast_ref::<WindowAggExec>();
                (None, window.is_some_and(|window| !window.partition_keys().is_empty()))
            }
        };
        let functions = forms
            .iter()
            .map(|form| encode_function(form, codec, converter))
            .collect::<Result<_>>()?;
        let mode = mode.map(|mode| match mode {
            InputOrderMode::Linear => ModeNode { sorted: false, columns: Vec::new() },
            InputOrderMode::Sorted => ModeNode { sorted: true, columns: Vec::new() },
            InputOrderMode::PartiallySorted(columns) => ModeNode {
                sorted: true,
                columns: columns.iter().map(|column| *column as u64).collect(),
            },
        });
        Ok(Some(WindowNode { functions, can_repartition, mode }))
    }

    /// The wire form of a table function's operator, if this is one.
    pub(crate) fn series(
        &self,
        codec: &DunlinCodec,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Option<SeriesNode>> {
        if !matches!(self.form, Form::Series) {
            return Ok(None);
        }
        let order = series_order(&self.inner).into_iter().flat_map(|order| order.iter());
        let without_columns = self.inner.schema().fields().is_empty();
        let inner =
            if without_columns { with_column(&self.inner)? } else { Arc::clone(&self.inner) };
        Ok(Some(SeriesNode {
            inner: Some(converter.execution_plan_to_proto(&inner, codec)?),
            without_columns,
            order: order
                .map(|sort| serialize_physical_sort_expr(sort.clone(), codec, converter))
                .collect::<Result<_>>()?,
        }))
    }
}

/// The window operator that a node stands for.
pub(crate) fn decode_windows(
    node: &WindowNode,
    input: &Arc<dyn ExecutionPlan>,
    ctx: &PhysicalPlanDecodeContext<'_>,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = input.schema();
    let functions = node
        .functions
        .iter()
        .map(|function| decode_function(function, &schema, ctx, converter))
        .collect::<Result<Vec<_>>>()?;
    if functions.is_empty() {
        return internal_err!("a window operator has no function");
    }
    let input = Arc::clone(input);
    let Some(mode) = &node.mode else {
        return Ok(Arc::new(WindowAggExec::try_new(functions, input, node.can_repartition)?));
    };
    let mode = match (mode.sorted, mode.columns.as_slice()) {
        (false, _) => InputOrderMode::Linear,
        (true, []) => InputOrderMode::Sorted,
        (true, columns) => InputOrderMode::PartiallySorted(
            columns.iter().map(|column| usize::try_from(*column).unwrap_or(usize::MAX)).collect(),
        ),
    };
    Ok(Arc::new(BoundedWindowAggExec::try_new(functions, input, mode, node.can_repartition)?))
}

/// The table function's operator that a node stands for.
pub(crate) fn decode_series(
    node: &SeriesNode,
    ctx: &PhysicalPlanDecodeContext<'_>,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(inner) = &node.inner else { return internal_err!("a series has no operator") };
    let inner = converter.proto_to_execution_plan(inner, ctx)?;
    let Some(series) = inner.downcast_ref::<LazyMemoryExec>() else {
        return internal_err!("a series is a {}", inner.name());
    };
    let schema = series.schema();
    let order = node
        .order
        .iter()
        .map(|sort| parse_physical_sort_expr(sort, ctx, &schema, converter))
        .collect::<Result<Vec<PhysicalSortExpr>>>()?;
    let mut ordered = LazyMemoryExec::try_new(schema, series.generators().clone())?;
    if node.without_columns {
        return Ok(Arc::new(ordered.with_projection(Some(Vec::new()))));
    }
    ordered.add_ordering(order);
    Ok(Arc::new(ordered))
}

impl DisplayAs for WireExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_as(kind, f)
    }
}

/// Stands for the wrapped operator in everything.
impl ExecutionPlan for WireExec {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inner.children()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(visit)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = Arc::clone(&self.inner).replace_children(children, options)?;
        Ok(Arc::new(Self { inner, form: self.form.clone() }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.inner.execute(partition, context)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.inner.statistics_from_inputs(inputs, args)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::array::{Int64Array, RecordBatch};
    use datafusion::datasource::MemTable;
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::config::EngineConfig;
    use crate::{encode, gate, session};

    /// What the gate says about the plan of `sql`, encoded and decoded.
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
        let (_, packed) = encode::encode(&plan, &[], &filters, &ctx).unwrap();
        let decoded = encode::decode(&packed, None, &ctx).unwrap();
        gate::compare(&plan, &decoded).unwrap().map(|mangled| mangled.difference)
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
