//! What a client sends to a gateway, and which gateways it trusts: certificates from files, and an API key from a
//! file or the environment. A key never comes from the command line, which every user of a machine can read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity, Url};

/// Environment variable with an API key.
pub const KEY_VARIABLE: &str = "DUNLIN_API_KEY";
/// A gateway that does not accept a connection within this time is not there. The system would try for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Options of commands that speak to a gateway. The API key may also be in `DUNLIN_API_KEY`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Credentials {
    /// PEM file of the certificate authority that signed the gateway's certificate; the system's if not given.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// PEM file of a client certificate.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// PEM file of the client certificate's key.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    /// File with the API key; the environment variable DUNLIN_API_KEY if not given.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Send the API key to a gateway on another machine even without TLS.
    #[arg(long)]
    pub allow_insecure_connections: bool,
}

impl Credentials {
    /// A client for the gateway at `base`.
    ///
    /// # Errors
    /// Files that cannot be read or used, or a key that would cross a network unprotected.
    pub fn client(&self, base: &str) -> Result<reqwest::Client> {
        let url = Url::parse(base).with_context(|| format!("{base:?} is not a URL"))?;
        // A key is for one gateway, so redirects to another address are not followed.
        let mut builder =
            reqwest::Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_TIMEOUT);
        if let Some(key) = self.key()? {
            ensure!(
                self.allow_insecure_connections || url.scheme() == "https" || is_loopback(&url),
                "the API key would cross the network unprotected: use https, or spell out --allow-insecure-connections"
            );
            builder =
                builder.default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer(&key)?)]));
        }
        if let Some(path) = &self.ca {
            let found = Certificate::from_pem_bundle(&read(path)?)
                .with_context(|| format!("{} holds no usable certificate", path.display()))?;
            ensure!(!found.is_empty(), "{} holds no certificate", path.display());
            builder = builder.tls_built_in_root_certs(false);
            for certificate in found {
                builder = builder.add_root_certificate(certificate);
            }
        }
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            let mut both = read(certificate)?;
            both.push(b'\n');
            both.extend(read(key)?);
            let identity = Identity::from_pem(&both).with_context(|| {
                format!("{} and {} cannot be used", certificate.display(), key.display())
            })?;
            builder = builder.identity(identity);
        }
        builder.build().context("the client cannot be made")
    }

    fn key(&self) -> Result<Option<String>> {
        let text = match &self.key_file {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?,
            ),
            None => std::env::var(KEY_VARIABLE).ok(),
        };
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }
}

fn bearer(key: &str) -> Result<HeaderValue> {
    // The error of `from_str` does not quote the value.
    let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
        .context("the API key has characters that no key has")?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_crosses_a_network_under_tls_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "dunlin_secret\n").unwrap();
        let mut credentials = Credentials { key_file: Some(path), ..Credentials::default() };
        for fine in
            ["https://example.com", "http://127.0.0.1:8090", "http://[::1]:1", "http://localhost"]
        {
            assert!(credentials.client(fine).is_ok(), "{fine}");
        }
        let error = credentials.client("http://example.com").unwrap_err().to_string();
        assert!(error.contains("--allow-insecure-connections"), "{error}");
        assert!(!error.contains("dunlin_secret"));
        credentials.allow_insecure_connections = true;
        assert!(credentials.client("http://example.com").is_ok());
    }

    #[test]
    fn an_unusable_key_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "dunlin_sec\u{7}ret").unwrap();
        let credentials = Credentials { key_file: Some(path), ..Credentials::default() };
        let error = credentials.client("http://127.0.0.1").unwrap_err();
        assert!(!format!("{error:#} {error:?}").contains("sec"), "{error:#}");
    }
}
