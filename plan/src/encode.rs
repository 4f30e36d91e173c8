//! A stage's plan as an object, and back.
//!
//! The object is the zstd-compressed protobuf of the plan, named by the BLAKE3 of its bytes: whoever
//! writes it twice writes the same object. Scans are slimmed first (per-file statistics are not needed
//! to run, except where an ordering between files rests on them).

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
};
use datafusion_proto::physical_plan::DeduplicatingProtoConverter;

use crate::codec::DunlinCodec;

/// Plans larger than this are not decoded: a plan of ours never is, so it is not ours.
const MAX_PLAN_BYTES: usize = 256 << 20;

/// The plan's object: BLAKE3 in hex, and its bytes.
pub(crate) fn encode(plan: &Arc<dyn ExecutionPlan>) -> Result<(String, Bytes)> {
    let plan = slim(Arc::clone(plan))?;
    let raw = physical_plan_to_bytes_with_proto_converter(
        plan,
        &DunlinCodec,
        &DeduplicatingProtoConverter {},
    )?;
    let packed = zstd::encode_all(raw.as_ref(), 1)
        .map_err(|error| internal_datafusion_err!("a plan cannot be compressed: {error}"))?;
    Ok((blake3::hash(&packed).to_hex().to_string(), Bytes::from(packed)))
}

/// The plan that an object holds. Run it once: operators keep state.
pub(crate) fn decode(packed: &[u8], ctx: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let raw = decompress(packed);
    let raw = raw.map_err(|error| internal_datafusion_err!("a plan object is damaged: {error}"))?;
    physical_plan_from_bytes_with_proto_converter(
        &raw,
        ctx,
        &DunlinCodec,
        &DeduplicatingProtoConverter {},
    )
}

fn slim(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(scan) = node.downcast_ref::<DataSourceExec>() else {
            return Ok(Transformed::no(node));
        };
        let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else {
            return Ok(Transformed::no(node));
        };
        if !config.output_ordering.is_empty() {
            return Ok(Transformed::no(node));
        }
        let groups = config
            .file_groups
            .iter()
            .map(|group| {
                let files = group.iter().map(|file| {
                    let mut file = file.clone();
                    file.statistics = None;
                    file
                });
                FileGroup::new(files.collect())
            })
            .collect();
        let slimmed = FileScanConfigBuilder::from(config.clone()).with_file_groups(groups).build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(slimmed) as Arc<dyn ExecutionPlan>))
    })
    .map(|transformed| transformed.data)
}

/// Decompresses at most [`MAX_PLAN_BYTES`].
fn decompress(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut raw = Vec::new();
    let limit = u64::try_from(MAX_PLAN_BYTES).unwrap_or(u64::MAX);
    zstd::Decoder::new(packed)?.take(limit).read_to_end(&mut raw)?;
    Ok(raw)
}
