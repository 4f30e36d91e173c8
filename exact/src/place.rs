//! The location of a test's table, in one description for Dunlin's configuration and for DataFusion.

use std::path::{Path, PathBuf};

/// The location of a table.
#[derive(Clone, Debug)]
pub struct TableOf {
    /// The name in queries.
    pub name: String,
    /// A folder or a file.
    pub location: PathBuf,
    /// `parquet`, `csv` or `json`.
    pub format: &'static str,
}

impl TableOf {
    /// A Parquet table in a folder.
    #[must_use]
    pub fn parquet(name: &str, location: &Path) -> Self {
        Self::of(name, location, "parquet")
    }

    /// A table in a folder or a file.
    #[must_use]
    pub fn of(name: &str, location: &Path, format: &'static str) -> Self {
        Self { name: name.to_owned(), location: location.to_owned(), format }
    }

    /// The location as an address; folders end in `/`.
    pub(crate) fn address(&self) -> String {
        let slash = if self.location.is_dir() { "/" } else { "" };
        format!("{}{slash}", self.location.display())
    }

    pub(crate) fn toml(&self) -> String {
        format!(
            "[[tables]]\nname = \"{}\"\nlocation = \"file://{}\"\nformat = \"{}\"\n\n",
            self.name,
            self.address(),
            self.format
        )
    }
}
