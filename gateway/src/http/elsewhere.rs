//! Whether a page of another site asks, through the browser of somebody who reaches this gateway.
//!
//! ```text
//!   http://evil.example ──page──> browser ──POST /v1/sql, text/plain──> http://127.0.0.1:8090, without keys
//! ```
//! Where keys are configured, such a page has none. A gateway without keys, as on a laptop, believes everybody who reaches
//! it. So there it looks at what browsers say of themselves:
//!
//! - `Sec-Fetch-Site` tells that another site asks. A browser that does not send it sends `Origin`, which is then another
//!   host than the one that is asked.
//! - A site may call this machine by a name of its own (DNS rebinding), and its page is then of the same origin. So a client
//!   of this machine must call it by an address or as `localhost`.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Uri};

/// Whether a request comes from a page that is not this gateway's own. `peer`: where the connection comes from.
pub(super) fn is_from_elsewhere(parts: &Parts, peer: IpAddr) -> bool {
    let host = host(&parts.headers, &parts.uri);
    if peer.to_canonical().is_loopback() && host.as_ref().is_some_and(|host| !is_local(host.host()))
    {
        return true;
    }
    let said = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap_or(""));
    match said("sec-fetch-site") {
        Some("same-origin" | "none") => false,
        // Somebody follows a link, and no page sees the answer.
        Some(_) => {
            let reads = matches!(parts.method, Method::GET | Method::HEAD);
            !(reads && said("sec-fetch-mode") == Some("navigate"))
        }
        None => match said(ORIGIN.as_str()) {
            None => false,
            Some(origin) => {
                let origin = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
                origin.is_none() || origin != host
            }
        },
    }
}

fn host(headers: &HeaderMap, uri: &Uri) -> Option<Authority> {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    named.or_else(|| uri.authority().cloned())
}

/// Whether a host is an address, or a name that always means this machine.
fn is_local(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    bare.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HERE: [u8; 4] = [127, 0, 0, 1];
    const OTHER: [u8; 4] = [10, 0, 0, 7];

    fn asks(peer: [u8; 4], method: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder().method(method).uri("/v1/sql");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        is_from_elsewhere(&request.body(()).unwrap().into_parts().0, IpAddr::from(peer))
    }

    #[test]
    fn programs_and_the_own_page_are_not_from_elsewhere() {
        for host in ["127.0.0.1:8090", "localhost:8090", "LOCALHOST", "a.localhost:1", "[::1]:8090"]
        {
            assert!(!asks(HERE, "POST", &[("host", host)]), "{host}");
            let origin = format!("http://{host}");
            assert!(!asks(HERE, "POST", &[("host", host), ("origin", &origin)]), "{host}");
            let own = [("host", host), ("sec-fetch-site", "same-origin"), ("origin", "https://x")];
            assert!(!asks(HERE, "POST", &own), "{host}");
        }
        // In a network, names are its own.
        assert!(!asks(OTHER, "POST", &[("host", "gateway.internal:8090")]));
        assert!(!asks(OTHER, "POST", &[]));
        let link = [
            ("host", "localhost"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ];
        assert!(!asks(HERE, "GET", &link));
        assert!(asks(HERE, "POST", &link));
    }

    #[test]
    fn pages_of_other_sites_are() {
        for headers in [
            [("host", "127.0.0.1:8090"), ("sec-fetch-site", "cross-site")],
            [("host", "127.0.0.1:8090"), ("sec-fetch-site", "same-site")],
            [("host", "127.0.0.1:8090"), ("origin", "http://evil.example")],
            [("host", "127.0.0.1:8090"), ("origin", "http://127.0.0.1:3000")],
            [("host", "127.0.0.1:8090"), ("origin", "null")],
            [("host", "evil.example:8090"), ("origin", "http://evil.example:8090")],
            [("host", "evil.example:8090"), ("accept", "*/*")],
            [("host", "127.0.0.1.evil.example"), ("accept", "*/*")],
        ] {
            assert!(asks(HERE, "POST", &headers), "{headers:?}");
        }
        let named = [("host", "gateway.internal"), ("origin", "http://evil.example")];
        assert!(asks(OTHER, "POST", &named));
    }
}
