//! A listener without TLS, or with neither keys nor an issuer, may listen on loopback only.

use std::net::{IpAddr, SocketAddr};

/// The listener could be used, or its traffic read, from other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} can be reached from other machines, and the gateway has {lacks}. \
     Either configure both [[gateway.keys]] (see `dunlin key new`) or [gateway.oidc], and [gateway.tls] (see `dunlin tls init`), \
     or spell out --allow-insecure-connections if something in front of the gateway does their work"
)]
pub struct Exposed {
    address: SocketAddr,
    lacks: &'static str,
}

/// Whether a gateway that something in front of it makes public may answer with this access control.
///
/// # Errors
/// [`Exposed`].
pub(crate) fn check_keys(keys: bool, allow_insecure: bool) -> Result<(), Exposed> {
    let address = SocketAddr::from(([0, 0, 0, 0], 443));
    check(address, keys, true, allow_insecure)
}

/// Whether a listener at `address` may be opened with its access control.
///
/// # Errors
/// [`Exposed`], which names both solutions.
pub(crate) fn check(
    address: SocketAddr,
    keys: bool,
    tls: bool,
    allow_insecure: bool,
) -> Result<(), Exposed> {
    let lacks = match (keys, tls) {
        (true, true) => return Ok(()),
        (false, true) => "no API keys",
        (true, false) => "no TLS",
        (false, false) => "neither API keys nor TLS",
    };
    if allow_insecure {
        if !is_loopback(address.ip()) {
            tracing::warn!(%address, "the gateway listens off loopback and has {lacks}, as --allow-insecure-connections says");
        }
        return Ok(());
    }
    if is_loopback(address.ip()) { Ok(()) } else { Err(Exposed { address, lacks }) }
}

/// `::ffff:127.0.0.1` is loopback, too. The unspecified address means every address.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(address: &str, keys: bool, tls: bool) -> bool {
        check(address.parse().unwrap(), keys, tls, false).is_err()
    }

    #[test]
    fn off_loopback_keys_and_tls_are_both_needed() {
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1", "[fe80::1]:1"] {
            assert!(refused(address, false, false), "{address}");
            assert!(refused(address, true, false), "{address}");
            assert!(refused(address, false, true), "{address}");
            assert!(!refused(address, true, true), "{address}");
            assert_eq!(check(address.parse().unwrap(), false, false, true), Ok(()));
        }
    }

    #[test]
    fn on_loopback_nothing_is_needed() {
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(!refused(address, false, false), "{address}");
        }
    }

    #[test]
    fn the_refusal_names_both_ways_out() {
        let error = check("0.0.0.0:8090".parse().unwrap(), true, false, false).unwrap_err();
        let text = error.to_string();
        for part in ["0.0.0.0:8090", "no TLS", "dunlin tls init", "--allow-insecure-connections"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
