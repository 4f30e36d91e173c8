//! The analysis of a run in this process that stores no records. It uses the engine's own metrics.

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use dunlin_manifest::env::Env;
use dunlin_manifest::meter::Meter;
use futures::StreamExt;

use super::analysis::{ANALYZED_PLAN, Detail, plan_rows};
use super::text::{bytes, count, millis, requests};
use crate::query::error::CoreError;

/// A run on the inline route that stores no records.
pub(crate) struct Ran {
    /// The plan that produces the rows. Its operators hold the metrics.
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// The route, and the reason for it.
    pub(crate) route: String,
    /// Counts the requests to the stores.
    pub(crate) meter: Arc<Meter>,
}

/// Runs `rows` to their end, and answers with what the run cost.
pub(crate) fn inline(
    mut rows: SendableRecordBatchStream,
    ran: Ran,
    env: Env,
    detail: Detail,
) -> Result<SendableRecordBatchStream, CoreError> {
    let schema = plan_rows::<&str>(&[]).map_err(CoreError::internal)?.schema();
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
