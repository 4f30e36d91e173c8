//! From stages to what is written down: plan objects that are known to come back as they were.

mod filters;
mod forms;
mod gate;
mod round_trip;
mod stages;

pub(crate) use filters::WindowFilters;
pub(crate) use gate::Mangled;
pub(crate) use round_trip::Wire;
pub(crate) use stages::{EncodedStages, StageLimits};
