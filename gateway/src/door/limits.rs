//! What every client may use. Each limit is a key of `[gateway.limits]`; `docs/configuration.md` has the reasons.

use std::time::Duration;

use dunlin_planner::gateway_config::ClientLimitsConfig;

/// Limits of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorLimits {
    /// Connections at a time. One more is accepted and closed at once, so that its client sees the limit.
    pub connections: usize,
    /// Longest TLS handshake.
    pub tls_handshake: Duration,
    /// Longest time for the headers of a request: from the start of the connection, or from the first byte of a later
    /// request.
    pub headers: Duration,
    /// Longest time for the body of a request.
    pub body: Duration,
    /// Longest time that a connection waits for its next request.
    pub idle: Duration,
    /// Most headers of a request.
    pub header_count: usize,
    /// Most bytes of a request's headers.
    pub header_bytes: usize,
    /// Most encoded bytes of an answer that a connection holds until the client reads them.
    pub answer_buffer_bytes: usize,
    /// Longest time that an answer waits for a client that reads nothing of it.
    pub answer_stall: Duration,
    /// Requests in progress at a time, of all clients.
    pub requests: usize,
    /// Requests in progress at a time, of one key, or of one address if no keys are configured.
    pub client_requests: usize,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self::from(&ClientLimitsConfig::default())
    }
}

impl From<&ClientLimitsConfig> for DoorLimits {
    fn from(config: &ClientLimitsConfig) -> Self {
        let millis = Duration::from_millis;
        Self {
            connections: config.connections,
            tls_handshake: millis(config.tls_handshake_ms),
            headers: millis(config.headers_ms),
            body: millis(config.body_ms),
            idle: millis(config.idle_ms),
            header_count: config.header_count,
            header_bytes: config.header_bytes,
            answer_buffer_bytes: config.answer_buffer_bytes,
            answer_stall: millis(config.answer_stall_ms),
            requests: config.requests,
            client_requests: config.client_requests,
        }
    }
}
