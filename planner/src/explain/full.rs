//! The stage graph as text, complete: every operator as the engine prints it, with the files of every scan.

use std::fmt::Write as _;

use datafusion::physical_plan::{ExecutionPlan, displayable};
use dunlin_manifest::decide::planned_tasks;
use dunlin_manifest::records::{InputMode, Output, StageInput};

use crate::route::{Route, RouteReason};
use crate::stages::Stage;

/// Renders the stages. The last one comes first, because a plan is read from its root.
pub(crate) fn distributed(
    route: Route,
    reason: &RouteReason,
    stages: &[Stage],
    task_bytes: u64,
) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "route: {} ({reason})", route.as_str());
    for stage in stages.iter().rev() {
        let tasks = match &stage.one_task {
            Some(_) if route == Route::Inline => "1 task, in the gateway".to_owned(),
            Some(operator) => format!("1 task: {operator} shares state between partitions"),
            None => tasks(stage, task_bytes),
        };
        let _ = writeln!(
            text,
            "stage {}: {}; partitions={}; {tasks}; output: {}",
            stage.id,
            stage.name,
            stage.partitions,
            output(stage)
        );
        for input in &stage.inputs {
            let _ = writeln!(text, "  {}", reads(input));
        }
        for note in notes(stage, stages) {
            let _ = writeln!(text, "  {note}");
        }
        plan(&mut text, stage.plan.as_ref());
        if let Some(other) = &stage.broadcast {
            let _ = writeln!(
                text,
                "  or, if stage {} turns out small, in the place of stage {}: partitions={}",
                other.build, other.probe, other.partitions
            );
            plan(&mut text, other.plan.as_ref());
        }
    }
    text
}

fn plan(text: &mut String, plan: &dyn ExecutionPlan) {
    for line in displayable(plan).indent(false).to_string().lines() {
        let _ = writeln!(text, "    {line}");
    }
}

/// What the sealed sizes of its inputs may change about a stage.
pub(super) fn notes(stage: &Stage, stages: &[Stage]) -> Vec<String> {
    let mut notes = Vec::new();
    if !stage.empty_with.is_empty() {
        let stages: Vec<String> = stage.empty_with.iter().map(ToString::to_string).collect();
        notes.push(format!("no tasks if stage {} has no rows", stages.join(" or ")));
    }
    if let Some(by) = stage.absorbed_by {
        let of = stages.iter().find(|of| of.id == by);
        notes.push(match of.is_some_and(|of| of.broadcast.is_some()) {
            true => format!("no tasks if stage {by} runs its join here"),
            false => format!("run in the task of stage {by} if its input is small"),
        });
    }
    if let Some(input) = stage.shares {
        notes.push(format!("a partition that is far too large is shared by rows of stage {input}"));
    }
    notes
}

fn tasks(stage: &Stage, task_bytes: u64) -> String {
    if stage.partitions == 1 {
        return "tasks=1".to_owned();
    }
    if stage.scan_bytes.is_empty() {
        return format!("tasks=1..{} (from the sealed bytes of its inputs)", stage.partitions);
    }
    let tasks = planned_tasks(&stage.scan_bytes, task_bytes);
    let bytes: u64 = stage.scan_bytes.iter().sum();
    format!("tasks={tasks}; scans {bytes} bytes")
}

fn output(stage: &Stage) -> String {
    match stage.output {
        Output::Hash { buckets } if stage.key_filter => {
            format!("hash into {buckets} buckets, and a filter of the keys")
        }
        Output::Hash { buckets } => format!("hash into {buckets} buckets"),
        Output::Partitions => "by partition".to_owned(),
        Output::Result => "the answer".to_owned(),
    }
}

fn reads(input: &StageInput) -> String {
    match input.mode {
        InputMode::Partitioned => format!("reads stage {}, one bucket a partition", input.stage),
        InputMode::Whole => {
            format!("reads stage {} whole in every task (broadcast or gather)", input.stage)
        }
    }
}
