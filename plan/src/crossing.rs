//! A stage's plan goes over the wire and back before any worker sees it.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::ExecutionPlan;

use crate::planner::Planned;
use crate::{PlanError, encode, gate, task};

/// Encodes a plan of a stage, decodes it and compares; `Err` names what did not survive.
pub(crate) fn across(
    planned: &Planned,
    plan: &Arc<dyn ExecutionPlan>,
    leaves: &[Option<usize>],
) -> Result<Result<(String, Bytes), gate::Mangled>, PlanError> {
    let context = &planned.context;
    let encoded = match encode::encode(plan, leaves, &planned.filters, context) {
        Ok(encoded) => encoded,
        Err(error) => return Ok(Err(unencodable(planned, plan, &error))),
    };
    // What is written to the exchange, and read from it, has to be a type that Arrow IPC knows.
    if let Err(error) = task::schema_to_text(&plan.schema()) {
        let difference = format!("its rows cannot be exchanged: {}", error.strip_backtrace());
        return Ok(Err(gate::Mangled { operator: plan.name().to_owned(), difference }));
    }
    let decoded = match encode::decode(&encoded.1, None, context) {
        Ok(decoded) => decoded,
        Err(error) => return Ok(Err(unencodable(planned, plan, &error))),
    };
    let mangled =
        gate::compare(plan, &decoded).map_err(|error| PlanError::from_planning(&error))?;
    Ok(mangled.map_or(Ok(encoded), Err))
}

/// Adds a plan object, and gives its name.
pub(crate) fn keep(plans: &mut Vec<(String, Bytes)>, (name, bytes): (String, Bytes)) -> String {
    if !plans.iter().any(|(known, _)| *known == name) {
        plans.push((name.clone(), bytes));
    }
    name
}

/// Which operator of a stage has no wire form, found by trying: the lowest whose inputs have one.
fn unencodable(
    planned: &Planned,
    plan: &Arc<dyn ExecutionPlan>,
    error: &DataFusionError,
) -> gate::Mangled {
    let fails = |plan: &Arc<dyn ExecutionPlan>| {
        let context = &planned.context;
        encode::encode(plan, &[], &planned.filters, context)
            .and_then(|(_, packed)| encode::decode(&packed, None, context))
            .err()
    };
    let mut operator = plan.name().to_owned();
    let mut reason = error.strip_backtrace();
    let _ = plan.apply(|node| {
        let Some(error) = fails(node) else { return Ok(TreeNodeRecursion::Jump) };
        node.name().clone_into(&mut operator);
        reason = error.strip_backtrace();
        Ok(TreeNodeRecursion::Continue)
    });
    // The engine prints the whole plan, and asks for a bug report.
    let reason = reason.lines().next().unwrap_or_default();
    let reason = reason.split(" Plan: ").next().unwrap_or(reason);
    gate::Mangled { operator, difference: reason.to_owned() }
}
