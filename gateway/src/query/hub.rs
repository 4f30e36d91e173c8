//! News between processes: which queries have new work, and which have ended.
//!
//! ```text
//!   worker that sealed a stage ──POST /v1/wake──> Hub ──GET /v1/wake, held open──> workers that wait
//!   this gateway, after a submit ───────────────> Hub ──> watchers of this gateway, when a query has ended
//! ```
//! News is a hint. It saves the polls of a store that answers in 27 ms. Nothing depends on it: a gateway that is gone,
//! slow or wrong costs time only, because every process also looks at the store by itself.

use std::collections::VecDeque;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::News;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

/// The most news that is kept for listeners that are late. A listener that is later looks at the store anyway.
const KEPT: usize = 1024;

/// The news of one gateway. Its clones of an `Arc` are shared by the gateway and by workers of the same process.
#[derive(Debug)]
pub struct Hub {
    kept: Mutex<Kept>,
    latest: watch::Sender<u64>,
    ended: tokio::sync::broadcast::Sender<QueryId>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Number of the newest news. The first one is 1.
    latest: u64,
    news: VecDeque<News>,
}

/// What a listener gets: the news after a number, and the number to go on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// The number to go on from.
    pub at: u64,
    /// The news, oldest first.
    pub news: Vec<News>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            latest: watch::Sender::new(0),
            ended: tokio::sync::broadcast::Sender::new(KEPT),
        }
    }
}

impl Hub {
    /// Tells everybody who listens.
    pub fn tell(&self, news: News) {
        if news.ended {
            // Nobody may be watching.
            let _ = self.ended.send(news.query.clone());
        }
        let mut kept = self.kept.lock();
        kept.latest += 1;
        if kept.news.len() == KEPT {
            kept.news.pop_front();
        }
        kept.news.push_back(news);
        self.latest.send_replace(kept.latest);
    }

    /// Waits until there is news after number `after`. Without a number, or with one that this hub has not given, it
    /// returns at once, with the number to begin from.
    pub async fn after(&self, after: Option<u64>) -> Heard {
        let mut latest = self.latest.subscribe();
        let Some(after) = after.filter(|after| *after <= *latest.borrow()) else {
            return Heard { at: *latest.borrow(), news: Vec::new() };
        };
        // It fails only if the hub is gone.
        let _ = latest.wait_for(|latest| *latest > after).await;
        let kept = self.kept.lock();
        let new = usize::try_from(kept.latest - after).unwrap_or(KEPT).min(kept.news.len());
        Heard {
            at: kept.latest,
            news: kept.news.iter().skip(kept.news.len() - new).cloned().collect(),
        }
    }

    /// No news, for a listener whose time is over.
    #[must_use]
    pub fn nothing(&self, after: Option<u64>) -> Heard {
        Heard { at: after.unwrap_or(*self.latest.borrow()), news: Vec::new() }
    }

    /// The queries that end from now on.
    pub(crate) fn endings(&self) -> tokio::sync::broadcast::Receiver<QueryId> {
        self.ended.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn news(millis: u64) -> News {
        News { query: QueryId::at(millis, &[0; 10]), ended: false }
    }

    #[tokio::test]
    async fn who_listens_hears_everything_once_and_in_order() {
        let hub = Arc::new(Hub::default());
        assert_eq!(hub.after(None).await, Heard { at: 0, news: vec![] });
        let listener = tokio::spawn({
            let hub = Arc::clone(&hub);
            async move { hub.after(Some(0)).await }
        });
        hub.tell(news(1));
        let heard = listener.await.unwrap_or(Heard { at: 0, news: vec![] });
        assert_eq!(heard, Heard { at: 1, news: vec![news(1)] });
        hub.tell(news(2));
        hub.tell(news(3));
        assert_eq!(hub.after(Some(1)).await.news, [news(2), news(3)]);
        // A number of another gateway, or of one that was started again.
        assert_eq!(hub.after(Some(99)).await, Heard { at: 3, news: vec![] });
    }

    #[tokio::test]
    async fn who_is_very_late_hears_the_newest() {
        let hub = Hub::default();
        for number in 0..2 * KEPT as u64 {
            hub.tell(news(number));
        }
        let heard = hub.after(Some(1)).await;
        assert_eq!((heard.at, heard.news.len()), (2 * KEPT as u64, KEPT));
        assert_eq!(heard.news.last(), Some(&news(2 * KEPT as u64 - 1)));
    }
}
