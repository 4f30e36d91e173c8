//! What an interface makes once for its catalog, for each set of tables that clients may name.

use std::sync::Arc;

use dunlin_manifest::env::Clock;
use dunlin_planner::{Grants, PlanError};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::names::Names;
use crate::query::error::CoreError;
use crate::query::intake::Intake;

/// Sets that are remembered. There are as many as workgroups with different tables.
const MOST: usize = 32;

/// What is made of the tables that clients may name, for each set of such tables.
pub(crate) struct ByGrants<T> {
    intake: Arc<Intake>,
    clock: Arc<dyn Clock>,
    /// The one that was used last is the last.
    places: Mutex<Vec<Arc<Place<T>>>>,
}

struct Place<T> {
    grants: Grants,
    names: Arc<Names>,
    opened: OnceCell<Arc<T>>,
}

impl<T> std::fmt::Debug for ByGrants<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByGrants").finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> ByGrants<T> {
    pub(crate) fn new(intake: Arc<Intake>, clock: Arc<dyn Clock>) -> Self {
        Self { intake, clock, places: Mutex::default() }
    }

    /// What clients with these grants share, with the tables of this moment. It is made when the first of them asks, by
    /// `make`, which may have so many bytes of memory for each statement.
    pub(crate) async fn get(
        &self,
        grants: &Grants,
        make: impl FnOnce(Arc<Names>, usize) -> Result<T, PlanError> + Send + 'static,
    ) -> Result<Arc<T>, CoreError> {
        let place = self.place(grants);
        place.names.refresh().await?;
        let opened = place.opened.get_or_try_init(|| async {
            let (names, memory) = (Arc::clone(&place.names), self.intake.memory());
            // It may decode fixed tables, which takes a moment.
            self.intake.think(move || async move { make(names, memory) }).await.map(Arc::new)
        });
        opened.await.cloned()
    }

    fn place(&self, grants: &Grants) -> Arc<Place<T>> {
        let mut places = self.places.lock();
        let known = places.iter().position(|place| place.grants == *grants);
        let place = match known {
            Some(at) => places.remove(at),
            None => {
                let clock = Arc::clone(&self.clock);
                let now = Box::new(move || clock.monotonic());
                let names = Names::new(Arc::clone(&self.intake), grants.clone(), now);
                let (names, opened) = (Arc::new(names), OnceCell::new());
                Arc::new(Place { grants: grants.clone(), names, opened })
            }
        };
        if places.len() >= MOST {
            places.remove(0);
        }
        places.push(Arc::clone(&place));
        place
    }
}
