//! One stage of a query, as far as its records show it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use dunlin_manifest::decide::Decided;
use dunlin_manifest::keys::group_of;
use dunlin_manifest::model::view::StageView;
use dunlin_manifest::records::{Requests, Seal, SealedTask, StageId, StageManifest, StageSpec};
use serde::Serialize;

use super::text::{bytes, count, millis, ranges, requests, skew};

/// A task that was claimed.
#[derive(Clone, Debug, Serialize)]
pub(in crate::query) struct Claimed {
    pub(in crate::query) task: u32,
    /// The newest attempt.
    pub(in crate::query) attempt: u32,
    /// The attempts that failed or were given back.
    failed: Vec<u32>,
    pub(in crate::query) committed: bool,
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::query) enum StageState {
    /// An input is not sealed yet, so its tasks are not known.
    Waiting,
    /// Its tasks are known, and none is claimed.
    Open,
    /// Tasks are claimed.
    Running,
    /// All tasks are committed, and the winners are settled.
    Sealed,
}

impl StageState {
    /// The word that clients see.
    pub(in crate::query) fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Open => "open",
            Self::Running => "running",
            Self::Sealed => "sealed",
        }
    }
}

/// One stage, as far as its records show it.
#[derive(Clone, Debug)]
pub(in crate::query) struct StageRun {
    pub(in crate::query) id: StageId,
    pub(in crate::query) name: String,
    pub(in crate::query) partitions: u32,
    pub(in crate::query) inputs: Vec<StageId>,
    /// Attempts claimed, and those that failed.
    pub(in crate::query) attempts: u64,
    pub(in crate::query) failed: u64,
    pub(in crate::query) committed: usize,
    /// The tasks that were claimed, as far as they are listed: those of a sealed group are not.
    pub(in crate::query) claimed: Vec<Claimed>,
    /// Partitions of each task, if they were computed and asked for.
    pub(in crate::query) planned: Option<Vec<Vec<u32>>>,
    /// What the sealed sizes of its inputs changed about the stage.
    pub(in crate::query) decided: Option<String>,
    pub(in crate::query) seal: Option<Arc<Seal>>,
    /// Groups that are sealed: their claims are not listed.
    pub(super) groups: BTreeSet<u32>,
}

impl StageRun {
    pub(super) fn new(
        spec: &StageSpec,
        seen: &StageView,
        decided: Option<&Decided>,
        seal: Option<Arc<Seal>>,
    ) -> Self {
        let manifest = decided.map(|decided| &decided.manifest);
        let spec = &spec.decided(manifest.is_some_and(|manifest| manifest.broadcast));
        let decided = manifest.and_then(|manifest| decision(spec, manifest));
        let planned = manifest
            .map(|manifest| manifest.tasks.iter().map(|task| task.partitions.clone()).collect());
        // Of a sealed stage the groups are not listed. Its winners tell how many attempts there were, at least.
        let won = seal.iter().flat_map(|seal| &seal.tasks);
        let attempts = won.map(|task| u64::from(task.attempt) + 1).sum::<u64>();
        Self {
            id: spec.id,
            name: spec.name.clone(),
            partitions: spec.partitions,
            inputs: spec.inputs.iter().map(|input| input.stage).collect(),
            attempts: attempts.max(seen.attempts()),
            failed: seen.failures(),
            planned,
            decided,
            committed: seen.done(),
            claimed: claimed(seen),
            groups: seen.groups.clone(),
            seal,
        }
    }

    /// How far it is.
    pub(in crate::query) fn state(&self) -> StageState {
        match &self.seal {
            Some(_) => StageState::Sealed,
            None if self.planned.is_none() => StageState::Waiting,
            None if self.attempts == 0 => StageState::Open,
            None => StageState::Running,
        }
    }

    /// Whether the group of a task is sealed.
    pub(in crate::query) fn is_done(&self, task: u32) -> bool {
        self.groups.contains(&group_of(task))
    }

    pub(in crate::query) fn tasks(&self) -> &[SealedTask] {
        self.seal.as_ref().map_or(&[], |seal| &seal.tasks)
    }

    pub(super) fn longest_us(&self) -> u64 {
        self.tasks().iter().map(|task| task.metrics.wall_us).max().unwrap_or(0)
    }

    /// The line of the stage.
    pub(super) fn line(&self) -> String {
        let mut line =
            format!("stage {}: {}; {}", self.id, self.name, count(self.partitions, "partition"));
        if let Some(decided) = &self.decided {
            let _ = write!(line, "; {decided}");
        }
        let Some(seal) = &self.seal else {
            let state = match self.planned.as_ref().map(Vec::len) {
                None => "not begun".to_owned(),
                Some(tasks) if self.attempts == 0 => {
                    format!("{}; none claimed", count(tasks, "task"))
                }
                Some(tasks) => format!(
                    "{} of {} committed ({})",
                    self.committed,
                    count(tasks, "task"),
                    self.claimed()
                ),
            };
            let _ = write!(line, "; {state}");
            return line;
        };
        let sum = Took::sum(&seal.tasks);
        let _ = write!(
            line,
            "; {} ({}); {} out, {} out; read {}",
            count(seal.tasks.len(), "task"),
            self.claimed(),
            count(seal.rows, "row"),
            bytes(seal.bytes),
            sum.read()
        );
        let mut walls: Vec<u64> = seal.tasks.iter().map(|task| task.metrics.wall_us).collect();
        walls.sort_unstable();
        let spread = match walls[..] {
            [] => "no tasks".to_owned(),
            [one] => format!("wall {} ms", millis(one)),
            [least, .., most] => format!(
                "wall min/median/max {}/{}/{} ms",
                millis(least),
                millis(walls[walls.len() / 2]),
                millis(most)
            ),
        };
        let _ = write!(line, "; {spread}; compute {} ms", millis(sum.cpu_us));
        if let (Some(time), Some(input)) = (
            skew(seal.tasks.iter().map(|task| task.metrics.wall_us)),
            skew(seal.tasks.iter().map(|task| Took::of(task).input())),
        ) {
            let _ = write!(line, "; skew {time:.1} by time, {input:.1} by input bytes");
        }
        let _ = write!(
            line,
            "; spilled {}; peak memory {}; {}",
            bytes(sum.spilled),
            bytes(sum.memory),
            requests(&sum.requests)
        );
        line
    }

    /// `6 attempts, 1 failed`.
    pub(super) fn claimed(&self) -> String {
        match self.failed {
            0 => count(self.attempts, "attempt"),
            failed => format!("{}, {failed} failed or given back", count(self.attempts, "attempt")),
        }
    }
}

fn claimed(seen: &StageView) -> Vec<Claimed> {
    let claims = seen.claims.iter().map(|(task, attempt)| Claimed {
        task: *task,
        attempt: *attempt,
        failed: seen.fails.get(task).into_iter().flatten().copied().collect(),
        committed: seen.has_winner(*task),
    });
    claims.collect()
}

/// What a manifest decided in addition to the number of tasks.
fn decision(spec: &StageSpec, manifest: &StageManifest) -> Option<String> {
    let shares = manifest.tasks.iter().filter(|task| task.share.is_some()).count();
    if manifest.broadcast {
        return Some("joined where the probe side lies, the build side read whole".to_owned());
    }
    if manifest.absorbed {
        let by = spec.absorbed_by.map_or_else(String::new, |by| format!(" by stage {by}"));
        return Some(format!("its work done{by}"));
    }
    if manifest.tasks.is_empty() && !spec.empty_with.is_empty() {
        return Some("an input is empty, so it is".to_owned());
    }
    (shares > 0).then(|| format!("{} of large partitions", count(shares, "share")))
}

/// What the tasks cost together. Memory is that of the task with the most.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::query) struct Took {
    pub(in crate::query) scanned: u64,
    pub(in crate::query) exchanged: u64,
    pub(in crate::query) spilled: u64,
    pub(in crate::query) memory: u64,
    pub(in crate::query) cpu_us: u64,
    pub(in crate::query) requests: Requests,
}

impl Took {
    pub(super) fn of(task: &SealedTask) -> Self {
        let metrics = &task.metrics;
        Self {
            scanned: metrics.scan_bytes,
            exchanged: metrics.shuffle_read_bytes,
            spilled: metrics.spill_bytes,
            memory: metrics.task_memory,
            cpu_us: metrics.cpu_us,
            requests: metrics.requests,
        }
    }

    pub(in crate::query) fn sum<'a>(tasks: impl IntoIterator<Item = &'a SealedTask>) -> Self {
        tasks.into_iter().map(Self::of).fold(Self::default(), |sum, took| {
            let mut requests = sum.requests;
            requests += took.requests;
            Self {
                scanned: sum.scanned + took.scanned,
                exchanged: sum.exchanged + took.exchanged,
                spilled: sum.spilled + took.spilled,
                memory: sum.memory.max(took.memory),
                cpu_us: sum.cpu_us + took.cpu_us,
                requests,
            }
        })
    }

    pub(super) fn input(&self) -> u64 {
        self.scanned + self.exchanged
    }

    pub(super) fn read(&self) -> String {
        format!("{} scanned + {} exchanged", bytes(self.scanned), bytes(self.exchanged))
    }
}

/// A line of one task.
pub(super) fn task_line(task: &SealedTask, partitions: &[u32]) -> String {
    let took = Took::of(task);
    format!(
        "task {} (partitions {}; attempt {}; worker {}): {}, {} out; read {}; wall {} ms; compute {} ms; spilled {}; peak memory {}; {}",
        task.task,
        ranges(partitions),
        task.attempt,
        task.worker,
        count(task.output.rows, "row"),
        bytes(task.output.bytes),
        took.read(),
        millis(task.metrics.wall_us),
        millis(took.cpu_us),
        bytes(took.spilled),
        bytes(took.memory),
        requests(&took.requests)
    )
}
