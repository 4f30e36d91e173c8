//! `system.attempts`: every attempt of every task, and how it came out.
//!
//! ```text
//!   LIST each group of a stage ──> claims, failures, commits ──> one row for each claim
//!     winner     seal, or the commit of a stage that is not sealed
//!     failed     its record
//!     else       its claim; it is lost if the task has a winner or the query has ended
//! ```

use std::collections::{BTreeMap, BTreeSet};

use dunlin_manifest::ids::{Attempt, StageId, TaskId};
use dunlin_manifest::keys::{self, Key};
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{Claim, Commit, Fail, FailClass};
use dunlin_manifest::store::ControlStore;
use dunlin_manifest::store::create::load;
use dunlin_planner::{SnapshotError, Wanted};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::rows::{Row, Rows};
use super::stages::MOST;
use super::state::{Snapshot, unread};
use super::told::{Found, Looked, Outcome, Scan, Tried, What};
use crate::query::analyze::StageRun;

/// Requests for one query at a time.
const READS: usize = 8;

/// What one group's listing shows.
#[derive(Default)]
struct Group {
    claims: BTreeMap<(TaskId, Attempt), u64>,
    fails: BTreeSet<(TaskId, Attempt)>,
    commits: BTreeSet<TaskId>,
}

async fn group(handle: &QueryHandle, stage: StageId, number: u32) -> Result<Group, SnapshotError> {
    let prefix = keys::group_prefix(&handle.query, stage, number);
    let mut group = Group::default();
    for entry in handle.store().list(&prefix).await.map_err(unread)? {
        match keys::parse(&entry.key) {
            Some((_, Key::Claim(_, task, attempt))) => {
                let stamp = u64::try_from(entry.modified_ms).unwrap_or(0);
                group.claims.insert((task, attempt), stamp);
            }
            Some((_, Key::Fail(_, task, attempt))) => {
                group.fails.insert((task, attempt));
            }
            Some((_, Key::Commit(_, task))) => {
                group.commits.insert(task);
            }
            _ => {}
        }
    }
    Ok(group)
}

/// The attempts of one group, in the order of their tasks.
async fn of_group(
    looked: &Looked,
    run: &StageRun,
    number: u32,
) -> Result<Vec<Tried>, SnapshotError> {
    let Looked { handle, end, .. } = looked;
    let Group { mut claims, fails, commits } = group(handle, run.id, number).await?;
    let tasks = keys::tasks_of(number);
    let mut won: BTreeMap<(TaskId, Attempt), Outcome> = BTreeMap::new();
    for task in run.tasks().iter().filter(|task| tasks.contains(&task.task)) {
        let outcome = Outcome::Won { worker: task.worker.clone(), metrics: task.metrics };
        won.insert((task.task, task.attempt), outcome);
        // Its claim may be deleted, or be part of a record of its own.
        claims.entry((task.task, task.attempt)).or_insert(0);
    }
    if run.seal.is_none() {
        for task in commits {
            let key = keys::commit(&handle.query, run.id, task);
            if let Some(commit) = load::<Commit>(handle.store(), &key).await.map_err(unread)? {
                let outcome = Outcome::Won { worker: commit.worker, metrics: commit.metrics };
                won.insert((task, commit.attempt), outcome);
            }
        }
    }
    let done: BTreeSet<TaskId> = won.keys().map(|(task, _)| *task).collect();
    let tried = |((task, attempt), claimed_ms): ((TaskId, Attempt), u64)| {
        let (known, is_failed) =
            (won.get(&(task, attempt)).cloned(), fails.contains(&(task, attempt)));
        let is_lost = end.is_some() || done.contains(&task);
        async move {
            let outcome = match known {
                Some(known) => known,
                None => outcome(handle, (run.id, task, attempt), is_failed, is_lost).await?,
            };
            Ok(Tried { stage: run.id, task, attempt, claimed_ms, outcome })
        }
    };
    let tried: Vec<BoxFuture<'_, _>> = claims.into_iter().map(|it| tried(it).boxed()).collect();
    stream::iter(tried).buffered(READS).try_collect().await
}

async fn outcome(
    handle: &QueryHandle,
    (stage, task, attempt): (StageId, TaskId, Attempt),
    is_failed: bool,
    is_lost: bool,
) -> Result<Outcome, SnapshotError> {
    if is_failed {
        let key = keys::fail(&handle.query, stage, task, attempt);
        if let Some(fail) = load::<Fail>(handle.store(), &key).await.map_err(unread)? {
            return Ok(Outcome::Failed(Box::new(fail)));
        }
    }
    let key = keys::claim(&handle.query, stage, task, attempt);
    let claim = load::<Claim>(handle.store(), &key).await.map_err(unread)?;
    Ok(Outcome::None { worker: claim.map(|claim| claim.worker), is_lost })
}

impl Tried {
    fn row(&self, query: Row) -> Row {
        let word = match &self.outcome {
            Outcome::Won { .. } => "won",
            Outcome::Failed(fail) if fail.class == FailClass::GiveBack => "given_back",
            Outcome::Failed(_) => "failed",
            Outcome::None { is_lost: true, .. } => "lost",
            Outcome::None { is_lost: false, .. } => "running",
        };
        let row =
            query.int(self.stage.into()).int(self.task.into()).int(self.attempt.into()).text(word);
        match &self.outcome {
            Outcome::Won { worker, metrics } => row
                .text(worker.clone())
                .time(self.claimed_ms)
                .time(metrics.ended_ms)
                .int(metrics.wall_us / 1_000)
                .some_text(None::<String>)
                .some_text(None::<String>)
                .some_text(None::<String>),
            Outcome::Failed(fail) => row
                .text(fail.worker.clone())
                .time(self.claimed_ms)
                .time(fail.ended_ms)
                .some_int(fail.ended_ms.checked_sub(fail.began_ms).filter(|_| fail.began_ms > 0))
                .text(class(fail.class))
                .text(fail.code.as_str())
                .text(fail.message.clone()),
            Outcome::None { worker, .. } => row
                .some_text(worker.clone())
                .time(self.claimed_ms)
                .time(0)
                .some_int(None)
                .some_text(None::<String>)
                .some_text(None::<String>)
                .some_text(None::<String>),
        }
    }
}

/// As the record has it.
fn class(class: FailClass) -> &'static str {
    match class {
        FailClass::Retry => "RETRY",
        FailClass::Store => "STORE",
        FailClass::Fatal => "FATAL",
        FailClass::GiveBack => "GIVE_BACK",
    }
}

impl Snapshot {
    /// All attempts of a query.
    pub(super) async fn tried(&self, looked: &Looked) -> Result<Vec<Tried>, SnapshotError> {
        let mut groups: Vec<BoxFuture<'_, _>> = Vec::new();
        for run in looked.runs.iter() {
            let planned = run.planned.as_ref().map_or(0, Vec::len).max(run.tasks().len());
            let last = u32::try_from(planned).unwrap_or(u32::MAX).checked_sub(1);
            let numbers = last.into_iter().flat_map(|last| 0..=keys::group_of(last));
            groups.extend(numbers.map(|number| of_group(looked, run, number).boxed()));
        }
        let found: Vec<Vec<Tried>> = stream::iter(groups).buffered(READS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    pub(super) async fn attempts(
        &self,
        wanted: &Wanted,
        rows: &mut Rows<'_>,
    ) -> Result<(), SnapshotError> {
        let scan = Scan { table: "attempts", wanted, most: MOST };
        let mut take = |found: Found| -> Result<bool, SnapshotError> {
            let Found::Attempts(looked, attempts) = found else { return Ok(true) };
            for tried in attempts {
                rows.push(tried.row(looked.row()))?;
            }
            Ok(!rows.is_full())
        };
        self.visit(scan, What::Attempts, &mut take).await
    }
}
