//! The wire gate: it decodes an encoded plan again and compares it with the original, node by node.
//!
//! datafusion-proto 55 encodes some plans *successfully and wrongly*: the filter of a window aggregate,
//! `IGNORE NULLS` of window functions, reversed window functions, options of scans. A plan that changed must never
//! reach a worker. The caller then runs the query from the plan in memory, or refuses it with the operator's name
//! from this gate.
//!
//! The gate compares everything in the description of a node by [`crate::describe`].

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use dunlin_plan::words;

use crate::describe::node;

/// The first operator that changed when it was encoded and decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mangled {
    /// Its name.
    pub(crate) operator: String,
    /// What differs.
    pub(crate) difference: String,
}

/// Compares a plan with its decoded form.
///
/// # Errors
/// The first operator that changed, or that is too large to compare.
pub(crate) fn compare(
    before: &Arc<dyn ExecutionPlan>,
    after: &Arc<dyn ExecutionPlan>,
) -> Result<(), Mangled> {
    let mangled = |difference| Mangled { operator: before.name().to_owned(), difference };
    let told = |plan| node(plan).map_err(|error| mangled(words::plain(&error.to_string())));
    let (said, came) = (told(before)?, told(after)?);
    if said != came {
        return Err(mangled(first_difference(&said, &came)));
    }
    let (left, right) = (before.children(), after.children());
    if left.len() != right.len() {
        return Err(mangled(format!("{} children became {}", left.len(), right.len())));
    }
    left.into_iter().zip(right).try_for_each(|(left, right)| compare(left, right))
}

/// The first line that differs, shortened to the place of the difference.
fn first_difference(before: &str, after: &str) -> String {
    for (said, came) in before.lines().zip(after.lines()) {
        if said != came {
            let same = said.chars().zip(came.chars()).take_while(|(a, b)| a == b).count();
            let label = said.split(':').next().unwrap_or_default();
            return format!("{label}: {} became {}", around(said, same), around(came, same));
        }
    }
    "one form is longer than the other".to_owned()
}

/// Some characters before and after position `at`.
fn around(text: &str, at: usize) -> String {
    const BEFORE: usize = 40;
    const AFTER: usize = 80;
    let part: String = text.chars().skip(at.saturating_sub(BEFORE)).take(BEFORE + AFTER).collect();
    format!("…{part}…")
}
