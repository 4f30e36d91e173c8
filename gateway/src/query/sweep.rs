//! The gateway's sweeper: sweeps until the gateway stops. See [`dunlin_manifest::query::sweep`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::sweep::{self, Opened, Site, SweepPeriods, Sweeper};
use dunlin_manifest::query::{News, QueryHandle};
use dunlin_manifest::records::End;
use dunlin_manifest::store::ObjectControlStore;
use dunlin_plan::words;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::error::ErrorKind;
use super::handles::Handles;
use super::hub::Hub;
use super::writes::Writes;
use crate::metrics::Told;
use crate::options::LocalRunner;

/// What a gateway that sweeps has.
#[derive(Debug)]
pub(crate) struct Swept {
    pub(crate) handles: Arc<Handles>,
    pub(crate) local: Option<Arc<dyn LocalRunner>>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) writes: Arc<Writes>,
}

#[async_trait]
impl Site for Swept {
    fn store(&self) -> &ObjectControlStore {
        self.handles.store()
    }

    async fn open(&self, query: &QueryId) -> Opened {
        match self.handles.open(query).await {
            Ok(handle) => Opened::Handle(handle),
            Err(error) if matches!(error.kind, ErrorKind::NoSuchQuery(_)) => Opened::Missing,
            Err(error) => {
                tracing::warn!(%query, %error, "a query could not be read");
                let of_another_version = matches!(error.kind, ErrorKind::Internal(_));
                if of_another_version { Opened::Unreadable } else { Opened::Unknown }
            }
        }
    }

    fn in_use(&self) -> Vec<Arc<QueryHandle>> {
        self.handles.in_use()
    }

    async fn run_here(&self, query: &QueryId) -> bool {
        let Some(local) = &self.local else { return false };
        local.run(query.clone()).await;
        true
    }

    async fn tell(&self, news: News) {
        self.hub.tell(news);
    }

    async fn settle(&self, handle: &QueryHandle, end: &End, seen: Duration) -> bool {
        self.writes.settle(handle, end, seen).await
    }

    fn trouble(&self) -> Option<String> {
        self.hub.trouble()
    }
}

/// Sweeps until the gateway stops.
pub(crate) async fn run(site: Swept, told: Told, periods: SweepPeriods, stop: CancellationToken) {
    let env = site.handles.env().clone();
    let mut sweeper = Sweeper::new(Arc::new(site), periods);
    let mut pause = periods.busy;
    loop {
        tokio::select! {
            () = env.clock.sleep(env.jitter(pause)) => {}
            () = stop.cancelled() => return last(&told).await,
        }
        let sweep = AssertUnwindSafe(sweeper.sweep()).catch_unwind();
        let found = tokio::select! {
            found = sweep => found,
            () = stop.cancelled() => return last(&told).await,
        };
        pause = match found {
            Ok(Ok(swept)) => {
                let is_idle = swept.queries + swept.unsettled == 0
                    && told.books.as_ref().is_none_or(|books| books.is_closed());
                tell(&told, swept).await;
                if is_idle { (pause * 3 / 2).min(periods.idle) } else { periods.busy }
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %words::explained(&error), "a sweep failed");
                periods.idle
            }
            Err(_) => {
                tracing::error!("a sweep panicked");
                periods.idle
            }
        };
    }
}

/// Tells of the queries whose end this gateway knows. Of the others another gateway tells.
async fn last(told: &Told) {
    if let Some(books) = &told.books {
        books.close(Vec::new()).await;
    }
}

/// Tells Prometheus what a sweep has found.
async fn tell(Told { metrics, books }: &Told, found: sweep::Swept) {
    let sweep::Swept { queries, open, running, pools, still, gone, .. } = found;
    let level = |count| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.queries_open.set(level(queries));
    metrics.tasks_pending.set(level(open));
    metrics.tasks_running.set(level(running));
    metrics.pools(&pools);
    metrics.oldest_pending.set(still.as_secs_f64());
    if let Some(books) = books {
        books.close(gone).await;
    }
}
