//! TLS of the listeners: rustls over certificates that may change while the process runs.
//!
//! ```text
//!   certificate, key, client_ca ──read──> ServerConfig ──> every new handshake
//!             └── looked at every few seconds: changed and whole ──> a new ServerConfig
//! ```
//!
//! What it promises:
//! - A connection keeps the configuration it was made with: new certificates break no connection.
//! - Files that cannot be used (a half-written one, a key that does not fit its certificate) change nothing: the
//!   process says so in its log, once, and goes on with what it has.
//! - Versions 1.2 and 1.3 only, with the ciphers that rustls holds to be safe.

mod files;
mod reload;

pub use files::{ClientCertificates, TlsError, TlsOptions};
pub(crate) use reload::Tls;
