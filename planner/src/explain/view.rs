//! What is told of one stage.

use dunlin_manifest::decide::planned_tasks;
use dunlin_manifest::records::{InputMode, Route, StageId};
use serde::Serialize;

use super::moves::{self, Moved};
use super::operators;
use super::steps::{self, Step, TableNames};
use crate::stages::Stage;

/// One stage, for people and for programs.
#[derive(Clone, Debug, Serialize)]
pub struct StageView {
    /// Its number.
    pub stage: StageId,
    /// A few words: what it mainly does.
    pub name: String,
    /// What it does, in order.
    pub steps: Vec<Step>,
    /// Partitions of its plan.
    pub partitions: usize,
    /// How many tasks run it.
    pub tasks: TasksView,
    /// Files that it reads.
    pub files: usize,
    /// Bytes of the parts of files that it reads.
    pub scan_bytes: u64,
    /// Stages that it reads.
    pub reads: Vec<Reads>,
    /// Rows that it is expected to write, if they can be told.
    pub expected_rows: Option<u64>,
    /// Bytes that it is expected to write, as they are in memory, if they can be told.
    pub expected_bytes: Option<u64>,
    /// Where its rows go.
    pub output: Moved,
    /// What the sizes of its inputs may change.
    pub notes: Vec<String>,
    /// The engine's operators, indented. Files are counted.
    pub operators: Vec<String>,
}

/// How many tasks run a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TasksView {
    /// The fewest.
    pub least: u64,
    /// The most.
    pub most: u64,
    /// What decides, if the number does not follow from the scanned bytes.
    pub because: Option<String>,
}

/// A stage that another one reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reads {
    /// Its number.
    pub stage: StageId,
    /// True if every task reads all of it; false if each partition reads its bucket.
    pub whole: bool,
}

impl StageView {
    pub(super) fn of(
        stage: &Stage,
        all: &[Stage],
        route: Route,
        task_bytes: u64,
        tables: &TableNames,
    ) -> Self {
        let steps = steps::of_plan(&stage.plan, tables);
        let scanned = steps.iter().filter_map(|step| match step {
            Step::Scan { files, bytes, .. } => Some((*files, *bytes)),
            _ => None,
        });
        let (files, scan_bytes) =
            scanned.fold((0, 0), |(files, bytes), (more, size)| (files + more, bytes + size));
        let mut reads: Vec<Reads> = Vec::new();
        for input in &stage.inputs {
            let whole = input.mode == InputMode::Whole;
            let read = Reads { stage: input.stage, whole };
            if !reads.contains(&read) {
                reads.push(read);
            }
        }
        Self {
            stage: stage.id,
            name: stage.name.clone(),
            steps,
            partitions: stage.partitions,
            tasks: tasks(stage, route, task_bytes),
            files,
            scan_bytes,
            reads,
            expected_rows: stage.expected.rows,
            expected_bytes: stage.expected.bytes,
            output: moves::of(stage, all),
            notes: super::full::notes(stage, all),
            operators: operators::lines(&stage.plan),
        }
    }
}

fn tasks(stage: &Stage, route: Route, task_bytes: u64) -> TasksView {
    let one = |because| TasksView { least: 1, most: 1, because };
    match &stage.one_task {
        Some(_) if route == Route::Inline => one(Some("in the gateway".to_owned())),
        Some(operator) => one(Some(format!("{operator} shares state between partitions"))),
        None if stage.partitions <= 1 => one(None),
        None if stage.scan_bytes.is_empty() => TasksView {
            least: 1,
            most: stage.partitions as u64,
            because: Some("by the bytes of its inputs".to_owned()),
        },
        None => {
            let tasks = planned_tasks(&stage.scan_bytes, task_bytes) as u64;
            TasksView { least: tasks, most: tasks, because: None }
        }
    }
}
