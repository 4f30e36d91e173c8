//! What a process needs that sweeps and runs nothing itself: a function that a schedule calls, and `dunlin sweep`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::sweep::{Opened, Site, SweepPeriods, Sweeper};
use dunlin_manifest::query::{News, QueryHandle, Wake};
use dunlin_manifest::records::{End, EngineFence};
use dunlin_manifest::store::ObjectControlStore;
use dunlin_plan::stores::Stores;
use dunlin_plan::write::Written;
use parking_lot::Mutex;

use crate::functions::Functions;

/// A sweeper for a process that runs no tasks. It calls `functions` for work that nobody takes.
#[must_use]
pub fn sweeper(
    (store, stores): (ObjectControlStore, Stores),
    fence: EngineFence,
    functions: Option<Arc<Functions>>,
) -> Sweeper {
    let place = Place { store, stores, fence, functions, held: Mutex::default() };
    Sweeper::new(Arc::new(place), SweepPeriods::default())
}

/// What such a process has.
#[derive(Debug)]
struct Place {
    store: ObjectControlStore,
    /// The stores of the configuration, for files that statements have written.
    stores: Stores,
    fence: EngineFence,
    functions: Option<Arc<Functions>>,
    held: Mutex<HashMap<QueryId, Arc<QueryHandle>>>,
}

/// Handles that are kept between sweeps.
const HELD: usize = 256;

#[async_trait]
impl Site for Place {
    fn store(&self) -> &ObjectControlStore {
        &self.store
    }

    async fn open(&self, query: &QueryId) -> Opened {
        if let Some(handle) = self.held.lock().get(query) {
            return Opened::Handle(Arc::clone(handle));
        }
        let opened = Opened::from(QueryHandle::open(self.store.clone(), query, &self.fence).await);
        if let Opened::Handle(handle) = &opened {
            let mut held = self.held.lock();
            held.retain(|_, handle| handle.known_end().is_none());
            if held.len() < HELD {
                held.insert(query.clone(), Arc::clone(handle));
            }
        }
        opened
    }

    fn in_use(&self) -> Vec<Arc<QueryHandle>> {
        Vec::new()
    }

    async fn run_here(&self, _: &QueryId) -> bool {
        false
    }

    async fn tell(&self, news: News) {
        if let Some(functions) = &self.functions {
            functions.tell(news).await;
        }
    }

    async fn settle(&self, handle: &QueryHandle, end: &End, seen: Duration) -> bool {
        let Some(target) = &handle.root.write else { return true };
        let (query, env) = (&handle.query, self.store.env());
        let settle = async {
            let written = Written::by(query, target, &self.stores)?;
            let state = written.ended(env, end).await?;
            written.clean(env, state).await
        };
        match settle.await {
            Ok(deleted) => {
                tracing::info!(%query, deleted, "settled the files of a query that has ended");
                // Tasks that still run may write until they have noticed, or were given up.
                seen >= Duration::from_millis(handle.root.limits.lease_ms)
            }
            Err(error) => {
                tracing::warn!(%query, %error, "files that were not committed are left");
                false
            }
        }
    }

    fn trouble(&self) -> Option<String> {
        self.functions.as_ref().and_then(|functions| functions.trouble())
    }
}
