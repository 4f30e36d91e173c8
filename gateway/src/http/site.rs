//! The gateway itself: whether it is well, what it allows, what it has to do, and the tables that it knows.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use dunlin_planner::TableName;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::about::About;
use super::asking::{Parameters, parameters_of};
use super::face::Face;
use super::fields::nearest;
use super::guard::Caller;
use super::problem::ApiError;
use super::respond::answer_json;
use crate::auth::Scope;
use crate::query::error::ErrorKind;

/// `GET /health`: the process is running.
pub(super) async fn health() -> Response {
    answer_json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// `GET /v1/ready`: the process can take queries: the store answers, and the process was not asked to stop. A `note` says
/// what a user should know nevertheless.
pub(super) async fn ready(State(Face { queries, .. }): State<Face>) -> Result<Response, ApiError> {
    let mut body = json!({ "status": "ready" });
    if let Some(note) = queries.ready().await? {
        body["note"] = note.into();
    }
    Ok(answer_json(StatusCode::OK, &body))
}

/// What the gateway has to do now. Queries and tasks are those of the whole store, as the last sweep has seen them.
#[derive(Debug, Serialize)]
struct Counts {
    queries_open: i64,
    tasks_pending: i64,
    tasks_running: i64,
    workers_listening: usize,
    clients_waiting: i64,
    planning_running: usize,
    planning_queued: usize,
}

#[derive(Debug, Serialize)]
struct StatusOfGateway<'a> {
    #[serde(flatten)]
    about: &'a About,
    uptime_ms: u64,
    counts: Counts,
}

/// `GET /v1/status`: what this gateway is, what it allows, and what it has to do.
pub(super) async fn status(
    State(face): State<Face>,
    _: Caller,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    parameters_of(parameters, &[])?;
    let Face { intake, queries, hub, metrics, about, .. } = &face;
    let (planning_running, planning_queued) = intake.planning();
    let counts = Counts {
        queries_open: metrics.queries_open.get(),
        tasks_pending: metrics.tasks_pending.get(),
        tasks_running: metrics.tasks_running.get(),
        workers_listening: hub.listeners(),
        clients_waiting: metrics.clients_waiting.get(),
        planning_running,
        planning_queued,
    };
    let uptime_ms = about.uptime_ms(queries.now());
    Ok(answer_json(StatusCode::OK, &StatusOfGateway { about, uptime_ms, counts }))
}

/// `GET /v1/fleet`: the gateways that have written their addresses into the store, and the workers that wait for news at this
/// one.
pub(super) async fn fleet(
    State(Face { queries, hub, .. }): State<Face>,
    _: Caller,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    parameters_of(parameters, &[])?;
    let gateways = queries.gateways().await?.into_iter().map(|url| json!({ "url": url }));
    let gateways: Vec<_> = gateways.collect();
    Ok(answer_json(StatusCode::OK, &json!({ "gateways": gateways, "workers": hub.names() })))
}

/// `GET /v1/tables`: the tables, without reading any of them.
pub(super) async fn tables(
    State(Face { intake, .. }): State<Face>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let grants = caller.with(Scope::Query)?.grants();
    parameters_of(parameters, &[])?;
    Ok(answer_json(StatusCode::OK, &json!({ "tables": intake.tables(&grants).await? })))
}

/// `GET /v1/tables/{name}`: the columns of a table, and what is known of its rows.
pub(super) async fn table(
    State(Face { intake, .. }): State<Face>,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let grants = caller.with(Scope::Query)?.grants();
    parameters_of(parameters, &[])?;
    let Ok(Path(name)) = name else { return Err(ApiError::NoSuchPath) };
    match intake.table(&name, &grants).await? {
        Some(table) => Ok(answer_json(StatusCode::OK, &table)),
        None => Err(no_such_table(&name, &intake.tables(&grants).await?)),
    }
}

fn no_such_table(name: &str, tables: &[TableName]) -> ApiError {
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let hint = nearest(name, &names).map(|near| format!("; did you mean {near}?"));
    let name = name.chars().take(64).collect();
    let hint = hint.unwrap_or_else(|| "; GET /v1/tables lists them".to_owned());
    ErrorKind::NoSuchTable { name, hint }.into()
}
