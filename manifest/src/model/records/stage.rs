//! A stage as the planner wrote it into the root, and as its manifest says it runs.

use serde::{Deserialize, Serialize};

use crate::model::ids::StageId;

/// One stage: a plan with `partitions` partitions. Each task of the stage runs some of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// Number in the query.
    pub id: StageId,
    /// A few words for people: `scan lineitem`, `join`, `final aggregate`.
    pub name: String,
    /// BLAKE3 of the zstd-compressed plan: its name in [`Root::plans`](crate::model::records::Root::plans), or object
    /// `plan/<blake3>`.
    pub plan: String,
    /// Partitions of the plan.
    pub partitions: u32,
    /// Stages that must be sealed first, ascending. A stage that is read in several ways is listed several times.
    pub inputs: Vec<StageInput>,
    /// How the stage writes its rows.
    pub output: Output,
    /// Estimated bytes scanned by each partition (empty = no scan in this stage).
    pub scan_bytes: Vec<u64>,
    /// Partitions are added to a task until its input reaches this many bytes.
    pub task_bytes: u64,
    /// True if all partitions must run in one task, because an operator shares state between partitions.
    pub one_task: bool,
    /// True if each task also writes a filter of its keys, in the bucket after the last one. A later stage reads the
    /// filter before it exchanges rows that are joined with this stage's rows.
    pub key_filter: bool,
    /// Inputs for which the planner proved: if one of them has no rows, this stage has no rows. The stage then has no
    /// tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty_with: Vec<StageId>,
    /// The input whose buckets may be read in shares. Several tasks then run the same partition, and each reads some
    /// of the slices of its bucket. Together their rows are the rows of the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<StageId>,
    /// How the stage runs if the build side of its join is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<Broadcast>,
    /// The stage that this one may be merged into. This stage then has no tasks. If that stage has a [`Broadcast`], it
    /// does this one's work when it runs so. If not, it is the only reader of this stage and reads nothing else, and its
    /// one task runs this stage's plan before its own when this stage reads little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absorbed_by: Option<StageId>,
}

impl StageSpec {
    /// Number of buckets that the stage's rows are placed in. Beside them, there may be a filter of the keys in one more.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        match self.output {
            Output::Hash { buckets } => buckets,
            Output::Partitions | Output::Result => self.partitions,
        }
    }

    /// The stage as it runs, after its manifest decided whether every task reads the whole build side.
    #[must_use]
    pub fn decided(&self, broadcast: bool) -> Self {
        let mut spec = self.clone();
        if let Some(broadcast) = spec.broadcast.take().filter(|_| broadcast) {
            spec.plan = broadcast.plan;
            spec.partitions = broadcast.partitions;
            spec.inputs = broadcast.inputs;
            spec.scan_bytes = broadcast.scan_bytes;
            spec.shares = None;
        }
        spec
    }
}

/// Another way to run a stage that joins: every task reads the whole build side, and reads the probe side directly,
/// without an exchange before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broadcast {
    /// The stage of the build side. The size in its seal decides.
    pub build: StageId,
    /// The stage of the probe side, which is then merged into this one.
    pub probe: StageId,
    /// The largest size of the build side, in bytes.
    pub most_bytes: u64,
    /// As [`StageSpec::plan`].
    pub plan: String,
    /// As [`StageSpec::partitions`].
    pub partitions: u32,
    /// As [`StageSpec::inputs`].
    pub inputs: Vec<StageInput>,
    /// As [`StageSpec::scan_bytes`].
    pub scan_bytes: Vec<u64>,
}

/// An input of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageInput {
    /// The producer.
    pub stage: StageId,
    /// How this stage's partitions use the producer's buckets.
    pub mode: InputMode,
    /// Partition of this stage that reads bucket 0, if the mode is `Partitioned`.
    pub offset: u32,
}

/// How partition `p` of a consumer uses the buckets of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputMode {
    /// Partition `offset + b` reads bucket `b`. The sizes of the buckets are the weights of the partitions.
    Partitioned,
    /// Every task may read every bucket (broadcast build side, merge, gather, scalar).
    Whole,
}

/// How a stage writes its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Rows are placed in `buckets` buckets by the hash of the expressions at the plan's root.
    Hash {
        /// Number of buckets.
        buckets: u32,
    },
    /// Bucket `p` holds the rows of partition `p`, in order.
    Partitions,
    /// As `Partitions`, and the rows are the answer (written under `res/`).
    Result,
}

/// How a stage runs. A function of `root` and the seals of the inputs. It is not stored: every process computes it, and
/// commits and seals hold its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageManifest {
    /// [`RECORD_VERSION`](crate::model::encoding::RECORD_VERSION).
    pub v: u32,
    /// Query id.
    pub query: String,
    /// Stage.
    pub stage: StageId,
    /// Tasks, largest first.
    pub tasks: Vec<TaskSpec>,
    /// BLAKE3 of each input's seal, in the order of the stage's inputs.
    pub seals: Vec<String>,
    /// The most bytes that a task may put inline in its commit.
    pub inline_bytes: u64,
    /// Buckets of the stage's output.
    pub buckets: u32,
    /// True if the stage runs as its [`Broadcast`] says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broadcast: bool,
    /// True if the stage has no tasks because it is merged into another stage ([`StageSpec::absorbed_by`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absorbed: bool,
}

/// One task: partitions of the stage's plan that one worker runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// Partitions, ascending.
    pub partitions: Vec<u32>,
    /// Input bytes. Tasks are ordered by this.
    pub bytes: u64,
    /// The part of the bucket that the task reads, if a partition was too large for one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
}

/// Some of the slices of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The producer.
    pub stage: StageId,
    /// Number of this share.
    pub index: u32,
    /// Number of shares.
    pub of: u32,
}

impl Share {
    /// Which slices this share reads, given the `lengths` of all slices in bytes. The slices are contiguous, and the
    /// shares of a bucket are about equal in size. Every slice is in exactly one share.
    #[must_use]
    pub fn slices(&self, lengths: impl Iterator<Item = u64> + Clone) -> std::ops::Range<usize> {
        let total: u128 = lengths.clone().map(u128::from).sum::<u128>().max(1);
        let mut range: Option<std::ops::Range<usize>> = None;
        let mut before = 0u128;
        for (number, len) in lengths.enumerate() {
            let middle = before * 2 + u128::from(len);
            before += u128::from(len);
            let share = middle * u128::from(self.of) / (total * 2);
            if share.min(u128::from(self.of.saturating_sub(1))) == u128::from(self.index) {
                let start = range.as_ref().map_or(number, |range| range.start);
                range = Some(start..number + 1);
            }
        }
        range.unwrap_or(0..0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn shares_of_any_slices_are_a_partition_of_them() {
        let mut seed = 7u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..500 {
            let count = next(40);
            let lengths: Vec<u64> = (0..count).map(|_| next(1000) * next(2) * next(1000)).collect();
            let of = u32::try_from(next(9) + 1).unwrap();
            let slices: Vec<usize> = (0..of)
                .flat_map(|index| Share { stage: 0, index, of }.slices(lengths.iter().copied()))
                .collect();
            assert_eq!(slices, (0..lengths.len()).collect::<Vec<_>>(), "{lengths:?} in {of}");
        }
    }
}
