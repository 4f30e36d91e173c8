//! The simulation of whole processes, in the forms that CI has time for, and its long runs.
//!
//! ```text
//!   just sim 20000        so many worlds with faults, deaths, cancels         CI: 500
//!   just sim 1 4711       one of them; DUNLIN_WORLD_TRACE=1 prints what happens in it
//!   just crash-points     everybody dies at each request, of each query       CI: some of them
//! ```
#![allow(clippy::unwrap_used)]

mod fuzz;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use dunlin_manifest::records::EndStatus;
use dunlin_world::{Crash, Outcome, Prepared, Scenario, run};

static PREPARED: LazyLock<Prepared> =
    LazyLock::new(|| std::thread::spawn(Prepared::new).join().unwrap());

/// Worlds that run at the same time.
const THREADS: usize = 2;
/// Plans are decoded and run on the thread of the world.
const STACK: usize = 256 << 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs `count` worlds, and returns what came out of each, in their order.
fn worlds(count: u64, scenario: impl Fn(u64) -> Scenario + Sync) -> Vec<Outcome> {
    let (next, found) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    let prepared = &*PREPARED;
    // Who breaks a rule on purpose wants to know whether any world notices.
    let stops = std::env::var_os("DUNLIN_WORLD_STOPS").is_some();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let work = || loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let scenario = scenario(number);
                let outcome = run(prepared, &scenario);
                if outcome.is_err() && stops {
                    next.store(count, Ordering::Relaxed);
                }
                found.lock().unwrap().insert(number, (scenario, outcome));
            };
            std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).unwrap();
        }
    });
    let found = found.into_inner().unwrap();
    let wrong: Vec<String> = found
        .values()
        .filter_map(|(scenario, outcome)| {
            Some(format!("{}\n{scenario:?}", outcome.as_ref().err()?))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {count} worlds:\n{}", wrong.len(), wrong.join("\n\n"));
    found.into_values().filter_map(|(_, outcome)| outcome.ok()).collect()
}

fn print(outcomes: &[Outcome], began: Instant) {
    let (mut ends, mut struck) = (BTreeMap::new(), BTreeMap::new());
    let (mut killed, mut repeated, mut requests, mut took) = (0, 0, 0, Duration::ZERO);
    for outcome in outcomes {
        let end = match &outcome.code {
            Some(code) => format!("{:?} {}", outcome.status, code.as_str()),
            None => format!("{:?}", outcome.status),
        };
        *ends.entry(end).or_insert(0_u64) += 1;
        killed += u64::from(outcome.killed);
        repeated += outcome.repeated;
        requests += outcome.requests;
        took += outcome.took;
        for (fate, count) in &outcome.struck {
            *struck.entry(*fate).or_insert(0_u64) += count;
        }
    }
    println!(
        "{} worlds in {:.0} s: {:.1} simulated hours, {requests} requests, {killed} kills, {repeated} attempts more",
        outcomes.len(),
        began.elapsed().as_secs_f64(),
        took.as_secs_f64() / 3_600.0,
    );
    println!("ends: {ends:?}");
    println!("requests: {struck:?}");
}

#[test]
fn every_answer_is_exact_whatever_dies_and_fails() {
    let first = number("DUNLIN_WORLD_FIRST").unwrap_or(0);
    let count = number("DUNLIN_WORLD_SEEDS").unwrap_or(500);
    let began = Instant::now();
    let queries = PREPARED.queries();
    let outcomes = worlds(count, |number| Scenario::of(first + number, queries));
    print(&outcomes, began);
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let queries = PREPARED.queries();
    let twice = worlds(16, |number| Scenario::of(1_000_000 + number / 2, queries));
    for pair in twice.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    assert_ne!(twice[0].trace, twice[2].trace);
}

/// Everybody dies at a request, before or after the store has done it, and others go on.
#[test]
fn everybody_may_die_at_any_request() {
    // A prime: in CI each run of the tests takes the same points, and they are spread over all kinds of requests.
    let step = if std::env::var_os("DUNLIN_WORLD_POINTS").is_some() { 1 } else { 11 };
    let began = Instant::now();
    let mut outcomes = Vec::new();
    let forms = (0..PREPARED.queries() - 1).flat_map(|query| [(query, false), (query, true)]);
    for (query, is_apart) in forms {
        let calm = worlds(1, |_| Scenario::crash(query, is_apart, None)).remove(0);
        assert_eq!(calm.status, EndStatus::Succeeded);
        let points = calm.requests.div_ceil(step);
        outcomes.extend(worlds(2 * points, |number| {
            let crash = Crash { at: number / 2 * step + 1, after: number % 2 == 1 };
            Scenario::crash(query, is_apart, Some(crash))
        }));
    }
    print(&outcomes, began);
    assert!(outcomes.iter().all(|outcome| outcome.status == EndStatus::Succeeded));
}

/// A damaged object gives the exact answer, or an error, and never a wrong row.
#[test]
fn damaged_objects_give_no_wrong_row() {
    let began = Instant::now();
    let first = number("DUNLIN_WORLD_FIRST").unwrap_or(0);
    let count = number("DUNLIN_WORLD_DAMAGED").unwrap_or(100);
    let queries = PREPARED.queries();
    print(&worlds(count, |number| Scenario::damaged(first + number, queries)), began);
}

/// Who has lost an answer finds out what it has done. No attempt is wasted.
#[test]
fn lost_answers_cost_no_attempt() {
    let began = Instant::now();
    let first = number("DUNLIN_WORLD_FIRST").unwrap_or(0);
    let count = number("DUNLIN_WORLD_UNHEARD").unwrap_or(60);
    let queries = PREPARED.queries();
    let outcomes = worlds(count, |number| Scenario::unheard(first + number, queries));
    print(&outcomes, began);
    for (number, outcome) in outcomes.iter().enumerate() {
        let seed = first + number as u64;
        assert_eq!(outcome.status, EndStatus::Succeeded, "seed {seed}");
        assert_eq!(outcome.repeated, 0, "attempts more than tasks with seed {seed}");
    }
}
