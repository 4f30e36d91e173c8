//! EXPLAIN ANALYZE: what a query cost, stage by stage.
//!
//! ```text
//!  root ──> stages, inputs, the plan's lines      ┐
//!  one look ──> attempts, progress                ├──> text
//!  seals ──> rows, bytes, time, requests by task  │
//!  end ──> outcome                                ┘
//! ```
//!
//! The analysis of a stored query is a function of its records. Any gateway can make it at any time, whether the
//! query ran for EXPLAIN ANALYZE or not. Only an inline query without records is measured while it runs, by the
//! engine's own metrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use dunlin_manifest::decide::totals;
use dunlin_manifest::model::view::QueryView;
use dunlin_manifest::query::{AdvanceError, Blocks, QueryHandle};
use dunlin_manifest::records::{End, EndStatus, Root, Seal, StageId, StageSpec, Summary};
use futures::{StreamExt, TryStreamExt};

use super::analysis::{ANALYZED_PLAN, Analysis, Detail};
use super::stage::{StageRun, Took, task_line};
use super::text::{bytes, count, grouped, millis, requests, slot};
use crate::query::error::{CoreError, ErrorKind};

/// Seals read at the same time.
const READS: usize = 8;

/// Reads a query's records and renders them: one look, and a GET for each seal that this process does not know.
///
/// # Errors
/// The store's; `RESULT_EXPIRED` if records of a succeeded query are deleted.
pub(crate) async fn of_records(
    handle: &QueryHandle,
    end: Option<&End>,
    detail: Detail,
) -> Result<Analysis, CoreError> {
    let runs = read_stages(handle, end).await?;
    let succeeded = end.is_some_and(|end| end.status == EndStatus::Succeeded);
    if succeeded && runs.iter().any(|run| run.seal.is_none()) {
        return Err(CoreError::from(ErrorKind::Expired).about(&handle.query));
    }
    Ok(render(&handle.root, end, &runs, detail))
}

/// The stages that are sealed, with the name and the seal of each.
///
/// # Errors
/// The store's.
pub(crate) async fn sealed(
    handle: &QueryHandle,
    end: Option<&End>,
) -> Result<Vec<(StageId, String, Arc<Seal>)>, CoreError> {
    let runs = read_stages(handle, end).await?;
    Ok(runs.into_iter().filter_map(|run| Some((run.id, run.name, run.seal?))).collect())
}

/// One look, and a GET for each seal that this process does not know.
pub(in crate::query) async fn read_stages(
    handle: &QueryHandle,
    end: Option<&End>,
) -> Result<Vec<StageRun>, CoreError> {
    let store = |error: AdvanceError| CoreError::from(error).about(&handle.query);
    handle.look(false).await.map_err(store)?;
    let view = handle.view();
    let answer = end.and_then(|end| end.answer.as_ref());
    let stages = 0..handle.root.stages.len();
    let runs = stages.map(|at| read_stage(handle, &handle.root.stages[at], &view, answer));
    futures::stream::iter(runs).buffered(READS).try_collect().await.map_err(store)
}

/// `answer` is the seal of the last stage, if the end of the query holds it.
async fn read_stage(
    handle: &QueryHandle,
    spec: &StageSpec,
    view: &QueryView,
    answer: Option<&Seal>,
) -> Result<StageRun, AdvanceError> {
    let seen = view.stages.get(&spec.id).cloned().unwrap_or_default();
    let seal = match answer.filter(|answer| answer.stage == spec.id) {
        Some(answer) => Some(Arc::new(answer.clone())),
        None if seen.sealed => handle.seal(spec.id).await?.map(|sealed| sealed.seal),
        None => None,
    };
    let seal = match seal {
        Some(seal) => Some(with_winners(handle, seal).await?),
        None => None,
    };
    // A seal shows which worker ran a task and what the task cost. What the task was is in the manifest. The look has
    // read the seals that it depends on.
    let decided = handle.known_manifest(spec.id);
    Ok(StageRun::new(spec, &seen, decided.as_deref(), seal))
}

/// The seal with its winners, if they are in blocks.
async fn with_winners(handle: &QueryHandle, seal: Arc<Seal>) -> Result<Arc<Seal>, AdvanceError> {
    let Some(blocks) = Blocks::of(handle.store(), &handle.query, &seal) else { return Ok(seal) };
    let tasks = blocks.winners().await?;
    Ok(Arc::new(Seal { tasks, ..seal.as_ref().clone() }))
}

fn render(root: &Root, end: Option<&End>, runs: &[StageRun], detail: Detail) -> Analysis {
    let plans = plan_lines(&root.explain);
    let mut text = String::new();
    for run in runs.iter().rev() {
        let _ = writeln!(text, "{}", run.line());
        if detail == Detail::Tasks {
            for task in run.tasks() {
                let planned = run.planned.as_ref().and_then(|tasks| tasks.get(task.task as usize));
                let partitions = planned.map_or(&[][..], Vec::as_slice);
                let _ = writeln!(text, "  {}", task_line(task, partitions));
            }
        }
        for line in plans.get(&run.id).into_iter().flatten() {
            let _ = writeln!(text, "{line}");
        }
    }
    let sealed = || runs.iter().filter(|run| run.seal.is_some());
    let sum = Took::sum(sealed().flat_map(StageRun::tasks));
    let seals = runs.iter().filter_map(|run| run.seal.as_deref());
    let answer = runs.last().and_then(|run| run.seal.as_deref());
    let totals = Summary {
        wall_ms: end.and_then(|end| end.summary).map_or(0, |summary| summary.wall_ms),
        stages: runs.len() as u64,
        attempts: sealed().map(|run| run.attempts).sum(),
        ..totals(seals, answer)
    };
    let mut total = format!("{}; {}", status(end), count(totals.stages, "stage"));
    if sealed().count() < runs.len() {
        let _ = write!(total, " ({} sealed; what follows is theirs)", sealed().count());
    }
    let _ = write!(
        total,
        "; {} ({}); ",
        count(totals.tasks, "task"),
        count(totals.attempts, "attempt")
    );
    if let Some(answer) = answer {
        let _ = write!(total, "{} in the answer; ", count(answer.rows, "row"));
    }
    let _ = write!(
        total,
        "scanned {}; exchanged {}; spilled {}; compute {} ms; {}",
        bytes(totals.bytes_scanned),
        bytes(totals.shuffle_bytes),
        bytes(sum.spilled),
        millis(sum.cpu_us),
        requests(&totals.requests)
    );
    let _ = write!(total, "; {}", slot(&totals.slot));
    if end.is_some_and(|end| end.summary.is_some()) {
        let _ = write!(total, "; {} ms by the store's clock", grouped(totals.wall_ms));
    }
    let sections = vec![
        (ANALYZED_PLAN, text),
        ("critical_path", critical_path(runs)),
        ("total", total),
        ("route", format!("{}: {}", root.route, root.route_reason)),
    ];
    Analysis { sections, totals }
}

fn status(end: Option<&End>) -> String {
    let Some(end) = end else { return "not ended yet".to_owned() };
    let status = match end.status {
        EndStatus::Succeeded => "succeeded",
        EndStatus::Failed => "failed",
        EndStatus::Cancelled => "cancelled",
    };
    match &end.error {
        Some(error) if end.status == EndStatus::Failed => format!("{status} ({})", error.code),
        _ => status.to_owned(),
    }
}

/// The lines that EXPLAIN shows below each stage's line.
fn plan_lines(explain: &str) -> BTreeMap<StageId, Vec<&str>> {
    let mut found: BTreeMap<StageId, Vec<&str>> = BTreeMap::new();
    let mut stage = None;
    for line in explain.lines() {
        if line.starts_with(' ') {
            if let Some(stage) = stage {
                found.entry(stage).or_default().push(line);
            }
        } else {
            let number = line.strip_prefix("stage ").and_then(|rest| rest.split_once(':'));
            stage = number.and_then(|(number, _)| number.parse().ok());
        }
    }
    found
}

/// The chain of sealed stages that took longest, by the longest task of each, in microseconds. No number of workers makes the
/// query faster than this.
pub(super) fn critical_chain(runs: &[StageRun]) -> Vec<(StageId, u64)> {
    let runs = || runs.iter().filter(|run| run.seal.is_some());
    // Producers come before consumers, so the chains of a stage's inputs are already known.
    let mut chains: BTreeMap<StageId, (u64, Option<StageId>)> = BTreeMap::new();
    for run in runs() {
        let longest = run
            .inputs
            .iter()
            .filter_map(|input| chains.get(input).map(|(us, _)| (*us, *input)))
            .max_by_key(|(us, _)| *us);
        let before = longest.map_or(0, |(us, _)| us);
        chains.insert(run.id, (before + run.longest_us(), longest.map(|(_, input)| input)));
    }
    let own: BTreeMap<StageId, u64> = runs().map(|run| (run.id, run.longest_us())).collect();
    let mut chain = Vec::new();
    let mut at = chains.iter().max_by_key(|(_, (us, _))| *us).map(|(last, _)| *last);
    while let Some(stage) = at {
        chain.push((stage, own.get(&stage).copied().unwrap_or(0)));
        at = chains.get(&stage).and_then(|(_, before)| *before);
    }
    chain.reverse();
    chain
}

fn critical_path(runs: &[StageRun]) -> String {
    let chain = critical_chain(runs);
    if chain.is_empty() {
        return "no sealed stage".to_owned();
    }
    let part = |(stage, us): &(StageId, u64)| format!("stage {stage} ({} ms)", millis(*us));
    let parts: Vec<String> = chain.iter().map(part).collect();
    let all = chain.iter().map(|(_, us)| us).sum();
    format!("{} = {} ms of longest tasks", parts.join(" > "), millis(all))
}

#[cfg(test)]
mod tests;
