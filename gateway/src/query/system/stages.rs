//! `system.stages` and `system.tasks`: how far each is, by one look at the query, and what it did, by its seal.

use std::collections::BTreeMap;
use std::sync::Arc;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::SealedTask;
use dunlin_planner::{SnapshotError, Wanted};

use super::rows::{Row, Rows};
use super::state::{Snapshot, unread};
use super::told::{Found, Looked, Scan, What};
use crate::query::analyze::{Claimed, StageRun, Took, read_stages};

/// The most queries that one scan looks at: each costs several requests.
pub(super) const MOST: usize = 2_000;

/// Numbers with commas between them.
fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

fn stage_row(query: Row, run: &StageRun) -> Row {
    let seal = run.seal.as_deref();
    let sum = seal.map(|_| Took::sum(run.tasks()));
    let mut walls: Vec<u64> = run.tasks().iter().map(|task| task.metrics.wall_us / 1_000).collect();
    walls.sort_unstable();
    let sealed = seal.map(|seal| seal.totals().tasks);
    let planned = run.planned.as_ref().map(|tasks| tasks.len() as u64);
    query
        .int(run.id.into())
        .text(run.name.clone())
        .text(run.state().word())
        .int(run.partitions.into())
        .text(list(&run.inputs))
        .some_text(run.decided.clone())
        .some_int(sealed.or(planned))
        .int(sealed.unwrap_or(run.committed as u64))
        .int(run.attempts)
        .int(run.failed)
        .some_int(seal.map(|seal| seal.rows))
        .some_int(seal.map(|seal| seal.bytes))
        .some_int(sum.map(|sum| sum.scanned))
        .some_int(sum.map(|sum| sum.exchanged))
        .some_int(sum.map(|sum| sum.spilled))
        .some_int(sum.map(|sum| sum.memory))
        .some_int(sum.map(|sum| sum.cpu_us / 1_000))
        .some_int(walls.first().copied())
        .some_int(walls.get(walls.len() / 2).copied())
        .some_int(walls.last().copied())
}

/// The task of a sealed stage.
fn sealed_row(query: Row, run: &StageRun, task: &SealedTask) -> Row {
    let metrics = &task.metrics;
    let partitions = run.planned.as_ref().and_then(|tasks| tasks.get(task.task as usize));
    query
        .int(run.id.into())
        .int(task.task.into())
        .text("committed")
        .int(task.attempt.into())
        .text(task.worker.clone())
        .some_text(partitions.map(|partitions| list(partitions)))
        .int(task.output.rows)
        .int(task.output.bytes)
        .int(metrics.input_rows)
        .int(metrics.scan_bytes)
        .int(metrics.shuffle_read_bytes)
        .int(metrics.spill_bytes)
        .int(metrics.task_memory)
        .int(metrics.wall_us / 1_000)
        .int(metrics.cpu_us / 1_000)
        .time(metrics.ended_ms)
}

/// A task of a stage that is not sealed.
fn open_row(
    query: Row,
    run: &StageRun,
    (number, claimed): (u32, Option<&Claimed>),
    partitions: &[u32],
) -> Row {
    let state = match claimed {
        Some(claimed) if claimed.committed => "committed",
        Some(_) => "running",
        // The claims of a sealed group are not listed.
        None if run.is_done(number) => "committed",
        None => "open",
    };
    let row = query
        .int(run.id.into())
        .int(number.into())
        .text(state)
        .some_int(claimed.map(|claimed| claimed.attempt.into()))
        .some_text(None::<String>)
        .text(list(partitions));
    (0..9).fold(row, |row, _| row.some_int(None)).time(0)
}

impl Snapshot {
    /// The stages of a query that the client may see.
    pub(super) async fn look(&self, query: QueryId) -> Result<Option<Looked>, SnapshotError> {
        let Some(handle) = self.system.handle(&query).await? else { return Ok(None) };
        if !self.caller.sees(handle.root.owner.as_deref()) {
            return Ok(None);
        }
        self.look_at(handle).await.map(Some)
    }

    pub(super) async fn look_at(&self, handle: Arc<QueryHandle>) -> Result<Looked, SnapshotError> {
        let known = self.memo.running.lock().get(&handle.query).cloned();
        if let Some(runs) = known {
            return Ok(Looked { handle, end: None, runs });
        }
        let end = handle.ended().await.map_err(unread)?;
        let runs = Arc::new(read_stages(&handle, end.as_deref()).await.map_err(unread)?);
        if end.is_some() {
            return Ok(Looked { handle, end, runs });
        }
        let runs = self.memo.running.lock().entry(handle.query.clone()).or_insert(runs).clone();
        Ok(Looked { handle, end, runs })
    }

    pub(super) async fn stages(
        &self,
        wanted: &Wanted,
        rows: &mut Rows<'_>,
    ) -> Result<(), SnapshotError> {
        let scan = Scan { table: "stages", wanted, most: MOST };
        let mut take = |found: Found| -> Result<bool, SnapshotError> {
            let Found::Stages(looked) = found else { return Ok(true) };
            for run in looked.runs.iter() {
                rows.push(stage_row(looked.row(), run))?;
            }
            Ok(!rows.is_full())
        };
        self.visit(scan, What::Stages, &mut take).await
    }

    pub(super) async fn tasks(
        &self,
        wanted: &Wanted,
        rows: &mut Rows<'_>,
    ) -> Result<(), SnapshotError> {
        let scan = Scan { table: "tasks", wanted, most: MOST };
        let mut take = |found: Found| -> Result<bool, SnapshotError> {
            let Found::Stages(looked) = found else { return Ok(true) };
            for run in looked.runs.iter() {
                if run.seal.is_some() {
                    for task in run.tasks() {
                        rows.push(sealed_row(looked.row(), run, task))?;
                    }
                    continue;
                }
                let claims = run.claimed.iter().map(|claimed| (claimed.task, claimed));
                let claims: BTreeMap<u32, &Claimed> = claims.collect();
                for (number, partitions) in (0_u32..).zip(run.planned.iter().flatten()) {
                    let task = (number, claims.get(&number).copied());
                    rows.push(open_row(looked.row(), run, task, partitions))?;
                }
            }
            Ok(!rows.is_full())
        };
        self.visit(scan, What::Stages, &mut take).await
    }
}
