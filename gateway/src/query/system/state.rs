//! What the tables are read from, and what one statement has read already.

use std::collections::HashMap;
use std::sync::Arc;

use dunlin_manifest::ids::QueryId;
use dunlin_planner::SnapshotError;
use parking_lot::Mutex;

use super::told::{Facts, Kept};
use crate::auth::Principal;
use crate::options::Current;
use crate::query::analyze::StageRun;
use crate::query::error::CoreError;
use crate::query::hub::Hub;
use crate::query::queries::Queries;
use crate::query::workgroups::Workgroups;

/// What the tables of all statements are read from.
#[derive(Debug)]
pub(crate) struct System {
    pub(super) queries: Arc<Queries>,
    pub(super) hub: Arc<Hub>,
    pub(super) current: Current,
    pub(super) workgroups: Arc<Workgroups>,
    pub(super) kept: Kept,
}

impl System {
    pub(crate) fn new(
        queries: Arc<Queries>,
        hub: Arc<Hub>,
        current: Current,
        workgroups: Arc<Workgroups>,
    ) -> Arc<Self> {
        Arc::new(Self { queries, hub, current, workgroups, kept: Kept::default() })
    }
}

/// The tables for one statement of one client.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) system: Arc<System>,
    pub(super) caller: Principal,
    pub(super) memo: Memo,
}

impl Snapshot {
    pub(super) fn new(system: Arc<System>, caller: Principal) -> Self {
        Self { system, caller, memo: Memo::default() }
    }
}

/// What this statement has read already.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// Queries that have not ended.
    pub(super) active: tokio::sync::OnceCell<Vec<QueryId>>,
    /// Queries that have ended, page by page.
    pub(super) ended: Mutex<HashMap<Option<QueryId>, Vec<QueryId>>>,
    pub(super) facts: Mutex<HashMap<QueryId, Option<Arc<Facts>>>>,
    /// Stages of queries that have not ended. Those of others are always the same.
    pub(super) running: Mutex<HashMap<QueryId, Arc<Vec<StageRun>>>>,
}

/// An error of the core, where a table is read.
pub(super) fn unread(error: impl Into<CoreError>) -> SnapshotError {
    SnapshotError::Store(error.into().to_string())
}
