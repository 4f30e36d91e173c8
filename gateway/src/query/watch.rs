//! Watching queries: one watcher for each query in a process, shared by all requests that wait for the query.
//!
//! ```text
//!  request ─┐                 ┌─ GET end          5 → 100 ms, growing with the query's age
//!  request ─┼─ Watch <─ watcher
//!  request ─┘                 └─ look, advance    every 500 ms: repairs the work of a dead process
//! ```
//!
//! A watcher runs as long as a request waits. It also repairs: without this, a query whose last worker died between a
//! commit and the seal would make no progress until the next sweep.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::{AdvanceError, PATIENCE, Progress, QueryHandle, Reminder, ring};
use dunlin_manifest::records::{End, Route};
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use crate::options::WatchPeriods;

/// The result of the last look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// The end, once there is one.
    pub(crate) end: Option<Arc<End>>,
    /// The progress of the query at the last LIST.
    pub(crate) progress: Progress,
    /// Why the last look failed, if it did.
    pub(crate) trouble: Option<String>,
}

/// A share of the watcher of one query.
#[derive(Debug)]
pub(crate) struct Watch {
    snapshots: watch::Receiver<Snapshot>,
    /// Ends the watcher's pause.
    nudge: Arc<Notify>,
}

impl Watch {
    /// Waits until the query has ended, `wait` has passed or `stop` is requested. Returns what was seen last.
    pub(crate) async fn end(
        &self,
        env: &Env,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Snapshot {
        self.until(env, wait, stop, |snapshot| snapshot.end.is_some()).await
    }

    /// Waits until a look has found what `is_it`, `wait` has passed or `stop` is requested. Returns what was seen last.
    pub(crate) async fn until(
        &self,
        env: &Env,
        wait: Duration,
        stop: &CancellationToken,
        is_it: impl FnMut(&Snapshot) -> bool,
    ) -> Snapshot {
        let mut snapshots = self.snapshots.clone();
        tokio::select! {
            // A failed wait means that the watcher has stopped, which happens only after an end.
            _ = snapshots.wait_for(is_it) => {}
            () = env.clock.sleep(wait) => {}
            () = stop.cancelled() => {}
        }

        self.snapshots.borrow().clone()
    }
}

/// The watchers of this process.
#[derive(Debug)]
pub(crate) struct Watchers {
    env: Env,
    periods: WatchPeriods,
    stop: CancellationToken,
    live: Arc<Mutex<HashMap<QueryId, Weak<Watch>>>>,
    hub: Arc<Hub>,
}

impl Watchers {
    /// A query that `hub` reports as ended is looked at at once.
    pub(crate) fn new(
        env: Env,
        hub: Arc<Hub>,
        periods: WatchPeriods,
        stop: CancellationToken,
    ) -> Self {
        let live: Arc<Mutex<HashMap<QueryId, Weak<Watch>>>> = Arc::default();
        let (watched, mut endings, stopped) = (Arc::clone(&live), hub.endings(), stop.clone());
        tokio::spawn(async move {
            loop {
                let ended = tokio::select! {
                    ended = endings.recv() => ended,
                    () = stopped.cancelled() => return,
                };
                match ended {
                    Ok(query) => {
                        if let Some(watch) = watched.lock().get(&query).and_then(Weak::upgrade) {
                            watch.nudge.notify_one();
                        }
                    }
                    // The watchers find what was missed by themselves.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Self { env, periods, stop, live, hub }
    }

    /// A share of the query's watcher, which is started if there is none. It runs until all shares are dropped.
    pub(crate) fn watch(&self, query: &QueryId, handle: &Arc<QueryHandle>) -> Arc<Watch> {
        let mut live = self.live.lock();
        if let Some(watch) = live.get(query).and_then(Weak::upgrade) {
            return watch;
        }
        let (sender, snapshots) = watch::channel(Snapshot::default());
        let nudge = Arc::<Notify>::default();
        let watch = Arc::new(Watch { snapshots, nudge: Arc::clone(&nudge) });
        live.insert(query.clone(), Arc::downgrade(&watch));
        let watcher = Watcher {
            handle: Arc::clone(handle),
            env: self.env.clone(),
            periods: self.periods,
            sender,
            nudge,
            hub: Arc::clone(&self.hub),
        };
        let (registry, stop, query) = (Arc::clone(&self.live), self.stop.clone(), query.clone());
        let own = Arc::downgrade(&watch);
        tokio::spawn(async move {
            tokio::select! {
                () = watcher.run() => {}
                () = stop.cancelled() => {}
            }
            let mut live = registry.lock();
            // Another watcher of the same query may have been started after the last share was dropped.
            if live.get(&query).is_some_and(|watch| watch.ptr_eq(&own)) {
                live.remove(&query);
            }
        });
        watch
    }
}

struct Watcher {
    handle: Arc<QueryHandle>,
    env: Env,
    periods: WatchPeriods,
    sender: watch::Sender<Snapshot>,
    nudge: Arc<Notify>,
    hub: Arc<Hub>,
}

impl Watcher {
    /// Until the query has ended, or nobody asks any more. A repair may take seconds, and the end must not wait for it.
    async fn run(self) {
        tokio::select! {
            () = self.ask() => {}
            () = self.repair() => {}
            () = self.sender.closed() => {}
        }
    }

    /// Asks for the end until it is there.
    async fn ask(&self) {
        let begun = self.env.clock.monotonic();
        loop {
            let found = self.handle.ended().await.map_err(AdvanceError::from);
            if self.show(found, None) {
                return;
            }
            // The pause is an eighth of the age, so the end is seen late by at most 12 % of the query's time.
            let age = self.env.clock.monotonic().saturating_sub(begun);
            let pause = (age / 8).clamp(self.periods.first, self.periods.most);
            tokio::select! {
                () = self.env.clock.sleep(pause) => {}
                () = self.nudge.notified() => {}
            }
        }
    }

    /// Does what nobody else has done, until the query has ended.
    async fn repair(&self) {
        let mut reminder = Reminder::default();
        loop {
            self.env.clock.sleep(self.periods.repair).await;
            let found = self.move_on(&mut reminder).await;
            if self.show(found, Some(self.handle.progress())) {
                return;
            }
        }
    }

    async fn move_on(&self, reminder: &mut Reminder) -> Result<Option<Arc<End>>, AdvanceError> {
        self.handle.look(false).await?;
        self.show(Ok(None), Some(self.handle.progress()));
        let advanced = self.handle.advance_patiently(PATIENCE).await?;
        // The gateway that runs an inline query needs no news of it.
        if self.handle.root.route == Route::Fleet {
            let news = self.handle.news_of(&advanced.open, advanced.running);
            if advanced.moved && !advanced.open.is_empty() {
                self.hub.tell(news);
                ring(self.handle.store(), &self.env).await;
            } else if let Some(news) =
                reminder.remind(self.env.clock.monotonic(), self.handle.facts(), news)
            {
                self.hub.tell(news);
            }
        }
        Ok(advanced.ended)
    }

    /// Shows what was found to those who ask. True if the query has ended.
    fn show(
        &self,
        found: Result<Option<Arc<End>>, AdvanceError>,
        progress: Option<Progress>,
    ) -> bool {
        let ended = matches!(found, Ok(Some(_)));
        self.sender.send_if_modified(|snapshot| {
            let troubled = snapshot.trouble.is_some();
            match found {
                Ok(end) => {
                    snapshot.end = end;
                    snapshot.trouble = None;
                }
                Err(error) => {
                    tracing::debug!(query = %self.handle.query, %error, "a look failed");
                    snapshot.trouble = Some(error.to_string());
                }
            }
            if let Some(progress) = progress {
                snapshot.progress = progress;
            }
            ended || troubled != snapshot.trouble.is_some() || progress.is_some()
        });
        ended
    }
}
