//! What a gateway does for a query here: it submits, watches and sweeps, with the code that gateways run.

use std::sync::Arc;
use std::time::Duration;

use dunlin_invoke::sweep::sweeper;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::{News, QueryHandle, SubmitError, ring};
use dunlin_manifest::records::{Adaptive, End, EngineFence, Limits};
use dunlin_manifest::store::{ObjectControlStore, StoreError};
use dunlin_manifest::submit;
use dunlin_plan::fence;
use dunlin_plan::stores::Stores;
use dunlin_plan::write::{State, Written};
use dunlin_sim::hub::{Hub, watch};

use crate::life::Life;
use crate::prepared::Query;

/// SHA-256 of the client's key, and of its request. Any text would do.
const KEY: &str = "0f1e2d3c";
const REQUEST: &str = "a request";
/// Longest that one request waits, as a client sets it.
const WAIT: Duration = Duration::from_secs(60);
/// Pause between two sweeps.
const SWEEP: Duration = Duration::from_secs(2);

/// A gateway.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) life: Arc<Life>,
    control: ObjectControlStore,
    stores: Stores,
    hub: Arc<Hub>,
    fence: EngineFence,
}

impl Gateway {
    /// Starts one.
    pub(crate) fn start(
        life: Arc<Life>,
        control: ObjectControlStore,
        stores: Stores,
        hub: &Arc<Hub>,
    ) -> Self {
        let fence = fence::current().unwrap();
        let (hub, of_gateway) = (Arc::clone(hub), (control.clone(), stores.clone()));
        let gateway = Self { life, control: of_gateway.0, stores: of_gateway.1, hub, fence };
        let mut sweeper = sweeper((control, stores), gateway.fence.clone(), None);
        let env = gateway.env().clone();
        tokio::spawn(async move {
            loop {
                env.clock.sleep(env.jitter(SWEEP)).await;
                // A sweep that failed is followed by another one.
                let _ = sweeper.sweep().await;
            }
        });
        gateway
    }

    fn env(&self) -> &Env {
        self.control.env()
    }

    /// Takes a query, as `gateway/src/query/intake.rs` does under a key.
    pub(crate) async fn submit(
        &self,
        query: &Query,
        adaptive: &Adaptive,
    ) -> Result<QueryId, SubmitError> {
        let mut id = QueryId::new(self.env());
        match submit::find(&self.control, KEY, REQUEST).await {
            Ok(None) => {}
            Ok(Some(found)) => return Ok(found),
            Err(SubmitError::Orphaned { query }) => id = query,
            Err(error) => return Err(error),
        }
        let submission = |id: &QueryId| {
            let idem = Some((KEY.to_owned(), REQUEST.to_owned()));
            let (graph, limits) = (query.graph.clone(), Limits::default());
            let mut submission = graph.into_submission(id, self.env(), &query.sql, limits, idem);
            submission.root.adaptive = *adaptive;
            submission
        };
        let submitted = match submit::submit(&self.control, submission(&id)).await {
            Err(SubmitError::Orphaned { query }) => {
                submit::submit(&self.control, submission(&query)).await
            }
            other => other,
        };
        let query = submitted?.query;
        self.hub.push(News::work(query.clone(), &self.fence.build));
        ring(&self.control, self.env()).await;
        Ok(query)
    }

    /// Waits for the end of a query. `None`: not yet, or the store cannot be read now. A root that cannot be read is an
    /// answer as well.
    pub(crate) async fn wait(&self, query: &QueryId) -> Option<Result<Arc<End>, String>> {
        match QueryHandle::open(self.control.clone(), query, &self.fence).await {
            Ok(handle) => watch(&handle?, &self.hub, WAIT).await.map(Ok),
            Err(error @ StoreError::Malformed { .. }) => Some(Err(error.to_string())),
            Err(_) => None,
        }
    }

    /// Cancels a query. False if it is not known whether it is.
    pub(crate) async fn cancel(&self, query: &QueryId) -> bool {
        let opened = QueryHandle::open(self.control.clone(), query, &self.fence).await;
        let Ok(Some(handle)) = opened else { return false };
        if let Some(target) = &handle.root.write {
            // As `gateway/src/query/queries.rs`: what is committed is not cancelled.
            match handle.ended().await {
                Ok(None) => {}
                Ok(Some(_)) => return true,
                Err(_) => return false,
            }
            let written = Written::by(query, target, &self.stores).unwrap();
            match written.cancel(self.env()).await {
                Ok(State::Committed) => return true,
                Ok(State::Cancelled) => {}
                Err(_) => return false,
            }
        }
        handle.cancel().await.is_ok()
    }
}
