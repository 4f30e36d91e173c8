//! `system.gateways` and `system.workers`: who is there, as far as the store and this gateway know. Every client may see both,
//! as `GET /v1/fleet` shows them.

use std::collections::BTreeMap;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::gates;
use dunlin_planner::SnapshotError;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::rows::{Row, Rows};
use super::stages::MOST;
use super::state::{Snapshot, unread};
use super::told::Outcome;

/// The most gateways that are listed.
const GATEWAYS: usize = 1_000;
/// Queries that are looked at at the same time.
const READS: usize = 8;

impl Snapshot {
    pub(super) async fn gateways(&self, rows: &mut Rows<'_>) -> Result<(), SnapshotError> {
        let store = self.system.queries.handles.store();
        for gate in gates(store, GATEWAYS).await.map_err(unread)? {
            let seen = u64::try_from(gate.seen_ms).unwrap_or(0);
            rows.push(Row::default().text(gate.id).text(gate.url).time(seen))?;
        }
        Ok(())
    }

    pub(super) async fn workers(&self, rows: &mut Rows<'_>) -> Result<(), SnapshotError> {
        let names = self.system.hub.names();
        let mut workers: BTreeMap<String, (bool, u64)> =
            names.into_iter().map(|name| (name, (true, 0))).collect();
        for worker in self.running().await? {
            workers.entry(worker).or_default().1 += 1;
        }
        for (name, (is_listening, running)) in workers {
            rows.push(Row::default().text(name).flag(is_listening).int(running))?;
        }
        Ok(())
    }

    /// The workers of attempts that have no outcome yet, each as often as it has such attempts. Whose queries they run for is
    /// not told.
    async fn running(&self) -> Result<Vec<String>, SnapshotError> {
        let active = self.active().await?;
        if active.len() > MOST {
            return Err(SnapshotError::TooMuch(format!(
                "{} queries run, and system.workers looks at {MOST} at most; ask system.attempts with a condition on query_id",
                active.len()
            )));
        }
        let reads: Vec<BoxFuture<'_, _>> =
            active.iter().map(|query| self.running_for(query.clone()).boxed()).collect();
        let found: Vec<Vec<String>> = stream::iter(reads).buffered(READS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn running_for(&self, query: QueryId) -> Result<Vec<String>, SnapshotError> {
        let Some(handle) = self.system.handle(&query).await? else { return Ok(Vec::new()) };
        let looked = self.look_at(handle).await?;
        if looked.end.is_some() {
            return Ok(Vec::new());
        }
        let worker = |outcome| match outcome {
            Outcome::None { worker, is_lost: false } => worker,
            _ => None,
        };
        let attempts = self.tried(&looked).await?;
        Ok(attempts.into_iter().filter_map(|tried| worker(tried.outcome)).collect())
    }
}
