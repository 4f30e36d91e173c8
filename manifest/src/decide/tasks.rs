//! Which tasks a stage has: its manifest, decided only from the sizes in seals.

use crate::decide::facts::{Decided, Sealed};
use crate::model::encoding::RECORD_VERSION;
use crate::model::ids::StageId;
use crate::model::records::{
    Adaptive, BucketTotal, InputMode, Root, Seal, Share, StageInput, StageManifest, StageSpec,
    TaskSpec,
};

/// The manifest of a stage, if the seals that it depends on are known. `seal_of` gives the known seals.
#[must_use]
pub fn manifest_of(
    root: &Root,
    spec: &StageSpec,
    seal_of: impl Fn(StageId) -> Option<Sealed>,
) -> Option<Decided> {
    // The stage of the probe side decides whether it is merged into this one, and its seal tells.
    let broadcast = match &spec.broadcast {
        Some(broadcast) => seal_of(broadcast.probe)?.seal.absorbed,
        None => false,
    };
    let inputs = spec.decided(broadcast).inputs;
    let seals: Option<Vec<Sealed>> = inputs.iter().map(|input| seal_of(input.stage)).collect();
    let seals = seals?;
    let seals: Vec<&Sealed> = seals.iter().collect();
    Some(Decided::of(stage_manifest(root, spec, broadcast, &seals)))
}

/// The manifest of a stage. `broadcast` tells whether the stage of the probe side is merged into this one
/// ([`StageManifest::absorbed`]). `seals` are the seals of the inputs of the stage as it then runs
/// ([`StageSpec::decided`]), in the order of the inputs.
///
/// The result depends only on sealed facts, so every process that computes it writes the same bytes: how many tasks
/// there are, which partitions are too large for one task, and whether the stage has work at all.
#[must_use]
pub fn stage_manifest(
    root: &Root,
    spec: &StageSpec,
    broadcast: bool,
    seals: &[&Sealed],
) -> StageManifest {
    let spec = &spec.decided(broadcast);
    let adaptive = &root.adaptive;
    let digests = seals.iter().map(|sealed| sealed.digest.clone()).collect();
    let seals: Vec<&Seal> = seals.iter().map(|sealed| sealed.seal.as_ref()).collect();
    let totals: Vec<Vec<BucketTotal>> = seals.iter().map(|seal| seal.buckets()).collect();
    let weights = weights(spec, &totals);
    // An input that is merged into this stage has rows only once the task has run it.
    let runs_inputs = seals.iter().any(|seal| seal.absorbed);
    let empty = spec.inputs.iter().zip(&seals).any(|(input, seal)| {
        spec.empty_with.contains(&input.stage) && seal.rows == 0 && !seal.absorbed
    });
    let absorbed =
        is_absorbed(root, spec, &seals, &weights) || (!empty && rides(root, spec, &seals));
    let mut tasks = Vec::new();
    if !absorbed && runs_inputs {
        tasks = packed(&weights, &Packing { one_task: true, ..Packing::of(spec) }, None);
    } else if !empty && !absorbed {
        let idle = idle(root, spec, &totals);
        let skewed = (spec.inputs.iter().zip(&totals))
            .find(|(input, _)| {
                spec.shares == Some(input.stage) && input.mode == InputMode::Partitioned
            })
            .map(|(input, totals)| Skewed { input, totals, adaptive });
        tasks = packed(&weights, &Packing { idle: &idle, ..Packing::of(spec) }, skewed.as_ref());
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
        seals: digests,
        inline_bytes: (adaptive.inline_stage / count)
            .min(adaptive.inline_task)
            .max(adaptive.inline_least),
        buckets: spec.buckets(),
        broadcast,
        absorbed,
    }
}

/// True if the stage is merged into another one, which then does its work: the build side of the join is so small
/// that reading it in every task costs less than exchanging the probe side.
fn is_absorbed(root: &Root, spec: &StageSpec, seals: &[&Seal], weights: &[u64]) -> bool {
    let by = spec.absorbed_by.and_then(|by| root.stages.iter().find(|stage| stage.id == by));
    let Some(broadcast) = by.and_then(|by| by.broadcast.as_ref()) else { return false };
    let build = spec.inputs.iter().zip(seals).find(|(input, _)| input.stage == broadcast.build);
    let Some((_, build)) = build else { return false };
    let tasks = packed(weights, &Packing::of(spec), None).len();
    let tasks = u64::try_from(tasks).unwrap_or(u64::MAX);
    let read = build.bytes.saturating_mul(tasks);
    let exchanged: u64 = weights.iter().sum();
    build.bytes <= broadcast.most_bytes
        && read <= exchanged.saturating_add(root.adaptive.free_broadcast)
}

/// True if the stage's work is done in the one task of the only stage that reads it. By its input it would have one task
/// anyway, so no work is lost to others. The product of the inputs' rows bounds what a join may make of them.
fn rides(root: &Root, spec: &StageSpec, seals: &[&Seal]) -> bool {
    let by = spec.absorbed_by.and_then(|by| root.stages.iter().find(|stage| stage.id == by));
    let lives_on_it = by.is_some_and(|by| by.broadcast.is_none() && by.inputs.len() == 1);
    let bytes = seals.iter().map(|seal| seal.bytes).fold(0, u64::saturating_add);
    let pairs = seals.iter().map(|seal| seal.rows.max(1)).fold(1, u64::saturating_mul);
    lives_on_it
        && spec.scan_bytes.is_empty()
        && bytes < spec.task_bytes
        && pairs <= root.adaptive.most_pairs
}

/// Input bytes of each partition.
fn weights(spec: &StageSpec, totals: &[Vec<BucketTotal>]) -> Vec<u64> {
    let mut weights = vec![0u64; spec.partitions as usize];
    for (partition, bytes) in spec.scan_bytes.iter().enumerate() {
        if let Some(weight) = weights.get_mut(partition) {
            *weight += bytes;
        }
    }
    for (input, buckets) in spec.inputs.iter().zip(totals) {
        if input.mode == InputMode::Whole {
            continue;
        }
        let read = weights.iter_mut().skip(input.offset as usize);
        read.zip(buckets).for_each(|(weight, bucket)| *weight += bucket.bytes);
    }
    weights
}

/// The input that makes partitions too large, if its buckets may be read in shares.
struct Skewed<'a> {
    input: &'a StageInput,
    totals: &'a [BucketTotal],
    adaptive: &'a Adaptive,
}

impl Skewed<'_> {
    /// Bytes and slices that a partition reads of this input.
    fn bucket(&self, partition: u32) -> (u64, u64) {
        let bucket = partition.checked_sub(self.input.offset);
        let total = bucket.and_then(|bucket| self.totals.get(bucket as usize));
        total.map_or((0, 0), |total| (total.bytes, total.slices))
    }
}

/// The partitions that give no rows, because a bucket that each lives on has none. Partition `p` of a stage reads bucket
/// `p - offset` of an input, and nothing else of it.
fn idle(root: &Root, spec: &StageSpec, totals: &[Vec<BucketTotal>]) -> Vec<bool> {
    let mut idle = vec![false; spec.partitions as usize];
    if spec.one_task {
        return idle;
    }
    for &stage in &spec.empty_with {
        let Some(producer) = root.stages.iter().find(|producer| producer.id == stage) else {
            continue;
        };
        let reads = || spec.inputs.iter().zip(totals).filter(|(input, _)| input.stage == stage);
        // What reads a stage whole as well may have rows of it in every partition.
        if reads().any(|(input, _)| input.mode == InputMode::Whole) {
            continue;
        }
        let Some((_, totals)) = reads().next() else { continue };
        let rows = |bucket: u32| totals.get(bucket as usize).map_or(0, |total| total.rows);
        for (partition, idle) in (0u32..).zip(&mut idle) {
            let read = reads().filter_map(|(input, _)| partition.checked_sub(input.offset));
            let mut read = read.filter(|bucket| *bucket < producer.buckets()).peekable();
            *idle |= read.peek().is_some() && read.all(|bucket| rows(bucket) == 0);
        }
    }
    idle
}

/// How partitions become tasks.
#[derive(Clone, Copy)]
struct Packing<'a> {
    task_bytes: u64,
    one_task: bool,
    /// Partitions that no task runs. A partition beyond the end is run.
    idle: &'a [bool],
}

impl Packing<'_> {
    fn of(spec: &StageSpec) -> Self {
        Self { task_bytes: spec.task_bytes, one_task: spec.one_task, idle: &[] }
    }
}

/// How many tasks a stage has if its partitions scan `scan_bytes`, as far as this is known when the query is planned.
#[must_use]
pub fn planned_tasks(scan_bytes: &[u64], task_bytes: u64) -> usize {
    packed(scan_bytes, &Packing { task_bytes, one_task: false, idle: &[] }, None).len()
}

/// Assigns neighbouring partitions to a task until its input reaches `task_bytes`. A partition that is far larger
/// than the others is cut into shares, and each share is a task.
fn packed(weights: &[u64], packing: &Packing<'_>, skewed: Option<&Skewed<'_>>) -> Vec<TaskSpec> {
    let Packing { task_bytes, one_task, idle } = *packing;
    let count = u64::try_from(weights.len()).unwrap_or(u64::MAX).max(1);
    let usual = (weights.iter().sum::<u64>() / count).max(task_bytes).max(1);
    let mut tasks: Vec<TaskSpec> = Vec::new();
    let mut open = false;
    for (partition, bytes) in weights.iter().enumerate() {
        if idle.get(partition).is_some_and(|idle| *idle) {
            continue;
        }
        let partition = u32::try_from(partition).unwrap_or(u32::MAX);
        if let Some(skewed) =
            skewed.filter(|skewed| !one_task && *bytes > usual.saturating_mul(skewed.adaptive.skew))
        {
            let (own, slices) = skewed.bucket(partition);
            let of = own.div_ceil(usual).min(slices).min(skewed.adaptive.most_shares);
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
            Some(task) if open && (one_task || task.bytes < task_bytes) => {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::decide::fixtures::{decided, partitioned, root, stage, won};
    use crate::decide::seals::seal;
    use crate::model::encoding::digest;
    use crate::model::records::{Broadcast, Output, SealedTask};

    /// The seal of a stage without inputs, as if it had these winners.
    fn sealed(root: &Root, stage: StageId, winners: Vec<SealedTask>) -> Sealed {
        let mut leaf = decided(root, 0, &[]);
        leaf.manifest.stage = stage;
        Sealed::derived(seal(&leaf, winners))
    }

    #[test]
    fn partitions_are_packed_by_sealed_bytes_and_no_partition_is_left_out() {
        let mut spec = stage(1, 6, vec![partitioned(0, 1)]);
        spec.task_bytes = 100;
        let root = root(vec![stage(0, 1, vec![]), spec.clone()]);
        let seal =
            sealed(&root, 0, vec![won(1, &[(0, 30), (1, 30)]), won(0, &[(0, 30), (3, 500)])]);
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
    fn a_stage_has_no_tasks_if_an_input_that_it_lives_on_is_empty() {
        let mut spec = stage(2, 4, vec![partitioned(0, 0), partitioned(1, 0)]);
        spec.empty_with = vec![1];
        let root = root(vec![stage(0, 4, vec![]), stage(1, 4, vec![]), spec.clone()]);
        let (full, empty) =
            (sealed(&root, 0, vec![won(0, &[(0, 9)])]), sealed(&root, 1, vec![won(0, &[])]));
        assert_eq!(stage_manifest(&root, &spec, false, &[&full, &empty]).tasks, vec![]);
        // The stage may have rows when the other input is empty: in the only partition whose bucket has any.
        assert_eq!(stage_manifest(&root, &spec, false, &[&empty, &full]).tasks.len(), 1);
        spec.empty_with = Vec::new();
        assert_eq!(stage_manifest(&root, &spec, false, &[&full, &empty]).tasks.len(), 4);
    }

    #[test]
    fn a_stage_of_little_input_is_run_by_the_only_stage_that_reads_it() {
        let mut middle = stage(1, 4, vec![partitioned(0, 0)]);
        middle.task_bytes = 100;
        middle.absorbed_by = Some(2);
        middle.empty_with = vec![0];
        let mut last = stage(2, 3, vec![partitioned(1, 0)]);
        last.empty_with = vec![1];
        let root = root(vec![stage(0, 4, vec![]), middle.clone(), last.clone()]);
        let of = |root: &Root, spec: &StageSpec, bytes: u64| {
            let seal = sealed(root, 0, vec![won(0, &[(0, bytes / 2), (3, bytes - bytes / 2)])]);
            let decided = Decided::of(stage_manifest(root, spec, false, &[&seal]));
            (Sealed::derived(crate::decide::seal(&decided, Vec::new())), decided.manifest)
        };
        let (small, manifest) = of(&root, &middle, 99);
        assert!(manifest.absorbed && manifest.tasks.is_empty());
        // All partitions, although the seal tells of no rows: the rows are there when the task has run the other stage.
        let reader = stage_manifest(&root, &last, false, &[&small]);
        assert!(!reader.absorbed);
        assert_eq!(reader.tasks.len(), 1);
        assert_eq!(reader.tasks[0].partitions, vec![0, 1, 2]);
        // What would be more than one task keeps its own tasks, and so does all work if no task may have two partitions.
        assert!(!of(&root, &middle, 100).1.absorbed);
        middle.task_bytes = 0;
        assert!(!of(&root, &middle, 0).1.absorbed);
        // Nothing to run: the reader knows that there are no rows.
        middle.task_bytes = 100;
        let empty = sealed(&root, 0, vec![won(0, &[])]);
        let manifest = stage_manifest(&root, &middle, false, &[&empty]);
        assert!(!manifest.absorbed && manifest.tasks.is_empty());
        // A join may make too many rows of its inputs.
        let mut root = root;
        root.adaptive.most_pairs = 1;
        let manifest = of(&root, &middle, 99).1;
        assert!(!manifest.absorbed && manifest.tasks.len() == 1);
        // A reader of two stages keeps its tasks.
        root.adaptive.most_pairs = 1 << 24;
        root.stages[2].inputs.push(partitioned(0, 0));
        assert!(!of(&root, &middle, 99).1.absorbed);
    }

    #[test]
    fn a_partition_whose_bucket_is_empty_has_no_task() {
        let mut spec = stage(1, 4, vec![partitioned(0, 0)]);
        spec.empty_with = vec![0];
        let producer = Output::Hash { buckets: 4 };
        let root = |spec: &StageSpec, output| {
            root(vec![StageSpec { output, ..stage(0, 1, vec![]) }, spec.clone()])
        };
        let partitions = |spec: &StageSpec, output| {
            let root = root(spec, output);
            let seal = sealed(&root, 0, vec![won(0, &[(1, 10), (3, 10)])]);
            let seals = vec![&seal; spec.inputs.len()];
            let tasks = stage_manifest(&root, spec, false, &seals).tasks;
            let mut all: Vec<u32> = tasks.into_iter().flat_map(|task| task.partitions).collect();
            all.sort_unstable();
            all
        };
        assert_eq!(partitions(&spec, producer), [1, 3]);
        // A stage that may have rows without this input runs all its partitions, and so does one in a single task.
        assert_eq!(
            partitions(&StageSpec { empty_with: vec![], ..spec.clone() }, producer),
            [0, 1, 2, 3]
        );
        assert_eq!(
            partitions(&StageSpec { one_task: true, ..spec.clone() }, producer),
            [0, 1, 2, 3]
        );
        // A union reads the stage twice, at two places: each partition reads one bucket.
        let union = StageSpec {
            partitions: 8,
            inputs: vec![partitioned(0, 0), partitioned(0, 4)],
            ..spec.clone()
        };
        assert_eq!(partitions(&union, producer), [1, 3, 5, 7]);
        // What is beyond the buckets of the producer is not empty: it is not read.
        let two = Output::Hash { buckets: 2 };
        assert_eq!(partitions(&spec, two), [1, 2, 3]);
        // Who reads the whole stage as well may have rows everywhere.
        let whole = StageInput { stage: 0, mode: InputMode::Whole, offset: 0 };
        let both = StageSpec { inputs: vec![partitioned(0, 0), whole], ..spec };
        assert_eq!(partitions(&both, producer), [0, 1, 2, 3]);
    }

    #[test]
    fn a_partition_that_is_far_too_large_is_shared_and_each_slice_is_read_once() {
        let mut spec = stage(1, 3, vec![partitioned(0, 0)]);
        spec.task_bytes = 100;
        let root = root(vec![stage(0, 4, vec![]), spec.clone()]);
        let tasks: Vec<SealedTask> =
            (0..4).map(|t| won(t, &[(0, 10), (1, 400), (2, 10)])).collect();
        let exchanged = sealed(&root, 0, tasks);
        let plain = stage_manifest(&root, &spec, false, &[&exchanged]);
        assert!(plain.tasks.iter().all(|task| task.share.is_none()));
        spec.shares = Some(0);
        let shared = stage_manifest(&root, &spec, false, &[&exchanged]);
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
        let build = |bytes: u64| sealed(&root, 0, vec![won(0, &[(0, bytes)])]);
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
        let exchanged = sealed(&root, 1, vec![won(0, &[(0, 9)])]);
        let joined = stage_manifest(&root, &join, false, &[&build(3 << 20), &exchanged]);
        assert!(!joined.broadcast && joined.tasks.len() == 8);
    }

    #[test]
    fn a_manifest_is_known_when_the_seals_that_it_depends_on_are() {
        let root = root(vec![
            stage(0, 1, vec![]),
            stage(1, 1, vec![]),
            stage(2, 4, vec![partitioned(0, 0), partitioned(1, 0)]),
        ]);
        let seals: Vec<Sealed> =
            (0..2).map(|stage| sealed(&root, stage, vec![won(0, &[(0, 9)])])).collect();
        let known = |upto: usize| {
            let seals = seals[..upto].to_vec();
            manifest_of(&root, &root.stages[2], move |stage| seals.get(stage as usize).cloned())
        };
        assert!(known(0).is_none() && known(1).is_none());
        let join = known(2).unwrap();
        assert_eq!(join.manifest.seals, [seals[0].digest.clone(), seals[1].digest.clone()]);
        assert_eq!(join.digest, digest(&join.manifest));
    }
}
