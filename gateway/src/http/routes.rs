//! The router, from the list of endpoints.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};

use super::compress::compress;
use super::endpoints::endpoints;
use super::face::Face;
use super::guard::{Guard, guard};
use super::openapi::{Described, document};
use super::pages::Document;
use super::problem::ApiError;
use super::seen::seen;
use crate::options::MAX_BODY_BYTES;

/// What is served beside the routes of the API.
#[derive(Debug)]
pub(crate) struct Beside {
    /// Passes the guard.
    pub(crate) guarded: Router<Face>,
    /// Says nothing that is not for everybody.
    pub(crate) open: Router<Face>,
    /// Comes compressed.
    pub(crate) pages: Router<Face>,
}

/// The gateway's routes, and others beside them. All but the open ones and the pages pass the guard.
pub(crate) fn router(face: Face, door: Arc<Guard>, beside: Beside) -> Router {
    let endpoints = endpoints();
    let document = serde_json::to_vec(&document(&endpoints)).unwrap_or_default();
    let (mut guarded, mut open) = (Router::new(), Router::new());
    for endpoint in endpoints {
        let side = if endpoint.is_open() { &mut open } else { &mut guarded };
        *side = std::mem::take(side).route(endpoint.path(), endpoint.handler);
    }
    guarded
        .merge(beside.guarded)
        .fallback(async || ApiError::NoSuchPath)
        .layer(from_fn_with_state(door, guard))
        .merge(open)
        .merge(beside.open)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(Extension(Document(document.into())))
        .layer(from_fn(compress))
        .merge(beside.pages)
        .layer(from_fn_with_state(face.clone(), seen))
        .with_state(face)
}
