//! Files that statements name themselves: `SELECT * FROM 's3://bucket/a.parquet'`.
//!
//! Whoever may send a statement could then read whatever the processes may read. So it is off unless the configuration
//! says otherwise, and web servers need a word of their own, because a gateway may reach some that its clients may not.

use dunlin_plan::location::Location;
use dunlin_plan::stores::check_outside;

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
        check_outside(&location.store).map_err(|inside| TableError::Invalid(inside.to_string()))?;
    }
    if !files.reaches(&location) {
        return Err(TableError::Invalid(
            "statements may not name files of this machine here; name files in a bucket, or set local = true in [files]"
                .to_owned(),
        ));
    }
    Ok(Some(TableConfig::at(name, name)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_looks_like_a_file_is_one_and_only_where_files_may_be_named() {
        let on = FilesConfig { enabled: true, local: true, ..FilesConfig::default() };
        assert!(table("orders", &on).unwrap().is_none());
        assert_eq!(table("a.csv.gz", &on).unwrap().unwrap().format(), Format::Csv);
        assert_eq!(table("s3://b/x/", &on).unwrap().unwrap().format(), Format::Parquet);
        assert!(table("a.csv", &FilesConfig::default()).is_err());
        assert!(table("https://example.org/a.csv", &on).is_err());
    }

    #[test]
    fn files_of_this_machine_and_servers_inside_of_a_network_are_refused() {
        let files = FilesConfig { enabled: true, https: true, ..FilesConfig::default() };
        for name in ["/etc/passwd.csv", "a.csv", "file:///etc/a.csv", "https://localhost/a.csv"] {
            assert!(table(name, &files).is_err(), "{name}");
        }
        assert!(table("https://example.org/a.csv", &files).unwrap().is_some());
        assert!(table("a.csv", &FilesConfig { local: true, ..files }).unwrap().is_some());
    }
}
