//! Which queries a scan looks at: those that its conditions name, or the newest, page by page.

use std::collections::VecDeque;

use datafusion::common::ScalarValue;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::{active, ended_before};
use dunlin_planner::SnapshotError;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};

use super::state::{Snapshot, unread};
use super::told::{Found, Scan, Take, What};
use crate::query::status::Status;

/// Queries of one page.
const PAGE: usize = 400;
/// Queries that are read at the same time.
const READS: usize = 16;

/// The ids of the queries of a scan, newest first.
struct Ids {
    /// Queries that have not ended, and those that are named.
    open: VecDeque<QueryId>,
    /// Where the next page of ended queries ends; `None`: there is none.
    next: Option<Option<QueryId>>,
    /// Older ones are not wanted.
    since_ms: u64,
}

/// The time that a bound says, in milliseconds after 1970, rounded down.
pub(super) fn millis(bound: Option<&ScalarValue>) -> Option<u64> {
    match bound {
        Some(ScalarValue::TimestampMicrosecond(Some(micros), _)) => {
            Some(u64::try_from(micros.div_euclid(1_000)).unwrap_or(0))
        }
        _ => None,
    }
}

impl Snapshot {
    async fn ids(&self, Scan { wanted, .. }: Scan<'_>) -> Result<Ids, SnapshotError> {
        let (since, until) = wanted.range("submitted_at");
        let since_ms = millis(since).unwrap_or(0);
        if let Some(named) = wanted.values("query_id") {
            let id = |value: &ScalarValue| match value {
                ScalarValue::Utf8(Some(text)) => QueryId::parse(text),
                _ => None,
            };
            let mut open: Vec<QueryId> = named.into_iter().filter_map(id).collect();
            open.sort_unstable_by(|a, b| b.cmp(a));
            open.dedup();
            return Ok(Ids { open: open.into(), next: None, since_ms });
        }
        let before = millis(until).map(|ms| QueryId::at(ms.saturating_add(1), &[0; 10]));
        let mut open: Vec<QueryId> = self.active().await?.to_vec();
        open.retain(|query| before.as_ref().is_none_or(|before| query < before));
        open.sort_unstable_by(|a, b| b.cmp(a));
        let statuses = wanted.values("status").unwrap_or_default();
        let is_open = |value: &&ScalarValue| match value {
            ScalarValue::Utf8(Some(word)) => {
                Status::parse(word).is_some_and(|status| !Status::ENDED.contains(&status))
            }
            _ => false,
        };
        let only_open = !statuses.is_empty() && statuses.iter().all(is_open);
        Ok(Ids { open: open.into(), next: (!only_open).then_some(before), since_ms })
    }

    /// The queries that may not have ended.
    pub(super) async fn active(&self) -> Result<&[QueryId], SnapshotError> {
        let store = self.system.queries.handles.store();
        let read = || async { active(store).await.map_err(unread) };
        Ok(self.memo.active.get_or_try_init(read).await?)
    }

    async fn ended(&self, before: &Option<QueryId>) -> Result<Vec<QueryId>, SnapshotError> {
        if let Some(known) = self.memo.ended.lock().get(before) {
            return Ok(known.clone());
        }
        let store = self.system.queries.handles.store();
        let page = ended_before(store, before.as_ref(), PAGE).await.map_err(unread)?;
        self.memo.ended.lock().insert(before.clone(), page.clone());
        Ok(page)
    }

    /// The next page; `None` if there is none.
    async fn page(&self, ids: &mut Ids) -> Result<Option<Vec<QueryId>>, SnapshotError> {
        let mut page = Vec::new();
        let oldest = match ids.next.take() {
            None => None,
            Some(before) => {
                page = self.ended(&before).await?;
                let oldest = page.last().cloned().filter(|_| page.len() == PAGE);
                ids.next = oldest.clone().map(Some);
                oldest
            }
        };
        while let Some(query) =
            ids.open.pop_front_if(|query| oldest.as_ref().is_none_or(|oldest| *query >= *oldest))
        {
            page.push(query);
        }
        page.sort_unstable_by(|a, b| b.cmp(a));
        page.dedup();
        let all = page.len();
        page.retain(|query| query.unix_ms() >= ids.since_ms);
        if page.len() < all {
            // What follows is older still.
            (ids.next, ids.open) = (None, VecDeque::new());
        }
        Ok((!page.is_empty() || ids.next.is_some()).then_some(page))
    }

    /// What is wanted of a query; nothing if it is not there, or if the client may not see it.
    async fn found(&self, query: QueryId, what: What) -> Result<Option<Found>, SnapshotError> {
        Ok(match what {
            What::Facts => self.facts(query).await?.map(Found::Facts),
            What::Stages => self.look(query).await?.map(Found::Stages),
            What::Attempts => match self.look(query).await? {
                Some(looked) => {
                    let tried = self.tried(&looked).await?;
                    Some(Found::Attempts(looked, tried))
                }
                None => None,
            },
        })
    }

    /// Reads the queries of a scan, several at a time, and gives what was read to `take`, newest first, until it wants no
    /// more.
    pub(super) async fn visit(
        &self,
        scan: Scan<'_>,
        what: What,
        take: &mut Take<'_>,
    ) -> Result<(), SnapshotError> {
        let mut ids = self.ids(scan).await?;
        let mut looked = 0;
        while let Some(page) = self.page(&mut ids).await? {
            let reads: Vec<BoxFuture<'_, _>> =
                page.into_iter().map(|query| self.found(query, what).boxed()).collect();
            let mut found = stream::iter(reads).buffered(READS);
            while let Some(found) = found.next().await {
                looked += 1;
                if looked > scan.most {
                    return Err(SnapshotError::TooMuch(format!(
                        "the statement looks at over {} queries to read system.{}, which is the most: add a condition on submitted_at or query_id, or a LIMIT",
                        scan.most, scan.table
                    )));
                }
                if let Some(found) = found?
                    && !take(found)?
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
