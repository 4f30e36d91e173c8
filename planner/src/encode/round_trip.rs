//! Encodes and decodes a stage's plan before any worker gets it.
//!
//! ```text
//!  plan ─wrap─> ─encode─> object ─decode─> plan'      gate: plan' is plan, or the operator that differs
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use dunlin_plan::wire::{self, PlanObject};
use dunlin_plan::words;

use crate::encode::filters::WindowFilters;
use crate::encode::forms::wrap;
use crate::encode::gate::{self, Mangled};

/// What encoding and decoding need in addition to the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a> {
    pub(crate) context: &'a TaskContext,
    pub(crate) filters: &'a WindowFilters,
}

impl Wire<'_> {
    /// Encodes a plan of a stage, decodes it and compares.
    ///
    /// # Errors
    /// The operator that changed.
    pub(crate) fn across(
        self,
        plan: &Arc<dyn ExecutionPlan>,
        leaves: &[Option<usize>],
    ) -> Result<PlanObject, Mangled> {
        let encoded = self.encode(plan, leaves).map_err(|error| self.unencodable(plan, &error))?;
        // Rows that are written to the exchange or read from it must have types that Arrow IPC knows.
        if let Err(error) = wire::schema_to_text(&plan.schema()) {
            let difference = format!("its rows cannot be exchanged: {}", told(&error));
            return Err(Mangled { operator: plan.name().to_owned(), difference });
        }
        let decoded = wire::decode(&encoded.bytes, None, self.context)
            .map_err(|error| self.unencodable(plan, &error))?;
        gate::compare(plan, &decoded)?;
        Ok(encoded)
    }

    fn encode(self, plan: &Arc<dyn ExecutionPlan>, leaves: &[Option<usize>]) -> Result<PlanObject> {
        wire::encode(wrap(Arc::clone(plan), self.filters, self.context)?, leaves)
    }

    /// Finds the operator of a stage that has no wire form: the lowest one whose inputs have one.
    fn unencodable(self, plan: &Arc<dyn ExecutionPlan>, error: &DataFusionError) -> Mangled {
        let fails = |plan: &Arc<dyn ExecutionPlan>| {
            self.encode(plan, &[])
                .and_then(|object| wire::decode(&object.bytes, None, self.context))
                .err()
        };
        let mut operator = plan.name().to_owned();
        let mut reason = told(error);
        let _ = plan.apply(|node| {
            let Some(error) = fails(node) else { return Ok(TreeNodeRecursion::Jump) };
            node.name().clone_into(&mut operator);
            reason = told(&error);
            Ok(TreeNodeRecursion::Continue)
        });
        let reason = reason.split(" Plan: ").next().unwrap_or_default();
        Mangled { operator, difference: reason.to_owned() }
    }
}

/// The first line of what the engine says: it goes on with the whole plan, and asks for a bug report.
fn told(error: &DataFusionError) -> String {
    words::plain(error.find_root().message().lines().next().unwrap_or_default())
}
