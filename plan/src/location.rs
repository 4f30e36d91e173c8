//! The location of objects: the address of a store, a path inside it, and perhaps a pattern of paths below it.

use object_store::path::Path;
use url::Url;

use crate::StoreError;

/// A location split into the store's address and a path inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// `file:///`, `memory:///`, `s3://bucket`, `gs://bucket`, `az://container` or `https://host`.
    pub store: Url,
    /// Path inside the store.
    pub path: Path,
    /// True if the text ended in `/`, or has a pattern.
    pub is_folder: bool,
    /// The pattern that paths below `path` match, as `*/day=*.parquet`.
    pub pattern: Option<String>,
}

impl Location {
    /// Parses `file:///a/b`, `/a/b`, `a/b`, `memory://`, `s3://bucket/a/b`, `gs://…`, `az://…`, `https://host/a`. From
    /// the first part that holds `*`, `?` or `[`, the text is a pattern.
    ///
    /// # Errors
    /// An unknown scheme, or a text that is no URL.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let invalid = |what: &str| StoreError::Invalid(format!("location {text:?}: {what}"));
        let (base, pattern) = split_pattern(text);
        let is_folder = pattern.is_some() || base.ends_with('/');
        let url = if base.contains("://") {
            Url::parse(base).map_err(|error| invalid(&error.to_string()))?
        } else {
            let base = if base.is_empty() { "." } else { base };
            let path = std::path::absolute(base).map_err(|error| invalid(&error.to_string()))?;
            Url::from_file_path(path).map_err(|()| invalid("not a path"))?
        };
        let host = url.host_str().unwrap_or_default();
        match url.scheme() {
            "file" | "memory" => {}
            "s3" | "gs" | "az" if host.is_empty() => return Err(invalid("names no bucket")),
            "http" | "https" if host.is_empty() => return Err(invalid("names no host")),
            "http" | "https" if url.query().is_some() => {
                return Err(invalid("has a query (`?`), which a file's address must not have"));
            }
            "http" | "https" if is_folder => {
                return Err(invalid("names no file; a web server cannot be listed"));
            }
            "s3" | "gs" | "az" | "http" | "https" => {}
            other => {
                return Err(invalid(&format!(
                    "scheme {other} is not known; use file, memory, s3, gs, az or https"
                )));
            }
        }
        let store = Url::parse(&address(&url)).map_err(|error| invalid(&error.to_string()))?;
        let path = Path::from_url_path(url.path()).map_err(|error| invalid(&error.to_string()))?;
        Ok(Self { store, path, is_folder, pattern: pattern.map(str::to_owned) })
    }

    /// The address of its store: see [`address`].
    #[must_use]
    pub fn address(&self) -> String {
        address(&self.store)
    }

    /// True if requests cross a network.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(self.store.scheme(), "file" | "memory")
    }
}

/// The text before the first part with `*`, `?` or `[`, and the rest.
fn split_pattern(text: &str) -> (&str, Option<&str>) {
    let web = text.starts_with("http://") || text.starts_with("https://");
    let Some(at) = text.find(['*', '?', '[']).filter(|_| !web) else { return (text, None) };
    let start = text[..at].rfind('/').map_or(0, |slash| slash + 1);
    (&text[..start], Some(&text[start..]))
}

/// The address of the store that holds the object at `url`, as `s3://bucket`, `https://host:8080` or `file:///`. The
/// configuration, pins and plans all name a store by this text.
#[must_use]
pub fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match (url.scheme(), url.port()) {
        ("file" | "memory", _) => format!("{}:///", url.scheme()),
        (scheme, Some(port)) => format!("{scheme}://{host}:{port}"),
        (scheme, None) => format!("{scheme}://{host}"),
    }
}

/// What people call the object or folder at `path` in the store of an address, as `s3://bucket/a/b`.
#[must_use]
pub fn named(address: &str, path: &str) -> String {
    let between = if address.ends_with('/') { "" } else { "/" };
    format!("{address}{between}{path}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn locations_are_split_into_store_and_path() {
        let s3 = Location::parse("s3://bucket/a/b/").unwrap();
        assert_eq!(s3.store.as_str(), "s3://bucket");
        assert_eq!(s3.path.as_ref(), "a/b");
        assert!(s3.is_folder && s3.is_remote() && s3.pattern.is_none());
        let file = Location::parse("file:///data/t.parquet").unwrap();
        assert_eq!((file.path.as_ref(), file.is_folder), ("data/t.parquet", false));
        let web = Location::parse("https://example.org:8443/a/t.csv").unwrap();
        assert_eq!(web.store.as_str(), "https://example.org:8443/");
        assert_eq!(web.path.as_ref(), "a/t.csv");
        for wrong in ["ftp://x/y", "s3:///nobucket", "https://example.org/a/", "https://h/a?b=c"] {
            assert!(Location::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pattern_begins_at_the_first_part_that_holds_one() {
        let split = |text: &str| {
            let location = Location::parse(text).unwrap();
            (location.path.to_string(), location.pattern)
        };
        assert_eq!(split("s3://b/a/x*/y.csv"), ("a".to_owned(), Some("x*/y.csv".to_owned())));
        assert_eq!(split("s3://b/*.csv"), (String::new(), Some("*.csv".to_owned())));
        assert_eq!(split("/d/part-?.csv"), ("d".to_owned(), Some("part-?.csv".to_owned())));
        let here = Location::parse("*.csv").unwrap();
        assert!(here.is_folder && !here.path.as_ref().is_empty());
    }
}
