//! The decisions: pure functions of records and of what one process has seen. No I/O, no clock.

use std::collections::BTreeMap;

use crate::create::encode;
use crate::keys::GROUP;
use crate::records::{
    Attempt, Commit, Fail, FailClass, GroupSeal, InputMode, Limits, QueryError, RECORD_VERSION,
    Root, Seal, SealedTask, Share, StageId, StageInput, StageManifest, StageSpec, TaskId, TaskSpec,
};
use crate::view::QueryView;

/// The most bytes that one task, and all tasks of a stage together, may put inline in commits: what a
/// reader of the seal fetches whether it needs it or not.
const INLINE_TASK: u64 = 64 << 10;
const INLINE_STAGE: u64 = 1 << 20;
const INLINE_LEAST: u64 = 4 << 10;

/// How often the lease of a task whose claims were lost is doubled.
const LEASE_DOUBLINGS: u32 = 5;

/// A partition is too large if it is this many times the mean of its stage, and of `task_bytes`.
const SKEW: u64 = 2;
/// The most tasks that share one partition.
const MOST_SHARES: u64 = 32;
/// What the tasks of a stage may read of a build side together without weighing it against the probe side.
const FREE_BROADCAST: u64 = 1 << 20;

/// The manifest of a stage. `broadcast` tells whether the stage of the probe side gave its work to this one
/// ([`StageManifest::absorbed`]); `seals` are those of the inputs of the stage as it then runs
/// ([`StageSpec::decided`]), in their order.
///
/// Everything here rests on sealed facts only, so that whoever computes it writes the same bytes: how many
/// tasks there are, which partitions are too large for one, whether the stage has work at all.
#[must_use]
pub fn stage_manifest(
    root: &Root,
    spec: &StageSpec,
    broadcast: bool,
    seals: &[&Seal],
) -> StageManifest {
    let spec = &spec.decided(broadcast);
    let weights = weights(spec, seals);
    let inputs = || spec.inputs.iter().zip(seals);
    let empty = inputs().any(|(input, seal)| {
        spec.empty_with.contains(&input.stage)
            && seal.tasks.iter().all(|task| task.output.rows == 0)
    });
    let absorbed = is_absorbed(root, spec, seals, &weights);
    let mut tasks = Vec::new();
    if !empty && !absorbed {
        let skewed = inputs()
            .find(|(input, _)| {
                spec.shares == Some(input.stage) && input.mode == InputMode::Partitioned
            })
            .map(|(input, seal)| Skewed { input, seal });
        tasks = pack(&weights, spec, skewed.as_ref());
    }
    tasks.sort_by(|a, b| {
        b.bytes.cmp(&a.bytes).then_with(|| {
            let share = |task: &TaskSpec| task.share.map(|share| share.index);
            (&a.partitions, share(a)).cmp(&(&b.partitions, share(b)))
        })
    });
    let count = u64::try_from(tasks.len()).unwrap_or(u64::MAX).max(1);
    StageManifest {
        v: RECORD_VERSION,
        query: root.query.clone(),
        stage: spec.id,
        tasks,
        seals: seals.iter().map(|seal| digest(*seal)).collect(),
        inline_bytes: (INLINE_STAGE / count).clamp(INLINE_LEAST, INLINE_TASK),
        broadcast,
        absorbed,
    }
}

/// True if another stage does this one's work: the build side of its join is so small that reading it in
/// every task costs less than exchanging the probe side.
fn is_absorbed(root: &Root, spec: &StageSpec, seals: &[&Seal], weights: &[u64]) -> bool {
    let by = spec.absorbed_by.and_then(|by| root.stages.iter().find(|stage| stage.id == by));
    let Some(broadcast) = by.and_then(|by| by.broadcast.as_ref()) else { return false };
    let build = spec.inputs.iter().zip(seals).find(|(input, _)| input.stage == broadcast.build);
    let Some((_, build)) = build else { return false };
    let tasks = u64::try_from(pack(weights, spec, None).len()).unwrap_or(u64::MAX);
    let read = build.bytes.saturating_mul(tasks);
    let exchanged: u64 = weights.iter().sum();
    build.bytes <= broadcast.most_bytes && read <= exchanged.saturating_add(FREE_BROADCAST)
}

/// Input bytes of each partition.
fn weights(spec: &StageSpec, seals: &[&Seal]) -> Vec<u64> {
    let mut weights = vec![0u64; spec.partitions as usize];
    for (partition, bytes) in spec.scan_bytes.iter().enumerate() {
        if let Some(weight) = weights.get_mut(partition) {
            *weight += bytes;
        }
    }
    for (input, seal) in spec.inputs.iter().zip(seals) {
        if input.mode == InputMode::Whole {
            continue;
        }
        for slice in seal.tasks.iter().flat_map(|task| &task.output.slices) {
            if let Some(weight) = weights.get_mut((input.offset + slice.bucket) as usize) {
                *weight += slice.len;
            }
        }
    }
    weights
}

/// The input that makes partitions too large, where its buckets may be read in shares.
struct Skewed<'a> {
    input: &'a StageInput,
    seal: &'a Seal,
}

impl Skewed<'_> {
    /// Bytes and slices that a partition reads of this input.
    fn bucket(&self, partition: u32) -> (u64, u64) {
        let bucket = partition.checked_sub(self.input.offset);
        let slices = self.seal.tasks.iter().flat_map(|task| &task.output.slices);
        slices
            .filter(|slice| Some(slice.bucket) == bucket)
            .fold((0, 0), |(bytes, slices), slice| (bytes + slice.len, slices + 1))
    }
}

/// Deals neighbouring partitions to tasks until each task's input reaches `task_bytes`. A partition that is
/// far larger than the others is cut into shares, each a task of its own.
fn pack(weights: &[u64], spec: &StageSpec, skewed: Option<&Skewed<'_>>) -> Vec<TaskSpec> {
    let count = u64::try_from(weights.len()).unwrap_or(u64::MAX).max(1);
    let usual = (weights.iter().sum::<u64>() / count).max(spec.task_bytes).max(1);
    let mut tasks: Vec<TaskSpec> = Vec::new();
    let mut open = false;
    for (partition, bytes) in weights.iter().enumerate() {
        let partition = u32::try_from(partition).unwrap_or(u32::MAX);
        if let Some(skewed) = skewed.filter(|_| !spec.one_task && *bytes > usual * SKEW) {
            let (own, slices) = skewed.bucket(partition);
            let of = own.div_ceil(usual).min(slices).min(MOST_SHARES);
            if of > 1 {
                let of = u32::try_from(of).unwrap_or(u32::MAX);
                let bytes = bytes.saturating_sub(own) + own / u64::from(of);
                let share = |index| Share { stage: skewed.input.stage, index, of };
                tasks.extend((0..of).map(|index| TaskSpec {
                    partitions: vec![partition],
                    bytes,
                    share: Some(share(index)),
                }));
                open = false;
                continue;
            }
        }
        match tasks.last_mut() {
            Some(task) if open && (spec.one_task || task.bytes < spec.task_bytes) => {
                task.partitions.push(partition);
                task.bytes += bytes;
            }
            _ => {
                tasks.push(TaskSpec { partitions: vec![partition], bytes: *bytes, share: None });
                open = true;
            }
        }
    }
    tasks
}

/// BLAKE3 of a record's canonical bytes, in hex.
#[must_use]
pub fn digest<T: serde::Serialize>(record: &T) -> String {
    blake3::hash(&encode(record)).to_hex().to_string()
}

/// A commit as a seal holds it.
#[must_use]
pub fn sealed(commit: Commit) -> SealedTask {
    SealedTask {
        task: commit.task,
        attempt: commit.attempt,
        claim: commit.claim,
        worker: commit.worker,
        output: commit.output,
        metrics: commit.metrics,
    }
}

/// The seal of a group, from its winners in any order.
#[must_use]
pub fn group_seal(group: u32, mut tasks: Vec<SealedTask>) -> GroupSeal {
    tasks.sort_by_key(|task| task.task);
    GroupSeal { v: RECORD_VERSION, group, tasks }
}

/// The seal of a stage, from its winners in any order.
#[must_use]
pub fn seal(root: &Root, stage: StageId, mut tasks: Vec<SealedTask>) -> Seal {
    tasks.sort_by_key(|task| task.task);
    Seal {
        v: RECORD_VERSION,
        query: root.query.clone(),
        stage,
        rows: tasks.iter().map(|task| task.output.rows).sum(),
        bytes: tasks.iter().map(|task| task.output.bytes).sum(),
        tasks,
    }
}

/// Groups of a stage with `tasks` tasks; a stage of at most 64 has none.
#[must_use]
pub fn groups(tasks: usize) -> u32 {
    let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
    if tasks <= GROUP { 0 } else { tasks.div_ceil(GROUP) }
}

/// Tasks of one group.
#[must_use]
pub fn group_tasks(group: u32, tasks: usize) -> std::ops::Range<TaskId> {
    let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
    (group * GROUP).min(tasks)..((group + 1) * GROUP).min(tasks)
}

/// A record that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// `s<S>/m`.
    Manifest(StageId),
    /// `s<S>/gseal/<g>`.
    GroupSeal(StageId, u32),
    /// `s<S>/seal`.
    Seal(StageId),
}

/// A task that may be claimed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTask {
    /// Stage.
    pub stage: StageId,
    /// Task.
    pub task: TaskId,
    /// The attempt to claim.
    pub attempt: Attempt,
}

/// What this process has seen of a claim, in milliseconds of its own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// How long nothing of the claim changed.
    pub silent_ms: u64,
    /// How long the claim is known.
    pub age_ms: u64,
}

/// What follows from a view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Records that are due.
    pub due: Vec<Due>,
    /// Tasks that may be claimed: later stages first, then in the manifest's order (largest first).
    pub open: Vec<OpenTask>,
    /// Tasks that have failed attempts and no commit.
    pub failed: Vec<(StageId, TaskId)>,
    /// Tasks whose claims were lost too often.
    pub exhausted: Vec<(StageId, TaskId)>,
    /// Claims that are believed alive.
    pub running: usize,
    /// The last stage is sealed.
    pub finished: bool,
}

/// What follows from a view. `manifests` holds the manifest of every stage that has one and no seal.
#[must_use]
pub fn next_steps<M: AsRef<StageManifest>>(
    root: &Root,
    view: &QueryView,
    manifests: &BTreeMap<StageId, M>,
    seen: impl Fn(StageId, TaskId) -> Seen,
) -> Steps {
    let mut steps = Steps::default();
    let is_sealed = |stage: StageId| view.stages.get(&stage).is_some_and(|stage| stage.sealed);
    for spec in root.stages.iter().rev() {
        if is_sealed(spec.id) {
            continue;
        }
        let state = view.stages.get(&spec.id);
        if !state.is_some_and(|state| state.manifest) {
            if spec.inputs.iter().all(|input| is_sealed(input.stage)) {
                steps.due.push(Due::Manifest(spec.id));
            }
            continue;
        }
        let (Some(state), Some(manifest)) = (state, manifests.get(&spec.id)) else { continue };
        let tasks = manifest.as_ref().tasks.len();
        let full =
            |range: std::ops::Range<TaskId>| range.into_iter().all(|t| state.commits.contains(&t));
        let groups = groups(tasks);
        for group in (0..groups).filter(|group| !state.groups.contains(group)) {
            if full(group_tasks(group, tasks)) {
                steps.due.push(Due::GroupSeal(spec.id, group));
            }
        }
        let complete = if groups == 0 {
            full(0..u32::try_from(tasks).unwrap_or(u32::MAX))
        } else {
            (0..groups).all(|group| state.groups.contains(&group))
        };
        if complete {
            steps.due.push(Due::Seal(spec.id));
            continue;
        }
        for task in 0..u32::try_from(tasks).unwrap_or(u32::MAX) {
            if state.commits.contains(&task) || state.groups.contains(&(task / GROUP)) && groups > 0
            {
                continue;
            }
            let fails = state.fails.get(&task);
            if fails.is_some() {
                steps.failed.push((spec.id, task));
            }
            let Some(&latest) = state.claims.get(&task) else {
                steps.open.push(OpenTask { stage: spec.id, task, attempt: 0 });
                continue;
            };
            let failed = fails.is_some_and(|fails| fails.contains(&latest));
            let seen = seen(spec.id, task);
            let failures = fails.map_or(0, |fails| u32::try_from(fails.len()).unwrap_or(u32::MAX));
            // Each claim that was lost doubles the patience with the next: if the verdicts are wrong,
            // because the store is slow, say, they must not use up the claims of a task that lives.
            let patience = latest.saturating_sub(failures).min(LEASE_DOUBLINGS);
            let dead = seen.silent_ms >= root.limits.lease_ms << patience
                || seen.age_ms >= root.limits.task_limit_ms << patience;
            if !failed && !dead {
                steps.running += 1;
                continue;
            }
            if (latest + 1).saturating_sub(failures) >= root.limits.max_claims {
                steps.exhausted.push((spec.id, task));
                continue;
            }
            steps.open.push(OpenTask { stage: spec.id, task, attempt: latest + 1 });
        }
    }
    steps.finished = root.stages.last().is_some_and(|last| is_sealed(last.id));
    steps
}

/// What a task's failures mean for the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt may help.
    Retry,
    /// It would not: the query fails with this.
    Fail(QueryError),
}

/// Judges the failures of one task.
#[must_use]
pub fn judge(fails: &[Fail], limits: &Limits) -> Verdict {
    let error = |fail: &Fail, retryable: bool| QueryError {
        code: fail.code.clone(),
        message: fail.message.clone(),
        retryable,
    };
    if let Some(fatal) = fails.iter().find(|fail| fail.class == FailClass::Fatal) {
        return Verdict::Fail(error(fatal, false));
    }
    let retries: Vec<&Fail> = fails.iter().filter(|fail| fail.class == FailClass::Retry).collect();
    match retries.last() {
        Some(last) if retries.len() >= limits.max_failures as usize => {
            let mut error = error(last, true);
            error.message = format!("{} (after {} attempts)", error.message, retries.len());
            Verdict::Fail(error)
        }
        _ => Verdict::Retry,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::records::{
        Broadcast, EngineFence, Output, ResultSpec, Slice, TaskMetrics, TaskOutput,
    };

    fn stage(id: StageId, partitions: u32, inputs: Vec<StageInput>) -> StageSpec {
        StageSpec {
            id,
            name: "stage".to_owned(),
            plan: "p".to_owned(),
            partitions,
            inputs,
            output: Output::Partitions,
            scan_bytes: Vec::new(),
            task_bytes: 0,
            one_task: false,
            key_filter: false,
            empty_with: Vec::new(),
            shares: None,
            broadcast: None,
            absorbed_by: None,
        }
    }

    fn root(stages: Vec<StageSpec>) -> Root {
        Root {
            v: RECORD_VERSION,
            nonce: "n".to_owned(),
            query: "q".to_owned(),
            sql: "select 1".to_owned(),
            session: BTreeMap::new(),
            engine: EngineFence { engine: "e".to_owned(), hash: "h".to_owned() },
            route: "fleet".to_owned(),
            route_reason: String::new(),
            stages,
            result: ResultSpec { schema: String::new() },
            pins: Vec::new(),
            limits: Limits::default(),
            explain: String::new(),
        }
    }

    fn won(task: TaskId, slices: &[(u32, u64)]) -> SealedTask {
        SealedTask {
            task,
            attempt: 0,
            claim: "c".to_owned(),
            worker: "w".to_owned(),
            output: TaskOutput {
                slices: slices
                    .iter()
                    .map(|&(bucket, len)| Slice {
                        bucket,
                        object: Some(0),
                        offset: 0,
                        len,
                        rows: 1,
                        xxh3: String::new(),
                    })
                    .collect(),
                rows: slices.len() as u64,
                bytes: slices.iter().map(|(_, len)| len).sum(),
                ..TaskOutput::default()
            },
            metrics: TaskMetrics::default(),
        }
    }

    fn partitioned(stage: StageId, offset: u32) -> StageInput {
        StageInput { stage, mode: InputMode::Partitioned, offset }
    }

    #[test]
    fn partitions_are_packed_by_sealed_bytes_and_no_partition_is_left_out() {
        let mut spec = stage(1, 6, vec![partitioned(0, 1)]);
        spec.task_bytes = 100;
        let root = root(vec![stage(0, 1, vec![]), spec.clone()]);
        let seal = seal(&root, 0, vec![won(1, &[(0, 30), (1, 30)]), won(0, &[(0, 30), (3, 500)])]);
        let manifest = stage_manifest(&root, &spec, false, &[&seal]);
        // Weights by partition: 0, 60, 30, 0, 500, 0.
        let tasks: Vec<_> =
            manifest.tasks.iter().map(|task| (task.partitions.clone(), task.bytes)).collect();
        assert_eq!(tasks, vec![(vec![0, 1, 2, 3, 4], 590), (vec![5], 0)]);
        assert_eq!(manifest, stage_manifest(&root, &spec, false, &[&seal]));
    }

    #[test]
    fn zero_task_bytes_gives_every_partition_its_task_and_one_task_gives_one() {
        let mut spec = stage(0, 5, vec![]);
        let root = root(vec![spec.clone()]);
        assert_eq!(stage_manifest(&root, &spec, false, &[]).tasks.len(), 5);
        spec.one_task = true;
        let manifest = stage_manifest(&root, &spec, false, &[]);
        assert_eq!(manifest.tasks.len(), 1);
        assert_eq!(manifest.tasks[0].partitions, vec![0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_seal_does_not_depend_on_the_order_of_its_commits() {
        let root = root(vec![stage(0, 2, vec![])]);
        let one = seal(&root, 0, vec![won(0, &[(0, 1)]), won(1, &[(1, 2)])]);
        let two = seal(&root, 0, vec![won(1, &[(1, 2)]), won(0, &[(0, 1)])]);
        assert_eq!(encode(&one), encode(&two));
        assert_eq!((one.rows, one.bytes), (2, 3));
    }

    /// Steps over one stage of `tasks` tasks whose view `shape` fills in.
    fn steps(tasks: u32, silent_ms: u64, shape: impl FnOnce(&mut QueryView)) -> Steps {
        let spec = stage(0, tasks, vec![]);
        let root = root(vec![spec.clone(), stage(1, 1, vec![partitioned(0, 0)])]);
        let manifest = Box::new(stage_manifest(&root, &spec, false, &[]));
        let mut view = QueryView::default();
        view.stage(0).manifest = true;
        shape(&mut view);
        next_steps(&root, &view, &BTreeMap::from([(0, manifest)]), |_, _| Seen {
            silent_ms,
            age_ms: silent_ms,
        })
    }

    #[test]
    fn a_stage_without_manifest_waits_for_its_inputs() {
        let root = root(vec![stage(0, 1, vec![]), stage(1, 1, vec![partitioned(0, 0)])]);
        let none: BTreeMap<StageId, Box<StageManifest>> = BTreeMap::new();
        let mut view = QueryView::default();
        let steps = next_steps(&root, &view, &none, |_, _| Seen::default());
        assert_eq!(steps.due, vec![Due::Manifest(0)]);
        view.stage(0).sealed = true;
        let steps = next_steps(&root, &view, &none, |_, _| Seen::default());
        assert_eq!(steps.due, vec![Due::Manifest(1)]);
        view.stage(1).sealed = true;
        assert!(next_steps(&root, &view, &none, |_, _| Seen::default()).finished);
    }

    #[test]
    fn a_living_claim_is_left_alone_and_a_silent_or_failed_one_is_followed() {
        let claim = |view: &mut QueryView| {
            view.stage(0).claims.insert(0, 2);
        };
        assert_eq!(steps(1, 0, claim).running, 1);
        assert!(steps(1, 0, claim).open.is_empty());
        let lease = Limits::default().lease_ms;
        let open = vec![OpenTask { stage: 0, task: 0, attempt: 3 }];
        // Two claims were lost before: the third is given four leases.
        assert_eq!(steps(1, lease * 4 - 1, claim).running, 1);
        assert_eq!(steps(1, lease * 4, claim).open, open);
        let failed = |view: &mut QueryView| {
            claim(view);
            view.stage(0).fails.entry(0).or_default().insert(2);
        };
        assert_eq!(steps(1, 0, failed).open, open);
        assert_eq!(steps(1, 0, failed).failed, vec![(0, 0)]);
    }

    #[test]
    fn a_committed_task_is_never_opened_again_however_dead_its_claim_looks() {
        let steps = steps(2, u64::MAX, |view| {
            view.stage(0).claims.insert(0, 0);
            view.stage(0).commits.insert(0);
        });
        assert_eq!(steps.open, vec![OpenTask { stage: 0, task: 1, attempt: 0 }]);
    }

    #[test]
    fn lost_claims_are_bounded_and_failures_do_not_count_as_lost() {
        let most = Limits::default().max_claims;
        let lost = |view: &mut QueryView| {
            view.stage(0).claims.insert(0, most - 1);
        };
        assert_eq!(steps(1, u64::MAX, lost).exhausted, vec![(0, 0)]);
        let failed = |view: &mut QueryView| {
            lost(view);
            view.stage(0).fails.entry(0).or_default().insert(0);
        };
        assert!(steps(1, u64::MAX, failed).exhausted.is_empty());
    }

    #[test]
    fn a_stage_of_more_than_64_tasks_is_sealed_by_groups() {
        let committed =
            |count: u32| move |view: &mut QueryView| view.stage(0).commits.extend(0..count);
        assert_eq!(steps(64, 0, committed(64)).due, vec![Due::Seal(0)]);
        assert_eq!(steps(65, 0, committed(64)).due, vec![Due::GroupSeal(0, 0)]);
        let steps = steps(65, 0, |view| {
            committed(65)(view);
            view.stage(0).groups.extend([0, 1]);
        });
        assert_eq!(steps.due, vec![Due::Seal(0)]);
        assert_eq!(group_tasks(1, 65), 64..65);
    }

    #[test]
    fn one_fatal_failure_or_four_others_end_a_query_and_give_backs_do_not() {
        let fail = |class: FailClass| Fail {
            v: RECORD_VERSION,
            nonce: String::new(),
            class,
            code: "CODE".to_owned(),
            message: "why".to_owned(),
        };
        let limits = Limits::default();
        assert_eq!(judge(&[fail(FailClass::Retry)], &limits), Verdict::Retry);
        let many = vec![fail(FailClass::GiveBack); 50];
        assert_eq!(judge(&many, &limits), Verdict::Retry);
        let four = vec![fail(FailClass::Retry); 4];
        assert!(matches!(judge(&four, &limits), Verdict::Fail(error) if error.retryable));
        assert!(matches!(
            judge(&[fail(FailClass::Fatal)], &limits),
            Verdict::Fail(error) if !error.retryable
        ));
    }

    #[test]
    fn a_stage_has_no_tasks_if_an_input_that_it_lives_on_is_empty() {
        let mut spec = stage(2, 4, vec![partitioned(0, 0), partitioned(1, 0)]);
        spec.empty_with = vec![1];
        let root = root(vec![stage(0, 4, vec![]), stage(1, 4, vec![]), spec.clone()]);
        let (full, empty) =
            (seal(&root, 0, vec![won(0, &[(0, 9)])]), seal(&root, 1, vec![won(0, &[])]));
        assert_eq!(stage_manifest(&root, &spec, false, &[&full, &empty]).tasks, vec![]);
        // The other input may be empty without that.
        assert_eq!(stage_manifest(&root, &spec, false, &[&empty, &full]).tasks.len(), 4);
        spec.empty_with = Vec::new();
        assert_eq!(stage_manifest(&root, &spec, false, &[&full, &empty]).tasks.len(), 4);
    }

    #[test]
    fn a_partition_that_is_far_too_large_is_shared_and_each_slice_is_read_once() {
        let mut spec = stage(1, 3, vec![partitioned(0, 0)]);
        spec.task_bytes = 100;
        let root = root(vec![stage(0, 4, vec![]), spec.clone()]);
        let tasks: Vec<SealedTask> =
            (0..4).map(|t| won(t, &[(0, 10), (1, 400), (2, 10)])).collect();
        let sealed = seal(&root, 0, tasks);
        let plain = stage_manifest(&root, &spec, false, &[&sealed]);
        assert!(plain.tasks.iter().all(|task| task.share.is_none()));
        spec.shares = Some(0);
        let shared = stage_manifest(&root, &spec, false, &[&sealed]);
        let shares: Vec<Share> = shared.tasks.iter().filter_map(|task| task.share).collect();
        assert_eq!(shares.len(), 3, "{:?}", shared.tasks);
        assert!(shared.tasks.iter().all(|t| t.share.is_none() || t.partitions == vec![1]));
        let slices: Vec<usize> =
            shares.iter().flat_map(|share| share.slices([400u64; 4].into_iter())).collect();
        assert_eq!(slices, vec![0, 1, 2, 3]);
        let plain: Vec<u32> = shared
            .tasks
            .iter()
            .filter(|t| t.share.is_none())
            .flat_map(|t| t.partitions.clone())
            .collect();
        assert_eq!(plain, vec![0, 2]);
    }

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

    #[test]
    fn a_probe_side_is_left_where_it_lies_if_the_build_side_is_small() {
        let mut probe =
            stage(1, 4, vec![StageInput { stage: 0, mode: InputMode::Whole, offset: 0 }]);
        probe.scan_bytes = vec![1 << 20; 4];
        probe.absorbed_by = Some(2);
        let mut join = stage(2, 8, vec![partitioned(0, 0), partitioned(1, 0)]);
        join.broadcast = Some(Broadcast {
            build: 0,
            probe: 1,
            most_bytes: 2 << 20,
            plan: "other".to_owned(),
            partitions: 4,
            inputs: probe.inputs.clone(),
            scan_bytes: probe.scan_bytes.clone(),
        });
        let root = root(vec![stage(0, 1, vec![]), probe.clone(), join.clone()]);
        let build = |bytes: u64| seal(&root, 0, vec![won(0, &[(0, bytes)])]);
        // Four tasks would read a MiB each: less than exchanging four.
        let small = stage_manifest(&root, &probe, false, &[&build(1 << 20)]);
        assert!(small.absorbed && small.tasks.is_empty());
        let joined = stage_manifest(&root, &join, true, &[&build(1 << 20)]);
        assert!(joined.broadcast && joined.tasks.len() == 4);
        // Over the limit, and more to read than to exchange.
        for bytes in [3 << 20, (5 << 20) / 4 + 1] {
            let large = stage_manifest(&root, &probe, false, &[&build(bytes)]);
            assert!(!large.absorbed && large.tasks.len() == 4, "{bytes}");
        }
        let exchanged = seal(&root, 1, vec![won(0, &[(0, 9)])]);
        let joined = stage_manifest(&root, &join, false, &[&build(3 << 20), &exchanged]);
        assert!(!joined.broadcast && joined.tasks.len() == 8);
    }
}
