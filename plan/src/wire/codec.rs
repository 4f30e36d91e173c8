//! The only extension codec: how the exchange's operators are encoded in a plan.
//!
//! A reader carries what the cut would lose: partitioning, orderings, constants and equivalences of the plan below
//! it. The plan above was optimised with them, and checks them again when it is decoded.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::equivalence::{AcrossPartitions, ConstExpr, EquivalenceProperties};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion_proto::physical_plan::from_proto::{
    parse_physical_sort_expr, parse_protobuf_partitioning,
};
use datafusion_proto::physical_plan::to_proto::{
    serialize_partitioning, serialize_physical_sort_expr,
};
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use dunlin_shuffle::{ConformExec, ExchangeReaderExec, KeyFilterExec};
use prost::Message;

use super::series::{self, SeriesNode};
use super::windows::{self, WindowNode};
use super::wrapped::{Form, WireExec};
use crate::best_first::{BestFirstExec, FirstKey, Place, has_places};
use crate::write::{CommitExec, WriteExec, WriteSpec};

/// Dunlin's codec. It is the only one, in the planner and in the workers.
#[derive(Debug, Default)]
pub struct DunlinCodec;

#[derive(Clone, PartialEq, Message)]
struct ReaderNode {
    #[prost(uint32, tag = "1")]
    stage: u32,
    #[prost(message, optional, tag = "2")]
    schema: Option<datafusion_proto::protobuf::Schema>,
    #[prost(message, optional, tag = "3")]
    partitioning: Option<protobuf::Partitioning>,
    #[prost(message, repeated, tag = "4")]
    orderings: Vec<OrderingNode>,
    #[prost(message, repeated, tag = "5")]
    constants: Vec<ConstantNode>,
    #[prost(message, repeated, tag = "6")]
    classes: Vec<ClassNode>,
}

/// One of Dunlin's own operators.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(message, optional, tag = "1")]
    reader: Option<ReaderNode>,
    #[prost(message, optional, tag = "2")]
    filter: Option<FilterNode>,
    #[prost(message, optional, tag = "3")]
    windows: Option<WindowNode>,
    #[prost(message, optional, tag = "4")]
    series: Option<SeriesNode>,
    #[prost(message, optional, tag = "5")]
    conform: Option<datafusion_proto::protobuf::Schema>,
    #[prost(message, optional, tag = "6")]
    write: Option<WriteNode>,
    #[prost(message, optional, tag = "7")]
    best_first: Option<BestFirstNode>,
}

#[derive(Clone, PartialEq, Message)]
struct BestFirstNode {
    #[prost(uint32, tag = "1")]
    column: u32,
    #[prost(bool, tag = "2")]
    descending: bool,
    #[prost(bool, tag = "3")]
    nulls_first: bool,
    #[prost(uint64, tag = "4")]
    rows: u64,
    /// For each partition the places of its files, 16 bytes each.
    #[prost(bytes = "vec", repeated, tag = "5")]
    files: Vec<Vec<u8>>,
}

/// An operator of a write. With a schema it is the one that commits.
#[derive(Clone, PartialEq, Message)]
struct WriteNode {
    #[prost(bytes = "vec", tag = "1")]
    spec: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    rows: Option<datafusion_proto::protobuf::Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct FilterNode {
    #[prost(uint32, tag = "1")]
    stage: u32,
    #[prost(uint32, tag = "2")]
    bucket: u32,
    #[prost(message, repeated, tag = "3")]
    keys: Vec<protobuf::PhysicalExprNode>,
}

#[derive(Clone, PartialEq, Message)]
struct OrderingNode {
    #[prost(message, repeated, tag = "1")]
    sort: Vec<protobuf::PhysicalSortExprNode>,
}

#[derive(Clone, PartialEq, Message)]
struct ConstantNode {
    #[prost(message, optional, tag = "1")]
    expr: Option<protobuf::PhysicalExprNode>,
    #[prost(bool, tag = "2")]
    uniform: bool,
    #[prost(message, optional, tag = "3")]
    value: Option<datafusion_proto::protobuf::ScalarValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ClassNode {
    #[prost(message, repeated, tag = "1")]
    exprs: Vec<protobuf::PhysicalExprNode>,
}

impl PhysicalExtensionCodec for DunlinCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let node =
            Node::decode(buf).map_err(|error| internal_datafusion_err!("own operator: {error}"))?;
        let context = PhysicalPlanDecodeContext::new(ctx, self);
        match (node, inputs) {
            (Node { reader: Some(reader), .. }, []) => decode_reader(&reader, &context, converter),
            (Node { series: Some(series), .. }, []) => series::decode(&series, &context, converter),
            (Node { windows: Some(windows), .. }, [input]) => {
                windows::decode(&windows, input, &context, converter)
            }
            (Node { conform: Some(schema), .. }, [input]) => {
                let schema: Schema = (&schema).try_into()?;
                Ok(Arc::new(ConformExec::try_new(Arc::clone(input), Arc::new(schema))?))
            }
            (Node { best_first: Some(best), .. }, [input]) => decode_best_first(&best, input),
            (Node { write: Some(write), .. }, [input]) => {
                let spec: WriteSpec = serde_json::from_slice(&write.spec)
                    .map_err(|error| internal_datafusion_err!("own operator: {error}"))?;
                let (input, spec) = (Arc::clone(input), Arc::new(spec));
                Ok(match &write.rows {
                    None => Arc::new(WriteExec::new(input, spec)),
                    Some(rows) => {
                        let rows: Schema = rows.try_into()?;
                        Arc::new(CommitExec::try_new(input, spec, Arc::new(rows))?)
                    }
                })
            }
            (Node { filter: Some(filter), .. }, [input]) => {
                let schema = input.schema();
                let keys = filter
                    .keys
                    .iter()
                    .map(|key| converter.proto_to_physical_expr(key, &schema, &context))
                    .collect::<Result<Vec<_>>>()?;
                let (stage, bucket) = (filter.stage, filter.bucket);
                Ok(Arc::new(KeyFilterExec::new(Arc::clone(input), stage, bucket, keys)))
            }
            _ => Err(internal_datafusion_err!("an own operator has another number of inputs")),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let own = if let Some(reader) = node.downcast_ref::<ExchangeReaderExec>() {
            Node { reader: Some(encode_reader(reader, self, converter)?), ..Node::default() }
        } else if let Some(filter) = node.downcast_ref::<KeyFilterExec>() {
            let keys = filter
                .keys()
                .iter()
                .map(|key| converter.physical_expr_to_proto(key, self))
                .collect::<Result<_>>()?;
            let filter = FilterNode { stage: filter.stage(), bucket: filter.bucket(), keys };
            Node { filter: Some(filter), ..Node::default() }
        } else if let Some(conform) = node.downcast_ref::<ConformExec>() {
            let schema = conform.schema().as_ref().try_into()?;
            Node { conform: Some(schema), ..Node::default() }
        } else if let Some(best) = node.downcast_ref::<BestFirstExec>() {
            Node { best_first: Some(encode_best_first(best)?), ..Node::default() }
        } else if let Some(write) = node.downcast_ref::<WriteExec>() {
            Node { write: Some(encode_write(write.spec(), None)?), ..Node::default() }
        } else if let Some(commit) = node.downcast_ref::<CommitExec>() {
            let write = encode_write(commit.spec(), Some(commit.rows()))?;
            Node { write: Some(write), ..Node::default() }
        } else if let Some(wrapped) = node.downcast_ref::<WireExec>() {
            let inner = wrapped.inner();
            match wrapped.form() {
                Form::Windows(forms) => {
                    let windows = windows::encode(inner, forms, self, converter)?;
                    Node { windows: Some(windows), ..Node::default() }
                }
                Form::Series => {
                    let series = series::encode(inner, self, converter)?;
                    Node { series: Some(series), ..Node::default() }
                }
            }
        } else {
            return Err(DataFusionError::NotImplemented(format!(
                "{} has no form that can be written down",
                node.name()
            )));
        };
        own.encode(buf).map_err(|error| internal_datafusion_err!("own operator: {error}"))
    }
}

fn encode_best_first(best: &BestFirstExec) -> Result<BestFirstNode> {
    let FirstKey { column, descending, nulls_first } = best.key();
    let too_large = |_| internal_datafusion_err!("BestFirstExec: a number is too large");
    let bytes = |places: &Vec<Place>| places.iter().flat_map(|it| it.to_le_bytes()).collect();
    Ok(BestFirstNode {
        column: column.try_into().map_err(too_large)?,
        descending,
        nulls_first,
        rows: best.rows() as u64,
        files: best.files().iter().map(bytes).collect(),
    })
}

fn decode_best_first(
    node: &BestFirstNode,
    input: &Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let malformed = || internal_datafusion_err!("BestFirstExec is malformed");
    let key = FirstKey {
        column: node.column as usize,
        descending: node.descending,
        nulls_first: node.nulls_first,
    };
    let schema = input.schema();
    let field = schema.fields().get(key.column).ok_or_else(malformed)?;
    if !has_places(field.data_type()) {
        return Err(malformed());
    }
    let places = |bytes: &Vec<u8>| {
        let (places, rest) = bytes.as_chunks();
        let places = places.iter().map(|place| Place::from_le_bytes(*place)).collect();
        if rest.is_empty() { Ok(places) } else { Err(malformed()) }
    };
    let files = node.files.iter().map(places).collect::<Result<_>>()?;
    let rows = usize::try_from(node.rows).map_err(|_| malformed())?;
    Ok(Arc::new(BestFirstExec::new(Arc::clone(input), key, rows, files)))
}

fn encode_write(spec: &WriteSpec, rows: Option<&SchemaRef>) -> Result<WriteNode> {
    let spec = serde_json::to_vec(spec)
        .map_err(|error| internal_datafusion_err!("own operator: {error}"))?;
    let rows = rows.map(|rows| rows.as_ref().try_into()).transpose()?;
    Ok(WriteNode { spec, rows })
}

fn encode_reader(
    reader: &ExchangeReaderExec,
    codec: &DunlinCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<ReaderNode> {
    let properties = reader.properties();
    let equivalences = properties.equivalence_properties();
    let expr = |expr: &Arc<dyn PhysicalExpr>| converter.physical_expr_to_proto(expr, codec);
    let schema = reader.schema();
    let orderings = equivalences
        .oeq_class()
        .iter()
        .map(|ordering| {
            let sort = ordering
                .iter()
                .map(|sort| serialize_physical_sort_expr(sort.clone(), codec, converter))
                .collect::<Result<_>>()?;
            Ok(OrderingNode { sort })
        })
        .collect::<Result<_>>()?;
    let constants = equivalences
        .constants()
        .iter()
        .map(|constant| {
            let (uniform, value) = match &constant.across_partitions {
                AcrossPartitions::Heterogeneous => (false, None),
                AcrossPartitions::Uniform(value) => (true, value.as_ref()),
            };
            let value = value.map(TryInto::try_into).transpose().map_err(|error| {
                internal_datafusion_err!("a constant cannot be written down: {error}")
            })?;
            Ok(ConstantNode { expr: Some(expr(&constant.expr)?), uniform, value })
        })
        .collect::<Result<_>>()?;
    let classes = equivalences
        .eq_group()
        .iter()
        .map(|class| Ok(ClassNode { exprs: class.iter().map(expr).collect::<Result<_>>()? }))
        .collect::<Result<_>>()?;
    Ok(ReaderNode {
        stage: reader.stage(),
        schema: Some(schema.as_ref().try_into().map_err(|error| {
            internal_datafusion_err!("a schema cannot be written down: {error}")
        })?),
        partitioning: Some(serialize_partitioning(&properties.partitioning, codec, converter)?),
        orderings,
        constants,
        classes,
    })
}

fn decode_reader(
    node: &ReaderNode,
    ctx: &PhysicalPlanDecodeContext<'_>,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let missing = |what: &str| internal_datafusion_err!("an exchange reader has no {what}");
    let schema: Schema = node
        .schema
        .as_ref()
        .ok_or_else(|| missing("schema"))?
        .try_into()
        .map_err(|error| internal_datafusion_err!("exchange reader: {error}"))?;
    let schema = Arc::new(schema);
    let partitioning: Partitioning =
        parse_protobuf_partitioning(node.partitioning.as_ref(), ctx, &schema, converter)?
            .ok_or_else(|| missing("partitioning"))?;
    let expr =
        |node: &protobuf::PhysicalExprNode| converter.proto_to_physical_expr(node, &schema, ctx);
    let orderings = node
        .orderings
        .iter()
        .map(|ordering| {
            ordering
                .sort
                .iter()
                .map(|sort| parse_physical_sort_expr(sort, ctx, &schema, converter))
                .collect::<Result<Vec<PhysicalSortExpr>>>()
        })
        .collect::<Result<Vec<_>>>()?;
    let mut equivalences = EquivalenceProperties::new(Arc::clone(&schema));
    for class in &node.classes {
        let exprs = class.exprs.iter().map(expr).collect::<Result<Vec<_>>>()?;
        for pair in exprs.windows(2) {
            equivalences.add_equal_conditions(Arc::clone(&pair[0]), Arc::clone(&pair[1]))?;
        }
    }
    let constants =
        node.constants
            .iter()
            .map(|constant| {
                let expr = expr(constant.expr.as_ref().ok_or_else(|| missing("constant"))?)?;
                let across = if constant.uniform {
                    let value: Option<ScalarValue> =
                        constant.value.as_ref().map(TryInto::try_into).transpose().map_err(
                            |error| internal_datafusion_err!("exchange reader: {error}"),
                        )?;
                    AcrossPartitions::Uniform(value)
                } else {
                    AcrossPartitions::Heterogeneous
                };
                Ok(ConstExpr::new(expr, across))
            })
            .collect::<Result<Vec<_>>>()?;
    equivalences.add_constants(constants)?;
    equivalences.add_orderings(orderings);
    Ok(Arc::new(ExchangeReaderExec::new(node.stage, schema, partitioning, equivalences)?))
}
