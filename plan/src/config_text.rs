//! Where the text of the configuration comes from, if a process has no file of its own: functions and containers are given
//! it by their environment.

use std::path::{Path, PathBuf};

use crate::StoreError;
use crate::config::{StateConfig, StoreParams};
use crate::stores::Stores;

/// The text itself.
pub const TEXT: &str = "DUNLIN_CONFIG_TOML";
/// Its file, or its object (`s3://bucket/key`).
pub const FILE: &str = "DUNLIN_CONFIG";

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The file cannot be read.
    #[error("there is no {TEXT}, and {} cannot be read: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The object's store cannot be opened.
    #[error("{url}, which {FILE} names, cannot be read: {source}")]
    Store {
        /// The object.
        url: String,
        /// Why.
        source: StoreError,
    },
    /// The object cannot be read.
    #[error("{url}, which {FILE} names, cannot be read: {source}")]
    Object {
        /// The object.
        url: String,
        /// The error of the store's client.
        source: object_store::Error,
    },
    /// It is no text.
    #[error("{0} is not UTF-8")]
    NoText(String),
}

/// The text in `DUNLIN_CONFIG_TOML`, or in the object or file that `DUNLIN_CONFIG` names, or in `otherwise`. Returns it with
/// the name of its source, for messages.
///
/// # Errors
/// It cannot be read.
pub async fn from_env(otherwise: &Path) -> Result<(String, String), TextError> {
    if let Ok(text) = std::env::var(TEXT) {
        return Ok((text, TEXT.to_owned()));
    }
    if let Ok(url) = std::env::var(FILE)
        && url.starts_with("s3://")
    {
        return Ok((object(&url).await?, url));
    }
    let path = std::env::var_os(FILE).map_or_else(|| otherwise.to_owned(), PathBuf::from);
    let name = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((text, name)),
        Err(source) => Err(TextError::File { path, source }),
    }
}

/// The text of an object, read with the credentials of the role or of the environment.
async fn object(url: &str) -> Result<String, TextError> {
    let params = StoreParams::default();
    let place = StateConfig { location: url.to_owned(), params, control: None, root_secret: None };
    let io = tokio::runtime::Handle::current();
    let stores = Stores::open(&place, std::iter::empty(), &io)
        .map_err(|source| TextError::Store { url: url.to_owned(), source })?;
    let unread = |source| TextError::Object { url: url.to_owned(), source };
    let bytes = stores.read(&stores.state).await.map_err(unread)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| TextError::NoText(url.to_owned()))
}
