//! Files that statements name themselves: `SELECT * FROM 's3://bucket/a.parquet'`.
//!
//! Whoever may send a statement could then read whatever the processes may read. So it is off unless the configuration
//! says otherwise, and web servers need a word of their own, because a gateway may reach some that its clients may not.

use std::net::IpAddr;

use dunlin_plan::location::Location;

use super::config::{Format, TableConfig};
use super::error::TableError;
use crate::config::FilesConfig;

/// Files of which a process remembers the columns. A process that has seen more forgets all.
pub(super) const MOST_REMEMBERED: usize = 1_000;

/// The table of a file, if `name` names files and not a table.
///
/// # Errors
/// Files that may not be named.
pub(super) fn table(name: &str, files: &FilesConfig) -> Result<Option<TableConfig>, TableError> {
    let is_place = name.contains('/') || Format::of(name).is_some();
    if !is_place {
        return Ok(None);
    }
    if !files.enabled {
        return Err(TableError::Invalid(
            "statements may not name files here; make it a [[tables]] entry of the configuration, or set enabled = true in [files]"
                .to_owned(),
        ));
    }
    let location = Location::parse(name)?;
    if matches!(location.store.scheme(), "http" | "https") {
        if !files.https {
            return Err(TableError::Invalid(
                "statements may not name files on web servers here; set https = true in [files]"
                    .to_owned(),
            ));
        }
        if is_inside(&location) {
            return Err(TableError::Invalid(format!(
                "{} is an address inside of a network, and statements may not name those",
                location.address()
            )));
        }
    }
    Ok(Some(TableConfig::at(name, name)))
}

/// True for a host that only machines of the same network reach.
fn is_inside(location: &Location) -> bool {
    match location.store.host() {
        Some(url::Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            !name.contains('.')
                || name.ends_with(".internal")
                || name.ends_with(".local")
                || name.ends_with(".localhost")
        }
        Some(url::Host::Ipv4(ip)) => is_inside_address(IpAddr::V4(ip)),
        Some(url::Host::Ipv6(ip)) => {
            let plain = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
            is_inside_address(plain)
        }
        None => true,
    }
}

fn is_inside_address(ip: IpAddr) -> bool {
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
                // Addresses that providers share among their customers (RFC 6598).
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_looks_like_a_file_is_one_and_only_where_files_may_be_named() {
        let on = FilesConfig { enabled: true, ..FilesConfig::default() };
        assert!(table("orders", &on).unwrap().is_none());
        assert_eq!(table("a.csv.gz", &on).unwrap().unwrap().format(), Format::Csv);
        assert_eq!(table("s3://b/x/", &on).unwrap().unwrap().format(), Format::Parquet);
        assert!(table("a.csv", &FilesConfig::default()).is_err());
        assert!(table("https://example.org/a.csv", &on).is_err());
    }

    #[test]
    fn addresses_inside_of_a_network_are_refused() {
        let web = FilesConfig { enabled: true, https: true, write: false };
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
            "localhost",
            "metadata.google.internal",
            "2852039166",
            "0x7f000001",
        ] {
            assert!(table(&format!("https://{host}/a.csv"), &web).is_err(), "{host}");
        }
        assert!(table("https://example.org/a.csv", &web).unwrap().is_some());
    }
}
