//! What a gateway is and what it allows, for `GET /v1/status`.

use std::time::Duration;

use dunlin_manifest::env::Env;
use dunlin_manifest::records::EngineFence;
use dunlin_planner::RouteMode;
use serde::Serialize;

use super::request::MAX_WAIT;
use crate::options::{GatewayOptions, MAX_BODY_BYTES, MAX_SQL_BYTES};
use crate::query::asked::MOST_TAGS;
use crate::query::history;
use crate::query::statement::MAX_PARAMETERS;

/// What does not change while a gateway runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    version: &'static str,
    /// The engine, with its version.
    engine: String,
    /// Processes of the same build work for the same queries.
    build: String,
    /// When it started, by its own clock: milliseconds after 1970.
    started_ms: u64,
    #[serde(skip)]
    started: Duration,
    /// Where queries run unless their clients say otherwise.
    route_mode: RouteMode,
    limits: LimitsBody,
}

/// What every request may use.
#[derive(Clone, Debug, Serialize)]
struct LimitsBody {
    sql_bytes: usize,
    body_bytes: usize,
    parameters: usize,
    tags: usize,
    wait_ms: u64,
    page: usize,
    query_ttl_ms: u64,
    max_bytes_scanned: Option<u64>,
    max_cost_usd: Option<f64>,
    /// Bytes in the store of an answer that is sent as rows; null: any.
    answer_bytes: Option<u64>,
    inline_slots: usize,
    inline_queue: usize,
    inline_time_ms: u64,
    inline_memory_bytes: usize,
    planning_at_once: usize,
    planning_queue: usize,
    planning_time_ms: u64,
    connections: usize,
    requests: usize,
    client_requests: usize,
}

impl About {
    pub(crate) fn new(
        options: &GatewayOptions,
        fence: &EngineFence,
        env: &Env,
        route_mode: RouteMode,
    ) -> Self {
        let GatewayOptions { inline, planning, limits, most, door, .. } = options;
        let limits = LimitsBody {
            sql_bytes: MAX_SQL_BYTES,
            body_bytes: MAX_BODY_BYTES,
            parameters: MAX_PARAMETERS,
            tags: MOST_TAGS,
            wait_ms: millis(MAX_WAIT),
            page: history::MOST,
            query_ttl_ms: limits.ttl_ms,
            max_bytes_scanned: most.max_bytes_scanned,
            max_cost_usd: most.max_cost_usd,
            answer_bytes: options.most_answer,
            inline_slots: inline.slots,
            inline_queue: inline.queue,
            inline_time_ms: millis(inline.time),
            inline_memory_bytes: inline.memory_bytes,
            planning_at_once: planning.at_once,
            planning_queue: planning.queue,
            planning_time_ms: millis(planning.time),
            connections: door.limits.connections,
            requests: door.limits.requests,
            client_requests: door.limits.client_requests,
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            engine: fence.engine.clone(),
            build: fence.build.clone(),
            started_ms: env.clock.wall_ms(),
            started: env.clock.monotonic(),
            route_mode,
            limits,
        }
    }

    /// For how long it has run at the time `now` of its clock.
    pub(super) fn uptime_ms(&self, now: Duration) -> u64 {
        millis(now.saturating_sub(self.started))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
