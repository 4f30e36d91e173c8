//! The queries of a store, newest first, page by page.
//!
//! ```text
//!   live/…  ─┐  ids, newest first, older than the cursor     at most so many are looked at for one page
//!            ├──────────────────────────────────────────> root, end, tags of each ──> those that the caller may see
//!   end/…   ─┘                                             (kept, once it has ended)
//! ```
//! A page costs a bounded number of requests, whatever the store holds. So a page may have fewer queries than were asked
//! for, even none, and still be followed by another one.

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::{active, ended_before};
use futures::StreamExt;
use futures::future::join;

use super::answer::Receipt;
use super::brief::{Brief, Page, preview};
use super::error::{CoreError, ErrorKind};
use super::queries::Queries;
use super::status::{QueryStatus, Status};
use super::version::Version;
use crate::auth::Principal;

/// Queries on a page, unless the request says otherwise.
pub(crate) const USUAL: usize = 50;
/// The most queries on a page.
pub(crate) const MOST: usize = 200;
/// Queries that are looked at for one page, at least.
const EXAMINED: usize = 400;
/// Queries that are read at the same time.
const READS: usize = 16;

/// Which queries a client wants to see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// At most so many.
    pub(crate) limit: usize,
    /// Only such that were submitted before this one.
    pub(crate) before: Option<QueryId>,
    /// Only of this status.
    pub(crate) status: Option<Status>,
    /// Only with this tag, and with this value of it.
    pub(crate) tag: Option<(String, Option<String>)>,
}

impl Filter {
    fn wants(&self, query: &Brief) -> bool {
        let is_tagged = self.tag.as_ref().is_none_or(|(name, value)| {
            let found = query.tags.get(name);
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        });
        is_tagged && self.status.is_none_or(|status| status == query.status)
    }

    /// Whether only queries are wanted that have not ended.
    fn is_of_open_ones(&self) -> bool {
        self.status.is_some_and(|status| !Status::ENDED.contains(&status))
    }
}

impl Queries {
    /// A page of the queries that `caller` may see.
    pub(crate) async fn list(
        &self,
        caller: &Principal,
        filter: &Filter,
    ) -> Result<Page, CoreError> {
        let examined = EXAMINED.max(filter.limit);
        let store = self.handles.store();
        let before = filter.before.as_ref();
        let mut ids = active(store).await?;
        if !filter.is_of_open_ones() {
            ids.extend(ended_before(store, before, examined + 1).await?);
        }
        ids.retain(|query| before.is_none_or(|before| query < before));
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        let more = ids.len() > examined;
        ids.truncate(examined);
        let mut page = Page { queries: Vec::new(), next: None };
        let oldest = ids.last().cloned();
        let read = futures::stream::iter(ids)
            .map(|query| async move {
                let brief = self.brief(&query).await;
                (query, brief)
            })
            .buffered(READS);
        let mut read = std::pin::pin!(read);
        let mut last = None;
        while let Some((query, brief)) = read.next().await {
            if let Some(brief) = brief?
                && caller.sees(brief.owner.as_deref())
                && filter.wants(&brief)
            {
                page.queries.push(brief);
            }
            last = Some(query);
            if page.queries.len() == filter.limit {
                break;
            }
        }
        let is_end = !more && last == oldest;
        page.next = last.filter(|_| !is_end).map(String::from);
        Ok(page)
    }

    /// What a listing shows of a query; none if its records are gone, or of another build.
    async fn brief(&self, query: &QueryId) -> Result<Option<Brief>, CoreError> {
        if let Some(kept) = self.brief.get(query) {
            return Ok(Some(kept));
        }
        let handle = match self.handles.open(query).await {
            Ok(handle) => handle,
            Err(error) => match error.kind {
                ErrorKind::NoSuchQuery(_) | ErrorKind::Internal(_) => return Ok(None),
                _ => return Err(error),
            },
        };
        let (end, remarks) = join(handle.ended(), self.handles.remarks(query)).await;
        let end = end.map_err(|error| CoreError::from(error).about(query))?;
        if end.is_none()
            && let Err(error) = handle.look(false).await
        {
            tracing::debug!(%query, %error, "a listed query could not be looked at");
        }
        let (_, status) = Version::of(&handle, end.as_deref());
        let summary = end.as_ref().and_then(|end| end.summary);
        let answered = summary.filter(|_| status.status == Status::Succeeded);
        let QueryStatus { status, phase, progress, .. } = status;
        let cost = summary.and_then(|summary| {
            let mut receipt = Receipt::of(handle.root.route, &summary);
            receipt.price(self.tariff());
            receipt.cost_usd.map(|cost| cost.total)
        });
        let brief = Brief {
            query_id: query.to_string(),
            status,
            phase,
            submitted_ms: query.unix_ms(),
            sql_preview: preview(&handle.root.sql),
            route: handle.root.route,
            tags: remarks.tags.clone(),
            error_code: end.as_ref().and_then(|end| Some(end.error.as_ref()?.code.clone())),
            rows: answered.map(|summary| summary.rows),
            wall_ms: summary.map(|summary| summary.wall_ms),
            progress,
            cost_usd: cost,
            owner: handle.root.owner.clone(),
        };
        if end.is_some() {
            self.brief.keep(query, &brief);
        }
        Ok(Some(brief))
    }
}
