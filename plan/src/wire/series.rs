//! The wire form of `generate_series` and `range`: the order of their rows, and whether any column is wanted.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result, internal_err, not_impl_err};
use datafusion::functions_table::generate_series::GenericSeriesState;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_proto::physical_plan::from_proto::parse_physical_sort_expr;
use datafusion_proto::physical_plan::to_proto::serialize_physical_sort_expr;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use prost::Message;

/// The wire form of the operator of a table function.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SeriesNode {
    #[prost(message, optional, tag = "1")]
    inner: Option<protobuf::PhysicalPlanNode>,
    #[prost(message, repeated, tag = "2")]
    order: Vec<protobuf::PhysicalSortExprNode>,
    /// Only the number of rows is wanted, and no column.
    #[prost(bool, tag = "3")]
    without_columns: bool,
}

/// True for a series that its own wire form would change.
#[must_use]
pub fn loses(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<LazyMemoryExec>() && (order(plan).is_some() || plan.schema().fields().is_empty())
}

/// The wire form of a series.
pub(super) fn encode(
    plan: &Arc<dyn ExecutionPlan>,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<SeriesNode> {
    let order = order(plan).into_iter().flat_map(|order| order.iter());
    let without_columns = plan.schema().fields().is_empty();
    let inner = if without_columns { with_column(plan)? } else { Arc::clone(plan) };
    Ok(SeriesNode {
        inner: Some(converter.execution_plan_to_proto(&inner, codec)?),
        without_columns,
        order: order
            .map(|sort| serialize_physical_sort_expr(sort.clone(), codec, converter))
            .collect::<Result<_>>()?,
    })
}

/// The order that a table function's operator declares. `output_ordering` was computed before the operator knew the
/// order.
fn order(plan: &Arc<dyn ExecutionPlan>) -> Option<&LexOrdering> {
    plan.equivalence_properties().oeq_class().iter().next()
}

/// A series with the column that its rows have before a projection removes it.
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

/// Builds the operator of a table function from its wire form.
pub(super) fn decode(
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
