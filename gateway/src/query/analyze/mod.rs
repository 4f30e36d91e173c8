//! EXPLAIN ANALYZE: what a query cost, stage by stage.

mod analysis;
mod explained;
mod inline;
mod profile;
mod records;
mod stage;
mod text;

pub(crate) use analysis::{Analysis, Detail};
pub(crate) use explained::explained;
pub(crate) use inline::{Ran, inline};
pub(crate) use profile::{Profile, StageBody, profile, stages};
pub(in crate::query) use records::read_stages;
pub(crate) use records::{of_records, sealed};
pub(in crate::query) use stage::{Claimed, StageRun, Took};
