//! What is new of a query since a client last heard of it.
//!
//! ```text
//!   GET status, If-None-Match ──┐
//!                               ├──> watcher: one for each query ──> version that the client does not know
//!   GET events, Last-Event-ID ──┘
//! ```
//! Everything is told from records, so a client may ask one gateway now and another one later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::{AdvanceError, QueryHandle};
use dunlin_manifest::records::End;
use dunlin_plan::wire::schema_from_text;
use futures::future::join;
use serde::Serialize;

use super::analyze::{self, Profile, StageBody};
use super::asked::Remarks;
use super::catalog::{ColumnBody, columns};
use super::error::CoreError;
use super::queries::Queries;
use super::receipt::receipt;
use super::status::QueryStatus;
use super::version::Version;
use super::watch::Watch;
use crate::auth::Principal;

/// A query as it was seen.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: QueryStatus,
    pub(crate) version: Version,
}

/// A sealed stage, as events tell of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SealedStage {
    /// Its place among the stages.
    #[serde(skip)]
    pub(crate) at: usize,
    stage: u32,
    name: String,
    tasks: u64,
    rows: u64,
    bytes: u64,
}

/// A query that a client follows. Its watcher runs as long as this lives.
#[derive(Debug)]
pub(crate) struct Following {
    handle: Arc<QueryHandle>,
    watch: Arc<Watch>,
    remarks: Arc<Remarks>,
}

impl Following {
    /// The stages that are sealed and that a client with this version has not been told of.
    pub(crate) fn new_stages(&self, known: &Version) -> Vec<SealedStage> {
        let stages = self.handle.root.stages.iter().enumerate();
        let untold = stages.filter(|(at, _)| !known.is_sealed(*at));
        let sealed = untold.filter_map(|(at, spec)| {
            let seal = self.handle.known_seal(spec.id)?.seal;
            Some(SealedStage {
                at,
                stage: spec.id,
                name: spec.name.clone(),
                tasks: seal.totals().tasks,
                rows: seal.rows,
                bytes: seal.bytes,
            })
        });
        sealed.collect()
    }
}

/// How a query was planned.
#[derive(Debug, Serialize)]
pub(crate) struct PlanBody {
    query_id: String,
    sql: String,
    route: &'static str,
    route_reason: String,
    /// Columns of the answer.
    columns: Vec<ColumnBody>,
    stages: Vec<PlannedStage>,
    /// Files that it reads, and their bytes.
    input_files: u64,
    input_bytes: u64,
    settings: BTreeMap<String, String>,
    /// The stages as EXPLAIN shows them.
    pub(crate) distributed_plan: String,
}

#[derive(Debug, Serialize)]
struct PlannedStage {
    stage: u32,
    name: String,
    partitions: u32,
    inputs: Vec<u32>,
}

impl Queries {
    /// The status of a query, after waiting at most `wait`: for its end, or for anything that a client with the version
    /// `known` does not know.
    pub(crate) async fn status(
        &self,
        caller: &Principal,
        query: &QueryId,
        wait: Duration,
        known: Option<&Version>,
    ) -> Result<Seen, CoreError> {
        let handle = match self.open(caller, query).await {
            Ok(handle) => handle,
            Err(error) => {
                let status = self.status_without_root(caller, query, error).await?;
                return Ok(Seen { version: Version::of_status(&status), status });
            }
        };
        let about_advance = |error: AdvanceError| CoreError::from(error).about(query);
        let (end, remarks) = join(handle.ended(), self.handles.remarks(query)).await;
        let mut end = end.map_err(|error| CoreError::from(error).about(query))?;
        if end.is_none() && known.is_some() {
            handle.look(false).await.map_err(about_advance)?;
        }
        if end.is_none() && !wait.is_zero() {
            let watch = self.watchers.watch(query, &handle);
            let _waiting = self.metrics.waiting();
            let env = self.env();
            let snapshot = match known {
                None => watch.end(env, wait, &self.stop).await,
                Some(known) => {
                    let is_new = |end: Option<&End>| Version::of(&handle, end).0 != *known;
                    watch
                        .until(env, wait, &self.stop, |snapshot| is_new(snapshot.end.as_deref()))
                        .await
                }
            };
            end = snapshot.end;
        }
        if end.is_none() && known.is_none() {
            handle.look(false).await.map_err(about_advance)?;
        }
        Ok(self.seen(&handle, end.as_deref(), &remarks).await)
    }

    async fn seen(&self, handle: &QueryHandle, end: Option<&End>, remarks: &Remarks) -> Seen {
        let (version, status) = Version::of(handle, end);
        let status = status.with_tags(&remarks.tags);
        let status = match end {
            Some(end) => {
                let status =
                    status.with_receipt(receipt(&self.handles, &self.tariff, handle, end).await);
                status.with_write(Some(&handle.root), self.writes.ended(handle, end).await)
            }
            None => status.with_cost(self.cost_so_far(handle)),
        };
        Seen { status, version }
    }

    /// Begins to follow a query.
    pub(crate) async fn follow(
        &self,
        caller: &Principal,
        query: &QueryId,
    ) -> Result<Following, CoreError> {
        let handle = self.open(caller, query).await?;
        let (end, remarks) = join(handle.ended(), self.handles.remarks(query)).await;
        end.map_err(|error| CoreError::from(error).about(query))?;
        // Of an ended query the stages may be deleted. Of any other the watcher looks again.
        if let Err(error) = handle.look(false).await {
            tracing::debug!(%query, %error, "a query that is followed could not be looked at");
        }
        let watch = self.watchers.watch(query, &handle);
        Ok(Following { handle, watch, remarks })
    }

    /// The query when a client with the version `known` does not know it, or after `wait`. None if this gateway stops.
    pub(crate) async fn news(
        &self,
        Following { handle, watch, remarks }: &Following,
        known: &Version,
        wait: Duration,
    ) -> Option<Seen> {
        if handle.known_end().is_none() && !wait.is_zero() {
            let is_new = |end: Option<&End>| Version::of(handle, end).0 != *known;
            let _waiting = self.metrics.waiting();
            watch
                .until(self.env(), wait, &self.stop, |snapshot| is_new(snapshot.end.as_deref()))
                .await;
        }
        if self.stop.is_cancelled() {
            return None;
        }
        Some(self.seen(handle, handle.known_end().as_deref(), remarks).await)
    }

    /// How the query was planned, by its record.
    pub(crate) async fn plan(
        &self,
        caller: &Principal,
        query: &QueryId,
    ) -> Result<PlanBody, CoreError> {
        let root = Arc::clone(&self.open(caller, query).await?.root);
        let schema = schema_from_text(&root.result.schema).map_err(CoreError::internal)?;
        let stages = root.stages.iter().map(|spec| PlannedStage {
            stage: spec.id,
            name: spec.name.clone(),
            partitions: spec.partitions,
            inputs: spec.inputs.iter().map(|input| input.stage).collect(),
        });
        Ok(PlanBody {
            query_id: query.to_string(),
            sql: root.sql.clone(),
            route: root.route.as_str(),
            route_reason: root.route_reason.clone(),
            columns: columns(&schema, &[]),
            stages: stages.collect(),
            input_files: root.pins.len() as u64,
            input_bytes: root.pins.iter().map(|pin| pin.size).sum(),
            settings: root.session.clone(),
            distributed_plan: root.explain.clone(),
        })
    }

    /// How far each stage is, by the query's records.
    pub(crate) async fn stages(
        &self,
        caller: &Principal,
        query: &QueryId,
    ) -> Result<(QueryStatus, Vec<StageBody>), CoreError> {
        let (handle, end) = self.with_end(caller, query).await?;
        let stages = analyze::stages(&handle, end.as_deref()).await?;
        Ok((Version::of(&handle, end.as_deref()).1, stages))
    }

    /// What the query did, stage by stage and task by task, and what it cost.
    pub(crate) async fn profile(
        &self,
        caller: &Principal,
        query: &QueryId,
    ) -> Result<(QueryStatus, Profile), CoreError> {
        let (handle, end) = self.with_end(caller, query).await?;
        let profile = analyze::profile(&handle, end.as_deref()).await?;
        let remarks = self.handles.remarks(query).await;
        Ok((self.seen(&handle, end.as_deref(), &remarks).await.status, profile))
    }

    async fn with_end(
        &self,
        caller: &Principal,
        query: &QueryId,
    ) -> Result<(Arc<QueryHandle>, Option<Arc<End>>), CoreError> {
        let handle = self.open(caller, query).await?;
        let end = handle.ended().await.map_err(|error| CoreError::from(error).about(query))?;
        Ok((handle, end))
    }
}
