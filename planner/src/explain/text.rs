//! The stages as text: what each does, how many tasks run it, where its rows go and why, and the engine's operators.

use std::fmt::Write as _;

use dunlin_plan::words::{bytes, count, grouped};

use super::steps::list;
use super::{Explained, StageView};

pub(super) fn text(explained: &Explained) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "route: {} ({})", explained.route.as_str(), explained.route_reason);
    for stage in explained.stages.iter().rev() {
        let _ = writeln!(
            text,
            "stage {}: {}; {}; {}",
            stage.stage,
            stage.name,
            tasks(stage),
            count(stage.partitions, "partition")
        );
        let steps: Vec<String> = stage.steps.iter().map(ToString::to_string).collect();
        if !steps.is_empty() {
            let _ = writeln!(text, "  {}", steps.join("; "));
        }
        let _ = writeln!(text, "  {}", moved(stage));
        for note in &stage.notes {
            let _ = writeln!(text, "  {note}");
        }
        for operator in &stage.operators {
            let _ = writeln!(text, "    {operator}");
        }
    }
    text
}

/// How many tasks, and what decides that.
pub(super) fn tasks(stage: &StageView) -> String {
    let tasks = &stage.tasks;
    let number = match (tasks.least, tasks.most) {
        (least, most) if least == most => count(most, "task"),
        (least, most) => format!("{} to {}", grouped(least), count(most, "task")),
    };
    match &tasks.because {
        None => number,
        Some(reason) if tasks.least == tasks.most && reason != "in the gateway" => {
            format!("{number}: {reason}")
        }
        Some(reason) => format!("{number}, {reason}"),
    }
}

/// The rows and bytes that are expected, as far as they can be told.
pub(super) fn expected(stage: &StageView) -> String {
    match (stage.expected_rows, stage.expected_bytes) {
        (Some(rows), Some(size)) => {
            format!("about {} ({} in memory)", count(rows, "row"), bytes(size))
        }
        (Some(rows), None) => format!("about {}", count(rows, "row")),
        (None, Some(size)) => format!("rows of about {} in memory", bytes(size)),
        (None, None) => "rows".to_owned(),
    }
}

/// Where the rows go, how, and why.
fn moved(stage: &StageView) -> String {
    let output = &stage.output;
    let rows = expected(stage);
    if output.how == "answer" {
        return format!("{rows} out: the answer");
    }
    let how = match output.buckets {
        Some(buckets) => {
            let keys =
                if output.keys.is_empty() { "nothing".to_owned() } else { list(&output.keys) };
            format!("by hash of {keys} in {}", count(buckets, "bucket"))
        }
        None => "partition by partition".to_owned(),
    };
    match output.why.is_empty() {
        true => format!("{rows} out, {how}"),
        false => format!("{rows} out, {how}: {}", output.why.join("; ")),
    }
}
