//! What a stage reads, found by a walk through its plan from its partitions down.

use std::collections::BTreeSet;
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
    /// Inputs of which only the filter is read, as far as is known.
    pub(crate) filters: BTreeSet<StageId>,
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
            self.filter(filter.stage());
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

    /// A filter of a stage is read. Whoever reads the stage itself waits for it anyway.
    pub(crate) fn filter(&mut self, stage: StageId) {
        if self.inputs.iter().all(|input| input.stage != stage) {
            self.filters.insert(stage);
            self.inputs.push(StageInput { stage, mode: InputMode::Whole, offset: 0 });
        }
    }

    /// A stage may be read as a whole and by partition: then it has an input of either kind.
    pub(crate) fn input(&mut self, stage: StageId, mode: InputMode, offset: u32) {
        if self.filters.remove(&stage) {
            self.inputs.retain(|input| input.stage != stage);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_expr::EquivalenceProperties;
    use datafusion::physical_plan::Partitioning;
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
    use datafusion::physical_plan::joins::CrossJoinExec;

    use super::*;

    fn reader(stage: StageId) -> Arc<dyn ExecutionPlan> {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
        let known = EquivalenceProperties::new(Arc::clone(&schema));
        let four = Partitioning::UnknownPartitioning(4);
        Arc::new(ExchangeReaderExec::new(stage, schema, four, known).unwrap())
    }

    /// Without the input that reads it whole, a partition whose own bucket is empty would be taken for one without rows.
    #[test]
    fn a_stage_that_is_read_whole_and_by_partition_has_an_input_of_either_kind() {
        let collected = Arc::new(CoalescePartitionsExec::new(reader(3)));
        let join: Arc<dyn ExecutionPlan> = Arc::new(CrossJoinExec::new(collected, reader(3)));
        let mut walk = Walk { scan_bytes: vec![0; 4], ..Walk::default() };
        walk.visit(&join, Some(0));
        let modes: Vec<InputMode> = walk.inputs.iter().map(|input| input.mode).collect();
        assert_eq!(modes, [InputMode::Whole, InputMode::Partitioned]);
    }

    #[test]
    fn a_filter_of_a_stage_that_is_read_adds_no_input() {
        let modes = |asked: &dyn Fn(&mut Walk)| {
            let mut walk = Walk::default();
            asked(&mut walk);
            walk.inputs.iter().map(|input| input.mode).collect::<Vec<_>>()
        };
        let (whole, by_partition) = (InputMode::Whole, InputMode::Partitioned);
        assert_eq!(modes(&|walk| walk.filter(3)), [whole]);
        let after = |walk: &mut Walk| {
            walk.input(3, by_partition, 0);
            walk.filter(3);
        };
        assert_eq!(modes(&after), [by_partition]);
        let before = |walk: &mut Walk| {
            walk.filter(3);
            walk.input(3, by_partition, 0);
            walk.input(3, whole, 0);
        };
        assert_eq!(modes(&before), [by_partition, whole]);
    }
}
