//! Encoding a stage's plan as an object, and decoding it.
//!
//! ```text
//! zstd( plan:   protobuf, the file groups of its scans left empty
//!       leaf 0: partition p of the stage reads group p - offset:  group 0 | group 1 | …
//!       leaf 1: every task may read all of it:                    in the plan )
//! ```
//! The object is named by the BLAKE3 of its bytes, so writing it twice gives the same object. A task decodes only the
//! groups of its own partitions. So with a stage over 10,000 files, no task has to decode all 10,000. Statistics of
//! files are removed from scans first, because running does not need them. An exception is a scan whose order between
//! files depends on them: such a scan is encoded whole.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
};
use datafusion_proto::physical_plan::DeduplicatingProtoConverter;
use datafusion_proto::protobuf;
use prost::Message;

use super::codec::DunlinCodec;
use super::scans;
use crate::footers;
use crate::operators::file_scan;

/// Plans larger than this are not decoded. Dunlin never writes such a plan.
const MAX_PLAN_BYTES: usize = 256 << 20;

#[derive(Clone, PartialEq, Message)]
struct StageObject {
    #[prost(bytes = "bytes", tag = "1")]
    plan: Bytes,
    /// The file scans of the plan, from left to right.
    #[prost(message, repeated, tag = "2")]
    leaves: Vec<Leaf>,
}

#[derive(Clone, PartialEq, Message)]
struct Leaf {
    /// True if the groups are stored here and not in the plan.
    #[prost(bool, tag = "1")]
    sliced: bool,
    /// The stage's partition that reads group 0.
    #[prost(uint32, tag = "2")]
    offset: u32,
    /// Each group separately, so that a task decodes only those that it reads.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    groups: Vec<Bytes>,
    /// What the wire form of the scan loses.
    #[prost(message, optional, tag = "4")]
    text: Option<scans::Text>,
}

/// A plan of a stage, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanObject {
    /// BLAKE3 of the bytes, in hex.
    pub name: String,
    /// The bytes to write.
    pub bytes: Bytes,
}

/// Encodes a stage's plan as an object. For each file scan, `leaves` tells which partition of the stage reads its
/// first group; `None`: every task may read all groups. Operators that their own wire form would change must be
/// wrapped before ([`super::WireExec`]).
///
/// # Errors
/// An operator without a wire form.
pub fn encode(plan: Arc<dyn ExecutionPlan>, leaves: &[Option<usize>]) -> Result<PlanObject> {
    let (plan, leaves) = take_groups(plan, leaves)?;
    let plan = physical_plan_to_bytes_with_proto_converter(
        plan,
        &DunlinCodec,
        &DeduplicatingProtoConverter {},
    )?;
    let raw = StageObject { plan, leaves }.encode_to_vec();
    let packed = zstd::encode_all(raw.as_slice(), 1)
        .map_err(|error| internal_datafusion_err!("a plan cannot be compressed: {error}"))?;
    Ok(PlanObject { name: blake3::hash(&packed).to_hex().to_string(), bytes: Bytes::from(packed) })
}

/// The plan in an object, with the file groups that `partitions` of the stage read; `None`: with all groups. Run the
/// plan only once, because operators keep state.
///
/// # Errors
/// Damaged bytes, or an operator that this engine does not know.
pub fn decode(
    packed: &[u8],
    partitions: Option<&[u32]>,
    ctx: &TaskContext,
) -> Result<Arc<dyn ExecutionPlan>> {
    let damaged = |error: &dyn std::fmt::Display| {
        internal_datafusion_err!("a plan object is damaged: {error}")
    };
    let raw = decompress(packed).map_err(|error| damaged(&error))?;
    let object = StageObject::decode(Bytes::from(raw)).map_err(|error| damaged(&error))?;
    // The engine takes some damage for impossible. Nothing of a decoder is used again after its panic.
    let plan = catch_unwind(AssertUnwindSafe(|| {
        physical_plan_from_bytes_with_proto_converter(
            &object.plan,
            ctx,
            &DunlinCodec,
            &DeduplicatingProtoConverter {},
        )
    }))
    .unwrap_or_else(|_| Err(damaged(&"the engine cannot read it")))?;
    put_groups(plan, &object.leaves, partitions, &ctx.runtime_env())
}

fn with_groups(config: &FileScanConfig, groups: Vec<FileGroup>) -> Arc<dyn ExecutionPlan> {
    let builder = FileScanConfigBuilder::from(config.clone()).with_file_groups(groups);
    DataSourceExec::from_data_source(builder.build())
}

/// Takes the file groups out of the scans that can be sliced, and the statistics out of all scans that do not need
/// them.
fn take_groups(
    plan: Arc<dyn ExecutionPlan>,
    offsets: &[Option<usize>],
) -> Result<(Arc<dyn ExecutionPlan>, Vec<Leaf>)> {
    let mut leaves = Vec::new();
    let plan = plan
        .transform_up(|node| {
            let Some(config) = file_scan(&node) else { return Ok(Transformed::no(node)) };
            let offset = offsets.get(leaves.len()).copied().flatten();
            let text = scans::lost(config);
            if !config.output_ordering.is_empty() {
                leaves.push(Leaf { text, ..Leaf::default() });
                return Ok(Transformed::no(node));
            }
            let mut groups: Vec<FileGroup> = config.file_groups.iter().map(slim).collect();
            let mut leaf = Leaf { text, ..Leaf::default() };
            if let Some(offset) = offset {
                leaf.sliced = true;
                leaf.offset = u32::try_from(offset).unwrap_or(u32::MAX);
                for group in &mut groups {
                    let node = protobuf::FileGroup::try_from(&*group)?;
                    leaf.groups.push(Bytes::from(node.encode_to_vec()));
                    *group = FileGroup::new(Vec::new());
                }
            }
            leaves.push(leaf);
            Ok(Transformed::yes(with_groups(config, groups)))
        })
        .data()?;
    Ok((plan, leaves))
}

fn slim(group: &FileGroup) -> FileGroup {
    let files = group.iter().map(|file| {
        let mut file = file.clone();
        file.statistics = None;
        file
    });
    FileGroup::new(files.collect())
}

/// Puts the groups of `partitions` back, and what else the wire form of a scan loses. The other groups stay empty and keep
/// their numbers.
fn put_groups(
    plan: Arc<dyn ExecutionPlan>,
    leaves: &[Leaf],
    partitions: Option<&[u32]>,
    runtime: &RuntimeEnv,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut number = 0;
    let plan = plan
        .transform_up(|node| {
            let Some(config) = file_scan(&node) else { return Ok(Transformed::no(node)) };
            let leaf = leaves.get(number);
            number += 1;
            let restored = match leaf.and_then(|leaf| leaf.text) {
                Some(text) => Some(scans::restored(config.clone(), text)?),
                None => footers::sound_scan(config, runtime)?,
            };
            let Some(leaf) = leaf.filter(|leaf| leaf.sliced) else {
                return Ok(match restored {
                    Some(config) => Transformed::yes(DataSourceExec::from_data_source(config) as _),
                    None => Transformed::no(node),
                });
            };
            let config = restored.as_ref().unwrap_or(config);
            if leaf.groups.len() != config.file_groups.len() {
                return internal_err!(
                    "a scan of {} groups came with {}",
                    config.file_groups.len(),
                    leaf.groups.len()
                );
            }
            let groups = leaf
                .groups
                .iter()
                .zip(0u32..)
                .map(|(group, number)| {
                    let reader = leaf.offset.checked_add(number);
                    let wanted = partitions
                        .is_none_or(|own| reader.is_some_and(|reader| own.contains(&reader)));
                    if !wanted {
                        return Ok(FileGroup::new(Vec::new()));
                    }
                    let node = protobuf::FileGroup::decode(group.clone())
                        .map_err(|error| internal_datafusion_err!("a file group: {error}"))?;
                    FileGroup::try_from(&node)
                })
                .collect::<Result<_>>()?;
            Ok(Transformed::yes(with_groups(config, groups)))
        })
        .data()?;
    if number != leaves.len() {
        return internal_err!("a plan of {number} scans came with the files of {}", leaves.len());
    }
    Ok(plan)
}

/// Decompresses at most [`MAX_PLAN_BYTES`].
fn decompress(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut raw = Vec::new();
    let limit = u64::try_from(MAX_PLAN_BYTES).unwrap_or(u64::MAX);
    zstd::Decoder::new(packed)?.take(limit).read_to_end(&mut raw)?;
    Ok(raw)
}
