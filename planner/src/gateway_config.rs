//! `[gateway]`: who may use a gateway, how its listeners are protected, and what every client may use.
//!
//! Plain data. The code that uses a value explains it, and `docs/configuration.md` has units, defaults and reasons.

use std::net::SocketAddr;
use std::time::Duration;

use dunlin_manifest::query::Keep;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[gateway]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// The address at which workers reach the gateway, e.g. `http://gateway:8090`. They are then told of work at once.
    pub advertise: Option<String>,
    /// The address on which clients of Postgres are served, e.g. `127.0.0.1:5432`. Without it they are not.
    pub postgres: Option<String>,
    /// The address on which Flight SQL is served, e.g. `127.0.0.1:50051`. Not served if not set.
    pub flight_sql: Option<SocketAddr>,
    /// How long answers in progress may go on after SIGTERM, in milliseconds.
    pub drain_ms: u64,
    /// For so long after a query began, its answer is given again for the same statement over the same files, in
    /// milliseconds; 0: never. At most a day.
    pub results_cache_ms: u64,
    /// Whether what clients do is written down, for `system.audit`.
    pub audit: bool,
    /// API keys. Without keys and `[gateway.oidc]`, every client that reaches the gateway may use it.
    pub keys: Vec<KeyConfig>,
    /// What the keys of a group may read and use, together.
    pub workgroups: Vec<WorkgroupConfig>,
    /// The issuer whose tokens are accepted beside keys.
    pub oidc: Option<OidcConfig>,
    /// Certificates. Without them, listeners speak plain TCP.
    pub tls: Option<TlsConfig>,
    /// What every client may use.
    pub limits: ClientLimitsConfig,
    /// What queries that the gateway runs itself may use.
    pub inline: InlineConfig,
    /// When what ended queries have left is deleted.
    pub gc: GcConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            advertise: None,
            postgres: None,
            flight_sql: None,
            drain_ms: 20_000,
            results_cache_ms: 0,
            audit: false,
            keys: Vec::new(),
            workgroups: Vec::new(),
            oidc: None,
            tls: None,
            limits: ClientLimitsConfig::default(),
            inline: InlineConfig::default(),
            gc: GcConfig::default(),
        }
    }
}

/// `[gateway.gc]`: how long objects of the state stay after the end of their query, and whether gateways delete them.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GcConfig {
    /// Gateways delete by themselves. If not set, they do where the state is a folder. A bucket has lifecycle rules, and
    /// `dunlin gc`.
    pub enabled: Option<bool>,
    /// How often gateways do it, all together, in milliseconds.
    pub every_ms: u64,
    /// How long exchange data stays, in milliseconds.
    pub data_ms: u64,
    /// How long answers stay, in milliseconds.
    pub answers_ms: u64,
    /// How long records stay, in milliseconds.
    pub records_ms: u64,
    /// How long it is known that a query has ended, in milliseconds.
    pub ends_ms: u64,
}

impl GcConfig {
    /// How long objects stay.
    #[must_use]
    pub fn keep(&self) -> Keep {
        Keep {
            data: Duration::from_millis(self.data_ms),
            answers: Duration::from_millis(self.answers_ms),
            records: Duration::from_millis(self.records_ms),
            ends: Duration::from_millis(self.ends_ms),
        }
    }
}

impl Default for GcConfig {
    fn default() -> Self {
        let Keep { data, answers, records, ends } = Keep::default();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            enabled: None,
            every_ms: 600_000,
            data_ms: millis(data),
            answers_ms: millis(answers),
            records_ms: millis(records),
            ends_ms: millis(ends),
        }
    }
}

/// `[gateway.inline]`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InlineConfig {
    /// Queries that run at the same time.
    pub slots: usize,
    /// Queries that may wait for a slot.
    pub queue: usize,
    /// The longest time that one query may run, in milliseconds.
    pub time_limit_ms: u64,
    /// Bytes of memory of all of them; as for a worker if not set. Each slot has an equal share.
    pub memory_bytes: Option<usize>,
    /// Threads of each query that compute at the same time; the number of cores if not set.
    pub threads: Option<usize>,
}

impl Default for InlineConfig {
    fn default() -> Self {
        Self { slots: 16, queue: 64, time_limit_ms: 300_000, memory_bytes: None, threads: None }
    }
}

/// `[[gateway.keys]]`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// For people: who uses the key.
    pub name: String,
    /// SHA-256 of the key's text in hex.
    pub sha256: String,
    /// `query`, `admin` or both.
    pub scopes: Vec<String>,
    /// A verifier of the key, with which clients of the Postgres protocol log in by SCRAM-SHA-256.
    pub scram: Option<String>,
    /// The `[[gateway.workgroups]]` entry that it belongs to. Without one, it may read all tables, and has no quota.
    pub workgroup: Option<String>,
}

/// `[gateway.oidc]`: an issuer of JSON web tokens (OpenID Connect).
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// `iss` of its tokens, e.g. `https://id.example/realms/data`.
    pub issuer: String,
    /// What must be in `aud` of its tokens.
    pub audience: String,
    /// Where its keys are. If not set, `/.well-known/openid-configuration` below the issuer says so.
    pub jwks_url: Option<String>,
    /// The claim that names the `[[gateway.workgroups]]` entry of a token: a text or a list of texts.
    pub workgroup_claim: Option<String>,
    /// The claim with what a token allows: `query`, `write`, `admin`, also as `dunlin:query`.
    pub scopes_claim: Option<String>,
    /// What every token allows if no claim says it.
    #[serde(default = "token_scopes")]
    pub scopes: Vec<String>,
    /// The claim with a person's name, for logs.
    #[serde(default = "name_claim")]
    pub name_claim: String,
    /// At least 32 bytes, the same at all gateways, that nobody else knows.
    pub secret: String,
}

fn token_scopes() -> Vec<String> {
    vec!["query".to_owned()]
}

fn name_claim() -> String {
    "sub".to_owned()
}

/// Never prints the secret.
impl std::fmt::Debug for OidcConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcConfig")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// `[[gateway.workgroups]]`: what the keys of a group may read, and what they may use together, at all gateways.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkgroupConfig {
    /// Its name: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// The tables that it may read and add to: names, in which `*` stands for any characters. All if not set.
    pub tables: Option<Vec<String>>,
    /// The pool (`[[routing.pools]]`) whose workers run its queries of the fleet. By their size if not set.
    pub pool: Option<String>,
    /// Queries of the fleet that run at a time.
    pub max_running: Option<u32>,
    /// Queries that wait for it, at each gateway.
    #[serde(default = "max_queued")]
    pub max_queued: usize,
    /// The longest wait of a query for its turn, in milliseconds.
    #[serde(default = "queue_ms")]
    pub queue_ms: u64,
    /// The longest time of a query, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// Bytes that a query may read from tables.
    pub max_bytes_scanned: Option<u64>,
    /// Dollars that a query may cost.
    pub max_cost_usd: Option<f64>,
    /// Bytes that all queries of a day (UTC) may read from tables.
    pub bytes_per_day: Option<u64>,
    /// Dollars that all queries of a day (UTC) may cost.
    pub cost_per_day_usd: Option<f64>,
}

fn max_queued() -> usize {
    100
}

fn queue_ms() -> u64 {
    30_000
}

/// Never prints the hash, because a user may have written the key itself in its place.
impl std::fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyConfig")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// `[gateway.tls]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file: the server's certificate, then the certificates between it and a root that clients know.
    pub certificate: String,
    /// PEM file: the private key of the certificate.
    pub key: String,
    /// PEM file: roots of clients' certificates.
    pub client_ca: Option<String>,
    /// Whether clients must show a certificate.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Pause between two checks of the files, in milliseconds.
    #[serde(default = "reload_ms")]
    pub reload_ms: u64,
}

fn reload_ms() -> u64 {
    10_000
}

/// `client_auth` of `[gateway.tls]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// A client without a certificate is refused.
    #[default]
    Required,
    /// A client may have a certificate; a wrong one is refused.
    Optional,
}

/// `[gateway.limits]`. `docs/configuration.md` has the reasons.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientLimitsConfig {
    /// Connections at a time. One more is accepted and closed at once, so that its client sees the limit.
    pub connections: usize,
    /// Longest TLS handshake, in milliseconds.
    pub tls_handshake_ms: u64,
    /// Longest time for a request's headers, in milliseconds.
    pub headers_ms: u64,
    /// Longest time for a request's body, in milliseconds.
    pub body_ms: u64,
    /// Longest time between two requests of a connection, in milliseconds.
    pub idle_ms: u64,
    /// Most headers of a request.
    pub header_count: usize,
    /// Most bytes of a request's headers.
    pub header_bytes: usize,
    /// Most encoded bytes of an answer that are held for a client.
    pub answer_buffer_bytes: usize,
    /// Longest time that an answer waits for a client that reads nothing of it, in milliseconds.
    pub answer_stall_ms: u64,
    /// Requests in progress at a time, of all clients.
    pub requests: usize,
    /// Requests in progress at a time, of one key or address.
    pub client_requests: usize,
}

impl Default for ClientLimitsConfig {
    fn default() -> Self {
        Self {
            connections: 1_024,
            tls_handshake_ms: 10_000,
            headers_ms: 10_000,
            body_ms: 30_000,
            idle_ms: 75_000,
            header_count: 100,
            header_bytes: 32 << 10,
            answer_buffer_bytes: 4 << 20,
            answer_stall_ms: 30_000,
            requests: 512,
            client_requests: 256,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_full_section_is_read_and_hashes_are_not_printed() {
        let config: GatewayConfig = toml::from_str(
            r#"
            [[keys]]
            name = "ci"
            sha256 = "ba7816bf"
            scopes = ["query", "admin"]
            [oidc]
            issuer = "https://id.example"
            audience = "dunlin"
            secret = "do not show this"
            [tls]
            certificate = "server.pem"
            key = "server.key"
            client_ca = "ca.pem"
            client_auth = "optional"
            [limits]
            connections = 10
            answer_stall_ms = 500
            "#,
        )
        .unwrap();
        assert_eq!(config.keys[0].name, "ci");
        assert_eq!(config.limits.connections, 10);
        assert_eq!(config.limits.requests, ClientLimitsConfig::default().requests);
        assert_eq!(config.tls.as_ref().unwrap().client_auth, ClientAuth::Optional);
        let shown = format!("{config:?}");
        assert!(!shown.contains("ba7816bf") && !shown.contains("do not show this"));
        let oidc = config.oidc.unwrap();
        assert_eq!((oidc.scopes, oidc.name_claim), (vec!["query".to_owned()], "sub".to_owned()));
    }

    #[test]
    fn nothing_is_needed_and_nothing_unknown_is_taken() {
        let config: GatewayConfig = toml::from_str("").unwrap();
        assert!(config.keys.is_empty() && config.tls.is_none());
        for wrong in [
            "surprise = 1",
            "[limits]\nconections = 1",
            "[[keys]]\nname = \"a\"\nsha256 = \"b\"\nscopes = []\nkey = \"c\"",
            "[tls]\ncertificate = \"a\"",
            "[tls]\ncertificate = \"a\"\nkey = \"b\"\nclient_auth = \"sometimes\"",
        ] {
            assert!(toml::from_str::<GatewayConfig>(wrong).is_err(), "{wrong}");
        }
    }
}
