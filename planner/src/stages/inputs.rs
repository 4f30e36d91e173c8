//! What a stage reads, found by a walk through its plan from its partitions down.

use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use dunlin_manifest::records::{InputMode, StageId, StageInput};
use dunlin_plan::operators::{file_scan, partition_count};
use dunlin_shuffle::{ExchangeReaderExec, KeyFilterExec};

use crate::operators::collected_join;
use crate::scans::group_bytes;
use crate::stages::prove::shares_nothing;

/// Follows partition `p` of a stage down to its leaves.
#[derive(Default)]
pub(crate) struct Walk {
    pub(crate) inputs: Vec<StageInput>,
    pub(crate) scan_bytes: Vec<u64>,
    pub(crate) leaves: Vec<Option<usize>>,
}

impl Walk {
    /// `offset` is the stage's partition that runs partition 0 of `plan`; `None` if every task may run
    /// all of `plan` (below a collapse).
    pub(crate) fn visit(&mut self, plan: &Arc<dyn ExecutionPlan>, offset: Option<usize>) {
        if let Some(reader) = plan.downcast_ref::<ExchangeReaderExec>() {
            match offset {
                Some(offset) => self.input(
                    reader.stage(),
                    InputMode::Partitioned,
                    u32::try_from(offset).unwrap_or(u32::MAX),
                ),
                None => self.input(reader.stage(), InputMode::Whole, 0),
            }
            return;
        }
        if let Some(config) = file_scan(plan) {
            self.scan(config, offset);
            return;
        }
        if let Some(filter) = plan.downcast_ref::<KeyFilterExec>() {
            self.input(filter.stage(), InputMode::Whole, 0);
        }
        if plan.is::<UnionExec>() {
            let mut first = offset;
            for child in plan.children() {
                self.visit(child, first);
                first = first.map(|first| first + partition_count(child));
            }
            return;
        }
        let own = partition_count(plan);
        let collected = collected_join(plan).is_some();
        // It is not known what a partition of an unknown operator reads.
        let known = shares_nothing(plan);
        for (number, child) in plan.children().into_iter().enumerate() {
            let same = known && partition_count(child) == own && !(collected && number == 0);
            self.visit(child, offset.filter(|_| same));
        }
    }

    pub(crate) fn input(&mut self, stage: StageId, mode: InputMode, offset: u32) {
        let whole = |input: &StageInput| input.stage == stage && input.mode == InputMode::Whole;
        match mode {
            // Only the sizes of buckets matter here, and reading all of them adds nothing.
            InputMode::Whole if self.inputs.iter().any(|input| input.stage == stage) => return,
            InputMode::Whole => {}
            InputMode::Partitioned => self.inputs.retain(|input| !whole(input)),
        }
        let input = StageInput { stage, mode, offset };
        if !self.inputs.contains(&input) {
            self.inputs.push(input);
        }
    }

    fn scan(&mut self, config: &FileScanConfig, offset: Option<usize>) {
        self.leaves.push(offset);
        let Some(offset) = offset else { return };
        for (number, group) in config.file_groups.iter().enumerate() {
            let bytes = group_bytes(group);
            if let Some(weight) = self.scan_bytes.get_mut(offset + number) {
                *weight += bytes;
            }
        }
    }
}
