//! A stage as the splitter returns it.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use dunlin_manifest::records::{Output, StageId, StageInput};
use dunlin_plan::operators::partition_count;

use crate::stages::expected::{Expectations, Expected};

/// One stage, before it is encoded.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Number: producers before consumers.
    pub id: StageId,
    /// A few words for people.
    pub name: String,
    /// The plan. A `RepartitionExec` by hash at the root (below a `ScalarSubqueryExec`) defines the buckets.
    pub plan: Arc<dyn ExecutionPlan>,
    /// Partitions of the plan below that root.
    pub partitions: usize,
    /// Producers.
    pub inputs: Vec<StageInput>,
    /// How the stage writes its rows.
    pub output: Output,
    /// Rows that it is expected to write.
    pub expected: Expected,
    /// Bytes scanned by each partition; empty if the stage scans no files.
    pub scan_bytes: Vec<u64>,
    /// The operator that forces a single task, if one does.
    pub one_task: Option<String>,
    /// True if each task also writes a filter of its keys.
    pub key_filter: bool,
    /// For each file scan, from left to right: the partition that reads its first file group; `None` if
    /// every task may read all of them.
    pub leaves: Vec<Option<usize>>,
    /// Stages of which each, if it is empty, makes this stage empty.
    pub empty_with: Vec<StageId>,
    /// The input whose buckets several tasks may share.
    pub shares: Option<StageId>,
    /// How the stage runs if a build side is small.
    pub broadcast: Option<BroadcastPlan>,
    /// The stage that this one may be merged into: the one that joins, if it then runs as its `broadcast` says, or the
    /// only reader, if this stage reads little.
    pub absorbed_by: Option<StageId>,
}

impl Stage {
    /// A whole query as one stage of one task, for the process that made its plan.
    pub(crate) fn whole(plan: Arc<dyn ExecutionPlan>) -> Self {
        Self {
            id: 0,
            name: "the whole query".to_owned(),
            partitions: partition_count(&plan),
            inputs: Vec::new(),
            output: Output::Result,
            expected: Expectations::of(&plan).of_rows(&plan),
            scan_bytes: Vec::new(),
            one_task: Some("the inline route".to_owned()),
            key_filter: false,
            leaves: Vec::new(),
            empty_with: Vec::new(),
            shares: None,
            broadcast: None,
            absorbed_by: None,
            plan,
        }
    }
}

/// A stage that contains a join. Every task reads the whole build side, and reads the probe side directly. So the
/// stage also does the work of the stage that would have exchanged the probe side.
#[derive(Clone, Debug)]
pub struct BroadcastPlan {
    /// Stage of the build side.
    pub build: StageId,
    /// Stage that would exchange the probe side.
    pub probe: StageId,
    /// As [`Stage::plan`].
    pub plan: Arc<dyn ExecutionPlan>,
    /// As [`Stage::partitions`].
    pub partitions: usize,
    /// As [`Stage::inputs`].
    pub inputs: Vec<StageInput>,
    /// As [`Stage::scan_bytes`].
    pub scan_bytes: Vec<u64>,
    /// As [`Stage::leaves`].
    pub leaves: Vec<Option<usize>>,
}

/// What the splitter may do in addition to cutting.
#[derive(Clone, Copy, Debug)]
pub struct SplitOptions {
    /// The build side of a join filters its probe side before the probe side is exchanged, if that is correct and is
    /// expected to save work.
    pub runtime_filters: bool,
    /// Joins get a second way to run, for a build side that is small once it is written.
    pub sealed_broadcast: bool,
    /// An exchange that may have more slices (partitions of the producer × buckets) has two levels.
    pub most_slices: usize,
}
