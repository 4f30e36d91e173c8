//! Builds a gateway's access control from `[gateway]` of the configuration.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dunlin_gateway::auth::{KeyOptions, OidcOptions, Scope, Scopes, Workgroup};
use dunlin_gateway::{ClientCertificates, DoorLimits, DoorOptions, InlineLimits, TlsOptions};
use dunlin_planner::gateway_config::{
    ClientAuth, ClientLimitsConfig, GatewayConfig, InlineConfig, KeyConfig, TlsConfig,
};

/// More connections, requests or bytes of headers than this are a typing error.
const MANY: usize = 1 << 24;
/// Most headers that a configuration may allow, because every request reserves space for each.
const MOST_HEADERS: usize = 1_000;
/// Longest timeout: one day. With a longer one there would be no timeout in practice.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Where a gateway listens, and whether it may listen without access control.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Listen {
    /// Address to listen on; port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub http: SocketAddr,
    /// Address on which clients of Postgres are served, e.g. 127.0.0.1:5432; port 0 takes a free port.
    #[arg(long)]
    pub postgres: Option<SocketAddr>,
    /// Address on which to serve Flight SQL, e.g. 127.0.0.1:50051; wins over `gateway.flight_sql` of the configuration.
    /// Without either, it is not served.
    #[arg(long)]
    pub flight_sql: Option<SocketAddr>,
    /// Address on which Prometheus finds `/metrics`, e.g. 127.0.0.1:9090. It asks for no key: keep it inside.
    #[arg(long)]
    pub metrics: Option<SocketAddr>,
    /// Listen on other addresses than loopback even without API keys or TLS.
    #[arg(long)]
    pub allow_insecure_connections: bool,
}

impl Listen {
    /// The access control of the listener. Refused before anything is opened if it is not enough for the address.
    pub(crate) fn door(&self, config: &GatewayConfig) -> Result<DoorOptions> {
        let door = options(config, self.allow_insecure_connections)?;
        door.check(self.http)?;
        if let Some(postgres) = self.postgres(config)? {
            door.check(postgres)?;
        }
        if let Some(flight_sql) = self.flight_sql(config) {
            door.check(flight_sql)?;
        }
        Ok(door)
    }

    /// Where clients of Postgres are served.
    pub(crate) fn postgres(&self, config: &GatewayConfig) -> Result<Option<SocketAddr>> {
        if self.postgres.is_some() {
            return Ok(self.postgres);
        }
        let parse = |text: &String| {
            text.parse().with_context(|| {
                format!("[gateway] postgres is {text:?}, which is no address; write 127.0.0.1:5432")
            })
        };
        config.postgres.as_ref().map(parse).transpose()
    }

    /// Where Flight SQL is served, if it is. The command line wins.
    pub(crate) fn flight_sql(&self, config: &GatewayConfig) -> Option<SocketAddr> {
        self.flight_sql.or(config.flight_sql)
    }
}

/// The access control that a configuration sets.
///
/// # Errors
/// An unknown scope or workgroup, an issuer that cannot be used, or a limit that no request could meet.
pub(crate) fn options(config: &GatewayConfig, allow_insecure: bool) -> Result<DoorOptions> {
    let groups = Workgroup::all(&config.workgroups)?;
    let oidc = config.oidc.as_ref().map(|config| OidcOptions::of(config, &groups));
    Ok(DoorOptions {
        keys: config.keys.iter().map(|config| key(config, &groups)).collect::<Result<_>>()?,
        oidc: oidc.transpose()?,
        tls: config.tls.as_ref().map(tls),
        limits: limits(&config.limits)?,
        allow_insecure,
    })
}

/// What inline queries may use. `memory`: bytes if the section sets none.
///
/// # Errors
/// A limit that no query could meet.
pub(crate) fn inline_limits(config: &InlineConfig, memory: usize) -> Result<InlineLimits> {
    let limits = InlineLimits::of(config, memory);
    for (name, value) in [("slots", limits.slots), ("threads", limits.threads)] {
        ensure!((1..=1_000).contains(&value), "[gateway.inline] {name} must be between 1 and 1000");
    }
    ensure!(
        !limits.time.is_zero() && limits.time <= LONGEST,
        "[gateway.inline] time_limit_ms must be between 1 and {}",
        LONGEST.as_millis()
    );
    Ok(limits)
}

fn key(config: &KeyConfig, groups: &[Arc<Workgroup>]) -> Result<KeyOptions> {
    let group = config.workgroup.as_deref();
    let group = group.map(|group| Workgroup::named(groups, group, &config.name)).transpose()?;
    let scopes: Result<Scopes, _> =
        config.scopes.iter().map(|text| text.parse::<Scope>()).collect();
    Ok(KeyOptions {
        name: config.name.clone(),
        sha256: config.sha256.clone(),
        scopes: scopes?,
        scram: config.scram.clone(),
        workgroup: group,
    })
}

fn tls(config: &TlsConfig) -> TlsOptions {
    TlsOptions {
        certificate: (&config.certificate).into(),
        key: (&config.key).into(),
        client: config.client_ca.as_ref().map(|ca| ClientCertificates {
            ca: ca.into(),
            required: config.client_auth == ClientAuth::Required,
        }),
        look: Duration::from_millis(config.reload_ms.max(1)),
    }
}

fn limits(config: &ClientLimitsConfig) -> Result<DoorLimits> {
    let limits = DoorLimits::from(config);
    for (name, value, most) in [
        ("connections", limits.connections, MANY),
        ("header_count", limits.header_count, MOST_HEADERS),
        ("header_bytes", limits.header_bytes, MANY),
        ("requests", limits.requests, MANY),
        ("client_requests", limits.client_requests, MANY),
    ] {
        ensure!(
            (1..=most).contains(&value),
            "[gateway.limits] {name} must be between 1 and {most}"
        );
    }
    for (name, value) in [
        ("tls_handshake_ms", limits.tls_handshake),
        ("headers_ms", limits.headers),
        ("body_ms", limits.body),
        ("idle_ms", limits.idle),
        ("answer_stall_ms", limits.answer_stall),
    ] {
        ensure!(
            !value.is_zero() && value <= LONGEST,
            "[gateway.limits] {name} must be between 1 and {}",
            LONGEST.as_millis()
        );
    }
    Ok(limits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dunlin_planner::config::Config;

    use super::*;

    fn read(text: &str) -> Result<DoorOptions> {
        let text = format!("[state]\nlocation = \"memory://\"\n{text}");
        options(&Config::parse(&text).unwrap().gateway, false)
    }

    #[test]
    fn without_a_section_the_door_is_open_and_has_the_default_limits() {
        let door = read("").unwrap();
        assert!(door.keys.is_empty() && door.oidc.is_none());
        assert!(door.tls.is_none() && !door.allow_insecure);
        assert_eq!(door.limits, DoorLimits::default());
    }

    #[test]
    fn an_issuer_is_enough_off_loopback_as_keys_are() {
        let secret = "s".repeat(32);
        let text = format!(
            "[gateway.oidc]\nissuer = \"https://i\"\naudience = \"a\"\nsecret = \"{secret}\""
        );
        let door = read(&text).unwrap();
        assert_eq!(door.oidc.as_ref().unwrap().audience, "a");
        assert!(door.check_behind().is_ok());
        let error = door.check("0.0.0.0:1".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("has no TLS"), "{error}");
    }

    #[test]
    fn every_limit_has_its_key() {
        let text = "[gateway.limits]\nconnections = 1\ntls_handshake_ms = 2\nheaders_ms = 3\nbody_ms = 4\nidle_ms = 5\nheader_count = 6\nheader_bytes = 7\nanswer_buffer_bytes = 8\nanswer_stall_ms = 9\nrequests = 10\nclient_requests = 11\n";
        let millis = Duration::from_millis;
        let expected = DoorLimits {
            connections: 1,
            tls_handshake: millis(2),
            headers: millis(3),
            body: millis(4),
            idle: millis(5),
            header_count: 6,
            header_bytes: 7,
            answer_buffer_bytes: 8,
            answer_stall: millis(9),
            requests: 10,
            client_requests: 11,
        };
        assert_eq!(read(text).unwrap().limits, expected);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("[gateway.limits]\nrequests = 0", "requests"),
            ("[gateway.limits]\nidle_ms = 0", "idle_ms"),
            ("[gateway.limits]\nbody_ms = 18446744073709551", "body_ms"),
            ("[gateway.limits]\nheader_count = 100000", "header_count"),
            (
                "[[gateway.keys]]\nname = \"a\"\nsha256 = \"b\"\nscopes = [\"root\"]",
                "scope \"root\" is not known",
            ),
            (
                "[[gateway.keys]]\nname = \"a\"\nsha256 = \"b\"\nscopes = []\nworkgroup = \"bi\"",
                "there is no [[gateway.workgroups]] entry \"bi\"",
            ),
            (
                "[gateway.oidc]\nissuer = \"https://i\"\naudience = \"a\"\nsecret = \"short\"",
                "[gateway.oidc] secret",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
