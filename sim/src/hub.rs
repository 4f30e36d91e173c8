//! What a gateway does for a fleet: it submits, passes news on, tells workers their places, and watches the query.
//!
//! ```text
//!   worker ──tell──> News ──about 15 ms later──> every ear that listens, with its place
//!   watch: GET end (25 to 100 ms), look and advance every second ──> the end
//! ```
//! It exists because a fleet without a gateway is not the one that people run: places keep workers apart, news wakes
//! them, and the watcher repairs. It does what `gateway/src/query/{hub,watch}.rs` do, which this crate may not use.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dunlin_manifest::env::Env;
use dunlin_manifest::query::{AdvanceError, Heard, News, PATIENCE, Place, QueryHandle, Wake, ring};
use dunlin_manifest::records::End;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// One way between a worker and its gateway, without the jitter.
const WAY: Duration = Duration::from_millis(15);
/// As `gateway/src/options.rs` sets them for a store across a network.
const FIRST_WATCH: Duration = Duration::from_millis(25);
const LAST_WATCH: Duration = Duration::from_millis(100);
const REPAIR: Duration = Duration::from_secs(1);

/// The news of a gateway.
#[derive(Debug)]
pub struct Hub {
    workers: u32,
    news: Mutex<Vec<News>>,
    latest: watch::Sender<usize>,
    ended: Notify,
}

impl Hub {
    /// A gateway to which so many workers listen.
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            workers: u32::try_from(workers).unwrap_or(u32::MAX),
            news: Mutex::default(),
            latest: watch::Sender::new(0),
            ended: Notify::new(),
        })
    }

    /// Tells all who listen.
    pub fn push(&self, news: News) {
        if news.ended {
            self.ended.notify_one();
        }
        let mut all = self.news.lock();
        all.push(news);
        self.latest.send_replace(all.len());
    }
}

/// How one worker listens.
#[derive(Debug)]
pub struct Ear {
    hub: Arc<Hub>,
    env: Env,
    index: u32,
    /// News heard so far; `None` before the first request, which is answered at once.
    at: tokio::sync::Mutex<Option<usize>>,
}

impl Ear {
    /// The worker with this place. `env` is that of its process.
    #[must_use]
    pub fn new(hub: &Arc<Hub>, env: &Env, index: u32) -> Self {
        let (hub, env) = (Arc::clone(hub), env.clone());
        Self { hub, env, index, at: tokio::sync::Mutex::default() }
    }

    async fn way(&self) {
        self.env.clock.sleep(self.env.jitter(WAY)).await;
    }
}

#[async_trait]
impl Wake for Ear {
    async fn tell(&self, news: News) {
        self.way().await;
        self.hub.push(news);
    }

    async fn listen(&self) -> Heard {
        let mut at = self.at.lock().await;
        let mut latest = self.hub.latest.subscribe();
        self.way().await;
        if let Some(at) = *at {
            // It fails only if the hub is gone.
            let _ = latest.wait_for(|latest| *latest > at).await;
        }
        self.way().await;
        let news = self.hub.news.lock();
        let new = news[at.unwrap_or(news.len())..].to_vec();
        *at = Some(news.len());
        let place = Place { index: self.index, of: self.hub.workers };
        Heard { at: news.len() as u64, news: new, place: Some(place) }
    }
}

/// Watches a query until it has ended. `None` if it has not ended after `limit`.
pub async fn watch(handle: &QueryHandle, hub: &Hub, limit: Duration) -> Option<Arc<End>> {
    tokio::select! {
        end = ask(handle, hub) => Some(end),
        end = repair(handle) => Some(end),
        () = handle.store().env().clock.sleep(limit) => None,
    }
}

async fn ask(handle: &QueryHandle, hub: &Hub) -> Arc<End> {
    let clock = &handle.store().env().clock;
    let begun = clock.monotonic();
    loop {
        // What fails is asked again.
        if let Ok(Some(end)) = handle.ended().await {
            return end;
        }
        let age = clock.monotonic().saturating_sub(begun);
        tokio::select! {
            () = clock.sleep((age / 8).clamp(FIRST_WATCH, LAST_WATCH)) => {}
            () = hub.ended.notified() => {}
        }
    }
}

async fn repair(handle: &QueryHandle) -> Arc<End> {
    loop {
        handle.store().env().clock.sleep(REPAIR).await;
        if let Ok(Some(end)) = move_on(handle).await {
            return end;
        }
    }
}

async fn move_on(handle: &QueryHandle) -> Result<Option<Arc<End>>, AdvanceError> {
    handle.look(false).await?;
    let advanced = handle.advance_patiently(PATIENCE).await?;
    if advanced.moved && !advanced.open.is_empty() {
        ring(handle.store(), handle.store().env()).await;
    }
    Ok(advanced.ended)
}
