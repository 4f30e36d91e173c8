//! The simulations: a small one that must hold, and the large ones whose tables people read.
//!
//! ```text
//!   small   50 to 1,000 workers, about 2,000 tasks     asserted, on every build
//!   large   1,000 workers, 1,000-task stages, and 100,000 tasks in 8 stages     `just sim-fleet`
//! ```
#![allow(clippy::unwrap_used)]

use std::str::FromStr;
use std::time::{Duration, Instant};

use dunlin_manifest::records::EndStatus;

use crate::fleet::rates::Split;
use crate::fleet::report;
use crate::fleet::shape::Shape;
use crate::fleet::simulate::{self, Options, Outcome, simulate};
use crate::worker::Visit;

/// The usual one: see [`Split`].
const SPLIT: Split = Split::Digits(1);

fn options(workers: usize, tasks: u32, stages: u32, seed: u64) -> Options {
    let shape = Shape {
        stages,
        tasks: tasks / stages,
        slices: 16,
        stragglers: 10,
        straggle: 3,
        is_machine: false,
        seed,
    };
    Options { workers, shape, split: SPLIT, hedges: true, reads_heads: true, deaths: 0 }
}

/// The query has succeeded, and every task was committed once.
fn check(options: &Options, outcome: &Outcome) {
    let end = outcome.end.as_ref().expect("the query hangs");
    assert_eq!((end.status, end.error.as_ref()), (EndStatus::Succeeded, None));
    let Shape { stages, tasks, .. } = options.shape;
    let all = (0..stages).flat_map(|stage| (0..tasks).map(move |task| (stage, task)));
    assert!(all.eq(outcome.committed.iter().copied()), "tasks are not those of the query");
    assert_eq!(end.summary.unwrap().tasks, u64::from(stages * tasks));
}

/// Requests a task that may be asked for at most.
const MOST_REQUESTS: f64 = 10.0;

fn requests_a_task(options: &Options, outcome: &Outcome) -> f64 {
    let tasks = options.shape.stages * options.shape.tasks;
    let requests = u32::try_from(report::coordination(outcome)).unwrap();
    println!("{}", report::tables(options, outcome));
    f64::from(requests) / f64::from(tasks)
}

/// No task that was alive was attempted again, and no part of the store was asked for more than it takes.
fn check_calm(outcome: &Outcome, most_seconds: u64) {
    let summary = outcome.end.as_ref().unwrap().summary.unwrap();
    assert_eq!(summary.attempts, summary.tasks, "a living task was attempted again");
    for (name, of) in &outcome.partitions {
        let longest = of.reads.longest.max(of.writes.longest);
        assert!(longest <= most_seconds, "{name} is over its rate: {of:?}");
    }
}

#[test]
fn a_small_fleet_commits_each_task_once_within_the_rates_of_the_store() {
    let options = options(50, 2_000, 4, 1);
    let outcome = simulate(&options).unwrap();
    check(&options, &outcome);
    check_calm(&outcome, 0);
    let requests = requests_a_task(&options, &outcome);
    assert!(requests <= MOST_REQUESTS, "{requests} requests a task");
}

/// Each worker has about one task of a stage. The bucket is new: one partition takes all requests.
#[test]
fn a_thousand_workers_do_not_flood_a_new_bucket() {
    let mut options = options(1_000, 2_000, 2, 1);
    (options.shape.stragglers, options.split) = (0, Split::Bucket);
    let outcome = simulate(&options).unwrap();
    check(&options, &outcome);
    check_calm(&outcome, 0);
    let requests = requests_a_task(&options, &outcome);
    // What a worker asks once for a query is shared by two tasks only.
    assert!(requests <= MOST_REQUESTS + 3.0, "{requests} requests a task");
}

/// Their tasks, those that they have claimed and those that are theirs by place, are run by the others.
#[test]
fn a_fleet_outlives_a_fifth_of_its_workers() {
    let mut options = options(200, 1_200, 3, 1);
    options.deaths = 40;
    let outcome = simulate(&options).unwrap();
    check(&options, &outcome);
    let requests = requests_a_task(&options, &outcome);
    assert!(requests <= 3.0 * MOST_REQUESTS, "{requests} requests a task");
    let summary = outcome.end.as_ref().unwrap().summary.unwrap();
    assert!(summary.attempts > summary.tasks, "nobody has died at work");
    // A lease, and what the tasks take.
    let took = outcome.over.saturating_sub(outcome.began);
    assert!(took < Duration::from_secs(60), "it took {took:?}");
}

/// On slow machines a few tasks take minutes. Idle workers attempt them once more, and the first commit wins.
#[test]
fn slow_machines_are_overtaken_by_second_attempts() {
    let mut options = options(40, 400, 2, 5);
    (options.shape.straggle, options.shape.is_machine) = (200, true);
    let outcome = simulate(&options).unwrap();
    check(&options, &outcome);
    let summary = outcome.end.as_ref().unwrap().summary.unwrap();
    let (more, took) =
        (summary.attempts - summary.tasks, outcome.over.saturating_sub(outcome.began));
    let Shape { stages, tasks, .. } = options.shape;
    let all = (0..stages).flat_map(|stage| (0..tasks).map(move |task| (stage, task)));
    let slow =
        |&(stage, task): &(u32, u32)| options.shape.run_time(stage, task) > Duration::from_secs(60);
    let slow = all.filter(slow).count() as u64;
    println!("{slow} slow tasks, {more} attempts more, {took:?}");
    assert!(slow > 0 && more >= slow && more <= 2 * slow, "{more} attempts more for {slow}");
    assert!(took < Duration::from_secs(60), "it took {took:?}");
}

/// Functions: each call runs what it finds, and is over when nothing is left for it.
#[test]
fn workers_that_only_visit_run_a_query_and_leave_nothing_behind() {
    // No task is longer than the shortest call.
    let mut options = options(20, 200, 2, 3);
    options.shape.stragglers = 0;
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let visit = Visit {
        queries: Vec::new(),
        begin_for: minutes(10),
        run_for: minutes(11),
        linger: Duration::ZERO,
        paid: None,
    };
    let (rounds, outcome) = simulate::visits(&options, visit.clone()).unwrap();
    check(&options, &outcome);
    // Who completes a stage runs some of the next one. The others must be called again.
    assert!(rounds <= 4, "{rounds} rounds");
    // Calls that are shorter than the query: what they cannot finish is run by later ones.
    let short = Visit {
        begin_for: Duration::from_millis(1_500),
        run_for: Duration::from_millis(2_000),
        ..visit
    };
    let (rounds, outcome) = simulate::visits(&options, short).unwrap();
    check(&options, &outcome);
    assert!(rounds > 4, "{rounds} rounds");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let small = options(20, 400, 2, 7);
    let outcome = simulate(&small).unwrap();
    check(&small, &outcome);
    assert_eq!(outcome, simulate(&small).unwrap());
    let other = options(20, 400, 2, 8);
    assert_ne!(outcome.tally, simulate(&other).unwrap().tally);
}

/// A number from the environment.
fn number<T: FromStr>(name: &str, usual: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn told(name: &str, options: &Options) {
    println!("\n## {name}: {} workers, {:?}, {:?}", options.workers, options.shape, options.split);
    let began = Instant::now();
    let outcome = simulate(options).unwrap();
    println!("{}", report::tables(options, &outcome));
    println!("simulated in {:.0} s", began.elapsed().as_secs_f64());
    match outcome.end.as_ref().and_then(|end| end.error.as_ref()) {
        // At a size where the protocol breaks, the tables are what people want to see.
        Some(error) => println!("the query FAILED: {error:?}"),
        None => check(options, &outcome),
    }
}

#[test]
#[ignore = "for its figures; `just bench-coordination`"]
fn what_coordination_costs() {
    println!(
        "\n| workers | requests a task | first claim after the last commit, ms (median of the stages) | coordination a stage, s (longest) |"
    );
    println!("|---|---|---|---|");
    let row = |workers: usize, options: &Options| {
        let outcome = simulate(options).unwrap();
        check(options, &outcome);
        let stages = report::stages(options, &outcome);
        let mut claims: Vec<_> = stages.iter().skip(1).map(|stage| stage.first_claim).collect();
        claims.sort_unstable();
        let median = claims.get(claims.len() / 2).map_or(0, Duration::as_millis);
        let longest = stages.iter().map(report::StageTimes::coordination).max().unwrap();
        let tasks = f64::from(options.shape.stages * options.shape.tasks);
        let requests = f64::from(u32::try_from(report::coordination(&outcome)).unwrap());
        println!(
            "| {workers} | {:.1} | {median} | {:.2} |",
            requests / tasks,
            longest.as_secs_f64()
        );
    };
    for workers in [1, 8, 32] {
        let mut options = options(workers, 8 * 32, 8, 1);
        options.shape.stragglers = 0;
        row(workers, &options);
    }
    let mut wide = options(1_000, 4_000, 4, 1);
    wide.shape.stragglers = 0;
    row(1_000, &wide);
    for workers in [1, 8, 32] {
        let idle = simulate::idle(&options(workers, 8, 1, 1)).unwrap();
        let all: u64 = idle.values().sum();
        println!("an idle hour of {workers} workers: {all} requests {idle:?}");
    }
}

#[test]
#[ignore = "minutes of work; `just sim-fleet`"]
fn a_fleet_at_its_full_size() {
    let (workers, seed) = (number("DUNLIN_FLEET_WORKERS", 1_000), number("DUNLIN_FLEET_SEED", 1));
    let (tasks, stages) = (number("DUNLIN_FLEET_TASKS", 100_000), number("DUNLIN_FLEET_STAGES", 8));
    let mut large = options(workers, tasks, stages, seed);
    large.shape.slices = number("DUNLIN_FLEET_SLICES", large.shape.slices);
    large.shape.stragglers = number("DUNLIN_FLEET_STRAGGLERS", large.shape.stragglers);
    large.hedges = number("DUNLIN_FLEET_HEDGES", 1) > 0;
    large.reads_heads = number("DUNLIN_FLEET_HEADS", 1) > 0;
    large.split = match number("DUNLIN_FLEET_SPLIT", 1_i32) {
        digits if digits < 0 => Split::Bucket,
        digits => Split::Digits(digits.unsigned_abs() as usize),
    };
    // A task for each worker, all of about the same length, so that a straggler hides nothing.
    let mut wide = large;
    wide.shape = Shape { tasks: 1_000, stages: 4, stragglers: 0, ..large.shape };
    if number("DUNLIN_FLEET_WIDE", 1) > 0 {
        told("stages of 1,000 tasks", &wide);
    }
    if large.shape.tasks > 0 {
        told("the whole", &large);
    }
}
