//! `/v1/wake`: workers wait here for news, and tell news here. See [`crate::query::hub`].

use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Response;
use dunlin_manifest::query::News;
use http::StatusCode;
use serde::Deserialize;

use super::face::{BodyBytes, Face, read};
use super::guard::Caller;
use super::problem::ApiError;
use super::refusal::Refusal;
use super::request::wait;
use super::respond::{answer_json, empty};
use crate::auth::Scope;
use crate::query::hub::{Listener, NAME};

/// The longest time that a request is held open.
const LONGEST: Duration = Duration::from_secs(30);
/// The most news of one request.
const MOST: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    after: Option<u64>,
    #[serde(default)]
    wait: Option<String>,
    /// Who listens. It gets a place among those who do.
    #[serde(default)]
    worker: Option<String>,
    /// Its pool, if it has one.
    #[serde(default)]
    pool: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    news: Vec<News>,
}

/// News are of everybody's queries, so a key of a workgroup has no part in them.
fn of_workers(caller: Caller) -> Result<(), ApiError> {
    match caller.with(Scope::Query)?.workgroup {
        None => Ok(()),
        Some(_) => Err(Refusal::Forbidden.into()),
    }
}

/// `GET /v1/wake?after=17&wait=25s&worker=w1&pool=big`: the news after number 17, once there is any.
pub(super) async fn listen(
    State(Face { hub, queries, .. }): State<Face>,
    caller: Caller,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    of_workers(caller)?;
    let Query(asked) = asked.map_err(|error| ApiError::invalid_request(error.body_text()))?;
    let longest = asked.wait.as_deref().map(wait).transpose()?.unwrap_or_default().min(LONGEST);
    let is_long = |name: &Option<String>| name.as_ref().is_some_and(|name| name.len() > NAME);
    if is_long(&asked.worker) || is_long(&asked.pool) {
        return Err(ApiError::invalid_request(format!(
            "the name of a worker or a pool has at most {NAME} bytes"
        )));
    }
    let (pool, after) = (asked.pool, asked.after);
    let listener = asked.worker.map(|name| Listener { pool, name });
    let heard = tokio::select! {
        heard = hub.listen(listener.as_ref(), after) => heard,
        () = queries.over(longest) => hub.nothing(listener.as_ref(), after),
    };
    Ok(answer_json(StatusCode::OK, &heard))
}

/// `POST /v1/wake`: `{"news": [{"query": "…", "ended": false}]}`.
pub(super) async fn tell(
    State(Face { hub, queries, .. }): State<Face>,
    caller: Caller,
    body: BodyBytes,
) -> Result<Response, ApiError> {
    of_workers(caller)?;
    let told: Told = serde_json::from_slice(&read(body)?)
        .map_err(|error| ApiError::invalid_request(error.to_string()))?;
    if told.news.len() > MOST {
        return Err(ApiError::invalid_request(format!("at most {MOST} news in one request")));
    }
    for news in told.news {
        // Functions are paid: none is called for a query that does not exist.
        if !hub.is_calling() || news.ended || queries.is_there(&news.query).await {
            hub.tell(news);
        }
    }
    Ok(empty())
}
