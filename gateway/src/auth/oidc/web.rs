//! Reads the documents of an issuer, in bounds.

use std::error::Error as _;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use tokio::sync::OnceCell;
use url::Url;

/// Longest document. Sets of keys with chains of certificates have some ten thousand bytes.
const MOST_BYTES: usize = 256 << 10;
/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest time of a request. Who asks has its own limit, which is shorter.
const REQUEST: Duration = Duration::from_secs(10);

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{url}: {error}{}", cause(.error))]
    Request { url: Url, error: reqwest::Error },
    #[error("{url} answers {status}")]
    Status { url: Url, status: u16 },
    #[error("{url}: the document has more than {MOST_BYTES} bytes")]
    Long { url: Url },
}

/// What lies behind an error of the client, whose own text says little.
fn cause(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut at = error.source();
    while let Some(error) = at {
        text.push_str(": ");
        text.push_str(&error.to_string());
        at = error.source();
    }
    text
}

/// Where documents come from.
#[async_trait]
pub(super) trait Documents: Send + Sync + Debug {
    /// The document at an address.
    async fn get(&self, url: &Url) -> Result<Bytes, ReadError>;
}

/// From servers. It follows no redirect: keys come from where the configuration says, or the issuer's document.
#[derive(Debug, Default)]
pub(super) struct Web(OnceCell<reqwest::Client>);

#[async_trait]
impl Documents for Web {
    async fn get(&self, url: &Url) -> Result<Bytes, ReadError> {
        let failed = |error: reqwest::Error| {
            let error = error.without_url();
            ReadError::Request { url: url.clone(), error }
        };
        // It reads the system's authorities, so it is made when it is needed.
        let made = self.0.get_or_try_init(async || {
            reqwest::Client::builder()
                .redirect(Policy::none())
                .connect_timeout(CONNECT)
                .timeout(REQUEST)
                .build()
        });
        let mut answer =
            made.await.map_err(failed)?.get(url.clone()).send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(ReadError::Status { url: url.clone(), status });
        }
        let mut document = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if document.len() + chunk.len() > MOST_BYTES {
                return Err(ReadError::Long { url: url.clone() });
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document.freeze())
    }
}
