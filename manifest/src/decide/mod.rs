//! The decisions: pure functions of records and of what one process has seen. No request, no clock, no task.
//!
//! ```text
//!   tasks   the seals of a stage's inputs  ─> its manifest: which tasks, which partitions, whether at all
//!   seals   the commits of its tasks       ─> group seals and seal
//!   steps   a view of the query            ─> what is due, what may be claimed, what is used up
//!   end     failures, or the last seal     ─> whether and how the query ends
//! ```
//! Whoever calls them with the same records gets the same answer, byte for byte: that is what lets any number of
//! processes act on one query at once. The module uses [`crate::model`] and nothing else of the crate.

pub mod end;
pub mod seals;
pub mod steps;
pub mod tasks;

#[cfg(test)]
mod fixtures;

pub use end::{Verdict, judge, totals};
pub use seals::{group_seal, group_tasks, groups, seal, sealed};
pub use steps::{Due, OpenTask, Seen, Steps, next_steps};
pub use tasks::{planned_tasks, stage_manifest};

pub use crate::model::encoding::digest;
