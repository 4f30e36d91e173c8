//! What a request's address says: the id of a query, and parameters.

use std::collections::HashMap;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use dunlin_manifest::ids::QueryId;

use super::fields::only_known;
use super::problem::ApiError;
use crate::query::error::CoreError;

pub(super) type Id = Result<Path<String>, PathRejection>;
pub(super) type Parameters = Result<Query<HashMap<String, String>>, QueryRejection>;

/// The parameters of a route that knows these.
pub(super) fn parameters_of(
    parameters: Parameters,
    known: &[&str],
) -> Result<HashMap<String, String>, ApiError> {
    let Query(parameters) =
        parameters.map_err(|error| ApiError::invalid_request(error.body_text()))?;
    only_known(parameters.keys(), known)?;
    Ok(parameters)
}

/// The query that an address names.
pub(super) fn query_of(id: Id) -> Result<QueryId, ApiError> {
    let Path(id) = id.map_err(|_| CoreError::no_such_query("?"))?;
    QueryId::parse(&id).ok_or_else(|| CoreError::no_such_query(&id).into())
}
