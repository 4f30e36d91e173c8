//! One look of a sweeper at one query: what is due is written, and what it has found is told.

use std::sync::Arc;
use std::time::Duration;

use crate::model::ids::QueryId;
use crate::model::keys;
use crate::model::records::{End, EndStatus, Route};
use crate::model::view::QueryView;
use crate::query::advance::PATIENCE;
use crate::query::error::AdvanceError;
use crate::query::handle::QueryHandle;
use crate::query::hints::{retire, ring};
use crate::query::news::News;
use crate::query::site::{Opened, Site};
use crate::store::create::load;

/// Refusals are listed when a query has made no progress for this long.
const LOOK_FOR_REFUSALS: Duration = Duration::from_secs(3);

/// The result of one look at an active query.
#[derive(Debug)]
pub(super) enum Found {
    /// It has ended.
    Ended {
        /// It has an answer.
        answered: bool,
        /// Its files are still to be looked after.
        unsettled: bool,
    },
    /// It has no root.
    Rootless,
    /// It is still running.
    Going { handle: Arc<QueryHandle>, view: Box<QueryView>, news: News, idle: bool },
    /// Its root is of another version.
    Unreadable,
    /// The store did not tell.
    Unknown,
}

/// What a sweeper has seen of a query before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// How long no worker was seen at it.
    pub(super) still: Option<Duration>,
    /// How long it is seen as ended.
    pub(super) ended: Duration,
    /// How long it may be seen so.
    pub(super) longest: Duration,
}

/// Looks at a query and writes what is due.
pub(super) async fn look(site: &dyn Site, query: &QueryId, seen: Seen) -> Found {
    try_look(site, query, seen).await.unwrap_or_else(|error| {
        tracing::warn!(%query, %error, "a query could not be advanced");
        Found::Unknown
    })
}

async fn try_look(site: &dyn Site, query: &QueryId, seen: Seen) -> Result<Found, AdvanceError> {
    let store = site.store();
    let handle = match site.open(query).await {
        Opened::Handle(handle) => handle,
        Opened::Missing => {
            let end: Option<End> = load(store, &keys::end(query)).await?;
            if end.is_none() {
                return Ok(Found::Rootless);
            }
            retire(store, query).await;
            return Ok(Found::Ended { answered: false, unsettled: false });
        }
        Opened::Unreadable => return Ok(Found::Unreadable),
        Opened::Unknown => return Ok(Found::Unknown),
    };
    if let Some(end) = handle.ended().await? {
        return Ok(over(site, &handle, &end, seen).await);
    }
    let with_beats = seen.still.is_some_and(|still| still >= LOOK_FOR_REFUSALS);
    handle.look(with_beats).await?;
    // What is due is left to those who are at work on the query until the next sweep.
    let advanced = handle.advance_patiently(PATIENCE).await?;
    if let Some(end) = advanced.ended {
        return Ok(over(site, &handle, &end, seen).await);
    }
    let mut news = handle.news_of(&advanced.open, advanced.running);
    if !handle.is_own() {
        // Its tasks are not known here. One worker of its build finds them.
        news.open = vec![1];
    }
    if !advanced.open.is_empty() && handle.root.route == Route::Inline {
        site.run_here(query).await;
        news.open.clear();
    } else if advanced.moved && !advanced.open.is_empty() {
        site.tell(news.clone()).await;
        ring(store, store.env()).await;
    }
    let idle = (!advanced.open.is_empty() && advanced.running == 0) || !handle.is_own();
    let view = Box::new(handle.view());
    Ok(Found::Going { handle, view, news, idle })
}

/// Takes a query that has ended off the list of active ones, unless its files are still to be looked after.
async fn over(site: &dyn Site, handle: &QueryHandle, end: &End, seen: Seen) -> Found {
    let answered = end.status == EndStatus::Succeeded;
    if handle.root.leaves_files(end) && !site.settle(handle, end, seen.ended).await {
        if seen.ended < seen.longest {
            return Found::Ended { answered, unsettled: true };
        }
        tracing::warn!(query = %handle.query, "files that do not count are left, because they could not be looked after");
    }
    retire(site.store(), &handle.query).await;
    Found::Ended { answered, unsettled: false }
}
