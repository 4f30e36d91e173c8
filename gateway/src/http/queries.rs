//! Queries by their ids: status, rows, parts, links, plan, stages, profile, analysis, cancel; and all of them, page by page.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use dunlin_manifest::ids::QueryId;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use super::answer::Envelope;
use super::asking::{Id, Parameters, parameters_of, query_of};
use super::face::Face;
use super::format::Format;
use super::guard::Caller;
use super::problem::ApiError;
use super::request::{duration, wait};
use super::respond::{answer_json, mark};
use super::status::{StatusBody, path};
use crate::query::analyze::{Detail, Profile, StageBody};
use crate::query::cached::Source;
use crate::query::cut::AnswerLimits;
use crate::query::history::{Filter, MOST, USUAL as USUAL_PAGE};
use crate::query::links::{LONGEST, USUAL};
use crate::query::queries::Wanted;
use crate::query::status::{QueryStatus, Status};
use crate::query::version::Version;

/// `GET /v1/queries?limit=50&cursor=…&status=…&tag=…`: the newest queries, page by page.
pub(super) async fn list(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let parameters = parameters_of(parameters, &["limit", "cursor", "status", "tag"])?;
    let text = |name: &str| parameters.get(name).map(String::as_str);
    let limit = match text("limit").map(str::parse::<usize>) {
        None => USUAL_PAGE,
        Some(Ok(limit @ 1..=MOST)) => limit,
        Some(_) => {
            return Err(ApiError::invalid_request(format!("limit is a number from 1 to {MOST}")));
        }
    };
    let before = text("cursor").map(|cursor| {
        QueryId::parse(cursor).ok_or_else(|| {
            ApiError::invalid_request("cursor is the next of an earlier page, and this is none")
        })
    });
    let status = text("status").map(|word| {
        Status::parse(word).ok_or_else(|| {
            let words = Status::ALL.map(Status::as_str).join(", ");
            ApiError::invalid_request(format!("status is one of {words}"))
        })
    });
    let tag = text("tag").map(|tag| match tag.split_once(':') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (tag.to_owned(), None),
    });
    let (before, status) = (before.transpose()?, status.transpose()?);
    let page = queries.list(&caller, &Filter { limit, before, status, tag }).await?;
    Ok(answer_json(StatusCode::OK, &page))
}

/// `GET /v1/queries/{id}?wait=5s`: the status, now, or when the query has ended. With `If-None-Match`: when it is another one
/// than the client knows.
pub(super) async fn status(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = query_of(id)?;
    let parameters = parameters_of(parameters, &["wait"])?;
    let wait = parameters.get("wait").map(|text| wait(text)).transpose()?.unwrap_or_default();
    let known = known(&headers);
    let seen = queries.status(&caller, &query, wait, known.as_ref()).await?;
    let is_known = known.as_ref() == Some(&seen.version);
    let mut response = if is_known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        answer_json(StatusCode::OK, &StatusBody::new(&seen.status))
    };
    if let Ok(tag) = HeaderValue::from_str(&format!("W/\"{}\"", seen.version)) {
        response.headers_mut().insert(ETAG, tag);
    }
    if !seen.status.is_terminal() && !is_known {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1u32));
    }
    mark(&mut response, &query, Source::RUN);
    Ok(response)
}

/// The version of the status that the client has. A tag that no gateway wrote is no version.
fn known(headers: &HeaderMap) -> Option<Version> {
    let value = headers.get(IF_NONE_MATCH)?.to_str().ok()?.trim();
    let value = value.strip_prefix("W/").unwrap_or(value);
    Version::parse(value.strip_prefix('"')?.strip_suffix('"')?)
}

/// `GET /v1/queries/{id}/results?part=0`: the rows of a query that has succeeded, or those of one part.
pub(super) async fn results(
    State(face): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let queries = &face.queries;
    let received = queries.now();
    let query = query_of(id)?;
    let parameters = parameters_of(parameters, &["part", "row_limit", "byte_limit", "format"])?;
    let number = |name: &str| {
        let number = parameters.get(name).map(|text| text.parse::<u64>());
        number.transpose().map_err(|_| {
            ApiError::invalid_request(format!("{name} must be a whole number of at least 0"))
        })
    };
    let limits = AnswerLimits { rows: number("row_limit")?, bytes: number("byte_limit")? };
    let wanted = Wanted { limits, part: number("part")? };
    let format = Format::asked(parameters.get("format").map(String::as_str), &headers)?;
    let found = queries.answer(&queries.ended(&caller, &query).await?, wanted).await?;
    let next = found.parts.zip(wanted.part).filter(|(parts, part)| part + 1 < *parts);
    let envelope = Envelope { answer: found, source: Source::RUN, received };
    let mut response = face.respond(format, envelope).await?;
    if let Some((_, part)) = next {
        let address = format!("{}/results?part={}", path(query.as_str()), part + 1);
        if let Ok(link) = HeaderValue::from_str(&format!("<{address}>; rel=\"next\"")) {
            response.headers_mut().insert(LINK, link);
        }
    }
    Ok(response)
}

/// `GET /v1/queries/{id}/parts`: the parts of the answer.
pub(super) async fn parts(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let query = query_of(id)?;
    parameters_of(parameters, &[])?;
    let parts = queries.parts(&queries.ended(&caller, &query).await?).await?;
    Ok(about(&query, &parts))
}

/// `GET /v1/queries/{id}/links?expires=15m`: links to the objects that hold the rows.
pub(super) async fn links(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let query = query_of(id)?;
    let parameters = parameters_of(parameters, &["expires"])?;
    let time = match parameters.get("expires") {
        Some(text) => expiry(text)?,
        None => USUAL,
    };
    let ended = queries.ended(&caller, &query).await?;
    let found = queries.links(&ended, time).await.map_err(|error| error.about(&query))?;
    Ok(about(&query, &found))
}

/// How long links are to work.
fn expiry(text: &str) -> Result<Duration, ApiError> {
    let time = duration(text).filter(|time| !time.is_zero() && *time <= LONGEST);
    time.ok_or_else(|| ApiError::invalid_request("expires must be between 1s and 1h"))
}

/// `GET /v1/queries/{id}/plan`: how the query was planned.
pub(super) async fn plan(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = query_of(id)?;
    parameters_of(parameters, &[])?;
    let plan = queries.plan(&caller, &query).await?;
    if wants_text(&headers) {
        return Ok(text(&query, plan.distributed_plan));
    }
    Ok(about(&query, &plan))
}

/// `GET /v1/queries/{id}/stages`: how far each stage is.
pub(super) async fn stages(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Body<'a> {
        query_id: &'a str,
        status: Status,
        stages: Vec<StageBody>,
    }
    let query = query_of(id)?;
    parameters_of(parameters, &[])?;
    let (QueryStatus { status, .. }, stages) = queries.stages(&caller, &query).await?;
    Ok(about(&query, &Body { query_id: query.as_str(), status, stages }))
}

/// `GET /v1/queries/{id}/profile`: what each stage and each task did, and what the query cost.
pub(super) async fn profile(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Body {
        #[serde(flatten)]
        status: QueryStatus,
        #[serde(flatten)]
        profile: Profile,
    }
    let query = query_of(id)?;
    parameters_of(parameters, &[])?;
    let (status, profile) = queries.profile(&caller, &query).await?;
    Ok(about(&query, &Body { status, profile }))
}

/// `GET /v1/queries/{id}/analyze?verbose=true`: what the query has cost so far, stage by stage, for people.
pub(super) async fn analyze(
    State(face): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let queries = &face.queries;
    let received = queries.now();
    let query = query_of(id)?;
    let parameters = parameters_of(parameters, &["verbose"])?;
    let detail = match parameters.get("verbose").map(String::as_str) {
        None | Some("false") => Detail::Stages,
        Some("" | "true") => Detail::Tasks,
        Some(_) => return Err(ApiError::invalid_request("verbose is true or false")),
    };
    if !wants_text(&headers) {
        let format = Format::negotiate(&headers)?;
        let found = queries.answer_analysis(&caller, &query, detail).await?;
        let envelope = Envelope { answer: found, source: Source::RUN, received };
        return face.respond(format, envelope).await;
    }
    let analysis = queries.analysis(&caller, &query, detail).await?;
    Ok(text(&query, analysis.text()))
}

/// `POST /v1/queries/{id}/cancel`: cancels the query, and returns how it ended.
pub(super) async fn cancel(
    State(Face { queries, .. }): State<Face>,
    Caller(caller): Caller,
    id: Id,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let query = query_of(id)?;
    parameters_of(parameters, &[])?;
    let status = queries.cancel(caller, query.clone()).await?;
    Ok(about(&query, &StatusBody::new(&status)))
}

/// A value that is known of a query.
fn about(query: &QueryId, body: &impl Serialize) -> Response {
    let mut response = answer_json(StatusCode::OK, body);
    mark(&mut response, query, Source::RUN);
    response
}

/// A text about a query, for people.
fn text(query: &QueryId, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Format::Text.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    mark(&mut response, query, Source::RUN);
    response
}

/// Whether the client names plain text before every format of rows.
fn wants_text(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let first = values.flat_map(|value| value.split(',')).next().unwrap_or("");
    first.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("text/plain")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tag_that_a_gateway_wrote_is_a_version() {
        let with = |text: &'static str| {
            known(&HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(text))]))
        };
        for text in ["W/\"running.1.2.01\"", "\"running.1.2.01\""] {
            assert_eq!(with(text).unwrap().to_string(), "running.1.2.01");
        }
        for text in ["*", "W/\"x\"", "running.1.2.01", "\"", ""] {
            assert_eq!(with(text), None, "{text}");
        }
    }
}
