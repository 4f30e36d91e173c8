//! The location of an object: the address of a store, and a path inside it.

use object_store::path::Path;
use url::Url;

use crate::StoreError;

/// A location split into the store's address and a path inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// `file:///`, `memory:///` or `s3://bucket`.
    pub store: Url,
    /// Path inside the store.
    pub path: Path,
    /// True if the text ended in `/`.
    pub is_folder: bool,
}

impl Location {
    /// Parses `file:///a/b`, `/a/b`, `a/b`, `memory://`, `s3://bucket/a/b`.
    ///
    /// # Errors
    /// An unknown scheme, or a text that is no URL.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let is_folder = text.ends_with('/');
        let invalid = |what: &str| StoreError::Invalid(format!("location {text:?}: {what}"));
        let url = if text.contains("://") {
            Url::parse(text).map_err(|error| invalid(&error.to_string()))?
        } else {
            let path = std::path::absolute(text).map_err(|error| invalid(&error.to_string()))?;
            Url::from_file_path(path).map_err(|()| invalid("not a path"))?
        };
        match url.scheme() {
            "file" | "memory" => {}
            "s3" if url.host_str().is_some_and(|bucket| !bucket.is_empty()) => {}
            "s3" => return Err(invalid("names no bucket")),
            other => {
                return Err(invalid(&format!(
                    "scheme {other} is not known; use file, memory or s3"
                )));
            }
        }
        let store = Url::parse(&address(&url)).map_err(|error| invalid(&error.to_string()))?;
        let path = Path::from_url_path(url.path()).map_err(|error| invalid(&error.to_string()))?;
        Ok(Self { store, path, is_folder })
    }

    /// True if requests cross a network.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.store.scheme() == "s3"
    }

    /// The location as DataFusion's listing table wants it.
    #[must_use]
    pub fn table_url(&self) -> String {
        let store = self.store.as_str();
        let slash = if store.ends_with('/') { "" } else { "/" };
        format!("{store}{slash}{}{}", self.path, if self.is_folder { "/" } else { "" })
    }
}

/// The address of the store that holds the object at `url`: `s3://bucket`, `file:///` or `memory:///`. The
/// configuration, pins and plans all name a store by this text.
#[must_use]
pub fn address(url: &Url) -> String {
    match url.scheme() {
        "s3" => format!("s3://{}", url.host_str().unwrap_or_default()),
        scheme => format!("{scheme}:///"),
    }
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
        assert!(s3.is_folder && s3.is_remote());
        assert_eq!(s3.table_url(), "s3://bucket/a/b/");
        let file = Location::parse("file:///data/t.parquet").unwrap();
        assert_eq!(file.table_url(), "file:///data/t.parquet");
        assert!(Location::parse("ftp://x/y").is_err());
        assert!(Location::parse("s3:///nobucket").is_err());
    }
}
