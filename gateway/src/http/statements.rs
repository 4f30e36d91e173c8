//! Statements: run, submitted, or only planned.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::EndStatus;
use dunlin_planner::StatementKind;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::answer::Envelope;
use super::asking::{Parameters, parameters_of};
use super::face::{BodyBytes, Face, read};
use super::format::Format;
use super::guard::Caller;
use super::problem::ApiError;
use super::refusal::Refusal;
use super::request::{
    Asked, DEFAULT_QUERY_WAIT, DEFAULT_SQL_WAIT, OnWaitTimeout, idempotency_key,
    preferred_stored_wait, preferred_wait, wants_fresh,
};
use super::respond::{accepted, answer_json, mark};
use super::status::StatusBody;
use crate::auth::{Principal, Scope};
use crate::query::cached::Source;
use crate::query::error::ErrorKind;
use crate::query::intake::{Intake, Parsed, Taken, Wish};
use crate::query::queries::{Queries, Waited, Wanted};
use crate::query::statement::Statement;
use crate::query::status::Status;

/// `POST /v1/sql`: rows, or 202 if the wait has ended.
pub(super) async fn sql(
    State(face): State<Face>,
    caller: Caller,
    headers: HeaderMap,
    parameters: Parameters,
    body: BodyBytes,
) -> Result<Response, ApiError> {
    let Face { intake, queries, .. } = &face;
    let received = queries.now();
    let caller = caller.with(Scope::Query)?;
    parameters_of(parameters, &[])?;
    let asked = Asked::parse(&headers, &read(body)?)?;
    if asked.dry_run {
        return planned(intake, asked.statement, &caller).await;
    }
    let Asked { statement, wait_timeout, on_wait_timeout, .. } = asked;
    let wanted = Wanted { limits: statement.remarks.limits, part: None };
    let format = Format::negotiate(&headers)?;
    let key = idempotency_key(&headers)?;
    let preferred = preferred_wait(&headers).or(wait_timeout);
    // A client that does not wait at all needs a query id to ask for later.
    let durable = key.is_some() || preferred == Some(Duration::ZERO);
    let wait = patience(preferred.unwrap_or(DEFAULT_SQL_WAIT), on_wait_timeout)?;
    let parsed = intake.parse(statement, &caller.grants()).await?;
    may_write(&caller, &parsed)?;
    let fresh = wants_fresh(&headers);
    let wish = Wish { key, durable, fresh, ..Wish::new(caller.clone(), wait) };
    let (query, source, analysis, held) = match Arc::clone(intake).take(parsed, wish).await? {
        Taken::Answer(taken) => {
            let left = wait.saturating_sub(queries.now().saturating_sub(received));
            let envelope = Envelope { answer: *taken, source: Source::RUN, received };
            // An answer that is not stored ends with the wait. A stored query continues.
            return within(queries, wait, left, face.respond(format, envelope)).await;
        }
        Taken::Query { query, source, analysis, held } => (query, source, analysis, held),
    };
    let wait = preferred_stored_wait(&headers).unwrap_or(wait);
    let left = wait.saturating_sub(queries.now().saturating_sub(received));
    let waited = queries.wait(&caller, &query, left).await;
    let found = match waited.map_err(|error| source.gone(error))? {
        Waited::Running(status) if on_wait_timeout == OnWaitTimeout::Continue => {
            return Ok(accepted(&query, &status, source));
        }
        Waited::Running(_) => match cancelled(queries, caller.clone(), &query, wait).await? {
            Some(error) => return Err(error),
            // It ended at the last moment.
            None => queries.answer(&queries.ended(&caller, &query).await?, wanted).await?,
        },
        Waited::Ended(ended) => match analysis {
            Some(detail) if ended.end.status == EndStatus::Succeeded => {
                queries.answer_analysis(&caller, &query, detail).await?
            }
            _ => queries.answer(&ended, wanted).await?,
        },
    };
    drop(held);
    face.respond(format, Envelope { answer: found, source, received }).await
}

/// Refuses a write of a key that may not write.
fn may_write(caller: &Principal, parsed: &Parsed) -> Result<(), ApiError> {
    if parsed.kind() == StatementKind::Write && !caller.scopes.has(Scope::Write) {
        return Err(Refusal::MayNotWrite.into());
    }
    Ok(())
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
pub(super) async fn submit(
    State(Face { intake, queries, .. }): State<Face>,
    caller: Caller,
    headers: HeaderMap,
    parameters: Parameters,
    body: BodyBytes,
) -> Result<Response, ApiError> {
    let received = queries.now();
    let caller = caller.with(Scope::Query)?;
    parameters_of(parameters, &[])?;
    let asked = Asked::parse(&headers, &read(body)?)?;
    if asked.dry_run {
        return planned(&intake, asked.statement, &caller).await;
    }
    let Asked { statement, wait_timeout, on_wait_timeout, .. } = asked;
    let key = idempotency_key(&headers)?;
    let wait = wait_timeout.or_else(|| preferred_wait(&headers)).unwrap_or(DEFAULT_QUERY_WAIT);
    let wait = patience(wait, on_wait_timeout)?;
    let parsed = intake.parse(statement, &caller.grants()).await?;
    may_write(&caller, &parsed)?;
    // Refused before it is taken: it would run, and this path cannot return its answer.
    if matches!(parsed.kind(), StatementKind::Analyze { .. }) {
        return Err(analysis_is_not_submitted());
    }
    let fresh = wants_fresh(&headers);
    let wish = Wish { key, durable: true, fresh, ..Wish::new(caller.clone(), wait) };
    let (query, source, _held) = match intake.take(parsed, wish).await? {
        Taken::Query { query, source, held, .. } => (query, source, held),
        Taken::Answer(_) => return Err(explain_is_not_a_query()),
    };
    let left = wait.saturating_sub(queries.now().saturating_sub(received));
    let waited = queries.wait(&caller, &query, left).await;
    match waited.map_err(|error| source.gone(error))? {
        Waited::Ended(ended) => {
            let mut response = answer_json(StatusCode::OK, &StatusBody::new(&ended.status()));
            mark(&mut response, &query, source);
            Ok(response)
        }
        Waited::Running(_) if on_wait_timeout == OnWaitTimeout::Cancel => {
            let status = queries.cancel(caller, query.clone()).await?;
            let mut response = answer_json(StatusCode::OK, &StatusBody::new(&status));
            mark(&mut response, &query, source);
            Ok(response)
        }
        Waited::Running(status) => Ok(accepted(&query, &status, source)),
    }
}

/// The wait of a request. A query that nobody waits for cannot be cancelled when the wait is over.
fn patience(wait: Duration, on_timeout: OnWaitTimeout) -> Result<Duration, ApiError> {
    if wait.is_zero() && on_timeout == OnWaitTimeout::Cancel {
        return Err(ApiError::invalid_request(
            "on_wait_timeout is cancel, and the wait is 0: the query would be cancelled at once; wait longer, or let it continue",
        ));
    }
    Ok(wait)
}

/// Cancels a query whose client has waited long enough. None if it has ended in another way before.
async fn cancelled(
    queries: &Queries,
    caller: Principal,
    query: &QueryId,
    wait: Duration,
) -> Result<Option<ApiError>, ApiError> {
    let status = queries.cancel(caller, query.clone()).await?;
    if status.status != Status::Cancelled {
        return Ok(None);
    }
    Ok(Some(ApiError::from(ErrorKind::WaitOverCancelled(wait)).about(query)))
}

/// `POST /v1/explain`: how a statement would be run. Nothing is run.
pub(super) async fn explain(
    State(Face { intake, .. }): State<Face>,
    caller: Caller,
    headers: HeaderMap,
    parameters: Parameters,
    body: BodyBytes,
) -> Result<Response, ApiError> {
    let caller = caller.with(Scope::Query)?;
    parameters_of(parameters, &[])?;
    let Asked { statement, .. } = Asked::parse(&headers, &read(body)?)?;
    planned(&intake, statement, &caller).await
}

/// How a statement would be run.
async fn planned(
    intake: &Intake,
    statement: Statement,
    caller: &Principal,
) -> Result<Response, ApiError> {
    let parsed = intake.parse(statement, &caller.grants()).await?;
    if matches!(parsed.kind(), StatementKind::Analyze { .. }) {
        return Err(analysis_is_not_submitted());
    }
    let (planned, estimate) = intake.explain(parsed, caller).await?;
    let stages = planned.graph.as_ref().map_or(0, dunlin_planner::StageGraph::stage_count);
    let explanation = planned.explanation.as_deref();
    let text = explanation.map(|explanation| explanation.stages.text());
    let graph = explanation.map(|explanation| &explanation.stages.stages);
    let plans = explanation.map(|explanation| &explanation.plans);
    Ok(answer_json(
        StatusCode::OK,
        &json!({
            "route": planned.route.as_str(),
            "route_reason": planned.route_reason,
            "stages": stages,
            "scan_bytes": planned.scan_bytes,
            "estimate": estimate,
            "text": text,
            "stage_graph": graph,
            "logical_plan": plans.map(|plans| &plans.logical),
            "physical_plan": plans.map(|plans| &plans.physical),
            "distributed_plan": plans.map(|plans| &plans.distributed),
        }),
    ))
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
