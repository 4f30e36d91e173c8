//! Counts and times every request, for Prometheus.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::face::Face;
use super::problem::Code;

/// What stands for paths that no route has. A client could invent any number of them.
const NO_ROUTE: &str = "none";

/// Tells of a request once its answer's headers are known.
pub(super) async fn seen(
    State(Face { metrics, queries, .. }): State<Face>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let began = queries.now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let took = queries.now().saturating_sub(began);
    metrics.answered(route, &method, response.status().as_u16(), took);
    if let Some(Code(code)) = response.extensions().get::<Code>() {
        metrics.refused(code.as_str());
    }
    response
}
