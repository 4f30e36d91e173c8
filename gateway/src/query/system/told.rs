//! What is read of a query, and for which scan.

use std::collections::HashMap;
use std::sync::Arc;

use dunlin_manifest::ids::{Attempt, QueryId, StageId, TaskId};
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{End, Fail, Summary, TaskMetrics};
use dunlin_planner::{SnapshotError, Wanted};
use parking_lot::Mutex;

use super::rows::Row;
use crate::query::analyze::StageRun;
use crate::query::status::Status;

/// Ended queries whose rows are kept in memory, and the most bytes of one that is kept.
const KEPT: usize = 4_096;
const KEPT_BYTES: usize = 16 << 10;

/// What the records of a query say.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) owner: Option<String>,
    pub(super) submitted_ms: u64,
    pub(super) status: Status,
    pub(super) summary: Option<Summary>,
    pub(super) cost_usd: Option<f64>,
    /// Its row in `system.queries`.
    pub(super) row: Row,
}

/// Ended queries that were read. They do not change any more.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<QueryId, Arc<Facts>>>);

impl Kept {
    pub(super) fn get(&self, query: &QueryId) -> Option<Arc<Facts>> {
        self.0.lock().get(query).cloned()
    }

    pub(super) fn keep(&self, query: &QueryId, facts: &Arc<Facts>) {
        if facts.row.bytes() > KEPT_BYTES {
            return;
        }
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(query.clone(), Arc::clone(facts));
    }
}

/// A query whose stages were looked at.
pub(super) struct Looked {
    pub(super) handle: Arc<QueryHandle>,
    pub(super) end: Option<Arc<End>>,
    pub(super) runs: Arc<Vec<StageRun>>,
}

impl Looked {
    /// A row that begins with the query.
    pub(super) fn row(&self) -> Row {
        let query = &self.handle.query;
        Row::default().text(query.as_str()).time(query.unix_ms())
    }
}

/// How an attempt came out.
// Nearly all of them are of the largest kind.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Won {
        worker: String,
        metrics: TaskMetrics,
    },
    Failed(Box<Fail>),
    /// It has none. The worker that claimed it, if that is known.
    None {
        worker: Option<String>,
        is_lost: bool,
    },
}

/// One attempt.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub(super) stage: StageId,
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    /// By the store's clock; 0 if its claim is deleted.
    pub(super) claimed_ms: u64,
    pub(super) outcome: Outcome,
}

/// What a scan reads of queries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    pub(super) table: &'static str,
    pub(super) wanted: &'a Wanted,
    /// The most queries that are looked at.
    pub(super) most: usize,
}

/// What is read of each query of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Facts,
    Stages,
    Attempts,
}

/// What was read of one query.
pub(super) enum Found {
    Facts(Arc<Facts>),
    Stages(Looked),
    Attempts(Looked, Vec<Tried>),
}

/// Takes what was read of a query, newest first, and says whether it wants more.
pub(super) type Take<'a> = dyn FnMut(Found) -> Result<bool, SnapshotError> + Send + 'a;
