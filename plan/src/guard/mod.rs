//! What a plan is given before it runs, and what no plan that is written down has.
//!
//! ```text
//!   stop       it ends when it is asked to, also where its operators do not pause
//!   portions   batches are cut where an operator would make much memory of one
//!   held       memory that an operator holds and does not count is counted
//! ```
//! Each is a `PassExec` below or above an operator: it hands on its input's rows, as they are and in their
//! order. So a guarded plan gives the rows of the plan, or an error.

mod held;
mod pass;
mod portions;
mod stop;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;

pub use self::stop::{Stop, StopOnDrop, Stopped};

/// `plan`, which ends soon after `stop` was asked for, and whose operators do not make or hold much memory that
/// nothing counts.
///
/// # Errors
/// An operator that cannot be rebuilt.
pub fn guarded(plan: Arc<dyn ExecutionPlan>, stop: &Stop) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = held::counted(portions::portioned(plan)?)?;
    stop::stoppable(plan, stop)
}
