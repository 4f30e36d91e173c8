//! What a simulation has found, as tables.
//!
//! ```text
//!   Outcome ──> stages       how long after the stage before, and how far from the best possible
//!          ├──> requests     by purpose: how many a task, refused, in vain, dollars
//!          ├──> partitions   the busiest ones
//!          └──> totals       against the targets
//! ```
//! It exists because a simulation is read by people: every number of the targets is here once.

use std::fmt::Write;
use std::time::Duration;

use crate::fleet::simulate::{Options, Outcome};
use crate::fleet::tally::{Count, DATA, Marks};

/// Dollars for a thousand requests of Amazon S3 Standard, as in `dunlin-bench`.
const PUT_OR_LIST: f64 = 0.005;
const GET: f64 = 0.0004;
/// Dollars for a second of 1 GB of AWS Lambda on arm64 (us-east-1, first tier), and the size of a worker. With them one
/// PUT in 3 s is 6 % of a worker's price, as `heartbeat_ms` says.
const LAMBDA_GB_SECOND: f64 = 0.000_013_333_4;
const WORKER_GB: f64 = 2.0;

/// One stage.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StageTimes {
    /// From the last commit of the stage before to the first claim.
    pub(super) first_claim: Duration,
    /// The same to the claim after which every worker has one, or every task is claimed.
    pub(super) all_at_work: Duration,
    /// From the last commit to the seal.
    pub(super) seal: Duration,
    /// From the last commit of the stage before to the last commit.
    pub(super) took: Duration,
    /// The least possible.
    pub(super) least: Duration,
    /// What a scheduler without coordination would need.
    pub(super) greedy: Duration,
}

impl StageTimes {
    /// What coordination has cost.
    pub(super) fn coordination(&self) -> Duration {
        self.took.saturating_sub(self.greedy)
    }
}

/// The times of each stage.
pub(super) fn stages(options: &Options, outcome: &Outcome) -> Vec<StageTimes> {
    let mut before = outcome.began;
    let times = (0..options.shape.stages).map(|stage| {
        let none = Marks::default();
        let marks = outcome.tally.stages.get(&stage).unwrap_or(&none);
        let after = |time: Option<&Duration>| time.map_or(Duration::ZERO, |time| *time - before);
        let busy = options.workers.min(marks.claims.len()).saturating_sub(1);
        let last = marks.commits.last().copied().unwrap_or(before);
        let times = StageTimes {
            first_claim: after(marks.claims.first()),
            all_at_work: after(marks.claims.get(busy)),
            seal: marks.seal.map_or(Duration::ZERO, |seal| seal.saturating_sub(last)),
            took: last - before,
            least: options.shape.least(stage, options.workers),
            greedy: options.shape.greedy(stage, options.workers),
        };
        before = last;
        times
    });
    times.collect()
}

/// Requests that coordinate: all but the data.
pub(super) fn coordination(outcome: &Outcome) -> u64 {
    let of = |(purpose, count): (&&str, &Count)| if *purpose == DATA { 0 } else { count.requests };
    outcome.tally.purposes.iter().map(of).sum()
}

#[allow(clippy::cast_precision_loss)] // shown with a few digits
fn dollars(purpose: &str, requests: u64) -> f64 {
    let price = match purpose.split_once(' ') {
        Some(("GET", _)) => GET,
        _ => PUT_OR_LIST,
    };
    requests as f64 * price / 1_000.0
}

/// All tables.
pub(super) fn tables(options: &Options, outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a text does not fail.
    let _ = stage_table(&mut text, options, outcome);
    let _ = request_table(&mut text, outcome);
    let _ = partition_table(&mut text, outcome);
    let _ = totals(&mut text, options, outcome);
    text
}

fn stage_table(text: &mut String, options: &Options, outcome: &Outcome) -> std::fmt::Result {
    writeln!(
        text,
        "\n| stage | tasks | first claim after last commit, ms | all at work, ms | seal, ms | took, s | least, s | greedy, s | coordination, s | lost claims | later attempts |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|---|---|---|")?;
    for (stage, times) in (0u32..).zip(stages(options, outcome)) {
        let none = Marks::default();
        let marks = outcome.tally.stages.get(&stage).unwrap_or(&none);
        writeln!(
            text,
            "| {stage} | {} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {} |",
            marks.commits.len(),
            times.first_claim.as_millis(),
            times.all_at_work.as_millis(),
            times.seal.as_millis(),
            times.took.as_secs_f64(),
            times.least.as_secs_f64(),
            times.greedy.as_secs_f64(),
            times.coordination().as_secs_f64(),
            marks.lost,
            marks.later_attempts,
        )?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // shown with a few digits
fn request_table(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let tasks = outcome.committed.len().max(1) as f64;
    writeln!(text, "\n| request | number | a task | refused (503) | in vain | MB | $ |")?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for (purpose, count) in &outcome.tally.purposes {
        writeln!(
            text,
            "| {purpose} | {} | {:.2} | {} | {} | {:.1} | {:.4} |",
            count.requests,
            count.requests as f64 / tasks,
            count.refused,
            count.vain,
            count.bytes as f64 / 1e6,
            dollars(purpose, count.requests),
        )?;
    }
    Ok(())
}

fn partition_table(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let mut partitions: Vec<_> = outcome.partitions.iter().collect();
    partitions.sort_by_key(|(_, of)| {
        std::cmp::Reverse((of.reads.refused + of.writes.refused, of.reads.peak + of.writes.peak))
    });
    writeln!(
        text,
        "\n| partition | writes + LISTs/s, peak | GETs/s, peak | writes + LISTs refused | GETs refused | longest, s |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|")?;
    for (name, of) in partitions.into_iter().take(8) {
        let longest = of.reads.longest.max(of.writes.longest);
        writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {longest} |",
            of.writes.peak, of.reads.peak, of.writes.refused, of.reads.refused
        )?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // shown with a few digits
fn totals(text: &mut String, options: &Options, outcome: &Outcome) -> std::fmt::Result {
    let tasks = outcome.committed.len().max(1) as f64;
    let took = outcome.over.saturating_sub(outcome.began).as_secs_f64();
    let times = stages(options, outcome);
    // A query that has failed is measured as far as it came.
    let times = || times.iter().filter(|times| !times.took.is_zero());
    let least: Duration = times().map(|times| times.least).sum();
    let greedy: Duration = times().map(|times| times.greedy).sum();
    let lists: Vec<u64> = outcome.tally.seconds.values().map(|second| second.lists).collect();
    let cost: f64 = outcome
        .tally
        .purposes
        .iter()
        .filter(|(purpose, _)| **purpose != DATA)
        .map(|(purpose, count)| dollars(purpose, count.requests))
        .sum();
    let run_time = |&(stage, task): &(u32, u32)| options.shape.run_time(stage, task);
    let computed = outcome.committed.iter().map(run_time).sum::<Duration>().as_secs_f64();
    let lambda = |seconds: f64| seconds * WORKER_GB * LAMBDA_GB_SECOND;
    let reserved = took * options.workers as f64;
    writeln!(
        text,
        "\nquery: {took:.2} s, at least {:.2} s, greedy {:.2} s; slots compute {:.0} %",
        least.as_secs_f64(),
        greedy.as_secs_f64(),
        100.0 * computed / reserved
    )?;
    writeln!(
        text,
        "coordination: {:.2} requests a task, ${:.8} a task, ${cost:.4} in all",
        coordination(outcome) as f64 / tasks,
        cost / tasks,
    )?;
    writeln!(
        text,
        "compute: ${:.8} a task, ${:.4} in all; ${:.4} with the time in which slots wait",
        lambda(computed) / tasks,
        lambda(computed),
        lambda(reserved),
    )?;
    writeln!(
        text,
        "LISTs: {:.0} a second, {} in the busiest one",
        lists.iter().sum::<u64>() as f64 / took,
        lists.iter().max().unwrap_or(&0),
    )
}
