//! EXPLAIN ANALYZE: what a query cost, stage by stage.

mod analysis;
mod inline;
mod profile;
mod records;
mod stage;
mod text;

pub(crate) use analysis::{Analysis, Detail, plan_stream};
pub(crate) use inline::{Ran, inline};
pub(crate) use profile::{Profile, StageBody, profile, stages};
pub(crate) use records::{of_records, sealed};
