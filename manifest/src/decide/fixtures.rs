//! Records for tests of decisions.

use std::collections::BTreeMap;

use crate::decide::facts::{Decided, Sealed};
use crate::decide::tasks::stage_manifest;
use crate::model::encoding::RECORD_VERSION;
use crate::model::ids::{StageId, TaskId};
use crate::model::records::{
    Adaptive, EngineFence, InputMode, Limits, Output, ResultSpec, Root, SealedTask, Slice,
    StageInput, StageSpec, TaskMetrics, TaskOutput,
};
use crate::model::route::Route;

/// A stage of which each partition is a task.
pub(crate) fn stage(id: StageId, partitions: u32, inputs: Vec<StageInput>) -> StageSpec {
    StageSpec {
        id,
        name: "stage".to_owned(),
        plan: "p".to_owned(),
        partitions,
        inputs,
        output: Output::Partitions,
        scan_bytes: Vec::new(),
        task_bytes: 0,
        one_task: false,
        key_filter: false,
        empty_with: Vec::new(),
        shares: None,
        broadcast: None,
        absorbed_by: None,
    }
}

/// The root of a query of these stages.
pub(crate) fn root(stages: Vec<StageSpec>) -> Root {
    Root {
        v: RECORD_VERSION,
        nonce: "n".to_owned(),
        query: "q".to_owned(),
        sql: "select 1".to_owned(),
        session: BTreeMap::new(),
        engine: EngineFence { engine: "e".to_owned(), hash: "h".to_owned(), build: "b".to_owned() },
        route: Route::Fleet,
        route_reason: String::new(),
        stages,
        result: ResultSpec { schema: String::new() },
        pins: Vec::new(),
        limits: Limits::default(),
        adaptive: Adaptive::default(),
        plans: BTreeMap::new(),
        explain: String::new(),
        owner: None,
        workgroup: None,
        pool: None,
        write: None,
        trace: None,
        code: None,
    }
}

/// The manifest of a stage whose inputs have these seals, in the order of the inputs.
pub(crate) fn decided(root: &Root, stage: StageId, seals: &[&Sealed]) -> Decided {
    Decided::of(stage_manifest(root, &root.stages[stage as usize], false, seals))
}

/// The winner of a task, with these slices: bucket and bytes.
pub(crate) fn won(task: TaskId, slices: &[(u32, u64)]) -> SealedTask {
    SealedTask {
        task,
        attempt: 0,
        claim: "c".to_owned(),
        worker: "w".to_owned(),
        output: TaskOutput {
            slices: slices
                .iter()
                .map(|&(bucket, len)| Slice {
                    bucket,
                    object: Some(0),
                    offset: 0,
                    len,
                    rows: 1,
                    xxh3: String::new(),
                })
                .collect(),
            rows: slices.len() as u64,
            bytes: slices.iter().map(|(_, len)| len).sum(),
            ..TaskOutput::default()
        },
        metrics: TaskMetrics::default(),
    }
}

/// An input whose bucket 0 is read by partition `offset`.
pub(crate) fn partitioned(stage: StageId, offset: u32) -> StageInput {
    StageInput { stage, mode: InputMode::Partitioned, offset }
}
