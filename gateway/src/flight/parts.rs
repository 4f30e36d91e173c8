//! The parts of the core that Flight SQL works with. What is done with them is in the modules of the calls.

use std::sync::Arc;

use crate::metrics::Metrics;
use crate::query::intake::Intake;
use crate::query::queries::Queries;

/// The parts of the core that Flight SQL uses.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) intake: Arc<Intake>,
    pub(crate) queries: Arc<Queries>,
    pub(crate) metrics: Arc<Metrics>,
}
