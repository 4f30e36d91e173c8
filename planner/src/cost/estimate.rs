//! What a query is expected to cost before it runs.
//!
//! ```text
//!   bytes to be read ─┬─> tasks of the stages that read tables ─┐
//!                     └─> tasks of the others, from the bytes ───┴─> requests, seconds ─> dollars
//! ```
//! Sizes of results are not known before a query runs, so an estimate is a range. Its numbers are fitted to the 22 queries
//! of TPC-H at scales 0.05 and 1, with functions (docs/cost.md).

use dunlin_manifest::decide::planned_tasks;
use dunlin_manifest::records::{Requests, StageSpec, Usage};
use serde::Serialize;

use super::tariff::{Bill, Tariff};

/// From the least to the most that is likely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Range<T> {
    /// The least.
    pub low: T,
    /// The most.
    pub high: T,
}

/// What a query is expected to use.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Bytes read from tables.
    pub bytes_scanned: u64,
    /// Stages.
    pub stages: u64,
    /// Tasks.
    pub tasks: Range<u64>,
    /// Requests to the store.
    pub requests: Range<u64>,
    /// Dollars; none if nothing is paid for what runs in the gateway, or if there is no price.
    pub cost_usd: Option<Range<f64>>,
    /// Where the dollars come from, or why there are none.
    pub price: String,
}

/// Requests of a task: claim, looks, plan, footers, inputs, commit, its part of seals, and its part of calls that find no
/// task; and how many more there are for each stage of the query, because a call looks at all of them. Looks are many
/// because functions do not wait for news.
const PUTS_A_TASK: (f64, f64) = (2.6, 0.52);
const LISTS_A_TASK: (f64, f64) = (2.8, 0.5);
const GETS_A_TASK: (f64, f64) = (10.5, 1.4);
/// A file is read in pieces: footer, and column chunks that are near each other.
const SCAN_BYTES_A_GET: f64 = 2_000_000.0;
/// Requests of a query, beside its tasks: the submit, and the gateway that waits.
const PUTS_A_QUERY: f64 = 5.0;
const GETS_A_QUERY: f64 = 12.0;
/// Seconds of a function for a task that does nothing: its call, its looks, its commit.
const SECONDS_A_TASK: f64 = 0.35;
/// Bytes of tables that one vCPU scans, filters and joins in a second.
const BYTES_A_SECOND: f64 = 25_000_000.0;
/// How much of what is read is exchanged, and makes tasks of later stages. Of the 22 queries, half exchange less than a
/// tenth, and one twice as much as it reads.
const EXCHANGED: f64 = 0.25;
/// Memory of the functions that are assumed.
const MEMORY_MB: f64 = 1_769.0;
/// The true cost is within this factor of the middle.
const SPREAD: f64 = 2.0;

impl Estimate {
    /// The estimate of a planned query. `stages` is empty if the gateway runs it. `read_bytes` are those that are expected
    /// to be read of its tables.
    #[must_use]
    pub fn of(stages: &[StageSpec], read_bytes: u64, tariff: &Tariff) -> Self {
        let mut estimate = Self {
            bytes_scanned: read_bytes,
            stages: stages.len() as u64,
            price: tariff.note(),
            ..Self::default()
        };
        if stages.is_empty() {
            return estimate;
        }
        let tasks: f64 = stages.iter().map(|stage| expected_tasks(stage, read_bytes)).sum();
        let of_tasks = |(own, each): (f64, f64)| tasks * (own + each * stages.len() as f64);
        let scanned = read_bytes as f64;
        let seconds = tasks * SECONDS_A_TASK + scanned / BYTES_A_SECOND;
        let requests = Requests {
            put: whole(of_tasks(PUTS_A_TASK) + PUTS_A_QUERY),
            list: whole(of_tasks(LISTS_A_TASK)),
            get: whole(of_tasks(GETS_A_TASK) + scanned / SCAN_BYTES_A_GET + GETS_A_QUERY),
            ..Requests::default()
        };
        let usage = Usage {
            calls: whole(tasks),
            cold: 0,
            ms: whole(seconds * 1_000.0),
            mb_ms: whole(seconds * 1_000.0 * MEMORY_MB),
        };
        let data_bytes = whole(scanned * EXCHANGED);
        let bill = Bill { requests, usage, data_bytes, ..Bill::default() };
        estimate.tasks = spread(tasks, whole);
        estimate.requests = spread((requests.put + requests.list + requests.get) as f64, whole);
        estimate.cost_usd = tariff.cost(&bill).map(|cost| spread(cost.total, |dollars| dollars));
        estimate
    }
}

impl Estimate {
    /// The estimate for people.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { bytes_scanned, tasks, requests, cost_usd, price, .. } = self;
        if self.stages == 0 {
            return format!(
                "scans {bytes_scanned} bytes in the gateway, which no worker is paid for"
            );
        }
        let dollars = match cost_usd {
            Some(cost) => format!("${:.6} to ${:.6} ({price})", cost.low, cost.high),
            None => price.clone(),
        };
        format!(
            "scans {bytes_scanned} bytes; {} to {} tasks; {} to {} requests; {dollars}",
            tasks.low, tasks.high, requests.low, requests.high
        )
    }
}

/// How many tasks a stage is likely to have.
fn expected_tasks(stage: &StageSpec, read_bytes: u64) -> f64 {
    if stage.one_task || stage.partitions <= 1 {
        return 1.0;
    }
    if !stage.scan_bytes.is_empty() {
        return planned_tasks(&stage.scan_bytes, stage.task_bytes) as f64;
    }
    let exchanged = read_bytes as f64 * EXCHANGED;
    let by_bytes = exchanged / (stage.task_bytes.max(1) as f64);
    // Its work is done by the stage that reads it.
    if stage.absorbed_by.is_some() && by_bytes < 1.0 {
        return 0.0;
    }
    by_bytes.clamp(1.0, f64::from(stage.partitions))
}

fn spread<T>(middle: f64, as_: impl Fn(f64) -> T) -> Range<T> {
    Range { low: as_(middle / SPREAD), high: as_(middle * SPREAD) }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, and nothing is negative
fn whole(value: f64) -> u64 {
    value.ceil() as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dunlin_manifest::records::Output;

    use super::*;
    use crate::cost::PricesConfig;

    const MIB: u64 = 1 << 20;

    fn stage(id: u32, partitions: u32, scan_bytes: Vec<u64>) -> StageSpec {
        StageSpec {
            id,
            name: "test".to_owned(),
            plan: String::new(),
            partitions,
            inputs: Vec::new(),
            output: Output::Partitions,
            scan_bytes,
            task_bytes: 16 * MIB,
            one_task: false,
            key_filter: false,
            empty_with: Vec::new(),
            shares: None,
            broadcast: None,
            absorbed_by: None,
        }
    }

    fn tariff() -> Tariff {
        Tariff::open(&PricesConfig::default(), Some("us-east-1")).unwrap()
    }

    /// Q1 of TPC-H at scale 1: eight tasks that scan, an aggregate that the last stage does, and that stage. It took 9 tasks,
    /// 208 requests and $0.0004 for them.
    #[test]
    fn a_small_exchange_makes_no_tasks_of_its_own() {
        let aggregate = StageSpec { absorbed_by: Some(2), ..stage(1, 8, Vec::new()) };
        let stages = [stage(0, 8, vec![20 * MIB; 8]), aggregate, stage(2, 1, Vec::new())];
        let read = 42_000_000;
        let estimate = Estimate::of(&stages, read, &tariff());
        assert_eq!((estimate.bytes_scanned, estimate.stages), (read, 3));
        assert_eq!(estimate.tasks, Range { low: 5, high: 18 });
        assert!(estimate.requests.low <= 208 && estimate.requests.high >= 208, "{estimate:?}");
        let cost = estimate.cost_usd.unwrap();
        assert!(cost.low < 0.000_75 && cost.high > 0.000_75, "{cost:?}");
    }

    #[test]
    fn a_large_exchange_makes_tasks_by_its_bytes_and_each_partition_at_most_one() {
        let absorbed = StageSpec { absorbed_by: Some(2), ..stage(1, 8, Vec::new()) };
        let tasks = |read| expected_tasks(&absorbed, read);
        assert_eq!([tasks(16 * MIB), tasks(256 * MIB), tasks(1 << 40)], [0.0, 4.0, 8.0]);
        // Nobody else does its work.
        assert_eq!(expected_tasks(&stage(1, 8, Vec::new()), MIB), 1.0);
        let each = StageSpec { task_bytes: 0, ..absorbed };
        assert_eq!(expected_tasks(&each, MIB), 8.0, "one partition for each task");
    }
}
