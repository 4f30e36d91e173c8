//! Writing a planned query into the store: its turn, its record, and who is told of it.

use std::sync::Arc;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::query::{News, QueryHandle, ring};
use dunlin_manifest::records::Limits;
use dunlin_manifest::submit::{self, SubmitError, Submitted};
use dunlin_planner::{Planned, Route, StageGraph};
use tokio_util::sync::CancellationToken;

use super::asked::Remarks;
use super::cached::{Cached, Source, identity};
use super::error::CoreError;
use super::handles::Handles;
use super::workgroups::Workgroups;
use crate::auth::Principal;
use crate::metrics::Told;
use crate::options::Gateway;

/// Keeps what this process knows of a query that it has just written, until the request has looked at it.
pub(crate) type Held = Option<Arc<QueryHandle>>;

/// Writes queries into the store.
#[derive(Debug)]
pub(super) struct Submitter {
    pub(super) gateway: Gateway,
    pub(super) handles: Arc<Handles>,
    pub(super) cached: Arc<Cached>,
    pub(super) workgroups: Arc<Workgroups>,
    pub(super) told: Told,
}

/// What a client submits, beside the plan.
pub(super) struct Wanted<'a> {
    pub(super) sql: &'a str,
    pub(super) trace: Option<String>,
    /// The hash of the idempotency key, and the fingerprint of the request.
    pub(super) idem: Option<(String, String)>,
    pub(super) caller: &'a Principal,
    pub(super) remarks: &'a Remarks,
    /// Its answer may be another one's, and another one's may be its.
    pub(super) is_cacheable: bool,
    /// Bytes and dollars that it is expected to use.
    pub(super) expected: (u64, Option<f64>),
    /// Cancelled when nobody wants the query any more.
    pub(super) gone: CancellationToken,
}

/// A query that is in the store.
pub(super) struct Written {
    pub(super) query: QueryId,
    pub(super) source: Source,
    pub(super) held: Held,
}

impl Submitter {
    /// Submits a planned query, and starts it if this process runs it.
    pub(super) async fn write_down(
        &self,
        planned: &Planned,
        limits: Limits,
        query: QueryId,
        wanted: Wanted<'_>,
    ) -> Result<Written, CoreError> {
        let Some(graph) = &planned.graph else {
            return Err(CoreError::internal("a query without stages cannot be written down"));
        };
        let written = self.submit((graph, limits), query, wanted).await?;
        if written.source == Source::Cached {
            return Ok(written);
        }
        if let Some(local) = &self.gateway.local
            && planned.route == Route::Inline
        {
            local.run(written.query.clone()).await;
        }
        let (store, env) = ((*self.gateway.control).clone(), self.gateway.env.clone());
        let news = match &written.held {
            Some(handle) => handle.news(),
            None => News::work(written.query.clone(), ""),
        };
        self.gateway.hub.tell(news);
        self.gateway.hub.beside(async move { ring(&store, &env).await });
        Ok(written)
    }

    async fn submit(
        &self,
        (graph, limits): (&StageGraph, Limits),
        query: QueryId,
        wanted: Wanted<'_>,
    ) -> Result<Written, CoreError> {
        let Wanted { sql, trace, idem, caller, remarks, is_cacheable, expected, gone } = wanted;
        let under = |query: &QueryId| {
            let idem = idem.clone();
            let mut submission =
                graph.clone().into_submission(query, &self.gateway.env, sql, limits, idem);
            submission.root.owner = caller.owner.as_ref().map(|owner| owner.as_str().to_owned());
            submission.root.workgroup = caller.workgroup.as_ref().map(|it| it.name.to_string());
            submission.root.trace = trace.clone();
            submission
        };
        let submission = under(&query);
        let identity = is_cacheable.then(|| identity(&submission.root)).transpose()?;
        if let Some(identity) = &identity
            && let Some(handle) = self.cached.find(identity).await
        {
            let query = handle.query.clone();
            return Ok(Written { query, source: Source::Cached, held: Some(handle) });
        }
        let is_wanted = || !gone.is_cancelled();
        let meter = Arc::<Meter>::default();
        let store = self.handles.metered(&meter);
        let admitted = self.workgroups.admit((&store, caller), &query, expected, is_wanted).await;
        let admitted = admitted.map_err(|error| error.about(&query))?;
        let outcome = async {
            // Before the query exists, so that nobody finds the query without them.
            self.handles.asked().write(&store, &query, remarks).await?;
            match submit::submit(&store, submission).await {
                // Another request with the same key has announced its id and has no root yet. Whichever root is written,
                // the two requests are the same.
                Err(SubmitError::Orphaned { query }) => {
                    self.handles.asked().write(&store, &query, remarks).await?;
                    Ok(submit::submit(&store, under(&query)).await?)
                }
                other => Ok(other?),
            }
        };
        let outcome: Result<Submitted, CoreError> = outcome.await;
        if outcome.as_ref().map_or(true, |submitted| submitted.query != query) {
            self.workgroups.give_back(admitted).await;
        }
        let Submitted { query, replayed, root } = outcome.map_err(|error| error.about(&query))?;
        tracing::info!(%query, replayed, by = %caller.name, "submitted");
        if !replayed {
            self.handles.asked().remember(&query, remarks.clone());
        }
        let held = root.map(|root| self.handles.written(&query, root, meter));
        if let (Some(books), Some(handle)) = (&self.told.books, &held) {
            books.follow(handle);
        }
        if let (Some(_), Some(identity)) = (&held, identity) {
            let (cached, query) = (Arc::clone(&self.cached), query.clone());
            self.gateway.hub.beside(async move { cached.note(&identity, &query).await });
        }
        let source = match replayed {
            true => Source::Replayed,
            false => Source::New { missed: is_cacheable },
        };
        Ok(Written { query, source, held })
    }
}
