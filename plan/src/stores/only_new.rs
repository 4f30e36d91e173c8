//! Uploads in parts that are completed only if nothing is there: `CompleteMultipartUpload` with `If-None-Match: *`.
//!
//! The store's client sends this condition when it copies, and has no option for it when it uploads. So whoever begins an
//! upload marks it, and the connection adds the condition to the request that completes it:
//!
//! ```text
//!  POST ?uploads, marked ──> UploadId is kept          POST ?uploadId=… of a kept one ──> + If-None-Match: *
//! ```
//! The signature of a request need not cover this header.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use http::header::IF_NONE_MATCH;
use http::{HeaderValue, Method};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector, SpawnService,
};
use object_store::{ClientOptions, PutMultipartOptions};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use url::form_urlencoded;

/// An upload that is completed only if nothing is there. Dropped when the upload is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnlyNew(Arc<()>);

impl OnlyNew {
    /// Marks an upload in the options that begin it.
    pub(crate) fn mark(&self, options: &mut PutMultipartOptions) {
        options.extensions.insert(self.clone());
    }
}

/// Connects to S3, and adds the condition to the uploads that are marked.
#[derive(Debug)]
pub(super) struct Conditional(pub(super) Handle);

impl HttpConnector for Conditional {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        let service = Uploads { client, marked: Arc::default() };
        Ok(HttpClient::new(SpawnService::new(service, self.0.clone())))
    }
}

/// Sends requests as `client` does.
#[derive(Clone, Debug)]
struct Uploads {
    client: HttpClient,
    /// Uploads that are marked, by their ids.
    marked: Arc<Mutex<HashMap<String, Weak<()>>>>,
}

#[async_trait]
impl HttpService for Uploads {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.method() != Method::POST {
            return self.client.execute(request).await;
        }
        if let Some(OnlyNew(mark)) = request.extensions().get::<OnlyNew>().cloned() {
            let (parts, body) = self.client.execute(request).await?.into_parts();
            let body = body.bytes().await?;
            if parts.status.is_success() {
                let id = upload_id(&body).ok_or_else(|| {
                    HttpError::new(HttpErrorKind::Decode, std::io::Error::other("no UploadId"))
                })?;
                let mut marked = self.marked.lock();
                marked.retain(|_, mark| mark.strong_count() > 0);
                marked.insert(id, Arc::downgrade(&mark));
            }
            return Ok(HttpResponse::from_parts(parts, body.into()));
        }
        let query = request.uri().query().unwrap_or_default();
        let id = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "uploadId");
        if id.is_some_and(|(_, id)| self.marked.lock().contains_key(id.as_ref())) {
            request.headers_mut().insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        self.client.execute(request).await
    }
}

/// The id in the answer to the request that begins an upload.
fn upload_id(answer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(answer).ok()?;
    let (_, rest) = text.split_once("<UploadId>")?;
    let (id, _) = rest.split_once("</UploadId>")?;
    Some(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_id_of_an_upload_is_read() {
        let answer = b"<?xml version=\"1.0\"?>\n<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>MmQ-_.x==</UploadId></InitiateMultipartUploadResult>";
        assert_eq!(upload_id(answer).unwrap(), "MmQ-_.x==");
        assert_eq!(upload_id(b"<Error/>"), None);
    }
}
