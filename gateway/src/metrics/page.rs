//! The port for Prometheus. It is apart from the API's, so that nobody who may ask queries can read what others cost.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use dunlin_manifest::env::Env;
use http::header::CONTENT_TYPE;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Metrics;
use crate::door::DoorLimits;
use crate::http::Server;

/// What OpenMetrics calls its text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Prometheus asks over few connections.
const CONNECTIONS: usize = 32;

/// Answers `GET /metrics` on `listener` until `stop`. It asks for no key: only Prometheus should reach the port.
pub async fn serve_metrics(
    metrics: Arc<Metrics>,
    listener: TcpListener,
    env: Env,
    stop: CancellationToken,
) {
    let text = async move || ([(CONTENT_TYPE, OPEN_METRICS)], metrics.text());
    let router = Router::new().route("/metrics", get(text));
    let limits = DoorLimits { connections: CONNECTIONS, ..DoorLimits::default() };
    Server { router, limits, tls: None, env }.run(listener, stop).await;
}
