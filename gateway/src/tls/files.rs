//! Builds a rustls configuration from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

/// The certificate files of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM: the server's certificate, then the certificates between it and a root that clients know.
    pub certificate: PathBuf,
    /// PEM: the private key of the first certificate.
    pub key: PathBuf,
    /// Certificates of clients. If not set, clients are not asked for one.
    pub client: Option<ClientCertificates>,
    /// Pause between two checks of the files.
    pub look: Duration,
}

/// Which certificates clients must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM: the roots that sign clients' certificates.
    pub ca: PathBuf,
    /// Whether a client without a certificate is refused. A client with a wrong certificate always is.
    pub required: bool,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A file holds no PEM of the kind that is needed.
    #[error("{} holds no usable {what} in PEM form", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A certificate authority that cannot be used.
    #[error("{} holds a certificate that cannot be a root", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The clients' certificate authorities together cannot be used.
    #[error("client certificates cannot be checked with {}", path.display())]
    Verifier {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: VerifierBuilderError,
    },
    /// The certificate and the key do not fit.
    #[error("{} and {} do not belong together or cannot be used", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        source: rustls::Error,
    },
}

/// Reads the files and builds what a handshake needs.
pub(super) fn load(options: &TlsOptions) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pair = |source| TlsError::Pair {
        certificate: options.certificate.clone(),
        key: options.key.clone(),
        source,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(pair)?;
    let builder = match &options.client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&client.ca)?), provider);
            let verifier =
                if client.required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(
                verifier
                    .build()
                    .map_err(|source| TlsError::Verifier { path: client.ca.clone(), source })?,
            )
        }
    };
    let key = PrivateKeyDer::from_pem_slice(&read(&options.key)?)
        .map_err(|source| TlsError::Pem { path: options.key.clone(), what: "key", source })?;
    let config =
        builder.with_single_cert(certificates(&options.certificate)?, key).map_err(pair)?;
    Ok(Arc::new(config))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Root { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |source| TlsError::Pem { path: path.to_owned(), what: "certificate", source };
    let text = read(path)?;
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(unusable)?;
    if found.is_empty() {
        return Err(unusable(pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// Shows whether the files have changed, without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<(SystemTime, u64)>>);

impl Stamps {
    /// The current state of the files. A missing file counts as a state, too.
    pub(super) fn of(options: &TlsOptions) -> Self {
        let files = [&options.certificate, &options.key];
        let files = files.into_iter().chain(options.client.as_ref().map(|client| &client.ca));
        Self(files.map(|path| stamp(path)).collect())
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
