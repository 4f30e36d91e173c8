//! The requests: each is read, given to the core as values, and answered.

use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use dunlin_manifest::ids::QueryId;
use futures::FutureExt;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::address::base;
use super::asked::Asked;
use super::body::{JSON, Results, response_about};
use super::encoding::Encoded;
use super::failure::Refused;
use super::parts::{Client, Trino};
use super::token::{Of, Token};
use super::{PATH, VERSION};
use crate::auth::Scope;
use crate::http::{ACKNOWLEDGED, ApiError, Caller, OPAQUE, Refusal, SEGMENTS, answer_json};
use crate::query::error::{CoreError, ErrorKind};

/// The routes that pass the guard.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(trino: Trino) -> Router<S> {
    Router::new()
        .route(PATH, post(statement))
        .route(&format!("{PATH}/executing/{{token}}"), get(page).head(alive).delete(cancel))
        .route(&format!("{PATH}{SEGMENTS}{{token}}"), get(segment).delete(acknowledged))
        .route(
            &format!("{PATH}{SEGMENTS}{{token}}{ACKNOWLEDGED}"),
            get(acknowledged).delete(acknowledged),
        )
        .with_state(trino)
}

/// The routes that tell what is for everybody.
pub(crate) fn open_routes<S: Clone + Send + Sync + 'static>(trino: Trino) -> Router<S> {
    Router::new()
        .route("/v1/info", get(info))
        .route("/v1/info/state", get(async || answer_json(StatusCode::OK, &json!("ACTIVE"))))
        .with_state(trino)
}

/// `GET /v1/info`: what the server is.
async fn info(State(trino): State<Trino>) -> Response {
    let uptime = trino.queries.now().saturating_sub(trino.started);
    let info = json!({
        "nodeVersion": { "version": VERSION },
        "environment": "dunlin",
        "coordinator": true,
        "starting": false,
        "uptime": format!("{:.2}s", uptime.as_secs_f64()),
    });
    answer_json(StatusCode::OK, &info)
}

/// What a request became.
fn answered(
    base: &str,
    query: QueryId,
    outcome: Result<Results, Refused>,
) -> Result<Response, ApiError> {
    match outcome {
        Ok(results) => Ok(results.respond()),
        Err(Refused::Statement(failure)) => Ok(Results::failed(base, query, &failure).respond()),
        Err(Refused::Request(error)) => Err(error),
    }
}

/// The outcome of `work`. A panic in it is an error of this request only.
async fn caught<T>(work: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a request panicked");
        Err(CoreError::internal("the request met a defect; it was logged").into())
    })
}

/// `POST /v1/statement`: takes a statement.
async fn statement(
    State(trino): State<Trino>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let client = trino.client(caller.with(Scope::Query)?)?;
    let asked = Asked::of(&headers, trino.is_tls)?;
    let sql = std::str::from_utf8(&body)
        .map_err(|_| ApiError::invalid_request("the statement is not valid UTF-8"))?;
    let taken = caught(Box::pin(trino.posted(&client, &asked, sql))).await;
    let (outcome, _held) = match taken {
        Ok(taken) => (Ok(taken.results), taken._held),
        Err(refused) => (Err(refused), None),
    };
    answered(&asked.base, trino.fresh(), outcome)
}

type Shown = Result<Path<String>, PathRejection>;

/// The client of a request and the token that it shows. None if the token is not this client's.
fn opened(
    trino: &Trino,
    caller: Caller,
    token: Shown,
) -> Result<(Client, Option<Token>), ApiError> {
    let client = trino.client(caller.0)?;
    let token = token.ok().and_then(|Path(text)| Token::open(&text, &client.codes));
    Ok((client, token))
}

/// The client of a request and the token of a page that it shows. A token that is not this client's is like one of no query.
fn shown(trino: &Trino, caller: Caller, token: Shown) -> Result<(Client, Token), ApiError> {
    let (client, token) = opened(trino, caller, token)?;
    match token {
        // The same right as for the statement itself.
        Some(Token { of: Of::Here(_), .. }) if !client.principal.scopes.has(Scope::Query) => {
            Err(Refusal::Forbidden.into())
        }
        Some(Token { of: Of::Segment { .. }, .. }) | None => {
            Err(ErrorKind::NoSuchQuery("of this nextUri".to_owned()).into())
        }
        Some(token) => Ok((client, token)),
    }
}

/// The same for the token of a segment.
fn shown_segment(trino: &Trino, caller: Caller, token: Shown) -> Result<(Client, Token), ApiError> {
    match opened(trino, caller, token)? {
        (client, Some(token)) if matches!(token.of, Of::Segment { .. }) => Ok((client, token)),
        _ => Err(ErrorKind::NoSuchQuery("of this segment".to_owned()).into()),
    }
}

/// `GET nextUri`: a page.
async fn page(
    State(trino): State<Trino>,
    caller: Caller,
    token: Shown,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (client, token) = shown(&trino, caller, token)?;
    let base = base(&headers, trino.is_tls)?;
    let query = token.query.clone();
    let outcome = caught(Box::pin(trino.turned(&client, token, &base))).await;
    answered(&base, query, outcome)
}

/// `GET uri` of a segment: its bytes.
async fn segment(
    State(trino): State<Trino>,
    caller: Caller,
    token: Shown,
) -> Result<Response, ApiError> {
    let (client, token) = shown_segment(&trino, caller, token)?;
    let query = token.query.clone();
    let made = caught(Box::pin(trino.segment(&client, token))).await;
    let Encoded { bytes, plain } = made.map_err(|refused| match refused {
        Refused::Request(error) => error.about(&query),
        // The segment was told, so its query has rows, and they can be written.
        Refused::Statement(failure) => CoreError::internal(failure).about(&query).into(),
    })?;
    Ok(response_about(bytes, if plain.is_some() { OPAQUE } else { JSON }, &query))
}

/// `GET ackUri` of a segment: its client has it. Nothing is deleted, because it is made from the objects of the answer.
async fn acknowledged(
    State(trino): State<Trino>,
    caller: Caller,
    token: Shown,
) -> Result<StatusCode, ApiError> {
    let (_, token) = shown_segment(&trino, caller, token)?;
    trino.acknowledged(&token);
    Ok(StatusCode::OK)
}

/// `HEAD nextUri`: that the client is still there. Dunlin asks for no such sign.
async fn alive(
    State(trino): State<Trino>,
    caller: Caller,
    token: Shown,
) -> Result<StatusCode, ApiError> {
    shown(&trino, caller, token)?;
    Ok(StatusCode::OK)
}

/// `DELETE nextUri`: the query ends as cancelled, unless it has ended.
async fn cancel(
    State(trino): State<Trino>,
    caller: Caller,
    token: Shown,
) -> Result<Response, ApiError> {
    let (client, token) = shown(&trino, caller, token)?;
    if !matches!(token.of, Of::Here(_)) {
        trino.queries.cancel(client.principal, token.query).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
