//! How many rows and bytes the parts of a plan are expected to have, by the statistics of the files.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// How much a stage is expected to write, by the statistics of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Rows, if they can be told.
    pub rows: Option<u64>,
    /// Bytes in memory, if they can be told.
    pub bytes: Option<u64>,
}

impl Expected {
    /// The same, if there are at most so many rows.
    pub(crate) fn at_most(self, rows: usize) -> Self {
        let most = u64::try_from(rows).unwrap_or(u64::MAX);
        match self.rows {
            Some(rows) if rows <= most => self,
            _ => Self { rows: Some(most), bytes: None },
        }
    }
}

/// Plans with more operators are not judged: it is for people only.
const MOST_OPERATORS: usize = 1_000;

/// The expectations of one plan. Each operator is judged once.
pub(super) struct Expectations {
    /// The plan as it was before the cut. What is known is kept by the addresses of its operators.
    plan: Option<Arc<dyn ExecutionPlan>>,
    known: StatisticsContext,
}

impl Expectations {
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut operators = 0;
        let counted = plan.apply(|_| {
            operators += 1;
            let more = operators <= MOST_OPERATORS;
            Ok(if more { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        let plan = (counted.is_ok() && operators <= MOST_OPERATORS).then(|| Arc::clone(plan));
        Self { plan, known: StatisticsContext::new() }
    }

    /// What an operator of the plan is expected to give.
    pub(super) fn of_rows(&self, operator: &Arc<dyn ExecutionPlan>) -> Expected {
        if self.plan.is_none() {
            return Expected::default();
        }
        let Ok(known) = self.known.compute(operator.as_ref(), &StatisticsArgs::new()) else {
            return Expected::default();
        };
        let number = |value: Option<&usize>| value.and_then(|value| u64::try_from(*value).ok());
        Expected {
            rows: number(known.num_rows.get_value()),
            bytes: number(known.total_byte_size.get_value()),
        }
    }
}
