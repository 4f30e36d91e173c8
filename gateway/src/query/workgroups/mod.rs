//! What the queries of a workgroup may use together: places at a time, bytes and dollars a day.
//!
//! ```text
//!   planned ──> quota of the day ──> its turn ──> submitted             a query of the fleet
//!   planned ──> quota of the day ──> runs here ──> written down         a query that the gateway runs itself
//! ```
//! All gateways keep the same books, which are objects below `use/`. A group without limits costs no request. Limits of one
//! query (bytes, dollars, time) need no books: they are written into the query.

mod spent;
mod turns;

use std::sync::Arc;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::store::ObjectControlStore;
use dunlin_planner::cost::Tariff;

use self::spent::{Books, Reserved};
pub(crate) use self::spent::{Here, Total};
use self::turns::Turns;
use super::error::CoreError;
use super::handles::Handles;
use super::hub::Hub;
use crate::auth::{Principal, Workgroup};

/// The workgroups of all clients.
#[derive(Debug)]
pub(crate) struct Workgroups {
    turns: Turns,
    books: Arc<Books>,
}

/// A query that may run now. It is given back if the query does not come to be.
#[derive(Debug, Default)]
pub(super) struct Admitted(Option<Reserved>);

impl Workgroups {
    pub(crate) fn new(handles: &Arc<Handles>, hub: &Arc<Hub>, tariff: &Arc<Tariff>) -> Self {
        let books = Books::new(Arc::clone(handles), Arc::clone(hub), Arc::clone(tariff));
        let turns = Turns::new(Arc::clone(handles), Arc::clone(hub));
        Self { turns, books: Arc::new(books) }
    }

    /// Waits until a query of the fleet may run, which is expected to use so many bytes and dollars. `store` counts what is
    /// asked for it; `is_wanted`: whether its client still waits.
    ///
    /// # Errors
    /// Its group has used its day, or too many of its queries run and wait.
    pub(super) async fn admit(
        &self,
        (store, caller): (&ObjectControlStore, &Principal),
        query: &QueryId,
        expected: (u64, Option<f64>),
        is_wanted: impl Fn() -> bool + Send,
    ) -> Result<Admitted, CoreError> {
        let Some(group) = &caller.workgroup else { return Ok(Admitted::default()) };
        let reserved = self.books.reserve(store, group, query, expected).await?;
        match self.turns.take(store, group, query, is_wanted).await {
            Ok(()) => Ok(Admitted(reserved)),
            Err(error) => {
                self.give_back(Admitted(reserved)).await;
                Err(error)
            }
        }
    }

    /// The query does not come to be.
    pub(super) async fn give_back(&self, Admitted(reserved): Admitted) {
        if let Some(reserved) = reserved {
            self.books.cancel(reserved).await;
        }
    }

    /// What the queries of a group have used today.
    pub(super) async fn today(&self, group: &Workgroup) -> Result<Total, CoreError> {
        self.books.today_of(group).await
    }

    /// Admits a query that this gateway runs itself, which is expected to read so many bytes. It is over when what is returned
    /// is dropped.
    ///
    /// # Errors
    /// Its group has used its day.
    pub(super) async fn admit_here(
        &self,
        caller: &Principal,
        query: &QueryId,
        bytes: u64,
    ) -> Result<Option<Here>, CoreError> {
        match &caller.workgroup {
            Some(group) => self.books.begin_here(group, query, bytes).await,
            None => Ok(None),
        }
    }
}

/// The time that a query of this group may take at most, in milliseconds.
pub(super) fn ttl_ms(group: Option<&Arc<Workgroup>>, ttl_ms: u64) -> u64 {
    let most = group.and_then(|group| group.ttl);
    most.map_or(ttl_ms, |most| ttl_ms.min(u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
}
