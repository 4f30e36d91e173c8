//! The query of a simulation: its stages, how long each task runs, and what each task would have written.
//!
//! ```text
//!   s0 ──> s1 ──> … ──> s7      every stage has as many tasks; partition p reads bucket p of the stage before
//! ```
//! It exists so that a query of any size can be made without planning one. Everything in it is a function of its seed,
//! so the best possible time of a stage can be computed beside what the simulation finds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use bytes::Bytes;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::{
    Adaptive, DataObject, EngineFence, InputMode, Limits, Output, RECORD_VERSION, ResultSpec, Root,
    Route, Slice, StageInput, StageSpec, TaskOutput,
};
use dunlin_manifest::submit::Submission;

use dunlin_sim::clock::mixed;

const PLAN: &[u8] = b"a plan that nobody decodes";
/// Half of all PUTs take at most this, and half of all GETs.
const PUT: Duration = Duration::from_millis(40);
const GET: Duration = Duration::from_millis(27);

/// A query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Stages.
    pub(super) stages: u32,
    /// Tasks of each stage.
    pub(super) tasks: u32,
    /// Slices that a task writes.
    pub(super) slices: u32,
    /// Of a thousand tasks, so many run `straggle` times as long.
    pub(super) stragglers: u64,
    /// How many times as long the first attempt of a straggler runs, and every other one if it is the task that is slow.
    pub(super) straggle: u32,
    /// True if a second attempt of a straggler is as fast as any: its machine was slow.
    pub(super) is_machine: bool,
    /// Seed of all of it.
    pub(super) seed: u64,
}

impl Shape {
    /// How long a task computes: 0.5 to 1.5 s, or far longer.
    pub(super) fn run_time(&self, stage: u32, task: u32) -> Duration {
        self.attempt_time(stage, task, 0)
    }

    /// The same for an attempt.
    pub(super) fn attempt_time(&self, stage: u32, task: u32, attempt: u32) -> Duration {
        let number = self.number(stage, task);
        let time = Duration::from_micros(500_000 + number % 1_000_000);
        let straggles = (number >> 32) % 1_000 < self.stragglers;
        if straggles && (attempt == 0 || !self.is_machine) { time * self.straggle } else { time }
    }

    fn number(&self, stage: u32, task: u32) -> u64 {
        let place = (u64::from(stage) << 32) | u64::from(task);
        mixed(mixed(self.seed) ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn stage_computes(&self, stage: u32) -> Duration {
        (0..self.tasks).map(|task| self.run_time(stage, task)).sum()
    }

    /// The least time of a stage with so many slots, from the last commit of the stage before to its own. A slot is
    /// busy with a task while that computes and puts its data. No slot has less to do than the mean, or than the longest
    /// task. Then the last commit is one PUT, and before the stage one GET must have told of the stage before. Requests
    /// take their median time: half are faster, but the slowest of many never is.
    pub(super) fn least(&self, stage: u32, slots: usize) -> Duration {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX).max(1);
        let mean = (self.stage_computes(stage) + PUT * self.tasks) / slots;
        let times = (0..self.tasks).map(|task| self.run_time(stage, task));
        let longest = times.max().unwrap_or_default() + PUT;
        GET + mean.max(longest) + PUT
    }

    /// The same for a scheduler that knows every claim at once, and not how long a task will run: each slot that is free
    /// takes the next task. Nobody who does not know the stragglers before can do much better.
    pub(super) fn greedy(&self, stage: u32, slots: usize) -> Duration {
        let mut free: BinaryHeap<Reverse<Duration>> =
            (0..slots.max(1)).map(|_| Reverse(Duration::ZERO)).collect();
        let mut last = Duration::ZERO;
        for task in 0..self.tasks {
            let Reverse(begins) = free.pop().unwrap_or_default();
            let ends = begins + self.run_time(stage, task) + PUT;
            free.push(Reverse(ends));
            last = last.max(ends);
        }
        GET + last + PUT
    }

    /// What a task has written to the object at `key`.
    pub(super) fn output(
        &self,
        stage: u32,
        task: u32,
        partitions: &[u32],
        key: &str,
    ) -> TaskOutput {
        let of_hash = (0..self.slices.min(self.tasks)).map(|number| {
            let step = (self.tasks / self.slices.max(1)).max(1);
            (task + number * step) % self.tasks
        });
        let is_last = stage + 1 == self.stages;
        let mut buckets: Vec<u32> = if is_last { partitions.to_vec() } else { of_hash.collect() };
        buckets.sort_unstable();
        buckets.dedup();
        let mut offset = 0;
        let slices = buckets.into_iter().map(|bucket| {
            let len = 4_096 + self.number(stage, task ^ bucket) % 4_096 / 64 * 64;
            let slice = Slice {
                bucket,
                object: Some(0),
                offset,
                len,
                rows: len / 64,
                xxh3: "0123456789abcdef".to_owned(),
            };
            offset += len;
            slice
        });
        let slices: Vec<Slice> = slices.collect();
        let rows = slices.iter().map(|slice| slice.rows).sum();
        TaskOutput {
            objects: vec![DataObject { key: key.to_owned(), len: offset }],
            slices,
            inline: String::new(),
            rows,
            bytes: offset,
        }
    }

    fn stage(&self, id: u32) -> StageSpec {
        let is_last = id + 1 == self.stages;
        let inputs = id.checked_sub(1).map(|stage| StageInput {
            stage,
            mode: InputMode::Partitioned,
            offset: 0,
        });
        let scans = |task| (32 << 20) + self.number(id, task) % (32 << 20);
        StageSpec {
            id,
            name: format!("stage {id}"),
            plan: blake3::hash(PLAN).to_hex().to_string(),
            partitions: self.tasks,
            inputs: inputs.into_iter().collect(),
            output: if is_last { Output::Result } else { Output::Hash { buckets: self.tasks } },
            scan_bytes: if id == 0 { (0..self.tasks).map(scans).collect() } else { Vec::new() },
            task_bytes: 0,
            one_task: false,
            key_filter: false,
            empty_with: Vec::new(),
            shares: None,
            broadcast: None,
            absorbed_by: None,
        }
    }

    /// The query, ready to be submitted.
    pub(super) fn submission(&self, env: &Env, engine: EngineFence) -> Submission {
        let query = QueryId::new(env);
        let root = Root {
            v: RECORD_VERSION,
            nonce: env.nonce(),
            query: query.to_string(),
            sql: "select 1".to_owned(),
            session: BTreeMap::new(),
            engine,
            route: Route::Fleet,
            route_reason: "simulated".to_owned(),
            stages: (0..self.stages).map(|id| self.stage(id)).collect(),
            result: ResultSpec { schema: String::new() },
            pins: Vec::new(),
            limits: Limits::default(),
            adaptive: Adaptive::default(),
            plans: BTreeMap::new(),
            explain: String::new(),
            owner: None,
            workgroup: None,
            pool: None,
            write: None,
            trace: None,
            code: None,
        };
        let plans = vec![(blake3::hash(PLAN).to_hex().to_string(), Bytes::from_static(PLAN))];
        Submission { query, root, plans, idem: None }
    }
}
