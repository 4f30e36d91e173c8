//! The beginning of the addresses that clients are told: scheme and host as the client sees them, through any proxy.
//!
//! Whoever sends `Host` and `X-Forwarded-…` only says where its own client finds this gateway or another one.

use http::HeaderMap;
use http::header::HOST;

use super::headers::{invalid, one};
use crate::http::ApiError;

/// Longest host, with its port.
const LONGEST: usize = 261;

/// The beginning: `https://host:port`.
///
/// # Errors
/// The request names no host, or one that is none.
pub(super) fn base(headers: &HeaderMap, is_tls: bool) -> Result<String, ApiError> {
    let forwarded = |name: &str| -> Result<Option<&str>, ApiError> {
        // Each proxy adds a value behind those of the proxies before it.
        Ok(one(headers, name)?.and_then(|value| value.split(',').next()).map(str::trim))
    };
    let scheme = match forwarded("x-forwarded-proto")? {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => "http",
        Some(_) => return Err(invalid("X-Forwarded-Proto is http or https")),
        None if is_tls => "https",
        None => "http",
    };
    let host = match forwarded("x-forwarded-host")? {
        Some(host) => host,
        None => {
            one(headers, HOST.as_str())?.ok_or_else(|| invalid("the header Host is missing"))?
        }
    };
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter);
    if host.is_empty() || host.len() > LONGEST || !host.chars().all(is_letter) {
        return Err(invalid("the header Host names no host"));
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let port = match forwarded("x-forwarded-port")? {
        Some(port) if port.parse::<u16>().is_err() => {
            return Err(invalid("X-Forwarded-Port is the number of a port"));
        }
        Some("443") if scheme == "https" => None,
        Some("80") if scheme == "http" => None,
        port => port.filter(|_| !has_port),
    };
    Ok(match port {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> Result<String, ApiError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        base(&headers.collect(), false)
    }

    #[test]
    fn an_address_begins_as_the_client_sees_it() {
        let host = ("host", "gateway:8090");
        assert_eq!(of(&[host]).unwrap(), "http://gateway:8090");
        assert_eq!(of(&[("host", "[::1]:8090")]).unwrap(), "http://[::1]:8090");
        let proxy = ("x-forwarded-proto", "https");
        assert_eq!(of(&[host, proxy]).unwrap(), "https://gateway:8090");
        let outer = ("x-forwarded-host", "sql.example, inner");
        assert_eq!(of(&[host, proxy, outer]).unwrap(), "https://sql.example");
        let port = |port| ("x-forwarded-port", port);
        assert_eq!(of(&[host, proxy, outer, port("8443")]).unwrap(), "https://sql.example:8443");
        assert_eq!(of(&[host, proxy, outer, port("443")]).unwrap(), "https://sql.example");
        assert_eq!(of(&[host, port("9999")]).unwrap(), "http://gateway:8090");
        assert_eq!(of(&[("host", "[::1]"), port("9999")]).unwrap(), "http://[::1]:9999");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for headers in [
            &[][..],
            &[("host", "a/b")],
            &[("host", "a\"b")],
            &[("host", "user@a")],
            &[("host", "a"), ("x-forwarded-proto", "ftp")],
            &[("host", "a"), ("x-forwarded-port", "many")],
            &[("host", "a"), ("x-forwarded-host", "a b")],
        ] {
            assert!(of(headers).is_err(), "{headers:?}");
        }
    }
}
