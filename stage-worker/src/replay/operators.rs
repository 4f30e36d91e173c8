//! The operators of a plan that has run, with what the engine counted of each.

use std::sync::Arc;

use datafusion::physical_plan::{ExecutionPlan, displayable};

/// The longest description of an operator.
const LONGEST: usize = 200;
/// Operators that Dunlin puts between those of the plan, and that do nothing to its rows.
const GUARDS: [&str; 3] = ["GuardExec", "PortionsExec", "HeldExec"];

/// One operator of a plan that has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Operators above it.
    pub depth: usize,
    /// As the engine describes it.
    pub text: String,
    /// Rows that it gave, if it counts them.
    pub rows: Option<u64>,
    /// Microseconds in which it computed, if it counts them.
    pub compute_us: Option<u64>,
    /// Times that it spilled to disk.
    pub spills: u64,
    /// Bytes that it spilled.
    pub spilled_bytes: u64,
}

/// The operators of a plan, each below the one that reads it.
pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Vec<Operator> {
    let mut found = Vec::new();
    add(plan, 0, &mut found);
    found
}

fn add(plan: &Arc<dyn ExecutionPlan>, depth: usize, found: &mut Vec<Operator>) {
    let is_guard = GUARDS.contains(&plan.name());
    if !is_guard {
        let metrics = plan.metrics();
        let of = |value: Option<usize>| value.and_then(|value| u64::try_from(value).ok());
        let metrics = metrics.as_ref();
        let text = displayable(plan.as_ref()).one_line().to_string();
        found.push(Operator {
            depth,
            text: text.trim().chars().take(LONGEST).collect(),
            rows: of(metrics.and_then(|metrics| metrics.output_rows())),
            compute_us: of(metrics.and_then(|metrics| metrics.elapsed_compute()))
                .map(|nanos| nanos / 1_000),
            spills: of(metrics.and_then(|metrics| metrics.spill_count())).unwrap_or(0),
            spilled_bytes: of(metrics.and_then(|metrics| metrics.spilled_bytes())).unwrap_or(0),
        });
    }
    for child in plan.children() {
        add(child, depth + usize::from(!is_guard), found);
    }
}
