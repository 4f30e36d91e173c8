//! Routes and handlers. Each handler only reads a request, asks the core, and writes a response.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::EndStatus;
use dunlin_planner::StatementKind;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use super::answer::Envelope;
use super::face::{BodyBytes, Face, read};
use super::guard::{Caller, Guard, guard};
use super::problem::ApiError;
use super::request::{
    Asked, DEFAULT_QUERY_WAIT, DEFAULT_SQL_WAIT, Format, duration, idempotency_key, preferred_wait,
    wait,
};
use super::respond::{accepted, answer_json, mark};
use super::seen::seen;
use super::status::StatusBody;
use super::wake;
use crate::auth::Scope;
use crate::options::MAX_BODY_BYTES;
use crate::query::analyze::Detail;
use crate::query::error::{CoreError, ErrorKind};
use crate::query::intake::{Taken, Wish};
use crate::query::links::{LONGEST, USUAL};
use crate::query::queries::{Queries, Waited};

type Id = Result<Path<String>, PathRejection>;
type Parameters = Result<Query<HashMap<String, String>>, QueryRejection>;

/// The gateway's routes. All but the two that report the state of the process pass the guard.
pub(crate) fn router(face: Face, door: Arc<Guard>) -> Router {
    let open = Router::new().route("/v1/ready", get(ready)).route("/health", get(health));
    Router::new()
        .route("/v1/sql", post(sql))
        .route("/v1/queries", post(submit))
        .route("/v1/queries/{id}", get(status))
        .route("/v1/queries/{id}/results", get(results))
        .route("/v1/queries/{id}/links", get(links))
        .route("/v1/queries/{id}/analyze", get(analyze))
        .route("/v1/queries/{id}/cancel", post(cancel))
        .route("/v1/explain", post(explain))
        .route("/v1/wake", get(wake::listen).post(wake::tell))
        .fallback(async || ApiError::NoSuchPath)
        .layer(axum::middleware::from_fn_with_state(door, guard))
        .merge(open)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(axum::middleware::from_fn_with_state(face.clone(), seen))
        .with_state(face)
}

/// `POST /v1/sql`: rows, or 202 if the wait has ended.
async fn sql(
    State(face): State<Face>,
    caller: Caller,
    headers: HeaderMap,
    body: BodyBytes,
) -> Result<Response, ApiError> {
    let Face { intake, queries, .. } = &face;
    let received = queries.now();
    let caller = caller.with(Scope::Query)?;
    let Asked { statement, wait_timeout } = Asked::parse(&headers, &read(body)?)?;
    let format = Format::negotiate(&headers)?;
    let key = idempotency_key(&headers)?;
    let preferred = preferred_wait(&headers).or(wait_timeout);
    // A client that does not wait at all needs a query id to ask for later.
    let durable = key.is_some() || preferred == Some(Duration::ZERO);
    let wait = preferred.unwrap_or(DEFAULT_SQL_WAIT);
    let parsed = intake.parse(statement).await?;
    let wish = Wish { caller: caller.clone(), key, durable, patience: wait };
    let (query, replayed, analysis, held) = match Arc::clone(intake).take(parsed, wish).await? {
        Taken::Answer(taken) => {
            let left = wait.saturating_sub(queries.now().saturating_sub(received));
            let envelope = Envelope { answer: *taken, replayed: false, received };
            // An answer that is not stored ends with the wait. A stored query continues.
            return within(queries, wait, left, face.respond(format, envelope)).await;
        }
        Taken::Query { query, replayed, analysis, held } => (query, replayed, analysis, held),
    };
    let left = wait.saturating_sub(queries.now().saturating_sub(received));
    let found = match queries.wait(&caller, &query, left).await? {
        Waited::Running(status) => return Ok(accepted(&query, &status, replayed)),
        Waited::Ended(ended) => match analysis {
            Some(detail) if ended.end.status == EndStatus::Succeeded => {
                queries.answer_analysis(&caller, &query, detail).await?
            }
            _ => queries.answer(&ended).await?,
        },
    };
    drop(held);
    face.respond(format, Envelope { answer: found, replayed, received }).await
}

/// The result of `work` if it is ready within `left`, the rest of a `wait`.
async fn within<T>(
    queries: &Queries,
    wait: Duration,
    left: Duration,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    tokio::select! {
        done = work => done,
        () = queries.env().clock.sleep(left) => Err(ErrorKind::WaitOver(wait).into()),
    }
}

/// `POST /v1/queries`: the status, after at most `wait_timeout`.
async fn submit(
    State(Face { intake, queries, .. }): State<Face>,
    caller: Caller,
    headers: HeaderMap,
    body: BodyBytes,
) -> Result<Response, ApiError> {
    let received = queries.now();
    let caller = caller.with(Scope::Query)?;
    let Asked { statement, wait_timeout } = Asked::parse(&headers, &read(body)?)?;
    let key = idempotency_key(&headers)?;
    let wait = wait_timeout.or_else(|| preferred_wait(&headers)).unwrap_or(DEFAULT_QUERY_WAIT);
    let parsed = intake.parse(statement).await?;
    // Refused before it is taken: it would run, and this path cannot return its answer.
    if matches!(parsed.kind(), StatementKind::Analyze { .. }) {
        return Err(analysis_is_not_submitted());
    }
    let wish = Wish { caller: caller.clone(), key, durable: true, patience: wait };
    let (query, replayed, _held) = match intake.take(parsed, wish).await? {
        Taken::Query { query, replayed, held, .. } => (query, replayed, held),
        Taken::Answer(_) => return Err(explain_is_not_a_query()),
    };
    let left = wait.saturating_sub(queries.now().saturating_sub(received));
    match queries.wait(&caller, &query, left).await? {
        Waited::Ended(ended) => {
            let mut response = answer_json(StatusCode::OK, &StatusBody::new(&ended.status()));
            mark(&mut response, &query, replayed);
            Ok(response)
        }
        Waited::Running(status) => Ok(accepted(&query, &status, replayed)),
    }
}

/// `GET /v1/queries/{id}?wait=5s`: the status, now or when the query has ended.
async fn status(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let query = parse(id)?;
    let parameters = parameters_of(parameters)?;
    let wait = parameters.get("wait").map(|text| wait(text)).transpose()?.unwrap_or_default();
    let status = queries.status(&caller, &query, wait).await?;
    let mut response = answer_json(StatusCode::OK, &StatusBody::new(&status));
    if !status.is_terminal() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1u32));
    }
    mark(&mut response, &query, false);
    Ok(response)
}

/// `GET /v1/queries/{id}/results`: the rows of a query that has succeeded.
async fn results(
    State(face): State<Face>,
    Caller(caller): Caller,
    id: Id,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let queries = &face.queries;
    let received = queries.now();
    let query = parse(id)?;
    let format = Format::negotiate(&headers)?;
    let found = queries.answer(&queries.ended(&caller, &query).await?).await?;
    face.respond(format, Envelope { answer: found, replayed: false, received }).await
}

/// `GET /v1/queries/{id}/links?expires=15m`: links to the objects that hold the rows.
async fn links(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let query = parse(id)?;
    let parameters = parameters_of(parameters)?;
    let time = match parameters.get("expires") {
        Some(text) => expiry(text)?,
        None => USUAL,
    };
    let ended = queries.ended(&caller, &query).await?;
    let found = queries.links(&ended, time).await.map_err(|error| error.about(&query))?;
    let mut response = answer_json(StatusCode::OK, &found);
    mark(&mut response, &query, false);
    Ok(response)
}

/// How long links are to work.
fn expiry(text: &str) -> Result<Duration, ApiError> {
    let time = duration(text).filter(|time| !time.is_zero() && *time <= LONGEST);
    time.ok_or_else(|| ApiError::invalid_request("expires must be between 1s and 1h"))
}

/// `GET /v1/queries/{id}/analyze?verbose=true`: what the query has cost so far, stage by stage.
async fn analyze(
    State(face): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let queries = &face.queries;
    let received = queries.now();
    let query = parse(id)?;
    let parameters = parameters_of(parameters)?;
    let detail = match parameters.get("verbose").map(String::as_str) {
        None | Some("false") => Detail::Stages,
        Some("" | "true") => Detail::Tasks,
        Some(_) => return Err(ApiError::invalid_request("verbose is true or false")),
    };
    if !wants_text(&headers) {
        let format = Format::negotiate(&headers)?;
        let found = queries.answer_analysis(&caller, &query, detail).await?;
        let envelope = Envelope { answer: found, replayed: false, received };
        return face.respond(format, envelope).await;
    }
    let analysis = queries.analysis(&caller, &query, detail).await?;
    let mut response = Response::new(Body::from(analysis.text()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    mark(&mut response, &query, false);
    Ok(response)
}

/// `POST /v1/queries/{id}/cancel`: cancels the query, and returns how it ended.
async fn cancel(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    id: Id,
) -> Result<Response, ApiError> {
    let query = parse(id)?;
    let status = queries.cancel(caller, query.clone()).await?;
    let mut response = answer_json(StatusCode::OK, &StatusBody::new(&status));
    mark(&mut response, &query, false);
    Ok(response)
}

/// `POST /v1/explain`: how a statement would be run. Nothing is run.
async fn explain(
    State(Face { intake, .. }): State<Face>,
    caller: Caller,
    headers: HeaderMap,
    body: BodyBytes,
) -> Result<Response, ApiError> {
    caller.with(Scope::Query)?;
    let Asked { statement, .. } = Asked::parse(&headers, &read(body)?)?;
    let parsed = intake.parse(statement).await?;
    if matches!(parsed.kind(), StatementKind::Analyze { .. }) {
        return Err(analysis_is_not_submitted());
    }
    let (planned, estimate) = intake.plan(parsed).await?;
    let stages = planned.graph.as_ref().map_or(0, dunlin_planner::StageGraph::stage_count);
    Ok(answer_json(
        StatusCode::OK,
        &json!({
            "route": planned.route.as_str(),
            "route_reason": planned.route_reason,
            "stages": stages,
            "scan_bytes": planned.scan_bytes,
            "estimate": estimate,
            "logical_plan": planned.explain.logical,
            "physical_plan": planned.explain.physical,
            "distributed_plan": planned.explain.distributed,
        }),
    ))
}

/// `GET /health`: the process is running.
async fn health() -> Response {
    answer_json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// `GET /v1/ready`: the process can take queries: the store answers, and the process was not asked to stop. A `note` says
/// what a user should know nevertheless.
async fn ready(State(Face { queries, .. }): State<Face>) -> Result<Response, ApiError> {
    let mut body = json!({ "status": "ready" });
    if let Some(note) = queries.ready().await? {
        body["note"] = note.into();
    }
    Ok(answer_json(StatusCode::OK, &body))
}

fn explain_is_not_a_query() -> ApiError {
    ErrorKind::Plan(dunlin_planner::PlanError::Unsupported {
        operator: "EXPLAIN".to_owned(),
        reason: "it is answered at once; send it to POST /v1/sql or POST /v1/explain".to_owned(),
    })
    .into()
}

fn analysis_is_not_submitted() -> ApiError {
    ErrorKind::Plan(dunlin_planner::PlanError::Unsupported {
        operator: "EXPLAIN ANALYZE".to_owned(),
        reason: "send it to POST /v1/sql; or submit the query itself to POST /v1/queries, and ask GET /v1/queries/{id}/analyze"
            .to_owned(),
    })
    .into()
}

/// Whether the client names plain text before every format of rows.
fn wants_text(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let first = values.flat_map(|value| value.split(',')).next().unwrap_or("");
    first.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("text/plain")
}

fn parameters_of(parameters: Parameters) -> Result<HashMap<String, String>, ApiError> {
    let Query(parameters) =
        parameters.map_err(|error| ApiError::invalid_request(error.body_text()))?;
    Ok(parameters)
}

fn parse(id: Id) -> Result<QueryId, ApiError> {
    let Path(id) = id.map_err(|_| CoreError::no_such_query("?"))?;
    QueryId::parse(&id).ok_or_else(|| CoreError::no_such_query(&id).into())
}
