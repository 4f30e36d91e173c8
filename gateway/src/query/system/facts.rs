//! `system.queries`: what the records of each query say of it as a whole.

use std::sync::Arc;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::QueryHandle;
use dunlin_manifest::records::{End, Summary};
use dunlin_planner::{SnapshotError, Wanted};
use futures::future::join;

use super::rows::{Row, Rows};
use super::state::{Snapshot, System, unread};
use super::told::{Facts, Found, Scan, What};
use crate::query::answer::Receipt;
use crate::query::asked::Remarks;
use crate::query::error::ErrorKind;
use crate::query::status::{QueryStatus, Status};
use crate::query::version::Version;

/// The most queries that one scan looks at.
pub(super) const MOST: usize = 10_000;

impl System {
    /// The handle of a query; none if its records are gone, or of another version.
    pub(super) async fn handle(
        &self,
        query: &QueryId,
    ) -> Result<Option<Arc<QueryHandle>>, SnapshotError> {
        match self.queries.handles.open(query).await {
            Ok(handle) => Ok(Some(handle)),
            Err(error) => match error.kind {
                ErrorKind::NoSuchQuery(_) | ErrorKind::Internal(_) => Ok(None),
                _ => Err(unread(error)),
            },
        }
    }

    async fn facts(&self, query: &QueryId) -> Result<Option<Arc<Facts>>, SnapshotError> {
        if let Some(kept) = self.kept.get(query) {
            return Ok(Some(kept));
        }
        let Some(handle) = self.handle(query).await? else { return Ok(None) };
        let (end, remarks) = join(handle.ended(), self.queries.handles.remarks(query)).await;
        let end = end.map_err(unread)?;
        if end.is_none()
            && let Err(error) = handle.look(false).await
        {
            tracing::debug!(%query, %error, "a query could not be looked at for system.queries");
        }
        // It may have ended in this moment.
        let end = end.or_else(|| handle.known_end());
        let facts = Arc::new(self.told(&handle, end.as_deref(), &remarks));
        if end.is_some() {
            self.kept.keep(query, &facts);
        }
        Ok(Some(facts))
    }

    fn told(&self, handle: &QueryHandle, end: Option<&End>, remarks: &Remarks) -> Facts {
        let root = &handle.root;
        let (_, status) = Version::of(handle, end);
        let QueryStatus { status, phase, progress, .. } = status;
        let summary = end.and_then(|end| end.summary);
        let cost_usd = match &summary {
            Some(summary) => {
                let mut receipt = Receipt::of(root.route, summary);
                receipt.price(self.queries.tariff());
                receipt.cost_usd.map(|cost| cost.total)
            }
            None if end.is_none() => self.queries.cost_so_far(handle),
            None => None,
        };
        let of = |value: fn(&Summary) -> u64| summary.as_ref().map(value);
        let error = end.and_then(|end| end.error.as_ref());
        let tags = (!remarks.tags.is_empty()).then(|| serde_json::json!(remarks.tags).to_string());
        let answered = of(|summary| summary.rows).filter(|_| status == Status::Succeeded);
        let scanned =
            of(|it| it.bytes_scanned).or((end.is_none()).then_some(progress.bytes_scanned));
        let submitted_ms = handle.query.unix_ms();
        let row = Row::default()
            .text(handle.query.as_str())
            .time(submitted_ms)
            .text(status.as_str())
            .text(phase)
            .some_text(root.owner.clone())
            .some_text(root.workgroup.clone())
            .text(root.sql.clone())
            .text(root.route.as_str())
            .text(root.route_reason.clone())
            .some_text(root.pool.clone())
            .flag(root.write.is_some())
            .some_text(tags)
            .some_text(error.map(|error| error.code.as_str()))
            .some_text(error.map(|error| error.message.clone()))
            .some_flag(error.map(|error| error.retryable))
            .int(progress.stages)
            .int(progress.stages_done)
            .int(of(|it| it.tasks).unwrap_or(progress.tasks))
            .int(progress.tasks_done)
            .int(of(|it| it.attempts).unwrap_or(progress.attempts))
            .some_int(answered)
            .some_int(of(|it| it.wall_ms))
            .some_int(of(|it| it.slot.total() / 1_000))
            .some_int(scanned)
            .some_int(of(|it| it.shuffle_bytes))
            .some_int(of(|it| it.result_bytes))
            .int(root.pins.len() as u64)
            .int(root.pins.iter().map(|pin| pin.size).sum())
            .some_int(of(|it| it.requests.put))
            .some_int(of(|it| it.requests.get))
            .some_int(of(|it| it.requests.list))
            .some_real(cost_usd)
            .text(root.engine.engine.clone())
            .text(root.engine.build.clone())
            .some_text(root.trace.clone());
        Facts { owner: root.owner.clone(), submitted_ms, status, summary, cost_usd, row }
    }
}

impl Snapshot {
    /// What the records of a query say, if the client may see it.
    pub(super) async fn facts(&self, query: QueryId) -> Result<Option<Arc<Facts>>, SnapshotError> {
        let known = self.memo.facts.lock().get(&query).cloned();
        let found = match known {
            Some(known) => known,
            None => {
                let read = self.system.facts(&query).await?;
                let read = read.filter(|facts| self.caller.sees(facts.owner.as_deref()));
                // Two scans may read at the same time: both have what was read first.
                self.memo.facts.lock().entry(query).or_insert(read).clone()
            }
        };
        Ok(found)
    }

    pub(super) async fn queries(
        &self,
        wanted: &Wanted,
        rows: &mut Rows<'_>,
    ) -> Result<(), SnapshotError> {
        let scan = Scan { table: "queries", wanted, most: MOST };
        let mut take = |found: Found| -> Result<bool, SnapshotError> {
            if let Found::Facts(facts) = found {
                rows.push(facts.row.clone())?;
            }
            Ok(!rows.is_full())
        };
        self.visit(scan, What::Facts, &mut take).await
    }
}
