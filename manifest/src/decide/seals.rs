//! How commits are combined into seals. Stages of many tasks combine them group by group.

use std::ops::Range;

use bytes::Bytes;

use crate::decide::facts::Decided;
use crate::model::encoding::RECORD_VERSION;
use crate::model::ids::{QueryId, TaskId};
use crate::model::keys::{GROUP, Writer, tasks_of};
use crate::model::records::block::{DamagedBlock, decode_head, encode_block};
use crate::model::records::seal::add_slice;
use crate::model::records::{
    BlockHead, BlockRef, Commit, Seal, SealTotals, SealedBlocks, SealedTask, StageManifest,
};

/// A record contradicts the manifest that its stage must have: it was written under another one, or for a task that
/// does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction;

/// The commit of a task in the form that a seal holds. `of`: the query, and its workgroup.
///
/// # Errors
/// The commit contradicts the manifest, or names objects that its attempt cannot have written.
pub fn winner(
    decided: &Decided,
    of: (&QueryId, Option<&str>),
    task: TaskId,
    commit: Commit,
) -> Result<SealedTask, Contradiction> {
    let stage = decided.manifest.stage;
    let exists = (task as usize) < decided.manifest.tasks.len();
    let (query, workgroup) = of;
    let (attempt, nonce) = (commit.attempt, commit.claim.as_str());
    let writer = Writer { workgroup, query, stage, task, attempt, nonce };
    let objects_are_own =
        commit.output.objects.iter().all(|object| writer.may_have_written(&object.key));
    // After the last bucket there may be a filter of keys.
    let buckets_exist =
        commit.output.slices.iter().all(|slice| slice.bucket <= decided.manifest.buckets);
    let is_of_task = commit.task == task && commit.manifest == decided.digest;
    if !exists || !buckets_exist || !objects_are_own || !is_of_task {
        return Err(Contradiction);
    }
    Ok(SealedTask {
        task: commit.task,
        attempt: commit.attempt,
        claim: commit.claim,
        worker: commit.worker,
        output: commit.output,
        metrics: commit.metrics,
    })
}

/// The seal of a group, from its winners in any order: its bytes, its head, and what the stage's seal holds of it.
///
/// # Errors
/// The group is too large.
pub fn group_seal(
    decided: &Decided,
    group: u32,
    mut tasks: Vec<SealedTask>,
) -> Result<(Bytes, BlockHead, BlockRef), DamagedBlock> {
    tasks.sort_by_key(|task| task.task);
    let bytes = encode_block(decided.manifest.stage, group, &decided.digest, &tasks)?;
    let (head, reference) = decode_head(&bytes)?;
    Ok((bytes, head, reference))
}

/// The seal of a stage from the seals of its groups, in the order of the groups. `all` is what they are as one, if they
/// were joined.
#[must_use]
pub fn fold<'a>(
    decided: &Decided,
    blocks: impl IntoIterator<Item = (&'a BlockHead, &'a BlockRef)>,
    all: Option<BlockRef>,
) -> Seal {
    let (refs, buckets, totals) = (Vec::new(), Vec::new(), SealTotals::default());
    let mut folded = SealedBlocks { refs, all, buckets, totals };
    let (mut rows, mut bytes) = (0, 0);
    for (head, reference) in blocks {
        folded.refs.push(reference.clone());
        head.rows.iter().for_each(|row| add_slice(&mut folded.buckets, row.bucket, row.total));
        for task in &head.tasks {
            folded.totals.add(task.attempt, &task.metrics);
            rows += task.output.rows;
            bytes += task.output.bytes;
        }
    }
    Seal { rows, bytes, blocks: Some(folded), ..seal(decided, Vec::new()) }
}

/// The seal of a stage, from its winners in any order.
#[must_use]
pub fn seal(decided: &Decided, mut tasks: Vec<SealedTask>) -> Seal {
    tasks.sort_by_key(|task| task.task);
    Seal {
        v: RECORD_VERSION,
        query: decided.manifest.query.clone(),
        stage: decided.manifest.stage,
        manifest: decided.digest.clone(),
        absorbed: decided.manifest.absorbed,
        rows: tasks.iter().map(|task| task.output.rows).sum(),
        bytes: tasks.iter().map(|task| task.output.bytes).sum(),
        tasks,
        blocks: None,
    }
}

/// Slices that the seal of a stage lists itself, if every task has rows for every bucket. With more, they are in blocks.
const LISTED: u64 = 16 << 10;

/// Groups whose seals are written on their own; 0: the stage's seal lists all its winners.
#[must_use]
pub fn groups(manifest: &StageManifest) -> u32 {
    let tasks = u32::try_from(manifest.tasks.len()).unwrap_or(u32::MAX);
    let slices = u64::from(tasks).saturating_mul(u64::from(manifest.buckets));
    if tasks <= GROUP && slices <= LISTED { 0 } else { tasks.div_ceil(GROUP) }
}

/// Tasks of one group.
#[must_use]
pub fn group_tasks(group: u32, tasks: usize) -> Range<TaskId> {
    let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
    let all = tasks_of(group);
    all.start.min(tasks)..all.end.min(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{decided, root, stage, won};
    use crate::model::encoding::encode;
    use crate::model::records::{DataObject, Output, StageSpec, TaskMetrics, TaskOutput};

    #[test]
    fn a_seal_of_blocks_has_the_same_totals_as_one_that_lists_all() {
        let root = root(vec![stage(0, 66, vec![])]);
        let scan = decided(&root, 0, &[]);
        let winners: Vec<SealedTask> =
            (0..66).map(|task| won(task, &[(task % 3, 10), (7, u64::from(task))])).collect();
        let listed = seal(&scan, winners.clone());
        let blocks: Vec<_> = winners
            .chunks(64)
            .zip(0..)
            .map(|(tasks, group)| group_seal(&scan, group, tasks.to_vec()).ok())
            .collect();
        let folded = fold(
            &scan,
            blocks.iter().flatten().map(|(_, head, reference)| (head, reference)),
            None,
        );
        assert_eq!((folded.rows, folded.bytes), (listed.rows, listed.bytes));
        assert_eq!((folded.buckets(), folded.totals()), (listed.buckets(), listed.totals()));
        assert!(folded.tasks.is_empty() && encode(&folded).len() < encode(&listed).len() / 10);
    }

    #[test]
    fn a_seal_does_not_depend_on_the_order_of_its_commits() {
        let root = root(vec![stage(0, 2, vec![])]);
        let scan = decided(&root, 0, &[]);
        let one = seal(&scan, vec![won(0, &[(0, 1)]), won(1, &[(1, 2)])]);
        let two = seal(&scan, vec![won(1, &[(1, 2)]), won(0, &[(0, 1)])]);
        assert_eq!(encode(&one), encode(&two));
        assert_eq!((one.rows, one.bytes), (2, 3));
        assert_eq!(one.manifest, scan.digest);
    }

    #[test]
    fn a_commit_of_another_manifest_or_of_no_task_is_a_contradiction() {
        let root = root(vec![stage(0, 2, vec![])]);
        let scan = decided(&root, 0, &[]);
        let commit = |task: TaskId, manifest: &str| Commit {
            v: RECORD_VERSION,
            nonce: String::new(),
            task,
            attempt: 0,
            claim: String::new(),
            manifest: manifest.to_owned(),
            worker: String::new(),
            output: TaskOutput::default(),
            metrics: TaskMetrics::default(),
        };
        let (query, other) = (QueryId::at(1, &[7; 10]), QueryId::at(2, &[7; 10]));
        assert!(winner(&scan, (&query, None), 1, commit(1, &scan.digest)).is_ok());
        for (task, commit) in
            [(1, commit(1, "another")), (1, commit(0, &scan.digest)), (2, commit(2, &scan.digest))]
        {
            assert_eq!(winner(&scan, (&query, None), task, commit), Err(Contradiction));
        }
        // Objects that another attempt or query has written, or nobody of Dunlin.
        let naming = |key: String| {
            let mut commit = Commit { claim: "c".to_owned(), ..commit(1, &scan.digest) };
            commit.output.objects = vec![DataObject { key, len: 1 }];
            winner(&scan, (&query, None), 1, commit)
        };
        let (stage, task, attempt, nonce) = (0, 1, 0, "c");
        let writer = Writer { workgroup: None, query: &query, stage, task, attempt, nonce };
        assert!(naming(writer.data(3)).is_ok());
        assert!(naming(writer.res(0)).is_ok());
        let foreign = [
            Writer { query: &other, ..writer }.data(3),
            Writer { nonce: "d", ..writer }.data(3),
            Writer { attempt: 1, ..writer }.data(3),
            Writer { workgroup: Some("bi"), ..writer }.res(0),
            writer.data(3).replace("/3.arrow", "/03.arrow"),
            "../../etc/passwd".to_owned(),
        ];
        for key in foreign {
            assert_eq!(naming(key.clone()), Err(Contradiction), "{key}");
        }
    }

    #[test]
    fn groups_are_64_tasks_each_and_the_last_has_the_rest() {
        let of = |tasks: u32, buckets: u32| {
            let spec = StageSpec { output: Output::Hash { buckets }, ..stage(0, tasks, vec![]) };
            groups(&decided(&root(vec![spec]), 0, &[]).manifest)
        };
        assert_eq!((of(64, 1), of(65, 1)), (0, 2));
        // Few tasks with very many buckets.
        assert_eq!((of(16, 1024), of(16, 1025), of(64, 257)), (0, 1, 1));
        assert_eq!((group_tasks(0, 65), group_tasks(1, 65)), (0..64, 64..65));
    }
}
