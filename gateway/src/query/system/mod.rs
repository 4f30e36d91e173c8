//! The tables of the schema `system`: what the store and this process know of queries, of the fleet and of the site.
//!
//! ```text
//!   planner ──conditions, limit──> Snapshot: one statement of one client
//!                                    │ ids: by name, or newest first       pages
//!                                    ├ queries, costs       facts: root, end, tags of each query
//!                                    ├ stages, tasks        look, seals
//!                                    ├ attempts             groups, failures, claims
//!                                    └ gateways, workers, tables, settings
//! ```
//! Rows are read when the statement is planned, and only of queries that the client may see. What one statement has read of
//! a query that still runs is not read again, so that it is the same wherever the statement names it.

mod attempts;
mod audit;
mod columns;
mod costs;
mod facts;
mod fleet;
mod pages;
mod rows;
mod site;
mod stages;
mod state;
mod told;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use dunlin_planner::{SnapshotError, SnapshotSchema, Snapshots, Wanted};

pub(crate) use self::columns::schemas;
use self::rows::Rows;
use self::state::Snapshot;
pub(crate) use self::state::System;
use crate::auth::{Principal, Scope};

impl System {
    /// The tables for one statement of this client.
    pub(crate) fn of(self: &Arc<Self>, caller: &Principal) -> Arc<dyn Snapshots> {
        Arc::new(Snapshot::new(Arc::clone(self), caller.clone()))
    }
}

/// The tables without rows, for a statement that is only described.
#[derive(Debug)]
pub(crate) struct OnlyColumns;

#[async_trait]
impl Snapshots for OnlyColumns {
    fn tables(&self) -> &[SnapshotSchema] {
        schemas()
    }

    async fn read(&self, table: &str, _: &Wanted) -> Result<Vec<RecordBatch>, SnapshotError> {
        Err(SnapshotError::Store(format!("system.{table} is not read to describe a statement")))
    }
}

#[async_trait]
impl Snapshots for Snapshot {
    fn tables(&self) -> &[SnapshotSchema] {
        schemas()
    }

    async fn read(&self, table: &str, wanted: &Wanted) -> Result<Vec<RecordBatch>, SnapshotError> {
        let known = schemas().iter().find(|known| known.name == table);
        let known =
            known.ok_or_else(|| SnapshotError::Store(format!("there is no system.{table}")))?;
        let mut rows = Rows::new(known, wanted);
        match table {
            "queries" => self.queries(wanted, &mut rows).await?,
            "stages" => self.stages(wanted, &mut rows).await?,
            "tasks" => self.tasks(wanted, &mut rows).await?,
            "attempts" => self.attempts(wanted, &mut rows).await?,
            "cost_by_day" => self.costs(wanted, &mut rows).await?,
            "gateways" => self.gateways(&mut rows).await?,
            "workers" => self.workers(&mut rows).await?,
            "tables" => self.tables_of_site(&mut rows).await?,
            "workgroups" => self.workgroups(&mut rows).await?,
            "settings" | "audit" if !self.caller.scopes.has(Scope::Admin) => {
                return Err(SnapshotError::Forbidden(format!(
                    "system.{table} is shown to keys with the scope admin only"
                )));
            }
            "audit" => self.audit(wanted, &mut rows).await?,
            "settings" => self.settings(&mut rows)?,
            other => return Err(SnapshotError::Store(format!("system.{other} has no rows"))),
        }
        rows.batches()
    }
}
