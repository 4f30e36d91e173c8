//! Encodes stages as records, and their plans as objects.

use bytes::Bytes;
use dunlin_manifest::records::{Broadcast, StageSpec};
use dunlin_plan::wire::PlanObject;

use crate::encode::gate::Mangled;
use crate::encode::round_trip::Wire;
use crate::stages::{BroadcastPlan, Stage};

/// Values that the records of all stages share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StageLimits {
    /// Partitions are added to a task until its input reaches this many bytes.
    pub(crate) task_bytes: u64,
    /// The largest written build side that every task reads whole.
    pub(crate) broadcast_bytes: u64,
}

/// The stages of a query as records, and the plan objects that they name, each once.
#[derive(Debug, Default)]
pub(crate) struct EncodedStages {
    pub(crate) specs: Vec<StageSpec>,
    pub(crate) plans: Vec<(String, Bytes)>,
}

impl EncodedStages {
    /// Encodes the stages, decodes them again and compares.
    ///
    /// # Errors
    /// The operator that changed.
    pub(crate) fn of(
        stages: &[Stage],
        wire: Wire<'_>,
        limits: StageLimits,
    ) -> Result<Self, Mangled> {
        let mut encoded = Self::default();
        for stage in stages {
            encoded.add(stage, wire, limits)?;
        }
        Ok(encoded)
    }

    fn add(&mut self, stage: &Stage, wire: Wire<'_>, limits: StageLimits) -> Result<(), Mangled> {
        let plan = wire.across(&stage.plan, &stage.leaves)?;
        let plan = self.keep(plan);
        let broadcast = stage.broadcast.as_ref();
        let broadcast = broadcast.and_then(|other| self.second_way(stage, other, wire, limits));
        self.specs.push(StageSpec {
            id: stage.id,
            name: stage.name.clone(),
            plan,
            partitions: u32::try_from(stage.partitions).unwrap_or(u32::MAX),
            inputs: stage.inputs.clone(),
            output: stage.output,
            scan_bytes: stage.scan_bytes.clone(),
            task_bytes: limits.task_bytes,
            one_task: stage.one_task.is_some(),
            key_filter: stage.key_filter,
            empty_with: stage.empty_with.clone(),
            shares: stage.shares,
            broadcast,
            absorbed_by: stage.absorbed_by,
        });
        Ok(())
    }

    /// The second way to run a stage. If it cannot be encoded, it is left out, because the stage has another way.
    fn second_way(
        &mut self,
        stage: &Stage,
        other: &BroadcastPlan,
        wire: Wire<'_>,
        limits: StageLimits,
    ) -> Option<Broadcast> {
        let plan = match wire.across(&other.plan, &other.leaves) {
            Ok(plan) => self.keep(plan),
            Err(mangled) => {
                tracing::debug!(stage = stage.id, ?mangled, "no second way to run a join");
                return None;
            }
        };
        Some(Broadcast {
            build: other.build,
            probe: other.probe,
            most_bytes: limits.broadcast_bytes,
            plan,
            partitions: u32::try_from(other.partitions).unwrap_or(u32::MAX),
            inputs: other.inputs.clone(),
            scan_bytes: other.scan_bytes.clone(),
        })
    }

    /// Adds a plan object and returns its name.
    fn keep(&mut self, object: PlanObject) -> String {
        if !self.plans.iter().any(|(known, _)| *known == object.name) {
            self.plans.push((object.name.clone(), object.bytes));
        }
        object.name
    }
}
