//! What `dunlin replay` prints, for people and as JSON.

use std::fmt::Write as _;

use dunlin_manifest::records::EndStatus;
use dunlin_plan::words::{bytes, count};
use dunlin_worker::{Done, Operator, Outline, Replayed, Verdict};
use serde_json::{Value, json};

/// Characters of an operator that are shown.
const LONGEST: usize = 100;

fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1_000, micros % 1_000 / 100)
}

/// The slowest task of all, if any is done, as (stage, task).
fn slowest(outline: &Outline) -> Option<(u32, u32)> {
    let done = outline.stages.iter().flat_map(|stage| {
        stage
            .tasks
            .iter()
            .filter_map(|task| Some((task.done.as_ref()?.wall_us, (stage.stage, task.task))))
    });
    done.max_by_key(|(wall, _)| *wall).map(|(_, task)| task)
}

fn status(outline: &Outline) -> &'static str {
    match outline.end.as_ref().map(|end| end.status) {
        None => "not ended",
        Some(EndStatus::Succeeded) => "succeeded",
        Some(EndStatus::Failed) => "failed",
        Some(EndStatus::Cancelled) => "cancelled",
    }
}

/// Stages and tasks with what each took. The slowest task of each stage is marked, and the slowest of all.
pub(super) fn outline(outline: &Outline) -> String {
    let slowest = slowest(outline);
    let line = outline.sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let sql: String = line.chars().take(LONGEST).collect();
    let mut text = format!("query {}: {}\n{sql}\n", outline.query, status(outline));
    for stage in &outline.stages {
        let open = if stage.is_sealed { "" } else { ", not done" };
        let tasks = count(stage.tasks.len(), "task");
        let _ = writeln!(text, "\nstage {}: {} ({tasks}{open})", stage.stage, stage.name);
        if stage.tasks.is_empty() {
            continue;
        }
        let _ = writeln!(
            text,
            "  {:>6} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}  worker",
            "task", "wall ms", "compute ms", "rows", "written", "read", "spilled"
        );
        let of_stage = stage.tasks.iter().filter_map(|task| Some((task, task.done.as_ref()?)));
        let longest = of_stage.max_by_key(|(_, done)| done.wall_us).map(|(task, _)| task.task);
        for task in &stage.tasks {
            let Some(done) = &task.done else {
                let _ = writeln!(text, "  {:>6} {:>12}", task.task, "no commit");
                continue;
            };
            let Done { worker, rows, read_bytes, wall_us, compute_us, spilled_bytes, .. } = done;
            let mark = match (Some((stage.stage, task.task)) == slowest, Some(task.task) == longest)
            {
                (true, _) => "  <-- slowest of the query",
                (_, true) if stage.tasks.len() > 1 => "  <-- slowest of the stage",
                _ => "",
            };
            let _ = writeln!(
                text,
                "  {:>6} {:>12} {:>12} {rows:>12} {:>12} {:>12} {:>12}  {worker}{mark}",
                task.task,
                millis(*wall_us),
                millis(*compute_us),
                bytes(done.bytes),
                bytes(*read_bytes),
                bytes(*spilled_bytes)
            );
        }
    }
    if let Some((stage, task)) = slowest {
        let _ = writeln!(
            text,
            "\nrun one again: dunlin replay {} --stage {stage} --task {task}",
            outline.query
        );
    }
    text
}

pub(super) fn outline_json(outline: &Outline) -> Value {
    let slowest = slowest(outline);
    let stages = outline.stages.iter().map(|stage| {
        let tasks = stage.tasks.iter().map(|task| {
            let done = task.done.as_ref();
            json!({
                "task": task.task,
                "partitions": task.partitions,
                "attempt": done.map(|done| done.attempt),
                "worker": done.map(|done| &done.worker),
                "rows": done.map(|done| done.rows),
                "bytes": done.map(|done| done.bytes),
                "bytes_read": done.map(|done| done.read_bytes),
                "wall_us": done.map(|done| done.wall_us),
                "compute_us": done.map(|done| done.compute_us),
                "bytes_spilled": done.map(|done| done.spilled_bytes),
                "slowest": slowest == Some((stage.stage, task.task)),
            })
        });
        json!({
            "stage": stage.stage,
            "name": stage.name,
            "sealed": stage.is_sealed,
            "tasks": tasks.collect::<Vec<_>>(),
        })
    });
    json!({
        "query_id": outline.query.as_str(),
        "status": status(outline),
        "stages": stages.collect::<Vec<_>>(),
    })
}

/// Whether the rows are right, in a few words for programs.
fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Identical => "identical",
        Verdict::SameRows => "same_rows",
        Verdict::Different(_) => "different",
        Verdict::Unknown(_) => "unknown",
        Verdict::NothingCommitted => "nothing_committed",
    }
}

fn told(replayed: &Replayed) -> String {
    let whose = replayed.winner.as_ref().map_or_else(String::new, |winner| {
        format!("attempt {} of worker {}", winner.attempt, winner.worker)
    });
    match &replayed.verdict {
        Verdict::Identical => format!("equal to what {whose} committed, byte for byte"),
        Verdict::SameRows => {
            format!("the rows that {whose} committed, in another order or cut otherwise")
        }
        Verdict::Different(what) => format!("DIFFERENT from what {whose} committed: {what}"),
        Verdict::Unknown(why) => {
            format!("cannot be compared as a whole with what {whose} committed: {why}")
        }
        Verdict::NothingCommitted => "nothing was committed to compare it with".to_owned(),
    }
}

/// A task that was run again.
pub(super) fn replayed(replayed: &Replayed) -> String {
    let Replayed { stage, name, task, partitions, metrics, .. } = replayed;
    let partitions: Vec<String> = partitions.iter().map(u32::to_string).collect();
    let mut text = format!(
        "stage {stage}: {name}; task {task}; partitions {}\n\n  {:>12} {:>12} {:>12} {:>7}  operator\n",
        partitions.join(", "),
        "rows",
        "compute ms",
        "spilled",
        "spills"
    );
    for operator in &replayed.operators {
        let Operator { depth, text: what, rows, compute_us, spills, spilled_bytes } = operator;
        let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
        let what: String = what.chars().take(LONGEST).collect();
        let _ = writeln!(
            text,
            "  {:>12} {:>12} {:>12} {spills:>7}  {}{what}",
            number(*rows),
            compute_us.map_or_else(String::new, millis),
            bytes(*spilled_bytes),
            "  ".repeat(*depth)
        );
    }
    let took = u64::try_from(replayed.took.as_micros()).unwrap_or(u64::MAX);
    let then = replayed.winner.as_ref().map_or_else(String::new, |winner| {
        format!(
            "; it took {} ms then, {} ms of them computing",
            millis(winner.metrics.wall_us),
            millis(winner.metrics.cpu_us)
        )
    });
    let _ = writeln!(
        text,
        "\n  {}, {}; {} ms, {} ms of them computing; scanned {}, read {} of the exchange; peak memory {}{then}",
        count(replayed.rows, "row"),
        bytes(replayed.bytes),
        millis(took),
        millis(metrics.cpu_us),
        bytes(metrics.scan_bytes),
        bytes(metrics.shuffle_read_bytes),
        bytes(metrics.task_memory)
    );
    let _ = writeln!(text, "  {}\n", told(replayed));
    text
}

pub(super) fn replayed_json(replayed: &Replayed) -> Value {
    let operators = replayed.operators.iter().map(|operator| {
        json!({
            "depth": operator.depth,
            "operator": operator.text,
            "rows": operator.rows,
            "compute_us": operator.compute_us,
            "spills": operator.spills,
            "spilled_bytes": operator.spilled_bytes,
        })
    });
    json!({
        "stage": replayed.stage,
        "task": replayed.task,
        "partitions": replayed.partitions,
        "rows": replayed.rows,
        "bytes": replayed.bytes,
        "wall_us": u64::try_from(replayed.took.as_micros()).unwrap_or(u64::MAX),
        "compute_us": replayed.metrics.cpu_us,
        "committed": replayed.winner.as_ref().map(|winner| json!({
            "attempt": winner.attempt,
            "worker": winner.worker,
            "rows": winner.output.rows,
            "wall_us": winner.metrics.wall_us,
        })),
        "verdict": word(&replayed.verdict),
        "told": told(replayed),
        "operators": operators.collect::<Vec<_>>(),
    })
}
