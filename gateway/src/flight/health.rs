//! gRPC's health service. It tells what `GET /v1/ready` tells, and asks for no key.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::query::queries::Queries;

/// The names under which the service is known; the empty name means the whole gateway.
const NAMES: [&str; 3] =
    ["", "arrow.flight.protocol.FlightService", "arrow.flight.protocol.sql.FlightSqlService"];
/// Pause between two looks for a client that watches.
const LOOK: Duration = Duration::from_secs(10);

/// The health service.
#[derive(Clone, Debug)]
pub(super) struct Health {
    queries: Arc<Queries>,
}

impl Health {
    pub(super) fn new(queries: Arc<Queries>) -> Self {
        Self { queries }
    }
}

/// What is to be told.
async fn look(queries: &Queries) -> ServingStatus {
    match queries.ready().await {
        Ok(_) => ServingStatus::Serving,
        Err(error) => {
            tracing::debug!(%error, "the gateway is not ready");
            ServingStatus::NotServing
        }
    }
}

fn body(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl tonic_health::pb::health_server::Health for Health {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !NAMES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("there is no such service here"));
        }
        Ok(Response::new(body(look(&self.queries).await)))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !NAMES.contains(&request.get_ref().service.as_str()) {
            let unknown = futures::stream::iter([Ok(body(ServingStatus::ServiceUnknown))]);
            // The protocol keeps the call open: the service may be added.
            let open = self.queries.stopped().into_stream().filter_map(async |()| None);
            return Ok(Response::new(unknown.chain(open).boxed()));
        }
        let queries = Arc::clone(&self.queries);
        let changes = futures::stream::unfold((queries, None), |(queries, told)| async move {
            loop {
                if told.is_some() {
                    queries.over(LOOK).await;
                }
                let now = look(&queries).await;
                if told != Some(now) {
                    return Some((Ok(body(now)), (queries, Some(now))));
                }
                if queries.is_stopping() {
                    return None;
                }
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}
