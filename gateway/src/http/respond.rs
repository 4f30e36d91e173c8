//! Responses that several routes give.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use dunlin_manifest::ids::QueryId;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::problem::ApiError;
use super::status::{StatusBody, path};
use crate::query::cached::Source;
use crate::query::error::CoreError;
use crate::query::status::QueryStatus;

/// Whether the answer was there already.
const RESULTS_CACHE_STATUS: &str = "results-cache-status";

pub(super) fn accepted(query: &QueryId, status: &QueryStatus, source: Source) -> Response {
    let mut response = answer_json(StatusCode::ACCEPTED, &StatusBody::new(status));
    if let Ok(location) = HeaderValue::from_str(&path(&query.to_string())) {
        response.headers_mut().insert(LOCATION, location);
    }
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1u32));
    mark(&mut response, query, source);
    response
}

pub(super) fn mark(response: &mut Response, query: &QueryId, source: Source) {
    if let Ok(id) = HeaderValue::from_str(&query.to_string()) {
        response.headers_mut().insert("dunlin-query-id", id);
    }
    let (name, value) = match source {
        Source::Replayed => ("idempotent-replayed", "true"),
        Source::Cached => (RESULTS_CACHE_STATUS, "HIT"),
        Source::New { missed: true } => (RESULTS_CACHE_STATUS, "MISS"),
        Source::New { missed: false } => return,
    };
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

/// Done, and nothing to say.
pub(super) fn empty() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub(crate) fn answer_json(status: StatusCode, body: &impl Serialize) -> Response {
    let bytes = match serde_json::to_vec(body) {
        Ok(bytes) => bytes,
        Err(error) => return ApiError::from(CoreError::internal(error)).into_response(),
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
