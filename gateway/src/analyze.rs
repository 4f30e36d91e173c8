//! EXPLAIN ANALYZE: what a query took, stage by stage.
//!
//! ```text
//!  root ──> stages, inputs, the plan's lines      ┐
//!  one LIST ──> attempts, how far it came         ├──> text
//!  seals ──> rows, bytes, time, requests by task  │
//!  end ──> outcome                                ┘
//! ```
//!
//! Of a query that is written down, the analysis is a function of its records: any gateway can give it,
//! at any time, whether the query ran for EXPLAIN ANALYZE or not. Only a query on the inline route that
//! leaves no records is measured while it runs, by the engine's own metrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use dunlin_manifest::advance::QueryHandle;
use dunlin_manifest::env::Env;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::records::{
    End, EndStatus, Requests, Root, Seal, SealedTask, StageId, StageManifest, StageSpec, Summary,
};
use dunlin_manifest::store::StoreError;
use dunlin_manifest::view::{QueryView, StageView};
use futures::{StreamExt, TryStreamExt};

use crate::problem::{ApiError, ErrorKind};

/// Seals read at once.
const READS: usize = 8;

/// How much an analysis tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// A line a stage.
    Stages,
    /// A line a task as well; of an inline run, the metrics of every partition.
    Tasks,
}

impl Detail {
    pub(crate) fn of(verbose: bool) -> Self {
        if verbose { Self::Tasks } else { Self::Stages }
    }
}

/// An analysis: texts by kind, and the totals for `Dunlin-Summary`.
#[derive(Clone, Debug)]
pub(crate) struct Analysis {
    sections: Vec<(&'static str, String)>,
    pub(crate) totals: Summary,
}

impl Analysis {
    /// Rows of `plan_type` and `plan`.
    pub(crate) fn rows(&self) -> Result<SendableRecordBatchStream, ApiError> {
        plan_stream(&self.sections)
    }

    /// The same as one text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (kind, section) in &self.sections {
            let _ = match *kind {
                ANALYZED_PLAN => write!(text, "{section}"),
                kind => writeln!(text, "{}: {section}", kind.replace('_', " ")),
            };
        }
        text
    }
}

const ANALYZED_PLAN: &str = "analyzed_plan";

/// What EXPLAIN answers with, whatever it explains.
pub(crate) fn plan_stream<T: AsRef<str>>(
    rows: &[(&'static str, T)],
) -> Result<SendableRecordBatchStream, ApiError> {
    let batch = plan_rows(rows).map_err(ApiError::internal)?;
    let schema = batch.schema();
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(batch)]))))
}

fn plan_rows<T: AsRef<str>>(
    rows: &[(&'static str, T)],
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("plan_type", DataType::Utf8, false),
        Field::new("plan", DataType::Utf8, false),
    ]));
    RecordBatch::try_new(
        schema,
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(kind, _)| kind))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, plan)| plan.as_ref()))),
        ],
    )
}

/// Reads a query's records and renders them: one LIST, and a GET for each seal that is not known here.
///
/// # Errors
/// The store's; `RESULT_EXPIRED` if records of a query that has succeeded are gone.
pub(crate) async fn of_records(
    handle: &QueryHandle,
    end: Option<&End>,
    detail: Detail,
) -> Result<Analysis, ApiError> {
    let store = |error: StoreError| ApiError::from_store(error).about(&handle.query);
    let view = handle.look(false).await.map_err(store)?;
    let stages = 0..handle.root.stages.len();
    let runs = stages.map(|at| read_stage(handle, &handle.root.stages[at], &view, detail));
    let runs: Vec<StageRun> =
        futures::stream::iter(runs).buffered(READS).try_collect().await.map_err(store)?;
    let succeeded = end.is_some_and(|end| end.status == EndStatus::Succeeded);
    if succeeded && runs.iter().any(|run| run.seal.is_none()) {
        return Err(ApiError::from(ErrorKind::Expired).about(&handle.query));
    }
    Ok(render(&handle.root, end, &runs, detail))
}

async fn read_stage(
    handle: &QueryHandle,
    spec: &StageSpec,
    view: &QueryView,
    detail: Detail,
) -> Result<StageRun, StoreError> {
    let seen = view.stages.get(&spec.id).cloned().unwrap_or_default();
    let seal = if seen.sealed { handle.seal(spec.id).await? } else { None };
    // A seal tells who ran a task and what it took; what the task was is in the manifest.
    let adaptive =
        spec.broadcast.is_some() || spec.absorbed_by.is_some() || !spec.empty_with.is_empty();
    let wanted = seen.manifest
        && (seal.is_none() || detail == Detail::Tasks || adaptive || spec.shares.is_some());
    let manifest = if wanted { handle.manifest(spec.id).await? } else { None };
    Ok(StageRun::new(spec, &seen, manifest, seal))
}

/// One stage, as far as its records go.
#[derive(Clone, Debug)]
struct StageRun {
    id: StageId,
    name: String,
    partitions: u32,
    inputs: Vec<StageId>,
    /// Attempts claimed, and those that failed.
    attempts: u64,
    failed: u64,
    committed: usize,
    /// Partitions of each task, where they are worked out and asked for.
    planned: Option<Vec<Vec<u32>>>,
    /// What the sealed facts of its inputs changed about it.
    decided: Option<String>,
    seal: Option<Arc<Seal>>,
}

impl StageRun {
    fn new(
        spec: &StageSpec,
        seen: &StageView,
        manifest: Option<Arc<StageManifest>>,
        seal: Option<Arc<Seal>>,
    ) -> Self {
        let spec = &spec.decided(manifest.as_ref().is_some_and(|manifest| manifest.broadcast));
        let decided = manifest.as_ref().and_then(|manifest| decision(spec, manifest));
        let planned = manifest
            .map(|manifest| manifest.tasks.iter().map(|task| task.partitions.clone()).collect());
        Self {
            id: spec.id,
            name: spec.name.clone(),
            partitions: spec.partitions,
            inputs: spec.inputs.iter().map(|input| input.stage).collect(),
            attempts: seen.attempts,
            failed: seen.fails.values().map(|attempts| attempts.len() as u64).sum(),
            planned,
            decided,
            committed: seen.commits.len(),
            seal,
        }
    }

    fn tasks(&self) -> &[SealedTask] {
        self.seal.as_ref().map_or(&[], |seal| &seal.tasks)
    }

    fn longest_us(&self) -> u64 {
        self.tasks().iter().map(|task| task.metrics.wall_us).max().unwrap_or(0)
    }

    /// The line of the stage.
    fn line(&self) -> String {
        let mut line =
            format!("stage {}: {}; {}", self.id, self.name, count(self.partitions, "partition"));
        if let Some(decided) = &self.decided {
            let _ = write!(line, "; {decided}");
        }
        let Some(seal) = &self.seal else {
            let state = match self.planned.as_ref().map(Vec::len) {
                None => "not begun".to_owned(),
                Some(tasks) if self.attempts == 0 => {
                    format!("{}; none claimed", count(tasks, "task"))
                }
                Some(tasks) => format!(
                    "{} of {} committed ({})",
                    self.committed,
                    count(tasks, "task"),
                    self.claimed()
                ),
            };
            let _ = write!(line, "; {state}");
            return line;
        };
        let sum = Took::sum(&seal.tasks);
        let _ = write!(
            line,
            "; {} ({}); {} out, {} out; read {}",
            count(seal.tasks.len(), "task"),
            self.claimed(),
            count(seal.rows, "row"),
            bytes(seal.bytes),
            sum.read()
        );
        let mut walls: Vec<u64> = seal.tasks.iter().map(|task| task.metrics.wall_us).collect();
        walls.sort_unstable();
        let spread = match walls[..] {
            [] => "no tasks".to_owned(),
            [one] => format!("wall {} ms", millis(one)),
            [least, .., most] => format!(
                "wall min/median/max {}/{}/{} ms",
                millis(least),
                millis(walls[walls.len() / 2]),
                millis(most)
            ),
        };
        let _ = write!(line, "; {spread}; compute {} ms", millis(sum.cpu_us));
        if let (Some(time), Some(input)) = (
            skew(seal.tasks.iter().map(|task| task.metrics.wall_us)),
            skew(seal.tasks.iter().map(|task| Took::of(task).input())),
        ) {
            let _ = write!(line, "; skew {time:.1} by time, {input:.1} by input bytes");
        }
        let _ = write!(
            line,
            "; spilled {}; peak memory {}; {}",
            bytes(sum.spilled),
            bytes(sum.memory),
            requests(&sum.requests)
        );
        line
    }

    /// `6 attempts, 1 failed`.
    fn claimed(&self) -> String {
        match self.failed {
            0 => count(self.attempts, "attempt"),
            failed => format!("{}, {failed} failed or given back", count(self.attempts, "attempt")),
        }
    }
}

/// What a manifest decided besides the number of tasks.
fn decision(spec: &StageSpec, manifest: &StageManifest) -> Option<String> {
    let shares = manifest.tasks.iter().filter(|task| task.share.is_some()).count();
    if manifest.broadcast {
        return Some("joined where the probe side lies, the build side read whole".to_owned());
    }
    if manifest.absorbed {
        let by = spec.absorbed_by.map_or_else(String::new, |by| format!(" by stage {by}"));
        return Some(format!("its work done{by}"));
    }
    if manifest.tasks.is_empty() && !spec.empty_with.is_empty() {
        return Some("an input is empty, so it is".to_owned());
    }
    (shares > 0).then(|| format!("{} of large partitions", count(shares, "share")))
}

/// What tasks took together. Memory is that of the task which had the most.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    scanned: u64,
    exchanged: u64,
    spilled: u64,
    memory: u64,
    cpu_us: u64,
    requests: Requests,
}

impl Took {
    fn of(task: &SealedTask) -> Self {
        let metrics = &task.metrics;
        Self {
            scanned: metrics.scan_bytes,
            exchanged: metrics.shuffle_read_bytes,
            spilled: metrics.spill_bytes,
            memory: metrics.task_memory,
            cpu_us: metrics.cpu_us,
            requests: metrics.requests,
        }
    }

    fn sum<'a>(tasks: impl IntoIterator<Item = &'a SealedTask>) -> Self {
        tasks.into_iter().map(Self::of).fold(Self::default(), |sum, took| {
            let mut requests = sum.requests;
            requests += took.requests;
            Self {
                scanned: sum.scanned + took.scanned,
                exchanged: sum.exchanged + took.exchanged,
                spilled: sum.spilled + took.spilled,
                memory: sum.memory.max(took.memory),
                cpu_us: sum.cpu_us + took.cpu_us,
                requests,
            }
        })
    }

    fn input(&self) -> u64 {
        self.scanned + self.exchanged
    }

    fn read(&self) -> String {
        format!("{} scanned + {} exchanged", bytes(self.scanned), bytes(self.exchanged))
    }
}

/// A line of one task.
fn task_line(task: &SealedTask, partitions: &[u32]) -> String {
    let took = Took::of(task);
    format!(
        "task {} (partitions {}; attempt {}; worker {}): {}, {} out; read {}; wall {} ms; compute {} ms; spilled {}; peak memory {}; {}",
        task.task,
        ranges(partitions),
        task.attempt,
        task.worker,
        count(task.output.rows, "row"),
        bytes(task.output.bytes),
        took.read(),
        millis(task.metrics.wall_us),
        millis(took.cpu_us),
        bytes(took.spilled),
        bytes(took.memory),
        requests(&took.requests)
    )
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
    let all = || sealed().flat_map(StageRun::tasks);
    let sum = Took::sum(all());
    let answer = runs.last().and_then(|run| run.seal.as_ref());
    let written: u64 = runs.iter().filter_map(|run| run.seal.as_ref()).map(|seal| seal.bytes).sum();
    let totals = Summary {
        rows: answer.map_or(0, |seal| seal.rows),
        wall_ms: end.and_then(|end| end.summary).map_or(0, |summary| summary.wall_ms),
        stages: runs.len() as u64,
        tasks: all().count() as u64,
        attempts: sealed().map(|run| run.attempts).sum(),
        bytes_scanned: sum.scanned,
        // The answer's bytes are not exchange.
        shuffle_bytes: written - answer.map_or(0, |seal| seal.bytes),
        requests: sum.requests,
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

/// What EXPLAIN shows below the line of each stage.
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

/// The chain of sealed stages that took longest, by the longest task of each: no number of workers makes the
/// query faster than this.
fn critical_path(runs: &[StageRun]) -> String {
    let runs = || runs.iter().filter(|run| run.seal.is_some());
    // Producers come before consumers: when a stage is met, its inputs' chains are known.
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
    let Some((&last, &(all, _))) = chains.iter().max_by_key(|(_, (us, _))| *us) else {
        return "no sealed stage".to_owned();
    };
    let own: BTreeMap<StageId, u64> = runs().map(|run| (run.id, run.longest_us())).collect();
    let mut parts = Vec::new();
    let mut at = Some(last);
    while let Some(stage) = at {
        let took = own.get(&stage).copied().unwrap_or(0);
        parts.push(format!("stage {stage} ({} ms)", millis(took)));
        at = chains.get(&stage).and_then(|(_, before)| *before);
    }
    parts.reverse();
    format!("{} = {} ms of longest tasks", parts.join(" > "), millis(all))
}

/// Largest over mean; `None` for fewer than two, or if all are zero.
fn skew(of: impl Iterator<Item = u64>) -> Option<f64> {
    let all: Vec<u64> = of.collect();
    let (most, sum) = (*all.iter().max()?, all.iter().sum::<u64>());
    #[allow(clippy::cast_precision_loss)] // shown with one digit
    match all.len() {
        0 | 1 => None,
        _ if sum == 0 => Some(1.0),
        tasks => Some(most as f64 * tasks as f64 / sum as f64),
    }
}

/// A run on the inline route that leaves no records.
pub(crate) struct Ran {
    /// The plan that gives the rows: its operators hold the metrics.
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// The route, and why.
    pub(crate) route: String,
    /// What was asked of the stores.
    pub(crate) meter: Arc<Meter>,
}

/// Runs `rows` to their end, and answers with what the run took.
pub(crate) fn inline(
    mut rows: SendableRecordBatchStream,
    ran: Ran,
    env: Env,
    detail: Detail,
) -> Result<SendableRecordBatchStream, ApiError> {
    let schema = plan_rows::<&str>(&[]).map_err(ApiError::internal)?.schema();
    let run = async move {
        let began = env.clock.monotonic();
        let mut count = 0u64;
        while let Some(batch) = rows.next().await {
            count += batch?.num_rows() as u64;
        }
        let took = env.clock.monotonic().saturating_sub(began);
        let wall_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Ok(plan_rows(&inline_sections(&ran, count, wall_us, detail))?)
    };
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::once(run))))
}

fn inline_sections(
    ran: &Ran,
    rows: u64,
    wall_us: u64,
    detail: Detail,
) -> [(&'static str, String); 3] {
    let plan = &ran.plan;
    let reading = ran.meter.snapshot();
    let (mut spilled, mut compute_ns) = (0, 0);
    each_node(plan, &mut |node| {
        let metrics = node.metrics();
        let of = |value: Option<usize>| u64::try_from(value.unwrap_or(0)).unwrap_or(u64::MAX);
        spilled += of(metrics.as_ref().and_then(|metrics| metrics.spilled_bytes()));
        compute_ns += of(metrics.as_ref().and_then(|metrics| metrics.elapsed_compute()));
    });
    let scanned = bytes(reading.bytes_read);
    let asked = requests(&reading.requests);
    let took = format!(
        "wall {} ms; compute {} ms; spilled {}; {asked}",
        millis(wall_us),
        millis(compute_ns / 1_000),
        bytes(spilled)
    );
    let mut text = format!(
        "stage 0: the whole query; {}; in the gateway; {} out; read {scanned} scanned; {took}\n",
        count(plan.output_partitioning().partition_count(), "partition"),
        count(rows, "row")
    );
    let display = match detail {
        Detail::Stages => DisplayableExecutionPlan::with_metrics(plan.as_ref()),
        Detail::Tasks => DisplayableExecutionPlan::with_full_metrics(plan.as_ref()),
    };
    for line in display.indent(detail == Detail::Tasks).to_string().lines() {
        let _ = writeln!(text, "    {line}");
    }
    let answer = count(rows, "row");
    let total = format!("succeeded; {answer} in the answer; scanned {scanned}; {took}");
    [(ANALYZED_PLAN, text), ("total", total), ("route", ran.route.clone())]
}

fn each_node(plan: &Arc<dyn ExecutionPlan>, visit: &mut dyn FnMut(&Arc<dyn ExecutionPlan>)) {
    visit(plan);
    for child in plan.children() {
        each_node(child, visit);
    }
}

/// `1 task`, `12,345 rows`.
fn count(number: impl TryInto<u64>, what: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// Ascending numbers as `0-3,7`.
fn ranges(numbers: &[u32]) -> String {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => found.push((number, number)),
        }
    }
    let texts: Vec<String> = found
        .into_iter()
        .map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        )
        .collect();
    if texts.is_empty() { "?".to_owned() } else { texts.join(",") }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Decimal units, three digits.
#[allow(clippy::cast_precision_loss)] // shown with three digits
fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB", "PB"] {
        // What would be shown as 1000 is 1.00 of the next unit.
        if value < 999.5 {
            break;
        }
        value /= 1_000.0;
        unit = larger;
    }
    match value {
        _ if unit == "B" => format!("{number} B"),
        value if value < 9.995 => format!("{value:.2} {unit}"),
        value if value < 99.95 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

/// Microseconds as milliseconds, without the unit: one decimal below ten.
fn millis(us: u64) -> String {
    let tenths = us.saturating_add(50) / 100;
    if tenths < 100 {
        format!("{}.{}", tenths / 10, tenths % 10)
    } else {
        grouped(us.saturating_add(500) / 1_000)
    }
}

/// Classes that were asked at all.
fn requests(counted: &Requests) -> String {
    let Requests { put, get, list, head, delete } = *counted;
    let classes = [("PUT", put), ("GET", get), ("LIST", list), ("HEAD", head), ("DELETE", delete)];
    let named: Vec<String> = classes
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(class, number)| format!("{} {class}", grouped(*number)))
        .collect();
    if named.is_empty() { "no requests".to_owned() } else { named.join(" ") }
}

#[cfg(test)]
#[path = "analyze_tests.rs"]
mod tests;
