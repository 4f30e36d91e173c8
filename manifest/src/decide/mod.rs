//! The decisions: pure functions of records and of what one process has seen. They make no request, read no clock and
//! start no task.
//!
//! ```text
//!   tasks   the seals of a stage's inputs  ─> its manifest: which tasks, which partitions, or no tasks
//!   seals   the commits of its tasks       ─> group seals and seal, or that they contradict the manifest
//!   steps   a view of the query            ─> what is due, what may be claimed, which tasks used all attempts
//!   failures   how attempts of a task failed ─> whether the query fails, and when the task may be tried again
//!   spend   what was used so far           ─> whether that is more than the query may
//!   end     an error, or the last seal     ─> how the query ends
//! ```
//! Every caller with the same records gets the same answer, byte for byte. Therefore any number of processes can act
//! on one query at the same time. The module uses [`crate::model`] and nothing else of the crate.

pub mod end;
pub mod facts;
pub mod failures;
pub mod seals;
pub mod spend;
pub mod steps;
pub mod tasks;

#[cfg(test)]
mod fixtures;

pub use end::totals;
pub use facts::{Decided, Sealed};
pub use failures::{Failed, Verdict, judge, rest};
pub use seals::{Contradiction, fold, group_seal, group_tasks, groups, seal, winner};
pub use spend::over_spent;
pub use steps::{Due, OpenTask, Seen, Steps, next_steps};
pub use tasks::{manifest_of, planned_tasks, stage_manifest};

pub use crate::model::encoding::{digest, digest_of};
