//! The common frame of the passes that look at one node at a time.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// A rule of the physical optimiser.
pub(super) type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;
/// The result of a pass for one node.
pub(super) type Rewritten = Result<Transformed<Arc<dyn ExecutionPlan>>>;

/// A rule that rewrites a plan node by node, from the leaves up, and keeps its schema.
#[derive(Debug)]
pub(super) struct Rewrite {
    name: &'static str,
    node: fn(Arc<dyn ExecutionPlan>) -> Rewritten,
}

impl Rewrite {
    /// The rule with this name.
    pub(super) fn rule(name: &'static str, node: fn(Arc<dyn ExecutionPlan>) -> Rewritten) -> Rule {
        Arc::new(Self { name, node })
    }
}

impl PhysicalOptimizerRule for Rewrite {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(self.node).data()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}
