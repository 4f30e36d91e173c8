//! The wire form of window functions: `FILTER`, `IGNORE NULLS` of lag and similar functions, reversal, and whether a
//! frame is causal.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};
use datafusion_proto::physical_plan::from_proto::parse_physical_window_expr;
use datafusion_proto::physical_plan::to_proto::serialize_physical_window_expr;
use datafusion_proto::physical_plan::{
    DefaultPhysicalProtoConverter, PhysicalExtensionCodec, PhysicalPlanDecodeContext,
    PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use prost::Message;

/// What is needed to rebuild a window function.
#[derive(Clone, Debug)]
pub struct WindowForm {
    /// The function as it was before a reversal.
    pub base: Arc<dyn WindowExpr>,
    /// `IGNORE NULLS`.
    pub ignore_nulls: bool,
    /// True if it runs from the last row to the first.
    pub reversed: bool,
    /// `FILTER`.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// Whether the function treats its frame as ending at the current row. The frame's bounds do not show this.
    pub causal: bool,
}

impl WindowForm {
    /// The function that decoding this form gives, over rows of `schema`.
    ///
    /// # Errors
    /// The function has no wire form.
    pub fn rebuilt(
        &self,
        schema: &Schema,
        codec: &dyn PhysicalExtensionCodec,
        ctx: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn WindowExpr>> {
        let converter = DefaultPhysicalProtoConverter {};
        let node = encode_function(self, codec, &converter)?;
        decode_function(&node, schema, ctx, &converter)
    }
}

/// The wire form of a window operator.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WindowNode {
    #[prost(message, repeated, tag = "1")]
    functions: Vec<FunctionNode>,
    #[prost(bool, tag = "2")]
    can_repartition: bool,
    /// Absent if the window operator is not bounded.
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
    /// Partition columns that are sorted, if not all are.
    #[prost(uint64, repeated, tag = "2")]
    columns: Vec<u64>,
}

/// The functions of a window operator, if `plan` is one.
#[must_use]
pub fn functions(plan: &Arc<dyn ExecutionPlan>) -> Option<&[Arc<dyn WindowExpr>]> {
    if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        return Some(window.window_expr());
    }
    plan.downcast_ref::<BoundedWindowAggExec>().map(BoundedWindowAggExec::window_expr)
}

/// The wire form of a window operator whose functions have these forms.
pub(super) fn encode(
    plan: &Arc<dyn ExecutionPlan>,
    forms: &[WindowForm],
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<WindowNode> {
    let (mode, can_repartition) = match plan.downcast_ref::<BoundedWindowAggExec>() {
        Some(bounded) => (Some(&bounded.input_order_mode), !bounded.partition_keys().is_empty()),
        None => {
            let window = plan.downcast_ref::<WindowAggExec>();
            (None, window.is_some_and(|window| !window.partition_keys().is_empty()))
        }
    };
    let functions =
        forms.iter().map(|form| encode_function(form, codec, converter)).collect::<Result<_>>()?;
    let mode = mode.map(|mode| match mode {
        InputOrderMode::Linear => ModeNode { sorted: false, columns: Vec::new() },
        InputOrderMode::Sorted => ModeNode { sorted: true, columns: Vec::new() },
        InputOrderMode::PartiallySorted(columns) => ModeNode {
            sorted: true,
            columns: columns.iter().map(|column| *column as u64).collect(),
        },
    });
    Ok(WindowNode { functions, can_repartition, mode })
}

/// Builds the window operator from its wire form.
pub(super) fn decode(
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

fn encode_function(
    form: &WindowForm,
    codec: &dyn PhysicalExtensionCodec,
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

/// A frame with the same bounds. When a query is planned, this flag is set while a bound may still be a text, and is
/// kept when the bound becomes a number. A frame that is made again from the bounds may get the other value.
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

/// The same function with another filter and frame.
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
