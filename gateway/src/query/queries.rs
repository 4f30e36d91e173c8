//! Following a query by its id: its status, its end, its answer, its analysis.
//!
//! Everything is read from the store's objects, so any gateway answers for any query.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::query::{Progress, QueryHandle, gateways};
use dunlin_manifest::records::{End, EndStatus, ErrorCode, QueryError, Seal};
use dunlin_manifest::store::create::load;
use dunlin_manifest::store::{ControlStore, StoreError};
use dunlin_plan::wire::schema_from_text;
use dunlin_plan::write::State;
use dunlin_planner::cost::{Bill, Tariff};
use futures::future::join;
use tokio_util::sync::CancellationToken;

use super::analyze::{self, Analysis, Detail};
use super::answer::{Answer, Receipt};
use super::asked::Remarks;
use super::audit::Audit;
use super::brief::Briefs;
use super::cut::AnswerLimits;
use super::error::{CoreError, ErrorKind};
use super::handles::Handles;
use super::hub::Hub;
use super::lasting::lasting;
use super::links::{self, Links};
use super::parts::{Parts, parts_of};
use super::receipt::receipt;
use super::results::ResultReader;
use super::status::QueryStatus;
use super::swept;
use super::watch::{Snapshot, Watchers};
use super::write_error::of_write;
use super::writes::Writes;
use crate::auth::Principal;
use crate::metrics::Metrics;
use crate::options::{GatewayOptions, LinkMaker};

/// How long a cancel waits for the end of a query that has committed its files.
const LAST_STEP: Duration = Duration::from_secs(10);

/// The state of a query after a wait.
pub(crate) enum Waited {
    /// It has ended.
    Ended(Box<Ended>),
    /// It is still running.
    Running(Box<QueryStatus>),
}

/// A query that has ended. Its records may be deleted earlier than its end.
pub(crate) struct Ended {
    pub(crate) query: QueryId,
    pub(crate) end: Arc<End>,
    handle: Option<Arc<QueryHandle>>,
    /// What its client said of it.
    remarks: Arc<Remarks>,
    /// What became of its files, if it writes.
    write: Option<State>,
}

/// What of an answer a request wants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// At most so much.
    pub(crate) limits: AnswerLimits,
    /// Only this part.
    pub(crate) part: Option<u64>,
}

impl Ended {
    /// The status that a client sees.
    pub(crate) fn status(&self) -> QueryStatus {
        let root = self.handle.as_ref().map(|handle| &*handle.root);
        QueryStatus::new(self.query.as_str(), root, Progress::default(), Some(&self.end))
            .with_tags(&self.remarks.tags)
            .with_write(root, self.write)
    }
}

/// The queries of a store, as this process follows them.
#[derive(Debug)]
pub(crate) struct Queries {
    pub(super) handles: Arc<Handles>,
    pub(super) watchers: Watchers,
    pub(super) results: ResultReader,
    pub(super) writes: Arc<Writes>,
    pub(super) tariff: Arc<Tariff>,
    links: Option<Arc<dyn LinkMaker>>,
    most_answer: Option<u64>,
    is_swept_by_schedule: bool,
    pub(super) stop: CancellationToken,
    pub(super) metrics: Arc<Metrics>,
    pub(super) brief: Briefs,
    audit: Arc<Audit>,
}

impl Queries {
    pub(crate) fn new(
        (handles, writes): (Arc<Handles>, Arc<Writes>),
        hub: Arc<Hub>,
        links: Option<Arc<dyn LinkMaker>>,
        options: &GatewayOptions,
        (metrics, audit): (Arc<Metrics>, Arc<Audit>),
        stop: CancellationToken,
    ) -> Self {
        let env = handles.env().clone();
        let periods = options.watch;
        Self {
            tariff: Arc::clone(&options.tariff),
            links,
            most_answer: options.most_answer,
            is_swept_by_schedule: options.is_swept_by_schedule,
            watchers: Watchers::new(env.clone(), hub, periods, stop.clone()),
            writes,
            results: ResultReader::new(handles.store().clone(), env),
            handles,
            stop,
            metrics,
            brief: Briefs::default(),
            audit,
        }
    }

    /// Addresses of gateways, as they have written them into the store: the newest ones, some at most.
    pub(crate) async fn gateways(&self) -> Result<Vec<String>, CoreError> {
        Ok(gateways(self.handles.store()).await?)
    }

    /// What queries cost.
    pub(crate) fn tariff(&self) -> &Tariff {
        &self.tariff
    }

    pub(crate) fn env(&self) -> &Env {
        self.handles.env()
    }

    /// Time by this gateway's clock.
    pub(crate) fn now(&self) -> Duration {
        self.handles.now()
    }

    /// Resolves after `wait`, or when the gateway was asked to stop.
    pub(crate) async fn over(&self, wait: Duration) {
        tokio::select! {
            () = self.env().clock.sleep(wait) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Whether the gateway was asked to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when the gateway was asked to stop.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stop.clone().cancelled_owned()
    }

    /// Whether this gateway can take queries: the store answers, and the gateway was not asked to stop. Returns what a user
    /// should know nevertheless.
    pub(crate) async fn ready(&self) -> Result<Option<String>, CoreError> {
        if self.stop.is_cancelled() {
            return Err(CoreError::store("the gateway is stopping"));
        }
        let store = self.handles.store();
        store.get(keys::BELL).await?;
        if !self.is_swept_by_schedule {
            return Ok(None);
        }
        let mark = store.get(keys::SWEPT).await?;
        Ok(swept::note(mark.map(|mark| mark.modified_ms), self.env().clock.wall_ms()))
    }

    /// What is known of a query that `caller` may see. For other callers the query does not exist.
    pub(super) async fn open(
        &self,
        caller: &Principal,
        query: &QueryId,
    ) -> Result<Arc<QueryHandle>, CoreError> {
        let handle = self.handles.open(query).await?;
        if caller.sees(handle.root.owner.as_deref()) {
            Ok(handle)
        } else {
            // The same error as for a query that does not exist.
            Err(CoreError::no_such_query(query.as_str()))
        }
    }

    /// The columns of a query's answer. They are known before it ends.
    pub(crate) async fn schema(
        &self,
        caller: &Principal,
        query: &QueryId,
    ) -> Result<SchemaRef, CoreError> {
        let handle = self.open(caller, query).await?;
        let schema = schema_from_text(&handle.root.result.schema);
        schema.map_err(|error| CoreError::internal(error).about(query))
    }

    /// Whether there is such a query.
    pub(crate) async fn is_there(&self, query: &QueryId) -> bool {
        self.handles.open(query).await.is_ok()
    }

    /// Waits until the query has ended or `wait` has passed.
    pub(crate) async fn wait(
        &self,
        caller: &Principal,
        query: &QueryId,
        wait: Duration,
    ) -> Result<Waited, CoreError> {
        let handle = self.open(caller, query).await?;
        let watch = self.watchers.watch(query, &handle);
        let _waiting = self.metrics.waiting();
        let Snapshot { end, progress, trouble } = watch.end(self.env(), wait, &self.stop).await;
        match (end, trouble) {
            (Some(end), _) => {
                let write = self.writes.ended(&handle, &end).await;
                let (query, handle) = (query.clone(), Some(handle));
                let remarks = self.handles.remarks(&query).await;
                Ok(Waited::Ended(Box::new(Ended { query, end, handle, remarks, write })))
            }
            // A gateway that stops hands its clients over. Whether the store answers is for the next one to see.
            (None, Some(trouble)) if !self.stop.is_cancelled() => {
                Err(CoreError::store(trouble).about(query))
            }
            (None, _) => {
                let status = QueryStatus::new(query.as_str(), Some(&*handle.root), progress, None);
                let remarks = self.handles.remarks(query).await;
                let status = status.with_tags(&remarks.tags).with_cost(self.cost_so_far(&handle));
                Ok(Waited::Running(Box::new(status)))
            }
        }
    }

    /// Dollars that a query has cost so far, as far as this process knows.
    pub(super) fn cost_so_far(&self, handle: &QueryHandle) -> Option<f64> {
        let used = handle.used();
        let slot_us = used.slot.total();
        let bill = Bill { requests: used.requests, usage: used.usage, slot_us, ..Bill::default() };
        self.tariff.cost(&bill).map(|cost| cost.total)
    }

    /// An incomplete submit may have been ended. Without a root it has no owner.
    pub(super) async fn status_without_root(
        &self,
        caller: &Principal,
        query: &QueryId,
        error: CoreError,
    ) -> Result<QueryStatus, CoreError> {
        if !matches!(error.kind, ErrorKind::NoSuchQuery(_)) || !caller.sees(None) {
            return Err(error);
        }
        match self.read_end(query).await? {
            Some(end) => {
                Ok(QueryStatus::new(query.as_str(), None, Progress::default(), Some(&end)))
            }
            None => Err(error),
        }
    }

    async fn read_end(&self, query: &QueryId) -> Result<Option<End>, CoreError> {
        load(self.handles.store(), &keys::end(query))
            .await
            .map_err(|error| CoreError::from(error).about(query))
    }

    /// The end of a query that has one.
    pub(crate) async fn ended(
        &self,
        caller: &Principal,
        query: &QueryId,
    ) -> Result<Ended, CoreError> {
        let handle = match self.open(caller, query).await {
            Err(error) if !caller.sees(None) => return Err(error),
            handle => handle,
        };
        if let Ok(handle) = &handle {
            self.audit.read(caller, query, handle.root.owner.as_deref());
        }
        // Only of a query that exists is it settled what its client has said.
        let remarks = async {
            match &handle {
                Ok(_) => self.handles.remarks(query).await,
                Err(_) => Arc::default(),
            }
        };
        let (end, remarks) = join(self.read_end(query), remarks).await;
        match (end?, handle) {
            (Some(end), handle) => {
                let (query, end, handle) = (query.clone(), Arc::new(end), handle.ok());
                let write = match &handle {
                    Some(handle) => self.writes.ended(handle, &end).await,
                    None => None,
                };
                Ok(Ended { query, end, handle, remarks, write })
            }
            (None, Ok(_)) => Err(CoreError::from(ErrorKind::NotReady).about(query)),
            (None, Err(error)) => Err(error),
        }
    }

    /// Ends the query as cancelled if it has no end, and returns its end. A write that is committed is not cancelled: it
    /// ends as it would have.
    pub(crate) async fn cancel(
        &self,
        caller: Principal,
        query: QueryId,
    ) -> Result<QueryStatus, CoreError> {
        let handle = self.open(&caller, &query).await?;
        self.audit.cancelled(&caller, &query);
        let about = |error: StoreError| CoreError::from(error).about(&query);
        if let Some(target) = &handle.root.write
            && handle.ended().await.map_err(about)?.is_none()
            && self.writes.cancel(&query, target).await? == State::Committed
        {
            return match self.wait(&caller, &query, LAST_STEP).await? {
                Waited::Ended(ended) => Ok(ended.status()),
                Waited::Running(status) => Ok(*status),
            };
        }
        let (handles, writes) = (Arc::clone(&self.handles), Arc::clone(&self.writes));
        lasting(async move {
            let end =
                handle.cancel().await.map_err(|error| CoreError::from(error).about(&query))?;
            tracing::info!(%query, status = ?end.status, by = %caller.name, "asked to cancel");
            let remarks = handles.remarks(&query).await;
            let write = writes.ended(&handle, &end).await;
            if let (Some(target), EndStatus::Cancelled) = (&handle.root.write, end.status)
                && write == Some(State::Cancelled)
            {
                let lease = Duration::from_millis(handle.root.limits.lease_ms);
                writes.clean_cancelled(&query, target, lease);
            }
            Ok(Ended { query, end, handle: Some(handle), remarks, write }.status())
        })
        .await
    }

    /// The rows of a query that has ended, as far as they are wanted, or why there are none.
    pub(crate) async fn answer(&self, ended: &Ended, wanted: Wanted) -> Result<Answer, CoreError> {
        self.open_answer(ended, wanted).await.map_err(|error| error.about(&ended.query))
    }

    /// The parts of an answer.
    pub(crate) async fn parts(&self, ended: &Ended) -> Result<Parts, CoreError> {
        let about = |error: CoreError| error.about(&ended.query);
        let (_, seal) = self.answer_seal(ended).await.map_err(about)?;
        let parts = self.results.parts(&ended.query, &seal).await.map_err(about)?;
        Ok(Parts::new(parts.into_iter().map(|(_, total)| total)))
    }

    /// Links to the rows of a query that has ended.
    pub(crate) async fn links(&self, ended: &Ended, time: Duration) -> Result<Links, CoreError> {
        let maker = self.links.as_ref().ok_or_else(|| {
            CoreError::invalid_request("the state's store makes no links; ask for the rows")
        })?;
        let (handle, seal) = self.answer_seal(ended).await?;
        links::links(handle, &seal, maker, time).await
    }

    async fn open_answer(&self, ended: &Ended, wanted: Wanted) -> Result<Answer, CoreError> {
        let Ended { query, end, remarks, .. } = ended;
        let (handle, seal) = self.answer_seal(ended).await?;
        let buckets = seal.buckets();
        let parts = parts_of(&buckets);
        let count = parts.len() as u64;
        let part = wanted.part.map(|number| {
            let part = usize::try_from(number).ok().and_then(|number| parts.get(number));
            part.ok_or(ErrorKind::NoSuchPart { part: number, parts: count })
        });
        let part = part.transpose()?;
        let (bytes, rows) = match part {
            Some(part) => part.size(&buckets),
            None => (seal.bytes, Some(seal.rows)),
        };
        if let Some(most) = self.most_answer.filter(|most| bytes > *most) {
            return Err(ErrorKind::AnswerTooLarge { bytes, most }.into());
        }
        let stream = self.results.open(query, &handle.root, &seal, part).await?;
        let receipt = Receipt::of(handle.root.route, &end.summary.unwrap_or_default());
        let requests_gateway = self.handles.requests(query);
        let receipt = Receipt { rows, requests_gateway, ..receipt };
        let answer = Answer {
            query: query.clone(),
            rows: stream,
            receipt,
            meter: None,
            cut: None,
            parts: Some(count),
        };
        // What a client said of its query is about the whole answer.
        let said = if part.is_none() { remarks.limits } else { AnswerLimits::default() };
        Ok(answer.limited(wanted.limits.or(said)))
    }

    /// The seal of the last stage, which names the objects of the answer, or why there is no answer.
    pub(super) async fn answer_seal<'a>(
        &self,
        Ended { end, handle, write, .. }: &'a Ended,
    ) -> Result<(&'a Arc<QueryHandle>, Arc<Seal>), CoreError> {
        match end.status {
            EndStatus::Succeeded => {}
            EndStatus::Cancelled => return Err(ErrorKind::Cancelled.into()),
            EndStatus::Failed => {
                let error = end.error.clone().unwrap_or_else(|| QueryError {
                    code: ErrorCode::Internal,
                    message: "the query failed without saying why".to_owned(),
                    retryable: false,
                });
                let root = handle.as_ref().map(|handle| &*handle.root);
                return Err(ErrorKind::Query(of_write(error, root, *write)).into());
            }
        }
        // Records may be deleted earlier than `end`.
        let handle = handle.as_ref().ok_or(ErrorKind::Expired)?;
        let root = &handle.root;
        let Some(last) = root.stages.last() else {
            return Err(CoreError::internal("the query has no stages"));
        };
        let seal = match &end.answer {
            Some(answer) => Arc::new(answer.clone()),
            None => {
                let sealed = handle.seal(last.id).await?.ok_or(ErrorKind::Expired)?;
                if end.seal.as_ref().is_some_and(|named| *named != sealed.digest) {
                    return Err(CoreError::internal(
                        "the result's seal is not the one that the end names",
                    ));
                }
                sealed.seal
            }
        };
        Ok((handle, seal))
    }

    /// What a query cost, by its records. If it has not succeeded, by the seals that exist.
    pub(crate) async fn analysis(
        &self,
        caller: &Principal,
        query: &QueryId,
        detail: Detail,
    ) -> Result<Analysis, CoreError> {
        Ok(self.analyzed(caller, query, detail).await?.1)
    }

    /// The analysis of a query as rows.
    pub(crate) async fn answer_analysis(
        &self,
        caller: &Principal,
        query: &QueryId,
        detail: Detail,
    ) -> Result<Answer, CoreError> {
        let (handle, analysis) = self.analyzed(caller, query, detail).await?;
        let mut receipt = Receipt::of(handle.root.route, &analysis.totals);
        receipt.requests_gateway = self.handles.requests(query);
        let (query, rows) = (query.clone(), analysis.rows()?);
        Ok(Answer { query, rows, receipt, meter: None, cut: None, parts: None })
    }

    async fn analyzed(
        &self,
        caller: &Principal,
        query: &QueryId,
        detail: Detail,
    ) -> Result<(Arc<QueryHandle>, Analysis), CoreError> {
        let handle = match self.open(caller, query).await {
            Ok(handle) => handle,
            // Records may be deleted earlier than `end`.
            Err(error) => {
                self.status_without_root(caller, query, error).await?;
                return Err(CoreError::from(ErrorKind::Expired).about(query));
            }
        };
        let end = handle.ended().await.map_err(|error| CoreError::from(error).about(query))?;
        let mut analysis = analyze::of_records(&handle, end.as_deref(), detail).await?;
        if let Some(end) = &end {
            analysis
                .add("cost", receipt(&self.handles, &self.tariff, &handle, end).await.dollars());
        }
        Ok((handle, analysis))
    }
}
