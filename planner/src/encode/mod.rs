//! Encodes stages as records and plan objects. Every plan object is decoded and compared before it is used.

mod filters;
mod forms;
mod gate;
mod round_trip;
mod stages;

pub(crate) use filters::WindowFilters;
pub(crate) use gate::Mangled;
pub(crate) use round_trip::Wire;
pub(crate) use stages::{EncodedStages, StageLimits};
