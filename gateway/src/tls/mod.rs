//! TLS of the listeners: rustls with certificates that may change while the process runs.
//!
//! ```text
//!   certificate, key, client_ca ──read──> ServerConfig ──> every new handshake
//!             └── checked every few seconds: changed and valid ──> a new ServerConfig
//! ```
//!
//! What it promises:
//! - A connection keeps the configuration that it started with, so new certificates break no connection.
//! - Files that cannot be used (incomplete, or with a key that does not fit its certificate) change nothing. The
//!   process logs this once and continues with the certificates that it has.
//! - Versions 1.2 and 1.3 only, with the ciphers that rustls considers safe.

mod files;
mod reload;

pub use files::{ClientCertificates, TlsError, TlsOptions};
pub(crate) use reload::Tls;
