//! Web servers that statements name: only those that anybody could reach.
//!
//! ```text
//!   https://host/a.csv ── name inside? ─> resolve ── any address inside? ─> connect ── redirect: the same again
//! ```
//! Whoever may send statements could otherwise read what a gateway or a worker reaches and its clients do not: services of
//! the network, or the address from which clouds give credentials. A name is looked at where it is resolved for the
//! connection, so a name that leads inside later is noticed, too. Servers of `[[tables]]` are the configuration's choice,
//! and are not looked at.

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    SpawnService,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use tokio::runtime::Handle;
use url::{Host, Url};

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(5);
const REQUEST: Duration = Duration::from_secs(30);

/// Why a server is not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is an address inside of a network, and statements may not name those")]
pub struct Inside(String);

/// Fails for a server that only machines of the same network reach, as far as its name tells.
///
/// # Errors
/// It is inside.
pub fn check_outside(url: &Url) -> Result<(), Inside> {
    let is_inside = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            !name.contains('.')
                || name.ends_with(".internal")
                || name.ends_with(".local")
                || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(ip)) => is_inside(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => is_inside(IpAddr::V6(ip)),
        None => true,
    };
    let name = || format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    if is_inside { Err(Inside(name())) } else { Ok(()) }
}

fn is_inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                // Addresses that providers share among their customers (RFC 6598), of protocols, and for measurements.
                || (a == 100 && (64..128).contains(&b))
                || (a, b) == (192, 0)
                || (a == 198 && (18..20).contains(&b))
                // The host of a machine at Azure.
                || ip.octets() == [168, 63, 129, 16]
        }
        IpAddr::V6(ip) => {
            // An address of version 4 in another form: mapped, or of a translator (RFC 6052).
            if let Some(plain) = ip.to_ipv4_mapped() {
                return is_inside(IpAddr::V4(plain));
            }
            let [first, second, .., high, low] = ip.segments();
            if ip.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
                let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
                return is_inside(IpAddr::from([a, b, c, d]));
            }
            // All that is given to networks of the world is in 2000::/3. Tunnels in it have an address of version 4 inside.
            let is_tunnel = first == 0x2002 || (first == 0x2001 && second == 0);
            first & 0xe000 != 0x2000 || is_tunnel
        }
    }
}

/// Resolves names, and fails if any of the addresses is inside.
#[derive(Debug)]
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is replaced by that of the address.
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| is_inside(address.ip())) {
                return Err(Inside(name.as_str().to_owned()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// What is done with a redirect.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error("too many redirects");
    }
    match (attempt.url().scheme(), check_outside(attempt.url())) {
        ("https", Ok(())) => attempt.follow(),
        ("https", Err(inside)) => attempt.error(inside),
        _ => attempt.error("a redirect to a server without encryption"),
    }
}

/// A client that says at once that a server is inside. The store would take it for a network that is down, and try again.
#[derive(Clone, Debug)]
struct Guarded(reqwest::Client);

#[async_trait]
impl HttpService for Guarded {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.0.call(request).await.map_err(|error| {
            let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
            while let Some(found) = cause {
                if let Some(inside) = found.downcast_ref::<Inside>() {
                    return HttpError::new(HttpErrorKind::Unknown, inside.clone());
                }
                cause = found.source();
            }
            error
        })
    }
}

/// Connects to servers outside.
#[derive(Debug)]
pub(super) struct Outside(pub(super) Handle);

impl HttpConnector for Outside {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .https_only(true)
            .no_proxy()
            .redirect(Policy::custom(follow))
            .dns_resolver(Arc::new(Resolver))
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .build()
            .map_err(|source| object_store::Error::Generic {
                store: "HTTP",
                source: Box::new(source),
            })?;
        Ok(HttpClient::new(SpawnService::new(Guarded(client), self.0.clone())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_addresses_inside_of_a_network_are_refused() {
        for host in [
            "127.0.0.1",
            "169.254.169.254",
            "10.0.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[fe80::1]",
            "[fd00::1]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b:1::a00:1]",
            "[::7f00:1]",
            "[2002:7f00:1::1]",
            "[2001:0:a00:1::1]",
            "[fec0::1]",
            "168.63.129.16",
            "192.0.0.192",
            "198.18.0.1",
            "255.255.255.255",
            "localhost",
            "LOCALHOST.",
            "metadata.google.internal",
            "2852039166",
            "0x7f000001",
        ] {
            let url = Url::parse(&format!("https://{host}/a.csv")).unwrap();
            assert!(check_outside(&url).is_err(), "{host}");
        }
        for host in
            ["example.org", "93.184.216.34", "[2606:2800:220:1::1]", "[::ffff:93.184.216.34]"]
        {
            let url = Url::parse(&format!("https://{host}/a.csv")).unwrap();
            assert_eq!(check_outside(&url), Ok(()), "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_where_it_is_resolved() {
        // A name that this machine knows, as a stranger's name server could give it.
        let error = Resolver.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(error.to_string().contains("inside of a network"), "{error}");
        let client = Outside(Handle::current()).connect(&ClientOptions::new()).unwrap();
        let mut request = HttpRequest::new(object_store::client::HttpRequestBody::empty());
        *request.uri_mut() = "https://localhost/a.csv".parse().unwrap();
        let error = client.execute(request).await.unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Unknown, "{error:?}");
    }
}
